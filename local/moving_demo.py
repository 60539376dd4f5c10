"""The demo's swaps of memes that move: queued like any caller's, done side by side with whatever comes meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import swap_clients
from local.cloud import Cloud

if TYPE_CHECKING:
    from PIL import Image

FACES = ("noor", "ruby")  # of the watcher and of the runner: two people, each with a face of their own
PEOPLE = 2


@dataclass
class MovingSwap:
    """A moving meme's swap: where it is polled, the frames of its result and how long it took, and what went wrong."""

    path: Path  # of the result
    location: str = ""
    began: float = 0.0
    frames: int = 0
    face_frames: int = 0
    took_s: float = 0.0
    problem: str | None = None

    def describe(self) -> str:
        """One line for the terminal."""
        return f"{self.path.name}: {self.frames} frames, {self.face_frames} faces in them, made in {self.took_s:.1f} s"

    def report(self) -> dict[str, Any]:
        """Its part of demo.json."""
        return {
            "frames": self.frames,
            "face_frames": self.face_frames,
            "took_s": round(self.took_s, 1),
            "problem": self.problem,
        }


def start_moving(cloud: Cloud, faces: list[Path], out: Path) -> list[MovingSwap]:
    """Draw the memes, and queue one swap for each: the first face for the first person, and so on."""
    from local.demo_pack.moving_meme import draw_moving_memes  # late: it imports OpenCV

    swaps = []
    for meme in draw_moving_memes(out / "pictures" / "memes"):
        swap = MovingSwap(out / f"moving{meme.suffix}", began=time.monotonic())
        swap.path.unlink(missing_ok=True)
        swaps.append(swap)
        try:
            sources = [{"index": at, "face": swap_clients.data_uri(face)} for at, face in enumerate(faces)]
            request = {"meme": swap_clients.upload_form(cloud, meme), "faces": sources}
            swap.location = swap_clients.queue(cloud, request)
        except swap_clients.CallFailed as error:
            swap.problem = f"{error} ({error.code})"
    return swaps


def finish_moving(cloud: Cloud, swaps: list[MovingSwap]) -> None:
    """Wait for the swaps, and keep their results."""
    for swap in swaps:
        if swap.problem:
            continue
        try:
            result = swap_clients.follow(cloud, swap.location)
            swap.path.write_bytes(swap_clients.download(result["url"]))
        except swap_clients.CallFailed as error:
            swap.problem = f"{error} ({error.code})"
            continue
        swap.took_s = time.monotonic() - swap.began
        swap.frames, swap.face_frames = result["frames"], result["face_frames"]
        count = sum(each["swapped"] for each in result["people"])
        if count != PEOPLE:
            swap.problem = f"{count} of {PEOPLE} people were swapped"


def draw_strip(swaps: list[MovingSwap]) -> Image.Image | None:
    """The strip of frames of the first result that there is."""
    from local.frame_strip import draw_frame_strip

    return next((draw_frame_strip(swap.path) for swap in swaps if swap.path.is_file()), None)
