"""The published files that make up a pack: where they are, and their sizes and digests.

A file is listed only if two public sources agree on its SHA-256. Files on an operator's own disk need no entry here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from layers.models.runtime.manifest import ModelName


@dataclass(frozen=True)
class Licence:
    """A licence that the operator accepts before anything is fetched."""

    name: str
    gist: str
    url: str


@dataclass(frozen=True)
class Source:
    """A URL of a file, or with `member` of a zip that holds it."""

    url: str
    member: str = ""


@dataclass(frozen=True)
class File:
    """A published file."""

    name: str
    size: int  # bytes
    sha256: str
    licence: Licence
    sources: tuple[Source, ...]  # tried in this order


@dataclass(frozen=True)
class Catalogue:
    """The packs that can be fetched: the file of each model, by pack."""

    packs: Mapping[str, Mapping[ModelName, File]]

    def files(self, pack: str) -> dict[ModelName, File]:
        """The files of a pack, by model. Raises KeyError for an unknown pack."""
        return dict(self.packs[pack])

    def by_digest(self, sha256: str) -> File | None:
        """The file with that SHA-256, or None."""
        known_files = (file for files in self.packs.values() for file in files.values())
        return next((file for file in known_files if file.sha256 == sha256), None)


INSIGHTFACE = Licence(
    "InsightFace, non-commercial research",
    "InsightFace's models are for non-commercial research only; any other use needs a licence from InsightFace.",
    "https://github.com/deepinsight/insightface#license",
)
_RELEASE = "https://github.com/deepinsight/insightface/releases/download/v0.7"
_BUFFALO_L, _BUFFALO_SC, _BUFFALO_S = (f"{_RELEASE}/buffalo_{size}.zip" for size in ("l", "sc", "s"))

DET_500M = File(
    "det_500m.onnx",
    2_524_817,
    "5e4447f50245bbd7966bd6c0fa52938c61474a04ec7def48753668a9d8b4ea3a",
    INSIGHTFACE,
    # The smaller zip first: 15 MB instead of 128.
    (Source(_BUFFALO_SC, "det_500m.onnx"), Source(_BUFFALO_S, "det_500m.onnx")),
)
DET_10G = File(
    "det_10g.onnx",
    16_923_827,
    "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
    INSIGHTFACE,
    (Source(_BUFFALO_L, "det_10g.onnx"),),
)
W600K_R50 = File(
    "w600k_r50.onnx",
    174_383_860,
    "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
    INSIGHTFACE,
    (Source(_BUFFALO_L, "w600k_r50.onnx"),),
)
INSWAPPER_FP16 = File(
    "inswapper_128_fp16.onnx",
    277_680_638,
    "6d51a9278a1f650cffefc18ba53f38bf2769bf4bbff89267822cf72945f8a38b",
    INSIGHTFACE,
    (
        Source("https://huggingface.co/CountFloyd/deepfake/resolve/main/inswapper_128_fp16.onnx"),
        Source("https://huggingface.co/hacksider/deep-live-cam/resolve/main/inswapper_128_fp16.onnx"),
    ),
)

CATALOGUE = Catalogue(
    {
        "default": {"detector": DET_500M, "embedder": W600K_R50, "swapper": INSWAPPER_FP16},
        "large": {"detector": DET_10G, "embedder": W600K_R50, "swapper": INSWAPPER_FP16},
    }
)
