"""The words of a swap: what goes in, what comes out, and what a face is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from layers.media.picture import Format

Floats = NDArray[np.float32]
FaceChoice = Literal["all", "largest"] | list[int]
PAID_AT_ONCE = 1  # megapixel of a caller's budget, before anything is fetched for it
# Each further so many cost another, for they take as long as a megapixel with few faces does (docs/operations.md).
FACES_A_UNIT = 4
Skipped = Literal["not_chosen", "too_small", "cut_by_frame", "over_limit", "refused"]
NO_GATE = "none"


@dataclass(frozen=True)
class Face:
    """A face in a picture, in that picture's pixels."""

    index: int  # from left to right
    box: tuple[float, float, float, float]  # x0, y0, x1, y1
    keypoints: Floats  # float32 [5, 2]: left eye, right eye, nose, left and right corner of the mouth
    score: float  # the detector's, 0 to 1


@dataclass(frozen=True)
class Latent:
    """What the swapper takes for a face."""

    values: Floats  # float32 [512], unit length
    embedding: Floats  # float32 [512], unit length: what it was made of
    embedder: str  # digest of the embedder (and its embedding map) that made it


@dataclass(frozen=True)
class SwapRequest:
    """The same for HTTP, uploads and workflows. Pictures are URIs: https, s3 (the stack's own buckets) or data."""

    meme: str
    face: str | None = None  # None: the stack's DefaultFace
    faces: FaceChoice = "all"
    format: Format | None = None  # None: the meme's own
    quality: int = 90  # of JPEG and WebP, 1 to 100
    color_match: bool = True
    soft_edges: bool = True
    badge: bool = False  # a small mark in a free corner
    consent: str | None = None  # on what ground the face may be used; kept in the audit line
    caller: str | None = None  # pseudonym of who pays and owns the result; None: the stack's own principals
    queued: str | None = None  # id of a swap that may be tried again, and pays once


@dataclass(frozen=True)
class FaceReport:
    """What became of one face of the meme."""

    index: int
    box: tuple[float, float, float, float]
    score: float
    swapped: bool
    reason: Skipped | None = None


@dataclass(frozen=True)
class SwapResult:
    """The same for HTTP, uploads and workflows."""

    key: str  # in the outputs bucket
    url: str  # presigned, short-lived
    content_type: str
    bytes: int
    width: int
    height: int
    faces: list[FaceReport]
    timings_ms: dict[str, float]  # by phase
    peak_memory_mb: float
    models: dict[str, str]  # pack, and digest of each model used
    engine: (
        str | None
    )  # what ran the swapper: native and its instruction set, or onnxruntime; None if no face was swapped
    gate: str  # digest of the classifier that the pictures passed, or "none"
    digests: dict[str, str]  # SHA-256, hex, of the meme, the face (where one was used) and the result
    cold_start: bool
    bytes_fetched: int  # of weights
    bytes_in_vain: int  # of weights that were not needed after all
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Swapped:
    """A finished swap, and where the latent of its face is kept if it should not outlive the result."""

    result: SwapResult
    latent: str | None
