"""Records of swaps, on a table of the template's shape in the local cloud."""

from __future__ import annotations

from typing import Any

import pytest

from functions.swap.swap_records import OVERDUE_SECONDS, SwapRecord, SwapRecords
from layers.core.errors import InvalidRequest, StorageFailed
from layers.core.ids import new_id
from tests.support.clock import Clock

DAY = 24 * 3600
LATENTS = frozenset({"latents/others/1.json", "latents/others/2.json"})
RESULT = {"key": "swaps/1.png", "faces": [{"index": 0, "box": [1.5, 2, 3, 4]}]}


@pytest.fixture
def records(dynamodb: Any, table: str, clock: Clock) -> SwapRecords:
    return SwapRecords(table, lambda: dynamodb, 7 * DAY, clock)


def find_record(records: SwapRecords, name: str) -> SwapRecord:
    record = records.find(name)
    assert record is not None
    return record


def test_a_queued_swap_runs_and_ends_and_forgets_what_it_was_to_do(records: SwapRecords, clock: Clock) -> None:
    name = new_id()
    records.queue(name, "ann", {"meme": "https://me.example/a.jpg?token=1"}, frozenset({"requests/ann/1/upload"}))
    assert find_record(records, name).status == "queued"

    running = records.begin(name)

    assert running is not None
    assert (running.status, running.request) == ("running", {"meme": "https://me.example/a.jpg?token=1"})
    assert records.finish(name, RESULT, LATENTS)
    assert find_record(records, name) == SwapRecord(
        name,
        "ann",
        "succeeded",
        clock.at,
        inputs=frozenset({"requests/ann/1/upload"}),
        result=RESULT,
        latent_keys=LATENTS,
    )


def test_what_is_over_does_not_begin_again(records: SwapRecords) -> None:
    name = new_id()
    records.add(name, "ann", frozenset(), RESULT, frozenset())

    running = records.begin(name)

    assert running is not None
    assert running.status == "succeeded"


def test_a_deletion_is_remembered_for_its_caller_alone_and_as_long_as_a_result(
    records: SwapRecords, clock: Clock, dynamodb: Any, table: str
) -> None:
    name = new_id()
    records.queue(name, "ann", {"meme": "https://me.example/a.jpg"}, frozenset({"requests/ann/1/upload"}))

    records.delete(name, "ann")

    assert records.find(name) is None
    assert records.begin(name) is None
    assert records.finish(name, RESULT, frozenset()) is False
    assert records.owner("swap", name) is None
    assert records.page("ann", None, 10) == ([], None)
    assert (records.was_deleted(name, "ann"), records.was_deleted(name, "ben")) == (True, False)
    (item,) = dynamodb.scan(TableName=table)["Items"]
    assert item.keys() == {"id", "caller", "expiration"}
    clock.at += 7 * DAY
    assert not records.was_deleted(name, "ann")


def test_what_was_deleted_neither_begins_nor_ends(records: SwapRecords) -> None:
    name = new_id()
    records.queue(name, "ann", {}, frozenset())
    records.remove(name)

    assert records.begin(name) is None
    assert records.finish(name, RESULT, frozenset()) is False
    assert records.find(name) is None


def test_an_entry_ends_with_its_result_though_the_table_forgets_later(records: SwapRecords, clock: Clock) -> None:
    name = new_id()
    records.add(name, "ann", frozenset(), RESULT, frozenset())
    clock.at += 7 * DAY

    assert records.find(name) is None
    assert records.owner("swap", name) is None
    assert records.page("ann", None, 10) == ([], None)


def test_owners_of_swaps_and_videos_are_apart(records: SwapRecords, dynamodb: Any, table: str) -> None:
    name = new_id()
    records.add(name, "ann", frozenset(), RESULT, frozenset())
    dynamodb.put_item(TableName=table, Item={"id": {"S": f"task#{name}"}, "caller": {"S": "ben"}})

    assert (records.owner("swap", name), records.owner("video", name)) == ("ann", "ben")
    assert records.owner("swap", new_id()) is None


