"""Predictions in JSON, as Replicate's API has them: https://replicate.com/docs/reference/http, and its clients."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from functions.swap.entry.schemas import SwapBody
from layers.core.request_body import RequestBody

NAMES = {
    "input_image": "meme",  # with swap_image: cdingram/face-swap, codeplugtech/face-swap
    "swap_image": "face",
    "target_image": "meme",  # with source_image: yan-ops/face_swap, lucataco/faceswap
    "source_image": "face",
    "destination_image": "meme",  # with source_face_image: mertguvencli/face-swap-with-indexes
    "source_face_image": "face",
}
"""What `meme` and `face` are called by the face swaps on Replicate."""


def _add_names(schema: dict[str, Any]) -> None:
    """Describe the other names too. None of a field's names is required, because any one of them will do."""
    for name, own in NAMES.items():
        schema["properties"][name] = {**schema["properties"][own], "title": name, "description": f"the same as `{own}`"}
    schema.pop("required", None)


class PredictionInput(SwapBody):
    """What to swap, and how: the fields of POST /swap. `meme`, by any of its names, is required."""

    model_config = ConfigDict(json_schema_extra=_add_names)

    @model_validator(mode="before")
    @classmethod
    def _use_own_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        renamed: dict[Any, Any] = {}
        names: dict[Any, Any] = {}
        for name, value in values.items():
            if value is None:
                continue
            own = NAMES.get(str(name), name)
            if own in renamed:
                raise ValueError(f"must not have both {names[own]} and {name}, which mean the same")
            renamed[own], names[own] = value, name
        return renamed


def _refuse(sentence: str) -> AfterValidator:
    def check(value: Any) -> Any:
        if value:
            raise ValueError(sentence)
        return None

    return AfterValidator(check)


NoWebhook = Annotated[
    Any, Field(description="not supported"), _refuse("is not supported here: ask urls.get until the status is final")
]


class PredictionBody(RequestBody):
    """A request for a prediction."""

    input: PredictionInput
    version: Annotated[
        str | None, Field(max_length=200, description="ignored: there is one model here, the stack's")
    ] = None
    webhook: NoWebhook = None
    webhook_completed: NoWebhook = None
    webhook_events_filter: NoWebhook = None
    stream: Annotated[Any, Field(description="not supported"), _refuse("must be false: a picture comes at once")] = None


class UrlsResponse(BaseModel):
    """Absolute URLs of this API: GET the first, POST to the second."""

    get: str
    cancel: str


class PredictionResponse(BaseModel):
    """A swap as a prediction."""

    id: Annotated[str, Field(description="that of the swap")]
    model: str
    version: str
    status: Literal["starting", "processing", "succeeded", "failed", "canceled"]
    input: Annotated[
        dict[str, Any],
        Field(description="the swap while it is in progress, its pictures as uploads; empty afterwards"),
    ]
    output: Annotated[
        str | None, Field(description="a URL of the picture once it is done; for Replicate's Python client a data: URI")
    ]
    error: Annotated[str | None, Field(description="what went wrong and what to do")]
    logs: Annotated[str, Field(description="remarks for a person")]
    created_at: Annotated[str, Field(description="RFC 3339")]
    urls: UrlsResponse


class FileUrlsResponse(BaseModel):
    """Where the file is."""

    get: Annotated[str, Field(description="how to name the file in `input`")]


class FileResponse(BaseModel):
    """A file that predictions may name for a day."""

    id: str
    name: str
    content_type: str
    size: Annotated[int, Field(description="bytes")]
    etag: str
    checksums: Annotated[dict[str, str], Field(description="sha256, in hex")]
    metadata: dict[str, str]
    created_at: Annotated[str, Field(description="RFC 3339")]
    expires_at: str
    urls: FileUrlsResponse


class VersionResponse(BaseModel):
    """A version of a model; every name leads to the one model of the stack."""

    id: str
    created_at: Annotated[str, Field(description="RFC 3339")]
    cog_version: str
    openapi_schema: Annotated[dict[str, Any], Field(description="components.schemas has Input and Output")]
