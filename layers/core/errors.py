"""The errors of both functions, in one family with one meaning for every caller:

    ColdswapError
    ├── InternalError               500  internal_error
    ├── InvalidRequest              400  invalid_request
    ├── InputNotFound               404  input_not_found
    ├── UnreadablePicture           422  unreadable_picture
    ├── UnsupportedPicture          415  unsupported_picture
    ├── PictureTooLarge             413  picture_too_large
    ├── NoFaceInMeme                422  no_face_in_meme
    ├── NoFaceInSource              422  no_face_in_source
    ├── RefusedUrl                  422  refused_url
    ├── UpstreamFailed              502  upstream_failed
    ├── ModelsMissing               503  models_missing
    ├── ModelsCorrupt               503  models_corrupt
    ├── StorageFailed               503  storage_failed
    ├── StorageFull                 507  storage_full
    ├── LabelFailed                 500  label_failed
    ├── OutOfTime                   504  out_of_time
    ├── NotFound                    404  not_found
    ├── IdempotencyConflict         422  idempotency_conflict
    ├── Deleted                     410  deleted
    ├── StillRunning                409  still_running
    ├── Unidentified                403  unidentified
    ├── TermsNotAccepted            403  terms_not_accepted
    ├── FaceRefused                 403  face_refused
    ├── ContentRefused              403  content_refused
    ├── SafeguardFailed             503  safeguard_failed
    ├── BudgetSpent                 429  budget_spent
    ├── AtCapacity                  503  at_capacity
    ├── MovingMeme                  422  moving_meme
    ├── WorkGone                    503  work_gone
    ├── EncodingFailed              500  encoding_failed
    └── VideoError
        ├── NotReady                409  not_ready
        ├── Expired                 410  expired
        ├── Cancelled               409  cancelled
        ├── KeysMissing             503  keys_missing
        ├── KeyRejected             502  key_rejected
        ├── QuotaExceeded           503  quota_exceeded
        ├── RateLimited             503  rate_limited
        ├── ProviderFailed          502  provider_failed
        ├── SpeechNotDelivered      502  speech_not_delivered
        ├── ProviderRefused         422  provider_refused
        ├── NoFootage               422  no_footage
        ├── ScriptTooLong           413  script_too_long
        ├── UnsupportedScript       422  unsupported_script
        ├── FontUnusable            503  font_unusable
        ├── FontsMissing            503  fonts_missing
        ├── UnreadableMedia         502  unreadable_media
        ├── MediaTooLarge           413  media_too_large
        └── CallbackFailed          502  callback_failed

The class name is the error's name in a state machine, and `code` is what HTTP clients, and readers of the file beside a
failed upload, go by; neither ever changes once released. `status` is HTTP's. The detail of an error is written for the
person who can fix it, and holds no secret, no picture and no query string.

ObjectNotFound and TooLarge are not of the family: each function translates them into an error of its own.
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
    """Whose fault it is, where an operator should be alerted: "release" for what a new release may have broken, "stack"
    for what the stack relies on (models, keys, services). None for what the caller can fix, or waiting cures."""

    def __init__(self, detail: str | None = None, **extra: Any) -> None:
        self.detail = detail or self.title
        self.extra = extra
        super().__init__(self.detail)


class InternalError(ColdswapError):
    """An unforeseen fault: the log has the traceback, the caller gets the request's id."""

    fault = "release"


class InvalidRequest(ColdswapError):
    """The request lacks a field, or one of its fields is not valid."""

    code, status, title = "invalid_request", 400, "The request is not valid"


class InputNotFound(ColdswapError):
    """A file that the request names does not exist."""

    code, status, title = "input_not_found", 404, "A file that the request names does not exist"


class UnreadablePicture(ColdswapError):
    """The bytes claim to be a picture but cannot be decoded."""

    code, status, title = "unreadable_picture", 422, "The picture cannot be read"


class UnsupportedPicture(ColdswapError):
    """The file is not in one of the supported formats."""

    code, status, title = "unsupported_picture", 415, "This picture format is not supported"


class PictureTooLarge(ColdswapError):
    """The picture has more bytes or pixels than the limits allow."""

    code, status, title = "picture_too_large", 413, "The picture is too large"


class NoFaceInMeme(ColdswapError):
    """The detector found no face to replace in the meme."""

    code, status, title = "no_face_in_meme", 422, "No face was found in the meme"