def video(dynamodb: Any, table: str, clock: Clock, name: str) -> None:
    """As the video function puts its tasks there."""
    from functions.video.tasks.store import TaskStore
    from functions.video.values import VideoRequest

    tasks = TaskStore(table, lambda: dynamodb, clock)
    tasks.add(tasks.new(name, VideoRequest("Say this.", "sea"), "ann", 7 * DAY))


def test_a_page_lists_swaps_and_videos_of_one_caller_the_newest_first(
    records: SwapRecords, dynamodb: Any, table: str, clock: Clock
) -> None:
    names = [new_id() for _ in range(5)]
    for name in names:
        if name == names[2]:
            video(dynamodb, table, clock, name)
        else:
            records.add(name, "ann", frozenset(), RESULT, frozenset())
        clock.at += 1
    records.add(new_id(), "ben", frozenset(), RESULT, frozenset())

    first, cursor = records.page("ann", None, 2)
    second, cursor = records.page("ann", cursor, 2)
    third, end = records.page("ann", cursor, 2)

    assert [line.id for line in first + second + third] == names[::-1]
    assert (second[0].kind, second[0].status) == ("video", "queued")
    assert first[0].created_at == "2027-01-15T08:00:04Z"
    assert end is None


def test_a_cursor_leads_nobody_to_another_s_results(records: SwapRecords) -> None:
    for _ in range(3):
        records.add(new_id(), "ann", frozenset(), RESULT, frozenset())
    _, cursor = records.page("ann", None, 1)

    assert records.page("ben", cursor, 10)[0] == []


@pytest.mark.parametrize("cursor", ["x", "bnVsbA", "W10", "WzEsMl0", "\u00e9", "W1si" * 90])
def test_what_is_no_cursor_is_refused(records: SwapRecords, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        records.page("ann", cursor, 10)


def test_without_a_table_nothing_is_kept_and_nobody_asked() -> None:
    def none() -> Any:
        raise AssertionError("the table was called")

    records = SwapRecords("", none, DAY)
    records.add("1", "ann", frozenset(), RESULT, frozenset())

    assert records.find("1") is None
    assert records.owner("swap", "1") is None
    assert records.page("ann", None, 10) == ([], None)


def test_a_table_that_does_not_answer_is_told(dynamodb: Any) -> None:
    broken = SwapRecords("no-such-table", lambda: dynamodb, DAY)
    for call in (lambda: broken.find("1"), lambda: broken.page("ann", None, 1), lambda: broken.remove("1")):
        with pytest.raises(StorageFailed):
            call()


def test_a_swap_whose_workflow_can_no_longer_say_so_has_failed_and_forgets_what_it_was_to_do(
    records: SwapRecords, clock: Clock, dynamodb: Any, table: str
) -> None:
    name = new_id()
    records.queue(name, "ann", {"meme": "https://me.example/a.jpg?token=1"}, frozenset())
    clock.at += OVERDUE_SECONDS + 1

    assert records.page("ann", None, 1)[0][0].status == "failed"
    assert (find_record(records, name).status, find_record(records, name).error) == ("failed", "OutOfTime")
    item = dynamodb.get_item(TableName=table, Key={"id": {"S": f"result#{name}"}})["Item"]
    assert "request" not in item


def test_a_record_from_before_swaps_had_several_sources_still_names_its_latent(
    records: SwapRecords, dynamodb: Any, table: str
) -> None:
    name = new_id()
    records.add(name, "ann", frozenset(), RESULT, frozenset())
    dynamodb.update_item(
        TableName=table,
        Key={"id": {"S": f"result#{name}"}},
        UpdateExpression="SET latent = :key",
        ExpressionAttributeValues={":key": {"S": "latents/others/1.json"}},
    )

    assert find_record(records, name).latent_keys == {"latents/others/1.json"}
