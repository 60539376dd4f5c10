"""A converted network gives what its file gives, however the file was converted; what is not such a file is refused."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from layers.engine.build import LIBRARY
from layers.engine.native_embedder import EmbedderDescription
from layers.engine.onnx_embedder import OnnxEmbedder
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.stages import StagePlan
from layers.models.runtime.manifest import ModelName
from layers.models.tools import convert, onnx_file, partition
from layers.models.tools.convert import ConvertedModel, convert_detector, convert_embedder, convert_swapper
from layers.models.tools.onnx_file import Unfit
from tests.support import model_standins as standin
from tests.unit.models import fake_native_embedder, toys

Floats = NDArray[np.float32]


class Memory:
    """Weights that are here, and how much of them has been asked for."""

    window: int | None = None

    def __init__(self, data: bytes | bytearray) -> None:
        self.data = data
        self.waits: list[int | None] = []

    def wait(self, upto: int | None = None) -> memoryview:
        self.waits.append(upto)
        return memoryview(self.data)[:upto]

    def memory(self) -> memoryview:
        return memoryview(self.data)

    def release(self, upto: int) -> None:
        pass

    def close(self) -> None:
        self.data = b""


def original(path: Path, **inputs: NDArray[Any]) -> Floats:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return np.asarray(session.run(None, dict(zip(names, inputs.values(), strict=True)))[0], np.float32)


def faces(count: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(5)
    latents = random.standard_normal((count, 512)).astype(np.float32)
    return random.random((count, 3, 128, 128), np.float32), latents / np.linalg.norm(latents, axis=1, keepdims=True)


def psnr(one: Floats, other: Floats) -> float:
    return float(-10 * np.log10(np.mean((one.astype(np.float64) - other) ** 2) + 1e-20))


def swapper(model: ConvertedModel) -> OnnxSwapper:
    return OnnxSwapper(StagePlan.parse(bytes(model.blobs["plan"])), Memory(model.blobs["weights"]), 2)


@pytest.mark.parametrize(("precision", "least"), [("fp32", 65), ("fp16", 65), ("fp16-weights", 100)])
def test_swapper_equals_its_file(
    tmp_path: Path, precision: standin.Precision, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partition, "STAGE_BYTES", 15_000)
    path = standin.inswapper(tmp_path / "inswapper.onnx", precision, width=32)
    model = convert_swapper(path)
    crops, latents = faces(2)
    swapped = swapper(model).run(crops, latents)
    for crop, latent, result in zip(crops, latents, swapped, strict=True):
        assert psnr(result, original(path, target=crop[None], source=latent[None])[0]) > least
    stages = StagePlan.parse(bytes(model.blobs["plan"])).stages
    assert len(stages) > 10


def test_equal_layers_share_a_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "STAGE_BYTES", 60_000)
    model = convert_swapper(standin.inswapper(tmp_path / "inswapper.onnx", "fp16", width=64))
    plan = StagePlan.parse(bytes(model.blobs["plan"]))
    assert len(plan.graphs) < len(plan.stages) / 2


def test_weights_lie_in_order_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "STAGE_BYTES", 15_000)
    model = convert_swapper(toys.files() / "swapper.onnx")
    weights = Memory(model.blobs["weights"])
    OnnxSwapper(StagePlan.parse(bytes(model.blobs["plan"])), weights, 1).run(*faces(1))
    waits = [upto or 0 for upto in weights.waits]
    assert waits[0] < len(model.blobs["weights"]) / 4
    assert [upto for upto in waits if upto] == sorted(upto for upto in waits if upto)


def test_embedding_map_goes_apart() -> None:
    file = onnx.load(str(toys.files() / "swapper.onnx"))
    emap = np.frombuffer(toys.models()["swapper"].blobs["emap"], "<f4").reshape(512, 512)
    np.testing.assert_array_equal(emap, numpy_helper.to_array(file.graph.initializer[-1]))


def test_embedder_equals_its_file() -> None:
    model = toys.models()["embedder"]
    crops = np.random.default_rng(6).uniform(-1, 1, (2, 3, 112, 112)).astype(np.float32)
    embedder = OnnxEmbedder(StagePlan.parse(bytes(model.blobs["plan"])), Memory(model.blobs["weights"]), 2)
    expected = original(toys.files() / "embedder.onnx", crop=crops)
    for embedding, truth in zip(embedder.run(crops), expected, strict=True):
        assert embedding @ truth / np.linalg.norm(embedding) / np.linalg.norm(truth) > 0.9999


def test_an_embedder_that_the_native_engine_runs_is_described_for_it() -> None:
    assert ("native" in toys.convert_iresnet().blobs) == LIBRARY.exists()
    model = fake_native_embedder.describe_iresnet()
    assert model.parity["native_cosine"] >= 0.99999
    description = EmbedderDescription.parse(bytes(model.blobs["native"]), len(model.blobs["weights"]))
    assert (description.blocks, description.width) == ((1, 1, 1, 1), 16)


@pytest.mark.parametrize("broken", [{"error": 0.01}, {"error": float("nan")}, {"why_unavailable": "no compiler"}])
def test_an_embedder_that_the_native_engine_runs_wrongly_or_not_at_all_is_not_described(
    broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_native_embedder.install(monkeypatch, **broken)
    model = toys.convert_iresnet()
    assert "native" not in model.blobs
    assert model.parity["cosine"] > 0.9999
    assert model.parity.get("native_cosine", 0) < 0.99999


def test_weights_are_halved() -> None:
    size = (toys.files() / "embedder.onnx").stat().st_size
    assert len(toys.models()["embedder"].blobs["weights"]) < 0.52 * size


def test_detector_stays_the_file_it_is() -> None:
    assert toys.models()["detector"].blobs["model.onnx"] == (toys.files() / "detector.onnx").read_bytes()


@pytest.mark.parametrize("name", ["detector", "embedder", "swapper"])
def test_golden_vector_is_the_original_s(name: ModelName) -> None:
    golden = np.load(io.BytesIO(toys.models()[name].golden))
    inputs = {key: golden[key] for key in golden if key.startswith("input:")}
    output = next(golden[key] for key in golden if key.startswith("output:"))
    np.testing.assert_allclose(original(toys.files() / f"{name}.onnx", **inputs), output, atol=1e-4)


def altered(tmp_path: Path, name: str, change: Any) -> Path:
    model = onnx.load(str(toys.files() / f"{name}.onnx"))
    change(model)
    path = tmp_path / "altered.onnx"
    onnx.save(model, str(path))
    return path


def _external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def _branch(model: Any) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.add(op_type="If", input=["source"], output=["x"]).attribute.append(
        helper.make_attribute("then_branch", body)
    )


def _foreign(model: Any) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[0].domain = "com.microsoft"


def _unknown(model: Any) -> None:
    model.graph.node[0].op_type = "Explode"


def _no_map(model: Any) -> None:
    del model.graph.initializer[-1]


def _half_output(model: Any) -> None:
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16


def _too_large_for_half(model: Any) -> None:
    tensor = next(value for value in model.graph.initializer if len(value.dims) == 4)
    value = numpy_helper.to_array(tensor).astype(np.float32)
    value[0] = 1e6
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


@pytest.mark.parametrize("change", [_external, _branch, _foreign, _unknown, _no_map, _half_output])
def test_a_file_that_is_not_an_inswapper_is_refused(tmp_path: Path, change: Any) -> None:
    with pytest.raises(Unfit):
        convert_swapper(altered(tmp_path, "swapper", change))


def test_an_operator_set_that_is_only_listed_does_no_harm(tmp_path: Path) -> None:
    path = altered(
        tmp_path, "embedder", lambda model: model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    )
    assert convert_embedder(path).blobs["weights"] == toys.models()["embedder"].blobs["weights"]


def test_weights_that_fp16_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = altered(tmp_path, "embedder", _too_large_for_half)
    model = onnx.load(str(path))
    stem = next(value for value in model.graph.initializer if list(value.dims) == [64, 32, 3, 3])
    large = numpy_helper.to_array(stem).copy()
    large[0] = 1e6
    stem.CopyFrom(numpy_helper.from_array(large, stem.name))
    onnx.save(model, str(path))
    with pytest.raises(Unfit, match="fp16 cannot hold"):
        convert_embedder(path)


def _without_keypoints(model: Any) -> None:
    del model.graph.output[6:]


def _boxes_first(model: Any) -> None:
    outputs = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([*outputs[3:6], *outputs[:3], *outputs[6:]])


@pytest.mark.parametrize(("change", "why"), [(_without_keypoints, "without keypoints"), (_boxes_first, "order")])
def test_a_detector_that_a_swap_cannot_use_is_refused(tmp_path: Path, change: Any, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        convert_detector(altered(tmp_path, "detector", change))


def test_both_published_detectors_are_taken(tmp_path: Path) -> None:
    for make in (standin.det_10g, standin.det_500m):
        assert convert_detector(make(tmp_path / "detector.onnx")).parity["max_difference"] < 1e-3


def test_an_embedder_of_another_space_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unfit, match="MobileFaceNet"):
        convert_embedder(toys.mobilefacenet())
    path = toys.files() / "embedder.onnx"
    monkeypatch.setitem(convert.OTHER_SPACES, hashlib.sha256(path.read_bytes()).hexdigest(), "a known one")
    with pytest.raises(Unfit, match="another space"):
        convert_embedder(path)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "fp16-weights"])
def test_parity_is_measured_on_the_same_weights_and_against_the_file(
    tmp_path: Path, precision: standin.Precision
) -> None:
    parity = convert_swapper(standin.inswapper(tmp_path / "x.onnx", precision, width=32)).parity
    assert parity["psnr_db"] > 120
    assert ("file_psnr_db" in parity) == (precision != "fp16-weights")


def test_a_file_that_lists_its_weights_as_inputs_is_taken(tmp_path: Path) -> None:
    path = standin.inswapper(tmp_path / "x.onnx", "fp16", width=32)
    expected = convert_swapper(path)
    model = onnx.load(str(path))
    model.ir_version = 3
    for tensor in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    onnx.save(model, str(path))
    model = convert_swapper(path)
    assert model.blobs["weights"] == expected.blobs["weights"]
    assert model.parity == expected.parity


def test_rounding_that_shows_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(convert, "MIN_ROUNDED_PSNR_DB", 120.0)
    with pytest.raises(Unfit, match="dB"):
        convert_swapper(standin.inswapper(tmp_path / "x.onnx", "fp32", width=32))


def test_networks_are_not_taken_for_one_another() -> None:
    with pytest.raises(Unfit):
        convert_swapper(toys.files() / "embedder.onnx")
    with pytest.raises(Unfit):
        convert_embedder(toys.files() / "swapper.onnx")
    with pytest.raises(Unfit):
        convert_detector(toys.files() / "swapper.onnx")


@pytest.mark.parametrize("data", [b"", b"not a network", b"\x08\x06" * 500])
def test_rubbish_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rubbish.onnx"
    path.write_bytes(data)
    for take in (convert_detector, convert_embedder, convert_swapper):
        with pytest.raises(Unfit):
            take(path)


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_file.MAX_FILE_BYTES + 1)
    with pytest.raises(Unfit, match="larger"):
        convert_swapper(path)


def test_a_network_that_would_change_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    run = convert._run_staged
    monkeypatch.setattr(convert, "_run_staged", lambda *arguments: {k: v + 0.01 for k, v in run(*arguments).items()})
    with pytest.raises(Unfit, match="dB"):
        convert_swapper(toys.files() / "swapper.onnx")
    monkeypatch.setattr(convert, "_run_staged", lambda *arguments: {k: np.flip(v) for k, v in run(*arguments).items()})
    with pytest.raises(Unfit, match="cosine"):
        convert_embedder(toys.files() / "embedder.onnx")
