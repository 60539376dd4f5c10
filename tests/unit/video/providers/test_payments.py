"""What a broken voice service is paid for: once, twice where no answer came, and never a third time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from functions.video.artifacts import ArtifactStore
from functions.video.providers import client as asking
from functions.video.providers import elevenlabs
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.payments import LEASE_SECONDS, MEMORY_SECONDS, Payments
from functions.video.render.voice_over import voice_over
from functions.video.values import VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import (
    ColdswapError,
    OutOfTime,
    ProviderFailed,
    RateLimited,
    SpeechNotDelivered,
    StorageFailed,
    UnreadableMedia,
)
from local.cloud import ROOT
from local.standins.http_server import Fault
from local.standins.servers import StandIns
from local.swap_clients import wait_for
from tests.support.clock import Clock
from tests.unit.video.fixtures import SETTINGS, running, soon, standins, storage, work
from tools.template import load_template

__all__ = ["running", "standins", "storage", "work"]

TEXT = "The sea is calm tonight."
VOICE = "JBFqnCBsd6RMkjVDRZzb"
SPEAK = load_template(ROOT / "functions/video/short_video.asl.yaml")["States"]["Make"]["Branches"][0]["States"][
    "Prepare"
]["Branches"][0]["States"]["Speak"]


@pytest.fixture(autouse=True)
def never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking.with_retries, "__defaults__", (lambda seconds: None, lambda: 0.5))


@pytest.fixture
def payments(dynamodb: Any, table: str, clock: Clock) -> Payments:
    return Payments(table, lambda: dynamodb, clock)


@dataclass
class Speaking:
    """The step, in folders of its own."""

    service: ElevenLabs
    work: ArtifactStore
    payments: Payments
    root: Path
    sleep: Callable[[float], None] = lambda seconds: None
    deadline: Callable[[], Deadline] = soon
    folders: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def once(self) -> str:
        """One invocation."""
        folder = self.root / f"step-{next(self.folders)}"
        folder.mkdir()
        return voice_over(
            TEXT,
            VOICE,
            service=self.service,
            work=self.work,
            payments=self.payments,
            folder=folder,
            deadline=self.deadline(),
            settings=SETTINGS,
            sleep=self.sleep,
        )

    def task(self) -> type[ColdswapError] | None:
        """The workflow's step with all its tries, as short_video.asl.yaml has them; how it failed, if it did."""
        left = {name: retry for retry in SPEAK["Retry"] for name in retry["ErrorEquals"]}
        tries = {id(retry): retry["MaxAttempts"] for retry in SPEAK["Retry"]}
        while True:
            try:
                self.once()
                return None
            except ColdswapError as error:
                retry = left.get(type(error).__name__)
                if retry is None or not tries[id(retry)]:
                    return type(error)
                tries[id(retry)] -= 1


@pytest.fixture
def speaking(standins: StandIns, work: ArtifactStore, payments: Payments, tmp_path: Path) -> Speaking:
    service = ElevenLabs(standins.elevenlabs_url, standins.environment["ELEVENLABS_API_KEY"])
    return Speaking(service, work, payments, tmp_path)


def taken(fault: Fault) -> int:
    """How many requests met a fault that was put on for 1,000."""
    assert fault.left is not None
    return 1000 - fault.left


@pytest.mark.parametrize(
    ("kind", "how", "tasks", "requests"),
    [
        ("drop", {}, [SpeechNotDelivered, SpeechNotDelivered], 2),
        ("slow", {"seconds": 2.0}, [SpeechNotDelivered, SpeechNotDelivered], 2),
        ("broken", {"after": 100}, [UnreadableMedia, UnreadableMedia, SpeechNotDelivered], 2),
        ("unparsable", {}, [UnreadableMedia, UnreadableMedia, SpeechNotDelivered], 2),
    ],
)
def test_what_may_have_been_paid_is_asked_for_once_more_at_most(
    speaking: Speaking,
    standins: StandIns,
    clock: Clock,
    kind: str,
    how: dict[str, Any],
    tasks: list[type[ColdswapError]],
    requests: int,
) -> None:
    fault = standins.fault(f"elevenlabs.{kind}", times=1000, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elevenlabs, "SECONDS", 0.3 if kind == "slow" else elevenlabs.SECONDS)
        assert [speaking.task() for _ in tasks] == tasks

    assert taken(fault) == requests
    standins.clear()
    clock.at += MEMORY_SECONDS - 1
    assert speaking.task() is SpeechNotDelivered
    clock.at += 1
    assert speaking.task() is None, "a day later"
    # A slow answer is over, and counted, only when nobody waits for it any more; the next test counts its own.
    wait_for(lambda: len(standins.asked("elevenlabs")) == requests + 1 or None)


@pytest.mark.parametrize(
    ("kind", "how", "error"),
    [
        ("error", {}, ProviderFailed),
        ("html", {"status": 503}, ProviderFailed),
        ("rate_limit", {}, RateLimited),
    ],
)
def test_what_was_refused_cost_nothing_and_is_asked_for_as_often_as_helps(
    speaking: Speaking, standins: StandIns, kind: str, how: dict[str, Any], error: type[ColdswapError]
) -> None:
    fault = standins.fault(f"elevenlabs.{kind}", times=1000, **how)

    assert speaking.task() is error

    assert taken(fault) > 10
    standins.clear()
    assert speaking.task() is None


