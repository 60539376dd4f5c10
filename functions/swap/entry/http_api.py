"""The HTTP entry: routes, validation, OpenAPI, and errors as problem documents."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path, Query

from functions.swap import cost, moving_submission, results, submission, verify
from functions.swap.entry import batches, predictions
from functions.swap.entry.accept import choose_format, prefers_picture
from functions.swap.entry.form import Form, parse_body
from functions.swap.entry.openapi_media import describe_media
from functions.swap.entry.picture_answer import answer_with_picture
from functions.swap.entry.responses import (
    PROBLEMS,
    DeletedResponse,
    FacesJobResponse,
    JobResponse,
    PackResponse,
    ResultsResponse,
    SwapResponse,
    TermsResponse,
    UploadResponse,
)
from functions.swap.entry.schemas import FacesBody, SwapBody, TermsBody, UploadBody, VerifyBody
from functions.swap.entry.swap_answer import arrange_result, round_face
from functions.swap.entry.welcome import Welcome, welcome
from functions.swap.jobs import describe_job
from functions.swap.result_link import link_to_result
from functions.swap.services import Services, deadline
from functions.swap.swap_records import ResultSummary, SwapRecord
from functions.swap.values import FaceListing, SwapRequest
from layers.core.api_description import describe_api, render_page
from layers.core.deadline import Deadline
from layers.core.errors import Deleted, MovingMeme
from layers.core.telemetry import correlate, server_timing
from layers.core.terms import TEXT, VERSION
from layers.core.web import (
    JSON,
    PROBLEM,
    Caller,
    as_json_request,
    header,
    http_seconds,
    log_request,
    render_errors,
    replace_body,
    response_schema,
)

NO_BATCH = UploadBody()  # POST /uploads may come without a body
resolver = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=parse_body)


@resolver.get(
    "/",
    summary="Get what this is",
    responses={200: response_schema("its name and version, and where to read on", Welcome), **PROBLEMS},
)
def get_root() -> Response[Any]:
    """The same for everybody. Where Accept prefers HTML, and AuthMode is not iam, it is the page."""
    return Response(200, content_type=JSON, body=json.dumps(asdict(welcome())))


@resolver.get(
    "/pack",
    summary="Get which models are in use",
    responses={200: response_schema("the pack, and what its users must know", PackResponse), **PROBLEMS},
)
def get_pack() -> Response[Any]:
    """Its name, a hint where it recognises only some pictures, and the licences of its models."""
    services = _services()
    manifest = services.models.refresh(_response_deadline())
    document = {
        "name": manifest.pack,
        "hint": manifest.hint,
        "licences": sorted({model.licence for model in manifest.models.values()}),
        "models": sorted(manifest.models),
        "has_default_face": bool(services.settings.default_face),
    }
    return Response(200, content_type=JSON, body=json.dumps(document))


@resolver.post(
    "/swap",
    summary="Put a face into a meme",
    responses={
        200: response_schema("the swap is done", SwapResponse),
        202: response_schema(
            "the swap is in progress; Location is where to poll (Prefer: respond-async, or a meme that moves)",
            JobResponse,
        ),
        **PROBLEMS,
    },
)
def post_swap(
    body: SwapBody,
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)] = None,
    prefer: Annotated[str | None, Header(alias="Prefer")] = None,
) -> Response[Any]:
    """Replaces faces of `meme` with the face in `face`. The same Idempotency-Key returns the same result. A meme that
    moves is always swapped while you go on."""
    as_picture, own_format = prefers_picture(_accept()), body.request().format
    if as_picture and own_format is None:
        body = body.model_copy(update={"format": choose_format(_accept())})
    services, request = _services(), replace(body.request(), caller=_caller())
    services.terms.require(request.caller)
    if "respond-async" in (prefer or "").lower().replace(" ", "").split(","):
        return _start_swap(body, request, idempotency_key)
    # A caller with an Idempotency-Key may come back for the result, so the work goes on when API Gateway has given up;
    # without one it would be for nobody.
    until = deadline(resolver.lambda_context) if idempotency_key else _response_deadline()
    fresh: dict[str, Any] = {}

    def work() -> dict[str, Any]:
        try:
            name, result = submission.swap_at_once(services, request, _caller(), until)
        except MovingMeme as meme:
            moving = replace(request, format=own_format)  # Accept names formats of stills
            return {"id": moving_submission.queue_moving(services, moving, _caller(), meme)}
        fresh.update(result)
        return {"id": name}

    name = _run_once("swap", idempotency_key, body, work)["id"]
    record = None if fresh else _find_again(name)
    if record and record.kind == "moving":
        return _accept_job(f"/swap/{name}", name, record.status)
    result = _add_link(fresh or dict((record and record.result) or {}))
    headers: dict[str, Any] = {"Server-Timing": server_timing(result["timings_ms"])}
    if as_picture:
        return answer_with_picture(result, headers, services, until)
    return Response(200, content_type=JSON, body=json.dumps(arrange_result(result)), headers=headers)


def _start_swap(body: SwapBody, request: SwapRequest, idempotency_key: str | None) -> Response[Any]:
    def work() -> dict[str, Any]:
        return {"id": submission.queue_swap(_services(), request, _caller())}

    name = _run_once("start", idempotency_key, body, work)["id"]
    status = _find_again(name).status if idempotency_key else "queued"
    return _accept_job(f"/swap/{name}", name, status, **{"Preference-Applied": "respond-async"})


def _accept_job(location: str, name: str, status: str, **headers: str) -> Response[Any]:
    """The answer that the work is under way, and where to ask for it."""
    return Response(
        202,
        content_type=JSON,
        body=json.dumps({"id": name, "status": status}),
        headers={"Location": location, "Retry-After": "1", **headers},
    )


@resolver.post(
    "/faces",
    summary="List the faces of a picture, without swapping any",
    responses={
        200: response_schema("the faces, by the numbers that POST /swap takes", FaceListing),
        202: response_schema("the meme moves; Location is where to ask for its people", FacesJobResponse),
        **PROBLEMS,
    },
)
def post_faces(body: FacesBody) -> Response[Any]:
    """Says where each face is, and whether it can be swapped. Of a picture nothing is stored. Of a meme that moves, the
    people are listed while you go on, and DELETE /results/{name} deletes the list."""
    services, caller, until = _services(), _caller(), _response_deadline()
    services.terms.require(caller)
    try:
        listing = services.list_faces(body.meme, caller, until, body.preview)
    except MovingMeme as meme:
        request = SwapRequest(meme=body.meme, caller=caller)
        name = moving_submission.queue_moving(services, request, caller, meme, kind="faces")
        return _accept_job(f"/faces/{name}", name, "queued")
    timing = server_timing(listing.timings_ms)
    document = asdict(listing)
    document["faces"] = [round_face(face) for face in document["faces"]]
    return Response(200, content_type=JSON, body=json.dumps(document), headers={"Server-Timing": timing})


@resolver.get(
    "/faces/<name>",
    summary="Get the people of a meme that moves",
    responses={200: response_schema("queued, running, succeeded or failed", FacesJobResponse), **PROBLEMS},
)
def get_faces(name: Annotated[str, Path(description="the id from POST /faces")]) -> Response[Any]:
    """Only for the caller who asked. `people` are numbered as POST /swap takes them."""
    services = _services()
    record = results.find_own(name, _caller(), services.records, ("faces",))
    job = describe_job(record, services.settings.memory_mb)
    headers = {} if job.status in ("succeeded", "failed") else {"Retry-After": "1"}
    document = {field: value for field, value in asdict(job).items() if value is not None}
    if job.result:
        document["result"] = {**job.result, "people": [round_face(each) for each in job.result["people"]]}
    return Response(200, content_type=JSON, body=json.dumps(document), headers=dict(headers))


@resolver.get(
    "/swap/<name>",
    summary="Get the state of a swap",
    responses={
        200: response_schema("queued, running, succeeded or failed", JobResponse),
        202: response_schema("the picture was asked for, and is not there yet", JobResponse),
        **PROBLEMS,
    },
)
def get_swap(name: Annotated[str, Path(description="the id from POST /swap")]) -> Response[Any]:
    """Only for the caller who submitted the swap. The result has a fresh link each time. Of a meme that moves, `stage`,
    `progress` and `cost` tell how far it is."""
    services = _services()
    record = results.find_own(name, _caller(), services.records, results.SWAP_KINDS)
    job = describe_job(record, services.settings.memory_mb)
    as_picture = prefers_picture(_accept())
    if job.result and as_picture:
        return answer_with_picture(_add_link(job.result), {}, _services(), _response_deadline())
    if job.problem and as_picture:
        return Response(job.problem["status"], content_type=PROBLEM, body=json.dumps(job.problem))
    headers = {} if job.status in ("succeeded", "failed") else {"Retry-After": "1"}
    document = {field: value for field, value in asdict(job).items() if value is not None}
    if job.result:
        document["result"] = arrange_result(_add_link(job.result))
    status = 202 if headers and as_picture else 200  # whoever saves what comes must not take this for the picture
    return Response(status, content_type=JSON, body=json.dumps(document), headers=dict(headers))


@resolver.get(
    "/results",
    summary="List what you have made, newest first",
    responses={200: response_schema("a page of swaps, videos and batches", ResultsResponse), **PROBLEMS},
)
def get_results(
    cursor: Annotated[str | None, Query(max_length=400, description="the `next` of the previous page")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="the most items on a page")] = 20,
) -> Response[Any]:
    """A new result appears within a second or so, and disappears when it is deleted or expires."""
    summaries, following = _services().records.page(_caller(), cursor, limit)
    items = [{**asdict(summary), "links": _links(summary)} for summary in summaries]
    return Response(200, content_type=JSON, body=json.dumps({"items": items, "next": following}))


def _links(summary: ResultSummary) -> dict[str, str]:
    if summary.kind == "batch":
        return {"self": f"/batches/{summary.id}", "delete": f"/batches/{summary.id}"}
    if summary.kind == "video":
        return {"self": f"/task/{summary.id}", "delete": f"/task/{summary.id}"}
    return {"self": f"/swap/{summary.id}", "delete": f"/results/{summary.id}"}


@resolver.delete(
    "/results/<name>",
    summary="Delete a result, and everything that was stored to make it",
    responses={200: response_schema("the result is deleted", DeletedResponse), **PROBLEMS},
)
def delete_result(name: Annotated[str, Path(description="the id in the result's key: swaps/ID.jpg")]) -> Response[Any]:
    """Deletes the picture, the uploads that it was made from, and the latents of the faces put in, if any were stored.
    A swap that is still in progress is cancelled, and leaves nothing behind."""
    services = _services()
    swap_record = results.find_own(name, _caller(), services.records)
    moving_submission.delete(services, swap_record, _response_deadline())
    return Response(200, content_type=JSON, body=json.dumps({"id": name, "status": "deleted"}))


@resolver.post(
    "/uploads",
    summary="Get a form to upload a file that is too large for a request",
    responses={201: response_schema("where to send the file, within five minutes", UploadResponse), **PROBLEMS},
)
def post_uploads(body: Annotated[UploadBody, Body()] = NO_BATCH) -> Response[Any]:
    """Send a picture, or a meme that moves, to `url` as a form, then use the `uri` in `meme` or `face`. With `batch`,
    it is a meme of that batch, and POST /batches takes the name alone."""
    services, caller = _services(), _caller()
    services.terms.require(caller)
    return Response(201, content_type=JSON, body=json.dumps(submission.open_upload(services, caller, body.batch)))


@resolver.post(
    "/verify",
    summary="Verify what a file claims about how it was made, and whether this stack made it",
    responses={200: response_schema("what the file's labels say", verify.Verdict), **PROBLEMS},
)
def post_verify(body: VerifyBody) -> Response[Any]:
    """Reads the XMP label and the signed one (C2PA). Nothing is stored, and nothing that the file refers to is
    fetched."""
    services, caller = _services(), _caller()
    until = _response_deadline()
    with services.sandboxes.share(caller):
        cost.charge_upfront(services.budget, caller)
        verdict = verify.verify(body.uri, caller, services.context(until))
    return Response(200, content_type=JSON, body=json.dumps(asdict(verdict)))


@resolver.get(
    "/terms",
    summary="Get the terms of use, and whether you have accepted them",
    responses={200: response_schema("the terms", TermsResponse), **PROBLEMS},
)
def get_terms() -> Response[Any]:
    """Accept them once, by POST /terms, before you make something here."""
    return _terms()


@resolver.post(
    "/terms",
    summary="Accept the terms of use, once for each version",
    responses={200: response_schema("the terms are accepted", TermsResponse), **PROBLEMS},
)
def post_terms(body: TermsBody) -> Response[Any]:
    """Recorded with the time, under a pseudonym."""
    _services().terms.accept(_caller(), body.version)
    return _terms()


def _terms() -> Response[Any]:
    document = {"version": VERSION, "text": TEXT, "accepted": _services().terms.has_accepted(_caller())}
    return Response(200, content_type=JSON, body=json.dumps(document))


@resolver.get("/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    """The description of the whole API, which both functions carry."""
    return Response(200, content_type=JSON, body=describe_api(_services().settings.auth_mode))


@resolver.get("/docs", include_in_schema=False)
def get_docs() -> Response[Any]:
    """The same as a page."""
    return Response(200, content_type="text/html", body=render_page(_services().settings.auth_mode))


@cache
def openapi() -> str:
    """This function's own routes as an OpenAPI document, of which `make openapi` makes the whole one."""
    described = resolver.get_openapi_json_schema(title="Coldswap", version="1")
    return json.dumps(describe_media(json.loads(described)))


