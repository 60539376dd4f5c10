"""One request to a voice or footage service, within a time and a size; and when it is worth another."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ProviderFailed, RateLimited, RefusedUrl, UnreadableMedia, UpstreamFailed
from layers.core.http_fetch import open_url

T = TypeVar("T")

PIECE = 1 << 16  # bytes
TRIES = 3
_HEADERS = ("retry-after", "x-ratelimit-remaining", "x-ratelimit-reset")
LONGEST_WAIT = 20.0  # seconds that a step waits by itself; for more patience there is the workflow


class Payment(Protocol):
    """Keeps count of requests that cost money as soon as they are answered well."""

    def spend(self) -> None:
        """Count one more, before it is sent; raises where there may be no more."""

    def refund(self) -> None:
        """Take back the last one: it is certain that nothing was paid for it."""


@dataclass(frozen=True)
class ProviderResponse:
    """An answer with its whole body, and those of its headers that are of use, by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's value; None where it is no JSON, whatever its type claims."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def patience(self) -> dict[str, float]:
        """`retry_after` in seconds, as an extra of an error; empty where the service does not say (or says a date)."""
        said = self.headers.get("retry-after", "")
        return {"retry_after": float(said)} if said.isdigit() else {}


def ask(
    service: str,
    method: str,
    url: str,
    *,
    headers: Mapping[str, str],
    params: Mapping[str, str],
    limit: int,
    deadline: Deadline,
    body: Any = None,
    payment: Payment | None = None,
) -> ProviderResponse:
    """The service's answer, whatever its status; redirects are not followed, since the key would go with them.

    `body` is sent as JSON. Raises OutOfTime, or ProviderFailed where no whole answer comes in time. With a `payment`
    the request is counted before it is sent, and taken back where it was never sent, or answered with no success. What
    breaks off after a success began is then UnreadableMedia: nobody asks for it again and pays twice. Raises what the
    payment raises, too.
    """
    deadline.check(f"asking {service}")
    sent = None if body is None else json.dumps(body).encode()
    kind = {} if body is None else {"Content-Type": "application/json"}
    failed: type[ColdswapError] = ProviderFailed
    if payment:
        payment.spend()
    try:
        with open_url(
            f"{url}?{urlencode(params)}",
            deadline=deadline,
            trusted_origins=frozenset({_origin(url)}),  # the operator's choice, not a stranger's
            method=method,
            headers={"Accept": "application/json", **kind, **headers},
            body=sent,
        ) as answer:
            if payment and 200 <= answer.status < 300:
                failed = UnreadableMedia
            elif payment:
                payment.refund()
            data = bytearray()
            while piece := answer.read(PIECE):
                data += piece
                if len(data) > limit:
                    raise failed(f"{service} answered with more than {limit} bytes.")
            told = {name: value for name in _HEADERS if (value := answer.header(name)) is not None}
            return ProviderResponse(answer.status, told, bytes(data))
    except (RefusedUrl, UpstreamFailed) as error:
        if payment and (isinstance(error, RefusedUrl) or not error.sent):
            payment.refund()
        raise failed(f"{service} did not answer: {error.detail}") from None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def with_retries(
    attempt: Callable[[], T],
    deadline: Deadline,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> T:
    """What `attempt` gives, tried again a little later where that can help and there is time."""
    for number in range(1, TRIES + 1):
        try:
            return attempt()
        except (ProviderFailed, RateLimited) as error:
            asked = error.extra.get("retry_after")
            wait = asked if asked is not None else 2.0 ** (number - 1) * (0.5 + 0.5 * chance())
            if number == TRIES or wait > min(LONGEST_WAIT, deadline.left()):
                raise
            sleep(wait)
    raise AssertionError("the last try returns or raises")
