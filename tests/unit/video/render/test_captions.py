"""Captions as text; how they look in a picture is in test_clip.py."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.video.render.caption_drawing import render_ass
from functions.video.render.captions import lay_out_pages, render_srt, render_vtt
from functions.video.render.faces import FACES
from functions.video.values import FPS, Word
from layers.core.deadline import Deadline
from layers.media.ffmpeg import run
from tests.unit.video.scripts import SCRIPT, speak

FONTS = FACES["Roboto"].path.parent
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


def sizes(document: str) -> list[int]:
    """The size in pixels of each event's letters."""
    return [int(size[1]) if (size := re.search(r"\\fs(\d+)", text)) else 92 for _, _, text in events(document)]


def test_a_word_that_is_a_little_too_long_is_set_smaller() -> None:
    document = render_ass(speak("Donaudampfschifffahrt"), 0, 300)
    assert len(events(document)) == 1
    assert 55 <= sizes(document)[0] < 92


LONG = "Das Rindfleischetikettierungs\u00fcberwachungsaufgaben\u00fcbertragungsgesetz gilt nicht mehr."
URL = (
    "https://www.example.com/blog/2024/05/how-to-make-short-videos-with-stock-footage-and-captions"
    "?utm_source=newsletter&utm_campaign=may"
)


def test_a_very_long_word_is_broken_over_lines_and_stays_readable() -> None:
    words = speak(LONG)
    document = render_ass(words, 0, 900)

    assert min(sizes(document)) >= 55
    lines = [line for _, _, text in events(document) for line in visible_text(text).split("\n")]
    assert max(map(len, lines)) <= 20
    assert all(start < end for start, end, _ in events(document))
    # As many parts as lines, one after another, each in its share of the word's time.
    shown = [HIGHLIGHT.findall(text)[0] for _, _, text in events(document)]
    assert "".join(part.removesuffix("-") for part in shown[1:-3]) == LONG.split()[1]
    assert "Rindfleisch" in render_srt(words)
    assert max(len(line) for line in render_srt(words).splitlines()) <= 40


@pytest.mark.parametrize("url", [URL, URL.replace("https://www.", "www."), URL.replace("https://www.", "")])
def test_a_long_address_is_shown_as_its_host(url: str) -> None:
    words = speak(f"Go to {url}, today.")
    for document in (render_srt(words), render_vtt(words)):
        assert "example.com, today." in document
        assert "utm" not in document
    shown = [HIGHLIGHT.findall(text)[0] for _, _, text in events(render_ass(words, 0, 900))]
    assert shown == ["Go", "to", "example.com,", "today."]
    assert min(sizes(render_ass(words, 0, 900))) >= 55


def test_a_long_host_is_broken_without_a_hyphen() -> None:
    host = "a-very-long-name-of-a-host.with-many-parts.and-more-of-them.example.org"
    words = speak(f"https://{host}/x?y")
    assert "".join(HIGHLIGHT.findall(text)[0] for _, _, text in events(render_ass(words, 0, 900))) == host


def test_writing_systems_without_hyphens_are_broken_without_one() -> None:
    word = Word("\u6d77" * 30, 0.0, 3.0, 0, 30)
    parts = [part.text for page in lay_out_pages([word]) for line in page.lines for part in line]
    assert len(parts) > 2
    assert "".join(parts) == word.text


def test_a_long_word_is_not_broken_before_its_accents() -> None:
    words = speak("e\u0301" * 60)
    for page in lay_out_pages(words):
        assert not any(word.text.startswith("\u0301") for line in page.lines for word in line)


@pytest.mark.parametrize(
    ("text", "together"),
    [
        ("J. R. R. Tolkien wrote it.", ["J. R. R. Tolkien"]),
        ("The U.S. Army met at 5 p.m. Eastern.", ["U.S. Army", "p.m. Eastern"]),
        (
            "Many people believe what Mr. Montgomery said about Dr. Frankenstein.",
            ["Mr. Montgomery", "Dr. Frankenstein"],
        ),
        ("Seit vielen Jahren feiern wir am 29. Juli zusammen.", ["29. Juli"]),
    ],
)
def test_initials_and_abbreviations_stay_with_what_follows(text: str, together: list[str]) -> None:
    words = tuple(replace(word, ends_sentence=word.last == len(text)) for word in speak(text, pause=0.0))
    pages = [" ".join(word.text for line in page.lines for word in line) for page in lay_out_pages(words)]
    for phrase in together:
        assert any(phrase in page for page in pages), pages


