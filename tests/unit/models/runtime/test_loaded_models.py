"""Models come when they are needed, stay as long as they may, and a failure of one request does not outlive it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt, ModelsMissing, OutOfTime
from layers.core.s3_reader import Credentials, S3Reader
from layers.models.runtime.loaded_models import LoadedModels
from layers.models.runtime.model_store import ModelStore
from layers.models.tools.convert import ConvertedModel
from layers.models.tools.publish import publish
from tests.support.faulty_s3 import Fault, FaultyS3
from tests.unit.models import fake_native_embedder, toys
from tests.unit.models.tools.test_convert import faces, original, psnr

BUCKET = "models"
CROP = np.random.default_rng(8).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)  # for an embedder


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        _publish(server)
        yield server


def _publish(s3: FaultyS3, name: str = "toys", embedder: ConvertedModel | None = None) -> str:
    pack = dict(toys.models())
    if embedder is not None:
        pack["embedder"] = embedder
    return publish(pack, BUCKET, s3.client(), name, dict.fromkeys(pack, "MIT"), "Toys only.")


def models(s3: FaultyS3, memory_mb: int = 512) -> LoadedModels:
    return LoadedModels(ModelStore(BUCKET, s3.client(max_pool_connections=40)), 1, "container", memory_mb)


def soon() -> Deadline:
    return Deadline.after(30)


def swap_once(loaded: LoadedModels) -> None:
    crops, latents = faces(1)
    swapped = loaded.start_swapper(soon()).swapper().run(crops, latents)
    assert psnr(swapped, original(toys.files() / "swapper.onnx", target=crops, source=latents)) > 100


def test_what_is_published_is_what_runs(s3: FaultyS3) -> None:
    loaded = models(s3)
    swap_once(loaded)
    assert loaded.manifest.pack == "toys"
    assert loaded.manifest.hint == "Toys only."
    assert set(loaded.digests) == {"detector", "embedder", "swapper"}
    detector = loaded.detector_session(soon())
    assert [value.name for value in detector.get_outputs()][:3] == ["448", "471", "494"]
    assert loaded.detector_session(soon()) is detector
    assert loaded.emap(soon()).shape == (512, 512)
    crop = np.zeros((1, 3, 112, 112), np.float32)
    assert loaded.embedder(soon()).run(crop).shape == (1, 512)


def test_publishing_again_uploads_no_blob(s3: FaultyS3) -> None:
    s3.requests.clear()
    _publish(s3)
    assert not [request for request in s3.requests if request.method == "PUT" and "/blobs/" in request.key]


def test_the_pointer_is_written_last(s3: FaultyS3) -> None:
    s3.objects.clear()
    s3.requests.clear()
    _publish(s3)
    assert [request.key for request in s3.requests if request.method == "PUT"][-1] == f"{BUCKET}/packs/current.json"


def test_a_warm_swap_fetches_nothing(s3: FaultyS3) -> None:
    loaded = models(s3)
    swap_once(loaded)
    bytes_fetched = loaded.bytes_fetched
    s3.requests.clear()
    swap_once(loaded)
    assert loaded.bytes_fetched == bytes_fetched
    assert [request.key for request in s3.requests] == [f"{BUCKET}/packs/current.json"]


def test_a_released_pack_is_fetched_again(s3: FaultyS3) -> None:
    loaded = models(s3)
    swap_once(loaded)
    bytes_fetched = loaded.bytes_fetched
    loaded.release()
    swap_once(loaded)
    assert loaded.bytes_fetched == 2 * bytes_fetched


def test_a_swapper_that_is_not_needed_is_dropped_and_counted(s3: FaultyS3) -> None:
    stalls = threading.Event()
    s3.fail(f"blobs/sha256/{_weights(models(s3))}", Fault(stall_after=1000, then=stalls.set))
    loaded = models(s3, 3008)
    pending = loaded.start_swapper(soon())
    assert stalls.wait(20)  # or the next swap would meet the fault
    assert pending.drop() <= 1000
    swap_once(loaded)


def test_complete_weights_stay_although_they_came_in_vain(s3: FaultyS3) -> None:
    loaded = models(s3, 3008)
    pending = loaded.start_swapper(soon())
    pending._weights.wait()
    assert pending.drop() == pending._weights.blob.size
    bytes_fetched = loaded.bytes_fetched
    swap_once(loaded)
    assert loaded.bytes_fetched <= bytes_fetched + 100_000  # the plan at most, if it was still on its way


def test_a_small_sandbox_gives_the_embedder_back_before_the_swapper_runs(s3: FaultyS3) -> None:
    crop = np.zeros((1, 3, 112, 112), np.float32)
    for memory_mb, stays in ((512, False), (3008, True)):
        loaded = models(s3, memory_mb)
        pending = loaded.start_swapper(soon())
        embedder = loaded.embedder(soon())
        embedder.run(crop)
        pending.swapper()
        if stays:
            embedder.run(crop)
            assert loaded.embedder(soon()) is embedder
        else:
            with pytest.raises(RuntimeError, match="closed"):
                embedder.run(crop)
            loaded.embedder(soon()).run(crop)


def test_a_small_sandbox_never_holds_embedder_and_whole_swapper(s3: FaultyS3) -> None:
    loaded = models(s3)
    crops, latents = faces(1)
    for _ in range(2):
        pending = loaded.start_swapper(soon())
        loaded.embedder(soon()).run(np.zeros((1, 3, 112, 112), np.float32))
        in_memory = [pending._weights.complete]
        pending.swapper().run(crops, latents)
        in_memory.append(pending._weights.complete)
        assert in_memory == [False, True]
        for thread in pending._weights.threads:
            thread.join(20)
    swap_once(loaded)


def test_an_embedder_runs_on_the_native_engine_where_its_pack_describes_it(
    s3: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_native_embedder.install(monkeypatch)
    _publish(s3, embedder=fake_native_embedder.describe_iresnet())
    loaded = models(s3)
    pending = loaded.start_swapper(soon())
    native = loaded.embedder(soon())
    assert (native.name, getattr(native, "lean", None)) == ("native fake", True)
    embedding = native.run(CROP)
    assert loaded.embedder(soon()) is native
    pending.swapper()
    with pytest.raises(RuntimeError, match="closed"):  # its room is the swapper's now, as sandboxes of 512 MB are small
        native.run(CROP)
    fake_native_embedder.install(monkeypatch, why_unavailable="no compiler")
    other = loaded.embedder(soon())
    assert other.name == "onnxruntime"
    np.testing.assert_allclose(other.run(CROP), embedding, atol=1e-4 * np.abs(embedding).max())


@pytest.mark.parametrize("is_described", [False, True])
def test_the_log_says_why_the_native_engine_does_not_run_an_embedder(
    s3: FaultyS3, is_described: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    if is_described:
        fake_native_embedder.install(monkeypatch)
        _publish(s3, embedder=fake_native_embedder.describe_iresnet())
    fake_native_embedder.install(monkeypatch, why_unavailable="no compiler")
    assert models(s3).embedder(soon()).run(CROP).shape == (1, 512)
    (line,) = [each for each in caplog.records if each.message == "the embedder runs on onnxruntime"]
    assert vars(line)["no_native_engine"] == ("no compiler" if is_described else "the pack has no description for it")


def test_an_embedder_that_is_published_again_with_a_description_is_the_same_embedder(
    s3: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_native_embedder.install(monkeypatch)
    embedder = fake_native_embedder.describe_iresnet()
    blobs = {name: data for name, data in embedder.blobs.items() if name != "native"}
    _publish(s3, embedder=replace(embedder, blobs=blobs))
    loaded = models(s3)
    loaded.refresh(soon())
    digests = loaded.digests
    assert loaded.embedder(soon()).name == "onnxruntime"
    _publish(s3, embedder=embedder)
    loaded.refresh(soon())
    assert loaded.embedder(soon()).name == "native fake"
    assert loaded.digests == digests  # by which the do-not-swap list and kept latents know them


def test_a_new_pack_is_noticed_at_the_next_request(s3: FaultyS3) -> None:
    loaded = models(s3)
    swap_once(loaded)
    before = loaded.start_swapper(soon())
    _publish(s3, "newer")
    after = loaded.start_swapper(soon())
    assert loaded.manifest.pack == "newer"
    assert after is not before
    with pytest.raises(RuntimeError, match="closed"):
        before.swapper().run(*faces(1))


def test_a_damaged_blob_fails_the_request_and_no_other(s3: FaultyS3) -> None:
    loaded = models(s3)
    key = f"{BUCKET}/blobs/sha256/{_weights(loaded)}"
    original = s3.objects[key]
    s3.objects[key] = original[:-1] + bytes([original[-1] ^ 1])
    with pytest.raises(ModelsCorrupt):
        swap_once(loaded)
    s3.objects[key] = original
    swap_once(loaded)


def test_a_missing_plan_fails_the_request_and_no_other(s3: FaultyS3) -> None:
    loaded = models(s3)
    key = f"{BUCKET}/{loaded.refresh(soon()).models['swapper'].blob('plan').key}"
    plan = s3.objects.pop(key)
    with pytest.raises(ModelsMissing):
        swap_once(loaded)
    s3.objects[key] = plan
    swap_once(loaded)


def test_a_stalled_bucket_fails_in_time_and_the_next_request_starts_afresh(s3: FaultyS3) -> None:
    loaded = models(s3)
    s3.fail(_weights(loaded), Fault(stall_after=100))
    with pytest.raises(OutOfTime):
        loaded.start_swapper(Deadline.after(0.5)).swapper().run(*faces(1))
    swap_once(loaded)


def test_no_pack_is_a_clear_error(s3: FaultyS3) -> None:
    s3.objects.clear()
    with pytest.raises(ModelsMissing, match="make models"):
        models(s3).start_swapper(soon())


def _weights(loaded: LoadedModels) -> str:
    return loaded.refresh(soon()).models["swapper"].blob("weights").sha256


def test_an_anticipated_swap_takes_over_what_has_begun(s3: FaultyS3) -> None:
    loaded = models(s3, 3008)
    s3.requests.clear()
    loaded.anticipate_swap(soon())
    assert loaded._lookup is not None
    manifest = loaded._lookup.result(20)
    blobs = manifest.models["detector"].blob("model.onnx"), manifest.models["swapper"].blob("weights")
    assert loaded._store._anticipated.keys() == {blob.sha256 for blob in blobs}
    swap_once(loaded)
    loaded.detector_session(soon())
    keys = [request.key for request in s3.requests]
    assert [keys.count(f"{BUCKET}/{blob.key}") for blob in blobs] == [len(blob.chunks) for blob in blobs]
    assert keys.count(f"{BUCKET}/packs/current.json") == 1
    assert loaded.drop_anticipated() == 0
    loaded.anticipate_swap(soon())
    assert loaded._lookup is None, "where the swapper is here, nothing is anticipated"


def test_what_was_anticipated_for_nobody_is_dropped_and_counted(s3: FaultyS3) -> None:
    loaded = models(s3, 3008)
    loaded.anticipate_swap(soon())
    assert loaded._lookup is not None
    manifest = loaded._lookup.result(20)
    downloads = list(loaded._store._anticipated.values())
    for download in downloads:
        download.wait()
    blobs = manifest.models["detector"].blob("model.onnx"), manifest.models["swapper"].blob("weights")
    assert loaded.drop_anticipated() == sum(blob.size for blob in blobs)
    assert not any(download.usable and not download.complete for download in downloads)
    swap_once(loaded)


def test_a_detector_that_is_here_is_not_fetched_in_anticipation_unless_the_pack_is_another(s3: FaultyS3) -> None:
    loaded = models(s3, 3008)
    loaded.detector_session(soon())
    pack = loaded.manifest.models
    detector, weights = pack["detector"].blob("model.onnx").sha256, pack["swapper"].blob("weights").sha256
    for name, anticipated in (("toys", {weights}), ("others", {detector, weights})):
        _publish(s3, name)
        loaded.anticipate_swap(soon())
        assert loaded._lookup is not None
        loaded._lookup.result(20)
        assert loaded._store._anticipated.keys() == anticipated
        loaded.drop_anticipated()


def test_what_is_anticipated_counts_as_fetched_for_the_swap_that_it_is_for(s3: FaultyS3) -> None:
    loaded = models(s3, 3008)
    loaded.detector_session(soon())
    before = loaded.bytes_fetched
    loaded.anticipate_swap(soon())
    assert loaded._lookup is not None
    loaded._lookup.result(20)
    for download in loaded._store._anticipated.values():
        download.wait()
    assert loaded.bytes_fetched > loaded.bytes_fetched_before == before
    loaded.drop_anticipated()
    assert loaded.bytes_fetched_before == loaded.bytes_fetched


def test_a_lookup_that_failed_is_made_again(s3: FaultyS3) -> None:
    loaded = models(s3, 3008)
    s3.fail("packs/current.json", Fault(status=500))
    loaded.anticipate_swap(soon())
    swap_once(loaded)


def test_the_embedder_comes_before_most_of_the_swapper(s3: FaultyS3) -> None:
    loaded = models(s3, 3008)
    pending = loaded.start_swapper(soon(), embedder_first=True)
    weights = loaded._store._anticipated[loaded.manifest.models["embedder"].blob("weights").sha256]
    assert pending._weights in weights._followers
    loaded.embedder(soon()).run(np.zeros((1, 3, 112, 112), np.float32))
    assert loaded._embedder_weights is weights
    loaded.emap(soon())
    assert loaded.drop_anticipated() == 0
    pending.swapper().run(*faces(1))


@pytest.mark.parametrize(("memory_mb", "expected"), [(512, False), (3008, True)])
def test_a_small_sandbox_that_has_the_swapper_expects_no_embedder_beside_it(
    s3: FaultyS3, memory_mb: int, expected: bool
) -> None:
    loaded = models(s3, memory_mb)
    swap_once(loaded)
    loaded.start_swapper(soon(), embedder_first=True)
    assert (loaded.drop_anticipated() > 0 or bool(loaded.expect_embedder(soon()))) == expected


def test_a_pack_comes_without_boto3_too(s3: FaultyS3) -> None:
    reader = S3Reader("us-east-1", Credentials("key", "secret", ""), s3.url)
    loaded = LoadedModels(ModelStore(BUCKET, reader), 1, "container", 3008)
    swap_once(loaded)
    s3.requests.clear()
    swap_once(loaded)
    assert [request.key for request in s3.requests] == [f"{BUCKET}/packs/current.json"]
    s3.objects.clear()
    with pytest.raises(ModelsMissing, match="make models"):
        loaded.refresh(soon())
