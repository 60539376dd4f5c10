"""The demo's meme that moves: somebody looks on while somebody else hides behind a server rack, and comes back."""

from __future__ import annotations

import math
import subprocess
import wave
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from layers.media.ffmpeg import program
from local.demo_pack.canvas import Bytes, colour
from local.demo_pack.memes import draw_caption, gradient
from local.demo_pack.people import State
from local.demo_pack.sprites import paint_person

FRAMES = 40
DELAY = 6  # hundredths of a second
WIDTH, HEIGHT = 480, 270
RACK = (196, 60, 316, 270)  # x0, y0, x1, y1
WATCHER, RUNNER = 7, 8  # numbers in the reserve
STARTS, HIDES, RETURNS, STOPS = 6, 12, 20, 27  # frames of the runner
OPEN, BEHIND = 396.0, 256.0  # x of the runner, in pixels
RATE = 44_100  # samples of sound a second


class Pose(NamedTuple):
    """Where a head is in a frame."""

    x: float
    y: float
    roll: float
    state: State


def pose_watcher(number: int) -> Pose:
    """Somebody who sways, and looks after the runner; the last frame is followed by the first."""
    turn = 2 * math.pi * number / FRAMES
    toward = (pose_runner(number).x - BEHIND) / (OPEN - BEHIND)
    state = State(smile=round(0.5 + 0.4 * (1 - toward), 1), gaze_x=round(0.3 + 0.5 * toward, 1), yaw=0.15)
    return Pose(96 + 4 * math.sin(turn), 148 + 2 * math.sin(2 * turn), 0.05 * math.sin(turn), state)


def pose_runner(number: int) -> Pose:
    """Somebody who runs behind the rack, and returns."""
    if number < RETURNS:
        share = min(max((number - STARTS) / (HIDES - STARTS), 0.0), 1.0)
    else:
        share = 1 - min(max((number - RETURNS) / (STOPS - RETURNS), 0.0), 1.0)
    x = OPEN + (BEHIND - OPEN) * share
    lean = 0.0 if share in (0.0, 1.0) else (-0.1 if number < RETURNS else 0.1)
    bob = 3 * abs(math.sin(math.pi * number / 10)) if share == 0 else 4 * abs(math.sin(1.3 * number))
    return Pose(x, 150 - bob, lean, State(smile=0.9 if number >= RETURNS else 0.3, opening=0.3))


def draw_frame(number: int) -> Bytes:
    """A frame, uint8 BGR [270, 480, 3]."""
    picture = gradient(HEIGHT, WIDTH, colour("#8fb4d9"), colour("#3d5a86"))
    cv2.rectangle(picture, (0, 236), (WIDTH, HEIGHT), colour("#6b5344").tolist(), cv2.FILLED)
    runner, watcher = pose_runner(number), pose_watcher(number)
    paint_person(picture, RUNNER, runner.state, unit=36, x=runner.x, y=runner.y, roll=runner.roll)
    _draw_rack(picture, number)
    paint_person(picture, WATCHER, watcher.state, unit=38, x=watcher.x, y=watcher.y, roll=watcher.roll)
    cv2.rectangle(picture, (0, 250), (WIDTH, HEIGHT), colour("#4a382d").tolist(), cv2.FILLED)
    draw_caption(picture, "PROD IS DOWN. WHO DEPLOYED?", 0.03)
    return picture


def _draw_rack(picture: Bytes, number: int) -> None:
    """A server rack whose lamps blink."""
    x0, y0, x1, y1 = RACK
    cv2.rectangle(picture, (x0, y0), (x1, y1), colour("#20242e").tolist(), cv2.FILLED)
    for row in range((y1 - y0) // 18):
        top = y0 + 6 + 18 * row
        cv2.rectangle(picture, (x0 + 7, top), (x1 - 7, top + 11), colour("#353b49").tolist(), cv2.FILLED)
        for lamp in range(3):
            is_red = (row + lamp + number // 5) % 4 == 0
            code = "#ff5548" if is_red else "#4be38a"
            cv2.circle(picture, (x1 - 16 - 10 * lamp, top + 6), 2, colour(code).tolist(), cv2.FILLED, cv2.LINE_AA)


def draw_moving_memes(folder: Path) -> tuple[Path, Path]:
    """Draw the meme into a folder, as a GIF and, with sound, as an MP4; the same ones every time."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = b"".join(draw_frame(number).tobytes() for number in range(FRAMES))
    gif, video, sound = folder / "hide.gif", folder / "hide.mp4", folder / "hide.wav"
    write_sound(sound)
    pictures = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}", "-r", f"100/{DELAY}", "-i", "-")
    colors = "split[a][b];[a]palettegen=stats_mode=full[p];[b][p]paletteuse=dither=none:diff_mode=rectangle"
    _encode(frames, *pictures, "-vf", colors, "-loop", "0", str(gif))
    codecs = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-c:a", "aac")
    _encode(frames, *pictures, "-i", str(sound), *codecs, "-shortest", "-movflags", "+faststart", str(video))
    sound.unlink()
    return gif, video


def write_sound(path: Path) -> None:
    """Steps while somebody runs, as a WAV file of as many seconds as the meme has."""
    seconds = FRAMES * DELAY / 100
    times = np.arange(int(RATE * seconds)) / RATE
    level = np.zeros_like(times)
    for number in (*range(STARTS, HIDES, 2), *range(RETURNS, STOPS, 2)):
        after = times - number * DELAY / 100
        level += np.where(after >= 0, np.exp(-40 * np.maximum(after, 0)) * np.sin(2 * np.pi * 180 * after), 0)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((np.clip(level, -1, 1) * 12_000).astype("<i2").tobytes())


def _encode(frames: bytes, *arguments: str) -> None:
    subprocess.run([program(), "-loglevel", "error", "-y", *arguments], input=frames, check=True)
