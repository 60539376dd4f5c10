"""Typesetting: which face draws each letter of a video's captions, in which size, and what no face can draw."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from functions.video.render import scripts
from functions.video.render.faces import FACES, Face, has
from layers.core.errors import UnsupportedScript

VERSION = 1  # raise it with code of font_files.py that makes other files of the same faces
EM = 92 * 2048 / 2701  # pixels of every face: libass counts from a font's highest ascent to its lowest descent
BADGE = "AI"
RIGHT_TO_LEFT_MARK = "\u200f"  # at the start of a line: its first word may be one that is read from the left

_MOST_NAMED = 5  # letters that an error names
_MODIFIERS = ("\U0001f3fb", "\U0001f3ff")  # skin tones, first and last
_REGIONS = ("\U0001f1e6", "\U0001f1ff")  # two of these are a flag
_JOINER = "\u200d"


@dataclass(frozen=True)
class Style:
    """How letters that several faces have are drawn: the face of most letters, and that of Han signs."""

    main: str
    han: str
    right_to_left: bool
    own: Face | None = None  # the operator's, which draws whatever it has

    def face(self, name: str) -> Face:
        """The face of that name."""
        return self.own if self.own and name == self.own.name else FACES[name]

    def runs(self, text: str) -> Iterator[tuple[str, str]]:
        """Pieces of a text, each with the name of the face that draws it; without what no face can draw."""
        name, run = self.main, ""
        for cluster in _clusters(text):
            face = self._face(cluster, name) or name
            letters = "".join(letter for letter in cluster if self._has(face, letter))
            if face != name and letters:
                if run:
                    yield name, run
                name, run = face, ""
            run += letters
        if run:
            yield name, run

    def undrawn(self, text: str) -> Iterator[str]:
        """The visible characters of a text that no face can draw, in their order."""
        before = self.main
        for cluster in _clusters(text):
            face = self._face(cluster, before)
            yield from (
                each for each in cluster if not scripts.is_ignorable(each) and not (face and self._has(face, each))
            )
            before = face or before

    def _face(self, cluster: str, before: str) -> str | None:
        """The first face that has all of a cluster; else the first that has its first letter; None if none has."""
        visible = [letter for letter in cluster if not scripts.is_ignorable(letter)]
        if not visible:
            return before
        candidates = list(self._candidates(cluster, visible[0], before))
        for letters in (visible, visible[:1]):
            for face in candidates:
                if all(self._has(face, letter) for letter in letters):
                    return face
        return None

    def _has(self, name: str, letter: str) -> bool:
        return has(self.face(name), letter)

    def _candidates(self, cluster: str, letter: str, before: str) -> Iterable[str]:
        if self.own:
            yield self.own.name
        code = scripts.script_of(letter)
        if code in ("Hani", "Bopo"):
            yield from (self.han, *scripts.FACES_BY_SCRIPT[code])
        elif code is not None:
            yield from scripts.FACES_BY_SCRIPT.get(code, ())
        elif scripts.is_emoji(letter) or "\ufe0f" in cluster or "\u20e3" in cluster:
            yield from scripts.EMOJI_FACES
        else:
            yield from (before, self.main, *scripts.COMMON_FACES, *scripts.faces_of_users(letter))


LATIN = Style("Roboto", "SC", right_to_left=False)


@dataclass(frozen=True)
class Typesetting:
    """The style of a video, and the letters that each of its faces draws; `letters` is empty where Roboto's own file
    draws everything."""

    style: Style
    letters: tuple[tuple[str, str], ...]  # name of a face, its letters in order

    @property
    def font(self) -> str:
        """The family of most letters."""
        return self.family(self.style.main)

    @cached_property
    def line(self) -> tuple[float, float]:
        """Ascent and descent, in ems, that the files of all faces get."""
        lines = [FACES["Roboto"].line, *(self.style.face(name).line for name, _ in self.letters)]
        return max(ascent for ascent, _ in lines), max(descent for _, descent in lines)

    @property
    def font_size(self) -> int:
        """The size as ASS counts it, at which an em has EM pixels."""
        return round(EM * sum(self.line))

    @property
    def line_start(self) -> str:
        """What every line begins with."""
        return RIGHT_TO_LEFT_MARK if self.style.right_to_left else ""

    def family(self, name: str) -> str:
        """A face's family in this video: a name of its own, because its file is like no other."""
        if not self.letters:
            return "Roboto Black"
        return f"Captions {name} {self.digest(name)[:12]}"

    def digest(self, name: str) -> str:
        """SHA-256 of all that a face's file is made from."""
        from fontTools import version

        inputs = [VERSION, version, self.style.face(name).source, dict(self.letters)[name], self.line]
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()

    def runs(self, text: str) -> Iterator[tuple[str, str]]:
        """Pieces of a text, each with the family that draws it."""
        text = unicodedata.normalize("NFC", text)
        if not self.letters:
            yield self.font, text
            return
        for name, run in self.style.runs(text):
            yield self.family(name), run


