"""Swaps on a deployed function, one after another: what each took and cost, cold and warm."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from tools.function_copy import FunctionCopy
from tools.lambda_report import InvocationReport, read_report

Kind = Literal["cold", "warm"]
Face = Literal["new", "default"]

KEY = "swaps/measured"  # of the one result, in the outputs bucket
LATENTS = "latents/others/stack/"  # of faces without a caller, in the models bucket (functions/swap/latent_cache.py)
THROTTLED = "TooManyRequestsException"


class MeasurementStopped(Exception):
    """The measurement cannot go on; the message says why, and what to do."""


class SwapFailed(Exception):
    """A swap failed; the message is the error's type."""


@dataclass(frozen=True)
class Sample:
    """One swap that succeeded."""

    kind: Kind
    face: Face
    report: InvocationReport
    round_trip_s: float  # as the caller saw it, with the network between
    engine: str


@dataclass
class Pictures:
    """The meme and the face (JPEG) of every swap; the bytes of the face are new each time, its pixels are not."""

    meme: bytes
    face: bytes
    count: int = 0
    digests: set[str] = field(default_factory=set)  # SHA-256 of each new face

    def payload(self, face: Face) -> dict[str, str]:
        """The payload of a task. Without `face` the stack's default one goes in."""
        self.count += 1
        payload = {"meme": _data_uri(self.meme), "key": KEY}
        if face == "new":
            jpeg = _with_comment(self.face, str(time.time_ns() + self.count))
            self.digests.add(hashlib.sha256(jpeg).hexdigest())
            payload["face"] = _data_uri(jpeg)
        return payload


@dataclass
class Sampler:
    """Invokes a copy. Swaps that are not of the kind that was asked for are counted in `dropped`, by reason.

    `invoker` is boto3's client of Lambda, which must try once: a second try would be a swap that nobody counts.
    """

    invoker: Any
    copy: FunctionCopy
    pictures: Pictures
    dropped: dict[str, int] = field(default_factory=dict)
    result_keys: set[str] = field(default_factory=set)

    def sample(self, memory_mb: int, face: Face, warm: int) -> Iterator[Sample]:
        """A cold swap in a new sandbox, then `warm` more in the same.

        Raises SwapFailed, MeasurementStopped and botocore's errors.
        """
        self.copy.make_cold(memory_mb)
        for number in range(1 + warm):
            if (sample := self._swap("warm" if number else "cold", face)) is not None:
                yield sample

    def _swap(self, kind: Kind, face: Face) -> Sample | None:
        payload = json.dumps(self.pictures.payload(face)).encode()
        began = time.monotonic()
        response = self._invoke(payload)
        answer = json.loads(response["Payload"].read() or b"null")
        seconds = time.monotonic() - began
        report = read_report(response.get("LogResult", ""))
        if response.get("FunctionError"):
            raise SwapFailed(_name_error(answer, report))
        self.result_keys.add(answer["key"])
        if report is None:
            self._drop("no report in the log")
        elif report.is_cold and kind == "warm":
            self._drop("a new sandbox in place of a warm one")
        elif not report.is_cold and kind == "cold":
            self._drop("a cold start without Init Duration")
        else:
            return Sample(kind, face, report, seconds, str(answer.get("engine")))
        return None

    def _invoke(self, payload: bytes) -> Mapping[str, Any]:
        try:
            response: Mapping[str, Any] = self.invoker.invoke(
                FunctionName=self.copy.name, Payload=payload, LogType="Tail"
            )
        except self.invoker.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != THROTTLED:
                raise
            reason = error.response.get("Reason", "no reason given")
            raise MeasurementStopped(
                f"Lambda throttled the measurement ({reason}): the account has no room for one more execution. "
                "Try again when the stack is idle, or have the account's limit of concurrent executions raised."
            ) from error
        return response

    def _drop(self, why: str) -> None:
        self.dropped[why] = self.dropped.get(why, 0) + 1


def _name_error(answer: Any, report: InvocationReport | None) -> str:
    """The error's type, never its message, which may quote what it was about."""
    answer = answer if isinstance(answer, dict) else {}
    if (report is not None and report.status == "timeout") or "Task timed out" in str(answer.get("errorMessage")):
        return "Timeout"
    return str(answer.get("errorType", "Unhandled"))


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


def _with_comment(jpeg: bytes, text: str) -> bytes:
    """A JPEG with a comment (marker COM) after its first marker: other bytes, the same picture."""
    comment = text.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + jpeg[2:]
