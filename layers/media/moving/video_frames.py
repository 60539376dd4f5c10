"""Decodes a stranger's video by ffmpeg, frame by frame, each with its exact time.

The raw frames come through one pipe and their times through another. ffmpeg turns them upright, and tones a high
dynamic range down. Its own decoders alone are allowed, on this file alone, as the kind that the probe found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fractions import Fraction
from io import BufferedReader
from pathlib import Path
from typing import IO

import numpy as np

from layers.core.deadline import Deadline
from layers.core.errors import UnreadableMedia, UnreadablePicture
from layers.media.ffmpeg import Process, run, untrusted_input
from layers.media.moving.description import Frame, Limits, MovingPicture
from layers.media.moving.kinds import Kind
from layers.media.picture import Pixels

_DEMUXERS: dict[Kind, str] = {"mp4": "mov", "mov": "mov", "webm": "matroska"}
_DECODERS = ("h264", "hevc", "vp8", "vp9", "libdav1d", "av1")
_SOUND_DECODERS = (
    *("aac", "mp3float", "mp3", "opus", "vorbis", "flac", "alac", "ac3", "eac3", "pcm_s16le", "pcm_s16be", "pcm_s24le"),
    *("pcm_s24be", "pcm_f32le", "pcm_u8", "adpcm_ima_qt", "pcm_mulaw", "pcm_alaw", "amrnb"),
)
# Hable's curve over light whose white is 203 cd/m² (ITU-R BT.2408).
_TO_SDR = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,tonemap=hable:desat=0,"
    "zscale=t=bt709:m=bt709:r=tv,format=yuv420p"
)
_HDR = ("smpte2084", "arib-std-b67")
_PADDING = 1.2  # of a picture within a codec's blocks
_STREAM = re.compile(r"Stream #0:\d+.*: Video: .*?, \w+(?:\(([^)]*)\))?, \d+x\d+")
_MARKED = re.compile(r"\b(gbr|bt709|fcc|bt470bg|smpte170m|smpte240m|ycgco|bt2020)")  # matrices
_HD_LINES = 720  # from which on players take unmarked colours for BT.709


def video_input(path: Path, picture: MovingPicture, *, sound: bool = False) -> list[str]:
    """ffmpeg's arguments for a probed video as an input."""
    demuxer = _DEMUXERS[picture.kind]
    most_pixels = int(max(picture.width, 64) * max(picture.height, 64) * _PADDING) + (1 << 16)
    options = ["-max_pixels", str(most_pixels), "-fflags", "+discardcorrupt", "-f", demuxer]
    decoders = (*_DECODERS, *_SOUND_DECODERS) if sound else _DECODERS
    return untrusted_input(path, [demuxer], decoders, options)


def read_video_frames(
    path: Path, picture: MovingPicture, colors: str, limits: Limits, deadline: Deadline
) -> Iterator[Frame]:
    """Yield the frames, uint8 BGR [H, W, 3], one at a time; `colors` is what `ask_colors` returned.

    Raises UnreadablePicture, PictureTooLarge or OutOfTime.
    """
    arguments = [
        *video_input(path, picture),
        *("-map", "0:v:0", "-an", "-sn", "-dn", "-vf", _choose_filter(picture, colors)),
        *("-fps_mode", "passthrough", "-enc_time_base", "demux", "-frames:v", str(limits.frames + 1)),
    ]
    times_pipe, ffmpeg_end = os.pipe()
    with open(times_pipe, "rb", buffering=0) as times:
        try:
            stats = ["-stats_enc_pre:v", f"pipe:{ffmpeg_end}", "-stats_enc_pre_fmt:v", "{pts} {tb}"]
            output = ["-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"]
            process = Process([*arguments, *stats, *output], deadline=deadline, reads=True, pass_fds=[ffmpeg_end])
        finally:
            os.close(ffmpeg_end)
        with process, os.fdopen(os.dup(times.fileno()), "r") as lines:
            yield from _with_delays(_read_pipe(process.stdout, lines, picture), picture, limits)
            try:
                process.wait()
            except UnreadableMedia as error:
                raise UnreadablePicture(error.detail) from None


def _read_pipe(pixels: BufferedReader, lines: IO[str], picture: MovingPicture) -> Iterator[tuple[Fraction, Pixels]]:
    """Yield time in seconds and pixels, as long as whole frames come."""
    shape = picture.height, picture.width, 3
    while True:
        frame = np.empty(shape, np.uint8)
        if pixels.readinto(frame.data.cast("B")) < frame.nbytes:
            return
        ticks, base = lines.readline().split()
        yield int(ticks) * Fraction(base), frame


def _with_delays(timed: Iterator[tuple[Fraction, Pixels]], picture: MovingPicture, limits: Limits) -> Iterator[Frame]:
    """Yield frames: each is shown until the next one, and the last until the video's end."""
    waiting: tuple[Fraction, Pixels] | None = None
    number, delay, last = 0, Fraction(1, 30), None
    begin: Fraction | None = None
    for count, (start, pixels) in enumerate(timed, 1):
        limits.check_frames(count)
        limits.check_seconds(start - (begin or 0))
        if waiting is not None and start <= waiting[0]:
            continue  # nobody ever sees it
        if waiting is not None:
            delay = start - waiting[0]
            yield Frame(number, waiting[1], waiting[0], delay, _repeats(waiting[1], last))
            number, last = number + 1, waiting[1]
        waiting = start, pixels
        begin = start if begin is None else begin
    if waiting is not None and begin is not None:
        start, pixels = waiting
        left = begin + picture.seconds - start
        is_repeat = _repeats(pixels, last)
        yield Frame(number, pixels, start, left if left > 0 else delay, is_repeat)


def _repeats(pixels: Pixels, last: Pixels | None) -> bool:
    """Whether a frame is the same as the one before; a few rows mostly tell that it is not."""
    return last is not None and np.array_equal(pixels[::64], last[::64]) and np.array_equal(pixels, last)


def has_high_range(picture: MovingPicture, colors: str) -> bool:
    """Whether a video has a high dynamic range, by its file or by what `ask_colors` returned."""
    return bool(picture.transfer) or any(name in colors for name in _HDR)


def _choose_filter(picture: MovingPicture, colors: str) -> str:
    """ffmpeg's filters for a video."""
    size = f"scale={picture.width}:{picture.height}:flags=accurate_rnd"
    if has_high_range(picture, colors):
        return f"{_TO_SDR},{size}:in_color_matrix=bt709"
    if _MARKED.search(colors):
        return size
    is_hd = min(picture.width, picture.height) >= _HD_LINES
    return f"{size}:in_color_matrix={'bt709' if is_hd else 'bt601'}"


def ask_colors(path: Path, picture: MovingPicture, deadline: Deadline) -> str:
    """What ffmpeg writes behind the pixel format: range, matrix, primaries and transfer, as far as they are set.

    Raises UnreadablePicture or OutOfTime.
    """
    try:
        stderr = run(
            [*video_input(path, picture), *("-map", "0:v:0", "-c", "copy", "-frames:v", "1", "-f", "null", "-")],
            deadline=deadline,
            loglevel="info",
        )
    except UnreadableMedia as error:
        raise UnreadablePicture(error.detail) from None
    match = _STREAM.search(stderr)
    return match[1] or "" if match else ""
