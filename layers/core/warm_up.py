"""Warm-ups: a payload for which a function imports what requests import, and tests itself.

It reads nothing of any caller's and fetches no models. A deployment sends it, so do a release's hook, a weekly rule (a
function that nobody calls for weeks refuses its next request) and, if the operator wants it, a rule every five minutes.
"""

from __future__ import annotations

from typing import Any

PAYLOAD = {"warm": True}


def is_warm_up(event: Any) -> bool:
    """Whether a function was called with that payload."""
    return bool(event == PAYLOAD)
