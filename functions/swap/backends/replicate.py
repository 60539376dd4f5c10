"""Replicate, which takes a whole still and a face, and gives a whole still (replicate.com/docs/reference/http).

Its POST is not idempotent: each may cost. So the id of a prediction is kept before it is waited for, and a POST whose
answer was lost is not sent again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from functions.swap.backends.exchange import Answer, ask, read_number, read_refusal
from functions.swap.backends.interfaces import Failed, Running, Ticket
from layers.core.deadline import Deadline

API = "https://api.replicate.com"
DELIVERY_HOSTS = ("replicate.delivery", ".replicate.delivery")
LONGEST_WAIT = 20  # seconds that a POST is kept waiting, of the 60 that are allowed
CANCEL_AFTER = "2m"  # what nobody asks for any more ends by itself
MOST_INPUT_BYTES = 8 << 20  # of both pictures, as data: URIs
_RESETS = re.compile(r"resets? in ~?(\d{1,4})\s*s")
_ID = re.compile(r"[a-z0-9]{8,64}")


@dataclass(frozen=True)
class Delivered:
    """Where the swapped picture can be fetched, for an hour, and the seconds that it took."""

    url: str
    seconds: float


PictureState = Running | Delivered | Failed


@dataclass(frozen=True)
class Replicate:
    """A model there: `version` is OWNER/NAME:HEX or HEX; its inputs are called by these fields."""

    version: str
    token: str = field(repr=False)
    dollars_per_second: float = 0.0
    meme_field: str = "input_image"
    face_field: str = "swap_image"
    api: str = API
    delivery_hosts: tuple[str, ...] = DELIVERY_HOSTS
    name: str = "replicate"

    def submit(self, meme: str, face: str, deadline: Deadline) -> tuple[Ticket | None, PictureState]:
        """Send two pictures, as data: URIs. Without a ticket nothing came of it, or nobody knows what did."""
        wait = max(1, min(int(deadline.left() - 1), LONGEST_WAIT))
        inputs = {self.meme_field: meme, self.face_field: face}
        body = json.dumps({"version": self.version, "input": inputs}).encode()
        headers = {"Prefer": f"wait={wait}", "Cancel-After": CANCEL_AFTER}
        answer = ask("POST", f"{self.api}/v1/predictions", self.token, deadline, body, headers)
        if isinstance(answer, Failed) and not answer.sent:
            answer = ask("POST", f"{self.api}/v1/predictions", self.token, deadline, body, headers)
        if isinstance(answer, Failed):
            return None, answer
        name = answer.document.get("id") if isinstance(answer.document, dict) else None
        ticket = Ticket(name) if isinstance(name, str) and _ID.fullmatch(name) else None
        return ticket, self._read(answer)

    def poll(self, ticket: Ticket, deadline: Deadline) -> PictureState:
        """How far it is."""
        answer = ask("GET", f"{self.api}/v1/predictions/{ticket.id}", self.token, deadline)
        if isinstance(answer, Answer) and answer.status == 404:
            return Failed("out_of_time", "It is forgotten there.")
        return answer if isinstance(answer, Failed) else self._read(answer)

    def cancel(self, ticket: Ticket, deadline: Deadline) -> None:
        """Say that nobody wants it any more; it may be too late."""
        ask("POST", f"{self.api}/v1/predictions/{ticket.id}/cancel", self.token, deadline, b"{}")

    def may_deliver(self, url: str) -> bool:
        """Whether a picture may be fetched from there."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        return parts.scheme in ("https", urlsplit(self.api).scheme) and any(
            host == each or (each.startswith(".") and host.endswith(each)) for each in self.delivery_hosts
        )

    def _read(self, answer: Answer) -> PictureState:
        document = answer.document if isinstance(answer.document, dict) else {}
        if answer.status not in (200, 201, 202):
            return _read_hint(read_refusal(answer))
        match document.get("status"):
            case "starting" | "processing":
                return Running()
            case "succeeded":
                return self._read_output(document)
            case "failed":
                nsfw = "nsfw" in str(document.get("error", "")).lower()
                return Failed("content_refused" if nsfw else "provider_failed", "It failed there.")
            case "canceled" | "aborted":
                return Failed("out_of_time", "It was cancelled there.")
        return Failed("provider_failed", "It answered with something other than a prediction.")

    def _read_output(self, document: dict[str, Any]) -> PictureState:
        output = document.get("output")
        url = output[0] if isinstance(output, list) and len(output) == 1 else output
        if not isinstance(url, str) or not self.may_deliver(url):
            return Failed("provider_failed", "It delivers no picture, or from somewhere else.")
        metrics = document.get("metrics")
        return Delivered(url, read_number(metrics.get("predict_time") if isinstance(metrics, dict) else 0))


def _read_hint(failed: Failed) -> Failed:
    """The refusal, with the seconds that its sentence names where no header does."""
    hint = _RESETS.search(failed.detail)
    if failed.code != "rate_limited" or failed.retry_after is not None or not hint:
        return failed
    return Failed(failed.code, failed.detail, failed.retryable, float(hint[1]))
