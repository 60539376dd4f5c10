"""The benchmark of a warm request: what it counts for which part, and what it does without the older commit."""

from __future__ import annotations

from pathlib import Path

import pytest

from layers.core.telemetry import Phases
from tests.bench import warm, warm_arm

Clock = list[float]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock in a list, on which CPU takes half of the time."""
    now = [0.0]
    monkeypatch.setattr(warm_arm, "_read_clocks", lambda: (now[0] / 2, now[0]))
    return now


def test_each_part_is_counted_once_and_what_is_in_none_is_the_rest(clock: Clock) -> None:
    class Watched(Phases):
        """Phases that the profile may replace."""

    profile, phases = warm_arm.Profile(Watched), Watched()

    def spend(seconds: float, *names: str) -> None:
        if names:
            with phases(names[0]):
                spend(seconds, *names[1:])
        else:
            clock[0] += seconds

    def request() -> None:
        spend(1.0, "start")
        spend(2.0, "detect")
        with phases("fetch"):
            spend(4.0)
            spend(8.0, "decode")
        spend(16.0, "detect")
        spend(32.0, "write")

    expected = {
        "find faces: meme": 2.0,
        "find faces: source": 16.0,
        "decode": 8.0,
        "storage": 36.0,
        "rest": 1.0,
        "all": 63.0,
    }
    for _ in range(2):  # a second request begins anew
        assert profile.run(request) == {part: (seconds / 2, seconds) for part, seconds in expected.items()}


def test_ratios_are_of_the_least_cpu() -> None:
    ours, old = [(3.0, 9.0), (2.0, 7.0)], [(4.0, 5.0), (5.0, 4.0)]

    report = warm.compare({"now": {"all": ours}, "old": {"all": old}})

    assert report["cpu_seconds"] == {"now": {"all": 2.0}, "old": {"all": 4.0}}
    assert report["seconds"] == {"now": {"all": 7.0}, "old": {"all": 4.0}}
    assert report["cpu_over"] == {"old": 0.5}
    assert warm.make_table({"new": report, "default": report}).splitlines()[-2:] == [
        "| all | 4.000 | 2.000 | 4.000 | 2.000 |",
        "| now over this | 0.50 | 1 | 0.50 | 1 |",
    ]


def test_a_source_archive_has_the_function_of_today_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "ROOT", tmp_path)

    assert warm.find_reason() == "this is no git repository"
