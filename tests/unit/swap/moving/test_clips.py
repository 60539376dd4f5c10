"""Clips as phones and browsers make them, through all three steps: what comes out is in time, upright and swapped."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from functions.swap.moving import steps
from functions.swap.moving.job import MovingJob
from functions.swap.moving.outcome import MovingResult
from functions.swap.values import SwapRequest
from layers.core.deadline import Deadline
from layers.media.ffmpeg import program
from layers.media.moving.description import NOTES, Limits, Note
from layers.media.moving.reader import MovingReader
from layers.media.picture import Pixels
from tests.unit.swap import networks
from tests.unit.swap.face_fixtures import keypoints_at
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, FlatSwapper

FRAMES, WIDTH, HEIGHT = 8, 200, 160
PLAIN = SwapRequest(f"s3://{UPLOADS}/requests/1/meme", color_match=False, soft_edges=False, detail="fast")
EVEN = [number / 10 for number in range(FRAMES)]
UNEVEN = [number / 30 for number in range(4)] + [4 / 30 + number / 10 for number in range(4)]
HUES = np.array([0, 120, 240, 60, 300], np.float32)  # of networks.MARKS, in degrees
TO_PQ = (
    "format=gbrp,setparams=color_trc=bt709:color_primaries=bt709:colorspace=gbr:range=pc,"
    "zscale=t=smpte2084:p=bt2020:m=bt2020nc:r=tv:npl=203,format=yuv420p10le"
)
HDR = ("-x265-params", "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:log-level=none", "-tag:v", "hvc1")


def place(number: int) -> tuple[int, int]:
    """Where the middle of the face is in a frame, upright."""
    return 90 + number, 70


def draw(number: int, width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """A frame with one face, uint8 BGR."""
    pixels = np.full((height, width, 3), (150, 170, 190), np.uint8)
    networks.draw_marks(pixels, keypoints_at(*place(number), 0.9, 0), 6)
    return pixels


def find_by_hue(planes: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The keypoints [5, 2] of the one marked face in SCRFD's input, whatever a codec has made of the marks' colours."""
    colors = np.clip(planes.transpose(1, 2, 0) * 128 + 127.5, 0, 255).astype(np.float32) / 255
    hue, saturation, value = cv2.split(cv2.cvtColor(np.ascontiguousarray(colors), cv2.COLOR_RGB2HSV))
    vivid = (saturation > 0.5) & (value > 0.25)
    marks = [vivid & (np.abs((hue - each + 180) % 360 - 180) < 25) for each in HUES]
    if min(int(mark.sum()) for mark in marks) < 3:
        return []
    return [np.array([np.argwhere(mark).mean(0)[::-1] for mark in marks], np.float32)]


@dataclass(frozen=True)
class Clip:
    """A clip, and what is expected of its result."""

    name: str  # of its file
    video: tuple[str, ...]  # ffmpeg's options
    sound: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    times: tuple[float, ...] = tuple(EVEN)
    size: tuple[int, int] = (WIDTH, HEIGHT)
    rotation: int = 0  # degrees clockwise that a player turns it
    start: float = 0.0  # what an edit list hides of the beginning
    tolerance: int = 25  # levels between the swapper's colour and what is seen of it
    sound_out: str = ""  # as ffmpeg calls it

    def write(self, folder: Path) -> Path:
        """Make the file."""
        first, last = folder / f"first{Path(self.name).suffix}", folder / self.name
        turned = self.rotation // 90
        frames = [np.ascontiguousarray(np.rot90(draw(number, *self.size), turned)) for number in range(FRAMES)]
        height, width = frames[0].shape[:2]
        source = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", "10", "-i", "-")
        tone = ("-f", "lavfi", "-i", "sine=d=0.8") if self.sound else ()
        run(*source, *tone, *self.video, *self.sound, str(first), pixels=b"".join(map(np.ndarray.tobytes, frames)))
        seek = ("-ss", str(self.start)) if self.start else ()
        index = () if last.suffix == ".webm" else ("-movflags", "+faststart")
        run("-display_rotation", str(-self.rotation), *seek, "-i", str(first), "-c", "copy", *index, str(last))
        return last


def run(*arguments: str, pixels: bytes = b"") -> str:
    command = [program(), "-y", "-hide_banner", "-loglevel", "error", *arguments]
    return subprocess.run(command, input=pixels, capture_output=True, check=True).stderr.decode()


def tell(path: Path) -> str:
    """What ffmpeg says of a file."""
    command = [program(), "-hide_banner", "-i", str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "8", "-pix_fmt", "yuv420p")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "8", "-b:v", "0")
