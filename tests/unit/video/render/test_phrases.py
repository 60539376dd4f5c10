"""Text without blanks, cut where a reader would cut it."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.video.render.phrases import split_phrases


def phrases(text: str) -> list[str]:
    return [text[first:last] for first, last in split_phrases(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("「海は山よりも古いです。」昔の話。", ["「海は", "山よりも", "古いです。」", "昔の話。"]),
        ("3.5キロの荷物は1,000円です。", ["3.5キロの", "荷物は", "1,000円です。"]),
        ("今日は天気です。", ["今日は", "天気です。"]),
        ("海洋覆盖了地球表面的百分之七十以上。", ["海洋", "覆盖了", "地球", "表面的", "百分之七十", "以上。"]),
        ("我们从2020年开始用iPhone。", ["我们从", "2020年", "开始用", "iPhone。"]),
        ("他說\uff1a「海洋很大\uff01」真的嗎\uff1f", ["他說\uff1a", "「海洋很大\uff01」", "真的嗎\uff1f"]),
        ("และไม่เคยหยุดนิ่ง", ["และ", "ไม่", "เคย", "หยุด", "นิ่ง"]),
        ("មហា\u200bសមុទ្រ", ["មហា\u200b", "សមុទ្រ"]),
    ],
)
def test_phrases_are_a_reader_s(text: str, expected: list[str]) -> None:
    assert phrases(text) == expected


def test_no_phrase_is_too_wide_for_a_line() -> None:
    pieces = phrases("コンピューティングサービス東京都特許許可局長今日急遽休暇許可拒否")

    assert max(map(len, pieces)) <= 8
    assert len(pieces) <= 8


@pytest.mark.parametrize("text", ["ສະເໝີໜ້າກັນໃນທາງກຽດຕິສັກ", "សេចក្ដីថ្លៃថ្នូរនិងសិទ្ធិ", "ဂုဏ်သိက္ခာဖြင့်လည်းကောင်း"])
def test_where_no_model_knows_words_syllables_stay_whole(text: str) -> None:
    for piece in phrases(text):
        assert piece[0] not in "\u0eb0\u0eb2\u0eb3\u17d2\u17c1\u102d\u103a\u1039"
        assert piece[-1] not in "\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4\u17d2\u1039"


LETTERS = "海山はっーの、。「」3.5%aIเแกม่ไะາເກက်္ខ្មិ\u200b\u200d한\uff01(あ"


@settings(deadline=None)  # the first of a language loads its model
@given(st.text(st.sampled_from(LETTERS), min_size=1, max_size=24))
def test_phrases_are_all_of_the_text_and_obey_the_rules_of_lines(text: str) -> None:
    pieces = phrases(text)

    assert "".join(pieces) == text
    for before, after in pairwise(pieces):
        if before[-1] == "\u200b":
            continue
        assert before[-1] not in "「(เแไເ\u200d"
        assert after[0] not in "っー、。」%ะາ.်္่ិ"
