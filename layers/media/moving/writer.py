"""Writes a moving picture whose faces were replaced, in the meme's own format or another, one frame at a time.

Whatever the format: what is shown when, for how long and how often stays as it was, as exactly as the format can say
it, and `notes` tell what it cannot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path

from layers.core.deadline import Deadline
from layers.core.errors import UnsupportedPicture
from layers.media.moving.apng_writer import ApngWriter
from layers.media.moving.description import Frame, MovingPicture, Note, OutputFormat
from layers.media.moving.gif_blocks import GifFile
from layers.media.moving.gif_writer import GifWriter
from layers.media.moving.kinds import ANIMATIONS, Kind
from layers.media.moving.reader import MovingReader
from layers.media.moving.video_probe import VideoFile
from layers.media.moving.video_writer import VideoWriter, choose_timescale, must_encode_sound
from layers.media.moving.webp_writer import WebpWriter
from layers.media.picture import Pixels

DEFAULT_QUALITY = 75  # of a WebP whose meme was not lossless
_OWN: dict[Kind, OutputFormat] = {
    "gif": "gif",
    "webp": "webp",
    "apng": "apng",
    "mp4": "mp4",
    "mov": "mp4",
    "webm": "mp4",
}
_CONVERSIONS: tuple[OutputFormat, ...] = ("mp4", "webp")  # that any meme may become


class MovingWriter(ABC):
    """What writes the frames of one moving picture; leaving the context ends whatever still runs."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        """What has to be told of the result; complete once it is closed."""
        self._stack = ExitStack()

    @abstractmethod
    def write(self, frame: Frame, pixels: Pixels) -> None:
        """Write the next frame that the reader gave, with pixels like its own, or its own where nothing changed."""

    @abstractmethod
    def close(self) -> None:
        """Finish the file."""

    def __enter__(self) -> MovingWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def own_format(kind: Kind) -> OutputFormat:
    """The format that a meme comes out as unless another is asked for: its own, or MP4 for all videos."""
    return _OWN[kind]


def create_writer(
    reader: MovingReader,
    path: Path,
    format: OutputFormat,
    *,
    deadline: Deadline,
    quality: int | None = None,
    threads: int = 1,
) -> MovingWriter:
    """Make the writer of a result at that path. Raises UnsupportedPicture for a conversion that is not offered.

    `quality`, 1 to 100, is a WebP's; a lossless WebP stays lossless without it.
    """
    picture = reader.picture
    if format != own_format(picture.kind) and format not in _CONVERSIONS:
        raise UnsupportedPicture(f"This meme cannot become {format}. Ask for its own format, mp4 or webp.")
    if format == "mp4":
        return _Mp4(reader, path, deadline, threads)
    if format == "webp":
        return _Webp(picture, path, quality)
    if format == "apng":
        return _Apng(picture, path)
    assert isinstance(reader.structure, GifFile)
    return _Gif(reader, reader.structure, path)


class _Gif(MovingWriter):
    def __init__(self, reader: MovingReader, structure: GifFile, path: Path) -> None:
        super().__init__()
        self._writer = GifWriter(self._stack.enter_context(path.open("wb")), reader.data, structure)

    def write(self, frame: Frame, pixels: Pixels) -> None:
        self._writer.write(frame.pixels, pixels)

    def close(self) -> None:
        self._writer.close()
        self._stack.close()
        if not self._writer.is_exact:
            self.notes.append("colors_changed")


class _Apng(MovingWriter):
    def __init__(self, picture: MovingPicture, path: Path) -> None:
        super().__init__()
        self._delays = picture.raw_delays
        size = picture.width, picture.height
        self._writer = ApngWriter(
            self._stack.enter_context(path.open("wb")), size, loop=picture.loop or 0, alpha=picture.alpha
        )

    def write(self, frame: Frame, pixels: Pixels) -> None:
        self._writer.write(pixels, self._delays[frame.number])

    def close(self) -> None:
        self._writer.close()
        self._stack.close()


class _Webp(MovingWriter):
    """A video becomes a WebP that is played for ever, as such pictures are."""

    def __init__(self, picture: MovingPicture, path: Path, quality: int | None) -> None:
        super().__init__()
        self._picture = picture
        self._at: int | None = None  # milliseconds; where the last frame ends
        if picture.kind != "webp":
            self.notes.append("converted")
        if picture.sound:
            self.notes.append("sound_dropped")
        if quality is None and not (picture.kind == "webp" and picture.lossless):
            quality = DEFAULT_QUALITY
        self._writer = WebpWriter(
            self._stack.enter_context(path.open("wb")),
            (picture.width, picture.height),
            loop=picture.plays if picture.kind in ANIMATIONS else 0,
            alpha=picture.alpha,
            quality=None if quality == 100 else quality,
        )

    def write(self, frame: Frame, pixels: Pixels) -> None:
        start, end = (round(moment * 1000) for moment in (frame.start, frame.start + frame.delay))
        if self._picture.kind == "webp":
            self._writer.write(pixels, self._picture.raw_delays[frame.number][0])
        else:
            self._writer.write(pixels, end - (start if self._at is None else self._at))
        self._at = end

    def close(self) -> None:
        self._writer.close()
        self._stack.close()


class _Mp4(MovingWriter):
    def __init__(self, reader: MovingReader, path: Path, deadline: Deadline, threads: int) -> None:
        super().__init__()
        self._path, self._picture = reader.path, reader.picture
        aspect = reader.structure.pixel_aspect if isinstance(reader.structure, VideoFile) else (1, 1)
        size = self._picture.width, self._picture.height
        self._writer = self._stack.enter_context(
            VideoWriter(
                path, size, choose_timescale(self._picture), deadline=deadline, pixel_aspect=aspect, threads=threads
            )
        )
        self.notes += _tell_losses(self._picture)

    def write(self, frame: Frame, pixels: Pixels) -> None:
        self._writer.write(pixels, frame.start, frame.delay)

    def close(self) -> None:
        self._writer.close(self._path, self._picture)


def _tell_losses(picture: MovingPicture) -> list[Note]:
    """What an MP4 cannot keep of a meme."""
    losses: dict[Note, bool] = {
        "converted": picture.kind != "mp4",
        "sound_encoded": must_encode_sound(picture),
        "alpha_dropped": picture.alpha,
        "loop_dropped": picture.kind in ANIMATIONS,
        "cropped": bool(picture.width % 2 or picture.height % 2),
    }
    return [note for note, is_lost in losses.items() if is_lost]
