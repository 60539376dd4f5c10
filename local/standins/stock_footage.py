"""Drawn stock footage: the scenes, their files in the sizes that Pexels offers, and how a frame is identified."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import importlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parents[2] / ".local/footage"
# Features of H.264 that real footage has and the fastest preset leaves out.
X264_FEATURES = "cabac=1:8x8dct=1:bframes=2"
AUDIO_BITS_PER_SECOND = 96_000

Picture = NDArray[np.uint8]
Draw = Callable[[float], Picture]


class DrawingFailed(Exception):
    """ffmpeg could not encode the file."""


@dataclass(frozen=True)
class FootageFile:
    """A file of a scene: pixels, frames per second, and its exact size in bytes."""

    width: int
    height: int
    fps: int
    size: int

    @property
    def quality(self) -> str:
        """Pexels' name for the quality."""
        short = min(self.width, self.height)
        return "sd" if short < 720 else "hd" if short < 2160 else "uhd"


@dataclass(frozen=True)
class FootageScene:
    """A drawn video: `drawing` is the class under scenes/ that paints its frames, `heavy` scales its files' sizes."""

    id: int
    name: str
    title: str
    tags: frozenset[str]
    drawing: str
    seconds: int
    fps: int
    portrait: bool = True
    sound: str | None = None  # an audio source filter of ffmpeg
    heavy: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in which it is drawn."""
        return (720, 1280) if self.portrait else (1280, 720)

    @property
    def renditions(self) -> tuple[FootageFile, ...]:
        """Its files, in no order, as in Pexels' responses."""
        files = []
        for short, megabytes in ((1080, 5.5), (360, 0.9), (2160, 15.0), (720, 2.97)):
            sides = (short, short * 16 // 9)
            width, height = sides if self.portrait else sides[::-1]
            files.append(FootageFile(width, height, self.fps, round(megabytes * self.heavy * 1e6)))
        return tuple(files)

    def draw(self) -> Draw:
        """A function from seconds to frames, uint8 BGR [H, W, 3] of `size`. It takes a while to create."""
        module, _, name = self.drawing.partition(":")
        draw: Draw = getattr(importlib.import_module(f"local.standins.scenes.{module}"), name)(*self.size)
        return draw


def _scene(
    id: int, name: str, title: str, tags: str, drawing: str, seconds: int, fps: int, **more: Any
) -> FootageScene:
    return FootageScene(id, name, title, frozenset(tags.split()), drawing, seconds, fps, **more)


CITY = "anoisesrc=color=brown:amplitude=0.35:seed=2,lowpass=f=320"
DEEP = "anoisesrc=color=brown:amplitude=0.6:seed=3,lowpass=f=180"
RAIN = "anoisesrc=color=pink:amplitude=0.25:seed=4,highpass=f=700"
SURF = "anoisesrc=color=brown:amplitude=0.5:seed=1,tremolo=f=0.14:d=0.7,lowpass=f=900"

SCENES = (
    _scene(
        9100001, "sunset-sea", "The sea at sunset",
        "sea ocean water waves wave sunset sun sky evening beach coast boat sail nature calm summer travel horizon",
        "sea:Sea", 12, 25, sound=SURF,
    ),
    _scene(
        9100002, "city-night", "A city by a river at night",
        "city skyline night town urban street lights building skyscraper river travel business future modern traffic",
        "city:City", 12, 30, sound=CITY, heavy=1.06,
    ),
    _scene(
        9100003, "northern-lights", "Northern lights over a lake",
        "aurora northern lights night sky forest lake winter nature stars arctic cold travel magic landscape",
        "aurora:Aurora", 13, 24, heavy=0.97,
    ),
    _scene(
        9100004, "among-stars", "A flight among the stars",
        "space star stars galaxy universe nebula cosmos night sky science astronomy planet future technology dark",
        "stars:Stars", 9, 60, heavy=1.1,
    ),
    _scene(
        9100005, "mountains", "Mountains above the mist at sunrise",
        "mountain mountains mist fog sunrise morning sun forest nature landscape hike travel adventure sky calm",
        "mountains:Mountains", 10, 50, heavy=1.02,
    ),
    _scene(
        9100006, "reef", "A reef with fish",
        "fish reef sea ocean underwater aquarium water coral dive animal nature swim blue wildlife deep",
        "reef:Reef", 11, 30, sound=DEEP, heavy=0.99,
    ),
    _scene(
        9100007, "rain", "Rain on a window",
        "rain window drops water city night lights bokeh weather calm cozy mood street glass autumn",
        "rain:Rain", 9, 25, sound=RAIN, heavy=0.94,
    ),
    _scene(
        9100008, "train", "A train through green hills",
        "train railway travel journey hills green field countryside summer landscape nature steam clouds transport",
        "train:Train", 11, 30, portrait=False, heavy=1.04,
    ),
    _scene(
        9100009, "balloons", "Balloons over a valley in the morning",
        "balloon balloons sky morning travel adventure landscape hills nature sunrise air flight calm dream",
        "balloons:Balloons", 15, 24, portrait=False,
    ),
)  # fmt: skip


def rendition_file(
    scene: FootageScene, rendition: FootageFile, folder: Path = FOLDER, *, faststart: bool = True
) -> Path:
    """The rendition's file, drawn at its first use and kept in `folder`. Raises DrawingFailed."""
    head = "" if faststart else "-late"
    name = f"{scene.name}-{rendition.width}x{rendition.height}{head}-{_version(scene)}.mp4"
    path = folder / name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{name}.lock"):
        if not path.exists():
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                drawing = Path(scratch) / "made.mp4"
                if faststart:
                    _encode(scene, rendition, drawing)
                else:
                    _run(["-i", str(rendition_file(scene, rendition, folder)), "-c", "copy", "-map", "0", str(drawing)])
                _pad(drawing, rendition.size)
                shutil.move(drawing, path)
    return path


def identify(frame: Picture, folder: Path = FOLDER) -> str | None:
    """The name of the scene in a frame of a finished video (uint8 RGB [1280, 720, 3]); None if it shows no scene.

    Only the colour layout of the upper part is compared, so captions, compression and scaling do not matter.
    """
    layout = _color_layout(frame)
    names, layouts = _layouts(folder)
    distances = np.abs(layouts - layout).mean(axis=(1, 2, 3))
    best = int(distances.argmin())
    return names[best] if distances[best] < MAX_DISTANCE else None


MAX_DISTANCE = 15.0  # mean difference of layouts (0 to 255) beyond which a frame shows no scene
MOMENTS = 9  # of each scene whose layouts are compared
GRID = (8, 9)  # across and down
UPPER_SHARE = 0.62  # of the frame's height; captions are below


def _color_layout(frame: Picture) -> NDArray[np.float32]:
    import cv2

    upper = frame[: round(frame.shape[0] * UPPER_SHARE)]
    return cv2.resize(upper, GRID, interpolation=cv2.INTER_AREA).astype(np.float32)


@functools.cache
def _layouts(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    cache = folder / f"layouts-{_version(*SCENES)}.npz"
    if not cache.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "layouts.lock"):
            layouts = [(scene.name, _color_layout(view)) for scene in SCENES for view in _views(scene)]
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".npz", delete=False) as file:
                np.savez(file, names=[name for name, _ in layouts], layouts=[layout for _, layout in layouts])
            shutil.move(file.name, cache)
    with np.load(cache) as arrays:
        return [str(name) for name in arrays["names"]], arrays["layouts"]


