"""Writing systems: that of a letter, the typeface that draws it, and how wide its letters are.

Codes and names of writing systems are those of Unicode (UAX 24, ISO 15924).
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache

# The faces that can draw each writing system, the first that has a letter before the others; they are in faces.py.
FACES_BY_SCRIPT: dict[str, tuple[str, ...]] = {
    "Latn": ("Roboto", "Sans"),
    "Grek": ("Roboto", "Sans"),
    "Cyrl": ("Roboto", "Sans"),
    "Arab": ("Arabic",),
    "Armn": ("Armenian",),
    "Beng": ("Bengali",),
    "Deva": ("Devanagari",),
    "Ethi": ("Ethiopic",),
    "Geor": ("Georgian",),
    "Gujr": ("Gujarati",),
    "Guru": ("Gurmukhi",),
    "Hebr": ("Hebrew",),
    "Knda": ("Kannada",),
    "Khmr": ("Khmer",),
    "Laoo": ("Lao",),
    "Mlym": ("Malayalam",),
    "Mymr": ("Myanmar",),
    "Orya": ("Oriya",),
    "Sinh": ("Sinhala",),
    "Taml": ("Tamil",),
    "Telu": ("Telugu",),
    "Thai": ("Thai",),
    # The signs of these are drawn in the manner of the text's own language; see `han_face`.
    "Hani": ("SC", "TC", "HK", "JP", "KR"),
    "Hira": ("JP",),
    "Kana": ("JP",),
    "Hang": ("KR",),
    "Bopo": ("TC",),
}
COMMON_FACES = ("Roboto", "Sans", "Symbols", "Emoji", "JP")  # for what belongs to no writing system
EMOJI_FACES = ("Emoji", "Symbols", "Sans")
_FIRST_EMOJI = 0x1F000
_RIGHT_TO_LEFT = ("Arab", "Hebr")
_NO_SCRIPT = ("Zyyy", "Zinh", "Zzzz")  # common, inherited, unknown

# Ems for each letter that is no mark: a little above the mean of a sentence that HarfBuzz set in the bold faces.
_WIDTHS = {
    "Arab": 0.54,
    "Armn": 0.75,
    "Beng": 0.55,
    "Deva": 0.58,
    "Ethi": 0.74,
    "Geor": 0.74,
    "Gujr": 0.56,
    "Guru": 0.61,
    "Hebr": 0.53,
    "Knda": 0.70,
    "Khmr": 0.60,
    "Laoo": 0.61,
    "Mlym": 0.88,
    "Mymr": 0.84,
    "Orya": 0.64,
    "Sinh": 0.91,
    "Taml": 0.89,
    "Telu": 0.69,
    "Thai": 0.61,
    "Hang": 0.94,
}


@lru_cache(maxsize=4096)
def script_of(letter: str) -> str | None:
    """The code of a letter's writing system; None for what belongs to none, such as digits, commas and emoji."""
    if letter < "\x80":
        return "Latn" if letter.isalpha() else None
    from fontTools import unicodedata as tables

    code = str(tables.script(letter))
    return None if code in _NO_SCRIPT else code


def script_name(code: str) -> str:
    """The name of a writing system in English: "Old_Italic" is "Old Italic"."""
    from fontTools import unicodedata as tables

    return str(tables.script_name(code, default=code)).replace("_", " ")


def faces_of_users(letter: str) -> list[str]:
    """The faces of the writing systems that share a character, such as the danda of many Indian ones."""
    from fontTools import unicodedata as tables

    return [FACES_BY_SCRIPT[code][0] for code in sorted(tables.script_extension(letter)) if code in FACES_BY_SCRIPT]


def main_script(text: str) -> str:
    """The writing system of most letters of a text; "Latn" where no letter has one. Kana make a text Japanese."""
    counts: dict[str, int] = {}
    for letter in text:
        code = script_of(letter)
        if code is not None:
            counts[code] = counts.get(code, 0) + 1
    if counts.get("Hira") or counts.get("Kana"):
        counts["Hira"] = sum(counts.get(code, 0) for code in ("Hira", "Kana", "Hani"))
    return max(counts, key=lambda code: counts[code], default="Latn")


def han_face(text: str) -> str:
    """The face for the Han signs of a text: by kana and Hangul, else by the national sets that have more of them."""
    codes = {script_of(letter) for letter in text}
    if codes & {"Hira", "Kana"}:
        return "JP"
    if "Hang" in codes:
        return "KR"
    signs = [letter for letter in text if script_of(letter) == "Hani"]
    simplified, traditional, hong_kong = (
        sum(_encodes(sign, charset) for sign in signs) for charset in ("gb2312", "big5", "big5hkscs")
    )
    if simplified >= hong_kong:
        return "SC"
    return "HK" if hong_kong > traditional else "TC"


def is_right_to_left(text: str) -> bool:
    """Whether lines of this text begin at the right."""
    return main_script(text) in _RIGHT_TO_LEFT


def is_emoji(letter: str) -> bool:
    """Whether a sign is drawn as emoji even where nothing asks for it."""
    return ord(letter) >= _FIRST_EMOJI


def is_ignorable(letter: str) -> bool:
    """Whether a character has no shape of its own: blanks, joiners, marks of direction, variation selectors."""
    return (
        letter.isspace()
        or unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp", "Zs")
        or letter in "\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"
        or "\u180b" <= letter <= "\u180f"
        or "\ufe00" <= letter <= "\ufe0f"
        or "\U000e0100" <= letter <= "\U000e01ef"
    )


def is_mark(letter: str) -> bool:
    """Whether a character is drawn on, under or beside the letter before it."""
    return unicodedata.category(letter)[0] == "M"


def spell_marks(text: str) -> str:
    """The text with a letter for each mark, which regular expressions do not take for a part of a word."""
    return text if text.isascii() else "".join("x" if is_mark(letter) else letter for letter in text)


def letter_width(letter: str) -> float | None:
    """The approximate advance of a letter in ems; None for Latin, Greek, Cyrillic, and what has no writing system."""
    if is_ignorable(letter) and not letter.isspace():
        return 0.0
    if unicodedata.category(letter) in ("Mn", "Me"):
        return 0.0
    if letter < "\u0530":
        return None
    return _WIDTHS.get(script_of(letter) or "")


@cache
def _encodes(sign: str, charset: str) -> bool:
    try:
        sign.encode(charset)
    except UnicodeEncodeError:
        return False
    return True
