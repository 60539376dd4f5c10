"""A still through each swapper elsewhere; nothing of our own is fetched unless that fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import pytest
import waitress

from functions.swap import pipeline
from functions.swap.backends.interfaces import Backend
from functions.swap.backends.whole_still import TicketStore, WholeStills
from functions.swap.backends.worker import Worker
from functions.swap.context import SwapContext
from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.swap_records import SwapRecords
from functions.swap.values import SwapRequest, SwapResult
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.media.picture import Pixels
from layers.models.runtime.loaded_models import LoadedModels
from layers.models.runtime.manifest import WEIGHTS_BLOB
from layers.models.runtime.model_store import ModelStore
from layers.models.tools.publish import publish
from local.demo_pack import memes
from local.demo_pack.reference_pack import PACK
from tests.support.faulty_s3 import FaultyS3
from tests.support.wsgi_server import stop
from tests.unit.swap.backends.fake_replicate import FakeReplicate
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, MemoryStorage, decode, encode, settings
from workers.gpu.app import App, Setup
from workers.gpu.batches import BatchQueue
from workers.gpu.predictions import Predictions
from workers.gpu.swapper import PackSwapper

TOKEN = "let-me-in"
MEME, FACE = f"s3://{UPLOADS}/requests/1/meme", f"s3://{UPLOADS}/requests/1/face"


@pytest.fixture(scope="module")
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        licences: Any = dict.fromkeys(("detector", "embedder", "swapper"), "MIT")
        publish(PACK, MODELS, server.client(), "demo", licences, "It knows drawn faces only.")
        yield server


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pixels]:
    import cv2

    drawn = memes.draw_demo_pictures(tmp_path_factory.mktemp("pictures"))
    return {scene.name: np.asarray(cv2.imread(str(scene.path)), np.uint8) for scene in drawn}


@contextmanager
def serve_worker(s3: FaultyS3) -> Iterator[str]:
    """The real worker on the processor; gives its URL."""
    swapper = PackSwapper(ModelStore(MODELS, s3.client()), "cpu", 2)
    swapper.load()
    queue = BatchQueue(swapper.require, swapper.run)
    app = App(Predictions(queue, lambda _: None, time.monotonic), Setup(ready=True), TOKEN)
    server = waitress.create_server(app, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        stop(server)
        queue.close()


def swap(
    s3: FaultyS3, pictures: dict[str, Pixels], remotes: tuple[Backend, ...] = (), **options: Any
) -> tuple[SwapResult, Pixels]:
    storage = MemoryStorage()
    storage.put(UPLOADS, "requests/1/meme", encode(pictures["friday"]))
    storage.put(UPLOADS, "requests/1/face", encode(pictures["ruby"]))
    context = SwapContext(
        settings=settings(),
        storage=cast(Any, storage),
        models=LoadedModels(ModelStore(MODELS, s3.client()), 2, memory_mb=1769),
        budget=Budget("", "megapixels", lambda: 0, dict),
        denylist=DenylistStore(cast(Any, storage), MODELS),
        records=SwapRecords("", dict, 0),
        deadline=Deadline.after(60),
        remotes=remotes,
    )
    result = pipeline.swap(SwapRequest(MEME, face=FACE, **options), context, key="swaps/1.png").result
    return result, decode(storage.objects[OUTPUTS, "swaps/1.png"].data)


@pytest.fixture(scope="module")
def own(s3: FaultyS3, pictures: dict[str, Pixels]) -> tuple[SwapResult, Pixels]:
    """The swap by our own engine."""
    return swap(s3, pictures)


def test_a_still_is_the_same_whoever_runs_the_swapper(
    s3: FaultyS3, pictures: dict[str, Pixels], own: tuple[SwapResult, Pixels]
) -> None:
    here, picture = own
    weights = ModelStore(MODELS, s3.client()).current_pack(Deadline.after(9)).models["swapper"].blob(WEIGHTS_BLOB).size
    with serve_worker(s3) as url:
        there, other = swap(s3, pictures, (Worker(url, TOKEN, 0.0002),))

    error = float(np.mean((picture.astype(float) - other) ** 2))
    assert error <= 255**2 / 10**6  # 60 dB
    assert (here.engine or "").startswith(("native", "onnxruntime"))  # make test-onnxruntime has no native one
    assert here.remote is None
    assert there.engine == "worker cpu"
    assert there.remote is not None
    assert there.remote.dollars == pytest.approx(there.remote.seconds * 0.0002, abs=1e-7)
    assert there.bytes_fetched <= here.bytes_fetched - weights
    assert not any("elsewhere" in note for note in there.notes)


def test_a_still_is_swapped_here_where_the_worker_is_gone(
    s3: FaultyS3, pictures: dict[str, Pixels], own: tuple[SwapResult, Pixels]
) -> None:
    here, picture = own
    gone, other = swap(s3, pictures, (Worker("http://127.0.0.1:9", TOKEN),))

    np.testing.assert_array_equal(other, picture)
    assert (gone.engine, gone.remote) == (here.engine, None)
    assert [note for note in gone.notes if "elsewhere" in note] == [
        "The swapper elsewhere could not do it (provider_failed), so the stack's own engine did."
    ]


def test_a_still_comes_back_whole_from_replicate(
    s3: FaultyS3, pictures: dict[str, Pixels], own: tuple[SwapResult, Pixels]
) -> None:
    meme, here = pictures["friday"], own[0]
    boxes = [cast(Any, tuple(map(int, face.box))) for face in here.faces]
    with FakeReplicate(*boxes) as replicate:
        stills = WholeStills(replicate.client(), TicketStore(cast(Any, MemoryStorage()), OUTPUTS))
        there, picture = swap(s3, pictures, (stills,), faces=[0])

    assert there.engine == "replicate"
    assert there.remote is not None
    assert (there.remote.seconds, there.remote.dollars) == (3.5, 0.0035)
    middles = [((x0 + x1) // 2, (y0 + y1) // 2) for x0, y0, x1, y1 in boxes]
    changed = [np.abs(picture[y, x].astype(int) - meme[y, x]).max() > 20 for x, y in middles]
    assert changed == [True] + [False] * (len(boxes) - 1)  # although all were swapped there
