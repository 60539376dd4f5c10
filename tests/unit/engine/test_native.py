"""The native swapper against onnxruntime, and what becomes of it when its weights do not come as they should."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.core.errors import ModelsCorrupt, OutOfTime
from layers.engine import native_swapper
from layers.engine.native_swapper import Description, Miscalculates, NativeSwapper, Unavailable
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.stages import StagePlan
from layers.engine.swapper import Floats
from layers.models.tools.convert import ConvertedModel, convert_swapper, psnr_db
from tests.support import model_standins as standin
from tests.unit.models.tools.test_convert import Memory

try:
    HERE = native_swapper.library()
except Miscalculates:
    raise  # an engine that is broken is no reason to skip its tests
except Unavailable as error:
    pytestmark = pytest.mark.skip(f"the native engine is not to be had: {error}")
    SETS: list[str] = []
else:
    SETS = [name for name in ("avx2", "avx512") if HERE.coldswap_check(name.encode()) != 1]

DEMO = Path(__file__).resolve().parents[3] / "local/demo_pack/swapper.onnx"


@cache
def build_pack(width: int, seed: int = 1) -> ConvertedModel:
    """A network of the family with that many channels in its first layer; of 16, the demo pack's."""
    if width == 16 and seed == 1:
        return convert_swapper(DEMO)
    with tempfile.TemporaryDirectory() as folder:
        return convert_swapper(standin.inswapper(Path(folder) / "swapper.onnx", "fp16", width=8 * width, seed=seed))


def parse_description(pack: ConvertedModel) -> Description:
    return Description.parse(bytes(pack.blobs["native"]), len(pack.blobs["weights"]))


def native(
    pack: ConvertedModel, weights: Any = None, threads: int = 2, instructions: str = "", lean: bool = False
) -> NativeSwapper:
    weights = weights or Memory(pack.blobs["weights"])
    return NativeSwapper(parse_description(pack), weights, threads, instructions, lean)


def faces(count: int, seed: int = 0) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    latents = random.standard_normal((count, 512)).astype(np.float32)
    return random.random((count, 3, 128, 128), np.float32), latents / np.linalg.norm(latents, axis=1, keepdims=True)


def by_onnxruntime(pack: ConvertedModel, crops: Floats, latents: Floats) -> Floats:
    plan = StagePlan.parse(bytes(pack.blobs["plan"]))
    return OnnxSwapper(plan, Memory(pack.blobs["weights"]), 2).run(crops, latents)


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize(("width", "seed"), [(16, 1), (16, 5), (48, 2)])
def test_it_gives_what_onnxruntime_gives(width: int, seed: int, instructions: str) -> None:
    pack = build_pack(width, seed)
    crops, latents = faces(2, seed)
    expected = by_onnxruntime(pack, crops, latents)

    for threads in (1, 3):
        swapper = native(pack, threads=threads, instructions=instructions)
        assert swapper.name == f"native {instructions}"
        assert psnr_db(swapper.run(crops, latents), expected) > 100
        assert psnr_db(swapper.run(crops[:1], latents[:1]), expected[:1]) > 100


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_a_face_comes_out_the_same_in_any_company_and_on_any_number_of_threads(instructions: str, count: int) -> None:
    crops, latents = faces(count)
    alone = [native(build_pack(16), threads=1, instructions=instructions).run(crops[i : i + 1], latents[i : i + 1])
             for i in range(count)]  # fmt: skip

    lean = NativeSwapper(
        parse_description(build_pack(16)), Memory(build_pack(16).blobs["weights"]), 2, instructions, lean=True
    )
    np.testing.assert_array_equal(lean.run(crops, latents), np.concatenate(alone))
    for threads in (1, 2, 4):
        together = native(build_pack(16), threads=threads, instructions=instructions).run(crops, latents)
        np.testing.assert_array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("instructions", SETS)
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-40, -1e-40, 1e-20, 255.0, -3.0], ids=lambda value: f"all {value:g}")
def test_pixels_out_of_the_ordinary(instructions: str, value: float) -> None:
    crops, latents = faces(1)
    crops[:] = value

    swapped = native(build_pack(16), instructions=instructions).run(crops, latents)

    assert np.isfinite(swapped).all()
    assert psnr_db(swapped, by_onnxruntime(build_pack(16), crops, latents)) > 80


