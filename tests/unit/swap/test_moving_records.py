"""Records of moving memes, on a table of the template's shape in the local cloud."""

from __future__ import annotations

from typing import Any

import pytest

from functions.swap.moving_records import MovingRecords
from functions.swap.moving_state import MovingState, Progress, UploadedObject, measure_progress, reckon_cost
from functions.swap.swap_records import MOVING_OVERDUE_SECONDS, OVERDUE_SECONDS
from layers.core.ids import new_id
from tests.support.clock import Clock

REQUEST = {"meme": "s3://uploads/requests/ann/1/meme"}
NOTHING: frozenset[str] = frozenset()


@pytest.fixture
def records(dynamodb: Any, table: str, clock: Clock) -> MovingRecords:
    return MovingRecords(table, lambda: dynamodb, 7 * 24 * 3600, clock)


def state_of(records: MovingRecords, name: str) -> MovingState:
    record = records.find(name)
    assert record is not None
    assert record.moving is not None
    return record.moving


def test_work_tells_its_stage_and_a_chunk_that_is_swapped_twice_counts_once(records: MovingRecords) -> None:
    name = new_id()
    assert records.queue_moving(name, "ann", REQUEST, NOTHING)
    records.begin(name)

    records.report(name, "analysing", 13, 40)
    assert measure_progress(state_of(records, name)) == Progress(13, 40)
    records.start_swapping(name, 66)
    for number in (0, 2, 0):
        records.add_chunk(name, number, 22)

    assert state_of(records, name).stage == "swapping"
    assert measure_progress(state_of(records, name)) == Progress(44, 66, "face_frames")
    records.add_compute(name, 1500)
    records.add_compute(name, 500)
    assert reckon_cost(state_of(records, name), 1024).gb_seconds == 2.0
    assert reckon_cost(state_of(records, name), 1024).dollars == pytest.approx(0.0000333)


def test_the_same_work_is_queued_once(records: MovingRecords) -> None:
    name, upload = new_id(), UploadedObject("a.gif", "digest", {"upload_etag": "e"})

    first = records.queue_moving(name, None, REQUEST, NOTHING, key="swapped/a.gif", upload=upload)
    records.begin(name)
    again = records.queue_moving(name, None, REQUEST, NOTHING, key="swapped/a.gif", upload=upload)

    assert (first, again) == (True, False)
    record = records.find(name)
    assert record is not None
    assert (record.status, record.caller, record.kind) == ("running", "", "moving")
    assert state_of(records, name).upload == upload


def test_a_caller_s_list_has_its_moving_memes_as_swaps_and_no_list_of_people(records: MovingRecords) -> None:
    swap, faces, upload = new_id(), new_id(), new_id()
    records.queue_moving(swap, "ann", REQUEST, NOTHING)
    records.queue_moving(faces, "ann", REQUEST, NOTHING, kind="faces")
    records.queue_moving(upload, None, REQUEST, NOTHING)

    (summary,) = records.page("ann", None, 10)[0]

    assert (summary.id, summary.kind, summary.status) == (swap, "swap", "queued")


def test_a_moving_meme_has_more_time_than_a_still(records: MovingRecords, clock: Clock) -> None:
    name = new_id()
    records.queue_moving(name, "ann", REQUEST, NOTHING)

    clock.at += OVERDUE_SECONDS + 1
    record = records.find(name)
    assert record is not None
    assert record.status == "queued"
    assert records.page("ann", None, 10)[0][0].status == "queued"
    clock.at += MOVING_OVERDUE_SECONDS - OVERDUE_SECONDS

    assert records.page("ann", None, 10)[0][0].status == "failed"
    record = records.find(name)
    assert record is not None
    assert (record.status, record.error) == ("failed", "OutOfTime")


def test_a_queued_swap_becomes_a_moving_meme_s_with_what_was_stored_for_it(records: MovingRecords) -> None:
    name = new_id()
    records.queue(name, "ann", {"meme": "https://me.example/a.gif"}, NOTHING)
    records.begin(name)

    record = records.hand_over(name, REQUEST, frozenset({"requests/ann/1/meme"}))

    assert record is not None
    assert (record.status, record.kind, record.request) == ("queued", "moving", REQUEST)
    assert record.inputs == {"requests/ann/1/meme"}


def test_what_is_deleted_or_over_is_not_brought_back(records: MovingRecords) -> None:
    deleted, failed = new_id(), new_id()
    for name in (deleted, failed):
        records.queue_moving(name, "ann", REQUEST, NOTHING)
    records.delete(deleted, "ann")
    assert records.fail(failed, "NoFaceInMeme", "No face was found.") is not None

    for name in (deleted, failed):
        records.report(name, "composing", 1, 2)
        records.start_swapping(name, 3)
        records.add_chunk(name, 0, 3)
        records.add_compute(name, 100)
        assert records.fail(name, "OutOfTime", "") is None
        assert records.hand_over(name, REQUEST, NOTHING) is None

    assert records.find(deleted) is None
    record = records.find(failed)
    assert record is not None
    assert (record.status, record.error, record.cause) == ("failed", "NoFaceInMeme", "No face was found.")
    assert record.request is None
    assert state_of(records, failed).compute_ms == 100, "what it cost before it failed"
