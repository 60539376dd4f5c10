"""The font files of a video's captions: each face cut to the letters that it draws, and bold."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from functions.video.context import StepContext
from functions.video.render import large_fonts
from functions.video.render.faces import FACES, Face, LargeFace
from functions.video.render.typesetting import Typesetting, typeset
from functions.video.services import Services
from layers.core.units import MIB

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

BOLD = 700  # as the variable fonts' axis counts it; libass would draw them at 400
_NOT_DRAWN = ("BASE", "STAT", "VORG", "VVAR", "vhea", "vmtx")  # tables for vertical lines, and for menus
# What HarfBuzz takes apart although Unicode does not: am of Thai and Lao, and vowels of Khmer with a part on the left.
_PARTS = {
    "\u0e33": "\u0e4d\u0e32",
    "\u0eb3": "\u0ecd\u0eb2",
    **dict.fromkeys("\u17be\u17bf\u17c0\u17c4\u17c5", "\u17c1"),
}
_MOST_BYTES = 32 * MIB


def make(typesetting: Typesetting, folder: Path, context: StepContext) -> Path:
    """The folder of the files of all faces: that of Roboto's own, or `folder`, which is created and filled, from the
    artifact store where they are in it.

    Raises FontsMissing, StorageFailed, StorageFull or OutOfTime.
    """
    if not typesetting.letters:
        return FACES["Roboto"].path.parent
    folder.mkdir()
    for name, _ in typesetting.letters:
        path = folder / f"{name}.font"
        key = prepare_face(name, typesetting, path, context)
        if not path.exists():
            context.artifacts.get_file(key, path, _MOST_BYTES, context.deadline)
    return folder


def prepare(typesetting: Typesetting, context: StepContext) -> None:
    """Store the files of all faces, so that clips, which are made side by side, need not make them each.

    Raises FontsMissing, StorageFailed, StorageFull or OutOfTime.
    """
    for name, _ in typesetting.letters:
        path = context.folder / f"{name}.font"
        prepare_face(name, typesetting, path, context)
        path.unlink(missing_ok=True)


def prepare_face(name: str, typesetting: Typesetting, path: Path, context: StepContext) -> str:
    """The key of a face's file in the artifact store; where it is not there, it is made at `path` and stored.

    Raises FontsMissing, StorageFailed, StorageFull or OutOfTime.
    """
    key = context.artifacts.key("font", "font", typesetting.digest(name))
    if not context.artifacts.reuse_file(key):
        context.deadline.check("cutting a typeface")
        face, letters = typesetting.style.face(name), dict(typesetting.letters)[name]
        if isinstance(face, LargeFace):
            large_fonts.fetch(context.services, context.deadline)
        write_face(face, letters, typesetting.family(name), typesetting.line, path)
        context.artifacts.put_file(key, path, "font/sfnt")
    return key


def require(text: str, own: Face | None, services: Services) -> None:
    """Check that the files of all faces that draw this text can be had. Raises FontsMissing or StorageFailed."""
    typesetting = typeset([text], own)
    if any(isinstance(typesetting.style.face(name), LargeFace) for name, _ in typesetting.letters):
        large_fonts.require(services)


def roboto_digest() -> str:
    """SHA-256 of the file that draws most captions as it is."""
    return _digest(FACES["Roboto"].path)


@cache
def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_face(face: Face, letters: str, family: str, line: tuple[float, float], path: Path) -> None:
    """Write a static, bold font file with these letters only, under that family's name; `line` is ascent and descent
    of a line in ems.

    The letters come first: making the whole of a large typeface bold takes minutes and gigabytes.
    """
    from fontTools import subset
    from fontTools.varLib import instancer

    with face.open() as font:
        # Hints are of no use here, but the instancer fails on CFF2 outlines that have lost theirs.
        options = subset.Options(hinting="CFF2" in font, notdef_outline=True, name_IDs=[0, 13, 14])
        options.drop_tables += _NOT_DRAWN
        subsetter = subset.Subsetter(options)
        subsetter.populate(text=_with_parts(letters))
        subsetter.subset(font)
        if "fvar" in font:
            axes = {axis.axisTag: axis.defaultValue for axis in font["fvar"].axes}
            for axis in font["fvar"].axes:
                if axis.axisTag == "wght":
                    axes["wght"] = min(max(BOLD, axis.minValue), axis.maxValue)
            instancer.instantiateVariableFont(font, axes, inplace=True)
        _set_line(font, line)
        _set_names(font, family)
        font.save(path)


def _with_parts(letters: str) -> str:
    """The letters, and those into which HarfBuzz takes some apart: Malayalam's o is an e before its consonant and an a
    after it."""
    parts = unicodedata.normalize("NFD", letters)
    return letters + parts + "".join(_PARTS.get(letter, "") for letter in letters)


def _set_line(font: TTFont, line: tuple[float, float]) -> None:
    """Give the font the height of line from which libass computes sizes and distances."""
    ascent, descent = (round(each * font["head"].unitsPerEm) for each in line)
    windows, horizontal = font["OS/2"], font["hhea"]
    windows.usWinAscent, windows.usWinDescent = ascent, descent
    windows.sTypoAscender, windows.sTypoDescender, windows.sTypoLineGap = ascent, -descent, 0
    horizontal.ascent, horizontal.descent, horizontal.lineGap = ascent, -descent, 0


def _set_names(font: TTFont, family: str) -> None:
    """Name the font as the one regular face of a family, so that libass neither slants nor thickens it."""
    names = font["name"]
    for number, text in ((1, family), (2, "Regular"), (3, family), (4, family), (6, family.replace(" ", "-"))):
        names.setName(text, number, 3, 1, 0x409)
    font["OS/2"].usWeightClass, font["OS/2"].fsSelection, font["head"].macStyle = 400, 0x40, 0
