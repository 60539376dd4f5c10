"""The typefaces of captions: the pinned packages' files, and which letters each has."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

_NOTO, _NOTO_CJK = ("manimgx_fonts", "manimgx-fonts"), ("manimgx_fonts_cjk", "manimgx-fonts-cjk")
_NOTO_FACES = (
    "Arabic Armenian Bengali Devanagari Ethiopic Georgian Gujarati Gurmukhi Hebrew Kannada Khmer Lao Malayalam Myanmar "
    "Oriya Sinhala Symbols Tamil Telugu Thai"
)
_CJK_FACES = "JP KR SC TC HK"  # in this order in the collection


@dataclass(frozen=True)
class Face:
    """A typeface in a file of a package, or one of those in a collection."""

    name: str
    module: str
    package: str
    file: str
    number: int = -1  # in a collection; -1: the file has one face

    @property
    def path(self) -> Path:
        """The file."""
        return Path(str(importlib.import_module(self.module).__file__)).parent / self.file

    @property
    def source(self) -> list[str | int]:
        """What tells its letters' shapes from those of any other face, as an input of a key."""
        return [self.package, version(self.package), self.file, self.number]


FACES: dict[str, Face] = {
    "Roboto": Face("Roboto", "font_roboto", "font-roboto", "files/Roboto-Black.ttf"),
    "Sans": Face("Sans", *_NOTO, "NotoSans[wght].ttf"),
    "Emoji": Face("Emoji", *_NOTO, "NotoEmoji[wght].ttf"),
    **{name: Face(name, *_NOTO, f"NotoSans{name}[wght].ttf") for name in _NOTO_FACES.split()},
    **{
        name: Face(name, *_NOTO_CJK, "NotoSansCJK-VF.otf.ttc", number) for number, name in enumerate(_CJK_FACES.split())
    },
}

# Letters that are known to be in Roboto, first and last: most texts need no file to be read.
_IN_ROBOTO = (
    (0x20, 0x7E),
    (0xA0, 0x17F),
    (0x391, 0x3A1),
    (0x3A3, 0x3CE),
    (0x400, 0x45F),
    (0x2013, 0x2014),
    (0x2018, 0x201E),
)


def has(name: str, letter: str) -> bool:
    """Whether a face has a shape for the letter."""
    code = ord(letter)
    if name == "Roboto" and any(first <= code <= last for first, last in _IN_ROBOTO):
        return True
    return code in _coverage(name)


@cache
def _coverage(name: str) -> frozenset[int]:
    """The code points of a face."""
    from fontTools.ttLib import TTFont

    face = FACES[name]
    with TTFont(face.path, fontNumber=face.number, lazy=True) as font:
        return frozenset(font.getBestCmap())
