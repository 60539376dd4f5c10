"""A content gate in a pack: checked when it is built, published like the other models, absent from most packs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt
from layers.models.runtime.loaded_models import LoadedModels
from layers.models.runtime.manifest import Manifest, ModelName
from layers.models.runtime.model_store import ModelStore
from layers.models.tools.convert import ConvertedModel, convert_gate
from layers.models.tools.onnx_file import Unfit
from layers.models.tools.publish import publish
from tests.support.faulty_s3 import FaultyS3
from tests.unit.models import toys
from tests.unit.swap import networks


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def soon() -> Deadline:
    return Deadline.after(30)


def put(s3: FaultyS3, **more: ConvertedModel) -> LoadedModels:
    models: dict[ModelName, ConvertedModel] = {**toys.models()}
    models.update({name: more[name] for name in ("gate",) if name in more})
    publish(models, "models", s3.client(), "toys", dict.fromkeys(models, "MIT"))
    return LoadedModels(ModelStore("models", s3.client()), 1)


def test_it_runs_as_its_file_does_and_keeps_its_threshold(s3: FaultyS3, tmp_path: Path) -> None:
    loaded = put(s3, gate=convert_gate(networks.classifier(tmp_path / "gate.onnx"), 0.7))
    loaded.refresh(soon())
    session, threshold = loaded.gate(soon())
    assert threshold == 0.7
    picture = np.full((1, 3, 32, 32), 0.25, np.float32)
    assert session.run(None, {"picture": picture})[0].item() == pytest.approx(0.25)
    assert set(loaded.digests) == {"detector", "embedder", "swapper", "gate"}
    assert loaded.gate(soon())[0] is session
    loaded.release()
    assert loaded.gate(soon())[0] is not session


def test_another_threshold_is_another_digest(tmp_path: Path) -> None:
    file = networks.classifier(tmp_path / "gate.onnx")
    one, other = (convert_gate(file, threshold).blobs for threshold in (0.5, 0.6))
    assert one["model.onnx"] == other["model.onnx"]
    assert one["threshold"] != other["threshold"]


def test_a_pack_without_one_has_none(s3: FaultyS3) -> None:
    with pytest.raises(ModelsCorrupt, match="no content filter"):
        put(s3).gate(soon())


def test_a_manifest_may_have_a_gate_and_nothing_else_besides(s3: FaultyS3, tmp_path: Path) -> None:
    loaded = put(s3, gate=convert_gate(networks.classifier(tmp_path / "gate.onnx"), 0.5))
    tree = json.loads(loaded.refresh(soon()).dump())
    assert "gate" in Manifest.parse(json.dumps(tree).encode()).models
    tree["models"]["other"] = tree["models"]["gate"]
    with pytest.raises(ModelsCorrupt, match="may have a gate"):
        Manifest.parse(json.dumps(tree).encode())


@pytest.mark.parametrize("damage", [b"much", b"\xff", b"nan", b"inf", b"2.0", b"0", b"-1"])
def test_a_threshold_that_is_no_number_stops_it(s3: FaultyS3, tmp_path: Path, damage: bytes) -> None:
    gate = convert_gate(networks.classifier(tmp_path / "gate.onnx"), 0.5)
    gate.blobs["threshold"] = damage
    with pytest.raises(ModelsCorrupt):
        put(s3, gate=gate).gate(soon())


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"side": 8}, "S is fixed"),
        ({"side": 2000}, "S is fixed"),
        ({"outputs": 3}, "one probability"),
        ({"logits": True}, "sigmoid"),
    ],
)
def test_what_is_no_classifier_of_this_kind_is_refused(tmp_path: Path, options: dict[str, Any], why: str) -> None:
    with pytest.raises(Unfit, match=why):
        convert_gate(networks.classifier(tmp_path / "gate.onnx", **options), 0.5)


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.01, float("nan"), float("inf")])
def test_a_threshold_is_a_probability(tmp_path: Path, threshold: float) -> None:
    with pytest.raises(Unfit, match="probability"):
        convert_gate(networks.classifier(tmp_path / "gate.onnx"), threshold)


def test_other_networks_are_no_gates() -> None:
    for name in ("detector", "embedder", "swapper"):
        with pytest.raises(Unfit):
            convert_gate(toys.files() / f"{name}.onnx", 0.5)