def test_pages_end_with_the_scene_in_which_their_words_are_spoken() -> None:
    """A cut at the end of a sentence, one between two words, and the end of the video right after the last word."""
    sentence = next(word for word in WORDS if word.ends_sentence)
    middle = WORDS[WORDS.index(sentence) + 3]
    cuts = [round(sentence.end * FPS) / FPS, round(middle.end * FPS) / FPS, round(WORDS[-1].end * FPS) / FPS]

    pages = lay_out_pages(WORDS, scene_ends=cuts)

    for page in pages:
        assert page.start < page.end <= cuts[-1]
        last = page.lines[-1][-1]
        assert not any(last.end + 1 / FPS < cut < page.end for cut in cuts)
        assert not any(page.start < cut < page.lines[0][0].start for cut in cuts)
    assert any(page.end == cuts[0] for page in pages)
    assert any(page.end == cuts[1] for page in pages)
    begin = round(cuts[0] * FPS)
    first, *_ = events(render_ass(WORDS, begin, 60, scene_ends=cuts))
    assert HIGHLIGHT.findall(first[2]) == [WORDS[WORDS.index(sentence) + 1].text]


@given(st.lists(st.floats(0.06, 2.0), min_size=1, max_size=12), st.lists(st.floats(0.0, 1.0), max_size=4))
@settings(max_examples=100, deadline=None)
def test_every_cue_has_a_length_and_ends_before_the_video(lengths: list[float], parts: list[float]) -> None:
    """Words without gaps, and cuts anywhere."""
    starts = [sum(lengths[:at]) for at in range(len(lengths) + 1)]
    words = tuple(Word(f"word{at}", start, end, at * 9, at * 9 + 5) for at, (start, end) in enumerate(pairwise(starts)))
    frames = math.ceil(round(starts[-1] * FPS, 6))
    cuts = [*sorted(round(part * frames) / FPS for part in parts), frames / FPS]

    pages = lay_out_pages(words, scene_ends=cuts)

    assert [word for page in pages for line in page.lines for word in line] == list(words)
    assert all(page.end - page.start >= 0.01 for page in pages)
    assert all(before.end <= after.start for before, after in pairwise(pages))
    assert pages[-1].end <= frames / FPS


def test_lines_keep_clear_of_the_buttons_that_apps_draw_on_the_right(tmp_path: Path) -> None:
    """The pixels of the widest lines of each kind of letters, drawn by libass."""
    texts = (
        "Woman makes memes",
        "ILLUMINATION",
        "one two three four five six",
        "10,000,000 mm",
        "Go to www.example.com",
    )
    for text in texts:
        words = tuple(replace(word, ends_sentence=False) for word in speak(text, pause=0.0))
        (tmp_path / "a.ass").write_text(render_ass(words, 0, 90), encoding="utf-8")
        source = f"color=black:s=720x1280:d=1,ass=filename={tmp_path / 'a.ass'}:fontsdir={FONTS},format=gray"
        path = tmp_path / "a.raw"
        run(
            ["-f", "lavfi", "-i", source, "-ss", "0.5", "-frames:v", "1", "-f", "rawvideo", str(path)],
            deadline=Deadline.after(60),
        )
        columns = np.frombuffer(path.read_bytes(), np.uint8).reshape(1280, 720).max(0)
        lit = np.flatnonzero(columns > 32)
        assert lit.size
        assert lit.min() >= 40
        assert lit.max() <= 620, text


def test_words_of_a_script_without_blanks_are_joined() -> None:
    words = tuple(Word(text, i * 0.4, i * 0.4 + 0.4, i * 2, i * 2 + 2, i == 5) for i, text in enumerate(["漢字"] * 6))
    pages_or_events = events(render_ass(words, 0, 300))
    assert all(" " not in visible_text(text) for _, _, text in pages_or_events)
    assert "漢字漢字" in render_srt(words)


hostile = st.text(alphabet=st.sampled_from("{}\\Nnh\n\r\t a1b&<>,:-\u2028\x1b\0|漢é\u0301"), min_size=1, max_size=12)


@settings(deadline=None)  # the first letter that is not ASCII imports tables
@given(st.lists(hostile.filter(lambda text: text.strip() != ""), min_size=1, max_size=8))
@example(["\x1b"])
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
        assert len(re.findall(r"^[\d:,.]{12} --> ", document, re.MULTILINE)) == len(lay_out_pages(words, 20.0))
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
