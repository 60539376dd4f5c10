"""Hostile moving memes from a caller: POST /swap and the steps after it refuse them, or swap what is whole of them.

tests/attack/test_moving.py has the readers alone; here it is what a caller gets, and that nothing is queued, fetched or
opened for it.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from layers.core.errors import ColdswapError, NoFaceInMeme, UnreadablePicture
from layers.media.moving.description import NOTES, Limits
from layers.media.moving.gif_blocks import read_gif
from tests.attack.test_fuzz import in_time
from tests.attack.test_media import REFERENCES, TEXTS, emptied
from tests.attack.test_moving import BOMBS, CONTRADICTIONS
from tests.support.plain_gifs import write_gif
from tests.unit.swap import networks
from tests.unit.swap.entry.test_moving_memes import EXECUTION, MEME, Workflow
from tests.unit.swap.entry_clients import HttpResult, http
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, drawing, settings
from tests.unit.swap.moving.test_clips import VP9, X264, Clip, draw, find_by_hue

FRAMES = 4
REFUSED = {"picture_too_large", "unreadable_picture", "unsupported_picture"}
# One of each kind and format; the others of the same kind take the same way through the stack.
COMMON = ("gif: frames", "gif: canvas times frames", "gif: delays", "gif: sub-blocks", "webp: frames", "mp4: frames")


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


@pytest.fixture
def workflow(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    return Workflow(stack, monkeypatch)


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """Listens, and must never be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


def post(stack: FakeSwapStack, patch: pytest.MonkeyPatch, meme: bytes) -> HttpResult:
    """A caller uploads a meme, and has it swapped."""
    stack.storage.put(UPLOADS, "requests/1/moving", meme)
    return http(stack, patch, body=MEME)


