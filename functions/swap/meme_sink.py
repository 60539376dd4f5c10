"""Where the bytes of a meme go while it is fetched: into memory, and into a file once they turn out to move."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING

from functions.swap.settings import Settings
from layers.core.errors import MovingMeme, PictureTooLarge
from layers.core.units import MIB
from layers.media.formats import SNIFFED_BYTES

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class MemeSink(io.BytesIO):
    """Takes the pieces of a file, as long as it may be a still picture.

    What is a video, or an animation larger than a still picture may be, goes on into a file where there is one to take
    it, so that it is fetched once.
    """

    def __init__(self, settings: Settings, open_file: Callable[[], IO[bytes]] | None = None) -> None:
        """`open_file` is called once, when the file turns out to move; without it, that ends with MovingMeme."""
        super().__init__()
        self._limit, self._machine = settings.max_picture_bytes, settings.moving_machine_arn
        self._open_file = open_file
        self._file: IO[bytes] | None = None

    @property
    def moves(self) -> bool:
        """Whether the file is the one that was opened for it."""
        return self._file is not None

    def flush_file(self) -> None:
        """Write what is buffered, so that the file can be read."""
        if self._file is not None:
            self._file.flush()

    def write(self, piece: ReadableBuffer, /) -> int:
        """Take the next piece. Raises MovingMeme, PictureTooLarge or StorageFull."""
        if self._file is not None:
            return self._file.write(piece)
        is_first = self.tell() < SNIFFED_BYTES
        count = super().write(piece)
        is_too_large = self.tell() > self._limit
        if (is_first or is_too_large) and must_move(self.getbuffer(), is_too_large):
            if self._open_file is None:
                raise refuse_moving(self._machine)
            self._file = self._open_file()
            self._file.write(self.getbuffer())
            self.seek(0)
            self.truncate()
        elif is_too_large:
            raise too_large(self._limit)
        return count


def must_move(content: bytes | memoryview, is_too_large: bool = False) -> bool:
    """Whether a file is a video, or an animation of more bytes than a still picture may have.

    Smaller animations may have a single frame.
    """
    from layers.media.moving.kinds import ANIMATIONS, sniff_moving

    kind = sniff_moving(content)
    return kind is not None and (is_too_large or kind not in ANIMATIONS)


def refuse_moving(machine: str, content: bytes | None = None) -> MovingMeme:
    """What to raise where only a still meme can be swapped; `content`: the meme, if all of it has been read.

    `machine`: the ARN of the state machine that swaps the others; "" where there is none.
    """
    error = MovingMeme(
        "This meme moves, which takes several invocations. Send it to POST /swap, or start the state machine "
        f"{machine or 'for moving memes'} with the same request."
    )
    error.content = content
    return error


def probe_meme(meme: Path | bytes, settings: Settings) -> None:
    """Refuse a moving meme that no step could swap, before any is started.

    Raises UnsupportedPicture, UnreadablePicture or PictureTooLarge.
    """
    from functions.swap.picture_loading import moving_limits
    from layers.media.moving.reader import MovingReader, probe_moving

    limits = moving_limits(settings)
    if isinstance(meme, Path):
        MovingReader(meme, limits)
    else:
        probe_moving(memoryview(meme), limits)


def too_large(limit: int) -> PictureTooLarge:
    """What to raise for a picture of more than `limit` bytes."""
    return PictureTooLarge(f"The picture is larger than {limit // MIB} MiB.")
