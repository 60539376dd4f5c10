"""Requests in JSON, of the HTTP API and of workflow tasks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, PlainValidator, Tag, TypeAdapter, ValidationError

from functions.swap.settings import Settings
from functions.swap.values import Detail, PersonPictures, SwapRequest
from layers.core.ids import creation_time, is_id
from layers.core.mistakes import invalid_request, match
from layers.core.request_body import RequestBody

Index = Annotated[int, Field(ge=0, le=9999, strict=True)]
URI = "https://…, s3://bucket/key in one of the stack's own buckets, or data:image/…;base64,…"
FACE = (
    f"the picture of the face to put in, or up to {Settings.max_person_pictures} pictures of one person, whose face is "
    f"averaged: {URI}"
)


def _lower_scheme(uri: str) -> str:
    """Put the scheme in lower case: schemes are case-insensitive (RFC 3986), and the code compares them as they are.

    Spaces and line breaks around a URI do not belong to it.
    """
    scheme, colon, rest = uri.strip().partition(":")
    return scheme.lower() + colon + rest if colon else uri


PictureUri = Annotated[str, Field(min_length=1), AfterValidator(_lower_scheme)]
PersonUris = Annotated[list[PictureUri], Field(min_length=1, max_length=Settings.max_person_pictures)]
_ONE: TypeAdapter[str] = TypeAdapter(PictureUri)
_SEVERAL: TypeAdapter[list[str]] = TypeAdapter(PersonUris)


def _validate_person(value: Any) -> PersonPictures:
    """Validate a list as a list and anything else as one URI, so that a mistake is reported once, where it is."""
    if not isinstance(value, (str, list)):
        raise ValueError("must be a URI or a list of URIs")
    return (_SEVERAL if isinstance(value, list) else _ONE).validate_python(value)


PersonField = Annotated[
    PersonPictures, PlainValidator(_validate_person, json_schema_input_type=PictureUri | PersonUris)
]


class FaceAssignmentBody(RequestBody):
    """A face of the meme, and a source of its own."""

    index: Annotated[Index, Field(description="the face's number")]
    face: Annotated[PersonField, Field(description=FACE)]


def _check_choices(choices: list[int | FaceAssignmentBody]) -> list[int | FaceAssignmentBody]:
    """Reject more sources than are loaded for one request, and a face that is to get two."""
    own = [each.index for each in choices if not isinstance(each, int)]
    if len(own) > Settings.max_own_sources:
        raise ValueError(f"must give at most {Settings.max_own_sources} faces a source of their own")
    numbers = [each if isinstance(each, int) else each.index for each in choices]
    if twice := sorted({index for index in own if numbers.count(index) > 1}):
        raise ValueError(f"must have face {twice[0]} only once, because it has a source of its own")
    return choices


def _tag_choice(value: Any) -> str | None:
    if isinstance(value, dict | FaceAssignmentBody):
        return "object"
    return "number" if isinstance(value, int) and not isinstance(value, bool) else None


# The kind of a value is decided before it is validated, so that a mistake is reported once, where it is.
Choice = Annotated[
    Annotated[Index, Tag("number")] | Annotated[FaceAssignmentBody, Tag("object")],
    Discriminator(
        _tag_choice,
        custom_error_type="choice",
        custom_error_message="must be the number of a face, or an object with index and face",
    ),
]
Choices = Annotated[
    list[Choice],
    Field(max_length=Settings.max_faces),  # no more are swapped
    AfterValidator(_check_choices),
]
FacesField = Annotated[
    Annotated[Literal["all", "largest"], Tag("word")] | Annotated[Choices, Tag("list")],
    Discriminator(
        lambda value: "list" if isinstance(value, list) else "word" if value in ("all", "largest") else None,
        custom_error_type="faces",
        custom_error_message='must be "all", "largest" or a list of numbers',
    ),
]


ONE_LINE = r"^[^\x00-\x1f\x7f]+$"
Consent = Annotated[
    str,
    Field(min_length=1, max_length=200, json_schema_extra={"pattern": ONE_LINE}),
    AfterValidator(match(ONE_LINE, "must be one line, without control characters")),
]


def _use_name(format: str | None) -> str | None:
    """Give a JPEG one name, by which the code knows it."""
    return "jpeg" if format == "jpg" else format


class MemeBody(RequestBody):
    """The meme of a swap."""

    meme: Annotated[
        PictureUri,
        Field(
            description=f"the picture whose faces are replaced, or a GIF, animated WebP, APNG, MP4, MOV or WebM: {URI}"
        ),
    ]


class SwapOptions(RequestBody):
    """How to swap, whatever the meme is."""

    face: Annotated[PersonField | None, Field(description=FACE)] = None
    faces: Annotated[
        FacesField,
        Field(
            description="which faces of the meme to replace: all, largest, or their numbers from POST /faces, each "
            "alone or with a `face` of its own"
        ),
    ] = "all"
    format: Annotated[
        Literal["jpeg", "jpg", "png", "webp", "gif", "mp4"] | None,
        Field(
            description="the result's format; by default the meme's own. gif and mp4 are for memes that move, which "
            "may also become webp"
        ),
        AfterValidator(_use_name),
    ] = None
    quality: Annotated[
        int | None,
        Field(
            ge=1,
            le=100,
            strict=True,
            description="the quality of a JPEG or WebP result; by default a JPEG meme's own, or 90",
        ),
    ] = None
    color_match: Annotated[
        bool, Field(strict=True, description="give the new face the skin colour of the one it replaces")
    ] = True
    soft_edges: Annotated[bool, Field(strict=True, description="blend the edges of the new face into the picture")] = (
        True
    )
    detail: Annotated[
        Detail,
        Field(
            description="how much is done for sharpness: fast pastes the new face as it is, balanced gives it the "
            "picture's own fine detail and grain"
        ),
    ] = "balanced"
    badge: Annotated[bool, Field(strict=True, description="draw a small AI badge in a corner without a face")] = False
    consent: Annotated[
        Consent | None, Field(description="why the face may be used; kept in the audit log, so do not name anyone")
    ] = None


class SwapBody(SwapOptions, MemeBody):
    """What to swap, and how. Only `meme` is needed where the stack has a default face."""

    def request(self) -> SwapRequest:
        """The same request as the use case takes it."""
        return SwapRequest(**self.model_dump())


BATCH_NAME = r"^[A-Za-z0-9_-]{1,64}$"
BatchName = Annotated[
    str,
    Field(json_schema_extra={"pattern": BATCH_NAME}),
    AfterValidator(match(BATCH_NAME, "must have 1 to 64 letters, digits, hyphens and underscores, and nothing else")),
]


class UploadBody(RequestBody):
    """What an upload is for."""

    batch: Annotated[
        BatchName | None, Field(description="a name of yours for the memes that POST /batches swaps together")
    ] = None


class BatchNameBody(RequestBody):
    """The name of a batch."""

    batch: Annotated[BatchName, Field(description="the name that the memes were uploaded under, by POST /uploads")]


class BatchBody(SwapOptions, BatchNameBody):
    """Which uploads to swap, and how: the same for each of them."""

    def request(self) -> SwapRequest:
        """The same request for a meme that is not named yet."""
        return SwapRequest(meme="", **self.model_dump(exclude={"batch"}))


class BatchTaskBody(SwapOptions):
    """The input of the workflow for batches where an operator starts it: the same for the uploads under a prefix."""

    prefix: Annotated[
        str,
        Field(min_length=1, max_length=512, description="of keys in the uploads bucket; neither memes/ nor requests/"),
    ]

    def request(self) -> SwapRequest:
        """The same request for a meme that is not named yet."""
        return SwapRequest(meme="", **self.model_dump(exclude={"prefix"}))


_check_key = match(
    r"^swaps(/[\w!.*'()-]+)+$",
    "must begin with swaps/ and have nothing but letters, digits and !_.*'()- between slashes",
)


def _check_result_key(key: str | None) -> str | None:
    """Reject other folders, and `..`: an ordinary name in S3, but in a URL or a path made from the key it leads out of
    the folder."""
    if key is None:
        return None
    if {".", ".."} & set(key.split("/")):
        raise ValueError("must not have . or .. as a segment")
    return _check_key(key)


class TaskBody(SwapBody):
    """The payload of a workflow task: the same request, and where to put the result."""

    key: Annotated[
        str | None,
        Field(
            max_length=512,
            description="the result's key in the outputs bucket, under swaps/; without an extension, one is added",
        ),
        AfterValidator(_check_result_key),
    ] = None

    def request(self) -> SwapRequest:
        """The same request as the use case takes it."""
        return SwapRequest(**self.model_dump(exclude={"key"}))


def _check_id(text: str) -> str:
    if not is_id(text):
        raise ValueError("must be the id of a swap")
    return text


class FacesBody(RequestBody):
    """The picture, or the meme that moves, whose faces are listed."""

    meme: Annotated[PictureUri, Field(description=URI)]
    preview: Annotated[bool, Field(strict=True, description="answer with a small picture too, unless it moves")] = False


class VerifyBody(RequestBody):
    """The file to verify."""

    uri: Annotated[
        str,
        Field(
            min_length=1,
            description="a JPEG, PNG, WebP or MP4: https://… or s3:// in the uploads or outputs bucket; a picture may "
            "also be data:image/…;base64,…",
        ),
        AfterValidator(_lower_scheme),
    ]


class TermsBody(RequestBody):
    """The version of the terms that is accepted."""

    version: Annotated[str, Field(min_length=1, max_length=20, description="the current version, from GET /terms")]


class QueuedBody(RequestBody):
    """The payload of a swap that POST /swap queued: its id. The request is in its record."""

    swap: Annotated[str, AfterValidator(_check_id)]


def parse_task(payload: Any) -> TaskBody | QueuedBody:
    """Parse a task's payload. Raises InvalidRequest, which names each field that is wrong."""
    if isinstance(payload, dict) and "caller" in payload and _is_from_version_0_1(payload.get("key")):
        payload = {name: value for name, value in payload.items() if name != "caller"}
    try:
        is_queued = isinstance(payload, dict) and "swap" in payload
        return (QueuedBody if is_queued else TaskBody).model_validate(payload)
    except ValidationError as error:
        raise invalid_request(error.errors(include_input=False, include_url=False), payload) from None


def parse_batch_task(payload: Any) -> BatchTaskBody:
    """Parse the input of the workflow for batches. Raises InvalidRequest, which names each field that is wrong."""
    try:
        return BatchTaskBody.model_validate(payload)
    except ValidationError as error:
        raise invalid_request(error.errors(include_input=False, include_url=False), payload) from None


def _is_from_version_0_1(key: Any) -> bool:
    """Whether a payload with this key comes from an execution that POST /swap of version 0.1.0 started, and that was
    still running when the stack was updated. Its caller was checked and charged a unit before it was queued."""
    return isinstance(key, str) and key.startswith("swaps/") and creation_time(key.removeprefix("swaps/")) is not None
