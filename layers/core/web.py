"""What both HTTP APIs share: who calls, mistakes in a request, and errors as RFC 9457 problem documents."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Annotated, Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from pydantic import BaseModel, ConfigDict, Field

from layers.core.errors import ColdswapError, InternalError, NotFound, problem
from layers.core.identity import AuthMode, identity
from layers.core.mistakes import invalid_request
from layers.core.pseudonyms import Pseudonyms
from layers.core.telemetry import count_fault, logger

JSON = "application/json"
PROBLEM = "application/problem+json"
RESPONSE_SECONDS = 29.0  # after API Gateway received the request; after 30 it responds 503 itself (API Gateway quotas)
MAX_WAIT_SECONDS = 20.0  # before the handler starts; what looks longer is a wrong clock
RETRY_SECONDS = 2  # of Retry-After, where a retryable error does not say more


class ProblemResponse(BaseModel):
    """An error as an RFC 9457 problem document."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="what is wrong and what to do")]
    code: Annotated[str, Field(description="stable")]
    retryable: Annotated[bool, Field(description="whether the same request may succeed later")]
    instance: str | None = None


def response_schema(description: str, model: type[Any], media: str = JSON) -> OpenAPIResponse:
    """Describe a response in OpenAPI's terms."""
    return {"description": description, "content": {media: {"model": model}}}


class Caller:
    """The caller of a request, identified when first needed."""

    def __init__(self, event: Mapping[str, Any], mode: AuthMode, pseudonyms: Pseudonyms) -> None:
        self._event, self._mode, self._pseudonyms = event, mode, pseudonyms
        self.log: dict[str, str] = {}  # what a line of the log says of the caller

    @property
    def pseudonym(self) -> str:
        """The caller's name wherever anything is stored. Raises Unidentified or StorageFailed."""
        if not self.log:
            name = identity(self._event, self._mode)
            self.log = {"caller": self._pseudonyms.caller(name), "identity": name}
        return self.log["caller"]


def as_json_request(event: dict[str, Any]) -> dict[str, Any]:
    """The event with its body as JSON text, whatever media type the request names."""
    body = event.get("body")
    if event.get("isBase64Encoded"):
        # A body that is not text will not be JSON either, and is reported like any other mistake in a body.
        body = base64.b64decode(body or "").decode(errors="replace")
    return replace_body(event, body)


def replace_body(event: dict[str, Any], body: Any) -> dict[str, Any]:
    """The event with another body, which counts as JSON: curl -d calls every body a form."""
    headers = {name: value for name, value in (event.get("headers") or {}).items() if name.lower() != "content-type"}
    return {**event, "body": body, "isBase64Encoded": False, "headers": {**headers, "content-type": JSON}}


def header(event: Mapping[str, Any], name: str) -> str:
    """A header of the request, by its name in small letters, as which API Gateway hands it on; other servers may not.

    Empty where there is none.
    """
    headers = event.get("headers") or {}
    return next((str(value) for key, value in headers.items() if key.lower() == name), "")


def parse_json(text: str) -> Any:
    """Parse a body. Raises JSONDecodeError, whose message says where the mistake is, also where json.loads fails in
    another way (nesting, very long numbers)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        message = f"line {error.lineno}, column {error.colno}: {error.msg[:1].lower()}{error.msg[1:]}"
        raise json.JSONDecodeError(message, text, error.pos) from None
    except (RecursionError, ValueError):
        raise json.JSONDecodeError("nested too deeply, or a number is too long", "", 0) from None


def http_seconds(event: Mapping[str, Any], now: float) -> float:
    """Seconds left to respond to a request of an HTTP API, which has waited since `timeEpoch` for a sandbox to start.

    `now` is in seconds of the epoch. Clocks differ, so a request that seems to be from the future is taken for new, and
    one that seems very old for MAX_WAIT_SECONDS old.
    """
    epoch_ms = event.get("requestContext", {}).get("timeEpoch")
    wait = now - epoch_ms / 1000 if isinstance(epoch_ms, int) else 0.0
    return RESPONSE_SECONDS - min(max(wait, 0.0), MAX_WAIT_SECONDS)


def request_urn(request_id: str) -> str:
    """The `instance` of a problem document, by whose id the log has the request."""
    return f"urn:coldswap:request:{request_id}"


def log_request(event: Mapping[str, Any], response: Mapping[str, Any], caller: Caller) -> None:
    """Log one line for a request: the caller, the status, and the path in `Location`; not the request's own path, nor
    an IP address."""
    http = event.get("requestContext", {}).get("http", {})
    headers = {name.lower(): value for name, value in (response.get("headers") or {}).items()}
    location = str(headers.get("location", ""))
    ids = {"leads_to": location} if location.startswith("/") else {}
    if headers.get("content-type") == PROBLEM:
        ids["code"] = json.loads(response["body"])["code"]
    facts = {"method": http.get("method"), "status": response.get("statusCode"), **caller.log, **ids}
    logger().info("answered", extra=facts)


def render_errors(resolver: APIGatewayHttpResolver, documentation: str) -> None:
    """Let the resolver render every error as a problem document; `documentation` is where the API is described."""

    def render(error: ColdswapError) -> Response[Any]:
        count_fault(error)
        request_id = resolver.current_event.raw_event.get("requestContext", {}).get("requestId")
        document = problem(error, instance=request_urn(request_id) if request_id else None)
        retry_after = error.extra.get("retry_after") or (RETRY_SECONDS if error.retryable else None)
        headers: dict[str, str | list[str]] = {"Retry-After": str(retry_after)} if retry_after else {}
        return Response(error.status, content_type=PROBLEM, body=json.dumps(document), headers=headers)

    def render_invalid(error: RequestValidationError) -> Response[Any]:
        try:
            body = resolver.current_event.json_body
        except (ValueError, TypeError):  # it is not JSON, or there is none
            body = None
        return render(invalid_request(error.errors(), body, "body"))

    def render_unforeseen(_: Exception) -> Response[Any]:
        logger().exception("unforeseen")
        return render(InternalError("Something went wrong on our side. The log has details under this request's id."))

    def render_not_found(_: Exception) -> Response[Any]:
        event = resolver.current_event
        return render(NotFound(f"There is nothing at {event.http_method} {event.path}. See {documentation}."))

    resolver.exception_handler(ColdswapError)(render)
    resolver.exception_handler(RequestValidationError)(render_invalid)
    resolver.exception_handler(Exception)(render_unforeseen)
    resolver.not_found(render_not_found)
