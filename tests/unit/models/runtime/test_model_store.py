"""Weights arrive whole and verified, or a clear error arrives; whatever the network and the bucket do."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ModelsCorrupt, ModelsMissing, OutOfTime, StorageFailed
from layers.models.runtime.manifest import POINTER_KEY, Blob, Contract, Manifest, Model, Pointer
from layers.models.runtime.model_store import ModelStore
from layers.models.runtime.s3_download import LAST_CHUNKS, Download, DownloadCancelled
from tests.support.faulty_s3 import Fault, FaultyS3

BUCKET = "models"
CHUNK = 100_000
DATA = np.random.default_rng(0).bytes(10 * CHUNK - 17)


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def blob(s3: FaultyS3) -> Blob:
    chunks = tuple(hashlib.sha256(DATA[at : at + CHUNK]).hexdigest() for at in range(0, len(DATA), CHUNK))
    described_blob = Blob("weights", hashlib.sha256(DATA).hexdigest(), len(DATA), CHUNK, chunks)
    s3.objects[f"{BUCKET}/{described_blob.key}"] = DATA
    return described_blob


def load(s3: FaultyS3, blob: Blob, seconds: float = 20.0) -> Download:
    return ModelStore(BUCKET, s3.client()).load(blob, Deadline.after(seconds))


def join(download: Download) -> None:
    """Waits for the download's threads to end."""
    for thread in download.threads:
        thread.join(20)
        assert not thread.is_alive()


def ranges(s3: FaultyS3) -> list[str]:
    return [request.range for request in s3.requests]


def test_all_bytes_arrive_in_ranges_of_a_chunk(s3: FaultyS3, blob: Blob) -> None:
    download = load(s3, blob)
    assert bytes(download.wait()) == DATA
    assert sorted(ranges(s3)) == sorted(
        f"bytes={at}-{min(at + CHUNK, len(DATA)) - 1}" for at in range(0, len(DATA), CHUNK)
    )
    assert download.complete
    assert download.bytes_fetched == len(DATA)


def test_the_beginning_can_be_used_before_the_end_is_there(s3: FaultyS3, blob: Blob) -> None:
    download = ModelStore(BUCKET, s3.client()).load(blob, Deadline.after(20), pause_at=3 * CHUNK)
    assert bytes(download.wait(3 * CHUNK)) == DATA[: 3 * CHUNK]
    assert len(s3.requests) == 3
    download.resume()
    assert bytes(download.wait()) == DATA


def test_the_buffer_is_ordinary_memory_that_weights_may_point_into(s3: FaultyS3, blob: Blob) -> None:
    download = load(s3, blob)
    array = np.frombuffer(download.wait(), np.uint8)
    assert np.shares_memory(array, np.frombuffer(download.buffer, np.uint8))
    download.close()
    join(download)
    assert not array.any()


def test_a_part_given_back_is_fetched_again_when_let_go(s3: FaultyS3, blob: Blob) -> None:
    download = load(s3, blob)
    array = np.frombuffer(download.wait(), np.uint8)
    join(download)
    s3.requests.clear()
    download.shrink(4 * CHUNK + 5, Deadline.after(20))
    assert bytes(download.wait(4 * CHUNK)) == DATA[: 4 * CHUNK]
    assert not array[5 * CHUNK :].any()
    assert not download.complete
    download.resume()
    assert bytes(download.wait()) == DATA
    assert len(s3.requests) == 6


@pytest.mark.parametrize("after", [0, 1, 70_000])
def test_a_range_that_breaks_off_is_taken_up_where_it_broke(s3: FaultyS3, blob: Blob, after: int) -> None:
    s3.fail("blobs/", Fault(break_after=after))
    download = load(s3, blob)
    assert bytes(download.wait()) == DATA
    assert download.bytes_fetched == len(DATA)
    assert len(s3.requests) == len(blob.chunks) + 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_server_is_asked_again(s3: FaultyS3, blob: Blob, status: int) -> None:
    s3.fail("blobs/", Fault(status=status), Fault(status=status, code="SlowDown"))
    assert bytes(load(s3, blob).wait()) == DATA


