"""Our own worker (workers/gpu), or any server of its contract, which is cog's with a path to ask how far a job is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from functions.swap.backends.crop_check import check_content, check_size
from functions.swap.backends.exchange import MOST_DETAIL, Answer, ask, read_number, read_refusal
from functions.swap.backends.interfaces import Capabilities, Done, Failed, Running, State, Ticket
from layers.core.deadline import Deadline
from layers.engine.crop_job import MOST_CROPS, CropJob, read_crops
from layers.engine.crop_planes import Pixels

LONGEST_WAIT = 25.0  # seconds that one request waits for its crops; hosts cut connections that are silent for long

WORKER_CAPABILITIES = Capabilities(MOST_CROPS, repeats=True)


@dataclass(frozen=True)
class Worker:
    """A worker at a URL of the operator's."""

    url: str
    token: str = field(repr=False)
    dollars_per_second: float = 0.0
    name: str = "worker"
    capabilities: Capabilities = WORKER_CAPABILITIES

    def prepare(self, crops: int) -> None:
        """Nothing: a worker that sleeps is woken by the first job."""

    def submit(self, job: CropJob, deadline: Deadline) -> tuple[Ticket, State]:
        """Send a job under its own id, so that one that comes twice is swapped once."""
        ticket = Ticket(job.id)
        wait = max(0, min(math.floor(deadline.left() - 1), LONGEST_WAIT))
        body = json.dumps({"input": job.to_input()}).encode()
        answer = self._ask("PUT", f"/predictions/{job.id}", deadline, body, {"Prefer": f"wait={wait:.0f}"})
        return ticket, answer if isinstance(answer, Failed) else self._read(answer, job)

    def poll(self, ticket: Ticket, job: CropJob, deadline: Deadline) -> State:
        """How far it is. A worker that has started anew does not know: the job is then submitted again."""
        answer = self._ask("GET", f"/predictions/{ticket.id}", deadline)
        if isinstance(answer, Answer) and answer.status == 404:
            return self.submit(job, deadline)[1]
        return answer if isinstance(answer, Failed) else self._read(answer, job)

    def cancel(self, ticket: Ticket, deadline: Deadline) -> None:
        """Free its place, if it has not ended."""
        self._ask("POST", f"/predictions/{ticket.id}/cancel", deadline, b"{}")

    def verify(self, job: CropJob, answer: Pixels) -> Pixels | Failed:
        """The crops, if they are as many and show something."""
        return check_size(job, answer) or check_content(job, answer) or answer

    def _ask(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer | Failed:
        return ask(method, self.url.rstrip("/") + path, self.token, deadline, body, headers)

    def _read(self, answer: Answer, job: CropJob) -> State:
        """What an answer says of a job."""
        document = answer.document if isinstance(answer.document, dict) else {}
        if answer.status not in (200, 201, 202):
            return read_refusal(answer)
        match document.get("status"):
            case "starting" | "processing":
                return Running()
            case "succeeded":
                return self._read_output(document, job)
            case "failed":
                code, _, detail = str(document.get("error", ""))[:MOST_DETAIL].partition(": ")
                is_fault = code == "internal_error"
                return Failed("provider_failed", f"It failed ({code}): {detail}", retryable=is_fault)
            case "canceled" | "aborted":
                return Failed("out_of_time", "It was cancelled there.", retryable=True)
        return Failed("provider_failed", "It answered with something other than a prediction.")

    def _read_output(self, document: Mapping[str, Any], job: CropJob) -> State:
        """The crops of a prediction that succeeded; nothing that has another size is one."""
        try:
            crops = read_crops(document.get("output"), "output", len(job.crops))
        except ValueError as error:
            return Failed("provider_failed", f"What it made cannot be used: {error}.")
        metrics = document.get("metrics")
        metrics = metrics if isinstance(metrics, dict) else {}
        seconds = read_number(metrics.get("predict_time"))
        share = len(job.crops) / max(read_number(metrics.get("batch_crops")), len(job.crops))
        device = str(metrics.get("device", "unknown"))[:20]
        return Done(crops, f"{self.name} {device}", seconds * share)
