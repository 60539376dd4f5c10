"""A cold swap by its parts, from the start of Python to the picture in S3, over the bare download of its models:

    python -m tests.bench.cold [--repeats N] [--quick]

Every run is a fresh process (cold_request.py): Lambda's INIT, then POST /swap through the handler, with a new face and
with the stack's default face, on Lambda's line (300 MB at full speed, then 80 MB/s) and at a steady 80 MB/s. The bare
download (bare_download.py) is of the same bytes, over the same line, with as many connections. Arms alternate; the run
with the median time is the one that is reported and drawn.

Writes out/bench/cold.json and cold.png. `ratio` is the time of the picture over that of the bare download.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import MODELS, PICTURE, UPLOADS, cold_plot, form
from tests.bench.bench import FOLDER, LINES, S3Line, conditions, environment, prepare, process, server

COLD_LINES = ("lambda", "80_MB_per_s")
FACES = {"new": "", "default": f"s3://{UPLOADS}/{PICTURE}"}  # the stack's default face
LISTED = 12  # packages whose imports are told one by one


def run(face: str, s3: S3Line) -> dict[str, Any]:
    """Make one cold swap; what happened in it."""
    s3.restore_burst()
    own = {"TRUSTED_ORIGINS": s3.url, "AUTH_MODE": "open", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
    return process("tests.bench.cold_request", [face], {**environment(s3.url), **own, "DEFAULT_FACE": FACES[face]})


def download(keys: Sequence[str], s3: S3Line) -> float:
    """Seconds of the bare download."""
    s3.restore_burst()
    cost = process("tests.bench.bare_download", [MODELS, ",".join(keys)], environment(s3.url))
    return float(cost["seconds"])


def measure(repeats: int, inputs: Path) -> dict[str, Any]:
    """Measure by line and face."""
    report: dict[str, Any] = {}
    for line in COLD_LINES:
        with server(*LINES[line], inputs) as s3:
            run("default", s3)  # leaves the default face's latent in the bucket, and its files in memory
            runs: dict[str, list[dict[str, Any]]] = {face: [] for face in FACES}
            bare: dict[str, list[float]] = {face: [] for face in FACES}
            for _ in range(repeats):
                for face in FACES:
                    runs[face].append(run(face, s3))
                    bare[face].append(download([each["key"] for each in runs[face][-1]["downloads"]], s3))
        for face in FACES:
            median = sorted(runs[face], key=_picture_at)[len(runs[face]) // 2]
            seconds = sorted(bare[face])[len(bare[face]) // 2]
            report.setdefault(line, {})[face] = summarise(median, seconds)
            print(line, face, json.dumps({k: v for k, v in report[line][face].items() if k != "spans"}), flush=True)
    return report


def summarise(one: Mapping[str, Any], bare_s: float) -> dict[str, Any]:
    """Summarise a run: when each part of it began and ended, seconds since the start of the process."""
    asked, picture = min(each["asked"] for each in one["downloads"]), _picture_at(one)
    imports = [each for each in one["imports"] if each[1] <= asked]
    return {
        "picture_s": round(picture, 3),
        "answer_s": round(one["answered"], 3),
        "bare_s": round(bare_s, 3),
        "cpu_s": round(one["cpu"], 3),
        "ratio": round(picture / bare_s, 3),
        "ratio_from_first_byte": round((picture - asked) / bare_s, 3),
        "python_s": round(one["begun"], 3),
        "init_s": round(one["initialised"], 3),
        "first_byte_asked_s": round(asked, 3),
        "imports_before_ms": add_up(imports),
        "imports_after_ms": add_up([each for each in one["imports"] if each[1] > asked]),
        "imports": [[name, round(end - own, 3), round(end, 3)] for name, end, own in one["imports"] if own > 0.002],
        "downloads": [_summarise_download(each) for each in one["downloads"]],
        "spans": [[name, round(begin, 3), round(end, 3)] for name, begin, end in one["spans"]],
        "bytes_in_vain": one["bytes_in_vain"],
        "engine": one["engine"],
    }


def add_up(imports: Sequence[Sequence[Any]]) -> dict[str, float]:
    """Milliseconds of imports by package, each without what it imports: the longest by name, and the others together.

    Ours count by the first two parts of their names.
    """
    packages: dict[str, float] = {}
    for name, _, own in imports:
        parts = name.split(".")
        package = ".".join(parts[: 2 if parts[0] in ("functions", "layers") else 1])
        packages[package] = packages.get(package, 0.0) + own * 1000
    ranks = sorted(packages.items(), key=lambda item: -item[1])
    named = {name: round(milliseconds, 1) for name, milliseconds in ranks[:LISTED]}
    others = round(sum(milliseconds for _, milliseconds in ranks[LISTED:]), 1)
    return {"all": round(sum(packages.values()), 1), **named, "others": others}


def _picture_at(one: Mapping[str, Any]) -> float:
    """When the result had been written."""
    return float(max(end for name, _, end in one["spans"] if name == "write"))


def _summarise_download(one: Mapping[str, Any]) -> dict[str, Any]:
    ended = max(at for at, _ in one["pieces"])
    fetched = sum(size for _, size in one["pieces"])
    return {
        "model": one["model"],
        "blob": one["blob"],
        "bytes": one["bytes"],
        "asked": round(one["asked"], 3),
        "ended": round(ended, 3),
        "mb_per_s": round(fetched / 1e6 / (ended - one["asked"]), 1),
    }


def main() -> None:
    """Measure, print, draw and write."""
    with form.parse_options("cold", __doc__, inputs=FOLDER, repeats=3, avx2=False) as options:
        prepare(options.inputs, options.quick)
        report = {**conditions(options.repeats), **measure(options.repeats, options.inputs)}
        out = options.out / "cold.json"
        out.write_text(json.dumps(report, indent=2) + "\n")
        cold_plot.plot(report, out.with_suffix(".png"))
        print(json.dumps({line: {face: report[line][face]["ratio"] for face in FACES} for line in COLD_LINES}))


if __name__ == "__main__":
    main()
