"""The HTTP entry: routes, validation, OpenAPI, and errors as problem documents."""

from __future__ import annotations

import json
import time
from functools import cache, partial
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from pydantic import BaseModel, Field

from functions.video.entry.schemas import VideoBody
from functions.video.entry.task_view import expired, render_task
from functions.video.providers.keys import read_keys
from functions.video.services import Services, deadline
from functions.video.tasks import lifecycle
from functions.video.tasks.store import Task
from functions.video.values import Stage, Status
from functions.video.webhook_signature import decode_secret, derive_secret
from layers.core.errors import Expired, NotFound, NotReady
from layers.core.identity import earlier_owner
from layers.core.telemetry import correlate
from layers.core.web import (
    JSON,
    PROBLEM,
    Caller,
    ProblemAnswer,
    http_seconds,
    parse,
    plain,
    record,
    render_errors,
    said,
)

POLL_SECONDS = "2"

File = Literal["video", "poster", "srt", "vtt"]

resolver = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=parse)


class CreditAnswer(BaseModel):
    """Whom to thank for footage. Show it beside the video: the footage service's terms ask for it."""

    photographer: str
    photographer_url: str
    footage_url: str
    source: str


class TaskAnswer(BaseModel):
    """A video being made, or made."""

    task_id: str
    status: Status
    stage: Annotated[Stage, Field(description="the step that is next or at work; where it failed, if it did")]
    progress: Annotated[float, Field(description="0 to 1")]
    links: Annotated[dict[str, str], Field(description="self; and, once it is made, download, poster, srt and vtt")]
    created_at: Annotated[str, Field(description="RFC 3339, as all times")]
    updated_at: str
    expires_at: Annotated[str | None, Field(description="when the video is deleted")] = None
    seconds: Annotated[float | None, Field(description="of the video")] = None
    bytes: Annotated[int | None, Field(description="of the video")] = None
    credits: list[CreditAnswer] | None = None
    problem: ProblemAnswer | None = None
    callback: Annotated[Literal["delivered", "failed"] | None, Field(description="what became of it")] = None


class LinkAnswer(BaseModel):
    """Where a file is."""

    url: Annotated[str, Field(description="needs no authorisation, for a quarter of an hour")]


class SegmentAnswer(BaseModel):
    """One clip of a plan; times in seconds."""

    start: float
    seconds: float
    footage_url: str
    photographer: str
    photographer_url: str


class PlanAnswer(BaseModel):
    """What a video would be. Nothing was spent on speech, so its length is an estimate."""

    seconds: float
    characters: Annotated[int, Field(description="that the voice service would charge for")]
    voice_requests: int
    query: Annotated[str, Field(description="that found the footage, maybe a more general one")]
    segments: list[SegmentAnswer]


class SecretAnswer(BaseModel):
    """What the caller's callbacks are signed with."""

    secret: Annotated[str, Field(description="whsec_ and base64, as the libraries of Standard Webhooks take it")]


_PROBLEMS = {
    status: said(text, ProblemAnswer, PROBLEM)
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


def _problems(*statuses: int) -> dict[int, Any]:
    return {status: _PROBLEMS[status] for status in (*statuses, 500)}


@resolver.post(
    "/generate-video",
    summary="Turn a script into a short vertical video",
    responses={
        200: said("what would be made (dry_run)", PlanAnswer),
        202: said("the video is being made; Location says where to look", TaskAnswer),
        **_problems(400, 403, 413, 422, 429, 502, 503),
    },
)
def post_video(
    body: VideoBody,
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)] = None,
) -> Response[Any]:
    """Speaks the script, finds footage, cuts it to the words, and adds captions. The same Idempotency-Key again is the
    same task, whatever has become of it."""
    found = _services()
    found.terms.require(_caller())
    request = body.request(found.settings)
    known = read_keys(found.settings.provider_keys)
    if body.dry_run:
        from functions.video.dry_run import estimate
        from functions.video.providers.fair_share import footage_service

        service = footage_service(found, known, _caller())
        within = deadline(resolver.lambda_context).sooner(http_seconds(resolver.current_event.raw_event, time.time()))
        plan = estimate(
            request,
            service=service,
            work=found.work.track(_caller()),
            settings=found.settings,
            deadline=within,
            spend=partial(found.budget.spend, _caller()),
        )
        return Response(200, content_type=JSON, body=json.dumps(plan))
    for name in ("ELEVENLABS_API_KEY", "PEXELS_API_KEY"):
        known.need(name)
    if request.callback_url is not None:
        decode_secret(known.need("CALLBACK_SECRET"))
    from functions.video.providers.fair_share import check_share

    check_share(found, known, _caller(), len(request.script_text))
    task = lifecycle.submit(request, _caller(), idempotency_key, found)
    return _answer(task, 202, {"Location": f"/task/{task.id}"})


@resolver.get(
    "/task/<task_id>",
    summary="How far a video is",
    responses={200: said("queued, running, succeeded, failed or cancelled", TaskAnswer), **_problems(404)},
)
def get_task(task_id: Annotated[str, Path(description="the id that POST /generate-video gave")]) -> Response[Any]:
    """A failed task tells its problem, a finished one where its files are."""
    return _answer(_task(task_id), 200)