VARYING = ("-vf", "settb=1/3000,setpts='if(lt(N,4),N*100,400+(N-4)*300)'", "-fps_mode", "passthrough")
TICKS = ("-enc_time_base", "1/3000", "-video_track_timescale", "3000")
CLIPS = {
    "a phone's, on its side, at a varying rate, with sound that an MP4 cannot hold": Clip(
        "a.mov",
        (*VARYING, *TICKS, *X264),
        ("-c:a", "pcm_s16le"),
        ("converted", "sound_encoded"),
        times=tuple(UNEVEN),
        rotation=90,
        sound_out="aac",
    ),
    "a browser's, of odd sides": Clip(
        "a.webm", (*VP9,), ("-c:a", "libopus"), ("converted", "cropped"), size=(201, 161), sound_out="opus"
    ),
    "a high dynamic range without sound": Clip(
        "a.mp4", ("-vf", TO_PQ, "-c:v", "libx265", "-preset", "ultrafast", "-crf", "8", *HDR), notes=("tone_mapped",)
    ),
}
MORE = {
    "an MP4 without sound": Clip("a.mp4", X264),
    "upside down": Clip("a.mov", X264, ("-c:a", "aac"), ("converted",), rotation=180, sound_out="aac"),
    "on the other side": Clip("a.mp4", X264, ("-c:a", "aac"), rotation=270, sound_out="aac"),
    "a MOV": Clip("a.mov", X264, ("-c:a", "aac"), ("converted",), sound_out="aac"),
    "a varying rate": Clip("a.mp4", (*VARYING, *TICKS, *X264), times=tuple(UNEVEN)),
    "sound of a WebM that an MP4 cannot hold": Clip(
        "a.webm", VP9, ("-c:a", "libvorbis"), ("converted", "sound_encoded"), sound_out="aac"
    ),
    "odd sides in an MP4": Clip("a.mp4", VP9, notes=("cropped",), size=(201, 161)),
    "AV1": Clip("a.mp4", ("-c:v", "libsvtav1", "-preset", "12", "-crf", "10"), ("-c:a", "aac"), sound_out="aac"),
    "HEVC": Clip(
        "a.mov",
        ("-c:v", "libx265", "-preset", "ultrafast", "-crf", "8", "-x265-params", "log-level=none", "-tag:v", "hvc1"),
        notes=("converted",),
    ),
}


@pytest.mark.parametrize("name", [*CLIPS, *(pytest.param(name, marks=pytest.mark.full) for name in MORE)])
def test_a_clip_comes_out_in_time_and_upright_with_its_face_replaced_and_its_sound(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = {**CLIPS, **MORE}[name]

    result, after = swap(clip, tmp_path, monkeypatch)

    reader = MovingReader(after, Limits())
    frames = list(reader.frames(Deadline.after(60)))
    assert [float(frame.start) for frame in frames] == pytest.approx(list(clip.times), abs=0.002)
    assert (reader.picture.width, reader.picture.height) == tuple(side - side % 2 for side in clip.size)
    assert reader.picture.rotation == 0
    for number, frame in enumerate(frames):
        x, y = place(number)
        assert np.abs(frame.pixels[y - 5, x].astype(int) - FlatSwapper.colour).max() <= clip.tolerance, number
        assert np.ptp(frame.pixels[-20:].reshape(-1, 3).astype(int), axis=0).max() < 25, "the ground stays plain"
    assert (result.format, result.frames, result.face_frames) == ("mp4", FRAMES, FRAMES)
    assert sorted(result.notes) == sorted(NOTES[note] for note in clip.notes)
    assert ("Audio:" in tell(after)) == bool(clip.sound)
    assert f"Audio: {clip.sound_out}" in tell(after) or not clip.sound


def swap(clip: Clip, folder: Path, patch: pytest.MonkeyPatch) -> tuple[MovingResult, Path]:
    """A clip through all steps; the result, and its file."""
    patch.setattr(networks, "_find_marks", find_by_hue)
    stack = FakeSwapStack()
    stack.storage.put(UPLOADS, "requests/1/meme", clip.write(folder).read_bytes())
    context = stack.services.context(Deadline.after(60))
    result = cast(MovingResult, steps.swap_moving(MovingJob("1", PLAIN), context, key="swaps/1.mp4").result)
    after = folder / "after.mp4"
    after.write_bytes(stack.storage.objects[OUTPUTS, "swaps/1.mp4"].data)
    return result, after


@pytest.mark.full
def test_what_an_edit_list_hides_stays_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = Clip("a.mp4", (*X264, "-g", "4"), ("-c:a", "aac"), start=0.55)

    result, after = swap(clip, tmp_path, monkeypatch)

    shown = [line for line in show_times(tmp_path / clip.name).splitlines() if not line.startswith("#")]
    assert result.frames == len(shown) < FRAMES
    assert len(list(MovingReader(after, Limits()).frames(Deadline.after(60)))) == len(shown)


def show_times(path: Path) -> str:
    """ffmpeg's own list of the frames that a player shows."""
    command = [program(), "-loglevel", "error", "-i", str(path), "-map", "0:v", "-fps_mode", "passthrough"]
    return subprocess.run([*command, "-f", "framemd5", "-"], capture_output=True, text=True, check=True).stdout