def test_a_server_that_keeps_failing_is_given_up(s3: FaultyS3, blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layers.models.runtime.s3_download.BACKOFF_SECONDS", (0.0, 0.0))
    s3.fail("blobs/", *[Fault(status=500)] * 100)
    with pytest.raises(StorageFailed, match="InternalError"):
        load(s3, blob).wait()


def test_a_chunk_damaged_on_the_way_is_fetched_once_more(s3: FaultyS3, blob: Blob) -> None:
    s3.fail("blobs/", Fault(flip_bit_at=7))
    download = load(s3, blob)
    assert bytes(download.wait()) == DATA
    assert download.bytes_fetched == len(DATA) + CHUNK


def test_a_blob_damaged_in_the_bucket_is_refused(s3: FaultyS3, blob: Blob) -> None:
    damaged = bytearray(DATA)
    damaged[5 * CHUNK] ^= 1
    s3.objects[f"{BUCKET}/{blob.key}"] = bytes(damaged)
    download = load(s3, blob)
    with pytest.raises(ModelsCorrupt, match="damaged"):
        download.wait()
    assert not download.usable


@pytest.mark.parametrize("size", [1, CHUNK, len(DATA) - 1])
def test_a_truncated_blob_is_refused(s3: FaultyS3, blob: Blob, size: int) -> None:
    s3.objects[f"{BUCKET}/{blob.key}"] = DATA[:size]
    with pytest.raises(ModelsCorrupt):
        load(s3, blob).wait()


def test_a_blob_with_bytes_to_spare_is_refused(s3: FaultyS3, blob: Blob) -> None:
    s3.objects[f"{BUCKET}/{blob.key}"] = DATA + b"more"
    with pytest.raises(ModelsCorrupt, match="size"):
        load(s3, blob).wait()


def test_a_missing_blob_is_named(s3: FaultyS3, blob: Blob) -> None:
    del s3.objects[f"{BUCKET}/{blob.key}"]
    with pytest.raises(ModelsMissing, match=blob.sha256):
        load(s3, blob).wait()


def test_a_server_that_stalls_does_not_outlast_the_deadline(s3: FaultyS3, blob: Blob) -> None:
    s3.fail("blobs/", Fault(stall_after=10))
    with pytest.raises(OutOfTime):
        load(s3, blob, seconds=0.5).wait()


def test_a_cancelled_download_stops_within_a_chunk(s3: FaultyS3, blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layers.models.runtime.s3_download.PARALLEL_RANGE_READS", 1)
    in_third, go_on = threading.Event(), threading.Event()

    def pace(size: int) -> None:
        if len(s3.requests) == 3:
            in_third.set()
            go_on.wait(20)

    s3.pace = pace
    download = load(s3, blob)
    assert in_third.wait(20)
    download.cancel()
    go_on.set()
    join(download)
    assert len(s3.requests) == 3
    assert 2 * CHUNK <= download.bytes_fetched <= 3 * CHUNK
    assert bytes(download.wait(2 * CHUNK)) == DATA[: 2 * CHUNK]
    with pytest.raises(DownloadCancelled):
        download.wait()


def test_threads_end_when_a_download_fails(s3: FaultyS3, blob: Blob) -> None:
    del s3.objects[f"{BUCKET}/{blob.key}"]
    download = load(s3, blob)
    with pytest.raises(ModelsMissing):
        download.wait()
    join(download)


def _publish(s3: FaultyS3, pack: str) -> Manifest:
    model = Model(
        "onnx", "MIT", Contract((), ()), Blob.describe("golden", b"x"), (Blob.describe("model.onnx", pack.encode()),)
    )
    manifest = Manifest(pack, {"detector": model, "embedder": model, "swapper": model})
    pointer = Pointer(pack, hashlib.sha256(manifest.dump()).hexdigest())
    s3.objects[f"{BUCKET}/{pointer.key}"] = manifest.dump()
    s3.objects[f"{BUCKET}/{POINTER_KEY}"] = pointer.dump()
    return manifest


def pack(store: ModelStore) -> Manifest:
    return store.current_pack(Deadline.after(20))


def test_the_pointer_leads_to_the_manifest(s3: FaultyS3) -> None:
    manifest = _publish(s3, "first")
    assert pack(ModelStore(BUCKET, s3.client())) == manifest


def test_an_unchanged_pointer_costs_one_request(s3: FaultyS3) -> None:
    _publish(s3, "first")
    store = ModelStore(BUCKET, s3.client())
    before = pack(store)
    s3.requests.clear()
    assert pack(store) is before
    assert [request.key for request in s3.requests] == [f"{BUCKET}/{POINTER_KEY}"]


def test_a_moved_pointer_is_followed(s3: FaultyS3) -> None:
    _publish(s3, "first")
    store = ModelStore(BUCKET, s3.client())
    pack(store)
    second = _publish(s3, "second")
    assert pack(store) == second


@pytest.mark.parametrize("key", ["packs/current.json", "packs/second/"])
def test_a_lookup_that_gets_no_answer_holds_up_no_other(s3: FaultyS3, key: str) -> None:
    _publish(s3, "first")
    store = ModelStore(BUCKET, s3.client())
    pack(store)
    second, stalls = _publish(s3, "second"), threading.Event()
    s3.fail(key, Fault(stall_after=3, then=stalls.set))
    pool = ThreadPoolExecutor(2)
    pool.submit(pack, store)  # ends with the server
    assert stalls.wait(20)
    assert pool.submit(pack, store).result(20) == second
    pool.shutdown(wait=False)


def test_a_pointer_that_moves_while_it_is_read_is_followed(s3: FaultyS3) -> None:
    _publish(s3, "first")
    first = next(key for key in s3.objects if "packs/first/" in key)

    def publish_and_clear() -> None:
        _publish(s3, "second")
        del s3.objects[first]

    s3.fail("packs/first/", Fault(then=publish_and_clear))
    assert pack(ModelStore(BUCKET, s3.client())).pack == "second"


@pytest.mark.parametrize(
    ("key", "data", "error"),
    [
        (POINTER_KEY, None, ModelsMissing),
        (POINTER_KEY, b"{}", ModelsCorrupt),
        (POINTER_KEY, b" " * (2 << 20), ModelsCorrupt),
        ("manifest", None, ModelsMissing),
        ("manifest", b"{}", ModelsCorrupt),
    ],
)
def test_a_pack_that_is_not_whole_is_a_clear_error(
    s3: FaultyS3, key: str, data: bytes | None, error: type[ColdswapError]
) -> None:
    _publish(s3, "first")
    where = next(name for name in s3.objects if "packs/first/" in name) if key == "manifest" else f"{BUCKET}/{key}"
    if data is None:
        del s3.objects[where]
    else:
        s3.objects[where] = data
    with pytest.raises(error):
        pack(ModelStore(BUCKET, s3.client()))


def test_a_bucket_that_fails_is_not_a_missing_pack(s3: FaultyS3) -> None:
    _publish(s3, "first")
    s3.fail(POINTER_KEY, Fault(status=500))
    with pytest.raises(StorageFailed):
        pack(ModelStore(BUCKET, s3.client()))


def test_a_manifest_whose_answer_breaks_off_is_read_again(s3: FaultyS3) -> None:
    manifest = _publish(s3, "first")
    s3.fail("packs/", Fault(break_after=3), Fault(break_after=0))
    assert pack(ModelStore(BUCKET, s3.client())) == manifest
    s3.fail(POINTER_KEY, *[Fault(break_after=3)] * 3)
    with pytest.raises(StorageFailed, match="ended early"):
        pack(ModelStore(BUCKET, s3.client()))


@pytest.mark.parametrize("ends", ["complete", "cancelled"])
def test_a_download_begins_no_chunk_before_one_that_is_needed_sooner_is_nearly_here(
    s3: FaultyS3, blob: Blob, ends: str
) -> None:
    first_arrival, may_go_on = threading.Event(), threading.Event()

    def hold(_: int) -> None:
        first_arrival.set()
        assert may_go_on.wait(20)

    chunks = (hashlib.sha256(DATA).hexdigest(),)
    other = Blob("weights", hashlib.sha256(DATA + b"0").hexdigest(), len(DATA), len(DATA), chunks)
    s3.objects[f"{BUCKET}/{other.key}"] = DATA
    s3.pace = hold
    store = ModelStore(BUCKET, s3.client(max_pool_connections=40))
    sooner = store.load(blob, Deadline.after(20))
    later = store.load(other, Deadline.after(20), after=sooner)
    assert first_arrival.wait(20)
    assert not sooner.leaves_room
    if ends == "cancelled":
        sooner.cancel()
    may_go_on.set()
    assert bytes(later.wait()) == DATA
    keys = [request.key for request in s3.requests]
    if ends == "complete":
        assert keys.index(f"{BUCKET}/{other.key}") >= len(sooner.blob.chunks) - LAST_CHUNKS
        assert bytes(sooner.wait()) == DATA


def test_a_blob_that_is_anticipated_is_fetched_once(s3: FaultyS3, blob: Blob) -> None:
    store = ModelStore(BUCKET, s3.client(max_pool_connections=40))
    anticipated = store.anticipate(blob, Deadline.after(0.5), pause_at=2 * CHUNK)
    anticipated.wait(2 * CHUNK)
    assert anticipated.bytes_fetched == 2 * CHUNK
    assert store.anticipate(blob, Deadline.after(20)) is anticipated
    download = store.load(blob, Deadline.after(20))
    assert download is anticipated
    assert bytes(download.wait()) == DATA
    assert store.drop_anticipated() == 0
    assert len(s3.requests) == len(blob.chunks)
    assert store.load(blob, Deadline.after(20)) is not download
