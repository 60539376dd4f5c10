"""Of a whole still that was swapped elsewhere only the faces are used, it is paid for once, and the rest is checked."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Iterator
from typing import Any, cast

import cv2
import numpy as np
import pytest

from functions.swap.backends import in_turn
from functions.swap.backends.in_turn import FIRST_PAUSE, SHORTEST_ATTEMPT, Swapped, Work, swap_in_turn
from functions.swap.backends.interfaces import Failed
from functions.swap.backends.local_engine import SECONDS_A_FACE, START_SECONDS, LocalEngine
from functions.swap.backends.still_job import Still
from functions.swap.backends.whole_still import KEPT_SECONDS, TicketStore, WholeStills
from functions.swap.values import RemoteUse
from layers.core.deadline import Deadline
from layers.core.errors import StorageFailed
from layers.core.telemetry import logger
from layers.media.picture import Pixels
from tests.support.clock import Clock
from tests.unit.swap.backends.fake_replicate import TOKEN, FakeReplicate
from tests.unit.swap.fake_stack import OUTPUTS, FakeModels, FlatSwapper, MemoryStorage

BOX = (40, 30, 100, 100)
# The box of the crop is that of the face and a fifth of it around.
FORWARD = np.array([[128 / 84, 0, -28 * 128 / 84], [0, 128 / 84, -23 * 128 / 84]])


@pytest.fixture
def replicate() -> Iterator[FakeReplicate]:
    with FakeReplicate(BOX) as replicate:
        yield replicate


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage()


def picture() -> Pixels:
    """Soft colours, as a JPEG keeps them."""
    y, x = np.mgrid[:150, :200].astype(np.float32)
    waves = [100 + 60 * np.sin(x / 25 + shift) * np.cos(y / 30) for shift in (0, 1, 2)]
    return np.stack(waves, 2).astype(np.uint8)


def still(others: tuple[Any, ...] = (), caller: str | None = None) -> Still:
    box = cast(Any, tuple(map(float, BOX)))
    return Still(picture(), [box], [FORWARD], others, "d" * 64, face(), caller)


def face() -> Pixels:
    return np.full((64, 64, 3), 90, np.uint8)


def ask(
    replicate: FakeReplicate,
    storage: MemoryStorage,
    seconds: float = 20.0,
    token: str = TOKEN,
    clock: Callable[[], float] | None = None,
    meme: Still | None = None,
    caller: str | None = None,
    sleep: Callable[[float], None] = lambda _: None,
) -> Swapped:
    tickets = TicketStore(cast(Any, storage), OUTPUTS, clock or Clock())
    deadline = Deadline.after(seconds + START_SECONDS + SECONDS_A_FACE)
    here = LocalEngine(cast(Any, FakeModels()), deadline, is_first=False)
    crop = np.zeros((1, 128, 128, 3), np.uint8)
    work = Work("f" * 64, crop, np.ones((1, 512), np.float32), lambda: meme or still(caller=caller))
    return swap_in_turn([WholeStills(replicate.client(token), tickets), here], work, deadline, sleep=sleep)


def check_swapped(outcome: Swapped) -> RemoteUse:
    assert outcome.failure is None
    assert outcome.use is not None
    return outcome.use


def check_failed(outcome: Swapped, code: str) -> Failed:
    """What failed elsewhere was done here."""
    assert (outcome.engine, outcome.use) == (FlatSwapper.name, None)
    assert outcome.failure is not None
    assert outcome.failure.code == code
    return outcome.failure


def test_the_crop_is_that_of_the_answer(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    outcome = ask(replicate, storage)
    crops, use = outcome.crops, check_swapped(outcome)
    expected = picture().copy()
    x0, y0, x1, y1 = BOX
    expected[y0:y1, x0:x1] = 255 - expected[y0:y1, x0:x1]
    warped = cv2.warpAffine(expected, FORWARD, (128, 128))
    middle = slice(30, 98)
    assert crops.shape == (1, 128, 128, 3)
    assert np.abs(crops[0].astype(int) - warped)[middle, middle].mean() < 3
    assert use == RemoteUse("replicate", 3.5, 0.0035)


def test_pictures_go_out_without_what_their_files_say(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    ask(replicate, storage)
    for name in ("input_image", "swap_image"):
        prefix, _, content = replicate.log[0].request.json()["input"][name].partition(",")
        assert prefix == "data:image/jpeg;base64"
        assert b"Exif" not in base64.b64decode(content)


def test_what_is_not_there_yet_is_asked_for(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    replicate.slow = 3
    check_swapped(ask(replicate, storage))
    assert (replicate.asked("POST"), replicate.asked("GET")) == (1, 3)


def test_what_was_paid_for_is_found_by_the_next_try_and_by_no_other_caller(
    replicate: FakeReplicate, storage: MemoryStorage
) -> None:
    clock = Clock()
    check_swapped(ask(replicate, storage, clock=clock, caller="a"))
    check_swapped(ask(replicate, storage, clock=clock, caller="a"))
    assert len(replicate.made) == 1
    check_swapped(ask(replicate, storage, clock=clock, caller="b"))
    assert len(replicate.made) == 2
    clock.at += KEPT_SECONDS + 1  # it may be deleted there any moment
    check_swapped(ask(replicate, storage, clock=clock, caller="a"))
    assert len(replicate.made) == 3


def test_what_is_forgotten_there_is_made_again(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    clock = Clock()
    ask(replicate, storage, clock=clock)
    replicate.forget()
    check_swapped(ask(replicate, storage, clock=clock))
    assert len(replicate.made) == 2


def test_what_was_paid_for_is_used_where_its_ticket_cannot_be_kept(
    replicate: FakeReplicate, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise StorageFailed("Storage did not respond.")

    monkeypatch.setattr(storage, "write", refuse)
    check_swapped(ask(replicate, storage))
    assert len(replicate.made) == 1


@pytest.mark.parametrize("fault", ["drop", "html"])
def test_a_post_whose_answer_is_lost_is_not_sent_again(
    replicate: FakeReplicate, storage: MemoryStorage, fault: str
) -> None:
    replicate.fault(fault, times=None)
    check_failed(ask(replicate, storage), "provider_failed")
    assert replicate.asked("POST") == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (401, "key_rejected"),
        (402, "quota_exceeded"),
        (403, "key_rejected"),
        (404, "models_missing"),
        (413, "media_too_large"),
        (422, "invalid_request"),
        (500, "provider_failed"),
        (502, "provider_failed"),
        (503, "at_capacity"),
    ],
)
def test_a_refusal_or_a_fault_of_theirs_is_final_since_it_may_have_been_begun(
    replicate: FakeReplicate, storage: MemoryStorage, status: int, code: str
) -> None:
    replicate.fault("status", times=None, status=status)
    check_failed(ask(replicate, storage), code)
    assert replicate.asked("POST") == 1


@pytest.mark.parametrize(
    ("fault", "how", "pause"),
    [
        ("status", {"status": 429, "retry_after": 3}, 3.0),
        ("throttled", {"seconds": 4}, 4.0),
        ("status", {"status": 429}, FIRST_PAUSE),
    ],
    ids=["header", "sentence", "no hint"],
)
def test_a_limit_is_waited_for(
    replicate: FakeReplicate, storage: MemoryStorage, fault: str, how: dict[str, Any], pause: float
) -> None:
    pauses: list[float] = []
    replicate.fault(fault, **how)
    check_swapped(ask(replicate, storage, sleep=pauses.append))
    assert (len(replicate.made), pauses) == (1, [pause])


def test_a_limit_that_lasts_too_long_is_not(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    replicate.fault("status", times=None, status=429, retry_after=600)
    check_failed(ask(replicate, storage), "rate_limited")
    assert replicate.asked("POST") == 1


def test_a_fault_of_a_question_costs_nothing(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    replicate.slow = 2
    replicate.fault("drop", match="/v1/predictions/prediction")
    check_swapped(ask(replicate, storage))
    assert len(replicate.made) == 1


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ({"status": "failed", "error": "NSFW content detected"}, "content_refused"),
        ({"status": "failed", "error": "boom"}, "provider_failed"),
        ({"status": "canceled"}, "out_of_time"),
        ({"status": "aborted"}, "out_of_time"),
        ({"status": "who-knows"}, "provider_failed"),
        ({"output": None}, "provider_failed"),
        ({"output": "https://replicate.delivery.example/x.png"}, "provider_failed"),
        ({"output": "file:///etc/passwd"}, "provider_failed"),
        ({"output": "http://169.254.169.254/latest"}, "provider_failed"),
        ({"id": "../../secrets", "status": "processing"}, "provider_failed"),
    ],
    ids=str,
)
def test_an_end_without_a_picture_of_theirs_is_one(
    replicate: FakeReplicate, storage: MemoryStorage, end: dict[str, object], code: str
) -> None:
    replicate.end = end
    check_failed(ask(replicate, storage), code)
    assert replicate.asked("POST") == 1
    assert not any("/files/" in entry.path for entry in replicate.log)


def black(_: Pixels) -> Pixels:
    return np.zeros((150, 200, 3), np.uint8)


def smaller(given: Pixels) -> Pixels:
    return given[:100]


def other(given: Pixels) -> Pixels:
    return np.ascontiguousarray(given[:, ::-1])


def unchanged(_: Pixels) -> Pixels:
    return picture()


@pytest.mark.parametrize(
    ("paint", "sentence"),
    [(black, "outside"), (smaller, "size"), (other, "outside"), (unchanged, "every face")],
)
def test_a_picture_that_is_not_the_same_but_for_the_faces_is_not_used(
    replicate: FakeReplicate, storage: MemoryStorage, paint: Callable[[Pixels], Pixels], sentence: str
) -> None:
    replicate.paint = paint
    assert sentence in check_failed(ask(replicate, storage), "provider_failed").detail


@pytest.mark.parametrize("status", [403, 404, 500, 302])
def test_a_link_that_has_expired_is_no_picture(replicate: FakeReplicate, storage: MemoryStorage, status: int) -> None:
    replicate.fault("status", times=None, match="/files/", status=status)
    assert "cannot be used" in check_failed(ask(replicate, storage), "provider_failed").detail
    assert len(replicate.made) == 1


@pytest.mark.parametrize(("fault", "how"), [("broken", {"after": 50}), ("html", {"status": 200}), ("drop", {})])
def test_a_file_that_is_cut_off_or_no_picture_is_not_used(
    replicate: FakeReplicate, storage: MemoryStorage, fault: str, how: dict[str, Any]
) -> None:
    replicate.fault(fault, times=None, match="/files/", **how)
    check_failed(ask(replicate, storage), "provider_failed")


def test_a_picture_that_is_encoded_again_is_used(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    replicate.extension = ".jpg"
    check_swapped(ask(replicate, storage))


def test_a_face_that_nobody_chose_may_be_swapped_there_and_is_not_used(
    replicate: FakeReplicate, storage: MemoryStorage
) -> None:
    replicate.boxes = (BOX, (130, 30, 190, 100))
    check_failed(ask(replicate, storage), "provider_failed")
    check_swapped(ask(replicate, storage, meme=still(((130.0, 30.0, 190.0, 100.0),))))


def test_what_is_too_slow_is_cancelled(
    replicate: FakeReplicate, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_turn, "SHORTEST_ATTEMPT", 0.05)
    replicate.slow = 1 << 20
    check_failed(ask(replicate, storage, seconds=0.2), "out_of_time")
    assert replicate.cancelled == replicate.made


def test_without_enough_time_nobody_is_asked(replicate: FakeReplicate, storage: MemoryStorage) -> None:
    check_failed(ask(replicate, storage, seconds=SHORTEST_ATTEMPT - 0.5), "out_of_time")
    assert not replicate.log


def test_neither_token_nor_picture_nor_link_is_in_a_log(
    replicate: FakeReplicate, storage: MemoryStorage, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger().name):
        details = [check_failed(ask(replicate, storage, token="r8_open"), "key_rejected").detail]
        replicate.fault("status", times=None, match="/files/", status=403)
        details.append(check_failed(ask(replicate, storage), "provider_failed").detail)
    assert "not swapped elsewhere" in caplog.text
    written = caplog.text + str([vars(record) for record in caplog.records]) + str(details)
    for private in ("r8_", "base64", "/files/", "prediction0000"):
        assert private not in written
