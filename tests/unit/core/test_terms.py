"""Who has accepted the terms of use, on a real table of the local cloud; and that all places name one version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from layers.core import terms
from layers.core.errors import InvalidRequest, StorageFailed, TermsNotAccepted
from layers.core.terms import TEXT, VERSION, Terms
from tests.support.templates import load_template

ROOT = Path(__file__).resolve().parents[3]


def make_terms(dynamodb: Any, table: str) -> Terms:
    return Terms(table, lambda: dynamodb, lambda: 1_800_000_000.5)


def test_everyone_accepts_for_oneself_and_once(dynamodb: Any, table: str) -> None:
    terms_of_use = make_terms(dynamodb, table)
    with pytest.raises(TermsNotAccepted) as excinfo:
        terms_of_use.require("ann")
    terms_of_use.accept("ann", VERSION)

    terms_of_use.require("ann")
    make_terms(dynamodb, table).require("ann")
    with pytest.raises(TermsNotAccepted):
        terms_of_use.require("ben")
    assert (excinfo.value.status, excinfo.value.retryable) == (403, False)
    assert VERSION in excinfo.value.detail


def test_it_is_on_record_who_accepted_what_and_when(dynamodb: Any, table: str) -> None:
    make_terms(dynamodb, table).accept("ann", VERSION)

    name = "terms#ann"
    item = dynamodb.get_item(TableName=table, Key={"id": {"S": name}})["Item"]
    assert item == {"id": {"S": name}, "version": {"S": VERSION}, "accepted": {"N": "1800000000"}}


def test_other_terms_ask_again(dynamodb: Any, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_terms(dynamodb, table).accept("ann", VERSION)
    monkeypatch.setattr(terms, "VERSION", "2099-01-01")
    terms_of_use = make_terms(dynamodb, table)

    with pytest.raises(TermsNotAccepted, match="2099"):
        terms_of_use.require("ann")
    with pytest.raises(InvalidRequest, match="2099"):
        terms_of_use.accept("ann", VERSION)
    terms_of_use.accept("ann", "2099-01-01")
    terms_of_use.require("ann")


def test_the_table_is_read_once_for_each_caller(dynamodb: Any, table: str) -> None:
    clients: list[str] = []

    def count_client() -> Any:
        clients.append("")
        return dynamodb

    terms_of_use = Terms(table, count_client)
    make_terms(dynamodb, table).accept("ann", VERSION)
    for _ in range(3):
        terms_of_use.require("ann")
    assert len(clients) == 1


def test_nobody_is_let_in_while_the_table_does_not_answer(dynamodb: Any) -> None:
    with pytest.raises(StorageFailed):
        make_terms(dynamodb, "no-such-table").require("ann")


def test_the_stack_s_own_principals_are_not_asked(dynamodb: Any, table: str) -> None:
    make_terms(dynamodb, table).require(None)
    Terms("", dict).require("ann")


def test_template_documentation_and_code_have_one_version_and_one_text() -> None:
    template = load_template(ROOT / "template.yaml")
    assert template["Parameters"]["AcceptTerms"]["AllowedValues"] == ["no", VERSION]
    assert template["Parameters"]["AcceptTerms"]["Default"] == "no"
    (refusal,) = template["Rules"]["TermsAreAccepted"]["Assertions"]
    assert f"AcceptTerms={VERSION}" in refusal["AssertDescription"]
    page = " ".join((ROOT / "docs/responsible-use.md").read_text().split())
    assert f"Terms of use, version {VERSION}" in page
    assert all(sentence in page for sentence in TEXT)
