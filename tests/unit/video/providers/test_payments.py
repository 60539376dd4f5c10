"""How often a broken voice service is paid: once, twice where no answer came, and never a third time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.providers import client as client
from functions.video.providers import elevenlabs
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.payments import LEASE_SECONDS, MEMORY_SECONDS, Payments
from functions.video.render import voice_over
from functions.video.values import VideoRequest, VoiceOver
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
from tests.support.step_context import step_context
from tests.support.templates import load_template
from tests.unit.video.fixtures import SETTINGS, artifacts, running, soon, standins, storage

__all__ = ["artifacts", "running", "standins", "storage"]

TEXT = "The sea is calm tonight."
VOICE = "JBFqnCBsd6RMkjVDRZzb"
SPEAK = load_template(ROOT / "functions/video/short_video.asl.yaml")["States"]["Make"]["Branches"][0]["States"]["Speak"]


@pytest.fixture(autouse=True)
def never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.with_retries, "__defaults__", (lambda seconds: None, lambda: 0.5))


@pytest.fixture
def payments(dynamodb: Any, table: str, clock: Clock) -> Payments:
    return Payments(table, lambda: dynamodb, clock)


@dataclass
class VoiceStep:
    """The step that makes the voice-over, in folders of its own."""

    service: ElevenLabs
    artifacts: ArtifactStore
    payments: Payments
    root: Path
    sleep: Callable[[float], None] = lambda seconds: None
    deadline: Callable[[], Deadline] = soon
    folders: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def once(self) -> str:
        """One invocation."""
        folder = self.root / f"step-{next(self.folders)}"
        folder.mkdir()
        context = step_context(
            FolderStorage(self.root),
            self.artifacts,
            folder,
            settings=SETTINGS,
            request=VideoRequest(TEXT, ""),
            deadline=self.deadline(),
            payments=self.payments,
        )
        return voice_over.make(VOICE, self.service, context, self.sleep)

    def task(self) -> type[ColdswapError] | None:
        """The workflow's step with the retries of short_video.asl.yaml; the type of its error, if it failed."""
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
def step(standins: StandIns, artifacts: ArtifactStore, payments: Payments, tmp_path: Path) -> VoiceStep:
    service = ElevenLabs(standins.elevenlabs_url, standins.environment["ELEVENLABS_API_KEY"])
    return VoiceStep(service, artifacts, payments, tmp_path)


def count_hits(fault: Fault) -> int:
    """The number of requests that met a fault which was set for 1,000."""
    assert fault.remaining is not None
    return 1000 - fault.remaining


@pytest.mark.parametrize(
    ("kind", "options", "tasks", "requests"),
    [
        ("drop", {}, [SpeechNotDelivered, SpeechNotDelivered], 2),
        ("slow", {"seconds": 2.0}, [SpeechNotDelivered, SpeechNotDelivered], 2),
        ("broken", {"after": 100}, [UnreadableMedia, UnreadableMedia, SpeechNotDelivered], 2),
        ("unparsable", {}, [UnreadableMedia, UnreadableMedia, SpeechNotDelivered], 2),
    ],
)
def test_what_may_have_been_paid_is_asked_for_once_more_at_most(
    step: VoiceStep,
    standins: StandIns,
    clock: Clock,
    kind: str,
    options: dict[str, Any],
    tasks: list[type[ColdswapError]],
    requests: int,
) -> None:
    fault = standins.fault(f"elevenlabs.{kind}", times=1000, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elevenlabs, "REQUEST_SECONDS", 0.3 if kind == "slow" else elevenlabs.REQUEST_SECONDS)
        assert [step.task() for _ in tasks] == tasks

    assert count_hits(fault) == requests
    standins.clear()
    clock.at += MEMORY_SECONDS - 1
    assert step.task() is SpeechNotDelivered
    clock.at += 1
    assert step.task() is None, "a day later"
    # A slow answer is over, and counted, only when nobody waits for it any more; the next test counts its own.
    wait_for(lambda: len(standins.requests_to("elevenlabs")) == requests + 1 or None)


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("error", {}, ProviderFailed),
        ("html", {"status": 503}, ProviderFailed),
        ("rate_limit", {}, RateLimited),
    ],
)
def test_what_was_refused_cost_nothing_and_is_asked_for_as_often_as_helps(
    step: VoiceStep, standins: StandIns, kind: str, options: dict[str, Any], error: type[ColdswapError]
) -> None:
    fault = standins.fault(f"elevenlabs.{kind}", times=1000, **options)

    assert step.task() is error

    assert count_hits(fault) > 10
    standins.clear()
    assert step.task() is None


