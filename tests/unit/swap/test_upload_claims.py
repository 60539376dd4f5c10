"""Claims of uploads, on a table of the template's shape in the local cloud."""

from __future__ import annotations

from typing import Any

import pytest

from functions.swap.upload_claims import TRY_SECONDS, UploadClaim, UploadClaims, UploadEvent, is_later
from layers.core.errors import StillRunning, StorageFailed
from tests.support.clock import Clock

DAY = 24 * 3600
EVENT = UploadEvent("uploads", "memes/grüße.png", "0055AED6DCD90281E5", "e")


@pytest.fixture
def claims(dynamodb: Any, table: str, clock: Clock) -> UploadClaims:
    return UploadClaims(table, lambda: dynamodb, 7 * DAY, clock)


@pytest.mark.parametrize(
    ("sequencer", "other", "expected"),
    [
        ("0055AED6DCD90281E6", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E5", False),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E6", False),
        ("0055AED6DCD90281E501", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E5", "0055AED6DCD90281E501", False),
        ("0055AED6DCD90281E6", "0055AED6DCD90281E5FF", True),  # the shorter one, padded on the right, is greater
        ("0055AED6DCD90281E5", "0055AED6DCD90281E500", False),
        ("0055aed6dcd90281e6", "0055AED6DCD90281E5", True),
        ("0055AED6DCD90281E5", "", True),
        ("", "0055AED6DCD90281E5", False),
    ],
)
def test_sequencers_are_compared_as_s3_documents(sequencer: str, other: str, expected: bool) -> None:
    assert is_later(sequencer, other) is expected


def test_a_key_is_worked_on_by_one_at_a_time(claims: UploadClaims) -> None:
    claim = claims.take(EVENT, 10)

    with pytest.raises(StillRunning):
        claims.take(UploadEvent("uploads", EVENT.key, "0055AED6DCD90281E6"), 10)
    other = claims.take(UploadEvent("uploads", "memes/other.png"), 10)
    claims.settle(claim, EVENT, "state", "swapped/grüße.png")

    assert other.id != claim.id
    again = claims.take(EVENT, 10)
    assert (again.sequencer, again.state, again.outcome) == (EVENT.sequencer, "state", "swapped/grüße.png")
    assert not again.follows_kill


def test_work_is_remembered_by_its_latest_event(claims: UploadClaims) -> None:
    newer = UploadEvent("uploads", EVENT.key, "0055AED6DCD90281E6")
    claims.settle(claims.take(newer, 10), newer, "newer", "swapped/a")

    late = claims.take(EVENT, 10)
    assert late.covers(EVENT)
    claims.settle(late, EVENT, "newer", "swapped/a")

    assert claims.take(newer, 10).covers(newer)


def test_an_event_without_a_sequencer_is_never_taken_for_an_older_one() -> None:
    assert not UploadClaim("", "", EVENT.sequencer).covers(UploadEvent("uploads", EVENT.key))
    assert not UploadClaim("", "").covers(EVENT)


def test_work_that_failed_is_not_remembered(claims: UploadClaims) -> None:
    claims.settle(claims.take(EVENT, 10), EVENT, "state", "swapped/a")

    claims.release(claims.take(EVENT, 10))

    assert claims.take(EVENT, 10).state == ""


def test_a_claim_lapses_with_the_invocation_that_was_killed(claims: UploadClaims, clock: Clock) -> None:
    first = claims.take(EVENT, 10)
    clock.at += 11

    second = claims.take(EVENT, 10)

    assert second.follows_kill
    with pytest.raises(StillRunning):
        claims.settle(first, EVENT, "late", "swapped/a")
    claims.release(first)
    with pytest.raises(StillRunning):
        claims.take(EVENT, 10)


def test_tries_are_counted_by_event(claims: UploadClaims, dynamodb: Any, table: str, clock: Clock) -> None:
    assert [claims.count_try(EVENT) for _ in range(3)] == [1, 2, 3]
    assert claims.count_try(UploadEvent("uploads", EVENT.key, "0055AED6DCD90281E6")) == 1
    item = dynamodb.get_item(TableName=table, Key={"id": {"S": f"tries#{EVENT.id}"}})["Item"]
    assert int(item["expiration"]["N"]) == int(clock.at) + TRY_SECONDS

    claims.forget_tries(EVENT)

    assert claims.count_try(EVENT) == 1


def test_the_table_has_neither_names_nor_addresses(claims: UploadClaims, dynamodb: Any, table: str) -> None:
    claims.take(EVENT, 10)
    claims.count_try(EVENT)

    items = dynamodb.scan(TableName=table)["Items"]

    assert len(items) == 2
    assert "memes" not in str(items)
    assert all("expiration" in item for item in items)


def test_without_a_table_everybody_gets_the_claim() -> None:
    claims = UploadClaims("", dict, 7 * DAY)
    claim, other = claims.take(EVENT, 10), claims.take(EVENT, 10)

    assert (other.state, other.follows_kill) == ("", False)
    claims.settle(claim, EVENT, "state", "swapped/a")
    claims.release(claim)
    claims.forget_tries(EVENT)
    assert claims.count_try(EVENT) == 1


def test_a_table_that_does_not_answer_is_a_storage_failure(dynamodb: Any) -> None:
    claims = UploadClaims("no-such-table", lambda: dynamodb, 7 * DAY)

    for call in (lambda: claims.take(EVENT, 1), lambda: claims.count_try(EVENT), lambda: claims.forget_tries(EVENT)):
        with pytest.raises(StorageFailed):
            call()
