"""The looks of captions: what is drawn of them, by libass, in frames of each shape."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from functions.video.render.caption_design import AREAS, design_for, set_capitals
from functions.video.render.caption_drawing import fit_design, render_ass
from functions.video.render.faces import FACES
from functions.video.values import Aspect, CaptionLook, CaptionPosition, CaptionStyle, Word, frame_size
from layers.core.deadline import Deadline
from layers.media.ffmpeg import run
from tests.unit.video.scripts import speak

FONTS = FACES["Roboto"].path.parent
YELLOW, WHITE = np.array([255, 221, 43]), np.array([255, 255, 255])
WORDS = tuple(replace(word, ends_sentence=word.last == 23) for word in speak("one of many mountains.", pause=0.0))


def draw(
    folder: Path, style: CaptionStyle, at: float, aspect: Aspect = "9:16", words: tuple[Word, ...] = WORDS
) -> np.ndarray:
    """The frame at that second, captions over grey; RGB, shape [height, width, 3]."""
    width, height = frame_size(aspect)
    document = folder / "a.ass"
    document.write_text(render_ass(words, 0, 300, design=design_for(style, width, height)), encoding="utf-8")
    source = f"color=0x606060:s={width}x{height}:d=9,ass=filename={document}:fontsdir={FONTS},format=rgb24"
    path = folder / "a.raw"
    run(
        ["-f", "lavfi", "-i", source, "-ss", f"{at}", "-frames:v", "1", "-f", "rawvideo", str(path)],
        deadline=Deadline.after(60),
    )
    return np.frombuffer(path.read_bytes(), np.uint8).reshape(height, width, 3)


def near(frame: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Which pixels have about that colour: video's range takes a little of it."""
    near: np.ndarray = (np.abs(frame.astype(int) - colour) < 24).all(-1)
    return near


def columns(mask: np.ndarray) -> tuple[int, int]:
    lit = np.flatnonzero(mask.any(0))
    return int(lit.min()), int(lit.max())


def middle(word: Word) -> float:
    return (word.start + word.end) / 2


@pytest.mark.parametrize("aspect", list(AREAS))
@pytest.mark.parametrize(("look", "position"), [("boxed", "bottom"), ("word", "bottom"), ("boxed", "top")])
def test_the_widest_line_of_every_look_is_in_the_area_that_apps_leave_free(
    aspect: Aspect, look: CaptionLook, position: CaptionPosition, tmp_path: Path
) -> None:
    style = CaptionStyle(look=look, position=position, capitals=True)
    words = speak("ILLUMINATIONS MAKE MMMMMM WWWWWW OVER MOUNTAINS")
    frame = draw(tmp_path, style, middle(words[0]), aspect, words)

    changed = (np.abs(frame.astype(int) - frame[0, 0]) > 24).any(-1)
    lines, area = np.flatnonzero(changed.any(1)), AREAS[aspect]
    assert area.left - 16 <= columns(changed)[0]
    assert columns(changed)[1] <= area.right + 16
    upper, lower = {"9:16": (0.13, 0.8), "1:1": (0.05, 0.95), "16:9": (0.05, 0.9)}[aspect]
    assert upper * area.height <= lines.min()
    assert lines.max() <= lower * area.height


def test_a_box_is_behind_the_spoken_word_alone(tmp_path: Path) -> None:
    boxes = [columns(near(draw(tmp_path, CaptionStyle("boxed"), middle(word)), YELLOW)) for word in WORDS[:3]]

    assert all(before[1] < after[1] for before, after in pairwise(boxes[:2]))
    assert all(right - left < 300 for left, right in boxes)
    frame = draw(tmp_path, CaptionStyle("boxed", accent="800000"), middle(WORDS[0]))
    box = columns(near(frame, np.array([128, 0, 0])))
    assert near(frame, WHITE)[:, box[0] : box[1]].any(), "white letters on a dark box"


def test_karaoke_fills_a_line_from_its_start_while_it_is_sung(tmp_path: Path) -> None:
    style = CaptionStyle("karaoke")
    word = WORDS[-1]
    widths = []
    for at in (word.start + 0.1, middle(word), word.end - 0.05):
        frame = draw(tmp_path, style, at)
        widths.append(int(near(frame, YELLOW).sum()))
    assert widths[0] < 0.8 * widths[1]
    assert widths[1] < 0.9 * widths[2]
    first = draw(tmp_path, style, middle(WORDS[0]))
    assert near(first, WHITE).sum() > near(first, YELLOW).sum() > 0


def test_a_word_is_alone_and_larger(tmp_path: Path) -> None:
    alone = near(draw(tmp_path, CaptionStyle("word"), middle(WORDS[0])), WHITE)
    whole = near(draw(tmp_path, CaptionStyle("plain"), middle(WORDS[0])), WHITE)

    assert columns(alone)[1] - columns(alone)[0] < 0.6 * (columns(whole)[1] - columns(whole)[0])
    assert np.ptp(np.flatnonzero(alone.any(1))) < np.ptp(np.flatnonzero(whole.any(1)))


def test_plain_captions_stay_as_they_are_while_they_are_spoken(tmp_path: Path) -> None:
    document = render_ass(WORDS, 0, 300, design=design_for(CaptionStyle("plain"), 720, 1280))

    assert document.count("Dialogue:") == 1
    assert "DDFF" not in document


def test_colours_and_capitals_are_the_requests(tmp_path: Path) -> None:
    style = CaptionStyle(colour="00FF00", accent="FF0000", capitals=True)
    frame = draw(tmp_path, style, middle(WORDS[1]))

    assert near(frame, np.array([0, 255, 0])).any()
    assert near(frame, np.array([255, 0, 0])).any()
    assert not near(frame, WHITE).any()
    assert [word.text for word in fit_design(WORDS, design_for(style, 720, 720))] == ["ONE", "OF", "MANY", "MOUNTAINS."]


def test_capitals_are_those_that_typefaces_have() -> None:
    assert set_capitals("stra\u00dfe \u10d0\u10d1 \u03b1") == "STRASSE \u10d0\u10d1 \u0391"


def test_a_larger_resolution_has_the_same_captions() -> None:
    small, large = design_for(CaptionStyle(), 720, 1280), design_for(CaptionStyle(), 1080, 1920)

    assert render_ass(WORDS, 0, 90, design=small) == render_ass(WORDS, 0, 90, design=large)