class NoFaceInSource(ColdswapError):
    """The detector found no face in the source picture."""

    code, status, title = "no_face_in_source", 422, "No face was found in the source picture"


class RefusedUrl(ColdswapError):
    """A URL that must not be fetched: wrong scheme, port or bucket, or an address that is not public."""

    code, status, title = "refused_url", 422, "This URL is not allowed"


class UpstreamFailed(ColdswapError):
    """A server that the request names did not deliver."""

    code, status, title, retryable = "upstream_failed", 502, "A server that the request names did not deliver", True
    sent: bool = True
    """Whether the request may have reached the server; what was not sent has changed nothing there."""


class ModelsMissing(ColdswapError):
    """No pack of models is published, or a part of it is missing."""

    code, status, title = "models_missing", 503, "The models are not published"
    fault = "stack"


class ModelsCorrupt(ColdswapError):
    """A manifest or a chunk of weights does not match its digest, even when fetched again."""

    code, status, title = "models_corrupt", 503, "The models are damaged"
    fault = "stack"


class StorageFailed(ColdswapError):
    """S3, DynamoDB or Step Functions failed, even after retries."""

    code, status, title, retryable = "storage_failed", 503, "Storage did not respond", True
    fault = "release"


class StorageFull(ColdswapError):
    """The sandbox's disk is full."""

    code, status, title, retryable = "storage_full", 507, "There is no disk space left for temporary files", True
    fault = "release"


class LabelFailed(ColdswapError):
    """A result could not be labelled and signed as made with a model, so it is not delivered."""

    code, status, title = "label_failed", 500, "The result could not be labelled"
    fault = "release"


class OutOfTime(ColdswapError):
    """The time allowed for this request ran out before the work was done."""

    code, status, title, retryable = "out_of_time", 504, "There was not enough time", True


class NotFound(ColdswapError):
    """The path does not exist, or nothing of the caller's has that id."""

    code, status, title = "not_found", 404, "There is nothing here"


class IdempotencyConflict(ColdswapError):
    """An Idempotency-Key was reused with a different request."""

    code, status, title = "idempotency_conflict", 422, "This Idempotency-Key belongs to another request"


class Deleted(ColdswapError):
    """What is asked for, by its id or by the Idempotency-Key that made it, has been deleted."""

    code, status, title = "deleted", 410, "The result has been deleted"


class StillRunning(ColdswapError):
    """Another invocation is still working on the same request."""

    code, status, title, retryable = "still_running", 409, "The same request is still running", True


class Unidentified(ColdswapError):
    """The request is authorised, but its credentials do not identify the caller."""

    code, status, title = "unidentified", 403, "These credentials do not identify the caller"


class TermsNotAccepted(ColdswapError):
    """The caller has not accepted the current version of the terms of use."""

    code, status, title = "terms_not_accepted", 403, "The terms of use are not accepted"


class FaceRefused(ColdswapError):
    """The source picture shows a person on the operator's denylist."""

    code, status, title = "face_refused", 403, "This face may not be used here"


class ContentRefused(ColdswapError):
    """The operator's content filter refuses a picture."""

    code, status, title = "content_refused", 403, "This picture may not be used here"


class SafeguardFailed(ColdswapError):
    """The denylist, the content filter or the stack's settings cannot be applied, so nothing is made. The operator must
    fix it."""

    code, status, title = "safeguard_failed", 503, "A safeguard could not be applied"
    fault = "stack"


class BudgetSpent(ColdswapError):
    """The caller's daily budget is spent. Not retryable, because a retry cannot succeed before tomorrow."""

    code, status, title = "budget_spent", 429, "Today's budget is spent"


class AtCapacity(ColdswapError):
    """All the capacity, or the caller's fair share of it, is in use, and stayed so for as long as anyone waits."""

    code, status, title, retryable = "at_capacity", 503, "There is no capacity at the moment", True


class MovingMeme(ColdswapError):
    """The meme moves, and one invocation does not swap those: the state machine for them does."""

    code, status, title = "moving_meme", 422, "This meme moves"
    content: bytes | None = None  # the meme, where all of it has been read
    uri: str | None = None  # where the meme is kept, if it was fetched from a URL and is too large for `content`


class WorkGone(ColdswapError):
    """An intermediate file was deleted while a step needed it. The earlier steps make it again."""

    code, status, title, retryable = "work_gone", 503, "An intermediate file is gone", True
    fault = "stack"


