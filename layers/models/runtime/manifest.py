"""The format of a pack of models: a manifest, and blobs named by their digests.

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
CHUNK_BYTES = 8 << 20  # one range read: large enough for full speed from S3, small enough to cancel and repeat
POINTER_KEY = "packs/current.json"
MAX_MANIFEST_BYTES = 1 << 20
MAX_BLOB_BYTES = 4 << 30

ModelName = Literal["detector", "embedder", "swapper", "gate"]
Kind = Literal["onnx", "onnx-stages"]  # one ONNX file; a plan of small graphs beside one flat file of weights
MODEL_NAMES: tuple[ModelName, ...] = ("detector", "embedder", "swapper")  # of every pack; a gate is optional

# Names of a model's blobs.
FILE_BLOB = "model.onnx"  # kind onnx: the network itself
PLAN_BLOB = "plan"  # kind onnx-stages: the stages and their graphs (layers/engine/stages.py)
WEIGHTS_BLOB = "weights"  # kind onnx-stages: the flat file of weights, in order of use
EMBEDDING_MAP_BLOB = "emap"  # of the swapper: the embedding map
NATIVE_BLOB = "native"  # of swapper and embedder: what the native engine has to know, if it can run it
THRESHOLD_BLOB = "threshold"  # of the gate: the probability from which on it refuses
GOLDEN_BLOB = "golden"  # inputs, outputs and tolerances, to verify the model by

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Blob:
    """A file in the models bucket, with the SHA-256 of each of its chunks."""

    name: str
    sha256: str
    size: int  # bytes
    chunk_bytes: int
    chunks: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its key in the models bucket."""
        return blob_key(self.sha256)

    @staticmethod
    def describe(name: str, data: bytes | bytearray | memoryview) -> Blob:
        """Describe these bytes as a blob of that name."""
        view = memoryview(data)
        starts = range(0, len(view), CHUNK_BYTES)
        chunks = tuple(sha256(view[start : start + CHUNK_BYTES]).hexdigest() for start in starts)
        return Blob(name, sha256(view).hexdigest(), len(view), CHUNK_BYTES, chunks)


@dataclass(frozen=True)
class Tensor:
    """An input or output of a network. A dimension that may vary is a name instead of a number."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Contract:
    """The inputs and outputs of a network, in its own order."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Model:
    """One network of a pack."""

    kind: Kind
    licence: str
    contract: Contract
    golden: Blob  # .npz: inputs, the original file's outputs for them, and the tolerance
    blobs: tuple[Blob, ...]
    source: str = ""  # SHA-256 of the file that it was converted from
    parity: dict[str, float] = field(default_factory=dict)  # measured: max_difference, cosine, *psnr_db

    def blob(self, name: str) -> Blob:
        """The blob of that name. Raises ModelsCorrupt if the manifest has none."""
        for blob in self.blobs:
            if blob.name == name:
                return blob
        return _refuse(f"a model has no blob called {name}")

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what the network computes.

        The native engine's description is left out: it says of the same network how to run it, which is compared when
        a pack is built and verified. So what was made before there was one, such as the embeddings of the do-not-swap
        list, stays good.
        """
        deciding = (blob.sha256 for blob in self.blobs if blob.name != NATIVE_BLOB)
        return sha256("".join(deciding).encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """A pack: its models, and a hint for people in whose picture no face is found."""

    pack: str
    models: dict[ModelName, Model]
    hint: str | None = None  # a sentence, appended to the error

    @staticmethod
    def parse(data: bytes) -> Manifest:
        """Parse a manifest. Raises ModelsCorrupt if a field is missing, of the wrong type, or contradicts others."""
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelsCorrupt("The manifest of the models is not JSON. Publish the pack again.") from error
        if _read_field(tree, "format", int) != FORMAT:
            _refuse(f"its format is not {FORMAT}")
        models = _read_field(tree, "models", dict)
        if not set(MODEL_NAMES) <= set(models) <= set(get_args(ModelName)):
            _refuse("it must have a detector, an embedder and a swapper, and may have a gate, but nothing else")
        hint = tree.get("hint")
        if hint is not None and not isinstance(hint, str):
            _refuse("hint must be text")
        entries = {name: _read_model(models[name]) for name in get_args(ModelName) if name in models}
        return Manifest(_read_name(tree, "pack"), entries, hint)

    def dump(self) -> bytes:
        """The manifest as JSON: always the same bytes for the same pack."""
        tree: dict[str, Any] = {"format": FORMAT, **asdict(self)}
        for model in tree["models"].values():
            for unknown in [name for name in ("source", "parity") if not model[name]]:
                del model[unknown]
        if self.hint is None:
            del tree["hint"]
        return json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Pointer:
    """Points to the manifest in use."""

    pack: str
    digest: str

    @staticmethod
    def parse(data: bytes) -> Pointer:
        """Parse a pointer. Raises ModelsCorrupt unless it names a pack and a digest."""
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ModelsCorrupt("packs/current.json is not JSON. Publish the pack again.") from error
        return Pointer(_read_name(tree, "pack"), _check_digest(_read_field(tree, "digest", str)))

    def dump(self) -> bytes:
        """The pointer as JSON."""
        return json.dumps({"pack": self.pack, "digest": self.digest}).encode()

    @property
    def key(self) -> str:
        """The manifest's key in the models bucket."""
        return f"packs/{self.pack}/{self.digest}.json"


