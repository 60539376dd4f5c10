"""What many swaps on Lambda took and cost: percentiles, gigabyte-seconds and dollars, by size and face."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tools.swap_costs import dollars, gigabyte_seconds
from tools.swap_samples import Face, Kind, Sample


def percentile(values: Iterable[float], share: float) -> float:
    """The least value that is no less than this share of them (nearest rank); `values` must not be empty."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


def summarise(samples: Sequence[Sample]) -> list[dict[str, Any]]:
    """One row for each size, face, and cold or warm: seconds, gigabyte-seconds, dollars."""
    groups: dict[tuple[int, Face, Kind], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample.report.memory_mb, sample.face, sample.kind), []).append(sample)
    return [_summarise_group(*group, members) for group, members in sorted(groups.items())]


def _summarise_group(size: int, face: Face, kind: Kind, samples: Sequence[Sample]) -> dict[str, Any]:
    reports = [sample.report for sample in samples]
    starts = [(report.init_ms or 0) + (report.restore_ms or 0) for report in reports]
    seconds = {
        "billed_s": [report.billed_ms / 1000 for report in reports],
        "handler_s": [report.duration_ms / 1000 for report in reports],
        "round_trip_s": [sample.round_trip_s for sample in samples],
        **({"start_s": [start / 1000 for start in starts]} if kind == "cold" else {}),
    }
    mean = sum(seconds["billed_s"]) / len(samples)
    gb_s = gigabyte_seconds(size, mean)
    return {
        "memory_mb": size,
        "face": face,
        "kind": kind,
        "swaps": len(samples),
        **{
            name: {"p50": round(percentile(each, 0.5), 3), "p95": round(percentile(each, 0.95), 3)}
            for name, each in seconds.items()
        },
        "mean_gb_s": round(gb_s, 3),
        "dollars_per_1000": round(1000 * dollars(gb_s), 4),
        "max_memory_mb": max(report.max_memory_mb for report in reports),
        "engines": dict(Counter(sample.engine for sample in samples)),
    }


def format_table(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as Markdown."""
    head = ("MB", "face", "", "swaps", "billed s p50", "p95", "start s p50", "round trip s p50", "p95", "$ per 1,000")
    lines = [f"| {' | '.join((*head, 'memory', 'engine'))} |", "| --- " * (len(head) + 2) + "|"]
    for row in rows:
        billed, trip, start = row["billed_s"], row["round_trip_s"], row.get("start_s")
        cells = [
            row["memory_mb"],
            row["face"],
            row["kind"],
            row["swaps"],
            f"{billed['p50']:.2f}",
            f"{billed['p95']:.2f}",
        ]
        cells += [f"{start['p50']:.2f}" if start else "", f"{trip['p50']:.2f}", f"{trip['p95']:.2f}"]
        cells += [f"{row['dollars_per_1000']:.3f}", row["max_memory_mb"], ", ".join(row["engines"])]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)
