"""One request to a voice or footage service, within a time and a size; and when it is worth another."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from functions.video.providers.interfaces import Payment
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ProviderFailed, RateLimited, RefusedUrl, UnreadableMedia, UpstreamFailed
from layers.core.http_fetch import open_url

T = TypeVar("T")

CHUNK = 1 << 16  # bytes read at a time
TRIES = 3
LONGEST_WAIT = 20.0  # seconds that a step waits by itself; for longer waits the workflow tries again
_HEADERS = ("retry-after", "x-ratelimit-remaining", "x-ratelimit-reset")


@dataclass(frozen=True)
class ProviderResponse:
    """A response with its whole body, and those of its headers that are of use, by their names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body's value; None where it is not JSON, whatever its type claims."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def retry_after(self) -> dict[str, float]:
        """`retry_after` in seconds, as an extra of an error; empty where the service gives none, or gives a date."""
        header = self.headers.get("retry-after", "")
        return {"retry_after": float(header)} if header.isdigit() else {}


def send(
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
    """The service's response, whatever its status; redirects are not followed, since the key would go with them.

    `body` is sent as JSON; `limit` is in bytes. Raises OutOfTime, or ProviderFailed where no complete response comes in
    time. With a `payment` the request is counted before it is sent, and taken back if it was never sent or did not
    succeed. A success that breaks off is then UnreadableMedia: nobody repeats the request and pays twice. Raises what
    the payment raises, too.
    """
    deadline.check(f"asking {service}")
    data = None if body is None else json.dumps(body).encode()
    content_type = {} if body is None else {"Content-Type": "application/json"}
    error_type: type[ColdswapError] = ProviderFailed
    if payment:
        payment.spend()
    try:
        with open_url(
            f"{url}?{urlencode(params)}",
            deadline=deadline,
            trusted_origins=frozenset({_origin(url)}),  # the operator's choice, not a stranger's
            method=method,
            headers={"Accept": "application/json", **content_type, **headers},
            body=data,
        ) as response:
            if payment and 200 <= response.status < 300:
                error_type = UnreadableMedia
            elif payment:
                payment.refund()
            content = bytearray()
            while chunk := response.read(CHUNK):
                content += chunk
                if len(content) > limit:
                    raise error_type(f"{service} answered with more than {limit} bytes.")
            useful = {name: value for name in _HEADERS if (value := response.header(name)) is not None}
            return ProviderResponse(response.status, useful, bytes(content))
    except (RefusedUrl, UpstreamFailed) as error:
        if payment and (isinstance(error, RefusedUrl) or not error.sent):
            payment.refund()
        raise error_type(f"{service} did not answer: {error.detail}") from None


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


def with_retries(
    attempt: Callable[[], T],
    deadline: Deadline,
    sleep: Callable[[float], None] = time.sleep,
    chance: Callable[[], float] = random.random,
) -> T:
    """The result of `attempt`, tried again a little later where that can help and there is time."""
    for number in range(1, TRIES + 1):
        try:
            return attempt()
        except (ProviderFailed, RateLimited) as error:
            retry_after = error.extra.get("retry_after")
            wait = retry_after if retry_after is not None else 2.0 ** (number - 1) * (0.5 + 0.5 * chance())
            if number == TRIES or wait > min(LONGEST_WAIT, deadline.left()):
                raise
            sleep(wait)
    raise AssertionError("the last try returns or raises")