def blob_key(digest: str) -> str:
    """The key of the blob with this SHA-256 in the models bucket."""
    return f"blobs/sha256/{digest}"


def _refuse(why: str) -> NoReturn:
    raise ModelsCorrupt(f"The manifest of the models is not valid: {why}. Publish the pack again.")


def _read_field(tree: Any, name: str, kind: type) -> Any:
    if not isinstance(tree, dict):
        _refuse(f"there must be an object with {name}")
    value = tree.get(name)
    if not isinstance(value, kind) or isinstance(value, bool):
        _refuse(f"{name} must be {kind.__name__}")
    return value


def _read_name(tree: Any, field: str) -> str:
    value = cast(str, _read_field(tree, field, str))
    if not _NAME.fullmatch(value):
        _refuse(f"{field} is not a valid name")
    return value


def _check_digest(value: Any) -> str:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        _refuse("a digest is not a SHA-256 in hexadecimal")
    return value


def _read_blob(tree: Any) -> Blob:
    size, chunk_bytes = _read_field(tree, "size", int), _read_field(tree, "chunk_bytes", int)
    if not 0 < size <= MAX_BLOB_BYTES or not 0 < chunk_bytes <= MAX_BLOB_BYTES:
        _refuse("a size is out of range")
    chunks = tuple(_check_digest(chunk) for chunk in _read_field(tree, "chunks", list))
    if len(chunks) != -(-size // chunk_bytes):
        _refuse("a blob's chunks do not add up to its size")
    return Blob(_read_name(tree, "name"), _check_digest(_read_field(tree, "sha256", str)), size, chunk_bytes, chunks)


def _read_tensor(tree: Any) -> Tensor:
    shape = _read_field(tree, "shape", list)
    if not all(isinstance(side, int | str) and not isinstance(side, bool) for side in shape):
        _refuse("a shape must consist of numbers and names")
    return Tensor(_read_field(tree, "name", str), _read_field(tree, "dtype", str), tuple(shape))


def _read_model(tree: Any) -> Model:
    kind = _read_field(tree, "kind", str)
    if kind not in get_args(Kind):
        _refuse(f"{kind} is not a kind of model that this version runs")
    contract = _read_field(tree, "contract", dict)
    return Model(
        kind=cast(Kind, kind),
        licence=_read_field(tree, "licence", str),
        contract=Contract(
            tuple(_read_tensor(tensor) for tensor in _read_field(contract, "inputs", list)),
            tuple(_read_tensor(tensor) for tensor in _read_field(contract, "outputs", list)),
        ),
        golden=_read_blob(_read_field(tree, "golden", dict)),
        blobs=tuple(_read_blob(blob) for blob in _read_field(tree, "blobs", list)),
        source=_check_digest(tree["source"]) if "source" in tree else "",
        parity={name: _check_number(value) for name, value in _read_field(tree, "parity", dict).items()}
        if "parity" in tree
        else {},
    )


def _check_number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e9:
        _refuse("a measured value is not a number")
    return float(value)
