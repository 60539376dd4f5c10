"""The HTTP entry: routes, validation, OpenAPI, and errors as problem documents."""

from __future__ import annotations

import json
import time
from functools import cache, partial
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query

from functions.video.context import CallerContext
from functions.video.entry.responses import LinkResponse, PlanResponse, SecretResponse, TaskResponse, problems
from functions.video.entry.schemas import VideoBody
from functions.video.entry.task_view import render_task
from functions.video.file_link import File, link_to_file
from functions.video.providers.keys import ProviderKeys, read_keys
from functions.video.render.caption_letters import check_letters
from functions.video.render.script_markup import shown_text
from functions.video.render.sound_file import require_music
from functions.video.services import Services, deadline
from functions.video.tasks import lifecycle
from functions.video.tasks.store import Task
from functions.video.values import VideoRequest
from functions.video.webhook_signature import decode_secret, derive_secret
from layers.core.api_description import describe_api, render_page
from layers.core.errors import NotFound
from layers.core.identity import earlier_owner
from layers.core.telemetry import correlate
from layers.core.web import (
    JSON,
    Caller,
    as_json_request,
    http_seconds,
    log_request,
    parse_json,
    render_errors,
    response_schema,
)

POLL_SECONDS = "2"
NO_STORE = {"Cache-Control": "no-store"}

resolver = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=parse_json)


@resolver.post(
    "/generate-video",
    summary="Turn a script into a short vertical video",
    responses={
        200: response_schema("the plan (dry_run)", PlanResponse),
        202: response_schema("the video is being made; Location is the task's address", TaskResponse),
        **problems(400, 403, 413, 422, 429, 502, 503),
    },
)
def post_video(
    body: VideoBody,
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)] = None,
) -> Response[Any]:
    """Speaks the script, finds footage, cuts it to the words, and adds captions. The same Idempotency-Key again is the
    same task, whatever has become of it."""
    services, caller = _services(), _caller()
    services.terms.require(caller)
    request = body.request(caller, services.settings)
    if request.captions:
        check_letters(request, shown_text(request.script_text), services, deadline(resolver.lambda_context))
    require_music(request.music, services)
    keys = read_keys(services.settings.provider_keys)
    from functions.video.providers import choice

    if request.voice_uri is None:
        choice.choose_voice(keys, request.voice_id, request.script_text)
    if body.dry_run:
        return Response(200, content_type=JSON, body=json.dumps(_estimate(request, keys)))
    choice.check_keys(keys, needs_footage=request.needs_footage)
    if request.callback_url is not None:
        decode_secret(keys.need("CALLBACK_SECRET"))
    characters = 0 if request.voice_uri else len(request.script_text)
    choice.check_share(services, keys, caller, characters, needs_footage=request.needs_footage)
    task = lifecycle.submit(request, caller, idempotency_key, services)
    return _task_response(task, 202, {"Location": f"/task/{task.id}"})


def _estimate(request: VideoRequest, keys: ProviderKeys) -> dict[str, Any]:
    from functions.video import dry_run
    from functions.video.providers import choice

    services, caller = _services(), _caller()
    seconds = http_seconds(resolver.current_event.raw_event, time.time())
    context = CallerContext(
        services, services.artifacts.track(caller), deadline(resolver.lambda_context).sooner(seconds)
    )
    service = choice.footage_service(services, keys, caller) if request.needs_footage else None
    spend = partial(services.budget.spend, caller)
    return dry_run.estimate(request, service, choice.voice_traits(keys), context, spend)


@resolver.get(
    "/task/<task_id>",
    summary="Follow a video",
    responses={200: response_schema("queued, running, succeeded, failed or cancelled", TaskResponse), **problems(404)},
)
def get_task(task_id: Annotated[str, Path(description="the id from POST /generate-video")]) -> Response[Any]:
    """A failed task has its problem, a finished one links to its files."""
    return _task_response(_task(task_id), 200)


