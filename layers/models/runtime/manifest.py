"""What a pack of models is: a manifest, and blobs named by what is in them.

Keys in the models bucket: `blobs/sha256/HEX` for a blob, `packs/NAME/DIGEST.json` for a manifest (DIGEST is the SHA-256
of its bytes), and `packs/current.json`, the pointer to the manifest in use.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal, NoReturn, cast, get_args

from layers.core.errors import ModelsCorrupt

FORMAT = 1
CHUNK_BYTES = 8 << 20  # one range read: large enough for full speed from S3, small enough to cancel and to repeat
POINTER_KEY = "packs/current.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_BLOB_BYTES = 4 << 30

ModelName = Literal["detector", "embedder", "swapper", "gate"]
Kind = Literal["onnx", "onnx-stages"]  # one ONNX file; a plan of small graphs beside one flat file of weights
MODEL_NAMES: tuple[ModelName, ...] = ("detector", "embedder", "swapper")  # of every pack; a gate is optional

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Blob:
    """A file in the models bucket, and the SHA-256 of each of its chunks."""

    name: str
    sha256: str
    size: int  # bytes
    chunk_bytes: int
    chunks: tuple[str, ...]

    @property
    def key(self) -> str:
        """Where it is in the models bucket."""
        return blob_key(self.sha256)

    @staticmethod
    def of(name: str, data: bytes | bytearray | memoryview) -> Blob:
        """Describes these bytes."""
        view = memoryview(data)
        starts = range(0, len(view), CHUNK_BYTES)
        chunks = tuple(sha256(view[start : start + CHUNK_BYTES]).hexdigest() for start in starts)
        return Blob(name, sha256(view).hexdigest(), len(view), CHUNK_BYTES, chunks)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network; a dimension that may vary is a name."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Contract:
    """What goes into a network and what comes out, in its own order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Model:
    """One network of a pack."""

    kind: Kind
    licence: str
    contract: Contract
    golden: Blob  # inputs, the outputs that the original file gave for them, and how close ours came (.npz)
    blobs: tuple[Blob, ...]
    source: str = ""  # SHA-256 of the file that it was made from
    parity: dict[str, float] = field(default_factory=dict)  # measured: max_difference, cosine, or psnr_db

    def blob(self, name: str) -> Blob:
        """The blob of that name; raises ModelsCorrupt where the manifest has none."""
        for blob in self.blobs:
            if blob.name == name:
                return blob
        return _refuse(f"a model has no blob called {name}")

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides what the network computes."""
        return sha256("".join(blob.sha256 for blob in self.blobs).encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """A pack: its models, and what to tell a person whose picture it cannot handle."""

    pack: str
    models: dict[ModelName, Model]
    hint: str | None = None  # a sentence, appended where no face is found

    @staticmethod
    def parse(data: bytes) -> Manifest:
        """Raises ModelsCorrupt unless every field is there, of its type, and in keeping with the others."""
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelsCorrupt("The manifest of the models is not JSON. Publish the pack again.") from error
        if _field(tree, "format", int) != FORMAT:
            _refuse(f"it is not of format {FORMAT}")
        models = _field(tree, "models", dict)
        if not set(MODEL_NAMES) <= set(models) <= set(get_args(ModelName)):
            _refuse("it must hold a detector, an embedder and a swapper, and besides at most a gate")
        hint = tree.get("hint")
        if hint is not None and not isinstance(hint, str):
            _refuse("hint must be text")
        return Manifest(
            _name(tree, "pack"), {name: _model(models[name]) for name in get_args(ModelName) if name in models}, hint
        )

    def dump(self) -> bytes:
        """The manifest as JSON, the same bytes for the same pack."""
        tree: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for model in tree["models"].values():
            for unknown in [name for name in ("source", "parity") if not model[name]]:
                del model[unknown]
        if self.hint is None:
            del tree["hint"]
        return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Pointer:
    """Which manifest is in use."""

    pack: str
    digest: str

    @staticmethod
    def parse(data: bytes) -> Pointer:
        """Raises ModelsCorrupt unless it names a pack and a digest."""
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelsCorrupt("packs/current.json is not JSON. Publish the pack again.") from error
        return Pointer(_name(tree, "pack"), _digest(_field(tree, "digest", str)))

    def dump(self) -> bytes:
        """The pointer as JSON."""
        return json.dumps({"pack": self.pack, "digest": self.digest}).encode()

    @property
    def key(self) -> str:
        """Where the manifest is in the models bucket."""
        return f"packs/{self.pack}/{self.digest}.json"


def blob_key(digest: str) -> str:
    """Where the blob with this SHA-256 is in the models bucket."""
    return f"blobs/sha256/{digest}"


def _refuse(why: str) -> NoReturn:
    raise ModelsCorrupt(f"The manifest of the models is not valid: {why}. Publish the pack again.")


def _field(tree: Any, name: str, kind: type) -> Any:
    if not isinstance(tree, dict):
        _refuse(f"an object with {name} was expected")
    value = tree.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        _refuse(f"{name} must be {kind.__name__}")
    return value


def _name(tree: Any, field: str) -> str:
    value = cast(str, _field(tree, field, str))
    if not _NAME.fullmatch(value):
        _refuse(f"{field} is not a plain name")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        _refuse("a digest is not a SHA-256 in hexadecimal")
    return value


def _blob(tree: Any) -> Blob:
    size, chunk_bytes = _field(tree, "size", int), _field(tree, "chunk_bytes", int)
    if not 0 < size <= MAX_BLOB_BYTES or not 0 < chunk_bytes <= MAX_BLOB_BYTES:
        _refuse("a size is out of range")
    chunks = tuple(_digest(chunk) for chunk in _field(tree, "chunks", list))
    if len(chunks) != -(-size // chunk_bytes):
        _refuse("a blob's chunks do not add up to its size")
    return Blob(_name(tree, "name"), _digest(_field(tree, "sha256", str)), size, chunk_bytes, chunks)


def _tensor(tree: Any) -> Tensor:
    shape = _field(tree, "shape", list)
    if not all(isinstance(side, int | str) and not isinstance(side, bool) for side in shape):
        _refuse("a shape is made of numbers and names")
    return Tensor(_field(tree, "name", str), _field(tree, "dtype", str), tuple(shape))


def _model(tree: Any) -> Model:
    kind = _field(tree, "kind", str)
    if kind not in get_args(Kind):
        _refuse(f"{kind} is no kind of model that this version runs")
    contract = _field(tree, "contract", dict)
    return Model(
        kind=cast(Kind, kind),
        licence=_field(tree, "licence", str),
        contract=Contract(
            tuple(_tensor(tensor) for tensor in _field(contract, "inputs", list)),
            tuple(_tensor(tensor) for tensor in _field(contract, "outputs", list)),
        ),
        golden=_blob(_field(tree, "golden", dict)),
        blobs=tuple(_blob(blob) for blob in _field(tree, "blobs", list)),
        source=_digest(tree["source"]) if "source" in tree else "",
        parity={name: _number(value) for name, value in _field(tree, "parity", dict).items()}
        if "parity" in tree
        else {},
    )


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e9:
        _refuse("a measured number is none")
    return float(value)
