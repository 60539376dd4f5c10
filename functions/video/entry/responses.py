"""The responses in JSON, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from functions.video.values import CaptionsTiming, Stage, Status
from layers.core.web import PROBLEM, ProblemResponse, response_schema


class CreditResponse(BaseModel):
    """The photographer of footage. Show it beside the video: the footage service's terms ask for it."""

    photographer: str
    photographer_url: str
    footage_url: str
    source: str


class ShotResponse(BaseModel):
    """What the video shows for some seconds, and the words for which that was found."""

    start: float
    seconds: float
    query: str
    general: Annotated[bool, Field(description="whether nothing fitted search_query, and the words fit any script")]
    footage_url: str
    source: Annotated[str, Field(description="the service's name, or own for a clip of yours")] = ""


class SearchResponse(BaseModel):
    """One search for footage, and what came of it."""

    query: str
    orientation: Literal["portrait", "landscape"]
    locale: Annotated[str | None, Field(description="the language of the query; null: not told to the service")]
    general: bool
    results: int
    usable: Annotated[int, Field(description="new ones that are long and large enough")]


class TaskResponse(BaseModel):
    """A video that is being made, or was made."""

    task_id: str
    status: Status
    stage: Annotated[Stage, Field(description="the current step, or the next one; where a failed task failed")]
    progress: Annotated[float, Field(description="0 to 1")]
    links: Annotated[dict[str, str], Field(description="self; and for a finished video download, poster, srt and vtt")]
    created_at: Annotated[str, Field(description="RFC 3339, as all times")]
    updated_at: str
    expires_at: Annotated[str | None, Field(description="when the video is deleted")] = None
    seconds: Annotated[float | None, Field(description="of the video")] = None
    bytes: Annotated[int | None, Field(description="of the video")] = None
    credits: list[CreditResponse] | None = None
    shots: list[ShotResponse] | None = None
    searches: list[SearchResponse] | None = None
    captions_timing: Annotated[
        CaptionsTiming | None, Field(description="estimated where the voice service gave no times, or wrong ones")
    ] = None
    captions_left_out: Annotated[
        list[str] | None, Field(description="signs of the script, such as new emoji, that the captions do not show")
    ] = None
    voice_service: Annotated[
        str | None, Field(description="that spoke the script, such as Amazon Polly; null for a recording of yours")
    ] = None
    problem: ProblemResponse | None = None
    callback: Annotated[Literal["delivered", "failed"] | None, Field(description="its outcome")] = None


class LinkResponse(BaseModel):
    """A link to a file."""

    url: Annotated[str, Field(description="needs no authorisation, for a quarter of an hour")]


class SegmentResponse(BaseModel):
    """One clip of a plan; times in seconds."""

    start: float
    seconds: float
    text: Annotated[str, Field(description="what the voice says meanwhile")]
    terms: Annotated[list[str], Field(description="what to show, the best first; empty where one query is for all")]
    query: Annotated[str, Field(description="that found the footage; empty for a clip of your own")]
    general: Annotated[bool, Field(description="whether nothing fitted search_query, and the words fit any script")]
    footage_url: str
    photographer: str
    photographer_url: str
    source: Annotated[str, Field(description="the service's name, or own for a clip of yours")]


class PlanResponse(BaseModel):
    """The plan of a video. Nothing was spent on speech, so its length is an estimate."""

    seconds: float
    characters: Annotated[int, Field(description="that the voice service would charge for")]
    voice_service: Annotated[str | None, Field(description="null where the voice is a recording")]
    voice_usd: Annotated[float | None, Field(description="its price; null where that depends on the operator's plan")]
    voice_requests: int
    budget_seconds: Annotated[int, Field(description="that the video takes from your daily budget")]
    query: Annotated[str, Field(description="that found the footage; it may be more general than yours")]
    captions_left_out: Annotated[list[str], Field(description="signs of the script that captions cannot show")]
    segments: list[SegmentResponse]
    searches: list[SearchResponse]


class SecretResponse(BaseModel):
    """The secret that signs the caller's callbacks."""

    secret: Annotated[str, Field(description="whsec_ and base64, as the libraries of Standard Webhooks take it")]


PROBLEMS = {
    status: response_schema(text, ProblemResponse, PROBLEM)
    for status, text in {
        400: "the request is not valid",
        403: "the terms of use are not accepted yet (POST /terms)",
        404: "there is no such task, or it is another caller's",
        409: "the video is not finished, or never will be",
        410: "the video has expired, or was deleted",
        413: "the script is too long",
        429: "today's budget is spent",
        422: "the callback URL may not be called, or the Idempotency-Key is another request's",
        500: "a fault on our side",
        502: "the footage service did not answer as it should (dry_run)",
        503: "as many videos as allowed are being made, or a service is not configured",
    }.items()
}


# Where a route names no 422 of its own, the framework would describe one of another form.
_ANY_422 = response_schema("the request is valid, and yet cannot be carried out", ProblemResponse, PROBLEM)


def problems(*statuses: int) -> dict[int, Any]:
    """The problem documents with these statuses, and those that any route may have, as OpenAPI describes them."""
    return {422: _ANY_422, **{status: PROBLEMS[status] for status in (*statuses, 500)}}
