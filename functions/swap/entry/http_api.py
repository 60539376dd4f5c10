"""The HTTP entry: routes, validation, OpenAPI, and errors as problem documents."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from typing import Annotated, Any, Literal

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from functions.swap import inputs, results, verify
from functions.swap.entry.schemas import SwapBody
from functions.swap.jobs import job
from functions.swap.services import Services, deadline
from functions.swap.swap_records import ResultSummary, SwapRecord
from functions.swap.values import PAID_AT_ONCE, SwapRequest
from layers.core.deadline import Deadline
from layers.core.errors import Deleted, StorageFailed
from layers.core.ids import new_id
from layers.core.telemetry import correlate, logger, server_timing
from layers.core.terms import TEXT, VERSION
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

UPLOAD_SECONDS = 300  # a form takes as many files as come in that time, and each is paid for by us

resolver = APIGatewayHttpResolver(enable_validation=True, json_body_deserializer=parse)


class FaceAnswer(BaseModel):
    """What became of one face of the meme."""

    index: Annotated[int, Field(description="its number from left to right")]
    box: Annotated[tuple[float, float, float, float], Field(description="x0, y0, x1, y1 in pixels of the meme")]
    score: Annotated[float, Field(description="the detector's, 0 to 1")]
    swapped: bool
    reason: Annotated[
        Literal["not_chosen", "too_small", "cut_by_frame", "over_limit", "refused"] | None,
        Field(description="why not; refused: someone on the do-not-swap list"),
    ] = None


class SwapAnswer(BaseModel):
    """A finished swap."""

    key: Annotated[str, Field(description="of the result in the outputs bucket")]
    url: Annotated[str, Field(description="where to get it, for an hour at most")]
    content_type: str
    bytes: int
    width: int
    height: int
    faces: list[FaceAnswer]
    timings_ms: Annotated[dict[str, float], Field(description="by phase")]
    peak_memory_mb: float
    models: Annotated[dict[str, str], Field(description="the pack, and the digest of each model used")]
    engine: Annotated[str | None, Field(description="what ran the swapper; nothing if no face was swapped")]
    gate: Annotated[str, Field(description="digest of the classifier that the pictures passed; none if there is none")]
    digests: Annotated[dict[str, str], Field(description="SHA-256 of the meme, the face and the result")]
    cold_start: bool
    bytes_fetched: Annotated[int, Field(description="of weights")]
    bytes_in_vain: Annotated[int, Field(description="of weights that were not needed after all")]
    notes: list[str]


class ManifestAnswer(BaseModel):
    """What the signed label (C2PA) says, shortened."""

    state: Annotated[
        Literal["absent", "invalid", "valid", "trusted"],
        Field(description="no signed label; one that is broken or another file's; a stranger's; this stack's"),
    ]
    signer: str | None = None
    generator: str | None = None
    actions: list[dict[str, Any]]
    ingredients: list[dict[str, Any]]
    problems: list[str]


class VerdictAnswer(BaseModel):
    """What a file claims about how it was made."""

    sentence: Annotated[str, Field(description="the gist")]
    ours: Annotated[bool, Field(description="whether this stack made the file, and nobody changed it since")]
    made_with_a_model: Annotated[bool, Field(description="as either label claims")]
    source_type: Annotated[str | None, Field(description="IPTC's digital source type, as the XMP label claims")]
    manifest: ManifestAnswer
    media: str
    bytes: int
    sha256: str


class VerifyBody(BaseModel):
    """The file to look at."""

    model_config = ConfigDict(extra="forbid")

    uri: Annotated[
        str,
        Field(
            min_length=1,
            description="of a JPEG, PNG, WebP or MP4: https://…, s3:// in the uploads or outputs bucket, or of a "
            "picture data:image/…;base64,…",
        ),
    ]


class JobAnswer(BaseModel):
    """A swap, done or under way."""

    id: str
    status: Literal["queued", "running", "succeeded", "failed"]
    result: SwapAnswer | None = None
    problem: ProblemAnswer | None = None


class UploadAnswer(BaseModel):
    """Where to POST a picture as multipart/form-data: every field, then `file`; then name it by its URI."""

    uri: str
    url: str
    fields: dict[str, str]


class LinksAnswer(BaseModel):
    """Paths of this API: GET the first, DELETE the second."""

    self: str
    delete: str


class ListedAnswer(BaseModel):
    """One thing that the caller made."""

    id: str
    kind: Literal["swap", "video"]
    status: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    created_at: Annotated[str, Field(description="RFC 3339")]
    links: LinksAnswer


class ResultsAnswer(BaseModel):
    """What the caller made, the newest first."""

    items: list[ListedAnswer]
    next: Annotated[str | None, Field(description="the cursor of the next page; none where this is the last")]


class TermsAnswer(BaseModel):
    """The terms of use."""

    version: str
    text: Annotated[list[str], Field(description="what one agrees to")]
    accepted: Annotated[bool, Field(description="whether this caller has accepted them, or need not")]


class TermsBody(BaseModel):
    """What is accepted."""

    model_config = ConfigDict(extra="forbid")

    version: Annotated[str, Field(min_length=1, max_length=20, description="as GET /terms gives it")]


class GoneAnswer(BaseModel):
    """A result that is no longer there."""

    id: str
    status: Literal["deleted"]


_PROBLEMS = {
    status: said(text, ProblemAnswer, PROBLEM)
    for status, text in {
        400: "the request is not valid",
        403: "the terms of use are not accepted yet, or a face or picture may not be used here",
        404: "a picture named in the request, or the swap asked for, does not exist",
        409: "the same request is still running",
        410: "what this Idempotency-Key made is deleted or has expired",
        413: "a picture is too large",
        415: "this kind of picture is not supported",
        422: "a picture cannot be read, has no face, or may not be fetched; or the Idempotency-Key is another's",
        429: "today's budget is spent",
        500: "a fault on our side",
        502: "the server of a picture did not deliver it",
        503: "the models, the storage or a safeguard are not there",
        504: "there was not enough time",
    }.items()
}


@resolver.post(
    "/swap",
    summary="Put a face into a meme",
    responses={
        200: said("the swap is done", SwapAnswer),
        202: said("the swap is under way; Location says where to look (Prefer: respond-async)", JobAnswer),
        **_PROBLEMS,
    },
)
def post_swap(
    body: SwapBody,
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)] = None,
    prefer: Annotated[str | None, Header(alias="Prefer")] = None,
) -> Response[Any]:
    """Replaces faces of `meme` by the one in `face`. The same Idempotency-Key again gives the same result."""
    found, request = _services(), replace(body.request(), caller=_caller())
    found.terms.require(request.caller)
    if "respond-async" in (prefer or "").lower().replace(" ", "").split(","):
        return _start(body, request, idempotency_key)
    whole, answered = deadline(resolver.lambda_context), _answered_by()
    fresh: dict[str, Any] = {}

    def work() -> dict[str, Any]:
        inputs.check(request, found.settings)  # what could never be fetched costs nothing
        # A caller with an Idempotency-Key may come back for the result, so the work goes on when API Gateway has given
        # up; without one it would be for nobody.
        within = whole if idempotency_key else answered
        name = new_id()
        swapped = found.swap(request, key=f"swaps/{name}", add_extension=True, deadline=within)
        fresh.update(results.kept(asdict(swapped.result)))
        try:
            found.ledger.add(name, _caller(), results.inputs_of(request, found.settings), fresh, swapped.latent)
        except StorageFailed:
            results.remove_picture(name, found.storage, found.settings)  # it would be nobody's
            raise
        return {"id": name}

    name = _once("swap", idempotency_key, body, work)["id"]
    result = fresh or dict(_again(name).result or {})
    timing = server_timing(result["timings_ms"])
    return Response(200, content_type=JSON, body=json.dumps(_linked(result)), headers={"Server-Timing": timing})


def _again(name: str) -> SwapRecord:
    """The swap that a repeated Idempotency-Key leads to. Raises Deleted where there is none any more."""
    entry = _services().ledger.find(name)
    if entry is None:
        raise Deleted("What this Idempotency-Key made is deleted or has expired. Use a new key to make it anew.")
    return entry


def _linked(result: dict[str, Any]) -> dict[str, Any]:
    """A result with a fresh link to it."""
    found = _services()
    url = found.storage.presign_get(found.settings.outputs_bucket, result["key"], found.settings.url_seconds)
    return {**result, "url": url}


def _start(body: SwapBody, request: SwapRequest, idempotency_key: str | None) -> Response[Any]:
    found = _services()
    name = _once("start", idempotency_key, body, lambda: {"id": _submit(found, request)})["id"]
    status = _again(name).status if idempotency_key else "queued"
    return Response(
        202,
        content_type=JSON,
        body=json.dumps({"id": name, "status": status}),
        headers={"Location": f"/swap/{name}", "Preference-Applied": "respond-async", "Retry-After": "1"},
    )


def _submit(found: Services, request: SwapRequest) -> str:
    """Put the swap into the ledger, pictures inside the request into the uploads bucket, and start the workflow."""
    found.jobs.require()
    name, caller = new_id(), _caller()
    inputs.check(request, found.settings)
    found.budget.spend(caller, PAID_AT_ONCE)
    for field in ("meme", "face"):
        uri = getattr(request, field)
        if uri and inputs.is_data(uri):
            data, content_type = inputs.from_data(uri, found.settings.max_picture_bytes)
            key = f"{results.upload_prefix(caller)}{name}/{field}"
            found.storage.write(found.settings.uploads_bucket, key, data, content_type)
            staged = f"s3://{found.settings.uploads_bucket}/{key}"
            request = replace(request, meme=staged) if field == "meme" else replace(request, face=staged)
    asked = {field: value for field, value in asdict(request).items() if field not in ("caller", "queued")}
    found.ledger.queue(name, caller, asked, results.inputs_of(request, found.settings))
    try:
        found.jobs.start(name)
    except StorageFailed:
        found.ledger.remove(name)
        raise
    return name


@resolver.get(
    "/swap/<name>",
    summary="How far a swap is",
    responses={200: said("queued, running, succeeded or failed", JobAnswer), **_PROBLEMS},
)
def get_swap(name: Annotated[str, Path(description="the id that POST /swap gave")]) -> Response[Any]:
    """For who asked for it. The result has a fresh URL each time."""
    state = job(results.own(name, _caller(), _services().ledger))
    headers = {} if state.status in ("succeeded", "failed") else {"Retry-After": "1"}
    answer = {name: value for name, value in asdict(state).items() if value is not None}
    if state.result:
        answer["result"] = _linked(state.result)
    return Response(200, content_type=JSON, body=json.dumps(answer), headers=dict(headers))


@resolver.get(
    "/results",
    summary="What you made, the newest first",
    responses={200: said("a page of swaps and videos", ResultsAnswer), **_PROBLEMS},
)
def get_results(
    cursor: Annotated[str | None, Query(max_length=400, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="lines of a page")] = 20,
) -> Response[Any]:
    """Lines appear within a second or so, and go when the result is deleted or expires."""
    lines, following = _services().ledger.page(_caller(), cursor, limit)
    items = [{**asdict(line), "links": _links(line)} for line in lines]
    return Response(200, content_type=JSON, body=json.dumps({"items": items, "next": following}))


def _links(line: ResultSummary) -> dict[str, str]:
    if line.kind == "video":
        return {"self": f"/task/{line.id}", "delete": f"/task/{line.id}"}
    return {"self": f"/swap/{line.id}", "delete": f"/results/{line.id}"}


@resolver.delete(
    "/results/<name>",
    summary="Delete a result, and all that was kept to make it",
    responses={200: said("it is gone", GoneAnswer), **_PROBLEMS},
)
def delete_result(name: Annotated[str, Path(description="the id in the result's key: swaps/ID.jpg")]) -> Response[Any]:
    """The picture, the uploads that it was made of, and the latent of the face, if one was kept. A swap that is still
    under way leaves nothing."""
    found = _services()
    results.remove(results.own(name, _caller(), found.ledger), found.storage, found.ledger, found.settings)
    return Response(200, content_type=JSON, body=json.dumps({"id": name, "status": "deleted"}))


@resolver.post(
    "/uploads",
    summary="A place to upload a picture that is too large for a request",
    responses={201: said("where to send it, within five minutes", UploadAnswer), **_PROBLEMS},
)
def post_uploads() -> Response[Any]:
    """Send the file there as a form, then name it in `meme` or `face` by the `uri` given here."""
    found = _services()
    found.terms.require(_caller())
    found.budget.spend(_caller(), PAID_AT_ONCE)
    name = new_id()
    bucket, key = found.settings.uploads_bucket, f"{results.upload_prefix(_caller())}{name}/upload"
    form = found.storage.presign_post(bucket, key, found.settings.max_picture_bytes, UPLOAD_SECONDS)
    logger().info("upload form", extra={"upload": name})
    answer = {"uri": f"s3://{bucket}/{key}", "url": form["url"], "fields": form["fields"]}
    return Response(201, content_type=JSON, body=json.dumps(answer))


@resolver.post(
    "/verify",
    summary="What a file claims about how it was made, and whether this stack made it",
    responses={200: said("what its labels say", VerdictAnswer), **_PROBLEMS},
)
def post_verify(body: VerifyBody) -> Response[Any]:
    """Reads the XMP label and the signed one (C2PA). Nothing is kept, and nothing that the file names is fetched."""
    found = _services()
    within = _answered_by()
    with found.sandboxes.share(_caller()):
        found.budget.spend(_caller(), PAID_AT_ONCE)
        verdict = verify.verify(
            body.uri,
            _caller(),
            settings=found.settings,
            storage=found.storage,
            ledger=found.ledger,
            budget=found.budget,
            deadline=within,
        )
    answer = {"sentence": verdict.sentence, **asdict(verdict)}
    return Response(200, content_type=JSON, body=json.dumps(answer))


@resolver.get(
    "/terms",
    summary="The terms of use, and whether you have accepted them",
    responses={200: said("the terms", TermsAnswer), **_PROBLEMS},
)
def get_terms() -> Response[Any]:
    """Whoever makes something here accepts them once: POST /terms."""
    return _terms()


@resolver.post(
    "/terms",
    summary="Accept the terms of use, once for each version",
    responses={200: said("accepted", TermsAnswer), **_PROBLEMS},
)
def post_terms(body: TermsBody) -> Response[Any]:
    """Recorded with the time, under a pseudonym."""
    _services().terms.accept(_caller(), body.version)
    return _terms()


def _terms() -> Response[Any]:
    answer = {"version": VERSION, "text": TEXT, "accepted": _services().terms.accepted(_caller())}
    return Response(200, content_type=JSON, body=json.dumps(answer))


@resolver.get("/openapi.json", include_in_schema=False)
def get_openapi() -> Response[Any]:
    """This API's description."""
    return Response(200, content_type=JSON, body=openapi())


