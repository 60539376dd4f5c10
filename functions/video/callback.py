"""Callbacks: a signed POST to the callback URL once a video is finished, or has failed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from functions.video import webhook_signature
from functions.video.entry.task_view import render_task, rfc3339
from functions.video.providers.keys import read_keys
from functions.video.services import Services
from functions.video.tasks.store import Task
from layers.core.deadline import Deadline
from layers.core.errors import CallbackFailed, KeysMissing, RefusedUrl, UpstreamFailed
from layers.core.http_fetch import open_url
from layers.core.telemetry import logger

RESPONSE_SECONDS = 15.0
WAITS = (5, 30, 120, 600)  # seconds before the second attempt, and so on; the attempt after the last wait is the last
LONGEST_WAIT = 3600  # seconds, whatever a receiver asks for


def awaits_callback(task: Task) -> bool:
    """Whether a callback is due; somebody who cancelled knows already."""
    return task.request.callback_url is not None and task.status in ("succeeded", "failed")


def attempt(
    task: Task, number: int, services: Services, deadline: Deadline, now: Callable[[], float] = time.time
) -> dict[str, Any]:
    """The `number`-th attempt (from 1): whether to `notify` again, after how many `seconds`, and as which `attempt`."""
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
        services.tasks.record_callback(task.id, outcome)
    return {"notify": seconds is not None, "seconds": seconds or 0, "attempt": number + 1}


def deliver(task: Task, services: Services, deadline: Deadline, now: Callable[[], float] = time.time) -> None:
    """Send one POST. Raises CallbackFailed, `final` where another attempt is of no use, `retry_after` where it should
    wait."""
    settings = services.settings
    message = {
        "type": "video.succeeded" if task.status == "succeeded" else "video.failed",
        "timestamp": rfc3339(task.finished_at or task.updated_at),
        "data": render_task(task, now(), settings.result_seconds),
    }
    body = json.dumps(message).encode()
    try:
        secret = read_keys(settings.provider_keys).need("CALLBACK_SECRET")
        if not task.earlier:  # under 0.1.0 callers had no secrets of their own, and know the operator's
            secret = webhook_signature.derive_secret(secret, task.caller)
        signature = webhook_signature.sign(secret, f"msg_{task.id}", int(now()), body)
        with open_url(
            task.request.callback_url or "",
            deadline=deadline.sooner(RESPONSE_SECONDS),
            trusted_origins=settings.trusted_origins,
            method="POST",
            headers={"Content-Type": "application/json", **signature},
            body=body,
        ) as response:
            status, host, retry_after = response.status, response.host, response.header("Retry-After")
    except (RefusedUrl, KeysMissing) as error:
        raise CallbackFailed(error.detail, final=True) from None
    except UpstreamFailed as error:
        raise CallbackFailed(error.detail) from None
    if not 200 <= status < 300:
        raise CallbackFailed(
            f"{host} answered with status {status}.",
            final=status == 410,  # the receiver is gone for good (Standard Webhooks)
            retry_after=_parse_retry_after(retry_after, now()),
        )


def _parse_retry_after(value: str | None, now: float) -> int | None:
    """The seconds of a Retry-After header, which may be a date (RFC 9110), within bounds; None where it has none."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return min(max(int(value), 1), LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    left = date.replace(tzinfo=date.tzinfo or UTC) - datetime.fromtimestamp(now, UTC)
    return min(max(int(left.total_seconds()), 1), LONGEST_WAIT)
