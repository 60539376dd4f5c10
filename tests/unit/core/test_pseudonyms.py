"""Names that nobody outside the stack can compute, on a real table of the local cloud."""

from __future__ import annotations

import hashlib
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from layers.core.errors import StorageFailed
from layers.core.identity import ANONYMOUS
from layers.core.pseudonyms import Pseudonyms


def of(dynamodb: Any, table: str) -> Pseudonyms:
    return Pseudonyms(table, lambda: dynamodb)


def test_every_process_of_a_stack_gives_the_same_names(dynamodb: Any, table: str) -> None:
    one, other = of(dynamodb, table), of(dynamodb, table)

    assert one.caller("iam:AIDAANN") == other.caller("iam:AIDAANN")
    assert one.id("video", "c", "order-1") == other.id("video", "c", "order-1")


def test_processes_that_begin_at_once_agree(dynamodb: Any, table: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: of(dynamodb, table).caller("iam:AIDAANN"), range(8)))

    assert len(names) == 1


def test_another_stack_gives_other_names_and_no_plain_digest_gives_them(dynamodb: Any, table: str) -> None:
    name = of(dynamodb, table).caller("iam:AIDAANN")

    assert name not in hashlib.sha256(b"iam:AIDAANN").hexdigest()
    assert name != Pseudonyms("", dict).caller("iam:AIDAANN")


def test_who_is_nobody_in_particular_needs_no_secret() -> None:
    def none() -> Any:
        raise AssertionError("the table was asked")

    assert Pseudonyms("t", none).caller(ANONYMOUS) == ANONYMOUS


def test_parts_are_kept_apart_and_ids_are_uuids_of_version_8() -> None:
    names = Pseudonyms("", dict)
    ids = {names.id("video", "a", "bc"), names.id("video", "ab", "c"), names.id("video", "a", "b", "c")}

    assert len(ids) == 3
    assert {uuid.UUID(each).version for each in ids} == {8}
    assert {uuid.UUID(each).variant for each in ids} == {uuid.RFC_4122}


def test_the_secret_outlives_whatever_is_signed_by(dynamodb: Any, table: str) -> None:
    of(dynamodb, table).caller("iam:AIDAANN")

    (item,) = dynamodb.scan(TableName=table)["Items"]
    assert "expiration" not in item
    assert len(bytes(item["secret"]["B"])) == 32


def test_a_table_that_does_not_answer_names_nobody(dynamodb: Any) -> None:
    with pytest.raises(StorageFailed):
        of(dynamodb, "no-such-table").caller("iam:AIDAANN")