@cache
def openapi() -> str:
    """The OpenAPI document, as JSON."""
    return resolver.get_openapi_json_schema(
        title="Coldswap",
        version="1",
        description="Puts a face into a meme. Every result is labelled as made with a trained model and signed (C2PA).",
    )


resolver.enable_swagger(path="/docs", title="Coldswap", version="1")


render_errors(resolver, "/openapi.json and /docs")


def _services() -> Services:
    found: Services = resolver.context["services"]
    return found


def _caller() -> str:
    """The pseudonym of who asks. Raises Unidentified or StorageFailed."""
    asking: Caller = resolver.context["caller"]
    return asking.pseudonym


def _answered_by() -> Deadline:
    """When the answer must be there, as its caller sees it."""
    event = resolver.current_event.raw_event
    return deadline(resolver.lambda_context).sooner(http_seconds(event, time.time()))


def _once(what: str, key: str | None, body: SwapBody, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Once per caller and key; without a key, every time."""
    if key is None:
        return work()
    return _services().once.do((what, _caller(), key), body.model_dump_json(), work, resolver.lambda_context)


def handle(event: dict[str, Any], context: Any, found: Services) -> dict[str, Any]:
    """An event of an HTTP API (payload format 2.0) in, its answer out; never raises."""
    correlate(event["requestContext"].get("requestId") or context.aws_request_id, context.aws_request_id)
    asking = Caller(event, found.settings.auth_mode, found.pseudonyms)
    resolver.context["services"], resolver.context["caller"] = found, asking
    answer = resolver.resolve(plain(event), context)
    record(event, answer, asking)
    return answer
