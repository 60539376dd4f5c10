"""Parsers of strangers' bytes under mutation: whatever comes, the answer is a value or an error of its kind, in time.

Files that are right are cut, doubled, overwritten and spliced, which gets deeper than noise does. Hypothesis seeds
itself from the test, so a run can be repeated; `make test-full` tries twenty times as many, others each time, and says
how to repeat what it found.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.swap.verify import Verdict, judge
from layers.core.deadline import Deadline
from layers.core.errors import (
    ColdswapError,
    LabelFailed,
    ModelsCorrupt,
    UnreadableMedia,
    UnreadablePicture,
    UnsupportedPicture,
)
from layers.media.c2pa_chain import create_chain, parse
from layers.media.c2pa_label import Signer
from layers.media.decode import decode
from layers.media.ffmpeg import run
from layers.media.formats import PICTURE_FORMATS
from layers.media.header import Header
from layers.media.mp4 import read_index
from layers.media.picture_header import probe
from layers.media.xmp_label import label, label_mp4, read_label, read_mp4_label
from layers.models.runtime.manifest import Blob, Contract, Manifest, Model, Pointer, Tensor
from tests.attack import bombs
from tests.unit.media.test_c2pa_label import SWAP, labelled, sign

SLOW = 2.0  # seconds that no mutant of a small file may take
QUICK, LONG = 250, 5000  # examples


def fuzzed(examples: int) -> settings:
    """Hypothesis' settings: no database, no deadline of its own (the tests watch the clock); few are the same ones."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=examples <= QUICK,
        print_blob=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@cache
def pictures() -> list[bytes]:
    """Right ones, plain and signed, and crooked ones that are small."""
    right = [each for format in PICTURE_FORMATS for each in (labelled(format), sign(format))]
    crooked = [bombs.BOMBS[name]() for name in ("png-animated", "png-exif-loop", "jpeg-exif-loop", "webp-canvas")]
    return right + [each for each in crooked if len(each) < 1 << 16]


@cache
def videos() -> list[bytes]:
    """One as we make them, plain and fragmented."""
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        for flags in ("+faststart", "+frag_keyframe+empty_moov", ""):
            path = Path(folder) / "a.mp4"
            source = ["-f", "lavfi", "-i", "testsrc2=s=32x32:d=0.3:r=10", "-c:v", "libx264", "-preset", "ultrafast"]
            run([*source, *(["-movflags", flags] if flags else []), str(path)], deadline=Deadline.after(60))
            label_mp4(path)
            clips.append(path.read_bytes())
    return clips


@cache
def _chain() -> bytes:
    return create_chain().dump().encode()


@cache
def _manifest() -> bytes:
    contract = Contract((Tensor("x", "float32", ("batch", 3)),), (Tensor("y", "float32", (1, 512)),))
    blobs = (Blob.describe("model.onnx", b"graph"), Blob.describe("weights", bytes(99)))
    model = Model(
        "onnx", "MIT", contract, Blob.describe("golden", b"x"), blobs, source="a" * 64, parity={"psnr_db": 90.0}
    )
    return Manifest("toy", {"detector": model, "embedder": model, "swapper": model}, "A hint.").dump()


@st.composite
def mutants(draw: Callable[..., Any], source: Callable[[], list[bytes]]) -> bytes:
    """A right file, changed in up to eight places."""
    data = bytearray(draw(st.sampled_from(source())))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 6)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                size = draw(st.sampled_from([2, 4, 8]))
                edge = draw(st.sampled_from([0, 1, 7, 0x7F, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, (1 << 63) - 1]))
                data[at : at + size] = (edge % (1 << 8 * size)).to_bytes(size, draw(st.sampled_from(["big", "little"])))
            case 2:
                del data[at : at + draw(st.integers(1, 64))]
            case 3:
                data[at:at] = data[at : at + draw(st.integers(1, 256))]
            case 4:
                del data[at:]
            case 5:
                data[at:at] = draw(st.binary(max_size=64))
            case _:
                other = draw(st.sampled_from(source()))
                start = draw(st.integers(0, len(other) - 1))
                data[at : at + 64] = other[start : start + draw(st.integers(1, 256))]
    return bytes(data)


def in_time(work: Callable[[bytes], Any], data: bytes, *errors: type[Exception]) -> Any:
    """What comes of it; any other error than those is a finding, and so is slowness."""
    began = time.process_time()
    try:
        return work(data)
    except errors:
        return None
    finally:
        assert time.process_time() - began < SLOW


def header(data: bytes) -> None:
    result = in_time(probe, data, UnreadablePicture, UnsupportedPicture)
    if result is not None:
        assert isinstance(result, Header)
        assert result.width > 0
        assert result.height > 0
        assert 1 <= result.orientation <= 8


def claims(data: bytes) -> None:
    source_type = in_time(read_label, data, UnreadablePicture, UnsupportedPicture)
    assert source_type is None or (isinstance(source_type, str) and len(source_type) <= 1 << 20)


