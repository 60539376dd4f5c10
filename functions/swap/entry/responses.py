"""Responses of the HTTP API, as OpenAPI describes them.

That of a verification is `Verdict` itself, that of a finished swap what swap_answer.py makes of a `SwapResult`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from functions.swap.moving.outcome import MovingResult, PeopleListing
from functions.swap.moving_state import ComputeCost, Progress, Stage
from functions.swap.values import Measurements, SwapResult
from layers.core.web import PROBLEM, ProblemResponse, response_schema


@dataclass(frozen=True)
class SwapResponse(SwapResult):
    """A finished swap."""

    measurements: Measurements


@dataclass(frozen=True, kw_only=True)
class MovingResponse(MovingResult):
    """A finished swap of a meme that moves: `faces` and `people` have one entry for each person."""

    measurements: Measurements


class JobResponse(BaseModel):
    """A swap, finished or in progress."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed"]
    stage: Annotated[Stage | None, Field(description="of a meme that moves, until it is done")] = None
    progress: Annotated[Progress | None, Field(description="how much of the stage is done")] = None
    cost: Annotated[ComputeCost | None, Field(description="of a meme that moves: its steps so far")] = None
    result: SwapResponse | MovingResponse | None = None
    problem: ProblemResponse | None = None


class FacesJobResponse(BaseModel):
    """A list of the people in a meme that moves, finished or in progress."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed"]
    stage: Annotated[Stage | None, Field(description="until it is done")] = None
    progress: Annotated[Progress | None, Field(description="how much of the stage is done")] = None
    cost: Annotated[ComputeCost | None, Field(description="its steps so far")] = None
    result: PeopleListing | None = None
    problem: ProblemResponse | None = None


class UploadResponse(BaseModel):
    """Where to POST a file as multipart/form-data: every field, then `file`. Then name the file by its `uri`."""

    uri: str
    url: str
    fields: dict[str, str]


class BatchCounts(BaseModel):
    """How many memes of a batch are over."""

    done: int
    failed: int
    total: Annotated[int, Field(description="how many there were when the batch was submitted")]


class BatchResponse(BaseModel):
    """A batch, finished or in progress."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed", "deleting"]
    counts: BatchCounts | None = None
    cost: Annotated[ComputeCost | None, Field(description="of all memes that are over, without requests")] = None
    report: Annotated[str | None, Field(description="a link to the report, valid for an hour at most")] = None
    problem: ProblemResponse | None = None


class LinksResponse(BaseModel):
    """Paths of this API: GET the first, DELETE the second."""

    self: str
    delete: str


class ResultResponse(BaseModel):
    """A swap, a video or a batch that the caller has made."""

    id: str
    kind: Literal["swap", "video", "batch"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    created_at: Annotated[str, Field(description="RFC 3339")]
    links: LinksResponse


class ResultsResponse(BaseModel):
    """What the caller has made, newest first."""

    items: list[ResultResponse]
    next: Annotated[str | None, Field(description="the cursor of the next page; null on the last page")]


class PackResponse(BaseModel):
    """The models in use."""

    name: str
    hint: Annotated[str | None, Field(description="what it cannot do, and what to do about that")]
    licences: Annotated[list[str], Field(description="of its models")]
    models: Annotated[list[str], Field(description="what there is a model for")]
    has_default_face: Annotated[bool, Field(description="whether a swap needs no `face`")]


class TermsResponse(BaseModel):
    """The terms of use."""

    version: str
    text: Annotated[list[str], Field(description="the statements to agree to")]
    accepted: Annotated[bool, Field(description="whether this caller has accepted them, or need not")]


class DeletedResponse(BaseModel):
    """A result that has been deleted."""

    id: str
    status: Literal["deleted"]


PROBLEMS = {
    status: response_schema(description, ProblemResponse, PROBLEM)
    for status, description in {
        400: "the request is not valid",
        403: "the terms of use have not been accepted yet, or a face or picture must not be used here",
        404: "a picture named in the request, or the requested swap, does not exist",
        409: "the same request is still being processed",
        410: "the swap was deleted, or what this Idempotency-Key made was, or has expired",
        413: "a picture is too large",
        415: "the format of a picture is not supported",
        422: "a picture cannot be read, shows no face, or must not be fetched; or the Idempotency-Key was used before",
        429: "today's budget is spent",
        500: "an internal error",
        502: "the server of a picture did not deliver it",
        503: "the models, the storage or a safeguard are not available, or other callers come first",
        504: "the request ran out of time",
    }.items()
}