def _views(scene: FootageScene) -> Iterator[Picture]:
    """Frames of a scene as a portrait video shows them: a landscape one cropped, or whole over its own blur."""
    import cv2

    draw = scene.draw()
    for moment in range(MOMENTS):
        frame = cv2.cvtColor(draw(scene.seconds * (moment + 0.5) / MOMENTS), cv2.COLOR_BGR2RGB)
        if scene.portrait:
            yield np.asarray(frame, np.uint8)
            continue
        whole = cv2.resize(frame, None, fx=1280 / 720, fy=1280 / 720)
        left = (whole.shape[1] - 720) // 2
        crop = np.asarray(whole[:, left : left + 720], np.uint8)
        yield crop
        view = cv2.GaussianBlur(crop, (0, 0), 30)
        band = cv2.resize(frame, (720, 405), interpolation=cv2.INTER_AREA)
        view[437 : 437 + 405] = band
        yield np.asarray(view, np.uint8)


def _encode(scene: FootageScene, rendition: FootageFile, to: Path) -> None:
    """Encode at a constant bit rate with filler: the file is nearly as large as its size, with bytes evenly spread."""
    bits = rendition.size * 8 * 0.96 / scene.seconds - (AUDIO_BITS_PER_SECOND if scene.sound else 0)
    width, height = scene.size
    picture = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "bgr24",
        "-s",
        f"{width}x{height}",
        "-r",
        str(rendition.fps),
        "-i",
        "pipe:0",
    ]
    sound = (
        ["-f", "lavfi", "-i", scene.sound, "-c:a", "aac", "-b:a", str(AUDIO_BITS_PER_SECOND), "-ac", "2"]
        if scene.sound
        else []
    )
    scale = f"scale={rendition.width}:{rendition.height}:flags=bicubic:out_color_matrix=bt709:out_range=tv"
    tags = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    rate, window = f"{bits / 1000:.0f}k", f"{bits / 3000:.0f}k"
    x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-x264-params", f"nal-hrd=cbr:{X264_FEATURES}"]
    even = ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", window, "-g", str(rendition.fps * 2)]
    end = ["-t", str(scene.seconds), "-movflags", "+faststart", str(to)]
    _run([*picture, *sound, "-vf", f"{scale},format=yuv420p,{tags}", *x264, *even, *end], scene, rendition.fps)


def _run(arguments: list[str], scene: FootageScene | None = None, fps: int = 0) -> None:
    """Run ffmpeg, with a scene's frames as its input if there is one. Raises DrawingFailed."""
    import imageio_ffmpeg

    with tempfile.TemporaryFile() as errors:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-hide_banner", "-loglevel", "error", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=errors)
        assert process.stdin is not None
        try:
            if scene:
                draw = scene.draw()
                for number in range(scene.seconds * fps):
                    process.stdin.write(draw(number / fps).data)
            process.stdin.close()
        except BrokenPipeError:
            pass  # ffmpeg's own message is raised below
        finally:
            if process.wait(timeout=600) != 0:
                errors.seek(0)
                raise DrawingFailed(errors.read().decode(errors="replace")[-500:])


def _pad(path: Path, size: int) -> None:
    """Pad the file to exactly `size` bytes with a box that players skip (ISO/IEC 14496-12, 8.1.2)."""
    short = size - path.stat().st_size
    if short < 8:
        raise DrawingFailed(f"{path} is {-short} bytes too large.")
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", short, b"free") + bytes(short - 8))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock among threads and processes."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def _version(*scenes: FootageScene) -> str:
    """Digest of the drawing code: files and layouts of another version are drawn again."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    modules = [scene.drawing.partition(":")[0] for scene in scenes]
    for source in (Path(__file__), *(here / "scenes" / f"{module}.py" for module in ("brush", *modules))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:10]
