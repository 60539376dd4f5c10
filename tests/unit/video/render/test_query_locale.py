"""Which language a search phrase is in."""

from __future__ import annotations

import pytest

from functions.video.render.query_locale import guess_locale


@pytest.mark.parametrize(
    ("text", "locale"),
    [
        ("\u6d77\u6d0b", "zh-CN"),
        ("\u30ab\u30e2\u30e1", "ja-JP"),
        ("\ubc14\ub2e4", "ko-KR"),
        ("\u043c\u043e\u0440\u0435", "ru-RU"),
        ("\u043c\u0456\u0441\u0442\u043e", "uk-UA"),
        ("\u03b8\u03ac\u03bb\u03b1\u03c3\u03c3\u03b1", "el-GR"),
        ("\u0e17\u0e30\u0e40\u0e25", "th-TH"),
        ("Stra\u00dfe", "de-DE"),
        ("\u00fcber den Wolken und dem Meer", "de-DE"),
        ("chat sur la plage", "fr-FR"),
        ("gato en la playa y el mar", "es-ES"),
        ("g\u00fcn bat\u0131m\u0131", "tr-TR"),
        ("zee en strand van de kust", "nl-NL"),
    ],
)
def test_letters_and_frequent_words_tell_a_language(text: str, locale: str) -> None:
    assert guess_locale(text) == locale


@pytest.mark.parametrize(
    "text",
    [
        "calm sea",
        "waves at the beach",
        "the fa\u00e7ade of a house",
        "La La Land",
        "de facto leader",
        "Meer",
        "",
        "123",
    ],
)
def test_english_and_what_could_be_any_language_is_left_to_the_service(text: str) -> None:
    assert guess_locale(text) is None
