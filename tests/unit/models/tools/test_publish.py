"""A bucket never holds half a pack in use; any pack that is whole can be gone back to; and faults are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from botocore.exceptions import ClientError

from layers.core.errors import ModelsMissing
from layers.engine.build import LIBRARY
from layers.models.runtime.manifest import NATIVE_BLOB, POINTER_KEY, Manifest, Pointer
from layers.models.tools.bundle import PackBundle, convert_folder, list_blobs
from layers.models.tools.history import list_packs, read_pointer, rollback
from layers.models.tools.publish import Conflict, upload
from layers.models.tools.verify import VerificationReport, verify_pack
from local.cloud import ROOT
from tests.support.faulty_s3 import Fault, FaultyS3
from tests.unit.models import fake_native_embedder, toys

BUCKET = "models"


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def build(name: str = "toys", other: bool = False) -> PackBundle:
    """A pack of the toys; the `other` ones have another detector."""
    models = toys.models()
    if other:
        shifted = toys.another_detector(shift=1.0)
        models = {**models, "detector": shifted}
    return PackBundle.assemble(models, name, dict.fromkeys(models, "MIT"))


def publish(s3: FaultyS3, pack: PackBundle) -> Pointer:
    return upload(pack, BUCKET, s3.client(max_pool_connections=20))


def meanwhile(s3: FaultyS3, pack: PackBundle) -> Fault:
    """What is no fault of S3's: somebody else publishes this pack just before the request."""

    def interfere() -> None:
        publish(s3, pack)

    return Fault(then=interfere)


def puts(s3: FaultyS3) -> list[str]:
    return [request.key.removeprefix(f"{BUCKET}/") for request in s3.requests if request.method == "PUT"]


def faults(reports: list[VerificationReport]) -> dict[str, str]:
    return {each.part: each.fault for each in reports if each.fault}


def check(s3: FaultyS3, *pointers: Pointer) -> list[VerificationReport]:
    return verify_pack(pointers, BUCKET, s3.client(max_pool_connections=40))


def test_blobs_come_first_then_the_manifest_then_the_pointer(s3: FaultyS3) -> None:
    pack = build()
    pointer = publish(s3, pack)
    assert puts(s3)[-2:] == [pointer.key, POINTER_KEY]
    assert set(puts(s3)[:-2]) == {blob.key for blob in list_blobs(pack.manifest)}
    assert read_pointer(BUCKET, s3.client()) == pointer


def test_only_what_is_not_there_whole_is_uploaded(s3: FaultyS3) -> None:
    pack = build()
    publish(s3, pack)
    damaged = list_blobs(pack.manifest)[0].key
    s3.objects[f"{BUCKET}/{damaged}"] = b"cut off"
    s3.requests.clear()
    publish(s3, pack)
    assert puts(s3)[0] == damaged
    assert len(puts(s3)) == 3


def test_an_upload_that_breaks_off_leaves_the_old_pack_in_use(s3: FaultyS3) -> None:
    first = publish(s3, build())
    other = build("other", other=True)
    s3.fail(other.manifest.models["detector"].blob("model.onnx").key, Fault(status=500))
    with pytest.raises(ClientError):
        publish(s3, other)
    assert read_pointer(BUCKET, s3.client()) == first
    assert not faults(check(s3, first))


def test_two_publications_at_once_do_not_overwrite_each_other(s3: FaultyS3) -> None:
    publish(s3, build())
    other = build("other", other=True)
    third = PackBundle.assemble(toys.models(), "third", dict.fromkeys(toys.models(), "MIT"))
    s3.fail(other.pointer.key, meanwhile(s3, third))
    with pytest.raises(Conflict, match="meanwhile"):
        publish(s3, other)
    assert read_pointer(BUCKET, s3.client()) == third.pointer


def test_the_first_publications_of_a_bucket_do_not_overwrite_each_other(s3: FaultyS3) -> None:
    other = build("other", other=True)
    s3.fail(other.pointer.key, meanwhile(s3, build()))
    with pytest.raises(Conflict):
        publish(s3, other)
    assert read_pointer(BUCKET, s3.client()) == build().pointer


