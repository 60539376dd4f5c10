"""What an upload leaves, however its events are delivered: the outcome of the object that lies there in the end, and
no other beside it."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from functions.swap import pipeline
from functions.swap.context import SwapContext
from functions.swap.entry.s3_upload import MAX_ROUNDS
from functions.swap.upload_outcomes import LAST_TRY_SECONDS, MAX_TRIES
from functions.swap.values import PictureDigests, SwapOutcome, SwapRequest, SwapResult
from layers.core.errors import (
    ColdswapError,
    ModelsMissing,
    NoFaceInMeme,
    StillRunning,
    StorageFailed,
    UpstreamFailed,
)
from layers.core.storage import Head
from tests.unit.swap.entry_clients import invoke, upload_event
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack

KEY = "memes/a.png"
PICTURE, RESULT, PROBLEM = "swapped/a.png", "swapped/a.png.json", "failed/a.png.json"
SUCCESS, FAILURE = {PICTURE, RESULT}, {PROBLEM}

Event = dict[str, Any]


class Killed(BaseException):
    """The end of a sandbox, which no code sees."""


@dataclass
class Uploader:
    """Uploads under one name, and delivers S3's events of them. A picture is a word; one that begins with "bad" has no
    face."""

    stack: FakeSwapStack
    patch: pytest.MonkeyPatch
    sequencers: Any = field(default_factory=lambda: itertools.count(0x55AED6DC))
    during: list[Callable[[], None]] = field(default_factory=list)  # what happens while the next swaps run
    failure: Exception | None = None  # of every swap
    changes_left: int | None = None  # of the outputs bucket, until the sandbox is killed
    is_dead: bool = False  # the sandbox
    swaps: list[str] = field(default_factory=list)  # the pictures whose swap began

    def __post_init__(self) -> None:
        self.patch.setattr(pipeline, "swap", self._swap)
        for method in ("write", "delete"):
            self.patch.setattr(self.stack.storage, method, self._kill_before(getattr(self.stack.storage, method)))
        self.patch.setattr(self.stack.claims, "release", self._survive(self.stack.claims.release))

    def put(self, picture: str, **metadata: str) -> Event:
        """Upload; the event of it."""
        self.stack.storage.put(UPLOADS, KEY, picture.encode(), **metadata)
        event: Event = upload_event(KEY, sequencer=f"{next(self.sequencers):X}", eTag=picture)
        return event

    def remove(self) -> None:
        """Take the upload back."""
        del self.stack.storage.objects[UPLOADS, KEY]

    def deliver(self, event: Event) -> None:
        """Deliver the event. Raises what Lambda would try again."""
        self.is_dead = False
        invoke(self.stack, event, self.patch)

    def deliver_in_vain(self, event: Event, error: type[BaseException]) -> None:
        """Deliver an event that Lambda will have to try again."""
        with pytest.raises(error):
            self.deliver(event)

    def deliver_and_kill(self, event: Event, changes: int) -> bool:
        """Deliver the event to a sandbox that is killed after so many changes of the outputs bucket; whether it came
        to that. Its claim has lapsed when this returns."""
        self.changes_left = changes
        try:
            self.deliver(event)
        except Killed:
            return True
        finally:
            self.changes_left = None
            self.stack.claims.lapse()
        return False

    @property
    def outputs(self) -> set[str]:
        """The keys in the outputs bucket."""
        return {key for bucket, key in self.stack.storage.objects if bucket == OUTPUTS}

    @property
    def swapped(self) -> str:
        """The picture that the result is of; nothing else is beside it."""
        assert self.outputs == SUCCESS
        picture = self.stack.storage.objects[OUTPUTS, PICTURE].data.decode()
        assert self.stack.storage.json(RESULT)["digests"]["meme"] == picture
        return picture

    @property
    def problem(self) -> dict[str, Any]:
        """The problem document; nothing else is beside it."""
        assert self.outputs == FAILURE
        document: dict[str, Any] = self.stack.storage.json(PROBLEM)
        return document

    def _swap(self, request: SwapRequest, context: SwapContext, *, key: str, add_extension: bool) -> SwapOutcome:
        picture = self.stack.storage.objects[UPLOADS, KEY].data.decode()
        self.swaps.append(picture)
        if self.during:
            self.during.pop(0)()
        if self.failure:
            raise self.failure
        if picture.startswith("bad"):
            raise NoFaceInMeme(f"No face was found in {picture}.")
        self.stack.storage.write(OUTPUTS, key, picture.encode(), "image/png")
        digests: dict[str, PictureDigests] = {"meme": picture}
        result = SwapResult(
            "", [], [], key, "image/png", 1, 1, 1, "fast", digests, {}, None, "none", {}, 1.0, False, 0, 0
        )
        return SwapOutcome(result, frozenset())

    def _kill_before(self, change: Callable[..., None]) -> Callable[..., None]:
        def wrapped(bucket: str, *arguments: Any) -> None:
            if self.changes_left is not None:
                if self.changes_left == 0:
                    self.is_dead = True
                    raise Killed
                self.changes_left -= 1
            change(bucket, *arguments)

        return wrapped

    def _survive(self, release: Callable[..., None]) -> Callable[..., None]:
        """A killed sandbox gives nothing back."""

        def wrapped(claim: Any) -> None:
            if not self.is_dead:
                release(claim)

        return wrapped


@pytest.fixture
def uploader(monkeypatch: pytest.MonkeyPatch) -> Uploader:
    return Uploader(FakeSwapStack(), monkeypatch)


def test_a_picture_uploaded_while_an_older_one_is_swapped_has_the_last_word(uploader: Uploader) -> None:
    older = uploader.put("large")
    newer: list[Event] = []

    def replace() -> None:
        newer.append(uploader.put("small"))
        uploader.deliver_in_vain(newer[0], StillRunning)

    uploader.during = [replace]
    uploader.deliver(older)

    assert uploader.swapped == "small"
    before = dict(uploader.stack.storage.objects)
    uploader.deliver(newer[0])  # as Lambda tries it again
    assert uploader.stack.storage.objects == before
    assert uploader.swaps == ["large", "small"]


def test_an_event_that_was_overtaken_changes_nothing(uploader: Uploader) -> None:
    older, newer = uploader.put("first"), uploader.put("second")

    uploader.deliver(newer)
    before = dict(uploader.stack.storage.objects)
    uploader.deliver(older)

    assert uploader.swapped == "second"
    assert uploader.stack.storage.objects == before


def test_a_picture_replaced_before_its_event_came_is_never_swapped(uploader: Uploader) -> None:
    older, newer = uploader.put("bad"), uploader.put("good")

    uploader.deliver(older)

    assert uploader.swapped == "good"
    uploader.deliver(newer)
    assert uploader.swapped == "good"


def test_an_older_picture_put_back_is_swapped_again(uploader: Uploader) -> None:
    events = [uploader.put("a")]
    uploader.deliver(events[0])
    for picture in ("b", "a"):
        events.append(uploader.put(picture))
        uploader.deliver(events[-1])

    for late in events:
        uploader.deliver(late)

    assert uploader.swapped == "a"


def test_an_event_redriven_after_a_newer_upload_was_done_changes_nothing(uploader: Uploader) -> None:
    older = uploader.put("older")
    uploader.failure = UpstreamFailed("No answer.")
    for _ in range(MAX_TRIES):
        uploader.deliver_in_vain(older, UpstreamFailed)
    uploader.failure = None
    uploader.deliver(uploader.put("newer"))

    uploader.deliver(older)

    assert uploader.swapped == "newer"


def test_a_result_outlives_its_upload(uploader: Uploader) -> None:
    event = uploader.put("gone soon")
    uploader.during = [uploader.remove]

    uploader.deliver(event)
    uploader.deliver(event)

    assert uploader.swapped == "gone soon"


@pytest.mark.parametrize(
    ("first", "second", "swaps"),
    [
        (Head(1, '"e"', None, {}, 7.0, "v1"), Head(1, '"e"', None, {}, 7.0, "v2"), 2),
        (Head(1, '"e"', None, {}, 7.0), Head(1, '"e"', None, {"face": "https://pictures.example/me.png"}, 7.0), 2),
        (Head(1, '"e"', None, {}, 7.0), Head(1, '"e"', None, {}, 8.0), 2),
        (Head(1, '"e"', None, {}, 7.0), Head(1, '"f"', None, {}, 7.0), 2),
        (Head(1, '"e"', None, {}, 7.0), Head(1, '"e"', None, {}, 7.0), 1),
    ],
    ids=["version", "face", "moment", "bytes", "nothing new"],
)
def test_an_object_is_swapped_again_if_anything_of_it_is_new(
    uploader: Uploader, monkeypatch: pytest.MonkeyPatch, first: Head, second: Head, swaps: int
) -> None:
    for head in (first, second):
        monkeypatch.setattr(uploader.stack.storage, "head", lambda *_, head=head: head)
        uploader.deliver(uploader.put("a"))

    assert len(uploader.swaps) == swaps
    assert uploader.stack.storage.json(RESULT).get("upload_version") == second.version


def test_an_upload_that_never_rests_is_left_to_a_later_try(uploader: Uploader) -> None:
    event = uploader.put("first")

    def replace() -> None:
        uploader.put("again")

    uploader.during = [replace] * MAX_ROUNDS

    uploader.deliver_in_vain(event, StillRunning)
    uploader.deliver(event)

    assert uploader.swapped == "again"


@pytest.mark.parametrize(
    ("first", "second", "outcome"), [("bad", "good", SUCCESS), ("good", "bad", FAILURE), ("bad", "bad 2", FAILURE)]
)
def test_one_name_has_one_outcome(uploader: Uploader, first: str, second: str, outcome: set[str]) -> None:
    uploader.deliver(uploader.put(first))
    uploader.deliver(uploader.put(second))

    assert uploader.outputs == outcome
    (document,) = outcome - {PICTURE}
    etag = uploader.stack.storage.objects[UPLOADS, KEY].etag
    assert uploader.stack.storage.json(document)["upload_etag"] == etag.strip('"'), "which object it is of"


@pytest.mark.parametrize(("first", "second"), [("bad", "good"), ("good", "bad")])
def test_a_kill_between_two_outcomes_never_leaves_none_and_the_next_delivery_mends_it(
    uploader: Uploader, first: str, second: str
) -> None:
    changes = 0
    while True:
        uploader.deliver(uploader.put(first))
        event = uploader.put(second)
        was_killed = uploader.deliver_and_kill(event, changes)
        assert uploader.outputs & {RESULT, PROBLEM}, changes

        uploader.deliver(event)

        assert uploader.outputs == (SUCCESS if second == "good" else FAILURE), changes
        if not was_killed:
            break
        changes += 1
    assert changes == 3


def test_a_failure_that_is_tried_again_is_told_at_once_and_withdrawn_on_success(uploader: Uploader) -> None:
    event = uploader.put("a")
    uploader.failure = UpstreamFailed("faces.example does not exist.")

    uploader.deliver_in_vain(event, UpstreamFailed)

    assert (uploader.problem["code"], uploader.problem["will_be_retried"]) == ("upstream_failed", True)
    assert "faces.example" in uploader.problem["detail"]
    until = datetime.fromisoformat(uploader.problem["retried_until"]).timestamp() - datetime.now(UTC).timestamp()
    assert LAST_TRY_SECONDS - 60 < until <= LAST_TRY_SECONDS
    uploader.failure = None
    uploader.deliver(event)
    assert uploader.swapped == "a"


@pytest.mark.parametrize("error", [UpstreamFailed(), ModelsMissing(), ZeroDivisionError("unforeseen")])
def test_the_last_try_makes_a_failure_final_and_a_redrive_begins_anew(uploader: Uploader, error: Exception) -> None:
    event = uploader.put("a")
    uploader.failure = error

    for _ in range(2):
        for will_be_retried in (True, True, False):
            uploader.deliver_in_vain(event, type(error))
            assert uploader.problem["will_be_retried"] is will_be_retried
            assert ("retried_until" in uploader.problem) is will_be_retried
            assert uploader.problem["code"] == (error.code if isinstance(error, ColdswapError) else "internal_error")
            assert "unforeseen" not in json.dumps(uploader.problem)

    uploader.failure = None
    uploader.deliver(event)
    assert uploader.swapped == "a"


def test_tries_that_found_another_event_at_work_count_too(uploader: Uploader) -> None:
    older = uploader.put("older")
    newer: list[Event] = []

    def try_twice() -> None:
        newer.append(uploader.put("newer"))
        for _ in range(2):
            uploader.deliver_in_vain(newer[0], StillRunning)
        uploader.failure = UpstreamFailed()

    uploader.during = [try_twice]
    uploader.deliver_in_vain(older, UpstreamFailed)

    uploader.deliver_in_vain(newer[0], UpstreamFailed)

    assert uploader.problem["will_be_retried"] is False


def test_a_redrive_of_an_event_that_always_found_another_at_work_has_as_many_tries(uploader: Uploader) -> None:
    older = uploader.put("older")
    newer: list[Event] = []

    def try_in_vain() -> None:
        newer.append(uploader.put("newer"))
        for _ in range(MAX_TRIES):
            uploader.deliver_in_vain(newer[0], StillRunning)
        uploader.failure = UpstreamFailed()

    uploader.during = [try_in_vain]
    uploader.deliver_in_vain(older, UpstreamFailed)

    for will_be_retried in (True, True, False):
        uploader.deliver_in_vain(newer[0], UpstreamFailed)
        assert uploader.problem["will_be_retried"] is will_be_retried


def test_whoever_waits_for_an_upload_that_kills_its_sandbox_is_told(uploader: Uploader) -> None:
    event = uploader.put("heavy")
    assert uploader.deliver_and_kill(event, 0)
    assert uploader.outputs == set()
    assert uploader.deliver_and_kill(event, 1), "it tells of the kill before, and is killed itself"

    assert (uploader.problem["code"], uploader.problem["will_be_retried"]) == ("internal_error", True)
    assert "cut off" in uploader.problem["detail"]
    uploader.deliver(event)
    assert uploader.swapped == "heavy"


def test_a_failed_look_at_the_upload_is_told_too(uploader: Uploader) -> None:
    event = uploader.put("a")
    uploader.stack.storage.failures["head", KEY] = StorageFailed("S3 answered 403.")

    uploader.deliver_in_vain(event, StorageFailed)

    assert (uploader.problem["code"], uploader.problem["will_be_retried"]) == ("storage_failed", True)


def test_an_outcome_that_cannot_be_written_is_tried_again_with_its_own_error(uploader: Uploader) -> None:
    event = uploader.put("a")
    uploader.failure = UpstreamFailed()
    uploader.stack.storage.failures["write", "failed/"] = StorageFailed()

    uploader.deliver_in_vain(event, UpstreamFailed)

    assert uploader.outputs == set()


@pytest.mark.parametrize("seed", range(150))
def test_whatever_the_order_the_last_upload_has_its_outcome_and_no_other(uploader: Uploader, seed: int) -> None:
    """Uploads, events in any order, twice, overlapping, failing and killed; then Lambda tries what is left."""
    dice = random.Random(seed)
    pictures = [f"{dice.choice(['good', 'bad'])} {number}" for number in range(dice.randint(2, 4))]
    waiting: list[Event] = []

    def try_one() -> None:
        event = waiting.pop(dice.randrange(len(waiting)))
        uploader.failure = UpstreamFailed() if dice.random() < 0.2 else None
        uploader.changes_left = dice.randint(0, 4) if dice.random() < 0.2 and not uploader.stack.claims.held else None
        try:
            uploader.deliver(event)
        except (ColdswapError, Killed) as error:
            waiting.append(event)
            if isinstance(error, Killed):
                uploader.stack.claims.lapse()
        uploader.failure = uploader.changes_left = None

    def put_next() -> None:
        if pictures:
            waiting.extend([uploader.put(pictures.pop(0))] * dice.choice([1, 1, 2]))

    def interfere() -> None:
        put_next()
        if waiting and uploader.changes_left is None:
            with pytest.MonkeyPatch.context() as calm:
                calm.setattr(uploader, "during", [])
                try_one()

    put_next()
    last = pictures[-1]
    while pictures or waiting:
        uploader.during = [interfere] if dice.random() < 0.5 else []
        if pictures and (not waiting or dice.random() < 0.4):
            put_next()
        else:
            try_one()

    if last.startswith("good"):
        assert uploader.swapped == last
    else:
        assert last in uploader.problem["detail"]
        assert uploader.problem["will_be_retried"] is False
