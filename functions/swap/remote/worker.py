"""Our own worker (workers/gpu), or any server of its contract, which is cog's with a path to ask how far a job is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from functions.swap.remote.interfaces import Capabilities, Done, Failed, Running, State, Ticket
from layers.core.deadline import Deadline
from layers.core.errors import RefusedUrl, UpstreamFailed
from layers.core.http_fetch import open_url
from layers.engine.crop_job import MOST_CROPS, CropJob, read_crops

MOST_ANSWER_BYTES = 20 << 20
LONGEST_WAIT = 25.0  # seconds that one request waits for its crops; hosts cut connections that are silent for long
PIECE_BYTES = 1 << 18
MOST_DETAIL = 200  # characters of what the other side says

WORKER_CAPABILITIES = Capabilities(MOST_CROPS, repeats=True)

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


@dataclass(frozen=True)
class Worker:
    """A worker at a URL of the operator's."""

    url: str
    token: str = field(repr=False)
    dollars_per_second: float = 0.0
    name: str = "worker"
    capabilities: Capabilities = WORKER_CAPABILITIES

    def submit(self, job: CropJob, deadline: Deadline) -> tuple[Ticket, State]:
        """Send a job under its own id, so that one that comes twice is swapped once."""
        ticket = Ticket(job.id)
        wait = max(0, min(math.floor(deadline.left() - 1), LONGEST_WAIT))
        body = json.dumps({"input": job.to_input()}).encode()
        answer = self._ask("PUT", f"/predictions/{job.id}", deadline, body, {"Prefer": f"wait={wait:.0f}"})
        return ticket, answer if isinstance(answer, Failed) else _read_state(answer, job)

    def poll(self, ticket: Ticket, job: CropJob, deadline: Deadline) -> State:
        """How far it is. A worker that has started anew does not know: the job is then submitted again."""
        answer = self._ask("GET", f"/predictions/{ticket.id}", deadline)
        if isinstance(answer, Answer) and answer.status == 404:
            return self.submit(job, deadline)[1]
        return answer if isinstance(answer, Failed) else _read_state(answer, job)

    def cancel(self, ticket: Ticket, deadline: Deadline) -> None:
        """Free its place, if it has not ended."""
        self._ask("POST", f"/predictions/{ticket.id}/cancel", deadline, b"{}")

    def _ask(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | Failed:
        authorization = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        content_type = {} if body is None else {"Content-Type": "application/json"}
        try:
            with open_url(
                self.url.rstrip("/") + path,
                deadline=deadline,
                trusted_origins=frozenset({_origin(self.url)}),  # the operator's choice, not a stranger's
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
            return Failed("provider_failed", error.detail, retryable=True)


def _read_state(answer: Answer, job: CropJob) -> State:
    """What an answer says of a job."""
    document = answer.document if isinstance(answer.document, dict) else {}
    if answer.status not in (200, 201, 202):
        return _read_refusal(answer, document)
    match document.get("status"):
        case "starting" | "processing":
            return Running()
        case "succeeded":
            return _read_output(document, job)
        case "failed":
            code, _, detail = str(document.get("error", ""))[:MOST_DETAIL].partition(": ")
            return Failed("provider_failed", f"It failed ({code}): {detail}", retryable=code == "internal_error")
        case "canceled" | "aborted":
            return Failed("out_of_time", "It was cancelled there.", retryable=True)
    return Failed("provider_failed", "It answered with something other than a prediction.")


def _read_refusal(answer: Answer, document: Mapping[str, Any]) -> Failed:
    code, retryable = STATUSES.get(answer.status, ("provider_failed", answer.status >= 500))
    detail = document.get("detail")
    said = f": {detail[:MOST_DETAIL]}" if isinstance(detail, str) else ""
    return Failed(code, f"It answered with status {answer.status}{said}.", retryable, answer.retry_after)


def _read_output(document: Mapping[str, Any], job: CropJob) -> State:
    """The crops of a prediction that succeeded; nothing that has another size is one."""
    try:
        crops = read_crops(document.get("output"), "output", len(job.crops))
    except ValueError as error:
        return Failed("provider_failed", f"What it made cannot be used: {error}.")
    if not _is_plausible(job, crops.std(axis=(1, 2, 3)).tolist()):
        return Failed("provider_failed", "What it made is of one colour.")
    metrics = document.get("metrics")
    metrics = metrics if isinstance(metrics, dict) else {}
    seconds = _number(metrics.get("predict_time"))
    share = len(job.crops) / max(_number(metrics.get("batch_crops")), len(job.crops))
    return Done(crops, str(metrics.get("device", "unknown"))[:20], seconds * share)


def _is_plausible(job: CropJob, spreads: list[float]) -> bool:
    """Whether crops that show something still do: what miscalculates tends to give one colour."""
    before = job.crops.std(axis=(1, 2, 3)).tolist()
    return all(after >= 1 or spread < 8 for after, spread in zip(spreads, before, strict=True))


def _parse(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _read_seconds(header: str | None) -> float | None:
    return float(header) if header and header.isascii() and header.isdigit() and len(header) < 6 else None


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value < 1e6 else 0.0


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