def test_who_takes_no_connection_was_paid_nothing(step: VoiceStep, standins: StandIns) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    good, step.service = step.service, ElevenLabs(f"http://127.0.0.1:{port}", "key")

    assert step.task() is ProviderFailed

    step.service = good
    assert step.task() is None
    assert len(standins.requests_to("elevenlabs")) == 1


def test_a_lost_answer_is_paid_twice_and_then_there_is_speech(step: VoiceStep, standins: StandIns) -> None:
    fault = standins.fault("elevenlabs.drop", times=1)

    assert step.task() is None
    assert step.task() is None

    assert fault.remaining == 0
    assert [recorded.status for recorded in standins.requests_to("elevenlabs")] == [0, 200]


def test_two_tasks_at_once_pay_once(step: VoiceStep, standins: StandIns) -> None:
    hold, waiting = standins.fault("elevenlabs.hold"), threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        hold.released.wait(10)

    step.sleep = sleep
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(step.once)
        assert hold.reached.wait(10)
        second = pool.submit(step.once)
        assert waiting.wait(10)
        hold.release()
        keys = {first.result(20), second.result(20)}

    assert len(keys) == 1
    assert step.artifacts.get(keys.pop(), VoiceOver, soon()).aligned
    assert len(standins.requests_to("elevenlabs")) == 1


@pytest.mark.parametrize(("kind", "options"), [("drop", {}), ("broken", {"after": 100})])
def test_two_tasks_at_once_pay_a_broken_service_twice_at_most(
    step: VoiceStep, standins: StandIns, kind: str, options: dict[str, Any]
) -> None:
    fault = standins.fault(f"elevenlabs.{kind}", times=1000, **options)

    with ThreadPoolExecutor(2) as pool:
        ends = list(pool.map(lambda _: step.task(), range(2)))

    assert set(ends) <= {SpeechNotDelivered, UnreadableMedia}
    assert count_hits(fault) == 2


def test_a_step_that_dies_while_it_asks_counts_and_is_succeeded_when_its_lease_runs_out(
    step: VoiceStep, standins: StandIns, clock: Clock
) -> None:
    class Killed(BaseException):
        """The death of a sandbox: none of our code runs after it."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step.payments, "change", _until_spent(step.payments, Killed))
        with pytest.raises(Killed):
            step.once()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock.at += LEASE_SECONDS / 4

    step.sleep = sleep
    assert step.task() is None
    assert len(slept) == 4
    assert len(standins.requests_to("elevenlabs")) == 1


def _until_spent(payments: Payments, death: type[BaseException]) -> Callable[..., Any]:
    """A way to change an item for a process that dies when it has counted a request."""
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


class LossyClient:
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
    step: VoiceStep, standins: StandIns, dynamodb: Any, table: str, clock: Clock
) -> None:
    step.payments = Payments(table, lambda: LossyClient(dynamodb), clock)
    standins.fault("elevenlabs.error", times=5)
    fault = standins.fault("elevenlabs.drop", times=1000)

    assert step.task() is SpeechNotDelivered

    assert count_hits(fault) == 2


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


def test_who_waits_in_vain_says_so_in_time(step: VoiceStep, standins: StandIns) -> None:
    key = step.artifacts.key("speech", "json", step.service.identity, VOICE, TEXT, "", "")
    step.deadline = lambda: Deadline.after(0.3)

    with step.payments.claim(Path(key).stem), pytest.raises(OutOfTime):
        step.once()

    assert standins.requests_to("elevenlabs") == []


def test_speech_that_the_store_does_not_take_at_once_is_not_asked_for_again(
    step: VoiceStep, standins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, failures = step.artifacts.put_bytes, iter([StorageFailed("S3 did not answer.")])

    def fails_once(*arguments: Any) -> None:
        for failure in failures:
            raise failure
        put(*arguments)

    monkeypatch.setattr(step.artifacts, "put_bytes", fails_once)
    assert step.task() is None
    assert len(standins.requests_to("elevenlabs")) == 1