def pixels(data: bytes) -> None:
    picture = in_time(lambda each: decode(each, 1 << 20, 1 << 20), data, ColdswapError)
    assert picture is None or picture.pixels.shape[2] == 3


def index(data: bytes) -> None:
    def look(each: bytes) -> None:
        video_index = read_index(lambda at, count: each[at : at + count], len(each))
        span = video_index.window(0.1)
        assert span is None or 0 <= span[0] <= span[1]

    in_time(look, data, UnreadableMedia)


def video_claims(data: bytes) -> None:
    def look(each: bytes) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(each)
            file.flush()
            source_type = read_mp4_label(Path(file.name))
            assert source_type is None or isinstance(source_type, str)

    in_time(look, data, ValueError)


@given(data=mutants(pictures))
@fuzzed(QUICK)
def test_a_pictures_header(data: bytes) -> None:
    header(data)
    claims(data)


@given(data=mutants(pictures))
@fuzzed(QUICK)
def test_a_pictures_pixels(data: bytes) -> None:
    pixels(data)


@given(data=mutants(videos))
@fuzzed(QUICK)
def test_a_videos_index(data: bytes) -> None:
    index(data)
    video_claims(data)


@given(data=st.binary(max_size=300))
@fuzzed(QUICK)
def test_noise(data: bytes) -> None:
    for begin in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP", b"\0\0\0\x10ftypisom"):
        header(begin + data)
        claims(begin + data)
        index(begin + data)


JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def grafted(tree: Any, path: list[int], graft: Any) -> Any:
    """The tree with something else at that place."""
    if not path or not isinstance(tree, dict | list) or not tree:
        return graft
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = keys[path[0] % len(keys)]
    copy: Any = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[key] = grafted(tree[key], path[1:], graft)
    return copy


@given(path=st.lists(st.integers(0, 9), max_size=7), graft=JSONS)
@fuzzed(QUICK)
def test_a_manifest_with_something_else_somewhere(path: list[int], graft: Any) -> None:
    tree = grafted(json.loads(_manifest()), path, graft)

    manifest = in_time(Manifest.parse, json.dumps(tree).encode(), ModelsCorrupt)

    assert manifest is None or Manifest.parse(manifest.dump()) == manifest


@given(data=mutants(lambda: [_manifest(), Pointer("a", "0" * 64).dump()]))
@fuzzed(QUICK)
def test_a_manifests_bytes(data: bytes) -> None:
    for parser in (Manifest.parse, Pointer.parse):
        in_time(parser, data, ModelsCorrupt)


@given(data=mutants(lambda: [_chain()]))
@fuzzed(QUICK)
def test_a_signing_key(data: bytes) -> None:
    """A broken key is one of the family's errors or never signs; it does not end the process."""
    text = data.decode(errors="replace")
    chain = in_time(lambda _: parse(text), data, LabelFailed)
    if chain is not None and chain.key != json.loads(_chain())["key"]:
        in_time(lambda _: Signer(lambda: chain).sign_picture(labelled("png"), "png", SWAP), data, LabelFailed)


@given(data=mutants(lambda: [sign("jpeg"), sign("png"), sign("webp"), *videos()]))
@fuzzed(QUICK // 4)
def test_a_signed_label(data: bytes) -> None:
    """The library's reader is native code, so it is tried in a process of its own: it must not end that either."""
    assert _elsewhere(data) in ("judged", "refused")


def _judge(data: bytes) -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        verdict = in_time(lambda _: judge(Path(file.name), ""), data, ColdswapError)
    assert verdict is None or (isinstance(verdict, Verdict) and verdict.ours is False)
    return "judged" if verdict else "refused"


@cache
def _pool() -> Any:
    return multiprocessing.get_context("spawn").Pool(1)


def _elsewhere(data: bytes) -> str:
    return str(_pool().apply_async(_judge, (data,)).get(timeout=30))


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Any:
    yield
    if _pool.cache_info().currsize:
        _pool().terminate()
        _pool().join()


def test_labelling_what_is_no_picture_is_never_silent() -> None:
    for data in (b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"RIFF"):
        for format in PICTURE_FORMATS:
            try:
                labelled_data = label(data, format)
            except Exception:
                continue
            with pytest.raises(LabelFailed):
                Signer(lambda: parse(_chain().decode())).sign_picture(labelled_data, format, SWAP)


LONG_TESTS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]]]] = {
    "header": (header, pictures),
    "claims": (claims, pictures),
    "pixels": (pixels, pictures),
    "index": (index, videos),
    "video-claims": (video_claims, videos),
    "signed": (_elsewhere, lambda: [sign("jpeg"), sign("png"), *videos()]),
}


@pytest.mark.full
@pytest.mark.parametrize("name", LONG_TESTS)
def test_many_more(name: str) -> None:
    work, source = LONG_TESTS[name]

    @given(data=mutants(source))
    @fuzzed(LONG)
    def each(data: bytes) -> None:
        work(data)

    each()
