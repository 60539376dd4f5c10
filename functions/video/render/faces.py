"""The typefaces of captions: files of pinned packages, or of the models bucket, and which letters each has."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from functions.video.render import large_fonts

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

_NOTO = ("manimgx_fonts", "manimgx-fonts")
_NOTO_FACES = (
    "Arabic Armenian Bengali Devanagari Ethiopic Georgian Gujarati Gurmukhi Hebrew Kannada Khmer Lao Malayalam Myanmar "
    "Oriya Sinhala Symbols Tamil Telugu Thai"
)
_CJK_FACES = "JP KR SC TC HK"  # in this order in the collection


# Lines as high as what is drawn needs them; the files' own leave room for every sign that they have.
_ROBOTO_LINE = (2146 / 2048, 555 / 2048)
_TALL_LINES = {
    "Arabic": (1.15, 0.50),
    "Bengali": (1.05, 0.45),
    "Devanagari": (1.10, 0.45),
    "Gujarati": (1.05, 0.42),
    "Gurmukhi": (1.05, 0.42),
    "Kannada": (1.05, 0.52),
    "Khmer": (1.10, 0.60),
    "Lao": (1.20, 0.40),
    "Malayalam": (1.05, 0.42),
    "Myanmar": (1.10, 0.60),
    "Oriya": (1.05, 0.40),
    "Sinhala": (1.05, 0.40),
    "Telugu": (1.05, 0.50),
    "Thai": (1.20, 0.40),
}


@dataclass(frozen=True)
class Face:
    """A typeface in a file of a package, or one of those in a collection."""

    name: str
    module: str
    package: str
    file: str
    number: int = -1  # in a collection; -1: the file has one face
    line: tuple[float, float] = _ROBOTO_LINE  # ascent and descent of a line in ems

    def open(self) -> TTFont:
        """The font, whose tables are read when they are needed."""
        from fontTools.ttLib import TTFont

        return TTFont(self.path, fontNumber=self.number, lazy=True)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(str(importlib.import_module(self.module).__file__)).parent / self.file

    @property
    def source(self) -> list[str | int]:
        """What tells its letters' shapes from those of any other face, as an input of a key."""
        return [self.package, version(self.package), self.file, self.number]

    def letters(self) -> frozenset[int]:
        """The code points that it has shapes for."""
        with self.open() as font:
            return frozenset(font.getBestCmap())


@dataclass(frozen=True)
class LargeFace(Face):
    """A typeface in the file of `large_fonts`, which must be fetched before it is opened."""

    @property
    def path(self) -> Path:
        return large_fonts.cjk_file().path

    @property
    def source(self) -> list[str | int]:
        return [large_fonts.cjk_file().digest, self.number]

    def letters(self) -> frozenset[int]:
        return large_fonts.cjk_file().letters


FACES: dict[str, Face] = {
    "Roboto": Face("Roboto", "font_roboto", "font-roboto", "files/Roboto-Black.ttf"),
    "Sans": Face("Sans", *_NOTO, "NotoSans[wght].ttf"),
    "Emoji": Face("Emoji", *_NOTO, "NotoEmoji[wght].ttf"),
    **{
        name: Face(name, *_NOTO, f"NotoSans{name}[wght].ttf", line=_TALL_LINES.get(name, _ROBOTO_LINE))
        for name in _NOTO_FACES.split()
    },
    **{
        name: LargeFace(name, "", "", "NotoSansCJK-VF.otf.ttc", number)
        for number, name in enumerate(_CJK_FACES.split())
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
    (0x2020, 0x2022),
    (0x2026, 0x2026),
    (0x2030, 0x2030),
    (0x2039, 0x203A),
    (0x20AC, 0x20AC),
    (0x2122, 0x2122),
)


def has(face: Face, letter: str) -> bool:
    """Whether a face has a shape for the letter."""
    code = ord(letter)
    if face is FACES["Roboto"] and any(first <= code <= last for first, last in _IN_ROBOTO):
        return True
    return code in coverage(face)


@lru_cache(maxsize=64)
def coverage(face: Face) -> frozenset[int]:
    """The code points of a face."""
    return face.letters()
