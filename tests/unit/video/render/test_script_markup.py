"""What of a script is spoken and shown, and what is only markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.video.render.script_markup import has_words, mask_pauses, speech_text


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("**Stop!** It is *very* late, __really__ _late_.", "Stop! It is very late, really late."),
        ("# A headline\nAnd a text", "A headline\n\nAnd a text"),
        ("- milk\n- eggs\n1. first", "milk\neggs\n1. first"),
        ("> Quoted, with `code` and [a link](https://a.example/b).", "Quoted, with code and a link."),
        ("![a picture](https://a.example/b.png)Look.", "Look."),
        ("One.\n---\nTwo.", "One.\n\nTwo."),
        ("```python\nx\n```", "\nx\n"),
        ("~~No~~ yes.", "No yes."),
    ],
)
def test_marks_of_markdown_are_not_spoken(script: str, text: str) -> None:
    assert speech_text(script, pauses=False) == text


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("<speak>Go <emphasis level='strong'>now</emphasis>.</speak>", "Go now."),
        ('<prosody rate="90%">Slowly</prosody>, <say-as interpret-as="date">today</say-as>.', "Slowly, today."),
        ("<p>One</p><p>Two</p>", "\n\nOne\n\n\n\nTwo\n\n"),
        ("A<!-- a note -->B &amp; C &lt;3", "AB & C <3"),
        ("See <https://a.example/b>.", "See https://a.example/b."),
    ],
)
def test_tags_are_not_spoken(script: str, text: str) -> None:
    assert speech_text(script, pauses=True) == text


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4 = 24",
        "snake_case_name",
        "1 < 2 and 3 > 2",
        "I <3 you",
        "a <b and c> d",
        "#1 in May",
        "So - no.",
        "AT&T",
    ],
)
def test_what_only_looks_like_markup_is_spoken(text: str) -> None:
    assert speech_text(text, pauses=True) == text


@pytest.mark.parametrize(
    ("tag", "pause"),
    [
        ('<break time="1.5s" />', "1.5s"),
        ("<break time='1500ms'/>", "1.5s"),
        ('<break time="60s"/>', "3s"),
        ('<break strength="strong"/>', "1s"),
        ("<break/>", "0.5s"),
    ],
)
def test_a_break_stays_for_a_service_that_obeys_it(tag: str, pause: str) -> None:
    script = f"Wait for it.{tag}Here it comes."

    assert speech_text(script, pauses=True) == f'Wait for it. <break time="{pause}" /> Here it comes.'
    assert speech_text(script, pauses=False) == "Wait for it. Here it comes."


def test_a_break_before_the_first_word_or_after_the_last_is_left_out() -> None:
    assert speech_text('<break time="1s" /> Go. <break time="1s" />', pauses=True) == "Go."


def test_where_a_break_was_a_paragraph_ends() -> None:
    text = speech_text('Wait <break time="1s" /> here', pauses=True)

    masked = mask_pauses(text)

    assert len(masked) == len(text)
    assert masked.split() == ["Wait", "here"]
    assert "\n\n" in masked


def test_characters_that_nobody_sees_are_left_out() -> None:
    assert speech_text("\ufeffSo\u00adft\u2060 hy\u200bphen\u202e.\u2028Line", pauses=True) == "Soft hyphen.\nLine"


@pytest.mark.parametrize(
    "text", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0e44\u0e17\u0e22\u200b\u0e14\u0e35"]
)
def test_joiners_and_word_ends_of_scripts_that_need_them_stay(text: str) -> None:
    assert speech_text(text, pauses=True) == text


@pytest.mark.parametrize(
    "script", ["\u00a0\u200b\u2060", "... \u2014 !?", '<break time="1s" />', "***", "\u3002", "<b></b>"]
)
def test_blanks_punctuation_and_markup_are_no_words(script: str) -> None:
    assert not has_words(script)


@pytest.mark.parametrize("script", ["a", "7", "\u6d77", "\u0e01", "**b**"])
def test_a_letter_or_a_digit_is_a_word(script: str) -> None:
    assert has_words(script)


@given(st.text(alphabet=st.sampled_from('<>/ ab="1s*_`#[]()!-\n&;~'), max_size=60))
def test_a_mask_has_the_length_of_its_text(script: str) -> None:
    text = speech_text(script, pauses=True)
    assert len(mask_pauses(text)) == len(text)
