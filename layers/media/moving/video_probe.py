"""What an MP4, a MOV or a WebM says of itself, before ffmpeg sees it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from layers.core.errors import UnreadableMedia, UnreadablePicture, UnsupportedPicture
from layers.media.moving.description import Limits, MovingPicture, Sound
from layers.media.moving.gif_blocks import Buffer
from layers.media.moving.kinds import Kind
from layers.media.moving.webm import read_webm
from layers.media.mp4 import Index, read_index

_CODECS = {
    **dict.fromkeys(("avc1", "avc3"), "H.264"),
    **dict.fromkeys(("hvc1", "hev1", "dvh1", "dvhe"), "HEVC"),
    **dict.fromkeys(("vp09", "V_VP9"), "VP9"),
    **dict.fromkeys(("av01", "V_AV1"), "AV1"),
    "V_VP8": "VP8",
}
_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}  # ITU-T H.273: PQ and HLG
_MAX_SIDE = 16_384


@dataclass(frozen=True)
class VideoFile:
    """A probed video, and what only its reader needs."""

    description: MovingPicture
    pixel_aspect: tuple[int, int] = (1, 1)


def probe_video(data: Buffer, kind: Kind, limits: Limits) -> VideoFile:
    """Read the structure of a whole video. Raises UnreadablePicture, UnsupportedPicture or PictureTooLarge."""
    limits.check_bytes(len(data))
    return _probe_webm(data, limits) if kind == "webm" else _probe_mp4(data, kind, limits)


def _probe_mp4(data: Buffer, kind: Kind, limits: Limits) -> VideoFile:
    try:
        index = read_index(lambda at, count: bytes(data[at : at + count]), len(data))
    except UnreadableMedia as error:
        raise UnreadablePicture(error.detail) from None
    _check(index.codec, index.width, index.height, index.most_frames, index.seconds, limits)
    if not index.most_frames and not index.fragmented:
        raise UnreadablePicture("The video holds no frames.")
    description = MovingPicture(
        kind=kind,
        width=index.width,
        height=index.height,
        bytes=len(data),
        frames=index.most_frames or _most_frames(index.seconds, limits),
        seconds=_round(index),
        rotation=index.rotation,
        codec=index.codec,
        timescale=index.timescale,
        sound=Sound(index.sound) if index.sound else None,
        transfer=_TRANSFERS.get(index.transfer or 0),
        notes=("truncated",) if index.samples_end > len(data) else (),
        frame_count_is_exact=not index.fragmented and not _hides_frames(index),
    )
    return VideoFile(description, index.pixel_aspect)


def _probe_webm(data: Buffer, limits: Limits) -> VideoFile:
    file = read_webm(data)
    assert file.codec is not None
    _check(file.codec, file.width, file.height, file.frames, file.seconds, limits)
    return VideoFile(
        MovingPicture(
            kind="webm",
            width=file.width,
            height=file.height,
            bytes=len(data),
            frames=file.frames,
            seconds=Fraction(file.seconds).limit_denominator(1000),
            codec=file.codec,
            sound=Sound(file.sound) if file.sound else None,
            transfer=_TRANSFERS.get(file.transfer or 0),
            notes=("truncated",) if file.truncated else (),
        )
    )


def _check(codec: str, width: int, height: int, frames: int, seconds: float, limits: Limits) -> None:
    if codec not in _CODECS:
        raise UnsupportedPicture(f"The video's codec is {codec!r}. Send H.264, HEVC, VP9 or AV1.")
    if max(width, height) > _MAX_SIDE:
        raise UnreadablePicture("The video is damaged: it has no sensible size.")
    limits.check_canvas(width, height)
    limits.check_seconds(seconds)
    limits.check_frames(frames)
    limits.check_work(frames * width * height)


def _hides_frames(index: Index) -> bool:
    """Whether an edit list leaves out whole frames."""
    return index.fps is None or abs(index.seconds * index.fps - index.most_frames) >= 1


def _round(index: Index) -> Fraction:
    """How long it is shown, in whole ticks."""
    return Fraction(round(index.seconds * index.timescale), index.timescale)


def _most_frames(seconds: float, limits: Limits) -> int:
    """Of a file that does not say: at 60 a second, or as many as are allowed."""
    return min(limits.frames, round(60 * seconds) or limits.frames)
