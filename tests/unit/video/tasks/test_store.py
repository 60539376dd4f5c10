"""Tasks: what they tell of themselves, and that nothing changes once they are over."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.video.tasks.store import REMEMBERED_SECONDS, Task, TaskStore, digest
from functions.video.values import CaptionStyle, PublishedVideo, Scene, VideoRequest
from layers.core.errors import Cancelled
from tests.support.clock import Clock
from tests.unit.video.fake_stack import REQUEST

PUBLISHED = PublishedVideo("videos/t/short.mp4", "videos/t/poster.jpg", None, None, 9.5, 1234, ())


@pytest.fixture
def tasks(dynamodb: Any, table: str, clock: Clock) -> TaskStore:
    return TaskStore(table, lambda: dynamodb, clock)


@pytest.fixture
def task(tasks: TaskStore) -> Task:
    new = tasks.new("t", replace(REQUEST, callback_url="https://c.example/", captions=False), "me", 1000)
    assert tasks.add(new)
    return new


def test_a_task_comes_back_as_it_was_put_there(tasks: TaskStore, task: Task) -> None:
    assert tasks.find("t") == task
    assert tasks.find("u") is None


@pytest.mark.parametrize(
    "request_", [VideoRequest("Hi."), VideoRequest("Hi.", ("a", "b")), VideoRequest("Hi.", scenes=(Scene("Hi."),))]
)
def test_a_request_of_any_form_comes_back(tasks: TaskStore, request_: VideoRequest) -> None:
    task = tasks.new("t", request_, "me", 1000)
    assert tasks.add(task)
    assert tasks.find("t") == task


def test_a_request_with_all_its_groups_comes_back_as_it_was_put_there(tasks: TaskStore) -> None:
    request = replace(REQUEST, caption_style=CaptionStyle("boxed", capitals=True), aspect="16:9")
    task = tasks.new("all", request, "me", 1000)
    assert tasks.add(task)
    assert tasks.find("all") == task


def test_a_request_without_later_fields_has_the_digest_that_it_had_before_them() -> None:
    """As 0.1.0 wrote it: its fields in the order of their names."""
    names = ("badge", "callback_url", "captions", "quality", "script_text", "search_query", "voice_id")
    text = json.dumps({name: getattr(REQUEST, name) for name in names})

    assert digest(REQUEST) == hashlib.sha256(text.encode()).hexdigest()
    assert digest(replace(REQUEST, aspect="1:1")) != digest(REQUEST)


def test_a_second_one_of_the_same_name_is_refused(tasks: TaskStore, task: Task) -> None:
    assert not tasks.add(replace(task, caller="other"))
    assert tasks.find("t") == task


def test_it_is_forgotten_some_time_after_its_video_and_its_name_is_free_again(
    tasks: TaskStore, task: Task, clock: Clock
) -> None:
    clock.at += 1000 + REMEMBERED_SECONDS - 1
    assert tasks.find("t")

    clock.at += 1

    assert tasks.find("t") is None
    again = tasks.new("t", REQUEST, "me", 1000)
    assert tasks.add(again)
    assert again.execution != task.execution, "AWS does not start an execution of a name that it knows"


def test_stage_and_progress_follow_the_steps_in_any_order(tasks: TaskStore, task: Task) -> None:
    views = [_stage_and_progress(task)]
    views.append(_stage_and_progress(tasks.enter("t")))
    views.append(_stage_and_progress(tasks.step_done("t", "footage")))
    views.append(_stage_and_progress(tasks.step_done("t", "voice")))
    views.append(_stage_and_progress(tasks.step_done("t", "plan", clips=2)))
    views.append(_stage_and_progress(tasks.step_done("t", "clip#1")))
    views.append(_stage_and_progress(tasks.step_done("t", "clip#1")))
    views.append(_stage_and_progress(tasks.step_done("t", "clip#0")))
    views.append(_stage_and_progress(tasks.step_done("t", "assemble")))
    views.append(_stage_and_progress(tasks.succeed("t", PUBLISHED)))

    assert [stage for stage, _ in views] == [
        "queued",
        "footage",
        "voice-over",
        "plan",
        "clips",
        "clips",
        "clips",
        "assemble",
        "publish",
        "done",
    ]
    assert views[0][1] == 0
    assert views[-1][1] == 1
    assert views[5] == views[6], "a step done twice is done once"
    progress = [each for _, each in views]
    assert progress == sorted(progress)


@given(st.sets(st.sampled_from(["voice", "footage", "plan", "clip#0", "clip#1", "clip#2", "assemble"])))
def test_progress_is_a_share_and_whole_only_at_the_end(done: set[str]) -> None:
    task = Task("t", REQUEST, "me", 1, 1, 2, status="running", done=frozenset(done), clips=3)

    assert 0 <= task.progress < 1
    assert task.stage != "done"


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_nothing_changes_once_it_is_over(tasks: TaskStore, task: Task, end: Any) -> None:
    tasks.enter("t")
    over = tasks.succeed("t", PUBLISHED) if end == "succeeded" else tasks.end("t", end, {"code": "no_footage"})

    assert over.over
    changes: tuple[Callable[[], Task], ...] = (
        lambda: tasks.enter("t"),
        lambda: tasks.step_done("t", "voice"),
        lambda: tasks.succeed("t", replace(PUBLISHED, size=1)),
        lambda: tasks.end("t", "failed", {"code": "other"}),
    )
    for change in changes:
        with pytest.raises(Cancelled):
            change()
    assert tasks.find("t") == over


def test_a_step_of_a_task_that_is_not_there_ends_as_cancelled(tasks: TaskStore) -> None:
    with pytest.raises(Cancelled):
        tasks.enter("nobody")


def test_times_are_those_of_the_changes(tasks: TaskStore, task: Task, clock: Clock) -> None:
    clock.at += 5
    tasks.enter("t")
    clock.at += 5
    over = tasks.succeed("t", PUBLISHED)

    assert (over.created_at, over.updated_at, over.finished_at) == tuple(int(clock.at) - ago for ago in (10, 0, 0))
    assert over.published == PUBLISHED


def test_what_is_told_after_the_end_stays_beside_it(tasks: TaskStore, task: Task) -> None:
    tasks.succeed("t", PUBLISHED)
    tasks.record_callback("t", "delivered")
    tasks.clear("t")

    after = tasks.find("t")

    assert after
    assert (after.status, after.callback, after.published) == ("succeeded", "delivered", None)


def _stage_and_progress(task: Task) -> tuple[str, float]:
    return task.stage, task.progress
