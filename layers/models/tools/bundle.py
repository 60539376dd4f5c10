"""A pack that is made: its manifest, and the bytes or files behind it. On the disk it is a small copy of the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from layers.models.runtime.manifest import MODEL_NAMES, POINTER_KEY, Blob, Manifest, Model, ModelName, Pointer

if TYPE_CHECKING:
    from layers.models.tools.convert import ConvertedModel

Content = bytes | bytearray | Path


@dataclass(frozen=True)
class PackBundle:
    """A pack as it is published."""

    manifest: Manifest
    contents: dict[str, Content]  # each blob's, by its key

    @property
    def pointer(self) -> Pointer:
        """Where its manifest will be."""
        return Pointer(self.manifest.pack, sha256(self.manifest.dump()).hexdigest())

    @staticmethod
    def of(
        models: Mapping[ModelName, ConvertedModel], name: str, licences: Mapping[str, str], hint: str | None = None
    ) -> PackBundle:
        """In memory. Raises ModelsCorrupt where the name is none that a pack can have."""
        described: dict[ModelName, Model] = {}
        contents: dict[str, Content] = {}
        for model, lowered in models.items():
            golden = Blob.of("golden", lowered.golden)
            blobs = tuple(Blob.of(blob, data) for blob, data in lowered.blobs.items())
            contents |= {golden.key: lowered.golden}
            contents |= {blob.key: data for blob, data in zip(blobs, lowered.blobs.values(), strict=True)}
            parity = {name: float(f"{value:.6g}") for name, value in lowered.parity.items()}
            described[model] = Model(
                lowered.kind, licences[model], lowered.contract, golden, blobs, lowered.source, parity
            )
        manifest = Manifest(name, described, hint)
        Manifest.parse(manifest.dump())
        return PackBundle(manifest, contents)

    def save(self, folder: Path) -> None:
        """Under the keys that a bucket would have; the pointer last."""
        files = {**self.contents, self.pointer.key: self.manifest.dump(), POINTER_KEY: self.pointer.dump()}
        for key, content in files.items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            if content != path:
                path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)

    @staticmethod
    def open(folder: Path) -> PackBundle:
        """What `save` left there. Raises OSError, or ModelsCorrupt for what cannot be a manifest."""
        pointer = Pointer.parse((folder / POINTER_KEY).read_bytes())
        manifest = Manifest.parse((folder / pointer.key).read_bytes())
        return PackBundle(manifest, {blob.key: folder / blob.key for blob in blobs(manifest)})


def blobs(manifest: Manifest) -> list[Blob]:
    """Every blob of a pack, golden vectors too, each once."""
    every = (blob for model in manifest.models.values() for blob in (model.golden, *model.blobs))
    return list({blob.key: blob for blob in every}.values())


def lower_pack(folder: Path) -> dict[ModelName, ConvertedModel]:
    """Lowers detector.onnx, embedder.onnx and swapper.onnx of a folder. Raises Unfit or OSError."""
    return lower_files({name: folder / f"{name}.onnx" for name in MODEL_NAMES})


def lower_files(files: Mapping[ModelName, Path]) -> dict[ModelName, ConvertedModel]:
    """Lowers the file of each model. Raises Unfit or OSError."""
    # Late: a pack that is built is published where there is neither NumPy nor onnx.
    from layers.models.tools.convert import convert_detector, convert_embedder, convert_swapper

    lower = {"detector": convert_detector, "embedder": convert_embedder, "swapper": convert_swapper}
    return {name: lower[name](path) for name, path in files.items()}
