"""A caller's own video or picture: what it is."""

from __future__ import annotations

from pathlib import Path

from layers.core.errors import MediaTooLarge, UnreadableMedia, UnreadablePicture, UnsupportedPicture
from layers.core.units import MIB
from layers.media.formats import SNIFFED_BYTES, PictureFormat, sniff_picture
from layers.media.mp4 import Index, read_index

MOST_PICTURE_BYTES = 32 * MIB


def read_still(path: Path, max_pixels: int) -> tuple[PictureFormat, float] | None:
    """The format and the shape (width to height, as it is shown) of a JPEG, PNG or WebP that is whole; None for
    another file. Raises UnreadableMedia or MediaTooLarge."""
    from layers.media.picture_header import probe

    with path.open("rb") as file:
        kind = sniff_picture(file.read(SNIFFED_BYTES))
    if kind is None:
        return None
    if path.stat().st_size > MOST_PICTURE_BYTES:
        raise MediaTooLarge(f"A picture has more than the {MOST_PICTURE_BYTES} bytes that are allowed.")
    try:
        header = probe(path.read_bytes())
    except (UnreadablePicture, UnsupportedPicture) as error:
        raise UnreadableMedia(f"A clip cannot be shown: {error.detail}") from None
    if header.width * header.height > max_pixels:
        raise MediaTooLarge(f"A picture is too large: {header.width}x{header.height} pixels.")
    shape = header.width / header.height
    return kind, 1 / shape if header.orientation >= 5 else shape


def read_video_index(path: Path, size: int) -> Index:
    """The index of a file that is whole. Raises UnreadableMedia."""
    with path.open("rb") as file:

        def read(at: int, count: int) -> bytes:
            file.seek(at)
            return file.read(count)

        return read_index(read, size)
