"""What a picture's file says of itself before any decoder sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from layers.core.errors import UnreadablePicture
from layers.media.formats import PictureFormat

Sampling = Literal["4:4:4", "4:4:0", "4:2:2", "4:2:0", "4:1:1"]


@dataclass(frozen=True)
class FileTraits:
    """How a file holds its picture: what a result keeps of it, where its format can."""

    sampling: Sampling = "4:4:4"  # of the colours, against brightness
    qualities: tuple[int, int] | None = None  # of a JPEG's brightness and colours: `estimate_quality`
    lossless: bool = False
    profile: bytes | None = None  # the colour profile (ICC); empty if it cannot be read
    color_chunks: tuple[tuple[bytes, bytes], ...] = ()  # of a PNG: what else says how its colours are meant
    source_type: str | None = None  # by which its labels say that a trained model made it


@dataclass(frozen=True)
class Header:
    """A picture's size in pixels before its orientation is applied, and that EXIF orientation, 1 (upright) to 8."""

    format: PictureFormat
    width: int
    height: int
    orientation: int = 1
    sixteen_bit: bool = False
    grey: bool = False  # one channel, apart from alpha
    clear_level: int | None = None  # of a grey PNG: the level, 0 to 255 or 65535, that is wholly transparent
    scans_end: int | None = None  # of a JPEG without an end mark: where the data of its last scan ends in the file
    broken_chunks: bool = False  # whether a PNG has some that a viewer passes over
    traits: FileTraits = field(default_factory=FileTraits)


def truncated() -> UnreadablePicture:
    """The error for a file that ends too early."""
    return UnreadablePicture("The picture is truncated. Send the whole file.")
