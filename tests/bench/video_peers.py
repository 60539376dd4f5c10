"""Other ways of making a short video, which video.py compares with ours; plain programs over requests and ffmpeg.

`old` is the pipeline of an earlier server, as its document describes it: the speech is fetched,
files of 1080x1920 are fetched whole, each is converted (720x1280, ultrafast, CRF 28) and deleted, the parts are
concatenated, the sound is merged (AAC, 128 kb/s). The parts are concatenated without encoding them again. The document
does not say that a clip is cut to its slot while it is converted. With `cut` it is, as a careful programmer would do;
without, the whole clip is converted, and the merge ends with the sound.

`peers` is what programs on moviepy do: the largest rendition, and three encodes at libx264's defaults, one for each
clip, one for the joined video, one for the captions.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import requests

COVER = "scale=720:1280:force_original_aspect_ratio=increase,crop=720:1280,setsar=1"
OLD = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "28", "-pix_fmt", "yuv420p")
PEERS = ("-c:v", "libx264", "-preset", "medium", "-crf", "23", "-pix_fmt", "yuv420p")


@dataclass(frozen=True)
class Slot:
    """A clip to show: the file's URL, and for how many seconds."""

    url: str
    seconds: float


def old(slots: list[Slot], speech: Path, folder: Path, *, cut: bool) -> Path:
    """Make the video; its path."""
    parts = []
    for number, slot in enumerate(slots):
        whole, part = folder / f"whole{number}.mp4", folder / f"part{number}.mp4"
        fetch(slot.url, whole)
        length = ["-t", f"{slot.seconds:.3f}"] if cut else []
        ffmpeg(*length, "-i", str(whole), "-vf", COVER, "-r", "30", "-an", *OLD, str(part))
        whole.unlink()
        parts.append(part)
    joined, finished = folder / "joined.mp4", folder / "finished.mp4"
    ffmpeg(*_concat(parts, folder), "-c", "copy", str(joined))
    merge = ("-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-b:a", "128k", "-shortest")
    ffmpeg("-i", str(joined), "-i", str(speech), *merge, str(finished))
    return finished


def peers(slots: list[Slot], speech: Path, captions: Path, fonts: Path, folder: Path) -> Path:
    """Make the video; its path. `captions` is the same ASS file that ours burns in."""
    parts = []
    for number, slot in enumerate(slots):
        whole, part = folder / f"whole{number}.mp4", folder / f"part{number}.mp4"
        fetch(slot.url, whole)
        ffmpeg("-t", f"{slot.seconds:.3f}", "-i", str(whole), "-vf", COVER, "-r", "30", "-an", *PEERS, str(part))
        parts.append(part)
    joined, finished = folder / "joined.mp4", folder / "finished.mp4"
    ffmpeg(*_concat(parts, folder), "-i", str(speech), "-c:a", "aac", *PEERS, str(joined))
    burnt = f"ass={captions}:fontsdir={fonts}"
    ffmpeg("-i", str(joined), "-vf", burnt, "-c:a", "copy", *PEERS, str(finished))
    return finished


def fetch(url: str, path: Path) -> None:
    """Download a whole file, streamed to the disk."""
    with requests.Session() as session:
        session.trust_env = False  # everything is on this machine
        with session.get(url, stream=True, timeout=60) as response, path.open("wb") as file:
            response.raise_for_status()
            for chunk in response.iter_content(1 << 16):
                file.write(chunk)


def ffmpeg(*arguments: str) -> None:
    """Run ffmpeg to its end."""
    program = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    subprocess.run([*program, *arguments], check=True)


def _concat(parts: list[Path], folder: Path) -> list[str]:
    names = folder / "parts.txt"
    names.write_text("".join(f"file '{part}'\n" for part in parts))
    return ["-f", "concat", "-safe", "0", "-i", str(names)]