def test_s3_refuses_a_blob_that_is_not_what_its_name_says(s3: FaultyS3) -> None:
    pack = build()
    key = list_blobs(pack.manifest)[0].key
    with pytest.raises(ClientError, match="BadDigest"):
        publish(s3, replace(pack, contents={**pack.contents, key: bytes(10)}))
    assert POINTER_KEY not in puts(s3)


def test_a_pack_on_the_disk_is_the_same_pack(s3: FaultyS3, tmp_path: Path) -> None:
    build().save(tmp_path)
    pack = PackBundle.open(tmp_path)
    assert pack.pointer == build().pointer
    assert not faults(check(s3, publish(s3, pack)))


def test_a_pack_says_where_its_models_come_from_and_how_close_they_are(s3: FaultyS3) -> None:
    pointer = publish(s3, build())
    models = Manifest.parse(s3.objects[f"{BUCKET}/{pointer.key}"][:]).models
    assert models["swapper"].parity["psnr_db"] > 80
    assert models["embedder"].parity["cosine"] > 0.9999
    assert models["detector"].parity["max_difference"] < 1e-3
    assert all(len(model.source) == 64 for model in models.values())


def test_the_history_is_in_order_and_knows_the_one_in_use(s3: FaultyS3) -> None:
    first, second = publish(s3, build()), publish(s3, build("other", other=True))
    assert [(each.pointer, each.current) for each in list_packs(BUCKET, s3.client())] == [
        (second, True),
        (first, False),
    ]
    publish(s3, build())
    assert [each.pointer for each in list_packs(BUCKET, s3.client())] == [first, second]


def test_a_rollback_goes_to_the_one_before_or_to_the_one_named(s3: FaultyS3) -> None:
    first, second = publish(s3, build()), publish(s3, build("other", other=True))
    assert rollback(BUCKET, s3.client()) == first
    assert read_pointer(BUCKET, s3.client()) == first
    assert rollback(BUCKET, s3.client(), second.digest[:8]) == second
    assert read_pointer(BUCKET, s3.client()) == second


def test_a_rollback_to_nothing_is_refused(s3: FaultyS3) -> None:
    with pytest.raises(ModelsMissing):
        rollback(BUCKET, s3.client())
    pointer = publish(s3, build())
    with pytest.raises(ModelsMissing, match="before"):
        rollback(BUCKET, s3.client())
    with pytest.raises(ModelsMissing, match="0 packs"):
        rollback(BUCKET, s3.client(), "ff" * 32)
    assert read_pointer(BUCKET, s3.client()) == pointer


@pytest.mark.parametrize("spoil", [lambda data: None, lambda data: data[:-1]])
def test_a_rollback_to_a_pack_that_is_no_longer_whole_is_refused(
    s3: FaultyS3, spoil: Callable[[bytes], bytes | None]
) -> None:
    pack = build()
    publish(s3, pack)
    second = publish(s3, build("other", other=True))
    blob = pack.manifest.models["detector"].blob("model.onnx")
    leftover = spoil(bytes(s3.objects.pop(f"{BUCKET}/{blob.key}")))
    if leftover is not None:
        s3.objects[f"{BUCKET}/{blob.key}"] = leftover
    with pytest.raises(ModelsMissing, match=blob.sha256):
        rollback(BUCKET, s3.client())
    assert read_pointer(BUCKET, s3.client()) == second


def test_a_rollback_does_not_overtake_a_publication(s3: FaultyS3) -> None:
    first = publish(s3, build())
    publish(s3, build("other", other=True))
    third = PackBundle.assemble(toys.models(), "third", dict.fromkeys(toys.models(), "MIT"))
    s3.fail(first.key, meanwhile(s3, third))
    with pytest.raises(Conflict):
        rollback(BUCKET, s3.client(), first.digest)
    assert read_pointer(BUCKET, s3.client()) == third.pointer