PLAIN = Typesetting(LATIN, ())


def typeset(texts: Iterable[str], own: Face | None = None) -> Typesetting:
    """The typesetting of a video whose captions show these texts; `own` is the operator's face."""
    text = _normalize(texts)
    if own is None and _is_plain(text):
        return PLAIN
    style = _choose_style(text, own)
    letters: dict[str, set[str]] = {style.main: {" ", *(RIGHT_TO_LEFT_MARK if style.right_to_left else "")}}
    for word in [*text.split(), BADGE]:
        for name, run in style.runs(word):
            letters.setdefault(name, set()).update(run)
    return Typesetting(style, tuple((name, "".join(sorted(letters[name]))) for name in sorted(letters)))


def find_undrawn(texts: Iterable[str], own: Face | None = None) -> tuple[str, ...]:
    """The visible characters that no face has, each once."""
    text = _normalize(texts)
    if _is_plain(text):
        return ()
    style = _choose_style(text, own)
    return tuple(dict.fromkeys(each for word in text.split() for each in style.undrawn(word)))


def check(script: str, own: Face | None = None) -> tuple[str, ...]:
    """Check that captions can show every letter of a script; return the signs, such as emoji, that are left out.

    Raises UnsupportedScript, which names the writing system, or the letters.
    """
    missing = find_undrawn([script], own)
    letters = [each for each in missing if unicodedata.category(each)[0] in "LN"]
    codes = {scripts.script_of(each) for each in missing} - scripts.FACES_BY_SCRIPT.keys()
    names = ", ".join(sorted(scripts.script_name(code) for code in codes if code))
    shapes = ", ".join(f"{each} (U+{ord(each):04X})" for each in letters[:_MOST_NAMED])
    if names or shapes:
        what = f"in this writing system: {names}" if names else f"with these letters: {shapes}"
        raise UnsupportedScript(f"Captions cannot be drawn {what}. Change the script, or set captions to false.")
    return missing


def _normalize(texts: Iterable[str]) -> str:
    """One text, with letters and accents as one character where there is one."""
    return unicodedata.normalize("NFC", " ".join(texts))


def _is_plain(text: str) -> bool:
    return all(has(FACES["Roboto"], letter) for letter in text if not scripts.is_ignorable(letter))


def _choose_style(text: str, own: Face | None) -> Style:
    code = scripts.main_script(text)
    han = scripts.han_face(text)
    main = han if code == "Hani" else scripts.FACES_BY_SCRIPT.get(code, ("Roboto",))[0]
    letters = [letter for letter in text if letter.isalpha()]
    if own and 2 * sum(has(own, letter) for letter in letters) >= len(letters):
        main = own.name
    return Style(main, han, scripts.is_right_to_left(text), own)


def _clusters(text: str) -> Iterator[str]:
    """The text in pieces that one face must draw: a letter with its marks, or an emoji of several."""
    cluster = ""
    for letter in text:
        if cluster and _continues(cluster, letter):
            cluster += letter
        else:
            if cluster:
                yield cluster
            cluster = letter
    if cluster:
        yield cluster


def _continues(cluster: str, letter: str) -> bool:
    if scripts.is_mark(letter) or _MODIFIERS[0] <= letter <= _MODIFIERS[1] or cluster[-1] == _JOINER:
        return True
    if scripts.is_ignorable(letter):
        return not letter.isspace()
    return len(cluster) == 1 and all(_REGIONS[0] <= each <= _REGIONS[1] for each in (cluster, letter))
