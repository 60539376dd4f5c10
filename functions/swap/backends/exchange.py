"""One request to a swapper elsewhere, within a size and a time; redirects are not followed, lest a token go along."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from functions.swap.backends.interfaces import Failed
from layers.core.deadline import Deadline
from layers.core.errors import RefusedUrl, UpstreamFailed
from layers.core.http_fetch import open_url

MOST_ANSWER_BYTES = 20 << 20
MOST_DETAIL = 200  # characters of what the other side says
PIECE_BYTES = 1 << 18

# What a status means, and whether the same request may go well a little later.
STATUSES: dict[int, tuple[str, bool]] = {
    401: ("key_rejected", False),
    402: ("quota_exceeded", False),
    403: ("key_rejected", False),
    404: ("models_missing", False),
    409: ("at_capacity", True),
    413: ("media_too_large", False),
    422: ("invalid_request", False),
    429: ("rate_limited", True),
    503: ("at_capacity", True),  # it is being started
}


@dataclass(frozen=True)
class Answer:
    """A status, a JSON document (None where it is none), and the seconds after which to ask again, where told."""

    status: int
    document: Any
    retry_after: float | None


def ask(
    method: str,
    url: str,
    token: str,
    deadline: Deadline,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer | Failed:
    """The answer, whatever its status. Of a failure without one, `sent` says whether the request may have arrived."""
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    content_type = {} if body is None else {"Content-Type": "application/json"}
    try:
        with open_url(
            url,
            deadline=deadline,
            trusted_origins=frozenset({origin(url)}),  # the operator's choice, not a stranger's
            method=method,
            headers={"Accept": "application/json", **authorization, **content_type, **(headers or {})},
            body=body,
        ) as response:
            content = bytearray()
            while piece := response.read(PIECE_BYTES):
                content += piece
                if len(content) > MOST_ANSWER_BYTES:
                    return Failed("provider_failed", f"It answered with more than {MOST_ANSWER_BYTES} bytes.")
            return Answer(response.status, _parse(content), _read_seconds(response.header("Retry-After")))
    except RefusedUrl as error:
        return Failed("refused_url", error.detail)
    except UpstreamFailed as error:
        return Failed("provider_failed", error.detail, retryable=True, sent=error.sent)


def read_refusal(answer: Answer) -> Failed:
    """What an answer says that is no success."""
    code, retryable = STATUSES.get(answer.status, ("provider_failed", answer.status >= 500))
    detail = answer.document.get("detail") if isinstance(answer.document, dict) else None
    reason = f": {detail[:MOST_DETAIL]}" if isinstance(detail, str) else ""
    return Failed(code, f"It answered with status {answer.status}{reason}.", retryable, answer.retry_after)


def _parse(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _read_seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdigit() and len(header) < 6 else None


def read_number(value: Any) -> float:
    """A number of the other side's; 0 for what is none, or none that can be."""
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e6 else 0.0


def origin(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
