"""The part that is shown of footage of another shape: drawn subjects are whole in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from functions.video.render.clip import EncoderInput, arguments
from functions.video.render.framing import CELLS, choose_place, find_window, needs_choice
from functions.video.values import Plan, Segment
from layers.core.deadline import Deadline
from layers.media.ffmpeg import run, untrusted_input
from tests.unit.video.drawn_footage import frames
from tests.unit.video.scripts import footage

SEA = "gradients=s={size}:c0=0x205070:c1=0x6090a0:x0=0:y0=0:x1=0:y1=360:speed=0.00001:d=1:r=25"


def clip_of(folder: Path, source: str, size: str, frame: tuple[int, int]) -> np.ndarray:
    """The first picture of a clip of such footage; RGB, in the frame's size."""
    path = folder / "source.mp4"
    encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "8", "-pix_fmt", "yuv420p"]
    run(["-f", "lavfi", "-i", source.format(size=size), *encoder, str(path)], deadline=Deadline.after(60))
    width, height = (int(side) for side in size.split("x"))
    shares = (min(1.0, frame[0] * height / (frame[1] * width)), min(1.0, frame[1] * width / (frame[0] * height)))
    deadline = Deadline.after(60)
    window = find_window(untrusted_input(path), 1.0, folder / "a.gray", shares, 9_000_000, deadline)
    segment = Segment(0, 0, 2, footage(1))
    plan = Plan(2, (segment,), (), *frame)
    output = folder / "clip.mp4"
    run(
        [*arguments(EncoderInput(path, 25.0, 1.0, window=window), segment, plan, None, "draft"), str(output)],
        deadline=deadline,
    )
    picture: np.ndarray = frames(output, *frame)[0]
    return picture


def red(picture: np.ndarray) -> int:
    pixels = picture.astype(int)
    return int(((pixels[..., 0] > 160) & (pixels[..., 1] < 90)).sum())


@pytest.mark.parametrize("left", [40, 140, 480])
def test_a_subject_anywhere_in_a_landscape_clip_is_whole_in_an_upright_frame(left: int, tmp_path: Path) -> None:
    """A red boat, 120 wide of 640, on a sea: before its left third's end, and before the right edge."""
    boat = f"{SEA},drawbox=x={left}:y=200:w=120:h=60:color=red:t=fill"
    picture = clip_of(tmp_path, boat, "640x360", (720, 1280))

    scale = 1280 / 360
    assert red(picture) == pytest.approx(120 * 60 * scale**2, rel=0.05)


def test_what_moves_counts_for_more_than_what_is_only_there(tmp_path: Path) -> None:
    """A red ball that jumps on the left, and a still white house on the right that is larger."""
    source = (
        f"{SEA},drawbox=x=440:y=100:w=120:h=140:color=white:t=fill[still];color=red:s=50x50:r=25:d=1[ball];"
        "[still][ball]overlay=x=60+12*mod(n\\,7):y=150"
    )
    picture = clip_of(tmp_path, source, "640x360", (720, 1280))

    assert red(picture) > 50 * 50 * (1280 / 360) ** 2 * 0.9


def test_a_subject_below_the_middle_of_an_upright_clip_is_whole_in_a_landscape_frame(tmp_path: Path) -> None:
    boat = f"{SEA},drawbox=x=100:y=520:w=120:h=60:color=red:t=fill"
    picture = clip_of(tmp_path, boat, "360x640", (1280, 720))

    assert red(picture) == pytest.approx(120 * 60 * (1280 / 360) ** 2, rel=0.05)


def test_footage_without_a_subject_is_cut_in_its_middle() -> None:
    assert choose_place([0.0] * CELLS * CELLS, 0.3) == 0.5
    assert choose_place([5.0] * CELLS * CELLS, 0.3) == 0.5


def test_footage_of_about_the_right_shape_is_not_looked_at() -> None:
    assert not needs_choice(1080 / 1920, 720 / 1280)
    assert not needs_choice(0.53, 720 / 1280)
    assert needs_choice(16 / 9, 9 / 16)
    assert needs_choice(1.0, 9 / 16)