class EncodingFailed(ColdswapError):
    """ffmpeg failed, and its input is not to blame."""

    code, status, title, retryable = "encoding_failed", 500, "Encoding failed", True
    fault = "release"


class VideoError(ColdswapError):
    """An error that only the video function raises."""


class NotReady(VideoError):
    """The video is not finished, and may never be."""

    code, status, title = "not_ready", 409, "The video is not finished"


class Expired(VideoError):
    """The video has been deleted, because it was made too long ago."""

    code, status, title = "expired", 410, "The video has expired"


class Cancelled(VideoError):
    """The task was cancelled while a step was at work."""

    code, status, title = "cancelled", 409, "The task was cancelled"


class KeysMissing(VideoError):
    """The operator has not configured the keys of the voice or footage service."""

    code, status, title = "keys_missing", 503, "The keys of a service are not configured"
    fault = "stack"


class KeyRejected(VideoError):
    """The voice or footage service rejects the operator's key."""

    code, status, title = "key_rejected", 502, "A service rejected the operator's key"
    fault = "stack"


class QuotaExceeded(VideoError):
    """The operator's quota at the voice or footage service is used up."""

    code, status, title = "quota_exceeded", 503, "The quota at a service is used up"
    fault = "stack"


class RateLimited(VideoError):
    """The voice or footage service is throttling requests."""

    code, status, title, retryable = "rate_limited", 503, "A service is throttling requests", True


class ProviderFailed(VideoError):
    """The voice or footage service failed, or sent a response that cannot be used."""

    code, status, title, retryable = "provider_failed", 502, "A service failed", True
    fault = "stack"


class SpeechNotDelivered(VideoError):
    """Every paid request allowed for a part of the script was sent, and no speech came back."""

    code, status, title = (
        "speech_not_delivered",
        502,
        "The voice service did not deliver what it may have charged for",
    )
    fault = "stack"


class ProviderRefused(VideoError):
    """The voice or footage service refuses this request: the voice is unknown, or the text cannot be spoken."""

    code, status, title = "provider_refused", 422, "A service refused this request"


class NoFootage(VideoError):
    """No usable stock footage was found, even for more general words."""

    code, status, title = "no_footage", 422, "No footage was found"


class ScriptTooLong(VideoError):
    """The script, or the time it takes to speak it, is over the limit."""

    code, status, title = "script_too_long", 413, "The script is too long"


class UnsupportedScript(VideoError):
    """Captions would need letters that no typeface of the stack has."""

    code, status, title = "unsupported_script", 422, "Captions cannot be drawn in this writing system"


class FontUnusable(VideoError):
    """The operator's own typeface for captions is missing, is no font, or must not be used like this."""

    code, status, title = "font_unusable", 503, "The typeface for captions cannot be used"
    fault = "stack"


class FontsMissing(VideoError):
    """The models bucket lacks the typeface that a script's captions need, or has another file in its place."""

    code, status, title = "fonts_missing", 503, "A typeface for captions is not published"
    fault = "stack"


class UnreadableMedia(VideoError):
    """A file claims to be audio or video but cannot be read."""

    code, status, title = "unreadable_media", 502, "A media file cannot be read"


class MediaTooLarge(VideoError):
    """A media file has more bytes or pixels than the limits allow."""

    code, status, title = "media_too_large", 413, "A media file is too large"


class CallbackFailed(VideoError):
    """The callback URL did not accept the message. This never fails a task."""

    code, status, title, retryable = "callback_failed", 502, "The callback URL did not accept the message", True


class ObjectNotFound(Exception):
    """There is no such object in a bucket. Each function translates it into an error of its own."""


class TooLarge(Exception):
    """A file has more bytes than its reader allows. Each function translates it into an error of its own."""


def family(root: type[ColdswapError] = ColdswapError) -> dict[str, type[ColdswapError]]:
    """`root` and every error under it, by class name, which is the error's name in a state machine."""
    errors: dict[str, type[ColdswapError]] = {}
    waiting: list[type[ColdswapError]] = [root]
    while waiting:
        error_class = waiting.pop()
        errors[error_class.__name__] = error_class
        waiting.extend(error_class.__subclasses__())
    return errors


def problem(error: ColdswapError, instance: str | None = None) -> dict[str, Any]:
    """The error as an RFC 9457 problem document, extended by `code`, `retryable` and the error's own extras."""
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
