"""The native embedder against onnxruntime, and what becomes of it when its weights do not come as they should."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pytest

from layers.core.errors import ModelsCorrupt
from layers.engine import native_run
from layers.engine.native_embedder import MAX_BLOCKS, EmbedderDescription, NativeEmbedder
from layers.engine.native_library import Unavailable
from layers.engine.native_run import STEP_BYTES
from layers.engine.stages import InMemoryWeights
from layers.engine.swapper import Floats
from tests.support.iresnets import IResNet, random_iresnet
from tests.unit.engine.test_native import SETS, Arriving

# Without a C++ compiler, or on a processor that is not x86-64, there is no engine, and embedders run on onnxruntime.
pytestmark = pytest.mark.skipif(not SETS, reason="there is no native engine on this machine")
small = cache(random_iresnet)


def embedder(network: IResNet, weights: Any = None, threads: int = 2, **options: Any) -> NativeEmbedder:
    return NativeEmbedder(network.description, weights or InMemoryWeights(network.weights), threads, **options)


def crops(count: int) -> Floats:
    return np.random.default_rng(count).uniform(-1, 1, (count, 3, 112, 112)).astype(np.float32)


def least_cosine(one: Floats, other: Floats) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(np.min(np.sum(one * other, axis=1) / lengths))


# The parts of a width of 16 have 16 to 128 channels: every way of the matrix product, though not at every side.
@pytest.mark.parametrize(
    ("width", "blocks", "half_stem"),
    [
        (16, (1, 1, 1, 1), False),
        (16, (2, 1, 2, 1), True),
        pytest.param(48, (1, 2, 1, 1), False, marks=pytest.mark.full),
        pytest.param(64, (3, 4, 14, 3), True, marks=pytest.mark.full),
    ],
)
def test_it_gives_what_onnxruntime_gives(width: int, blocks: tuple[int, int, int, int], half_stem: bool) -> None:
    network = random_iresnet(width, blocks, half_stem=half_stem, seed=width)
    faces = crops(2)
    expected = network.embed(faces)

    for instructions in SETS:
        for threads in (1, 2):
            native = embedder(network, threads=threads, instructions=instructions)
            assert native.name == f"native {instructions}"
            embeddings = native.run(faces)
            assert least_cosine(embeddings, expected) > 0.99999
            np.testing.assert_allclose(embeddings, expected, atol=1e-4 * float(np.abs(expected).max()))


@pytest.mark.parametrize("instructions", SETS)
def test_a_face_comes_out_the_same_in_any_company_and_on_any_number_of_threads(instructions: str) -> None:
    faces = crops(5)
    alone = [embedder(small(), threads=1, instructions=instructions).run(faces[i : i + 1]) for i in range(5)]

    for threads, lean in ((1, False), (2, True), (3, False)):
        together = embedder(small(), threads=threads, instructions=instructions, lean=lean).run(faces)
        np.testing.assert_array_equal(together, np.concatenate(alone))


def test_it_may_be_as_deep_as_a_description_allows() -> None:
    network = random_iresnet(16, (MAX_BLOCKS, 1, 1, 1))
    np.testing.assert_array_equal(
        embedder(network, lean=True).run(crops(4)), embedder(network, lean=False, threads=1).run(crops(4))
    )


@pytest.mark.parametrize("instructions", SETS)
def test_each_pixel_counts_and_nothing_beyond_the_edges(instructions: str) -> None:
    """One pixel of light: its trace reaches the edges of every layer's activation in another way."""
    places = [(0, 0), (0, 111), (111, 0), (111, 111), (55, 56), (27, 3)]
    faces = np.zeros((len(places), 3, 112, 112), np.float32)
    for face, (row, column) in zip(faces, places, strict=True):
        face[0, row, column] = 100.0

    assert least_cosine(embedder(small(), instructions=instructions).run(faces), small().embed(faces)) > 0.99999


def test_it_runs_while_its_weights_are_coming() -> None:
    network, size = small(), len(small().weights)
    weights = Arriving(network.weights)
    native = embedder(network, weights)
    results: list[Floats] = []
    running = threading.Thread(target=lambda: results.append(native.run(crops(2))))
    running.start()

    for at in range(0, size, 300_001):
        weights.arrive(min(at + 300_001, size))
    weights.arrive(size)
    running.join(60)

    np.testing.assert_array_equal(results[0], embedder(network).run(crops(2)))


