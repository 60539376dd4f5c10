"""The worker computes what the functions compute, by the pack that is in use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt, ModelsMissing
from layers.engine.crop_planes import Pixels, to_pixels, to_planes
from layers.engine.swapper import Floats
from layers.models.runtime.loaded_models import LoadedModels
from layers.models.runtime.manifest import WEIGHTS_BLOB, ModelName
from layers.models.runtime.model_store import ModelStore
from layers.models.tools.convert import ConvertedModel, convert_swapper
from layers.models.tools.publish import publish
from local.demo_pack.reference_pack import PACK
from tests.support import model_standins as standin
from tests.support.faulty_s3 import FaultyS3
from tests.unit.models import toys
from workers.gpu.measure import measure
from workers.gpu.swapper import PackChanged, PackSwapper

BUCKET = "models"


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        publish(pack(), BUCKET, server.client(), "drawn", dict.fromkeys(pack(), "MIT"))
        yield server


@cache
def pack() -> dict[ModelName, ConvertedModel]:
    """The trained swapper, since a random one makes the same of every crop."""
    return {**toys.models(), "swapper": convert_swapper(PACK / "swapper.onnx")}


def store(s3: FaultyS3) -> ModelStore:
    return ModelStore(BUCKET, s3.client(max_pool_connections=40))


def inputs(count: int) -> tuple[Pixels, Floats]:
    random = np.random.default_rng(count)
    latents = random.normal(size=(count, 512)).astype(np.float32)
    crops = random.integers(0, 256, (count, 128, 128, 3)).astype(np.uint8)
    return crops, latents / np.linalg.norm(latents, axis=1, keepdims=True)


def psnr(a: Pixels, b: Pixels) -> float:
    error = np.mean((a.astype(np.float64) - b) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def test_it_agrees_with_the_functions_own_engine(s3: FaultyS3) -> None:
    crops, latents = inputs(3)
    worker = PackSwapper(store(s3), "cpu", 1)
    worker.load()
    own = LoadedModels(store(s3), 1).start_swapper(Deadline.after(30)).swapper()
    assert own.name.startswith("native")
    assert psnr(worker.run(crops, latents), to_pixels(own.run(to_planes(crops), latents))) >= 60


def test_a_batch_is_what_its_crops_are_alone(s3: FaultyS3) -> None:
    crops, latents = inputs(3)
    worker = PackSwapper(store(s3), "cpu", 1)
    worker.load()
    alone = np.concatenate([worker.run(crops[i : i + 1], latents[i : i + 1]) for i in range(3)])
    assert psnr(worker.run(crops, latents), alone) >= 60
    assert psnr(worker.run(crops, latents[::-1]), alone) < 60  # each by its own latent


def test_a_job_for_a_pack_that_was_published_since_loads_it(s3: FaultyS3) -> None:
    worker = PackSwapper(store(s3), "cpu", 1)
    worker.load()
    before = worker.digest
    newer = convert_swapper(standin.inswapper(toys.files() / "newer.onnx", "fp16-weights", width=32, seed=9))
    publish({**pack(), "swapper": newer}, BUCKET, s3.client(), "newer", dict.fromkeys(pack(), "MIT"))
    digest = ModelStore(BUCKET, s3.client()).current_pack(Deadline.after(30)).models["swapper"].digest
    assert digest != before
    worker.require(digest)
    assert worker.digest == digest
    with pytest.raises(PackChanged, match=before[:12]):
        worker.require(before)


def test_weights_that_are_not_what_was_published_are_never_used(s3: FaultyS3) -> None:
    manifest = store(s3).current_pack(Deadline.after(30))
    blob = manifest.models["swapper"].blob(WEIGHTS_BLOB)
    content = bytearray(s3.client().get_object(Bucket=BUCKET, Key=blob.key)["Body"].read())
    content[len(content) // 2] ^= 1
    s3.client().put_object(Bucket=BUCKET, Key=blob.key, Body=bytes(content))
    worker = PackSwapper(store(s3), "cpu", 1)
    with pytest.raises(ModelsCorrupt):
        worker.load()
    assert worker.digest == ""


def test_a_bucket_without_a_pack_says_so() -> None:
    with FaultyS3() as empty, pytest.raises(ModelsMissing):
        PackSwapper(store(empty), "cpu", 1).load()


def test_every_batch_size_is_measured(s3: FaultyS3) -> None:
    worker = PackSwapper(store(s3), "cpu", 1)
    worker.load()
    rows = measure(worker, seconds=0, batches=(1, 2))
    assert [row["batch"] for row in rows] == [1, 2]
    for row in rows:
        assert row["crops_per_second"] == pytest.approx(1000 * row["batch"] / row["batch_ms"], rel=0.05)
