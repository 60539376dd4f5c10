"""Callbacks: signed, retried where a retry can help, stopped by receivers that do not want them, and harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from functions.video import callback, webhook_signature
from functions.video.tasks.store import Task
from layers.core.deadline import Deadline
from local.standins.servers import CALLBACK_SECRET, StandIns
from tests.unit.video.fake_stack import REQUEST, FakeVideoStack


@pytest.fixture
def standins() -> Iterator[StandIns]:
    with StandIns() as running:
        yield running


@pytest.fixture
def callback_stack(stack: FakeVideoStack, standins: StandIns) -> FakeVideoStack:
    """A stack that may call the receiver of the stand-ins."""
    origins = frozenset(standins.environment["TRUSTED_ORIGINS"].split(","))
    settings = replace(stack.services.settings, trusted_origins=origins)
    return replace(stack, services=replace(stack.services, settings=settings))


@pytest.fixture
def task(callback_stack: FakeVideoStack, standins: StandIns) -> Task:
    """A finished task whose caller waits for a callback."""
    tasks = callback_stack.services.tasks
    tasks.add(tasks.new("t", replace(REQUEST, callback_url=standins.callback_url), "me", 1000))
    callback_stack.finish("t")
    finished = tasks.find("t")
    assert finished
    return finished


def attempt(stack: FakeVideoStack, task: Task, number: int) -> dict[str, Any]:
    return callback.attempt(task, number, stack.services, Deadline.after(60), stack.clock)


def test_a_message_is_signed_and_holds_the_task_as_it_is_seen(
    callback_stack: FakeVideoStack, standins: StandIns, task: Task
) -> None:
    assert not attempt(callback_stack, task, 1)["notify"]

    ((headers, body),) = standins.callbacks
    stamp = int(headers["webhook-timestamp"])
    assert stamp == int(callback_stack.clock.at)
    secret = webhook_signature.derive_secret(CALLBACK_SECRET, "me")
    assert headers["webhook-signature"] == webhook_signature.sign(secret, "msg_t", stamp, body)["webhook-signature"]
    message = json.loads(body)
    assert message["type"] == "video.succeeded"
    assert message["timestamp"].endswith("Z")
    assert message["data"]["task_id"] == "t"
    assert message["data"]["links"]["download"] == "/download/t"
    first = message["data"]["searches"][0]
    assert (first["query"], first["results"], first["usable"], first["general"]) == ("xylophone zeppelin", 0, 0, False)
    assert [(each["query"], each["general"]) for each in message["data"]["shots"]] == [("nature", True)]
    assert _outcome(callback_stack) == "delivered"


def test_who_asked_before_the_update_can_check_the_signature(
    callback_stack: FakeVideoStack, standins: StandIns, task: Task, dynamodb: Any, table: str
) -> None:
    """The version before signed with the operator's secret, and its items had no kind."""
    dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": "task#t"}},
        UpdateExpression="REMOVE #kind, listed",
        ExpressionAttributeNames={"#kind": "kind"},
    )
    earlier = callback_stack.services.tasks.find("t")
    assert earlier

    attempt(callback_stack, earlier, 1)

    ((headers, body),) = standins.callbacks
    expected = webhook_signature.sign(CALLBACK_SECRET, "msg_t", int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected["webhook-signature"]


def test_a_failure_is_told_with_its_problem(callback_stack: FakeVideoStack, standins: StandIns) -> None:
    tasks = callback_stack.services.tasks
    tasks.add(tasks.new("f", replace(REQUEST, callback_url=standins.callback_url), "me", 1000))
    failed = tasks.end("f", "failed", {"code": "no_footage", "detail": "None."})

    attempt(callback_stack, failed, 1)

    message = json.loads(standins.callbacks[0][1])
    assert (message["type"], message["data"]["problem"]["code"]) == ("video.failed", "no_footage")


@pytest.mark.parametrize("fault", ["status", "drop", "redirect"])
def test_what_does_not_arrive_is_sent_again_later_and_later_under_the_same_id(
    callback_stack: FakeVideoStack, standins: StandIns, task: Task, fault: str
) -> None:
    options: dict[str, dict[str, Any]] = {
        "status": {"status": 500},
        "drop": {},
        "redirect": {"to": standins.callback_url},
    }
    standins.fault(f"callbacks.{fault}", times=4, **options[fault])

    waits = [attempt(callback_stack, task, number) for number in (1, 2, 3, 4)]

    assert [each["seconds"] for each in waits] == [5, 30, 120, 600]
    assert all(each["notify"] for each in waits)
    assert not standins.callbacks, "a redirect is not followed"
    callback_stack.clock.at += 700
    assert attempt(callback_stack, task, 5)["notify"] is False
    assert [headers["webhook-id"] for headers, _ in standins.callbacks] == ["msg_t"]
    assert _outcome(callback_stack) == "delivered"


def test_the_fifth_failure_is_the_last(callback_stack: FakeVideoStack, standins: StandIns, task: Task) -> None:
    standins.fault("callbacks.status", times=None, status=503)

    assert attempt(callback_stack, task, 5)["notify"] is False

    assert _outcome(callback_stack) == "failed"


def test_who_is_gone_is_not_asked_again(callback_stack: FakeVideoStack, standins: StandIns, task: Task) -> None:
    standins.fault("callbacks.status", times=None, status=410)

    assert attempt(callback_stack, task, 1)["notify"] is False

    assert _outcome(callback_stack) == "failed"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("17", 17), ("0", 1), ("999999", 3600), ("soon", 5), ("Fri, 15 Jan 2027 08:01:40 GMT", 100)],
)
def test_who_asks_for_patience_gets_it_within_bounds(
    callback_stack: FakeVideoStack, standins: StandIns, task: Task, header: str, seconds: int
) -> None:
    standins.fault("callbacks.status", status=429, retry_after=header)

    assert attempt(callback_stack, task, 1)["seconds"] == seconds


def test_an_address_that_is_not_public_is_not_called_however_it_is_named(stack: FakeVideoStack) -> None:
    tasks = stack.services.tasks
    tasks.add(tasks.new("p", replace(REQUEST, callback_url="https://localhost/x"), "me", 1000))
    failed = tasks.end("p", "failed", {"code": "no_footage"})

    assert attempt(stack, failed, 1)["notify"] is False

    after = tasks.find("p")
    assert after
    assert after.callback == "failed"


def test_nobody_is_called_who_does_not_wait(task: Task) -> None:
    assert callback.awaits_callback(task)
    assert not callback.awaits_callback(replace(task, status="cancelled"))
    assert not callback.awaits_callback(replace(task, status="running"))
    assert not callback.awaits_callback(replace(task, request=REQUEST))


def _outcome(stack: FakeVideoStack) -> str | None:
    task = stack.services.tasks.find("t")
    assert task
    return task.callback