resolver.include_router(predictions.router)
resolver.include_router(batches.router)
render_errors(resolver, "/openapi.json and /docs")


def _services() -> Services:
    services: Services = resolver.context["services"]
    return services


def _accept() -> str:
    return header(resolver.current_event.raw_event, "accept")


def _caller() -> str:
    """The caller's pseudonym. Raises Unidentified or StorageFailed."""
    caller: Caller = resolver.context["caller"]
    return caller.pseudonym


def _response_deadline() -> Deadline:
    """When the caller must have the response."""
    event = resolver.current_event.raw_event
    return deadline(resolver.lambda_context).sooner(http_seconds(event, time.time()))


def _run_once(operation: str, key: str | None, body: SwapBody, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the work once per caller and key; without a key, every time."""
    if key is None:
        return work()
    idempotency = _services().idempotency
    return idempotency.run((operation, _caller(), key), body.model_dump_json(), work, resolver.lambda_context)


def _find_again(name: str) -> SwapRecord:
    """The swap that a repeated Idempotency-Key leads to. Raises Deleted if it no longer exists."""
    swap_record = _services().records.find(name)
    if swap_record is None:
        raise Deleted("The result of this Idempotency-Key was deleted or has expired. Use a new key to make it again.")
    return swap_record


def _add_link(result: dict[str, Any]) -> dict[str, Any]:
    """A result with a fresh link to its picture."""
    services = _services()
    return {**result, "url": link_to_result(result["key"], services.storage, services.settings)}


def handle(event: dict[str, Any], context: Any, services: Services) -> dict[str, Any]:
    """Answer an event of an HTTP API (payload format 2.0); never raises."""
    correlate(event["requestContext"].get("requestId") or context.aws_request_id, context.aws_request_id)
    caller = Caller(event, services.settings.auth_mode, services.pseudonyms)
    resolver.context.update(services=services, caller=caller, event=event)
    form = Form.of_event(event)
    response = resolver.resolve(replace_body(event, form) if form else as_json_request(event), context)
    log_request(event, response, caller)
    return response