@resolver.delete(
    "/task/<task_id>",
    summary="Cancel a video, or delete it",
    responses={200: response_schema("the task as it is now", TaskResponse), **problems(404)},
)
def delete_task(task_id: Annotated[str, Path(description="the id from POST /generate-video")]) -> Response[Any]:
    """A video that is being made ends with the step that is running. Files, intermediate files, script, query and
    callback URL are deleted, whatever became of the task. A second time changes nothing."""
    return _task_response(lifecycle.delete(_task(task_id), _services()), 200)


@resolver.get(
    "/download/<task_id>",
    summary="Fetch a finished video, its poster or its captions",
    responses={
        200: response_schema("where the file is", LinkResponse),
        302: {"description": "the same as a redirect (redirect=true)"},
        **problems(400, 404, 409, 410),
    },
)
def get_download(
    task_id: Annotated[str, Path(description="the id from POST /generate-video")],
    file: Annotated[File, Query(description="which of its files")] = "video",
    redirect: Annotated[
        bool,
        Query(description="answer with a redirect; S3 refuses one that is followed with a signed request's headers"),
    ] = False,
) -> Response[Any]:
    """A link that needs no authorisation; ask again for a fresh one."""
    url = link_to_file(_task(task_id), file, _services(), time.time())
    if redirect:
        return Response(302, content_type="text/plain", body="", headers={"Location": url, **NO_STORE})
    return Response(200, content_type=JSON, body=json.dumps({"url": url}), headers={**NO_STORE})


@resolver.get(
    "/video/callback-secret",
    summary="Fetch the secret that verifies your callbacks",
    responses={200: response_schema("the caller's own", SecretResponse), **problems(503)},
)
def get_callback_secret() -> Response[Any]:
    """Each caller has a secret of its own, which stays the same until the operator changes CALLBACK_SECRET."""
    secret = derive_secret(read_keys(_services().settings.provider_keys).need("CALLBACK_SECRET"), _caller())
    return Response(200, content_type=JSON, body=json.dumps({"secret": secret}), headers={**NO_STORE})


@resolver.get("/video/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    """The description of the whole API, which both functions carry."""
    return Response(200, content_type=JSON, body=describe_api(_services().settings.auth_mode))


@resolver.get("/video/docs", include_in_schema=False)
def get_docs() -> Response[Any]:
    """The same as a page."""
    return Response(200, content_type="text/html", body=render_page(_services().settings.auth_mode))


@cache
def openapi() -> str:
    """This function's own routes as an OpenAPI document, of which `make openapi` makes the whole one."""
    return resolver.get_openapi_json_schema(title="Coldswap", version="1")


render_errors(resolver, "/openapi.json and /docs")


def _services() -> Services:
    services: Services = resolver.context["services"]
    return services


def _caller() -> str:
    """The caller's pseudonym. Raises Unidentified or StorageFailed."""
    caller: Caller = resolver.context["caller"]
    return caller.pseudonym


def _task(task_id: str) -> Task:
    """The caller's task. Raises NotFound, with the same message for another caller's task as for one that never was."""
    owners, task = (_caller(), earlier_owner(resolver.current_event.raw_event)), _services().tasks.find(task_id)
    if task is None or task.caller not in owners:
        raise NotFound(f"There is no task {task_id!r:.60}, or it has expired.")
    return task


def _task_response(task: Task, status: int, headers: dict[str, str] | None = None) -> Response[Any]:
    body = render_task(task, time.time(), _services().settings.result_seconds)
    poll = {} if task.over else {"Retry-After": POLL_SECONDS}
    return Response(status, content_type=JSON, body=json.dumps(body), headers={**NO_STORE, **poll, **(headers or {})})


def handle(event: dict[str, Any], context: Any, services: Services) -> dict[str, Any]:
    """The response to an event of an HTTP API (payload format 2.0); never raises."""
    correlate(event["requestContext"].get("requestId") or context.aws_request_id, context.aws_request_id)
    caller = Caller(event, services.settings.auth_mode, services.pseudonyms)
    resolver.context["services"], resolver.context["caller"] = services, caller
    response = resolver.resolve(as_json_request(event), context)
    log_request(event, response, caller)
    return response
