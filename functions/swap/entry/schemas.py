"""The request as JSON has it, for HTTP and for workflow tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from functions.swap.settings import Settings
from functions.swap.values import SwapRequest
from layers.core.ids import is_id, made_at

Index = Annotated[int, Field(ge=0, le=9999, strict=True)]
Indices = Annotated[list[Index], Field(max_length=Settings.max_faces)]  # naming more would swap no more
URI = "https://…, s3://bucket/key in one of the stack's own buckets, or data:image/…;base64,…"


def _lower_scheme(uri: str | None) -> str | None:
    """Schemes are the same in capitals (RFC 3986); from here on they are compared as they are."""
    scheme, colon, rest = (uri or "").partition(":")
    return scheme.lower() + colon + rest if colon else uri


class SwapBody(BaseModel):
    """What to swap, and how. Only `meme` is needed where the stack has a default face."""

    model_config = ConfigDict(extra="forbid")

    meme: Annotated[
        str,
        Field(min_length=1, description=f"the picture whose faces are replaced: {URI}"),
        AfterValidator(_lower_scheme),
    ]
    face: Annotated[
        str | None,
        Field(min_length=1, description=f"the picture of the face to put in: {URI}"),
        AfterValidator(_lower_scheme),
    ] = None
    faces: Annotated[
        Literal["all", "largest"] | Indices,
        Field(description="which faces of the meme are replaced: all, largest, or their numbers from left to right"),
    ] = "all"
    format: Annotated[
        Literal["jpeg", "png", "webp"] | None, Field(description="of the result; the meme's own by default")
    ] = None
    quality: Annotated[int, Field(ge=1, le=100, description="of a JPEG or WebP result")] = 90
    color_match: Annotated[bool, Field(description="give the new face the colours of the one it replaces")] = True
    soft_edges: Annotated[bool, Field(description="let the new face fade into the picture")] = True
    badge: Annotated[bool, Field(description="draw a small AI mark into a corner where no face is")] = False
    consent: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            pattern=r"^[^\x00-\x1f\x7f]+$",
            description="on what ground the face may be used; kept in the audit log, so name no one",
        ),
    ] = None

    def request(self) -> SwapRequest:
        """The same as the use case takes it."""
        return SwapRequest(**self.model_dump())


def _without_steps(key: str | None) -> str | None:
    """To S3 `..` is a name like any other; to who builds a URL or a path of it, it leads out of the folder."""
    if key and {".", ".."} & set(key.split("/")):
        raise ValueError("no part of a key may be . or ..")
    return key


class TaskBody(SwapBody):
    """A workflow task's payload: the same, and where to put the result."""

    key: Annotated[
        str | None,
        Field(
            pattern=r"^swaps(/[\w!.*'()-]+)+$",
            max_length=512,
            description="of the result in the outputs bucket, beneath swaps/; an extension is added if it has none",
        ),
        AfterValidator(_without_steps),
    ] = None

    def request(self) -> SwapRequest:
        """The same as the use case takes it."""
        return SwapRequest(**self.model_dump(exclude={"key"}))


def _id(text: str) -> str:
    if not is_id(text):
        raise ValueError("must be the id of a swap")
    return text


class QueuedBody(BaseModel):
    """The payload of a swap that POST /swap queued: what it is to do stands in the ledger."""

    model_config = ConfigDict(extra="forbid")

    swap: Annotated[str, AfterValidator(_id)]


def parse_task(payload: Any) -> TaskBody | QueuedBody:
    """A task's payload, checked. Raises InvalidRequest naming each field that is wrong."""
    if isinstance(payload, dict) and "caller" in payload and _queued_whole(payload.get("key")):
        payload = {name: value for name, value in payload.items() if name != "caller"}
    try:
        queued = isinstance(payload, dict) and "swap" in payload
        return (QueuedBody if queued else TaskBody).model_validate(payload)
    except ValidationError as error:
        from layers.core.web import invalid  # late: a task needs nothing else of HTTP

        raise invalid(error.errors(include_input=False, include_url=False)) from None


def _queued_whole(key: Any) -> bool:
    """Whether a payload with this key is of an execution that 0.1.0's POST /swap started, and that ran on while the
    stack was updated. Its caller was checked, and paid a unit, before it was queued."""
    return isinstance(key, str) and key.startswith("swaps/") and made_at(key.removeprefix("swaps/")) is not None
