"""The worker's HTTP API, as a WSGI application: cog's contract, and SageMaker's two paths.

GET  /health-check                    how it is: STARTING, READY, BUSY or SETUP_FAILED
POST /predictions                     swap crops; with Prefer: respond-async, later
PUT  /predictions/ID                  the same once, however often it is sent
GET  /predictions/ID                  how far it is (not in cog)
POST /predictions/ID/cancel
GET  /ping                            SageMaker and RunPod: 200 once it is ready
POST /invocations                     SageMaker: POST /predictions, waited for
"""

from __future__ import annotations

import hmac
import json
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from layers.core.errors import RefusedUrl
from layers.core.http_fetch import check_url
from layers.engine.crop_job import CropJob
from workers.gpu.predictions import ENDS, AllBusy, Prediction, Predictions

MOST_BODY_BYTES = 6 << 20  # a job of MOST_CROPS has 4.4 MiB
WAIT_SECONDS = 60.0  # before a request that waits is answered with how far it is
_WAITS = re.compile(r"(?:^|,)\s*wait=(\d{1,3})\s*(?:,|$)")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_OPEN_PATHS = ("/health-check", "/ping")  # for whoever watches it

Environ = Mapping[str, Any]


@dataclass
class Setup:
    """Whether the models are loaded. `failure` is a sentence for the operator."""

    ready: bool = False
    failure: str = ""
    device: str = "cpu"


@dataclass(frozen=True)
class Answer:
    """A status, and a JSON document or nothing."""

    status: int
    document: Any = None


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, detail: str) -> None:
        self.answer = Answer(status, {"detail": detail})


class App:
    """A WSGI application."""

    def __init__(self, predictions: Predictions, setup: Setup, token: str = "") -> None:
        """`token`: what callers must show as a bearer; "" lets anyone in, and is for one's own machine."""
        self._predictions = predictions
        self._setup = setup
        self._token = token.encode()

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request."""
        try:
            answer = self._answer(environ)
        except Refusal as refusal:
            answer = refusal.answer
        body = b"" if answer.document is None else json.dumps(answer.document).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{answer.status} {_REASONS[answer.status]}", headers)
        return [body]

    def _answer(self, environ: Environ) -> Answer:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        if path not in _OPEN_PATHS:
            self._check_token(environ)
        match method, path.strip("/").split("/"):
            case "GET", ["health-check"]:
                return Answer(200, self._health())
            case "GET", ["ping"]:
                return Answer(200 if self._setup.ready else 503 if self._setup.failure else 204)
            case "GET", [""]:
                return Answer(200, _INDEX)
            case "POST", ["predictions"]:
                return self._create(environ, None)
            case "POST", ["invocations"]:
                return self._create(environ, None, waits=True)
            case "PUT", ["predictions", name]:
                return self._create(environ, name)
            case "GET", ["predictions", name]:
                return Answer(200, self._require(name).document())
            case "POST", ["predictions", name, "cancel"]:
                if not self._predictions.cancel(name):
                    raise Refusal(404, "there is no such prediction, or it has ended")
                return Answer(200, {})
        raise Refusal(404, "there is no such path")

    def _check_token(self, environ: Environ) -> None:
        scheme, _, value = str(environ.get("HTTP_AUTHORIZATION", "")).partition(" ")
        shown = value.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""
        if self._token and not hmac.compare_digest(shown, self._token):
            raise Refusal(401, "the bearer token is missing or wrong")

    def _create(self, environ: Environ, name: str | None, waits: bool = False) -> Answer:
        if not self._setup.ready:
            raise Refusal(503, self._setup.failure or "the models are being loaded")
        if name is not None and not _ID.fullmatch(name):
            raise Refusal(422, "an id has up to 64 letters, digits, - and _")
        body = _read_json(environ)
        try:
            job, webhook = CropJob.from_input(body.get("input")), _read_webhook(body)
            prediction = self._predictions.create(name or uuid.uuid4().hex, job, webhook)
        except ValueError as error:
            raise Refusal(422, str(error)) from None
        except AllBusy:
            raise Refusal(409, "all prediction slots are in use") from None
        prefer = str(environ.get("HTTP_PREFER", "")).lower()
        if "respond-async" in prefer and not waits:
            return Answer(202, prediction.document())
        wait = _WAITS.search(prefer)
        self._predictions.wait(prediction, min(float(wait[1]), WAIT_SECONDS) if wait else WAIT_SECONDS)
        return Answer(200 if prediction.status in ENDS else 202, prediction.document())

    def _require(self, name: str) -> Prediction:
        prediction = self._predictions.find(name)
        if prediction is None:
            raise Refusal(404, "there is no such prediction, or it is forgotten")
        return prediction

    def _health(self) -> dict[str, Any]:
        setup, status = "succeeded", "BUSY" if self._predictions.busy else "READY"
        if not self._setup.ready:
            setup, status = ("failed", "SETUP_FAILED") if self._setup.failure else ("starting", "STARTING")
        document: dict[str, Any] = {"status": status, "setup": {"status": setup}, "device": self._setup.device}
        if self._setup.failure:
            document["setup"]["logs"] = self._setup.failure
        return document


_REASONS = {
    200: "OK",
    202: "Accepted",
    204: "No Content",
    401: "Unauthorized",
    404: "Not Found",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    503: "Service Unavailable",
}
_INDEX = {
    "healthcheck_url": "/health-check",
    "predictions_url": "/predictions",
    "predictions_idempotent_url": "/predictions/{prediction_id}",
    "predictions_cancel_url": "/predictions/{prediction_id}/cancel",
}


def _read_json(environ: Environ) -> Mapping[str, Any]:
    length = str(environ.get("CONTENT_LENGTH") or "0")
    size = int(length) if length.isascii() and length.isdigit() else 0
    if size > MOST_BODY_BYTES:
        raise Refusal(413, f"a request has at most {MOST_BODY_BYTES} bytes")
    try:
        body = json.loads(environ["wsgi.input"].read(size))
    except (ValueError, RecursionError):
        raise Refusal(422, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refusal(422, "the body must be an object with input")
    return body


def _read_webhook(body: Mapping[str, Any]) -> str | None:
    """Where the end of a prediction is to be told. Raises ValueError."""
    webhook, events = body.get("webhook"), body.get("webhook_events_filter", ["completed"])
    if webhook is None:
        return None
    if not isinstance(webhook, str) or not isinstance(events, list):
        raise ValueError("webhook must be a URL, and webhook_events_filter a list")
    try:
        check_url(webhook)
    except RefusedUrl as error:
        raise ValueError(f"webhook: {error.detail}") from None
    return webhook if "completed" in events else None
