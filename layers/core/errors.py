"""One family of errors for every caller.

The class name is the error name that Step Functions sees, `code` is what an HTTP client or the file beside a failed
upload sees; neither ever changes once released. The detail of an error is written for the person who can mend it and
holds no secret, no picture and no query string.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

Fault = Literal["release", "stack"]


class ColdswapError(Exception):
    """Something the caller, the operator or a retry can act on."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong on our side"
    retryable: ClassVar[bool] = False
    fault: Fault | None = None
    """What an operator should hear of: a fault that a new release may have brought, or one of what the stack relies on
    (models, keys, services). None for what a caller can mend, and where patience is asked for."""

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        self.detail = detail or self.title
        self.extra = extra
        super().__init__(self.detail)


class InternalError(ColdswapError):
    """A fault nobody foresaw; the log has the trace, the caller gets the request's id."""

    fault = "release"


class InvalidRequest(ColdswapError):
    """The request does not say what to do, or says it wrongly."""

    code, status, title = "invalid_request", 400, "The request is not valid"


class InputNotFound(ColdswapError):
    """A file that the request names is not there."""

    code, status, title = "input_not_found", 404, "A file that the request names does not exist"


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

    code, status, title, retryable = "upstream_failed", 502, "A server that the request names did not deliver", True
    sent: bool = True
    """Whether the request may have reached the server; what was not sent has changed nothing there."""


class ModelsMissing(ColdswapError):
    """No pack is published, or a part of it is not there."""

    code, status, title = "models_missing", 503, "The models are not published"
    fault = "stack"


class ModelsCorrupt(ColdswapError):
    """A manifest or a chunk of weights is not what its digest says, also after a second fetch."""

    code, status, title = "models_corrupt", 503, "The models are damaged"
    fault = "stack"


class StorageFailed(ColdswapError):
    """S3, DynamoDB or Step Functions did not answer as it should, also after retries."""

    code, status, title, retryable = "storage_failed", 503, "Storage did not answer", True
    fault = "release"


class StorageFull(ColdswapError):
    """The sandbox's disk has no room left."""

    code, status, title, retryable = "storage_full", 507, "There is no room left for work files", True
    fault = "release"


class LabelFailed(ColdswapError):
    """A result could not be signed as made with a model, so nobody gets it."""

    code, status, title = "label_failed", 500, "The result could not be labelled"
    fault = "release"


class OutOfTime(ColdswapError):
    """The time given to this request ends before the work could."""

    code, status, title, retryable = "out_of_time", 504, "There was not enough time", True


class NotFound(ColdswapError):
    """No such path, or no such swap."""

    code, status, title = "not_found", 404, "There is nothing here"


class IdempotencyConflict(ColdswapError):
    """An Idempotency-Key was used again with another request."""

    code, status, title = "idempotency_conflict", 422, "This Idempotency-Key belongs to another request"


class Deleted(ColdswapError):
    """What an Idempotency-Key made is no longer there."""

    code, status, title = "deleted", 410, "What was made is no longer there"


class StillRunning(ColdswapError):
    """The same request is being worked on by another invocation."""

    code, status, title, retryable = "still_running", 409, "The same request is still running", True


class Unidentified(ColdswapError):
    """The request is authorised, but by credentials that name nobody."""

    code, status, title = "unidentified", 403, "These credentials do not say who is calling"


class TermsNotAccepted(ColdswapError):
    """The caller has not accepted the terms of use, or not their present version."""

    code, status, title = "terms_not_accepted", 403, "The terms of use are not accepted"


class FaceRefused(ColdswapError):
    """The source picture shows someone on the operator's do-not-swap list."""

    code, status, title = "face_refused", 403, "This face may not be used here"


class ContentRefused(ColdswapError):
    """The operator's classifier takes a picture for one that may not be used."""

    code, status, title = "content_refused", 403, "This picture may not be used here"


class SafeguardFailed(ColdswapError):
    """The do-not-swap list or the content gate cannot do its work, so nothing is made. The operator must mend it."""

    code, status, title = "safeguard_failed", 503, "A safeguard could not do its work"
    fault = "stack"