def test_a_face_that_comes_again_and_one_that_does_not() -> None:
    crops, latents = faces(3)
    swapper = native(build_pack(16))

    for face in (0, 0, 1, 2, 2, 0):
        swapped = swapper.run(crops[:1], latents[face : face + 1])
        np.testing.assert_array_equal(swapped, native(build_pack(16)).run(crops[:1], latents[face : face + 1]))


class Arriving(Memory):
    """Weights that come in pieces when told to; whoever reads before finds rubbish there."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._filling = bytearray(b"\x3c" * len(data))
        super().__init__(self._filling)
        self._data = bytes(data)
        self._arrived_bytes = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    def arrive(self, upto: int) -> None:
        with self._changed:
            self._filling[self._arrived_bytes : upto] = self._data[self._arrived_bytes : upto]
            self._arrived_bytes = upto
            self._changed.notify_all()

    def fail(self, error: BaseException) -> None:
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def wait(self, upto: int | None = None) -> memoryview:
        upto = len(self._data) if upto is None else upto
        with self._changed:
            self._changed.wait_for(lambda: self._arrived_bytes >= upto or self._error)
            if self._arrived_bytes < upto and self._error:
                raise self._error
        return memoryview(self.data)[:upto]


def test_it_runs_while_its_weights_are_coming() -> None:
    pack = build_pack(32)
    crops, latents = faces(2)
    weights = Arriving(pack.blobs["weights"])
    swapper = native(pack, weights)
    results: list[Floats] = []
    running = threading.Thread(target=lambda: results.append(swapper.run(crops, latents)))
    running.start()

    size = len(pack.blobs["weights"])
    for at in range(0, size, 300_001):
        weights.arrive(min(at + 300_001, size))
    weights.arrive(size)
    running.join(60)

    np.testing.assert_array_equal(results[0], native(pack).run(crops, latents))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("error", [ModelsCorrupt("A chunk is damaged."), OutOfTime("It took too long.")])
def test_a_download_that_fails_ends_the_run_with_its_error_and_the_next_may_succeed(
    share: float, error: Exception
) -> None:
    pack = build_pack(32)
    weights = Arriving(pack.blobs["weights"])
    size = len(pack.blobs["weights"])
    swapper = native(pack, weights)

    def break_off() -> None:
        weights.arrive(int(share * size))
        weights.fail(error)

    threading.Thread(target=break_off).start()

    with pytest.raises(type(error), match=str(error)):
        swapper.run(*faces(1))

    weights.arrive(size)
    np.testing.assert_array_equal(swapper.run(*faces(1)), native(pack).run(*faces(1)))


def test_two_packs_after_each_other() -> None:
    first = native(build_pack(16))
    swapped = first.run(*faces(1))
    first.close()
    first.close()
    second = native(build_pack(32)).run(*faces(1))

    np.testing.assert_array_equal(native(build_pack(16)).run(*faces(1)), swapped)
    assert not np.array_equal(swapped, second)
    with pytest.raises(RuntimeError, match="closed"):
        first.run(*faces(1))


def test_what_does_not_fit_together_is_refused() -> None:
    crops, latents = faces(2)
    swapper = native(build_pack(16))

    with pytest.raises(ValueError, match="2 crops but 1 latents"):
        swapper.run(crops, latents[:1])
    with pytest.raises(ValueError, match="shape"):
        swapper.run(crops[:, :, :64], latents)
    assert swapper.run(crops[:0], latents[:0]).shape == (0, 3, 128, 128)


@pytest.mark.parametrize(
    "harm",
    [
        lambda d: b"",
        lambda d: b"{}",
        lambda d: d[:-4],
        lambda d: d.replace(b'"width": 16', b'"width": 17'),
        lambda d: d.replace(b'"width": 16', b'"width": 0'),
        lambda d: d.replace(b'"width": 16', b'"width": 1600000'),
        lambda d: d.replace(b'"width": 16', b'"width": 1e999'),
        lambda d: d.replace(b'"epsilon": ', b'"epsilon": -'),
        lambda d: d.replace(b'"epsilon": ', b'"epsilon": NaN, "e": '),
        lambda d: d.replace(b"[[0, ", b"[[-64, "),
        lambda d: d.replace(b"[[0, ", b"[[99999999, "),
        lambda d: d.replace(b"[[0, ", b"[[1, "),
        lambda d: d.replace(b", 1], [", b", 0], [", 1),  # kernels that are not halves
        lambda d: b"[" * 100_000 + d,
        lambda d: d[:-4] + np.float32("nan").tobytes(),
    ],
)
def test_a_description_that_does_not_fit_its_weights_never_reaches_the_engine(harm: Any) -> None:
    good = bytes(build_pack(16).blobs["native"])
    assert Description.parse(good, len(build_pack(16).blobs["weights"])).dump() == good

    with pytest.raises(ModelsCorrupt):
        Description.parse(harm(good), len(build_pack(16).blobs["weights"]))


def test_a_newer_description_is_left_to_onnxruntime() -> None:
    newer = bytes(build_pack(16).blobs["native"]).replace(b'"format": 1', b'"format": 2')

    with pytest.raises(Unavailable, match="format 2"):
        Description.parse(newer, 1 << 30)


def test_memory_is_given_back_with_the_swapper() -> None:
    """In a process of its own: peaks of this one say nothing."""
    code = """