@pytest.mark.parametrize(
    "name", [*COMMON, *(pytest.param(n, marks=pytest.mark.full) for n in BOMBS if n not in COMMON)]
)
@pytest.mark.parametrize("is_large", [False, True])
def test_a_bomb_is_refused_and_nothing_is_decoded_or_swapped_for_it(
    name: str, is_large: bool, stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    """Of a file that is larger than a still may be, POST /swap sees the start, and the first step all of it."""
    stack.settings = settings(max_picture_bytes=200) if is_large else stack.settings

    response: Any = in_time(lambda meme: post(stack, monkeypatch, meme), BOMBS[name]())

    if response.status == 202:
        swap = response.body["id"]
        with pytest.raises(ColdswapError) as caught:
            in_time(lambda swap: workflow.step("analyse", input={"swap": swap}, execution=""), swap)
        workflow.step("fail", input={"swap": swap}, execution="", error=type(caught.value).__name__, cause="")
        response = http(stack, monkeypatch, "GET", f"/swap/{swap}")
        assert response.body["problem"]["code"] in REFUSED
    else:
        assert response.body["code"] in REFUSED
        assert not stack.moving_machine.executions
    assert not stack.models.swapper.crops
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_itself_is_no_fault_of_the_stack_s(
    name: str, stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    response = post(stack, monkeypatch, CONTRADICTIONS[name]())

    if response.status == 202:  # it has whole frames, in which nobody is seen
        with pytest.raises(NoFaceInMeme):
            workflow.run(response.body["id"])
    else:
        assert 400 <= response.status < 500


@pytest.mark.parametrize("name", TEXTS)
def test_a_list_of_other_files_is_refused_and_none_of_them_opened(
    name: str,
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    workflow: Workflow,
    trap: socket.socket,
    tmp_path: Path,
) -> None:
    canary = tmp_path / "canary.mp4"
    url = f"http://127.0.0.1:{trap.getsockname()[1]}"
    text = TEXTS[name].format(url=url, canary=canary, name=canary.name).encode()

    assert post(stack, monkeypatch, text).body["code"] in REFUSED
    with pytest.raises(ColdswapError) as caught:
        workflow.step("analyse", input=MEME, execution=f"{EXECUTION}:mine")

    assert caught.value.code in REFUSED
    with pytest.raises(BlockingIOError):
        trap.accept()


@pytest.mark.parametrize(
    "name",
    ["url-of-a-file", *(pytest.param(each, marks=pytest.mark.full) for each in REFERENCES if each != "url-of-a-file")],
)
def test_a_video_that_names_another_file_shows_nothing_of_it(
    name: str,
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    workflow: Workflow,
    trap: socket.socket,
    tmp_path: Path,
) -> None:
    """In the other file there is a face: whoever read it would swap it."""
    monkeypatch.setattr(networks, "_find_marks", find_by_hue)
    canary = Clip("canary.mp4", X264).write(tmp_path)
    url = f"http://127.0.0.1:{trap.getsockname()[1]}/a.mp4"
    response = post(stack, monkeypatch, emptied(canary, REFERENCES[name](str(canary), url)))

    if response.status == 202:
        with pytest.raises((NoFaceInMeme, UnreadablePicture)):
            workflow.run(response.body["id"])
    else:
        assert response.body["code"] in REFUSED
    with pytest.raises(BlockingIOError):
        trap.accept()
    assert not stack.models.swapper.crops


@cache
def gif() -> bytes:
    return write_gif([np.roll(drawing(1, 200, 160, 0.7), number, axis=1) for number in range(FRAMES)])


def gif_cuts() -> dict[str, tuple[int, int]]:
    """By the block in which the file ends: how many bytes are left of it, and how many whole frames those have."""
    pixels = [image.data[0] for image in read_gif(gif(), Limits()).images]  # a control has 8 bytes, and a place 10
    second, third, fourth = pixels[1] - 18, pixels[2] - 18, pixels[3] - 18
    return {
        "the header": (4, 0),
        "the screen": (9, 0),
        "the table of colours": (300, 0),
        "the loop": (13 + 768 + 5, 0),
        "the first frame": (second - 3, 0),
        "a control": (third + 3, 2),
        "a place": (third + 8 + 4, 2),
        "the size of codes": (third + 8 + 10, 2),
        "a sub-block": (third + 8 + 10 + 20, 2),
        "the last sub-block": (fourth - 3, 2),
        "the end of the file": (len(gif()) - 1, FRAMES),
    }


WITHOUT_FRAMES = [block for block, (_, whole) in gif_cuts().items() if not whole]
WITH_FRAMES = [block for block, (_, whole) in gif_cuts().items() if whole]
QUICK_CUT = "a sub-block"


@pytest.mark.parametrize("block", WITHOUT_FRAMES)
def test_a_gif_that_ends_before_its_first_frame_is_refused(
    block: str, stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = post(stack, monkeypatch, gif()[: gif_cuts()[block][0]])

    assert (response.status, response.body["code"] in REFUSED) == (422, True), response.body
    assert not stack.moving_machine.executions


@pytest.mark.parametrize(
    "block", [QUICK_CUT, *(pytest.param(each, marks=pytest.mark.full) for each in WITH_FRAMES if each != QUICK_CUT)]
)
def test_a_gif_that_ends_in_any_block_keeps_its_whole_frames_and_the_notes_say_so(
    block: str, stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    left, whole = gif_cuts()[block]

    result = swap_cut(stack, monkeypatch, workflow, gif()[:left])

    assert (result["frames"], result["face_frames"]) == (whole, whole)
    assert NOTES["truncated"] in result["notes"]


def swap_cut(stack: FakeSwapStack, patch: pytest.MonkeyPatch, workflow: Workflow, meme: bytes) -> Any:
    """The result of a meme that is cut off."""
    response = post(stack, patch, meme)
    assert response.status == 202, response.body
    workflow.run(response.body["id"])
    return http(stack, patch, "GET", f"/swap/{response.body['id']}").body["result"]


def clip(folder: Path, clip: Clip) -> bytes:
    return clip.write(folder).read_bytes()


def animation(name: str) -> bytes:
    """Whole frames, each in a part of the file."""
    file, frames = io.BytesIO(), [Image.fromarray(draw(number)[:, :, ::-1]) for number in range(8)]
    lossless = {"lossless": True} if name == "WEBP" else {}
    frames[0].save(file, name, save_all=True, append_images=frames[1:], duration=100, **lossless)
    return file.getvalue()


CUT_OFF: dict[str, Callable[[Path], bytes]] = {
    "an MP4": lambda folder: clip(folder, Clip("a.mp4", (*X264, "-bf", "0"))),
    "a WebM": lambda folder: clip(folder, Clip("a.webm", (*VP9, "-g", "1"))),
    "a WebP": lambda _: animation("WEBP"),
    "an APNG": lambda _: animation("PNG"),
}


@pytest.mark.parametrize(
    "name", ["an MP4", *(pytest.param(name, marks=pytest.mark.full) for name in CUT_OFF if name != "an MP4")]
)
def test_what_is_cut_off_keeps_its_whole_frames_and_the_notes_say_so(
    name: str, stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, tmp_path: Path
) -> None:
    monkeypatch.setattr(networks, "_find_marks", find_by_hue)
    meme = CUT_OFF[name](tmp_path)

    result = swap_cut(stack, monkeypatch, workflow, meme[: len(meme) * 4 // 5])

    assert 2 <= result["frames"] < 8
    assert {NOTES["truncated"], NOTES["damaged_frame"]} & set(result["notes"])