def test_who_takes_no_connection_was_paid_nothing(speaking: Speaking, standins: StandIns) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    good, speaking.service = speaking.service, ElevenLabs(f"http://127.0.0.1:{port}", "key")

    assert speaking.task() is ProviderFailed

    speaking.service = good
    assert speaking.task() is None
    assert len(standins.asked("elevenlabs")) == 1


def test_a_lost_answer_is_paid_twice_and_then_there_is_speech(speaking: Speaking, standins: StandIns) -> None:
    fault = standins.fault("elevenlabs.drop", times=1)

    assert speaking.task() is None
    assert speaking.task() is None

    assert fault.left == 0
    assert [asked.status for asked in standins.asked("elevenlabs")] == [0, 200]


def test_two_tasks_at_once_pay_once(speaking: Speaking, standins: StandIns) -> None:
    hold, waiting = standins.fault("elevenlabs.hold"), threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        hold.released.wait(10)

    speaking.sleep = sleep
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(speaking.once)
        assert hold.reached.wait(10)
        second = pool.submit(speaking.once)
        assert waiting.wait(10)
        hold.release()
        keys = {first.result(20), second.result(20)}

    assert len(keys) == 1
    assert speaking.work.get(keys.pop(), VoiceOver, soon()).aligned
    assert len(standins.asked("elevenlabs")) == 1


@pytest.mark.parametrize(("kind", "how"), [("drop", {}), ("broken", {"after": 100})])
def test_two_tasks_at_once_pay_a_broken_service_twice_at_most(
    speaking: Speaking, standins: StandIns, kind: str, how: dict[str, Any]
) -> None:
    fault = standins.fault(f"elevenlabs.{kind}", times=1000, **how)

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda _: speaking.task(), range(2)))

    assert set(ends) <= {SpeechNotDelivered, UnreadableMedia}
    assert taken(fault) == 2


def test_a_step_that_dies_while_it_asks_counts_and_is_succeeded_when_its_lease_runs_out(
    speaking: Speaking, standins: StandIns, clock: Clock
) -> None:
    class Killed(BaseException):
        """Of a sandbox: nothing of ours runs after it."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speaking.payments, "change", _until_spent(speaking.payments, Killed))
        with pytest.raises(Killed):
            speaking.once()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.at += LEASE_SECONDS / 4

    speaking.sleep = sleep
    assert speaking.task() is None
    assert len(slept) == 4
    assert len(standins.asked("elevenlabs")) == 1


def _until_spent(payments: Payments, death: type[BaseException]) -> Callable[..., Any]:
    """The payments's way to change an item, for a process that dies when it has counted a request."""
    change, dead = payments.change, threading.Event()

    def dying(part: str, holder: str, update: str, *more: Any) -> Any:
        if dead.is_set():
            return None
        item = change(part, holder, update, *more)
        if "paid = :paid" in update:
            dead.set()
            raise death
        return item

    return dying


class Unheard:
    """A client of DynamoDB to which every first answer is lost, so that it sends every change twice."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.exceptions = client.exceptions

    def update_item(self, **change: Any) -> Any:
        self._client.update_item(**change)
        return self._client.update_item(**change)

    def delete_item(self, **change: Any) -> Any:
        self._client.delete_item(**change)
        return self._client.delete_item(**change)


def test_a_change_that_comes_twice_counts_once(
    speaking: Speaking, standins: StandIns, dynamodb: Any, table: str, clock: Clock
) -> None:
    speaking.payments = Payments(table, lambda: Unheard(dynamodb), clock)
    standins.fault("elevenlabs.error", times=5)
    fault = standins.fault("elevenlabs.drop", times=1000)

    assert speaking.task() is SpeechNotDelivered

    assert taken(fault) == 2


def test_who_lost_the_claim_never_asks(payments: Payments, clock: Clock) -> None:
    with payments.claim("p") as slow:
        assert slow
        with payments.claim("p") as other:
            assert other is None
        clock.at += LEASE_SECONDS
        with payments.claim("p") as quick:
            assert quick
            with pytest.raises(ProviderFailed, match="another step"):
                slow.spend()
            quick.spend()
            quick.refund()
            quick.spend()


def test_a_request_lengthens_the_lease(payments: Payments, clock: Clock) -> None:
    with payments.claim("p") as claim:
        assert claim
        clock.at += LEASE_SECONDS - 1
        claim.spend()
        clock.at += LEASE_SECONDS - 1
        with payments.claim("p") as other:
            assert other is None


def test_who_waits_in_vain_says_so_in_time(speaking: Speaking, standins: StandIns) -> None:
    key = speaking.work.key("speech", "json", dict(speaking.service.identity), VOICE, TEXT, "", "")
    speaking.deadline = lambda: Deadline.after(0.3)

    with speaking.payments.claim(Path(key).stem), pytest.raises(OutOfTime):
        speaking.once()

    assert standins.asked("elevenlabs") == []


def test_speech_that_the_store_does_not_take_at_once_is_not_asked_for_again(
    speaking: Speaking, standins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, failures = speaking.work.put_bytes, iter([StorageFailed("S3 did not answer.")])

    def fails_once(*arguments: Any) -> None:
        for failure in failures:
            raise failure
        put(*arguments)

    monkeypatch.setattr(speaking.work, "put_bytes", fails_once)
    assert speaking.task() is None
    assert len(standins.asked("elevenlabs")) == 1
