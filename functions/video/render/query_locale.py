"""The language that a search phrase is in, for services that look for words of one language at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

VERSION = 1  # raise it with code below that takes a phrase for another language's
LEAST_SHARE = 0.1  # of a text's words that are a language's most frequent ones
LEAST_WORDS = 2  # different ones of them

# Letters of one language's script, or that most texts with them are in; the first that fits counts.
_SCRIPTS: tuple[tuple[str, str], ...] = (
    ("ja-JP", "\u3040-\u30ff"),
    ("ko-KR", "\u1100-\u11ff\uac00-\ud7af"),
    ("th-TH", "\u0e00-\u0e7f"),
    ("zh-CN", "\u3400-\u9fff"),
    ("el-GR", "\u0370-\u03ff"),
    ("uk-UA", "\u0404\u0406\u0407\u0454\u0456\u0457\u0490\u0491"),
    ("ru-RU", "\u0400-\u04ff"),
)
_LATIN_LETTERS: tuple[tuple[str, str], ...] = (
    ("vi-VN", "\u0111\u01a1\u01b0\u1ea0-\u1ef9"),
    ("pl-PL", "\u0105\u0119\u0142\u0144\u015b\u017a\u017c"),
    ("tr-TR", "\u011f\u0131\u015f"),
    ("hu-HU", "\u0151\u0171"),
    ("ro-RO", "\u0103\u0219\u021b\u0163"),
    ("cs-CZ", "\u011b\u0159\u016f"),
    ("sk-SK", "\u013a\u013e\u0155\u010f\u0165\u0148"),
    ("pt-BR", "\u00e3\u00f5"),
    ("es-ES", "\u00f1\u00bf\u00a1"),
    ("de-DE", "\u00df\u00fc"),
    ("da-DK", "\u00f8\u00e6"),
    ("sv-SE", "\u00e5"),
    ("fr-FR", "\u00e8\u00ea\u00e7\u0153\u00ee\u00fb"),
    ("de-DE", "\u00e4\u00f6"),
)
_FREQUENT_WORDS: Mapping[str, str] = {
    "en-US": "the a an of and in on at to is it with for by from over under this that you your are was",
    "de-DE": "der die das den dem des ein eine einen im am auf mit und von zu zum zur ist nicht es wir sie ich bei",
    "fr-FR": "le la les un une des du de sur dans et au aux avec pour par est pas que qui nous vous sous en",
    "es-ES": "el la los las un una de del en con y por para al es no que se su lo m\u00e1s",
    "it-IT": "il lo la gli un una di del della nel con e per al \u00e8 non che si sul sono da",
    "pt-BR": "o os as um uma de do da em no na com e para ao \u00e9 n\u00e3o que se sob",
    "nl-NL": "de het een van in op met en te is niet dat voor aan bij onder zee",
    "sv-SE": "den det en ett och i p\u00e5 med av \u00e4r inte som f\u00f6r till vid",
    "da-DK": "den det en et og i p\u00e5 med af er ikke som til ved fra",
    "nb-NO": "den det en et og i p\u00e5 med av er ikke som til ved fra",
    "fi-FI": "ja on ei se ett\u00e4 oli h\u00e4n my\u00f6s mutta kun",
    "pl-PL": "i w na z do nie jest si\u0119 to od za po przez",
    "tr-TR": "ve bir bu i\u00e7in ile \u00e7ok da de ne gibi daha",
    "id-ID": "dan yang di dari untuk dengan ini itu tidak ke pada",
    "hu-HU": "a az \u00e9s egy nem hogy van is meg",
    "ro-RO": "\u0219i \u00een de la cu pe un o nu este din",
    "ca-ES": "el la els les un una de del i amb en per no que \u00e9s",
}


@cache
def _frequent_words() -> dict[str, frozenset[str]]:
    return {locale: frozenset(words.split()) for locale, words in _FREQUENT_WORDS.items()}


def guess_locale(text: str) -> str | None:
    """The language and country of a text, such as de-DE; None where it is English, or cannot be told."""
    text = text.lower()
    if locale := _by_letters(text, _SCRIPTS):
        return locale
    words = re.findall(r"[^\W\d_]+", text)
    scores = {
        locale: (len(frequent.intersection(words)), sum(word in frequent for word in words))
        for locale, frequent in _frequent_words().items()
    }
    first, second = sorted(scores, key=lambda locale: scores[locale], reverse=True)[:2]
    different, count = scores[first]
    if different >= LEAST_WORDS and count >= LEAST_SHARE * len(words) and scores[first] > scores[second]:
        return first if first != "en-US" else None
    # In English, a word with such a letter is a foreign one: the facade of a house.
    return None if scores["en-US"][0] else _by_letters(text, _LATIN_LETTERS)


def _by_letters(text: str, languages: Sequence[tuple[str, str]]) -> str | None:
    return next((locale for locale, letters in languages if re.search(f"[{letters}]", text)), None)