class LayerByLayer(Arriving):
    """Weights of which a layer's come when those of the one before are no longer needed."""

    def __init__(self, network: IResNet, step: int) -> None:
        super().__init__(network.weights)
        self.window = len(network.weights) * 2
        self._step = step
        self._ends = [*(at for at, _ in network.description.weights[1:]), len(network.weights)]
        self.release(0)

    def release(self, upto: int) -> None:
        end = next((end for end in self._ends if end > upto), self._ends[-1])
        self.arrive(min(-(-end // self._step) * self._step, self._ends[-1]))


@pytest.mark.parametrize("instructions", SETS)
def test_it_reads_no_weights_before_they_are_here(instructions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_run, "STEP_BYTES", 4096)
    weights = LayerByLayer(small(), native_run.STEP_BYTES)
    embeddings = embedder(small(), weights, instructions=instructions).run(crops(1))
    np.testing.assert_array_equal(embeddings, embedder(small(), instructions=instructions).run(crops(1)))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_download_that_fails_ends_the_run_with_its_error_and_the_next_may_succeed(share: float) -> None:
    network, size = small(), len(small().weights)
    weights = Arriving(network.weights)
    native = embedder(network, weights)

    def break_off() -> None:
        weights.arrive(int(share * size))
        weights.fail(ModelsCorrupt("A chunk is damaged."))

    threading.Thread(target=break_off).start()
    with pytest.raises(ModelsCorrupt, match="damaged"):
        native.run(crops(1))

    weights.arrive(size)
    np.testing.assert_array_equal(native.run(crops(1)), embedder(network).run(crops(1)))


def test_a_run_whose_threads_cannot_all_start_leaves_none_that_speaks_to_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weights, start = Arriving(small().weights), threading.Thread.start
    weights.window = len(small().weights) * 2
    native, feeding = embedder(small(), weights), list[threading.Thread]()

    def start_but_one(thread: threading.Thread) -> None:
        if thread.name == "window":
            raise RuntimeError("can't start new thread")
        feeding.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_but_one)
    with pytest.raises(RuntimeError, match="can't start"):
        native.run(crops(1))
    monkeypatch.undo()
    advance = mock.Mock()
    monkeypatch.setattr(native._network._library, "coldswap_advance", advance)
    weights.arrive(len(small().weights))
    for thread in feeding:
        thread.join(60)
    assert not advance.called
    monkeypatch.undo()
    weights.window = None
    np.testing.assert_array_equal(native.run(crops(1)), embedder(small()).run(crops(1)))


class Windowed(InMemoryWeights):
    """Weights of which only some are to be kept; it notes how far they were released, and zeroes those."""

    def __init__(self, data: bytes, window: int) -> None:
        self._copy = bytearray(data)
        super().__init__(self._copy)
        self.window = window
        self.released: list[int] = []

    def release(self, upto: int) -> None:
        self.released.append(upto)
        end = min(upto, len(self._copy))
        self._copy[:end] = bytes(end)


def test_weights_in_a_window_are_released_as_soon_as_their_layer_is_done() -> None:
    network = small()
    weights = Windowed(network.weights, network.description.min_window_bytes + STEP_BYTES)

    embeddings = embedder(network, weights).run(crops(1))

    np.testing.assert_array_equal(embeddings, embedder(network).run(crops(1)))
    assert weights.released[-1] >= len(network.weights)
    with pytest.raises(ValueError, match="at one time"):
        embedder(network, Windowed(network.weights, network.description.min_window_bytes)).run(crops(1))


def test_what_does_not_fit_is_refused() -> None:
    native = embedder(small())

    with pytest.raises(ValueError, match="shape"):
        native.run(crops(1)[:, :, :64])
    assert native.run(crops(1)[:0]).shape == (0, 512)
    native.close()
    native.close()
    with pytest.raises(RuntimeError, match="closed"):
        native.run(crops(1))


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: b"",
        lambda d: b"{}",
        lambda d: d[:-4],
        lambda d: d.replace(b'"width": 16', b'"width": 17'),
        lambda d: d.replace(b'"width": 16', b'"width": 0'),
        lambda d: d.replace(b'"width": 16', b'"width": 1600000'),
        lambda d: d.replace(b"[1, 1, 1, 1]", b"[1, 1, 1]"),
        lambda d: d.replace(b"[1, 1, 1, 1]", b"[1, 1, 0, 2]"),
        lambda d: d.replace(b"[1, 1, 1, 1]", b"[1, 1, 1, 1000000000]"),
        lambda d: d.replace(b"[[0, ", b"[[-64, "),
        lambda d: d.replace(b"[[0, ", b"[[99999999, "),
        lambda d: d.replace(b"[[0, ", b"[[1, "),
        lambda d: d.replace(b", 1], [", b", 0], [", 1),  # kernels that are not halves
        lambda d: d.replace(b'"width": 16', b'"width": 1e999'),
        lambda d: d.replace(b'"width": 16', b'"width": NaN'),
        lambda d: b"[" * 100_000 + d,
        lambda d: d[:-4] + np.float32("nan").tobytes(),
        lambda d: d[:-4] + np.float32("inf").tobytes(),
    ],
)
def test_a_description_that_does_not_fit_its_weights_never_reaches_the_engine(harm: Any) -> None:
    good, size = small().description.dump(), len(small().weights)
    assert EmbedderDescription.parse(good, size).dump() == good

    with pytest.raises(ModelsCorrupt):
        EmbedderDescription.parse(harm(good), size)


@pytest.mark.parametrize(("old", "new"), [(b'"format": 1', b'"format": 2'), (b"iresnet", b"vit")])
def test_a_description_of_something_else_is_left_to_onnxruntime(old: bytes, new: bytes) -> None:
    with pytest.raises(Unavailable, match=r"format 2|vit"):
        EmbedderDescription.parse(small().description.dump().replace(old, new), 1 << 30)
