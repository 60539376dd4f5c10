"""Every error that a picture, a URL, the models or the time can cause, over HTTP; the other callers' reports of some.

Which caller is told what of which error is in tests/unit/swap/entry/test_errors.py; here the stack delivers it. The
other combinations are for make test-full.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.integration.conftest import Origin
from tests.support.fault_proxy import ProxyFault
from tests.support.swap_client import Outcome, SwapClient

CALLERS = ("http", "upload", "workflow")
MEME = "works-on-my-machine"


def over_callers(cases: Collection[str], over_all: Collection[str]) -> list[Any]:
    """Parameters (case, caller): every case over HTTP, some over all callers, and what is left marked `full`."""
    return [
        pytest.param(case, caller, marks=() if caller == "http" or case in over_all else pytest.mark.full)
        for case in cases
        for caller in CALLERS
    ]


@dataclass(frozen=True)
class CaseInputs:
    """What a case may need to make its pictures."""

    stack: SwapClient
    pictures: dict[str, Path]
    origin: Origin

    @property
    def meme(self) -> bytes:
        """A valid meme."""
        return self.pictures[MEME].read_bytes()


@pytest.fixture
def inputs(stack: SwapClient, pictures: dict[str, Path], origin: Origin) -> CaseInputs:
    return CaseInputs(stack, pictures, origin)


def blank(side: int = 96) -> bytes:
    """A picture without a face."""
    return bytes(cv2.imencode(".png", np.full((side, side, 3), 128, np.uint8))[1])


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header declares 100 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)

Case = Callable[[CaseInputs], tuple[bytes, str | None]]  # the meme's bytes and the face's URI

CASES: dict[str, tuple[str, Case]] = {
    "no face in the meme": ("no_face_in_meme", lambda inputs: (blank(), None)),
    "a meme of one pixel": ("no_face_in_meme", lambda inputs: (blank(1), None)),
    "no face in the source": ("no_face_in_source", lambda inputs: (inputs.meme, inputs.stack.upload(blank()))),
    "a torn JPEG": ("unreadable_picture", lambda inputs: (inputs.meme[:2000], None)),
    "no picture at all": ("unsupported_picture", lambda inputs: (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None)),
    "a GIF": ("no_face_in_meme", lambda inputs: (GIF, None)),
    "too many bytes": ("picture_too_large", lambda inputs: (inputs.meme + bytes(20 << 20), None)),
    "too many pixels": ("picture_too_large", lambda inputs: (bomb(), None)),
    "an address that is not public": ("refused_url", lambda inputs: (inputs.meme, "https://127.0.0.1/face.png")),
    "a URL without TLS": ("refused_url", lambda inputs: (inputs.meme, "http://example.com/face.png")),
    "a bucket of somebody else": ("refused_url", lambda inputs: (inputs.meme, "s3://somebody-else/face.png")),
    "a key that is not there": (
        "input_not_found",
        lambda inputs: (inputs.meme, inputs.stack.upload(b"").rpartition("/")[0] + "/none"),
    ),
    "a server that fails": ("upstream_failed", lambda inputs: (inputs.meme, f"{inputs.origin.url}/broken")),
    "a data: URI without a picture": ("invalid_request", lambda inputs: (inputs.meme, "data:text/html;base64,AA==")),
}


# One that nobody tries again and one that AWS does.
@pytest.mark.parametrize(("case", "caller"), over_callers(CASES, ["no face in the meme", "a server that fails"]))
def test_errors_of_the_request(inputs: CaseInputs, caller: str, case: str) -> None:
    code, make = CASES[case]

    outcome = inputs.stack.swap(caller, *make(inputs))

    _assert_problem(outcome, code)


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.usefixtures("pointer")
def test_no_pack_is_published(inputs: CaseInputs, s3: Any, caller: str) -> None:
    s3.delete_object(Bucket=inputs.stack.cloud.bucket("models"), Key="packs/current.json")

    outcome = inputs.stack.swap(caller, inputs.meme)

    _assert_problem(outcome, "models_missing")


@pytest.fixture
def corrupt_weights(
    request: pytest.FixtureRequest, stack: SwapClient, s3: Any, pointer: dict[str, Any]
) -> Iterator[None]:
    """The swapper's weights with one bit flipped, or truncated."""
    blobs = pointer["models"]["swapper"]["blobs"]
    largest = max(blobs, key=lambda blob: int(blob["size"]))
    location = {"Bucket": stack.cloud.bucket("models"), "Key": f"blobs/sha256/{largest['sha256']}"}
    whole = s3.get_object(**location)["Body"].read()
    corrupt = bytearray(whole)
    corrupt[len(corrupt) // 2] ^= 1
    s3.put_object(**location, Body=bytes(corrupt) if request.param == "flipped" else whole[: len(whole) // 2])
    stack.cloud.force_cold_start()
    yield
    s3.put_object(**location, Body=whole)


@pytest.mark.parametrize(
    ("corrupt_weights", "caller"), over_callers(["flipped", "truncated"], ["flipped"]), indirect=["corrupt_weights"]
)
@pytest.mark.usefixtures("corrupt_weights")
def test_the_weights_are_damaged(inputs: CaseInputs, caller: str) -> None:
    outcome = inputs.stack.swap(caller, inputs.meme)

    _assert_problem(outcome, "models_corrupt")


@pytest.mark.parametrize("caller", CALLERS)
def test_the_outputs_bucket_refuses(inputs: CaseInputs, caller: str) -> None:
    with inputs.stack.fault_proxy.fault(ProxyFault("PUT", f"/{inputs.stack.cloud.bucket('outputs')}/", status=403)):
        outcome = inputs.stack.swap(caller, inputs.meme)

    _assert_problem(outcome, "storage_failed")


@pytest.fixture
def short_timeout(stack: SwapClient, pictures: dict[str, Path]) -> Iterator[None]:
    """A function with a timeout of five seconds, 3.5 of which are for the work; warm, so that it can still respond."""
    stack.cloud.force_cold_start(timeout=5)
    try:
        stack.swap("http", pictures[MEME].read_bytes())
        yield
    finally:  # also where the machine is too busy for the first swap
        stack.cloud.force_cold_start(timeout=120)


@pytest.mark.parametrize("caller", ["http", "upload", pytest.param("workflow", marks=pytest.mark.full)])
@pytest.mark.usefixtures("short_timeout")
def test_the_time_is_over_before_the_work(inputs: CaseInputs, caller: str) -> None:
    with inputs.stack.fault_proxy.fault(ProxyFault("GET", "/packs/current.json", hold=3.7)):
        outcome = inputs.stack.swap(caller, inputs.meme)

    _assert_problem(outcome, "out_of_time")


def _assert_problem(outcome: Outcome, code: str) -> None:
    assert outcome.code == code, outcome
    assert outcome.detail.endswith("."), "the detail is a sentence"
    assert "Traceback" not in outcome.detail