def test_a_whole_pack_is_found_whole_and_measured(s3: FaultyS3) -> None:
    reports = check(s3, publish(s3, build()))
    assert not faults(reports)
    measurements = {each.part: each.measured for each in reports if each.measured}
    assert measurements["swapper"]["psnr_db"] > 80
    assert measurements["embedder"]["cosine"] > 0.9999
    assert measurements["detector"]["max_difference"] < 1e-3
    assert len(reports) == 4 + len(list_blobs(build().manifest))


def test_the_native_engine_is_tried_too_where_a_pack_is_made_for_it(s3: FaultyS3) -> None:
    pack = PackBundle.assemble(convert_folder(ROOT / "local/demo_pack"), "demo", dict.fromkeys(toys.models(), "MIT"))
    reports = check(s3, publish(s3, pack))
    assert not faults(reports)
    measurements = next(each.measured for each in reports if each.part == "swapper")
    made_for_it = any(blob.name == NATIVE_BLOB for blob in pack.manifest.models["swapper"].blobs)
    assert ("native_psnr_db" in measurements) == made_for_it == LIBRARY.exists()
    assert all(value > 80 for value in measurements.values())


def test_an_embedder_is_compared_on_both_engines(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    models = {**toys.models(), "embedder": fake_native_embedder.describe_iresnet()}
    pointer = publish(s3, PackBundle.assemble(models, "iresnet", dict.fromkeys(models, "MIT")))
    for error, fault in ((0.0, ""), (0.01, "native_cosine is 0.9999")):
        fake_native_embedder.install(monkeypatch, error=error)
        (report,) = [each for each in check(s3, pointer) if each.part == "embedder"]
        assert report.measured["cosine"] > 0.9999
        assert (report.measured["native_cosine"] >= 0.99999) == (not fault)
        assert report.fault[: len("native_cosine is 0.9999")] == fault


def test_what_packs_share_is_read_once(s3: FaultyS3) -> None:
    both = publish(s3, build()), publish(s3, build("other", other=True))
    s3.requests.clear()
    assert not faults(check(s3, *both))
    weights = build().manifest.models["swapper"].blob("weights")
    assert len([request for request in s3.requests if weights.sha256 in request.key]) == 2 * len(weights.chunks)


@pytest.mark.parametrize("damage", ["a bit", "the end", "all"])
def test_every_damage_is_found_and_named(s3: FaultyS3, damage: str) -> None:
    pack = build()
    pointer = publish(s3, pack)
    damaged = set()
    for name, model in pack.manifest.models.items():
        blob = model.golden if name == "embedder" else model.blobs[-1]
        data = bytearray(s3.objects.pop(f"{BUCKET}/{blob.key}"))
        if damage == "a bit":
            data[len(data) // 2] ^= 1
        if damage != "all":
            s3.objects[f"{BUCKET}/{blob.key}"] = bytes(data[: len(data) - (damage == "the end")])
        damaged.add(blob.key)
    verdicts = faults(check(s3, pointer))
    assert set(verdicts) == {*damaged, "detector", "embedder", "swapper"}
    assert verdicts["swapper"] == "a part of it is faulty"


def test_a_manifest_that_was_changed_is_found(s3: FaultyS3) -> None:
    pointer = publish(s3, build())
    s3.objects[f"{BUCKET}/{pointer.key}"] = s3.objects[f"{BUCKET}/{pointer.key}"][:].replace(b"MIT", b"TIM")
    assert set(faults(check(s3, pointer))) == {"manifest"}


def test_a_model_that_computes_something_else_is_found(s3: FaultyS3) -> None:
    models = dict(toys.models())
    weights = bytearray(models["swapper"].blobs["weights"])
    halves = np.frombuffer(weights, np.float16)
    halves[: len(halves) // 8] = 0
    swapper = models["swapper"]
    models["swapper"] = replace(swapper, blobs={**swapper.blobs, "weights": weights})
    pointer = publish(s3, PackBundle.assemble(models, "spoilt", dict.fromkeys(models, "MIT")))
    verdicts = faults(check(s3, pointer))
    assert set(verdicts) == {"swapper"}
    assert "psnr_db" in verdicts["swapper"]
