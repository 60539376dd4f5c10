"""Where sentences and clauses end, and which words belong to the next one although they end with a full stop."""

from __future__ import annotations

import re

from functions.video.render.scripts import spell_marks

_CLOSING = r"[\"'\u201d\u2019\u00bb)\]\u300d\u300f]*"
_PARAGRAPH = re.compile(r"[^\S\n]*\n[^\S\n]*\n")
_SENTENCE_END = re.compile(rf"[.!?\u2026\u3002\uff01\uff1f\u061f\u0964]{_CLOSING}$")
_CLAUSE_END = re.compile(r"[,;:\u2013\u2014\u3001\uff0c\uff1b\uff1a\u060c][\"'\u201d\u2019\u00bb)\]]*$")
_LOOK_BACK = 40  # characters before a place that show whether a sentence or a clause ends there

# Before whatever follows. One letter is an initial or half of an abbreviation (z. B., p. ej.); letters with a full stop
# after each are U.S., p.m., e.g. and their like.
_INITIAL = re.compile(r"(?:^|[^\w.])[^\W\d_]\.\Z")
_DOTTED = re.compile(r"(?:^|[^\w.])(?:[^\W\d_]{1,2}\.){2,5}\Z")
_TITLES = (
    "Mr Mrs Ms Messrs Mx Dr Drs Prof St Ste Mt Ft Sr Sra Srta Jr Gen Col Sgt Lt Capt Cmdr Maj Adm Rev Hon Gov Sen Rep "
    "Supt Inc Ltd Co Corp Bros Univ Dept Ave Blvd Rd Hr Fr Frl Mag Dipl Ing Mme Mlle Mgr Sig Dott Avv Dhr Mevr Ud Uds "
    "EE UU Ph Mio Mrd Jan Feb Febr Apr Jun Jul Aug Sep Sept Oct Okt Nov Dec Dez"
)
_SHORT_FORMS = (
    "vs cf ca approx est incl excl resp bzw evtl ggf inkl exkl vgl sog geb gest zzgl abzgl ugs mio mrd str ej ex env "
    "av bijv mevr dhr mme mlle tzv np"
)
_ABBREVIATION = re.compile(rf"(?:^|[^\w.])(?:{'|'.join((*_TITLES.split(), *_SHORT_FORMS.split()))})\.\Z")
# Before a number only: Did he come? No. He was late.
_COUNTED = "no nos nr num n\u00fam fig figs vol ch chap sec art eq pp pg p\u00e1g abb bd kap tel ext mar mai op ep lev"
_BEFORE_NUMBER = re.compile(rf"(?:^|[^\w.])(?:{'|'.join(_COUNTED.split())})\.\Z", re.IGNORECASE)

_LIST_NUMBER = re.compile(rf"(?:^|[\n.!?\u2026:]{_CLOSING}\s+|\n\s*)\(?(?:\d{{1,3}}|[a-zA-Z])[.)]\Z")
_ORDINAL = re.compile(r"(?:^|[^\w.,])\d{1,3}\.\Z")
# German writes ordinals with a full stop: before months, and after articles and prepositions.
_MONTHS = re.compile(
    r"(?:Januar|J\u00e4nner|Februar|M\u00e4rz|April|Mai|Juni|Juli|August|September|Oktober|November|Dezember)\b"
)
_BEFORE_ORDINAL = re.compile(
    r"\b(?:der|die|das|dem|den|des|am|im|vom|zum|zur|beim|ab|bis|seit|ein|eine|einen|einem|jede[rnsm]?|sein|seine[rnsm]?"
    r"|ihr|ihre[rnsm]?|mein|meine[rnsm]?|unser|unsere[rnsm]?|und|bis zum)\s+\d{1,3}\.\Z",
    re.IGNORECASE,
)


def ends_sentence(text: str, at: int) -> bool:
    """Whether a sentence ends before this character."""
    if _PARAGRAPH.match(text, at):
        return True
    before = text[max(0, at - _LOOK_BACK) : at]
    following = text[at:].lstrip()
    if not _SENTENCE_END.search(before) or following[:1].islower():
        return False
    return not following or not (before.endswith(".") and _goes_on(before, following))


def ends_clause(text: str, at: int) -> bool:
    """Whether a part of a sentence ends before this character."""
    return bool(_CLAUSE_END.search(text, max(0, at - _LOOK_BACK), at))


def _goes_on(before: str, following: str) -> bool:
    """Whether the full stop at the end of `before` belongs to an abbreviation or a number, so that its sentence goes on
    with `following`."""
    before = spell_marks(before)
    if any(pattern.search(before) for pattern in (_INITIAL, _DOTTED, _ABBREVIATION, _LIST_NUMBER)):
        return True
    if following[:1].isdigit() and (_BEFORE_NUMBER.search(before) or _ORDINAL.search(before)):
        return True
    return bool(_ORDINAL.search(before)) and bool(_MONTHS.match(following) or _BEFORE_ORDINAL.search(before))
