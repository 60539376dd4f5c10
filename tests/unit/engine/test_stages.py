"""Plans survive storage, and a network in stages behaves as one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.core.errors import ModelsCorrupt
from layers.engine.onnx_embedder import to_latent
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.stages import Stage, StagePlan, Weight
from tests.unit.models import toys
from tests.unit.models.tools.test_convert import Memory, faces, swapper


def test_a_plan_survives_storage() -> None:
    weights = (Weight("v1h", "float16", (2, 3), 64), Weight("v2", "float32", (5,), 128))
    plan = StagePlan((Stage(0, weights, {"v0": "target"}, {"v3": "output"}, ("target",)),), (b"graph\n\x00", b"two"))
    assert StagePlan.parse(plan.dump()) == plan
    assert plan.stages[0].until == 128 + 5 * 4


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_rubbish_is_no_plan(data: bytes) -> None:
    with pytest.raises(ModelsCorrupt):
        StagePlan.parse(data)


def test_faces_do_not_see_each_other() -> None:
    crops, latents = faces(3)
    together = swapper(toys.models()["swapper"]).run(crops, latents)
    alone = swapper(toys.models()["swapper"]).run(crops[1:2], latents[1:2])
    np.testing.assert_array_equal(together[1:2], alone)
    assert together.dtype == np.float32
    assert together.shape == crops.shape


def test_each_face_needs_its_latent() -> None:
    crops, latents = faces(2)
    with pytest.raises(ValueError, match="2 crops but 1 latents"):
        swapper(toys.models()["swapper"]).run(crops, latents[:1])


def test_no_face_is_no_work() -> None:
    weights = Memory(toys.models()["swapper"].blobs["weights"])
    plan = StagePlan.parse(bytes(toys.models()["swapper"].blobs["plan"]))
    crops, latents = faces(0)
    assert OnnxSwapper(plan, weights, 1).run(crops, latents).shape == (0, 3, 128, 128)
    assert weights.waits == []


def test_a_closed_swapper_does_not_run() -> None:
    network = swapper(toys.models()["swapper"])
    network.close()
    network.close()
    with pytest.raises(RuntimeError, match="closed"):
        network.run(*faces(1))


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1000))
def test_a_latent_has_unit_length_whatever_the_embedding_s(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    embedding = random.standard_normal(512).astype(np.float32)
    emap = random.standard_normal((512, 512)).astype(np.float32)
    latent = to_latent(embedding * np.float32(scale), emap)
    assert latent.dtype == np.float32
    assert abs(float(np.linalg.norm(latent)) - 1) < 1e-5
    product = (embedding.astype(np.float64) @ emap.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(latent, product / np.linalg.norm(product), atol=1e-5)
