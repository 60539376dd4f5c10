"""As many threads as there is time for."""

from __future__ import annotations

import pytest

from functions.swap.settings import Settings
from functions.video.settings import VideoSettings
from layers.core.cpu_count import thread_count

SWAP = {"MODELS_BUCKET": "m", "UPLOADS_BUCKET": "u", "OUTPUTS_BUCKET": "o"}
VIDEO = {"OUTPUTS_BUCKET": "o", "STATE_TABLE": "t", "STATE_MACHINE_ARN": "a"}


@pytest.fixture
def processors(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """A machine that shows so many."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(request.param)))


@pytest.mark.parametrize(
    ("processors", "memory", "expected"),
    [
        (2, "128", 1),
        (2, "1769", 1),  # the default: the time of one processor, though two are seen
        (2, "1770", 2),
        (2, "3008", 2),  # the time of 1.7
        (6, "10240", 6),
        (4, "10240", 4),  # never more than are seen
        (2, None, 2),  # not on Lambda
    ],
    indirect=["processors"],
)
@pytest.mark.usefixtures("processors")
def test_both_functions_take_as_many_threads_as_their_memory_size_has_time_for(
    memory: str | None, expected: int
) -> None:
    size = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": memory} if memory else {}

    assert thread_count(size) == expected
    assert Settings.read({**SWAP, **size}).threads == expected
    assert VideoSettings.read({**VIDEO, **size}).threads == expected
