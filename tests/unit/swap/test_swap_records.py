"""Who made what, on a table of the template's shape in the local cloud."""

from __future__ import annotations

from typing import Any

import pytest

from functions.swap.swap_records import LONGEST_SECONDS, SwapRecord, SwapRecords
from layers.core.errors import InvalidRequest, StorageFailed
from layers.core.ids import new_id
from tests.support.clock import Clock

DAY = 24 * 3600
RESULT = {"key": "swaps/1.png", "faces": [{"index": 0, "box": [1.5, 2, 3, 4]}]}


@pytest.fixture
def ledger(dynamodb: Any, table: str, clock: Clock) -> SwapRecords:
    return SwapRecords(table, lambda: dynamodb, 7 * DAY, clock)


def entry(ledger: SwapRecords, name: str) -> SwapRecord:
    found = ledger.find(name)
    assert found is not None
    return found


def test_a_queued_swap_runs_and_ends_and_forgets_what_it_was_to_do(ledger: SwapRecords, clock: Clock) -> None:
    name = new_id()
    ledger.queue(name, "ann", {"meme": "https://me.example/a.jpg?token=1"}, frozenset({"requests/ann/1/upload"}))
    assert entry(ledger, name).status == "queued"

    begun = ledger.begin(name)

    assert begun is not None
    assert (begun.status, begun.request) == ("running", {"meme": "https://me.example/a.jpg?token=1"})
    assert ledger.finish(name, RESULT, "latents/others/1.json")
    assert entry(ledger, name) == SwapRecord(
        name,
        "ann",
        "succeeded",
        clock.at,
        inputs=frozenset({"requests/ann/1/upload"}),
        result=RESULT,
        latent="latents/others/1.json",
    )


def test_what_is_over_does_not_begin_again(ledger: SwapRecords) -> None:
    name = new_id()
    ledger.add(name, "ann", frozenset(), RESULT, None)

    begun = ledger.begin(name)

    assert begun is not None
    assert begun.status == "succeeded"


def test_what_was_deleted_neither_begins_nor_ends(ledger: SwapRecords) -> None:
    name = new_id()
    ledger.queue(name, "ann", {}, frozenset())
    ledger.remove(name)

    assert ledger.begin(name) is None
    assert ledger.finish(name, RESULT, None) is False
    assert ledger.find(name) is None


def test_an_entry_ends_with_its_result_though_the_table_forgets_later(ledger: SwapRecords, clock: Clock) -> None:
    name = new_id()
    ledger.add(name, "ann", frozenset(), RESULT, None)
    clock.at += 7 * DAY

    assert ledger.find(name) is None
    assert ledger.owner("swap", name) is None
    assert ledger.page("ann", None, 10) == ([], None)


def test_owners_of_swaps_and_videos_are_apart(ledger: SwapRecords, dynamodb: Any, table: str) -> None:
    name = new_id()
    ledger.add(name, "ann", frozenset(), RESULT, None)
    dynamodb.put_item(TableName=table, Item={"id": {"S": f"task#{name}"}, "caller": {"S": "ben"}})

    assert (ledger.owner("swap", name), ledger.owner("video", name)) == ("ann", "ben")
    assert ledger.owner("swap", new_id()) is None


def video(dynamodb: Any, table: str, clock: Clock, name: str) -> None:
    """As the video function puts its tasks there."""
    from functions.video.tasks.store import TaskStore
    from functions.video.values import VideoRequest

    tasks = TaskStore(table, lambda: dynamodb, clock)
    tasks.add(tasks.new(name, VideoRequest("Say this.", "sea"), "ann", 7 * DAY))


def test_a_page_lists_swaps_and_videos_of_one_caller_the_newest_first(
    ledger: SwapRecords, dynamodb: Any, table: str, clock: Clock
) -> None:
    names = [new_id() for _ in range(5)]
    for name in names:
        if name == names[2]:
            video(dynamodb, table, clock, name)
        else:
            ledger.add(name, "ann", frozenset(), RESULT, None)
        clock.at += 1
    ledger.add(new_id(), "ben", frozenset(), RESULT, None)

    first, cursor = ledger.page("ann", None, 2)
    second, cursor = ledger.page("ann", cursor, 2)
    third, end = ledger.page("ann", cursor, 2)

    assert [line.id for line in first + second + third] == names[::-1]
    assert (second[0].kind, second[0].status) == ("video", "queued")
    assert first[0].created_at == "2027-01-15T08:00:04Z"
    assert end is None


def test_a_cursor_leads_nobody_to_another_s_results(ledger: SwapRecords) -> None:
    for _ in range(3):
        ledger.add(new_id(), "ann", frozenset(), RESULT, None)
    _, cursor = ledger.page("ann", None, 1)

    assert ledger.page("ben", cursor, 10)[0] == []


@pytest.mark.parametrize("cursor", ["x", "bnVsbA", "W10", "WzEsMl0", "\u00e9", "W1si" * 90])
def test_what_is_no_cursor_is_refused(ledger: SwapRecords, cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        ledger.page("ann", cursor, 10)


def test_without_a_table_nothing_is_kept_and_nobody_asked() -> None:
    def none() -> Any:
        raise AssertionError("a table was asked")

    ledger = SwapRecords("", none, DAY)
    ledger.add("1", "ann", frozenset(), RESULT, None)

    assert ledger.find("1") is None
    assert ledger.owner("swap", "1") is None
    assert ledger.page("ann", None, 10) == ([], None)


def test_a_table_that_does_not_answer_is_told(dynamodb: Any) -> None:
    broken = SwapRecords("no-such-table", lambda: dynamodb, DAY)
    for call in (lambda: broken.find("1"), lambda: broken.page("ann", None, 1), lambda: broken.remove("1")):
        with pytest.raises(StorageFailed):
            call()


def test_a_swap_whose_workflow_can_no_longer_say_so_has_failed_and_forgets_what_it_was_to_do(
    ledger: SwapRecords, clock: Clock, dynamodb: Any, table: str
) -> None:
    name = new_id()
    ledger.queue(name, "ann", {"meme": "https://me.example/a.jpg?token=1"}, frozenset())
    clock.at += LONGEST_SECONDS + 1

    assert ledger.page("ann", None, 1)[0][0].status == "failed"
    assert (entry(ledger, name).status, entry(ledger, name).error) == ("failed", "OutOfTime")
    item = dynamodb.get_item(TableName=table, Key={"id": {"S": f"result#{name}"}})["Item"]
    assert "request" not in item
