"""Routes of batches: one face for many uploads."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, cast

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.api_gateway import Router
from aws_lambda_powertools.event_handler.openapi.params import Header, Path
from aws_lambda_powertools.event_handler.router import APIGatewayHttpRouter

from functions.swap.batch import report, submission
from functions.swap.batch.values import Batch
from functions.swap.entry.responses import PROBLEMS, BatchResponse
from functions.swap.entry.schemas import BatchBody
from functions.swap.result_link import link_to_result
from functions.swap.services import Services
from layers.core.errors import InternalError, family, problem
from layers.core.web import JSON, response_schema

RETRY_SECONDS = "5"  # after which asking again makes sense

router: Router = cast(Any, APIGatewayHttpRouter)()  # powertools leaves its making untyped
Name = Annotated[str, Path(description="the id from POST /batches")]


@router.post(
    "/batches",
    summary="Put a face into every meme of a batch",
    responses={202: response_schema("the batch is in progress; Location is where to ask", BatchResponse), **PROBLEMS},
)
def post_batch(
    body: BatchBody,
    idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)] = None,
) -> Response[Any]:
    """Upload the memes by POST /uploads with the same `batch`. The same request again is the same batch: while it is in
    progress nothing changes; once it is over, what failed and what is new under its name is swapped, and nothing
    else."""
    services, caller = _services(), _caller()
    services.terms.require(caller)

    def work() -> dict[str, Any]:
        return {"id": submission.submit(services, body.request(), body.batch, caller).id}

    name = _run_once(idempotency_key, body, work)["id"]
    batch = submission.find_own(services, name, caller)
    headers = {"Location": f"/batches/{name}", "Retry-After": RETRY_SECONDS}
    return Response(202, content_type=JSON, body=json.dumps(_describe(batch)), headers=dict(headers))


@router.get(
    "/batches/<name>",
    summary="Get the state of a batch",
    responses={200: response_schema("queued, running, succeeded, failed or deleting", BatchResponse), **PROBLEMS},
)
def get_batch(name: Name) -> Response[Any]:
    """Only for the caller who submitted it. `report` is a link to a JSON document with every meme: the id and key of
    its swap, or why there is none. `succeeded` says that every meme was tried, not that each was swapped."""
    batch = submission.find_own(_services(), name, _caller())
    headers = {} if batch.status in ("succeeded", "failed") else {"Retry-After": RETRY_SECONDS}
    return Response(200, content_type=JSON, body=json.dumps(_describe(batch)), headers=dict(headers))


@router.delete(
    "/batches/<name>",
    summary="Stop a batch, and delete everything that it made and was made from",
    responses={202: response_schema("the batch is being deleted", BatchResponse), **PROBLEMS},
)
def delete_batch(name: Name) -> Response[Any]:
    """Deletes its results, its report, its uploads, and the batch itself; until all of it is gone, the status is
    `deleting`."""
    services = _services()
    batch = submission.find_own(services, name, _caller())
    submission.delete(services, batch)
    document = {"id": name, "status": "deleting"}
    return Response(202, content_type=JSON, body=json.dumps(document), headers={"Retry-After": RETRY_SECONDS})


def _describe(batch: Batch) -> dict[str, Any]:
    services = _services()
    cost = report.price(batch.compute_ms, batch.remote_dollars, services.settings.memory_mb)
    document: dict[str, Any] = {
        "id": batch.id,
        "status": batch.status,
        "counts": {"done": batch.done, "failed": batch.failed, "total": batch.total},
        "cost": asdict(cost),
    }
    if batch.status in ("succeeded", "failed"):
        document["report"] = link_to_result(batch.report_key, services.storage, services.settings)
    if batch.status == "failed":
        kind = family().get(batch.error, InternalError)
        document["problem"] = problem(kind(batch.cause or None), instance=f"/batches/{batch.id}")
    return document


def _services() -> Services:
    services: Services = router.context["services"]
    return services


def _caller() -> str:
    """The caller's pseudonym. Raises Unidentified or StorageFailed."""
    pseudonym: str = router.context["caller"].pseudonym
    return pseudonym


def _run_once(key: str | None, body: BatchBody, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Do the work once per caller and key; without a key, every time."""
    if key is None:
        return work()
    return _services().idempotency.run(("batch", _caller(), key), body.model_dump_json(), work, router.lambda_context)
