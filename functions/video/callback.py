"""Telling who asked that a video is finished, or will never be: a signed POST to the callback URL."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from functions.video import webhook_signature
from functions.video.entry.task_view import moment, render_task
from functions.video.providers.keys import read_keys
from functions.video.services import Services
from functions.video.tasks.store import Task
from layers.core.deadline import Deadline
from layers.core.errors import CallbackFailed, KeysMissing, RefusedUrl, UpstreamFailed
from layers.core.http_fetch import open_url
from layers.core.telemetry import logger

ANSWER_SECONDS = 15.0
WAITS = (5, 30, 120, 600)  # seconds before the second try, and so on; there is none after the last
LONGEST_WAIT = 3600  # of what a receiver may ask for


def wanted(task: Task) -> bool:
    """Whether somebody is waiting for word; one who cancelled knows."""
    return task.request.callback_url is not None and task.status in ("succeeded", "failed")


def attempt(
    task: Task, number: int, services: Services, deadline: Deadline, now: Callable[[], float] = time.time
) -> dict[str, Any]:
    """The `number`-th try (from 1): whether to `notify` again, after how many `seconds`, and as which `attempt`."""
    seconds: int | None = None
    outcome = "failed"
    try:
        deliver(task, services, deadline, now)
        outcome = "delivered"
    except CallbackFailed as error:
        logger().warning("callback failed", extra={"task_id": task.id, "attempt": number, "detail": error.detail})
        if not error.extra.get("final") and number <= len(WAITS):
            seconds = int(error.extra.get("retry_after") or WAITS[number - 1])
    if seconds is None:
        services.tasks.called_back(task.id, outcome)
    return {"notify": seconds is not None, "seconds": seconds or 0, "attempt": number + 1}


def deliver(task: Task, services: Services, deadline: Deadline, now: Callable[[], float] = time.time) -> None:
    """One POST. Raises CallbackFailed; `final` where another try is of no use, `retry_after` where it should wait."""
    settings = services.settings
    message = {
        "type": "video.succeeded" if task.status == "succeeded" else "video.failed",
        "timestamp": moment(task.finished_at or task.updated_at),
        "data": render_task(task, now(), settings.result_seconds),
    }
    body = json.dumps(message).encode()
    try:
        secret = read_keys(settings.provider_keys).need("CALLBACK_SECRET")
        if not task.earlier:  # whoever asked before there were secrets of one's own holds the operator's
            secret = webhook_signature.derive_secret(secret, task.caller)
        signed = webhook_signature.sign(secret, f"msg_{task.id}", int(now()), body)
        with open_url(
            task.request.callback_url or "",
            deadline=deadline.sooner(ANSWER_SECONDS),
            trusted_origins=settings.trusted_origins,
            method="POST",
            headers={"Content-Type": "application/json", **signed},
            body=body,
        ) as answer:
            status, host, patience = answer.status, answer.host, answer.header("Retry-After")
    except (RefusedUrl, KeysMissing) as error:
        raise CallbackFailed(error.detail, final=True) from None
    except UpstreamFailed as error:
        raise CallbackFailed(error.detail) from None
    if not 200 <= status < 300:
        raise CallbackFailed(
            f"{host} answered with status {status}.",
            final=status == 410,  # the receiver is gone for good (Standard Webhooks)
            retry_after=_seconds(patience, now()),
        )


def _seconds(said: str | None, now: float) -> int | None:
    """A Retry-After header, in seconds or as a date (RFC 9110), within bounds; None where it says nothing."""
    if not said:
        return None
    if said.isascii() and said.isdigit():
        return min(max(int(said), 1), LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(said)
    except ValueError:
        return None
    left = date.replace(tzinfo=date.tzinfo or UTC) - datetime.fromtimestamp(now, UTC)
    return min(max(int(left.total_seconds()), 1), LONGEST_WAIT)
