"""One family of errors for every caller.

The class name is the error name that Step Functions sees, `code` is what an HTTP client or the file beside a failed
upload sees; neither ever changes once released. The detail of an error is written for the person who can mend it and
holds no secret, no picture and no query string.
"""

from __future__ import annotations

from typing import Any, ClassVar


class ColdswapError(Exception):
    """Something the caller, the operator or a retry can act on."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        self.detail = detail or self.title
        self.extra = extra
        super().__init__(self.detail)


class InternalError(ColdswapError):
    """A fault nobody foresaw; the log has the trace, the caller gets the request's id."""


class InvalidRequest(ColdswapError):
    """The request does not say what to do, or says it wrongly."""

    code, status, title = "invalid_request", 400, "The request is not valid"


class InputNotFound(ColdswapError):
    """A picture that the request names is not there."""

    code, status, title = "input_not_found", 404, "A picture named in the request does not exist"


class UnreadablePicture(ColdswapError):
    """The bytes claim to be a picture but cannot be decoded."""

    code, status, title = "unreadable_picture", 422, "The picture cannot be read"


class UnsupportedPicture(ColdswapError):
    """A kind of picture, or of anything else, that is not handled."""

    code, status, title = "unsupported_picture", 415, "This kind of picture is not supported"


class PictureTooLarge(ColdswapError):
    """More bytes or pixels than the limits allow."""

    code, status, title = "picture_too_large", 413, "The picture is too large"


class NoFaceInMeme(ColdswapError):
    """The detector found no face to replace."""

    code, status, title = "no_face_in_meme", 422, "No face was found in the meme"


class NoFaceInSource(ColdswapError):
    """The detector found no face to take."""

    code, status, title = "no_face_in_source", 422, "No face was found in the source picture"


class RefusedUrl(ColdswapError):
    """A URL that must not be fetched: wrong scheme, port or bucket, or an address that is not public."""

    code, status, title = "refused_url", 422, "This URL is not fetched"


class UpstreamFailed(ColdswapError):
    """A server that the request names did not deliver."""

    code, status, title, retryable = "upstream_failed", 502, "The server of a picture did not deliver it", True


class ModelsMissing(ColdswapError):
    """No pack is published, or a part of it is not there."""

    code, status, title = "models_missing", 503, "The models are not published"


class ModelsCorrupt(ColdswapError):
    """A manifest or a chunk of weights is not what its digest says, also after a second fetch."""

    code, status, title = "models_corrupt", 503, "The models are damaged"


class StorageFailed(ColdswapError):
    """S3, DynamoDB or Step Functions did not answer as it should, also after retries."""

    code, status, title, retryable = "storage_failed", 503, "Storage did not answer", True


class StorageFull(ColdswapError):
    """The sandbox's disk has no room left."""

    code, status, title, retryable = "storage_full", 507, "There is no room left for work files", True


class OutOfTime(ColdswapError):
    """The time given to this request ends before the work could."""

    code, status, title, retryable = "out_of_time", 504, "There was not enough time", True


class NotFound(ColdswapError):
    """No such path, or no such swap."""

    code, status, title = "not_found", 404, "There is nothing here"


class IdempotencyConflict(ColdswapError):
    """An Idempotency-Key was used again with another request."""

    code, status, title = "idempotency_conflict", 422, "This Idempotency-Key belongs to another request"


class StillRunning(ColdswapError):
    """The same request is being worked on by another invocation."""

    code, status, title, retryable = "still_running", 409, "The same request is still running", True


def family() -> dict[str, type[ColdswapError]]:
    """Every error by its class name, which is its name in a state machine."""
    found: dict[str, type[ColdswapError]] = {}
    waiting: list[type[ColdswapError]] = [ColdswapError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting.extend(kind.__subclasses__())
    return found


def problem(error: ColdswapError, instance: str | None = None) -> dict[str, Any]:
    """The error as RFC 9457 has it: type, title, status, detail, instance, and our code and whether to retry."""
    document: dict[str, Any] = {
        "type": f"urn:coldswap:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
        "retryable": error.retryable,
    }
    if instance:
        document["instance"] = instance
    return document | {name: value for name, value in error.extra.items() if name not in document}
