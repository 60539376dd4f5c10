"""Every error that a picture, a URL, the models or the time can cause, over each of the three callers."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.integration.conftest import Origin
from tests.support.fault_proxy import Fault
from tests.support.swap_client import Outcome, SwapClients

CALLERS = ("http", "upload", "workflow")
MEME = "works-on-my-machine"

pytestmark = pytest.mark.parametrize("caller", CALLERS)


@dataclass(frozen=True)
class World:
    """What a case may need to make its pictures."""

    stack: SwapClients
    drawn: dict[str, Path]
    origin: Origin

    @property
    def meme(self) -> bytes:
        """A meme with which nothing is wrong."""
        return self.drawn[MEME].read_bytes()


@pytest.fixture
def world(stack: SwapClients, drawn: dict[str, Path], origin: Origin) -> World:
    return World(stack, drawn, origin)


def blank(side: int = 96) -> bytes:
    """A picture without a face."""
    return bytes(cv2.imencode(".png", np.full((side, side, 3), 128, np.uint8))[1])


def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header promises 100 megapixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)

Case = Callable[[World], tuple[bytes, str | None]]  # the meme's bytes and the face's URI

CASES: dict[str, tuple[str, Case]] = {
    "no face in the meme": ("no_face_in_meme", lambda world: (blank(), None)),
    "a meme of one pixel": ("no_face_in_meme", lambda world: (blank(1), None)),
    "no face in the source": ("no_face_in_source", lambda world: (world.meme, world.stack.put(blank()))),
    "a torn JPEG": ("unreadable_picture", lambda world: (world.meme[:2000], None)),
    "no picture at all": ("unsupported_picture", lambda world: (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None)),
    "a GIF": ("unsupported_picture", lambda world: (GIF, None)),
    "too many bytes": ("picture_too_large", lambda world: (world.meme + bytes(20 << 20), None)),
    "too many pixels": ("picture_too_large", lambda world: (bomb(), None)),
    "an address that is not public": ("refused_url", lambda world: (world.meme, "https://127.0.0.1/face.png")),
    "a URL without TLS": ("refused_url", lambda world: (world.meme, "http://example.com/face.png")),
    "a bucket of somebody else": ("refused_url", lambda world: (world.meme, "s3://somebody-else/face.png")),
    "a key that is not there": (
        "input_not_found",
        lambda world: (world.meme, world.stack.put(b"").rpartition("/")[0] + "/none"),
    ),
    "a server that fails": ("upstream_failed", lambda world: (world.meme, f"{world.origin.url}/broken")),
    "a data: URI that is none": ("invalid_request", lambda world: (world.meme, "data:text/html;base64,AA==")),
}


@pytest.mark.parametrize("case", CASES)
def test_errors_of_the_request(world: World, caller: str, case: str) -> None:
    code, make = CASES[case]

    outcome = world.stack.ask(caller, *make(world))

    _is_told(outcome, code)


@pytest.mark.usefixtures("pointer")
def test_no_pack_is_published(world: World, s3: Any, caller: str) -> None:
    s3.delete_object(Bucket=world.stack.cloud.bucket("models"), Key="packs/current.json")

    outcome = world.stack.ask(caller, world.meme)

    _is_told(outcome, "models_missing")


@pytest.fixture(params=["flipped", "truncated"])
def damaged(request: pytest.FixtureRequest, stack: SwapClients, s3: Any, pointer: dict[str, Any]) -> Iterator[None]:
    """One bit of the swapper's weights is wrong, or their end is missing."""
    blobs = pointer["models"]["swapper"]["blobs"]
    largest = max(blobs, key=lambda blob: int(blob["size"]))
    place = {"Bucket": stack.cloud.bucket("models"), "Key": f"blobs/sha256/{largest['sha256']}"}
    whole = s3.get_object(**place)["Body"].read()
    torn = bytearray(whole)
    torn[len(torn) // 2] ^= 1
    s3.put_object(**place, Body=bytes(torn) if request.param == "flipped" else whole[: len(whole) // 2])
    stack.cloud.chill()
    yield
    s3.put_object(**place, Body=whole)


@pytest.mark.usefixtures("damaged")
def test_the_weights_are_damaged(world: World, caller: str) -> None:
    outcome = world.stack.ask(caller, world.meme)

    _is_told(outcome, "models_corrupt")


def test_the_outputs_bucket_refuses(world: World, caller: str) -> None:
    with world.stack.meddler.fault(Fault("PUT", f"/{world.stack.cloud.bucket('outputs')}/", status=403)):
        outcome = world.stack.ask(caller, world.meme)

    _is_told(outcome, "storage_failed")


@pytest.fixture
def hurried(stack: SwapClients, drawn: dict[str, Path]) -> Iterator[None]:
    """A function with three seconds, of which half are for the work; warm, so that they are enough to answer."""
    stack.cloud.chill(timeout=3)
    stack.ask("http", drawn[MEME].read_bytes())
    yield
    stack.cloud.chill(timeout=120)


@pytest.mark.usefixtures("hurried")
def test_the_time_is_over_before_the_work(world: World, caller: str) -> None:
    with world.stack.meddler.fault(Fault("GET", "/packs/current.json", hold=1.7)):
        outcome = world.stack.ask(caller, world.meme)

    _is_told(outcome, "out_of_time")


def _is_told(outcome: Outcome, code: str) -> None:
    assert outcome.code == code, outcome
    assert outcome.detail.endswith("."), "the detail is a sentence"
    assert "Traceback" not in outcome.detail
