"""Encodes frames as an MP4 with H.264, each at its exact time, and gives it the sound of the video that it was.

First the pictures alone, as they come; then pictures and sound are put together without encoding the pictures again.
"""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from layers.core.deadline import Deadline
from layers.media.ffmpeg import Process, run
from layers.media.moving.description import MovingPicture
from layers.media.moving.nut import NutWriter
from layers.media.moving.video_frames import video_input
from layers.media.picture import Pixels, flatten

# No B-frames: with them, and at a varying rate, ffmpeg's muxer lets the file end before its last frames.
_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-bf", "0", "-pix_fmt", "yuv420p")
_BT709 = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv")
_TO_YUV = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd,setparams=colorspace=bt709"
# What an MP4 can hold and browsers play: sample entries of MP4 and MOV, and WebM's names.
_COPIED_SOUND = frozenset({"mp4a", "ac-3", "ec-3", "alac", "Opus", "fLaC", ".mp3", "A_OPUS", "A_AAC", "A_FLAC"})
_MAX_TIMESCALE = 1_000_000  # ticks a second; more would overflow the tables of a long video
_AAC = ("-c:a", "aac", "-b:a", "160k")


def must_encode_sound(picture: MovingPicture) -> bool:
    """Whether an MP4 cannot hold the sound of a video, so that it becomes AAC."""
    return picture.sound is not None and picture.sound.codec not in _COPIED_SOUND


def choose_timescale(picture: MovingPicture) -> int:
    """Ticks a second in which all times of a picture are whole numbers, if there are so few."""
    if picture.timescale:
        return picture.timescale
    scale = 1000 if picture.kind == "webm" else 1
    for delay in picture.delays:
        scale = np.lcm(scale, delay.denominator).item()
        if scale > _MAX_TIMESCALE:
            return _MAX_TIMESCALE
    return scale


class VideoWriter:
    """Writes the frames of one video; leaving the context ends whatever still runs."""

    def __init__(
        self,
        path: Path,
        size: tuple[int, int],
        timescale: int,
        *,
        deadline: Deadline,
        pixel_aspect: tuple[int, int] = (1, 1),
        threads: int = 1,
    ) -> None:
        """`path`: the MP4 that `close` makes, beside which a temporary file lies until then; `size`: width and height
        of the frames. Odd ones lose their last column or row, which H.264 cannot hold."""
        self._path, self._deadline, self._timescale = path, deadline, timescale
        self._pictures = path.with_name(f"{path.stem}.pictures.nut")
        width, height = size
        crop = f"crop={max(2, width - width % 2)}:{max(2, height - height % 2)}:0:0,"
        pad = "pad=max(iw\\,2):max(ih\\,2),"
        arguments = [
            *("-protocol_whitelist", "pipe", "-f", "nut", "-i", "pipe:0"),
            *("-vf", pad + crop + _TO_YUV, "-fps_mode", "passthrough", "-enc_time_base", "demux"),
            *(*_X264, *_BT709, "-f", "nut", f"file:{self._pictures}"),
        ]
        self._process = Process(arguments, deadline=deadline, threads=threads, writes=True)
        self._nut: NutWriter | None = None
        self._aspect = pixel_aspect
        self._first = self._last = -1
        self._end = 0

    def write(self, pixels: Pixels, start: Fraction, delay: Fraction) -> None:
        """Write a frame, uint8 BGR or BGRA [H, W, 3 or 4], that is shown from `start` on; alpha becomes white."""
        if pixels.shape[2] == 4:
            colors = np.ascontiguousarray(pixels[:, :, :3])
            if (alpha := pixels[:, :, 3]).min() < 255:
                flatten(colors, alpha)
            pixels = colors
        try:
            if self._nut is None:
                height, width = pixels.shape[:2]
                self._nut = NutWriter(self._process.stdin, width, height, 3, self._timescale, self._aspect)
            ticks = max(round(start * self._timescale), self._last + 1)
            self._nut.write(np.ascontiguousarray(pixels), ticks)
        except BrokenPipeError:
            self._process.wait()
            raise
        self._first = ticks if self._first < 0 else self._first
        self._last, self._end = ticks, max(round((start + delay) * self._timescale), ticks + 1)

    def close(self, original: Path | None = None, picture: MovingPicture | None = None) -> None:
        """Finish the MP4, with the sound of the original if there is one."""
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()
        sound = original is not None and picture is not None and picture.sound is not None
        arguments = ["-itsoffset", str(float(Fraction(self._first, self._timescale)))]
        arguments += ["-f", "nut", "-i", f"file:{self._pictures}"]
        if original is not None and picture is not None and sound:
            arguments += [*video_input(original, picture, sound=True), "-map", "0:v:0", "-map", "1:a:0"]
            arguments += _AAC if must_encode_sound(picture) else ("-c:a", "copy")
        arguments += [
            *("-c:v", "copy", "-bsf:v", self._lengthen_last(), "-video_track_timescale", str(self._timescale)),
            *("-map_metadata", "-1", "-map_chapters", "-1", "-movflags", "+faststart", f"file:{self._path}"),
        ]
        run(arguments, deadline=self._deadline)
        self._pictures.unlink()

    def _lengthen_last(self) -> str:
        """The filter that says how long the last frame is shown, which the encoder does not know."""
        is_last = f"eq(round(PTS*TB*{self._timescale})\\,{self._last - self._first})"
        length = f"{self._end - self._last}/{self._timescale}/TB"
        return f"setts=pts=PTS:dts=DTS:duration=if({is_last}\\,{length}\\,DURATION)"

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, *problem: object) -> None:
        self._process.__exit__(*problem)
        self._pictures.unlink(missing_ok=True)
