"""What every HTTP entry does alike: who asks, mistakes in a request, and errors as problem documents (RFC 9457)."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Mapping
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel, ConfigDict, Field

from layers.core.errors import ColdswapError, InternalError, InvalidRequest, NotFound, problem
from layers.core.identity import AuthMode, identity
from layers.core.pseudonyms import Pseudonyms
from layers.core.telemetry import count_fault, logger

JSON = "application/json"
PROBLEM = "application/problem+json"
MOST_TOLD = 20  # mistakes of one request
_LONGEST_TOLD = 200  # characters of a field's name, which may be the caller's
ANSWER_SECONDS = 29.0  # from API Gateway's taking a request: after 30 it answers 503 itself (API Gateway quotas)
MOST_WAITED = 20.0  # seconds; what looks longer is a clock that is wrong
RETRY_SECONDS = 2  # where an error that a retry can cure does not say more


class ProblemAnswer(BaseModel):
    """An error as RFC 9457 has it."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="what is wrong and what to do")]
    code: Annotated[str, Field(description="stable")]
    retryable: Annotated[bool, Field(description="whether the same request may succeed later")]
    instance: str | None = None


def said(description: str, model: type[Any], media: str = JSON) -> OpenAPIResponse:
    """An answer as OpenAPI describes it."""
    return {"description": description, "content": {media: {"model": model}}}


class Caller:
    """Who asks, looked up when first needed."""

    def __init__(self, event: Mapping[str, Any], mode: AuthMode, pseudonyms: Pseudonyms) -> None:
        self._event, self._mode, self._pseudonyms = event, mode, pseudonyms
        self.log: dict[str, str] = {}  # what the log tells of the caller

    @property
    def pseudonym(self) -> str:
        """What the caller is called wherever something is kept. Raises Unidentified or StorageFailed."""
        if not self.log:
            name = identity(self._event, self._mode)
            self.log = {"caller": self._pseudonyms.caller(name), "identity": name}
        return self.log["caller"]


def plain(event: dict[str, Any]) -> dict[str, Any]:
    """The event with its body as JSON text, whatever the request called it."""
    body = event.get("body")
    if event.get("isBase64Encoded"):
        # What is not text is then not JSON either, which is answered as any other mistake in a body.
        body = base64.b64decode(body or "").decode(errors="replace")
    # curl -d calls every body a form; here all of them are JSON.
    headers = {**(event.get("headers") or {}), "content-type": JSON}
    return {**event, "body": body, "isBase64Encoded": False, "headers": headers}


def parse(text: str) -> Any:
    """A body's JSON. Raises JSONDecodeError, also for what json.loads fails at otherwise: depth, and endless digits."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError):
        raise json.JSONDecodeError("too deep, or a number too long", "", 0) from None


def invalid(errors: Any) -> InvalidRequest:
    """One error of ours for pydantic's list of them, the first of very many."""
    told = [
        {"field": f"{'.'.join(str(part) for part in each['loc']):.{_LONGEST_TOLD}}", "message": str(each["msg"])}
        for each in itertools.islice(errors, MOST_TOLD)
    ]
    return InvalidRequest("; ".join(f"{each['field']}: {each['message']}" for each in told) + ".", errors=told)


def http_seconds(event: Mapping[str, Any], now: float) -> float:
    """Seconds left to answer a request of an HTTP API: it has waited since `timeEpoch` for a sandbox and its start.

    `now` is the epoch in seconds. Clocks differ a little, so a request is neither from the future nor very old.
    """
    taken = event.get("requestContext", {}).get("timeEpoch")  # milliseconds
    waited = now - taken / 1000 if isinstance(taken, int) else 0.0
    return ANSWER_SECONDS - min(max(waited, 0.0), MOST_WAITED)


def request_urn(request_id: str) -> str:
    """The instance of a problem, by which the log has the request."""
    return f"urn:coldswap:request:{request_id}"


def record(event: Mapping[str, Any], answer: Mapping[str, Any], caller: Caller) -> None:
    """One line of the log for each request: who asked, what was answered, and the id told in `Location`; no path of a
    request, no address."""
    http = event.get("requestContext", {}).get("http", {})
    headers = {name.lower(): value for name, value in (answer.get("headers") or {}).items()}
    location = str(headers.get("location", ""))
    ids = {"leads_to": location} if location.startswith("/") else {}
    if headers.get("content-type") == PROBLEM:
        ids["code"] = json.loads(answer["body"])["code"]
    facts = {"method": http.get("method"), "status": answer.get("statusCode"), **caller.log, **ids}
    logger().info("answered", extra=facts)


def render_errors(resolver: APIGatewayHttpResolver, documentation: str) -> None:
    """Let the resolver answer every error with a problem document; `documentation` says where the API is described."""

    def render(error: ColdswapError) -> Response[Any]:
        count_fault(error)
        request_id = resolver.current_event.raw_event.get("requestContext", {}).get("requestId")
        document = problem(error, instance=request_urn(request_id) if request_id else None)
        patience = error.extra.get("retry_after") or (RETRY_SECONDS if error.retryable else None)
        headers: dict[str, str | list[str]] = {"Retry-After": str(patience)} if patience else {}
        return Response(error.status, content_type=PROBLEM, body=json.dumps(document), headers=headers)

    def render_invalid(error: RequestValidationError) -> Response[Any]:
        return render(invalid(error.errors()))

    def render_unforeseen(_: Exception) -> Response[Any]:
        logger().exception("unforeseen")
        return render(InternalError("Something went wrong on our side; the log has it under this request's id."))

    def render_not_found(_: Exception) -> Response[Any]:
        event = resolver.current_event
        return render(NotFound(f"There is nothing at {event.http_method} {event.path}. See {documentation}."))

    resolver.exception_handler(ColdswapError)(render)
    resolver.exception_handler(RequestValidationError)(render_invalid)
    resolver.exception_handler(Exception)(render_unforeseen)
    resolver.not_found(render_not_found)
