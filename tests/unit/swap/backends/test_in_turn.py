"""A backend elsewhere does the work where it can, once; and whatever goes wrong there leaves time to do it here."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

import numpy as np
import pytest

from functions.swap.backends import in_turn
from functions.swap.backends.in_turn import SHORTEST_ATTEMPT, Swapped, Work, swap_in_turn
from functions.swap.backends.interfaces import Capabilities, Failed
from functions.swap.backends.local_engine import SECONDS_A_FACE, START_SECONDS, LocalEngine
from functions.swap.backends.worker import Worker
from functions.swap.values import RemoteUse
from layers.core.deadline import Deadline
from layers.engine.crop_job import MOST_CROPS, CropJob, write_crops
from layers.engine.crop_planes import Pixels
from tests.unit.swap.backends.fake_worker import TOKEN, FakeWorker
from tests.unit.swap.fake_stack import FakeModels, FlatSwapper

DIGEST = "f" * 64


@pytest.fixture
def worker() -> Iterator[FakeWorker]:
    with FakeWorker() as worker:
        yield worker


def crops(count: int = 2) -> Pixels:
    return np.random.default_rng(count).integers(0, 256, (count, 128, 128, 3)).astype(np.uint8)


def ask(
    worker: FakeWorker,
    pixels: Pixels,
    seconds: float = 20.0,
    token: str = TOKEN,
    most_crops: int = MOST_CROPS,
    sleep: Callable[[float], None] = lambda _: None,
) -> Swapped:
    """Swap elsewhere with so many seconds beyond what is kept for here; usually no pause takes any time."""
    capabilities = Capabilities(most_crops, repeats=True)
    remote = Worker(worker.url, token, dollars_per_second=0.0002, capabilities=capabilities)
    deadline = Deadline.after(seconds + START_SECONDS + SECONDS_A_FACE * len(pixels))
    here = LocalEngine(cast(Any, FakeModels()), deadline, is_first=False)
    work = Work(DIGEST, pixels, np.ones((len(pixels), 512), np.float32))
    return swap_in_turn([remote, here], work, deadline, sleep=sleep)


def check_swapped(outcome: Swapped, pixels: Pixels) -> RemoteUse:
    assert outcome.failure is None
    assert outcome.use is not None
    np.testing.assert_array_equal(outcome.crops, 255 - pixels)
    return outcome.use


def check_failed(outcome: Swapped, code: str) -> Failed:
    """What failed elsewhere was done here."""
    assert (outcome.engine, outcome.use) == (FlatSwapper.name, None)
    assert (outcome.crops == FlatSwapper.colour).all()
    assert outcome.failure is not None
    assert outcome.failure.code == code
    return outcome.failure


def test_the_crops_come_back_with_what_they_cost(worker: FakeWorker) -> None:
    use = check_swapped(ask(worker, crops()), crops())
    # Half a second of a batch half of which was somebody else's.
    assert use == RemoteUse("worker cuda", 0.25, 0.00005)


def test_more_crops_than_a_job_takes_go_out_in_several(worker: FakeWorker) -> None:
    use = check_swapped(ask(worker, crops(9), most_crops=4), crops(9))
    assert len(worker.swapped) == 3
    assert use.seconds == 0.75


def test_all_jobs_must_come_back(worker: FakeWorker) -> None:
    worker.fault("status", status=401, times=1)
    check_failed(ask(worker, crops(9), most_crops=4), "key_rejected")


def test_what_is_not_there_yet_is_asked_for_until_it_is(worker: FakeWorker) -> None:
    worker.slow = 3
    check_swapped(ask(worker, crops()), crops())
    assert (worker.asked("PUT"), worker.asked("GET"), len(worker.swapped)) == (1, 3, 1)


def test_a_job_that_a_killed_request_left_is_found_and_not_paid_for_again(worker: FakeWorker) -> None:
    worker.slow = 1
    ask(worker, crops())
    check_swapped(ask(worker, crops()), crops())
    assert len(worker.swapped) == 1


@pytest.mark.parametrize(
    ("fault", "how"),
    [
        ("drop", {}),
        ("broken", {"after": 100}),
        ("status", {"status": 500}),
        ("status", {"status": 503, "retry_after": 1}),
        ("status", {"status": 409}),
        ("status", {"status": 429, "retry_after": 2}),
        ("status", {"status": 429}),
        ("html", {"status": 502}),
    ],
)
def test_a_fault_that_passes_costs_another_try_and_no_other_swap(
    worker: FakeWorker, fault: str, how: dict[str, Any]
) -> None:
    worker.fault(fault, **how)
    check_swapped(ask(worker, crops()), crops())
    assert len(worker.swapped) == 1


@pytest.mark.parametrize(("fault", "how"), [("drop", {}), ("status", {"status": 500}), ("html", {})])
def test_a_fault_that_does_not_pass_is_met_three_times(worker: FakeWorker, fault: str, how: dict[str, Any]) -> None:
    worker.fault(fault, times=None, **how)
    check_failed(ask(worker, crops()), "provider_failed")
    assert worker.asked("PUT") == 3


def test_a_worker_that_is_full_or_asleep_is_waited_for(worker: FakeWorker) -> None:
    for status in (503, 503, 409, 429, 503):
        worker.fault("status", status=status)
    check_swapped(ask(worker, crops()), crops())
    assert worker.asked("PUT") == 6


def test_a_worker_that_has_started_anew_is_given_the_job_again(worker: FakeWorker) -> None:
    worker.slow = 1
    worker.fault("status", match="GET", status=500)
    remote = Worker(worker.url, TOKEN)
    job = CropJob(DIGEST, crops(), np.ones((2, 512), np.float32))
    ticket, _ = remote.submit(job, Deadline.after(5))
    worker.forget()
    assert not isinstance(remote.poll(ticket, job, Deadline.after(5)), Failed)
    assert len(worker.swapped) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "key_rejected"),
        (402, "quota_exceeded"),
        (403, "key_rejected"),
        (404, "models_missing"),
        (413, "media_too_large"),
        (422, "invalid_request"),
        (418, "provider_failed"),
        (302, "provider_failed"),
    ],
)
def test_a_refusal_that_no_other_try_mends_is_asked_for_once(worker: FakeWorker, status: int, code: str) -> None:
    worker.fault("status", times=None, status=status)
    check_failed(ask(worker, crops()), code)
    assert worker.asked("PUT") == 1


def test_a_wrong_token_is_refused_and_stands_in_no_log(worker: FakeWorker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        failed = check_failed(ask(worker, crops(), token="sesame-sesame"), "key_rejected")
    assert "sesame" not in failed.detail + caplog.text
    assert worker.url not in failed.detail


def test_a_redirect_is_not_followed_and_takes_no_token_along(worker: FakeWorker) -> None:
    with FakeWorker() as other:
        worker.fault("redirect", times=None, to=f"{other.url}/predictions/x")
        check_failed(ask(worker, crops()), "provider_failed")
        assert not other.log


def test_what_never_comes_is_cancelled_while_there_is_time_left(
    worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_turn, "SHORTEST_ATTEMPT", 0.1)
    worker.slow = 1 << 20
    start = time.monotonic()
    check_failed(ask(worker, crops(), seconds=0.45, sleep=time.sleep), "out_of_time")
    assert time.monotonic() - start < START_SECONDS
    assert worker.cancelled == worker.swapped


def test_without_enough_time_nobody_is_asked(worker: FakeWorker) -> None:
    check_failed(ask(worker, crops(), seconds=SHORTEST_ATTEMPT - 0.5), "out_of_time")
    assert not worker.log


def test_an_answer_that_is_held_back_ends_in_time(worker: FakeWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_turn, "SHORTEST_ATTEMPT", 0.1)
    worker.fault("hold", times=None)
    check_failed(ask(worker, crops(), seconds=0.3), "provider_failed")


BLACK = write_crops(np.zeros((2, 128, 128, 3), np.uint8))


@pytest.mark.parametrize(
    "change",
    [
        {"output": None},
        {"output": "https://replicate.delivery/crops"},
        {"output": "data:image/jpeg;base64,/9j/4AAQ"},
        {"output": write_crops(np.zeros((3, 128, 128, 3), np.uint8))},
        {"output": BLACK},
        {"status": "unheard-of"},
        {"status": "failed", "error": "wrong_swapper: another pack"},
        {"status": None},
    ],
    ids=str,
)
def test_what_cannot_be_the_swapped_crops_is_not_used(worker: FakeWorker, change: dict[str, Any]) -> None:
    worker.change = lambda document: {**document, **change}
    check_failed(ask(worker, crops()), "provider_failed")
    assert len(worker.swapped) == 1


def test_crops_that_showed_nothing_may_show_nothing_afterwards(worker: FakeWorker) -> None:
    plain = np.full((2, 128, 128, 3), 30, np.uint8)
    check_swapped(ask(worker, plain), plain)


@pytest.mark.parametrize("metrics", [None, [], {"predict_time": "long"}, {"predict_time": -1, "batch_crops": 0}])
def test_a_worker_that_does_not_say_what_it_took_costs_nothing(worker: FakeWorker, metrics: Any) -> None:
    worker.change = lambda document: {**document, "metrics": metrics}
    use = check_swapped(ask(worker, crops()), crops())
    assert (use.seconds, use.dollars) == (0, 0)


def test_an_answer_without_end_is_cut_off(worker: FakeWorker) -> None:
    worker.change = lambda document: {**document, "logs": "x" * (21 << 20)}
    assert "bytes" in check_failed(ask(worker, crops()), "provider_failed").detail
