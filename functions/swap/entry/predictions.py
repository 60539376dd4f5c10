"""Swaps as Replicate's clients ask for them: a prediction is a swap under other names, with the same id.

`Prefer: wait` does the swap while the request waits, which is what POST /swap does; every other prediction is a queued
swap. Errors are problem documents, whose `detail` these clients show.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, cast

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Header, Path
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from functions.swap import moving_submission, results, submission
from functions.swap.entry.form import Form
from functions.swap.entry.prediction_schemas import (
    FileResponse,
    PredictionBody,
    PredictionInput,
    PredictionResponse,
    VersionResponse,
)
from functions.swap.entry.responses import PROBLEMS
from functions.swap.jobs import Job, describe_job
from functions.swap.result_link import link_to_result
from functions.swap.services import Services, deadline
from functions.swap.swap_records import Status, SwapRecord
from layers.core.errors import Deleted, InvalidRequest, MovingMeme
from layers.core.ids import creation_time
from layers.core.units import MIB
from layers.core.web import JSON, http_seconds, response_schema

MODEL, VERSION = "coldswap/face-swap", "1"
RELEASED_AT = "2026-11-28T00:00:00Z"
COG_VERSION = "0.16.0"  # clients compare it to 0.3.9, since when an output says that it is a list
STATUSES: dict[Status, str] = {
    "queued": "starting",
    "running": "processing",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "canceled",
}
WHOLE_WAIT_SECONDS = 25  # whoever waits for less gets an answer at once, and asks again
# Replicate's Python client sends its token along when it fetches an output, and S3 refuses a link with a token beside.
SENDS_TOKEN_ALONG = "replicate-python"
MAX_NAME_CHARS = 200  # of a file's name
MAX_INLINE_BYTES = 4 * MIB  # of a picture inside the response, which may have 6 MB

router: Router = cast(Any, APIGatewayHttpRouter)()  # powertools leaves its making untyped
Id = Annotated[str, Path(description="the id of the prediction")]
Owner = Annotated[str, Path(description="ignored: there is one model here, the stack's")]
Name = Annotated[str, Path(description="ignored, like the owner")]
Prefer = Annotated[str | None, Header(alias="Prefer")]
CREATED = {201: response_schema("the prediction; `urls.get` is where to poll", PredictionResponse), **PROBLEMS}


@router.post("/v1/predictions", summary="Put a face into a meme, as Replicate's clients ask for it", responses=CREATED)
def post_prediction(body: PredictionBody, prefer: Prefer = None) -> Response[Any]:
    """`Prefer: wait` answers with the result, everything else at once."""
    return _create(body.input, prefer)


@router.post(
    "/v1/models/<owner>/<model>/predictions",
    summary="The same for clients that name a model instead of a version",
    responses=CREATED,
)
def post_model_prediction(owner: Owner, model: Name, body: PredictionBody, prefer: Prefer = None) -> Response[Any]:
    """`Prefer: wait` answers with the result, everything else at once."""
    return _create(body.input, prefer)


@router.get(
    "/v1/predictions/<name>",
    summary="Get a prediction",
    responses={200: response_schema("the prediction as it is now", PredictionResponse), **PROBLEMS},
)
def get_prediction(name: Id) -> Response[Any]:
    """A swap that was deleted is `canceled`, whether it was done or not."""
    return _answer(200, name, _find(name))


@router.post(
    "/v1/predictions/<name>/cancel",
    summary="Cancel a prediction",
    responses={200: response_schema("the prediction as it is now", PredictionResponse), **PROBLEMS},
)
def cancel_prediction(name: Id) -> Response[Any]:
    """A swap that is in progress leaves nothing behind, also of its uploads; one that is over stays as it is."""
    services, record = _services(), _find(name)
    if record is not None and record.status in ("queued", "running"):
        moving_submission.delete(services, record, deadline(router.lambda_context))
        record = None
    return _answer(200, name, record)


@router.get(
    "/v1/models/<owner>/<model>/versions/<version>",
    summary="Get what a version takes and gives",
    responses={200: response_schema("the same for every version", VersionResponse), **PROBLEMS},
)
def get_model_version(owner: Owner, model: Name, version: Name) -> Response[Any]:
    """Clients ask whether the output is a list; it is one URL."""
    taken = PredictionInput.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = {**taken.pop("$defs"), "Input": taken, "Output": {"type": "string", "format": "uri"}}
    document = VersionResponse(
        id=version,
        created_at=RELEASED_AT,
        cog_version=COG_VERSION,
        openapi_schema={"components": {"schemas": schemas}},
    )
    return Response(200, content_type=JSON, body=document.model_dump_json())


@router.post(
    "/v1/files",
    summary="Upload a file for predictions",
    responses={201: response_schema("the file; name it in `input` by `urls.get`", FileResponse), **PROBLEMS},
)
def post_file() -> Response[Any]:
    """A form with the file in `content`. It costs what POST /uploads costs, and is kept for a day."""
    services, caller = _services(), _caller()
    services.terms.require(caller)
    form = Form.of_event(router.context["event"])
    if form is None:
        raise InvalidRequest("The body must be a form (multipart/form-data) with the file in its field content.")
    file = form.read_file("content")
    data, content_type = bytes(file.content), file.media_type or "application/octet-stream"
    name, uri = submission.store_upload(services, caller, data, content_type)
    digest, now = hashlib.sha256(data).hexdigest(), time.time()
    document = {
        "id": name,
        "name": (file.file_name or "content")[:MAX_NAME_CHARS],
        "content_type": content_type,
        "size": len(data),
        "etag": digest,
        "checksums": {"sha256": digest},
        "metadata": {},
        "created_at": _rfc_3339(now),
        "expires_at": _rfc_3339(now + services.settings.input_seconds),
        "urls": {"get": uri},
    }
    return Response(201, content_type=JSON, body=json.dumps(document))


def _create(body: PredictionInput, prefer: str | None) -> Response[Any]:
    services, caller = _services(), _caller()
    request = replace(body.request(), caller=caller)
    services.terms.require(caller)
    if not _waits(prefer):
        name = submission.queue_swap(services, request, caller)
        return _answer(201, name, services.records.find(name))
    event = router.context["event"]
    until = deadline(router.lambda_context).sooner(http_seconds(event, time.time()))
    try:
        name, result = submission.swap_at_once(services, request, caller, until)
    except MovingMeme as meme:
        name = moving_submission.queue_moving(services, request, caller, meme)
        return _answer(201, name, services.records.find(name))
    return _answer(201, name, SwapRecord(name, caller, "succeeded", time.time(), result=result))


def _waits(prefer: str | None) -> bool:
    """Whether the caller waits for as long as there is time; an answer after a shorter wait would come too late."""
    match = re.search(r"(?:^|,)\s*wait\s*(?:=\s*(\d+))?\s*(?:,|$)", prefer or "")
    return match is not None and int(match[1] or WHOLE_WAIT_SECONDS) >= WHOLE_WAIT_SECONDS


def _find(name: str) -> SwapRecord | None:
    """The caller's swap; None if it was deleted. Raises NotFound."""
    try:
        return results.find_own(name, _caller(), _services().records, results.SWAP_KINDS)
    except Deleted:
        return None


