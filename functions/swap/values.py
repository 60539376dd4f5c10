"""The values of a swap: what goes in, what comes out, and what a face is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

from layers.media.formats import PictureFormat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float32]"
Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels
RejectionReason = Literal["too_small", "cut_by_frame"]  # why a face cannot be replaced, whoever it is
SkipReason = RejectionReason | Literal["not_chosen", "over_limit", "refused"]
Detail = Literal["fast", "balanced"]
PictureDigests = str | list[str]  # SHA-256, in hex, of a picture, or of several of one person
RequestFormat = PictureFormat | Literal["gif", "mp4"]  # of the result; the last two of moving memes only
NO_GATE = "none"

Source = tuple[str, ...]  # URIs of the pictures of one person, whose face is put in
PersonPictures = str | list[str]  # the URI of a picture of one person, or those of several pictures of that person


class FaceAssignment(TypedDict):
    """A face of the meme, by its number, and the pictures of the face that replaces it."""

    index: int
    face: PersonPictures


FaceChoice = Literal["all", "largest"] | list[int | FaceAssignment]  # numbers alone get the request's `face`


@dataclass(frozen=True)
class Face:
    """A face in a picture, in that picture's pixels."""

    index: int  # in rows from top to bottom, then from left to right
    box: Box
    keypoints: Floats  # float32 [5, 2]: left eye, right eye, nose, left and right corner of the mouth
    score: float  # the detector's, 0 to 1

    @property
    def area(self) -> float:
        """The area of its box, in square pixels."""
        x0, y0, x1, y1 = self.box
        return (x1 - x0) * (y1 - y0)


@dataclass(frozen=True)
class Latent:
    """What the swapper takes for a face."""

    values: Floats  # float32 [512], unit length
    embedding: Floats  # float32 [512], unit length: what it was made of
    recipe: str  # digest of all that made it: latent_cache.latent_recipe
    parts: Mapping[str, Floats] = field(default_factory=dict)  # of an average: each picture's embedding, by its digest


@dataclass(frozen=True)
class SwapRequest:
    """What to swap, and how; the same for HTTP, uploads and workflows.

    Pictures are URIs: https, s3 (the stack's own buckets) or data.
    """

    meme: str
    face: PersonPictures | None = None  # None: the stack's DefaultFace
    faces: FaceChoice = "all"
    format: RequestFormat | None = None  # None: the meme's own
    quality: int | None = None  # of JPEG and WebP, 1 to 100; None: the meme's own
    color_match: bool = True
    soft_edges: bool = True
    detail: Detail = "balanced"  # how much is done for sharpness
    badge: bool = False  # a small mark in a free corner
    consent: str | None = None  # on what ground the face may be used; kept in the audit line
    caller: str | None = None  # pseudonym of the caller, who pays and owns the result; None: the stack's own principals
    queued: str | None = None  # id of a queued swap, which may be tried again and pays once

    @property
    def indices(self) -> Literal["all", "largest"] | list[int]:
        """Which faces are replaced, whatever replaces them."""
        if isinstance(self.faces, str):
            return self.faces
        return [each if isinstance(each, int) else each["index"] for each in self.faces]

    @property
    def own_sources(self) -> dict[int, Source]:
        """The sources that replace one face of the meme each, by its number."""
        if isinstance(self.faces, str):
            return {}
        return {each["index"]: list_pictures(each["face"]) for each in self.faces if not isinstance(each, int)}

    def common_source(self, default: str) -> Source:
        """The source of all faces that have none of their own; `default`: the stack's own, or empty."""
        return list_pictures(self.face or default)

    def source(self, index: int, default: str) -> Source:
        """The source that replaces that face; `default`: as in `common_source`."""
        return self.own_sources.get(index) or self.common_source(default)

    def sources(self, default: str) -> list[Source]:
        """All sources that may be put in, each once; the empty one where one is missing."""
        own = self.own_sources
        common = [] if own and len(own) == len(self.faces) else [self.common_source(default)]
        return list(dict.fromkeys([*common, *own.values()]))

    @property
    def pictures(self) -> list[str]:
        """The URIs of all pictures that the request names."""
        sources = [self.common_source(""), *self.own_sources.values()]
        return [self.meme, *(uri for source in sources for uri in source)]


def list_pictures(pictures: PersonPictures) -> Source:
    """The URIs of a person's pictures in the request's order; none for an empty one."""
    return (pictures,) if isinstance(pictures, str) and pictures else tuple(pictures)


