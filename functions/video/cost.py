"""The cost of a video, and of a plan for one, from a caller's daily budget."""

from __future__ import annotations

import math

UNIT = "seconds of video"  # part of the budget's keys in the state table, and of its message
CHARACTERS_A_SECOND = 15.0  # of English at a usual pace
# For a plan whose footage is really searched for: a search is up to six requests of the 200 or so that a footage
# service grants all callers together in an hour.
DRY_RUN_SECONDS = 5
_SEARCHES = 6  # that these seconds pay for


def estimate_seconds(script: str) -> float:
    """About how many seconds it takes to speak a script."""
    return len(script.strip()) / CHARACTERS_A_SECOND


def video_seconds(script: str) -> int:
    """The whole seconds that a video of this script costs."""
    return math.ceil(estimate_seconds(script))


def dry_run_seconds(searches: int) -> int:
    """The whole seconds that a plan with that many things to search for costs."""
    return DRY_RUN_SECONDS * max(1, math.ceil(searches / _SEARCHES))