def _answer(status: int, name: str, record: SwapRecord | None) -> Response[Any]:
    """The response with a prediction; without a record the swap was deleted."""
    job = describe_job(record) if record else Job(name, "cancelled")
    created_at = record.created_at if record else creation_time(name) or time.time()
    address = f"{_api_url()}/v1/predictions/{name}"
    document = {
        "id": name,
        "model": MODEL,
        "version": VERSION,
        "status": STATUSES[job.status],
        "input": dict(record.request or {}) if record else {},
        "output": _show_picture(job.result) if job.result else None,
        "error": job.problem["detail"] if job.problem else None,
        "logs": "\n".join(job.result["notes"]) if job.result else "",
        "created_at": _rfc_3339(created_at),
        "urls": {"get": address, "cancel": f"{address}/cancel"},
    }
    headers = {"Cache-Control": "no-store", **({"Location": f"/v1/predictions/{name}"} if status == 201 else {})}
    return Response(status, content_type=JSON, body=json.dumps(document), headers=dict(headers))


def _show_picture(result: dict[str, Any]) -> str:
    """A link to the picture, or for a client to which S3 would not give it, the picture itself."""
    services = _services()
    agent = str(router.current_event.headers.get("user-agent", ""))
    if SENDS_TOKEN_ALONG not in agent or result["bytes"] > MAX_INLINE_BYTES:
        return link_to_result(result["key"], services.storage, services.settings)
    until = deadline(router.lambda_context)
    stored = services.storage.read(services.settings.outputs_bucket, result["key"], MAX_INLINE_BYTES, until)
    return f"data:{result['content_type']};base64,{base64.b64encode(stored.data).decode()}"


def _api_url() -> str:
    """The URL of this API as its caller reached it, without a slash at the end.

    API Gateway always says over which protocol. What else runs the function may not, and speaks plain HTTP at a port
    that the name of its domain does not have.
    """
    event = router.context["event"]
    headers = {name.lower(): value for name, value in event["headers"].items()}
    _, colon, port = headers.get("host", "").rpartition(":")
    host = event["requestContext"].get("domainName", "localhost")
    return f"{headers.get('x-forwarded-proto', 'http')}://{host}{colon}{port if colon else ''}"


def _rfc_3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _services() -> Services:
    services: Services = router.context["services"]
    return services


def _caller() -> str:
    """The caller's pseudonym. Raises Unidentified or StorageFailed."""
    return str(router.context["caller"].pseudonym)
