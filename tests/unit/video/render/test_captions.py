"""Captions as text; how they look in a picture is in test_clip.py."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.video.render.captions import fonts, lay_out_pages, render_ass, render_srt, render_vtt
from functions.video.values import FPS, Word
from layers.core.deadline import Deadline
from layers.media.ffmpeg import run
from tests.unit.video.scripts import SCRIPT, speak

WORDS = speak(SCRIPT)
EVENT = re.compile(r"Dialogue: 0,(\d):(\d\d):(\d\d\.\d\d),(\d):(\d\d):(\d\d\.\d\d),Words,,0,0,0,,(.*)")
HIGHLIGHT = re.compile(r"\{\\1c&H2BDDFF&\}(.*?)\{\\1c&HFFFFFF&\}")


def events(document: str) -> list[tuple[float, float, str]]:
    """Start and end in seconds, and the text with its tags."""
    matches = [EVENT.fullmatch(line) for line in document.splitlines() if line.startswith("Dialogue")]
    assert all(matches)
    return [
        (int(e[1]) * 3600 + int(e[2]) * 60 + float(e[3]), int(e[4]) * 3600 + int(e[5]) * 60 + float(e[6]), e[7])
        for e in matches
        if e
    ]


def visible_text(text: str) -> str:
    return re.sub(r"\{\\[^}]*\}", "", text).replace(r"\N", "\n")


def test_every_word_is_highlighted_once_from_its_start_to_the_next_one() -> None:
    pages_or_events = events(render_ass(WORDS, 0, 10_000))
    assert [HIGHLIGHT.findall(text) for _, _, text in pages_or_events] == [[word.text] for word in WORDS]
    for (start, end, _), word in zip(pages_or_events, WORDS, strict=True):
        assert start == pytest.approx(word.start, abs=0.006)
        assert end >= word.end - 0.006
    assert all(end <= following for (_, end, _), (following, _, _) in pairwise(pages_or_events))


def test_a_page_is_a_few_words_on_two_lines_at_most() -> None:
    pages_or_events = lay_out_pages(WORDS)
    assert [word for page in pages_or_events for line in page.lines for word in line] == list(WORDS)
    for page in pages_or_events:
        assert 1 <= len(page.lines) <= 2
        assert all(len(" ".join(word.text for word in line)) <= 22 for line in page.lines)
        assert not any(word.ends_sentence for word in [w for line in page.lines for w in line][:-1])
    assert sum(len(line) for page in pages_or_events for line in page.lines) / len(pages_or_events) >= 3


def test_the_pages_of_a_sentence_are_about_equally_full() -> None:
    pages_or_events = lay_out_pages(speak("one two three four five six seven eight nine ten eleven twelve"))
    counts = [sum(len(line) for line in page.lines) for page in pages_or_events]
    assert min(counts) >= 2


def test_a_page_goes_when_the_voice_pauses_and_stays_when_it_does_not() -> None:
    words = (
        Word("One.", 0.0, 0.5, 0, 4, True),
        Word("Two.", 0.8, 1.2, 5, 9, True),
        Word("Three.", 3.0, 3.4, 10, 16, True),
    )
    one, two, three = lay_out_pages(words)
    assert one.end == 0.8
    assert 1.2 < two.end < 1.8
    assert 3.4 < three.end < 4.0


def test_a_word_that_crosses_a_cut_is_on_both_sides() -> None:
    crossing = WORDS[5]
    cut = round((crossing.start + crossing.end) / 2 * FPS)
    before = events(render_ass(WORDS, 0, cut))
    after = events(render_ass(WORDS, cut, 300))
    assert HIGHLIGHT.findall(before[-1][2]) == HIGHLIGHT.findall(after[0][2]) == [crossing.text]
    assert before[-1][1] == pytest.approx(cut / FPS, abs=0.006)
    assert after[0][0] == 0.0
    assert after[0][1] == pytest.approx(WORDS[6].start - cut / FPS, abs=0.006)
    # The page is there already: it does not come in a second time.
    assert r"\t(" not in after[0][2]
    assert r"\t(" in before[0][2]


def test_a_clip_after_the_last_word_has_no_captions() -> None:
    assert events(render_ass(WORDS, 100_000, 90)) == []


def test_long_words_are_set_smaller() -> None:
    (only,) = events(render_ass(speak("Rindfleischetikettierungsüberwachung"), 0, 300))
    size = re.search(r"\\fs(\d+)", only[2])
    assert size is not None
    assert 20 <= int(size[1]) < 60


def test_words_of_a_script_without_blanks_are_joined() -> None:
    words = tuple(Word(text, i * 0.4, i * 0.4 + 0.4, i * 2, i * 2 + 2, i == 5) for i, text in enumerate(["漢字"] * 6))
    pages_or_events = events(render_ass(words, 0, 300))
    assert all(" " not in visible_text(text) for _, _, text in pages_or_events)
    assert "漢字漢字" in render_srt(words)


hostile = st.text(alphabet=st.sampled_from("{}\\Nnh\n\r\t a1b&<>,:-\u2028\x1b\0|漢é\u0301"), min_size=1, max_size=12)


@given(st.lists(hostile.filter(lambda text: text.strip() != ""), min_size=1, max_size=8))
def test_no_text_becomes_a_tag_a_line_or_an_event(texts: list[str]) -> None:
    words = tuple(Word(text, i * 0.5, i * 0.5 + 0.5, i * 20, i * 20 + len(text)) for i, text in enumerate(texts))
    document = render_ass(words, 0, 10_000)
    head, _, body = document.partition("[Events]\n")
    assert head == render_ass((), 0, 1).partition("[Events]\n")[0]
    assert len(body.splitlines()) == 1 + len(words)
    for _, _, text in events(document):
        ours = re.sub(r"\{\\an5\\pos[^}]*\}|\{\\1c&H(?:2BDDFF|FFFFFF)&\}", "", text)
        # What is left of the words' own: braces are escaped, backslashes disarmed, and only ours break the line.
        assert not re.search(r"(?<!\\)[{}]", ours)
        assert ours.count(r"\N") <= 1
        assert not re.search(r"\\(?![{}N\u2060])", ours)
    for document in (render_srt(words), render_vtt(words)):
        assert document.count(" --> ") == len(lay_out_pages(words, 20.0))
    assert "<" not in render_vtt(words)


def test_files_of_captions_are_read_by_ffmpeg_as_they_were_written(tmp_path: Path) -> None:
    for name, document in (("a.srt", render_srt(WORDS)), ("a.vtt", render_vtt(WORDS))):
        (tmp_path / name).write_text(document, encoding="utf-8")
        again = tmp_path / f"{name}.again.srt"
        run(["-i", str(tmp_path / name), str(again)], deadline=Deadline.after(600))
        text = " ".join(line for line in again.read_text().splitlines() if re.search("[a-z]", line))
        assert text == SCRIPT
        first, last = (re.findall(r"(\S+) --> (\S+)", again.read_text())[i] for i in (0, -1))
        assert first[0] == "00:00:00,100"
        assert last[1] >= f"00:00:{WORDS[-1].end:06.3f}".replace(".", ",")


def test_hours_are_counted() -> None:
    late = replace(WORDS[0], start=3_661.5, end=3_662.0)
    assert "01:01:01,500 --> 01:01:02,350" in render_srt([late])
    assert "01:01:01.500 --> 01:01:02.350" in render_vtt([late])
    assert events(render_ass([late], 0, 4_000 * FPS))[0][0] == 3_661.5


def test_nothing_said_is_an_empty_file() -> None:
    assert render_srt(()) == ""
    assert render_vtt(()) == "WEBVTT\n"


def test_the_typeface_is_there() -> None:
    assert (fonts() / "Roboto-Black.ttf").stat().st_size > 100_000
