"""What a moving picture says of itself before any decoder sees it, and its frames.

Times are exact: fractions of a second, whatever a format counts in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal

from layers.core.errors import PictureTooLarge
from layers.media.moving.kinds import ANIMATIONS, Kind
from layers.media.picture import Pixels

OutputFormat = Literal["gif", "webp", "apng", "mp4"]
Note = Literal[
    "truncated",
    "damaged_frame",
    "converted",
    "sound_encoded",
    "sound_dropped",
    "alpha_dropped",
    "loop_dropped",
    "cropped",
    "colors_changed",
    "tone_mapped",
]

NOTES: dict[Note, str] = {
    "truncated": "The file ends too early. Its whole frames were kept.",
    "damaged_frame": "A frame cannot be read. The frames before it were kept.",
    "converted": "The result has another format than the meme.",
    "sound_encoded": "The sound was encoded again, as AAC, since an MP4 cannot hold it as it was.",
    "sound_dropped": "The result has no sound, since its format cannot hold any.",
    "alpha_dropped": "What was transparent is white, since an MP4 cannot be transparent.",
    "loop_dropped": "The result does not say how often it is played, since an MP4 cannot.",
    "cropped": "The result lacks a row or a column of pixels, since an MP4 has even sides.",
    "colors_changed": "Some pixels that no swap touched have other colours, since a frame of a GIF has only 256.",
    "tone_mapped": "The high dynamic range was toned down.",
}


@dataclass(frozen=True)
class Limits:
    """What a moving picture may cost; by default a minute of 1080p at 30 frames a second."""

    seconds: float = 60.0
    pixels: int = 1920 * 1080  # of the canvas, whichever way up
    frames: int = 1800
    bytes: int = 200 << 20
    total_pixels: int = 1800 * 1920 * 1080  # of the canvas, once for each frame

    def check_bytes(self, size: int) -> None:
        """Raises PictureTooLarge for a file of more bytes."""
        if size > self.bytes:
            raise PictureTooLarge(f"The file has {size} bytes; at most {self.bytes} are allowed.")

    def check_canvas(self, width: int, height: int) -> None:
        """Raises PictureTooLarge for a canvas, or a frame, of more pixels."""
        if width * height > self.pixels:
            raise PictureTooLarge(
                f"The moving picture has {width} x {height} pixels; at most {self.pixels / 1e6:.2g} megapixels are "
                "allowed. Make it smaller."
            )

    def check_frames(self, frames: int) -> None:
        """Raises PictureTooLarge for more frames."""
        if frames > self.frames:
            raise PictureTooLarge(
                f"The moving picture has more than {self.frames} frames, which is the limit. Cut it shorter."
            )

    def check_work(self, pixels: int) -> None:
        """Raises PictureTooLarge for more pixels in all frames together."""
        if pixels > self.total_pixels:
            raise PictureTooLarge(
                f"The moving picture has {pixels / 1e6:.0f} megapixels in all its frames; at most "
                f"{self.total_pixels / 1e6:.0f} are allowed. Make it smaller, or cut it shorter."
            )

    def check_seconds(self, seconds: Fraction | float) -> None:
        """Raises PictureTooLarge for a longer one."""
        if seconds > self.seconds:
            raise PictureTooLarge(
                f"The moving picture lasts {float(seconds):.1f} seconds; at most {self.seconds:g} are allowed. "
                "Cut it shorter."
            )


@dataclass(frozen=True)
class Sound:
    """The sound of a video: its codec by the file's own name for it, such as mp4a or A_OPUS."""

    codec: str


@dataclass(frozen=True)
class MovingPicture:
    """A probed file. Width and height are in pixels as shown, after any rotation."""

    kind: Kind
    width: int
    height: int
    bytes: int
    frames: int  # of a fragmented video or a WebM, whose files do not say, the most that its length allows
    seconds: Fraction  # of one play
    delays: tuple[Fraction, ...] = ()  # seconds that each frame is shown, as browsers play it; of animations only
    raw_delays: tuple[tuple[int, int], ...] = ()  # as the file says them: ticks, and ticks a second
    loop: int | None = None  # as the file says it; None where it does not
    plays: int = 1  # how often it is played; 0: for ever
    alpha: bool = False  # whether any frame may have transparent pixels
    rotation: int = 0  # degrees clockwise, already in width and height
    codec: str | None = None  # of a video, by the file's own name for it: avc1, hvc1, V_VP9
    timescale: int | None = None  # ticks a second of a video's time stamps
    sound: Sound | None = None
    transfer: str | None = None  # of a video with a high dynamic range: smpte2084 or arib-std-b67
    lossless: bool = False  # whether every frame is stored without loss
    notes: tuple[Note, ...] = ()
    frame_count_is_exact: bool = True

    @property
    def is_still(self) -> bool:
        """Whether it is an animation of one frame, which is a picture that does not move."""
        return self.kind in ANIMATIONS and self.frames == 1

    @property
    def starts(self) -> tuple[Fraction, ...]:
        """When each frame of an animation appears, in seconds from its beginning."""
        return tuple(cumulate(self.delays)[:-1])


@dataclass(frozen=True, eq=False)
class Frame:
    """What is seen at one moment.

    Pixels are uint8 [H, W, 4] (BGRA, alpha not multiplied in; transparent ones are all zeros) of an animation, and
    [H, W, 3] (BGR) of a video. Nobody may write to them: copy them first.
    """

    number: int
    pixels: Pixels = field(repr=False)
    start: Fraction  # seconds from the beginning
    delay: Fraction  # seconds that it is shown
    is_repeat: bool = False  # whether it looks exactly like the frame before it

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the pixels, by which frames that look the same are told."""
        return hashlib.sha256(self.pixels.data if self.pixels.flags.c_contiguous else self.pixels.tobytes()).hexdigest()


def cumulate(delays: Sequence[Fraction]) -> list[Fraction]:
    """Where each delay begins, and where the last one ends."""
    moments = [Fraction(0)]
    for delay in delays:
        moments.append(moments[-1] + delay)
    return moments