def describe(text: str) -> Mapping[str, str]:
    """Metadata of a field that OpenAPI describes; pydantic reads it, so that this module need not import pydantic."""
    return {"description": text}


@dataclass(frozen=True)
class FaceReport:
    """What became of one face of the meme."""

    index: int = field(metadata=describe("the face's number: in rows from top to bottom, then from left to right"))
    box: Box = field(metadata=describe("x0, y0, x1, y1 in pixels of the meme"))
    score: float = field(metadata=describe("the detector's confidence, 0 to 1"))
    swapped: bool
    reason: SkipReason | None = field(
        default=None,
        metadata=describe("why the face was not swapped; refused: the person is on the do-not-swap list"),
    )
    source: PictureDigests | None = field(
        default=None,
        metadata=describe(
            "SHA-256, in hex, of the picture whose face was put in; a list of them where several pictures of one "
            "person were averaged; null if no face was put in"
        ),
    )


def list_digests(digests: PictureDigests | None) -> list[str]:
    """The digests that a report of a face names."""
    return [digests] if isinstance(digests, str) else digests or []


@dataclass(frozen=True)
class Measurements:
    """What a swap took."""

    timings_ms: dict[str, float] = field(metadata=describe("milliseconds by phase"))
    peak_memory_mb: float
    cold_start: bool
    bytes_fetched: int = field(metadata=describe("bytes of model weights downloaded for this request"))
    bytes_in_vain: int = field(metadata=describe("bytes of weights that were downloaded and not needed after all"))


@dataclass(frozen=True)
class RemoteUse:
    """What ran the swapper elsewhere, and what it took."""

    engine: str
    seconds: float = field(metadata=describe("of its GPU, shared with whoever was in the same batch"))
    dollars: float = field(metadata=describe("at the price that the operator has set"))


@dataclass(frozen=True)
class SwapResult:
    """A finished swap."""

    url: str = field(metadata=describe("a link to the result, valid for an hour at most"))
    faces: list[FaceReport]
    notes: list[str]
    key: str = field(metadata=describe("the result's key in the outputs bucket"))
    content_type: str
    bytes: int
    width: int
    height: int
    detail: Detail = field(metadata=describe("how much was done for sharpness; `timings_ms.detail` is what it cost"))
    digests: dict[str, PictureDigests] = field(
        metadata=describe(
            "SHA-256, in hex, of the meme, of `face` (if it was used; a list where it had several pictures) and of the "
            "result"
        )
    )
    models: dict[str, str] = field(metadata=describe("the name of the pack, and the digest of each of its models"))
    engine: str | None = field(
        metadata=describe(
            "what ran the swapper: native and its instruction set, onnxruntime, or worker and its device; null if no "
            "face was swapped"
        )
    )
    gate: str = field(metadata=describe("digest of the content filter that the pictures passed; none without one"))
    timings_ms: dict[str, float] = field(metadata=describe("the same as in `measurements`, like all that follow"))
    peak_memory_mb: float
    cold_start: bool
    bytes_fetched: int
    bytes_in_vain: int
    remote: RemoteUse | None = field(
        default=None, kw_only=True, metadata=describe("what it took, where the swapper ran elsewhere")
    )


@dataclass(frozen=True)
class SwapOutcome:
    """A finished swap, and where those latents of its faces are stored that should not outlive the result."""

    result: SwapResult
    latent_keys: frozenset[str]  # in the models bucket


@dataclass(frozen=True)
class ListedFace:
    """One face of a picture in which nothing was swapped."""

    index: int = field(metadata=describe("the face's number, as `faces` of POST /swap takes it"))
    box: Box = field(metadata=describe("x0, y0, x1, y1 in pixels of the picture"))
    score: float = field(metadata=describe("the detector's confidence, 0 to 1"))
    size: float = field(
        metadata=describe("pixels between the eyes, if the face looked into the camera; a swap needs about 12")
    )
    swappable: bool
    reason: RejectionReason | None = field(default=None, metadata=describe("why the face cannot be swapped"))


@dataclass(frozen=True)
class FaceListing:
    """The faces of a picture."""

    width: int
    height: int
    faces: list[ListedFace]
    timings_ms: dict[str, float] = field(metadata=describe("milliseconds by phase"))
    notes: list[str]
    preview: str | None = field(
        default=None, metadata=describe("if asked for: the picture as a small JPEG in a data: URI")
    )