import numpy as np
from tests.unit.engine.test_native import build_pack, faces, native
def resident():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1])
pack, some = build_pack(16), faces(4)
native(pack).run(*some)
before = resident()
for _ in range(12):
    swapper = native(pack)
    swapper.run(*some)
    swapper.close()
assert resident() - before < 8_000, (before, resident())
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def in_little_memory(code: str) -> None:
    """In a process of its own, which `limit` leaves so many bytes of address space beyond what it has."""
    setup = """
import resource
import threading
from tests.unit.engine.test_native import Arriving, build_pack, faces, native
def limit(more):
    pages = int(open("/proc/self/statm").read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY))
"""
    subprocess.run([sys.executable, "-c", setup + code], check=True, timeout=120)


def test_where_memory_runs_out_nothing_speaks_to_the_engine_after_its_run() -> None:
    in_little_memory("""
weights = Arriving(build_pack(16).blobs["weights"])
swapper, many, calls = native(build_pack(16), weights), faces(64), []
class Spy:
    def __init__(self, library):
        self.library = library
    def __getattr__(self, name):
        call = getattr(self.library, name)
        return lambda *values: (calls.append(name), call(*values))[1]
swapper._network._library = Spy(swapper._network._library)
limit(64 << 20)
try:
    swapper.run(*many)
except MemoryError:
    pass
waiting = [thread for thread in threading.enumerate() if thread.name == "weights"]
assert waiting and calls == ["coldswap_restart", "coldswap_run"], calls
swapper.close()
weights.fail(RuntimeError("closed"))
for thread in waiting:
    thread.join(10)
assert calls[2:] == ["coldswap_destroy"], calls
""")


@pytest.mark.full
def test_a_lean_swapper_keeps_nothing_of_a_run_that_found_too_little_memory() -> None:
    in_little_memory("""
def mapped():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
swapper, many = native(build_pack(16), lean=True), faces(40)
threading.stack_size(64 << 10)
limit(80 << 20)
before = mapped()
try:
    swapper.run(*many)
except MemoryError:
    pass
else:
    raise AssertionError("there was enough")
assert mapped() - before < 20 << 20, mapped() - before  # a face takes a megabyte of the first layer's output alone
""")


def test_threads_that_cannot_be_had_leave_the_work_to_the_others() -> None:
    in_little_memory("""
swapper, one = native(build_pack(16), threads=8), faces(1)
expected = swapper.run(*one)
threading.stack_size(64 << 10)  # the one that announces the weights is to find room
limit(12 << 20)
assert (swapper.run(*one) == expected).all()
""")
