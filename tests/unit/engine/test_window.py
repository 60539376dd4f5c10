"""The native engine on weights that go through a window: the same pictures out of less memory, and never a hang."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np
import pytest

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt, OutOfTime
from layers.engine.native_run import STEP_BYTES
from layers.models.runtime.manifest import Blob
from layers.models.runtime.model_store import ModelStore
from layers.models.runtime.s3_download import Download
from layers.models.tools.convert import ConvertedModel
from tests.support.faulty_s3 import Fault, FaultyS3
from tests.unit.engine.test_native import SETS, build_pack, faces, native, parse_description

pytestmark = pytest.mark.skipif(not SETS, reason="the native engine is not to be had")
BUCKET = "models"
CHUNK = 64 << 10
WIDTH = 32
PAGE = 4096


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def start_download(s3: FaultyS3, pack: ConvertedModel, window: int, seconds: float = 30) -> Download:
    data = bytes(pack.blobs["weights"])
    chunks = tuple(hashlib.sha256(data[at : at + CHUNK]).hexdigest() for at in range(0, len(data), CHUNK))
    blob = Blob("weights", hashlib.sha256(data).hexdigest(), len(data), CHUNK, chunks)
    s3.objects.setdefault(f"{BUCKET}/{blob.key}", data)
    client = s3.client(max_pool_connections=40)
    download = ModelStore(BUCKET, client).load(blob, Deadline.after(seconds), pause_at=CHUNK)
    download.resume(window)
    return download


def window_bytes(pack: ConvertedModel) -> int:
    return parse_description(pack).min_window_bytes + STEP_BYTES


class Watched:
    """A download that notes how much of it is in memory each time that some of it is released."""

    def __init__(self, download: Download) -> None:
        self.download = download
        self.most = 0
        self.wait, self.memory, self.close = download.wait, download.memory, download.close
        self.window = download.window

    def release(self, upto: int) -> None:
        pages = np.frombuffer(self.download.buffer, np.uint8)[::PAGE]
        self.most = max(self.most, int(np.count_nonzero(pages)) * PAGE)
        self.download.release(upto)


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("threads", [1, 2])
def test_it_gives_the_same_and_fetches_once(s3: FaultyS3, count: int, threads: int) -> None:
    pack = build_pack(WIDTH)
    crops, latents = faces(count)
    expected = native(pack).run(crops, latents)
    weights = Watched(start_download(s3, pack, window_bytes(pack)))
    swapper = native(pack, weights, threads)
    assert swapper.window == window_bytes(pack)
    swapped = swapper.run(crops, latents)

    np.testing.assert_array_equal(swapped, expected)
    size = len(pack.blobs["weights"])
    assert weights.download.bytes_fetched == size
    assert weights.most < window_bytes(pack) + 4 * CHUNK < size / 2
    assert not np.frombuffer(weights.download.buffer, np.uint8)[: size // PAGE * PAGE].any()


def test_a_second_run_is_refused_and_gets_no_zeros(s3: FaultyS3) -> None:
    pack = build_pack(WIDTH)
    swapper = native(pack, weights := start_download(s3, pack, window_bytes(pack)))
    swapper.run(*faces(1))

    assert not weights.complete
    with pytest.raises(RuntimeError, match="window"):
        swapper.run(*faces(1))


def test_a_window_too_small_for_a_layer_is_refused(s3: FaultyS3) -> None:
    pack = build_pack(WIDTH)
    weights = start_download(s3, pack, window_bytes(pack) - 1)
    with pytest.raises(ValueError, match="at one time"):
        native(pack, weights).run(*faces(1))
    weights.close()


def test_what_is_here_already_needs_no_window(s3: FaultyS3) -> None:
    pack = build_pack(WIDTH)
    weights = start_download(s3, pack, len(pack.blobs["weights"]))
    weights.wait()
    weights.resume(window_bytes(pack))
    swapper = native(pack, weights)

    np.testing.assert_array_equal(swapper.run(*faces(1)), swapper.run(*faces(1)))
    assert weights.complete


@pytest.mark.parametrize("at", [0, 20, 60])
def test_a_damaged_chunk_ends_the_run_with_its_error(s3: FaultyS3, at: int) -> None:
    pack = build_pack(WIDTH)
    spoiled = bytearray(pack.blobs["weights"])
    place = at * CHUNK + 5
    key = hashlib.sha256(bytes(spoiled)).hexdigest()
    spoiled[place] ^= 1
    s3.objects[f"{BUCKET}/blobs/sha256/{key}"] = bytes(spoiled)
    swapper = native(pack, start_download(s3, pack, window_bytes(pack)))

    with pytest.raises(ModelsCorrupt):
        swapper.run(*faces(1))


def test_a_bucket_that_stalls_ends_the_run_in_time(s3: FaultyS3) -> None:
    pack = build_pack(WIDTH)
    s3.fail("blobs/", *[Fault(stall_after=100)] * 2)
    swapper = native(pack, start_download(s3, pack, window_bytes(pack), seconds=1.0))

    with pytest.raises(OutOfTime):
        swapper.run(*faces(1))