class BudgetSpent(ColdswapError):
    """The caller has asked for as much as it may in a day. A retry helps tomorrow, so none is made."""

    code, status, title = "budget_spent", 429, "Today's budget is spent"


class AtCapacity(ColdswapError):
    """As many videos as allowed are being made, or a function was busy for longer than its workflow waits."""

    code, status, title, retryable = "at_capacity", 503, "There is no room at the moment", True


class VideoError(ColdswapError):
    """What only the making of a video can end with."""


class NotReady(VideoError):
    """The video is not finished, or never will be."""

    code, status, title = "not_ready", 409, "The video is not finished"


class Expired(VideoError):
    """The video was made too long ago and is deleted."""

    code, status, title = "expired", 410, "The video has expired"


class Cancelled(VideoError):
    """The task was cancelled while a step was at work."""

    code, status, title = "cancelled", 409, "The task was cancelled"


class KeysMissing(VideoError):
    """The operator has not given the keys of the voice or footage service."""

    code, status, title = "keys_missing", 503, "The keys of a service are not configured"
    fault = "stack"


class KeyRejected(VideoError):
    """The voice or footage service does not accept the operator's key."""

    code, status, title = "key_rejected", 502, "A service does not accept its key"
    fault = "stack"


class QuotaExceeded(VideoError):
    """The operator's quota at the voice or footage service is used up."""

    code, status, title = "quota_exceeded", 503, "The quota at a service is used up"
    fault = "stack"


class RateLimited(VideoError):
    """The voice or footage service asks for patience."""

    code, status, title, retryable = "rate_limited", 503, "A service asks for patience", True


class ProviderFailed(VideoError):
    """The voice or footage service did not answer as it should."""

    code, status, title, retryable = "provider_failed", 502, "A service did not answer as it should", True
    fault = "stack"


class SpeechNotDelivered(VideoError):
    """As many requests for a part of the script as may be paid were sent, and no speech came back."""

    code, status, title = "speech_not_delivered", 502, "The voice service did not deliver what it may have charged for"
    fault = "stack"


class WorkGone(VideoError):
    """An intermediate file of a video was deleted while a step relied on it. Earlier steps make it again."""

    code, status, title, retryable = "work_gone", 503, "An intermediate file is gone", True
    fault = "stack"


class ProviderRefused(VideoError):
    """The voice or footage service refuses this request: an unknown voice, or text that it does not speak."""

    code, status, title = "provider_refused", 422, "A service refuses this request"


class NoFootage(VideoError):
    """No stock footage was found, also for more general words, or none of it could be used."""

    code, status, title = "no_footage", 422, "No footage was found"


class ScriptTooLong(VideoError):
    """The script, or the time it takes to speak it, is over the limit."""

    code, status, title = "script_too_long", 413, "The script is too long"


class UnreadableMedia(VideoError):
    """A file claims to be sound or video but cannot be read."""

    code, status, title = "unreadable_media", 502, "A media file cannot be read"


class MediaTooLarge(VideoError):
    """A media file has more bytes or pixels than the limits allow."""

    code, status, title = "media_too_large", 413, "A media file is too large"


class EncodingFailed(VideoError):
    """ffmpeg failed for a reason that is not in its input."""

    code, status, title, retryable = "encoding_failed", 500, "Encoding failed", True
    fault = "release"


class CallbackFailed(VideoError):
    """The callback URL did not take the message. Never fails a task."""

    code, status, title, retryable = "callback_failed", 502, "The callback URL did not take the message", True


class ObjectNotFound(Exception):
    """There is no such object in a bucket. Each function answers with an error of its own."""


class TooLarge(Exception):
    """A file has more bytes than its reader allows. Each function answers with an error of its own."""


def family(root: type[ColdswapError] = ColdswapError) -> dict[str, type[ColdswapError]]:
    """`root` and every error under it by its class name, which is its name in a state machine."""
    found: dict[str, type[ColdswapError]] = {}
    waiting: list[type[ColdswapError]] = [root]
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
