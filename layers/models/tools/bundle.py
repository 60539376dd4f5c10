"""A built pack: its manifest, and the bytes or files behind it. On disk it is laid out like the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from layers.models.runtime.manifest import (
    GOLDEN_BLOB,
    MODEL_NAMES,
    POINTER_KEY,
    Blob,
    Manifest,
    Model,
    ModelName,
    Pointer,
)

if TYPE_CHECKING:
    from layers.models.tools.convert import ConvertedModel

Content = bytes | bytearray | Path


@dataclass(frozen=True)
class PackBundle:
    """A pack, ready to be published."""

    manifest: Manifest
    contents: dict[str, Content]  # of each blob, by its key

    @property
    def pointer(self) -> Pointer:
        """The pointer to its manifest."""
        return Pointer(self.manifest.pack, sha256(self.manifest.dump()).hexdigest())

    @staticmethod
    def assemble(
        models: Mapping[ModelName, ConvertedModel], name: str, licences: Mapping[str, str], hint: str | None = None
    ) -> PackBundle:
        """Assemble a pack in memory. Raises ModelsCorrupt if a pack cannot have that name."""
        entries: dict[ModelName, Model] = {}
        contents: dict[str, Content] = {}
        for model_name, model in models.items():
            golden = Blob.describe(GOLDEN_BLOB, model.golden)
            blobs = tuple(Blob.describe(blob_name, data) for blob_name, data in model.blobs.items())
            contents |= {golden.key: model.golden}
            contents |= {blob.key: data for blob, data in zip(blobs, model.blobs.values(), strict=True)}
            parity = {measure: float(f"{value:.6g}") for measure, value in model.parity.items()}
            licence = licences[model_name]
            entries[model_name] = Model(model.kind, licence, model.contract, golden, blobs, model.source, parity)
        manifest = Manifest(name, entries, hint)
        Manifest.parse(manifest.dump())
        return PackBundle(manifest, contents)

    def save(self, folder: Path) -> None:
        """Write the pack to a folder, under the keys that a bucket would have; the pointer last."""
        files = {**self.contents, self.pointer.key: self.manifest.dump(), POINTER_KEY: self.pointer.dump()}
        for key, content in files.items():
            path = folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            if content != path:
                path.write_bytes(content.read_bytes() if isinstance(content, Path) else content)

    @staticmethod
    def open(folder: Path) -> PackBundle:
        """Open what `save` wrote. Raises OSError, or ModelsCorrupt for a manifest that is not valid."""
        pointer = Pointer.parse((folder / POINTER_KEY).read_bytes())
        manifest = Manifest.parse((folder / pointer.key).read_bytes())
        return PackBundle(manifest, {blob.key: folder / blob.key for blob in list_blobs(manifest)})


def list_blobs(manifest: Manifest) -> list[Blob]:
    """Every blob of a pack once, golden vectors included."""
    all_blobs = (blob for model in manifest.models.values() for blob in (model.golden, *model.blobs))
    return list({blob.key: blob for blob in all_blobs}.values())


def convert_folder(folder: Path) -> dict[ModelName, ConvertedModel]:
    """Convert detector.onnx, embedder.onnx and swapper.onnx of a folder. Raises Unfit or OSError."""
    return convert_files({name: folder / f"{name}.onnx" for name in MODEL_NAMES})


def convert_files(files: Mapping[ModelName, Path]) -> dict[ModelName, ConvertedModel]:
    """Convert the file of each model. Raises Unfit or OSError."""
    # Late, because a built pack is also published where neither NumPy nor onnx is installed.
    from layers.models.tools.convert import convert_detector, convert_embedder, convert_swapper

    converters = {"detector": convert_detector, "embedder": convert_embedder, "swapper": convert_swapper}
    return {name: converters[name](path) for name, path in files.items()}
