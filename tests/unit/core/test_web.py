"""What HTTP entries do alike."""

from __future__ import annotations

import pytest

from layers.core.web import http_seconds

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("received_at", "seconds_left"),
    [
        (NOW, 29.0),
        (NOW - 10.5, 18.5),  # a slow start
        (NOW + 3, 29.0),  # our clock is behind
        (NOW - 3600, 9.0),  # our clock is wrong; some time stays to work in
    ],
)
def test_a_request_is_answered_29_seconds_after_it_was_taken(received_at: float, seconds_left: float) -> None:
    assert http_seconds({"requestContext": {"timeEpoch": int(received_at * 1000)}}, NOW) == pytest.approx(seconds_left)


def test_an_event_that_does_not_say_when_it_was_taken_was_taken_now() -> None:
    assert http_seconds({"requestContext": {}}, NOW) == 29.0