@resolver.delete(
    "/task/<task_id>",
    summary="Cancel a video, or delete it",
    responses={200: said("the task as it is now", TaskAnswer), **_problems(404)},
)
def delete_task(task_id: Annotated[str, Path(description="the id that POST /generate-video gave")]) -> Response[Any]:
    """What is being made ends with the step that is at work. Files, work files, script, query and callback URL are
    deleted, whatever became of the task. Again, it changes nothing."""
    return _answer(lifecycle.delete(_task(task_id), _services()), 200)


@resolver.get(
    "/download/<task_id>",
    summary="Fetch a finished video, its poster or its captions",
    responses={
        200: said("where the file is", LinkAnswer),
        302: {"description": "the same as a redirect (redirect=true)"},
        **_problems(400, 404, 409, 410),
    },
)
def get_download(
    task_id: Annotated[str, Path(description="the id that POST /generate-video gave")],
    file: Annotated[File, Query(description="which of its files")] = "video",
    redirect: Annotated[
        bool,
        Query(description="answer with a redirect; S3 refuses one that is followed with a signed request's headers"),
    ] = False,
) -> Response[Any]:
    """A link that needs no authorisation; ask again for a fresh one."""
    found, task = _services(), _task(task_id)
    if task.status != "succeeded":
        extra = {"problem": dict(task.problem)} if task.problem else {}
        raise NotReady(f"The video is not there: its task is {task.status}.", **extra)
    if task.published is None or expired(task, time.time(), found.settings.result_seconds):
        raise Expired("The video has expired or was deleted. Ask for it anew.")
    stored = getattr(task.published, file)
    if stored is None:
        raise NotFound(f"This video has no {file}.")
    if found.storage.head(found.settings.outputs_bucket, stored) is None:
        raise Expired("The video has expired or was deleted. Ask for it anew.")
    name = f"{task.id}.{stored.rpartition('.')[2]}"
    url = found.storage.presign_get(found.settings.outputs_bucket, stored, found.settings.url_seconds, name)
    fresh = {"Cache-Control": "no-store"}
    if redirect:
        return Response(302, content_type="text/plain", body="", headers={"Location": url, **fresh})
    return Response(200, content_type=JSON, body=json.dumps({"url": url}), headers=fresh)


@resolver.get(
    "/video/callback-secret",
    summary="Fetch the secret that verifies your callbacks",
    responses={200: said("the caller's own", SecretAnswer), **_problems(503)},
)
def get_callback_secret() -> Response[Any]:
    """Every caller has another one. It stays the same until the operator changes CALLBACK_SECRET."""
    secret = derive_secret(read_keys(_services().settings.provider_keys).need("CALLBACK_SECRET"), _caller())
    body = json.dumps({"secret": secret})
    return Response(200, content_type=JSON, body=body, headers={"Cache-Control": "no-store"})


@resolver.get("/video/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    """This API's description."""
    return Response(200, content_type=JSON, body=openapi())


@cache
def openapi() -> str:
    """The OpenAPI document, as JSON."""
    return resolver.get_openapi_json_schema(
        title="Coldswap video",
        version="1",
        description="Turns a script into a short video. Every video is labelled as made with trained models (XMP).",
    )


resolver.enable_swagger(path="/video/docs", title="Coldswap video", version="1")
render_errors(resolver, "/video/openapi.json and /video/docs")


def _services() -> Services:
    found: Services = resolver.context["services"]
    return found


def _caller() -> str:
    """The pseudonym of who asks. Raises Unidentified or StorageFailed."""
    asking: Caller = resolver.context["caller"]
    return asking.pseudonym


def _task(task_id: str) -> Task:
    """The caller's task; another's is not told from none."""
    owners, task = (_caller(), earlier_owner(resolver.current_event.raw_event)), _services().tasks.find(task_id)
    if task is None or task.caller not in owners:
        raise NotFound(f"There is no task {task_id!r:.60}, or it was too long ago.")
    return task


def _answer(task: Task, status: int, headers: dict[str, str] | None = None) -> Response[Any]:
    body = render_task(task, time.time(), _services().settings.result_seconds)
    patience = {} if task.over else {"Retry-After": POLL_SECONDS}
    return Response(
        status,
        content_type=JSON,
        body=json.dumps(body),
        headers={"Cache-Control": "no-store", **patience, **(headers or {})},
    )


def handle(event: dict[str, Any], context: Any, found: Services) -> dict[str, Any]:
    """An event of an HTTP API (payload format 2.0) in, its answer out; never raises."""
    correlate(event["requestContext"].get("requestId") or context.aws_request_id, context.aws_request_id)
    asking = Caller(event, found.settings.auth_mode, found.pseudonyms)
    resolver.context["services"], resolver.context["caller"] = found, asking
    answer = resolver.resolve(plain(event), context)
    record(event, answer, asking)
    return answer
