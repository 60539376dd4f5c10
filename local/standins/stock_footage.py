"""Drawn stock footage: which there is, its files in the sizes that Pexels offers, and how to tell it again."""

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
# What the quickest preset leaves out and real footage has.
REAL = "cabac=1:8x8dct=1:bframes=2"
SOUND = 96_000  # bits a second

Picture = NDArray[np.uint8]
Draw = Callable[[float], Picture]


class DrawingFailed(Exception):
    """ffmpeg did not make the file."""


@dataclass(frozen=True)
class FootageFile:
    """A file of a scene: pixels, frames a second, and its exact size in bytes."""

    width: int
    height: int
    fps: int
    size: int

    @property
    def quality(self) -> str:
        """Pexels' word for it."""
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
    sound: str | None = None  # a source of sound in ffmpeg's words
    heavy: float = 1.0

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in which it is drawn."""
        return (720, 1280) if self.portrait else (1280, 720)

    @property
    def renditions(self) -> tuple[FootageFile, ...]:
        """Its files, in no order, as in Pexels' answers."""
        found = []
        for short, megabytes in ((1080, 5.5), (360, 0.9), (2160, 15.0), (720, 2.97)):
            sides = (short, short * 16 // 9)
            width, height = sides if self.portrait else sides[::-1]
            found.append(FootageFile(width, height, self.fps, round(megabytes * self.heavy * 1e6)))
        return tuple(found)

    def draw(self) -> Draw:
        """The scene's frames by their time in seconds: uint8 BGR [H, W, 3] of `size`. Making it takes a while."""
        module, _, name = self.drawing.partition(":")
        drawn: Draw = getattr(importlib.import_module(f"local.standins.scenes.{module}"), name)(*self.size)
        return drawn


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


def file(scene: FootageScene, rendition: FootageFile, folder: Path = FOLDER, *, faststart: bool = True) -> Path:
    """The rendition's file, drawn at its first use and kept in `folder`. Raises DrawingFailed."""
    head = "" if faststart else "-late"
    name = f"{scene.name}-{rendition.width}x{rendition.height}{head}-{_version(scene)}.mp4"
    kept = folder / name
    if kept.exists():
        return kept
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{name}.lock"):
        if not kept.exists():
            with tempfile.TemporaryDirectory(dir=folder) as work:
                made = Path(work) / "made.mp4"
                if faststart:
                    _encode(scene, rendition, made)
                else:
                    _run(["-i", str(file(scene, rendition, folder)), "-c", "copy", "-map", "0", str(made)])
                _pad(made, rendition.size)
                shutil.move(made, kept)
    return kept


def identify(frame: Picture, folder: Path = FOLDER) -> str | None:
    """The name of the scene in a frame of a finished video (uint8 RGB [1280, 720, 3]); None if it is none of them.

    The upper part's layout of colours is compared, so captions, compression and scaling do not matter.
    """
    seen = _layout(frame)
    names, layouts = _layouts(folder)
    distances = np.abs(layouts - seen).mean(axis=(1, 2, 3))
    best = int(distances.argmin())
    return names[best] if distances[best] < FAR else None


FAR = 15.0  # mean difference of the layouts (0 to 255) beyond which a frame shows none of the scenes
MOMENTS = 9  # of a scene whose layouts are known
GRID = (8, 9)  # across and down
UPPER = 0.62  # of the frame's height: captions stand below


def _layout(frame: Picture) -> NDArray[np.float32]:
    import cv2

    upper = frame[: round(frame.shape[0] * UPPER)]
    return cv2.resize(upper, GRID, interpolation=cv2.INTER_AREA).astype(np.float32)


@functools.cache
def _layouts(folder: Path) -> tuple[list[str], NDArray[np.float32]]:
    kept = folder / f"layouts-{_version(*SCENES)}.npz"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "layouts.lock"):
            found = [(scene.name, _layout(view)) for scene in SCENES for view in _views(scene)]
            with tempfile.NamedTemporaryFile(dir=folder, suffix=".npz", delete=False) as made:
                np.savez(made, names=[name for name, _ in found], layouts=[layout for _, layout in found])
            shutil.move(made.name, kept)
    with np.load(kept) as stored:
        return [str(name) for name in stored["names"]], stored["layouts"]


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
        fitted = cv2.GaussianBlur(crop, (0, 0), 30)
        band = cv2.resize(frame, (720, 405), interpolation=cv2.INTER_AREA)
        fitted[437 : 437 + 405] = band
        yield np.asarray(fitted, np.uint8)


def _encode(scene: FootageScene, rendition: FootageFile, to: Path) -> None:
    """Constant bit rate with filler: the file is nearly as long as its size says, its bytes evenly spread."""
    bits = rendition.size * 8 * 0.96 / scene.seconds - (SOUND if scene.sound else 0)
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
    sound = ["-f", "lavfi", "-i", scene.sound, "-c:a", "aac", "-b:a", str(SOUND), "-ac", "2"] if scene.sound else []
    scale = f"scale={rendition.width}:{rendition.height}:flags=bicubic:out_color_matrix=bt709:out_range=tv"
    tags = "setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709"
    rate, window = f"{bits / 1000:.0f}k", f"{bits / 3000:.0f}k"
    x264 = ["-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-x264-params", f"nal-hrd=cbr:{REAL}"]
    even = ["-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", window, "-g", str(rendition.fps * 2)]
    end = ["-t", str(scene.seconds), "-movflags", "+faststart", str(to)]
    _run([*picture, *sound, "-vf", f"{scale},format=yuv420p,{tags}", *x264, *even, *end], scene, rendition.fps)


def _run(arguments: list[str], scene: FootageScene | None = None, fps: int = 0) -> None:
    """Runs ffmpeg, with a scene's frames at its input if there is one."""
    import imageio_ffmpeg

    with tempfile.TemporaryFile() as said:
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-hide_banner", "-loglevel", "error", *arguments]
        ran = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said)
        assert ran.stdin is not None
        try:
            if scene:
                draw = scene.draw()
                for number in range(scene.seconds * fps):
                    ran.stdin.write(draw(number / fps).data)
            ran.stdin.close()
        except BrokenPipeError:
            pass  # what ffmpeg says is the reason
        finally:
            if ran.wait(timeout=600) != 0:
                said.seek(0)
                raise DrawingFailed(said.read().decode(errors="replace")[-500:])


def _pad(made: Path, size: int) -> None:
    """Brings the file to exactly `size` bytes with a box that players skip (ISO/IEC 14496-12, 8.1.2)."""
    short = size - made.stat().st_size
    if short < 8:
        raise DrawingFailed(f"{made}: {-short} bytes too long.")
    with made.open("ab") as out:
        out.write(struct.pack(">I4s", short, b"free") + bytes(short - 8))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Among threads and processes."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@functools.cache
def _version(*scenes: FootageScene) -> str:
    """Of the drawings: what is kept of older ones is drawn again."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    modules = [scene.drawing.partition(":")[0] for scene in scenes]
    for source in (Path(__file__), *(here / "scenes" / f"{module}.py" for module in ("brush", *modules))):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:10]
