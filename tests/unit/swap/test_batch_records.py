"""Records of batches and of their memes, on a table of the template's shape in the local cloud."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.swap.batch.records import BatchRecords
from functions.swap.batch.values import Batch, Item
from functions.swap.moving_records import MovingRecords
from functions.swap.swap_records import OPERATOR
from layers.core.ids import new_id
from tests.support.clock import Clock

DAY = 24 * 3600
REQUEST = {"face": "s3://uploads/requests/ann/1/face", "quality": 80}
RESULT = {"key": "swaps/1.png", "faces": []}


@pytest.fixture
def batches(dynamodb: Any, table: str, clock: Clock) -> BatchRecords:
    return BatchRecords(table, lambda: dynamodb, 7 * DAY, clock)


@pytest.fixture
def records(dynamodb: Any, table: str, clock: Clock) -> MovingRecords:
    return MovingRecords(table, lambda: dynamodb, 7 * DAY, clock)


def make(owner: str = "ann") -> Batch:
    return Batch(
        new_id(), owner, "requests/ann/batches/a/", REQUEST, total=3, inputs=frozenset({"requests/ann/1/face"})
    )


def found(batches: BatchRecords, name: str) -> Batch:
    batch = batches.find(name)
    assert batch is not None
    return batch


def read(batches: BatchRecords, batch: Batch) -> list[Item]:
    return [item for page in batches.items(batch) for item in page]


def test_a_batch_is_recorded_once_runs_counts_and_ends(batches: BatchRecords, clock: Clock) -> None:
    batch = make()

    assert (batches.add(batch), batches.add(batch)) == (True, False)
    assert found(batches, batch.id) == replace(batch, created_at=clock.at)
    assert batches.begin(batch.id) == replace(batch, created_at=clock.at, status="running")
    batches.count(batch.id, "done", 1500, 0.002)
    batches.count(batch.id, "done", 500)
    batches.count(batch.id, "failed", 0)
    counted = found(batches, batch.id)
    assert (counted.done, counted.failed, counted.compute_ms, counted.remote_dollars) == (2, 1, 2000, 0.002)

    assert batches.end(batch.id, 2, 2, 1) is None, "another run"
    ended = batches.end(batch.id, 1, 2, 1, "AtCapacity", "Later.")

    assert ended is not None
    assert (ended.status, ended.error, ended.cause, ended.total) == ("failed", "AtCapacity", "Later.", 3)
    assert (batches.end(batch.id, 1, 0, 0), batches.begin(batch.id)) == (None, None)
    batches.count(batch.id, "done", 1)
    assert found(batches, batch.id).done == 2, "what comes late"


def test_the_execution_that_an_operator_started_is_that_of_its_run_alone(batches: BatchRecords) -> None:
    batch = make(OPERATOR)
    batches.add(batch)

    begun = batches.begin(batch.id, "monday")

    assert begun is not None
    assert (begun.execution, found(batches, batch.id).execution) == ("monday", "monday")
    batches.end(batch.id, 1, 0, 0, "NotFound", "It was stopped.")
    restarted = batches.restart(batch.id, 1, 3)
    assert restarted is not None
    assert restarted.execution != "monday"


def test_only_what_is_over_is_restarted_and_by_one_alone(batches: BatchRecords, clock: Clock) -> None:
    batch = make()
    batches.add(batch)
    assert batches.restart(batch.id, 1, 4) is None
    batches.end(batch.id, 1, 2, 1, "AtCapacity", "Later.")
    clock.at += 6 * DAY

    first, second = batches.restart(batch.id, 1, 4), batches.restart(batch.id, 1, 4)

    assert first is not None
    assert (first.status, first.run, first.total, first.done, first.failed, first.error) == ("queued", 2, 4, 0, 0, "")
    assert second is None
    clock.at += 6 * DAY
    assert found(batches, batch.id).run == 2, "it is kept from its latest run"
    clock.at += DAY
    assert batches.find(batch.id) is None
    assert batches.add(batch), "though the table forgets later"


def test_one_that_is_being_deleted_does_nothing_more(batches: BatchRecords) -> None:
    batch = make()
    batches.add(batch)

    batches.mark_deleting(batch.id)

    assert found(batches, batch.id).status == "deleting"
    assert (batches.begin(batch.id), batches.end(batch.id, 1, 0, 0)) == (None, None)
    assert batches.restart(batch.id, 1, 1) is None
    batches.remove(batch.id)
    assert batches.find(batch.id) is None
    batches.mark_deleting(batch.id)
    assert batches.find(batch.id) is None, "it is not brought back"


def test_a_meme_is_a_swap_of_its_owner_which_its_batch_finds_and_no_list_shows(
    batches: BatchRecords, records: MovingRecords
) -> None:
    batch, other, name = make(), make(), new_id()
    for each in (batch, other):
        batches.add(each)

    assert batches.add_item(batch, name, f"{batch.prefix}x", {"meme": "s3://uploads/x", **REQUEST})
    record = records.begin(name)

    assert record is not None
    assert (record.caller, record.status, record.run) == ("ann", "running", 1)
    assert record.inputs == {f"{batch.prefix}x"}
    assert records.owner("swap", name) == "ann"
    assert [(item.id, item.key) for item in read(batches, batch)] == [(name, f"{batch.prefix}x")]
    assert read(batches, other) == []
    listed, _ = records.page("ann", None, 10)
    assert {(summary.kind, summary.id) for summary in listed} == {("batch", batch.id), ("batch", other.id)}
    _, cursor = records.page("ann", None, 1)
    assert len(records.page("ann", cursor, 10)[0]) == 1, "a page may begin after a batch"
    batches.mark_deleting(batch.id)
    assert [summary.id for summary in records.page("ann", None, 10)[0]] == [other.id]


def test_a_meme_that_failed_is_taken_up_by_a_later_run_unless_it_moved(
    batches: BatchRecords, records: MovingRecords
) -> None:
    batch, still, moving = make(), new_id(), new_id()
    again = replace(batch, run=2)
    for name in (still, moving):
        assert batches.add_item(batch, name, name, REQUEST)
        assert not batches.add_item(again, name, name, REQUEST), "it is under way"
    records.hand_over(moving, REQUEST, frozenset())
    for name in (still, moving):
        records.fail(name, "OutOfTime", "")
        assert not batches.add_item(batch, name, name, REQUEST), "in the same run"

    taken = [batches.add_item(again, name, name, REQUEST) for name in (still, moving)]

    assert taken == [True, False]
    assert {item.id: (item.status, item.run) for item in read(batches, batch)} == {
        still: ("queued", 2),
        moving: ("failed", 1),
    }


def test_a_meme_counts_once_in_each_run(batches: BatchRecords, records: MovingRecords) -> None:
    batch, name = make(), new_id()
    batches.add_item(batch, name, "k", REQUEST)
    records.begin(name)
    records.add_compute(name, 1200)
    records.finish(name, RESULT, frozenset())

    counts = [batches.claim_count(name, run) for run in (1, 1, 2, 2)]

    assert [item is not None for item in counts] == [True, False, True, False]
    assert counts[0] == Item(name, "succeeded", "k", 1, RESULT, compute_ms=1200)
    assert batches.claim_count(new_id(), 1) is None


def test_memes_of_an_operator_belong_to_no_caller_and_are_deleted_with_nothing_else(
    batches: BatchRecords, records: MovingRecords
) -> None:
    batch, name = make(OPERATOR), new_id()
    batches.add(batch)
    batches.add_item(batch, name, "campaign/a.png", REQUEST)

    record = records.find(name)

    assert record is not None
    assert (record.caller, record.inputs) == ("", frozenset())
    assert [item.id for item in read(batches, batch)] == [name]


def test_many_memes_come_by_pages(batches: BatchRecords) -> None:
    batch = make()
    names = {new_id() for _ in range(103)}
    for name in names:
        batches.add_item(batch, name, name, REQUEST)

    pages = list(batches.items(batch))

    assert len(pages) == 2
    assert {item.id for page in pages for item in page} == names
