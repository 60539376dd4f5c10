"""One request to a voice or footage service, within a time and a size; and when it is worth another."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ProviderFailed, RateLimited, UnreadableMedia
from layers.core.fetch import USER_AGENT

T = TypeVar("T")

CONNECT_SECONDS = 5.0
PIECE = 1 << 16  # bytes
TRIES = 3
LONGEST_WAIT = 20.0  # seconds that a step waits by itself; for more patience there is the workflow


@dataclass(frozen=True)
class Said:
    """An answer with its whole body; header names are in lower case."""

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
    costs: bool = False,
) -> Said:
    """The service's answer, whatever its status; redirects are not followed, since the key would go with them.

    `body` is sent as JSON. Raises ProviderFailed where no answer comes, OutOfTime. What breaks off after a success
    began is UnreadableMedia where it `costs`: nobody asks for it again and pays twice.
    """
    import requests

    # requests' own time limit starts anew with every byte.
    left = deadline.check(f"asking {service}")
    began = False
    try:
        with requests.Session() as session:
            session.trust_env = False  # neither a proxy nor a .netrc may see the key
            with session.request(
                method,
                url,
                headers={"User-Agent": USER_AGENT, "Accept": "application/json", **headers},
                params=params,
                json=body,
                stream=True,
                allow_redirects=False,
                timeout=(min(CONNECT_SECONDS, left), left),
            ) as answer:
                began = 200 <= answer.status_code < 300
                data = bytearray()
                for piece in answer.iter_content(PIECE):
                    data += piece
                    if len(data) > limit:
                        raise _final(began and costs)(f"{service} answered with more than {limit} bytes.")
                    if deadline.left() <= 0:
                        raise requests.exceptions.ReadTimeout
                answered = {name.lower(): value for name, value in answer.headers.items()}
                return Said(answer.status_code, answered, bytes(data))
    except (requests.RequestException, OSError) as error:
        # The error's own text would hold the URL.
        raise _final(began and costs)(f"The connection to {service} failed ({type(error).__name__}).") from None


def _final(paid: bool) -> type[ColdswapError]:
    return UnreadableMedia if paid else ProviderFailed


def patiently(
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
