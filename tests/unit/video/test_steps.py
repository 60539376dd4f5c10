"""The steps as the workflow calls them, and the tasks of executions that ended by themselves."""

from __future__ import annotations

import ast
import io
import json
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from functions.video import app, publish, steps, values
from functions.video.context import StepContext
from functions.video.entry.task_view import render_task
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.interfaces import VoiceService
from functions.video.render import assemble, clip, footage, plan, poster, voice_over
from functions.video.tasks import lifecycle
from functions.video.tasks.lifecycle import workflow_error
from functions.video.tasks.slots import ENDING_SECONDS
from functions.video.tasks.store import Task, digest
from functions.video.values import (
    Clip,
    Footage,
    Piece,
    Plan,
    Rendition,
    Search,
    SearchResult,
    Segment,
    VideoRequest,
    VoiceOver,
    Word,
)
from layers.core import errors
from local.cloud import ROOT
from local.standins.servers import StandIns
from tests.support.templates import load_template
from tests.unit.video.fake_stack import BODY, REQUEST, FakeVideoStack

SECRET = "a sentence that nobody else should read"
WORDS = (Word("Say", 0.0, 0.5, 0, 3), Word("this.", 0.5, 1.0, 4, 9, ends_sentence=True))
VOICE = VoiceOver("work/voice/a.flac", 2.0, WORDS, aligned=True)


FILES = (Rendition("https://f.example/", 720, 1280),)


def footage_of(name: str) -> Footage:
    return Footage(
        name,
        10.0,
        f"https://p.example/{name}",
        f"{name}'s",
        f"https://p.example/by-{name}",
        (Rendition("https://f.example/", 720, 1280),),
        query=name,
    )


SEA, SKY, DUNE = footage_of("sea"), footage_of("sky"), replace(footage_of("dune"), query="nature", general=True)
SEARCHES = (Search("sea", "portrait", None, False, 2, 2), Search("nature", "portrait", None, True, 9, 1))
PLAN = Plan(60, (Segment(0, 0, 30, SEA), Segment(1, 30, 30, SKY)), (DUNE,), searches=SEARCHES)
CLIPS = (Clip("work/clip/0.mp4", 0, 30, SEA, 1000), Clip("work/clip/1.mp4", 1, 30, DUNE, 2000))


def context_of(inputs: Sequence[Any]) -> StepContext:
    """The context among the inputs of a step's function."""
    return next(each for each in inputs if isinstance(each, StepContext))


@pytest.fixture
def step_stack(stack: FakeVideoStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeVideoStack]:
    """A running task "t" whose steps are stubs that store what the real ones would make."""
    services, patch = stack.services, stack.patch
    stack.services.slots.take("t", "ann")
    services.tasks.add(services.tasks.new("t", REQUEST, "me", 1000))

    def put(key: str, value: Any) -> Callable[..., str]:
        def make(*inputs: Any) -> str:
            context_of(inputs).artifacts.put(key, value)
            return key

        return make

    patch.setattr(voice_over, "make", put("work/voice/a.json", VOICE))
    patch.setattr(footage, "find", put("work/footage/a.json", SearchResult("sea", (SEA, SKY, DUNE))))

    def make_clip(segment: Segment, *inputs: Any) -> str:
        return put(f"work/clip/{segment.index}.json", CLIPS[segment.index])(*inputs)

    def put_file(key: str) -> Callable[..., str]:
        def make(*inputs: Any) -> str:
            context_of(inputs).artifacts.put_bytes(key, key.encode(), "x/y")
            return key

        return make

    patch.setattr(plan, "lay_out", lambda voice, result: PLAN)
    patch.setattr(clip, "make", make_clip)
    patch.setattr(assemble, "make_sound", put_file("work/sound/a.m4a"))
    patch.setattr(assemble, "join", put_file("work/video/a.mp4"))
    patch.setattr(poster, "make", put_file("work/poster/a.jpg"))
    temporary = tmp_path_factory.mktemp("temporary")
    patch.setattr(tempfile, "tempdir", str(temporary))
    yield stack
    assert list(temporary.iterdir()) == [], "a step left its folder"


def step(stack: FakeVideoStack, name: str, **payload: Any) -> Any:
    return stack.invoke({"step": name, "task_id": "t", **payload})


def up_to_publish(stack: FakeVideoStack) -> dict[str, Any]:
    """All but the last step, wired as the workflow wires them; the payload of publish."""
    voice, footage = step(stack, "voice"), step(stack, "footage")
    output = step(stack, "plan", voice=voice["voice"], found=footage["found"])
    keys = {"voice": output["voice"], "plan": output["plan"]}
    clips = [step(stack, "clip", index=index, **keys)["clip"] for index in output["segments"]]
    assert step(stack, "sound", **keys) == {"sound": "work/sound/a.m4a"}
    return {"clips": clips, **keys, "video": step(stack, "assemble", clips=clips, **keys)["video"]}


def test_the_steps_hand_each_other_what_they_need(step_stack: FakeVideoStack) -> None:
    output = step(step_stack, "publish", **up_to_publish(step_stack))

    task = step_stack.services.tasks.find("t")
    assert output == {"notify": False}
    assert task
    assert task.published
    assert task.status == "succeeded"
    assert task.published.seconds == 2
    assert [each.footage_url for each in task.published.credits] == [SEA.page_url, DUNE.page_url], "what is really seen"
    bucket = step_stack.buckets / "outputs"
    assert (bucket / task.published.video).read_bytes() == b"work/video/a.mp4"
    assert (bucket / task.published.poster).read_bytes() == b"work/poster/a.jpg"
    srt = (bucket / str(task.published.srt)).read_text()
    assert srt == "1\n00:00:00,000 --> 00:00:01,000\nSay this.\n", "gone with the cut after the first second"
    assert (bucket / str(task.published.vtt)).read_bytes().startswith(b"WEBVTT")


def test_what_was_searched_found_and_shown_is_told_of_each_shot(step_stack: FakeVideoStack) -> None:
    step(step_stack, "publish", **up_to_publish(step_stack))

    answer = view(step_stack)
    assert answer["shots"] == [
        {"start": 0.0, "seconds": 1.0, "query": "sea", "general": False, "footage_url": SEA.page_url, "source": ""},
        {"start": 1.0, "seconds": 1.0, "query": "nature", "general": True, "footage_url": DUNE.page_url, "source": ""},
    ]
    assert [(each["query"], each["general"], each["usable"]) for each in answer["searches"]] == [
        ("sea", False, 2),
        ("nature", True, 1),
    ]
    assert answer["captions_timing"] == "exact"


def test_each_piece_of_a_clip_is_a_shot() -> None:
    clips = (CLIPS[1], Clip("work/clip/0.mp4", 0, 30, SEA, 1000, (Piece(12, SKY),)))

    shots = publish.list_shots(PLAN, clips)

    assert [(each.start, each.seconds, each.query) for each in shots] == [
        (0.0, 0.6, "sea"),
        (0.6, 0.4, "sky"),
        (1.0, 1.0, "nature"),
    ]


def test_estimated_times_are_told(step_stack: FakeVideoStack) -> None:
    guessed = replace(VOICE, aligned=False)
    step_stack.patch.setattr(voice_over, "make", lambda *inputs: keep(context_of(inputs), guessed))

    step(step_stack, "publish", **up_to_publish(step_stack))

    assert view(step_stack)["captions_timing"] == "estimated"


def view(stack: FakeVideoStack) -> dict[str, Any]:
    """The task "t" as its caller and its callback see it."""
    task = stack.services.tasks.find("t")
    assert task
    return render_task(task, stack.clock(), 1000)


def keep(context: StepContext, voice: VoiceOver) -> str:
    context.artifacts.put("work/voice/a.json", voice)
    return "work/voice/a.json"


def test_footage_is_searched_before_speech_is_paid() -> None:
    workflow = load_template(ROOT / "functions/video/short_video.asl.yaml")["States"]["Make"]["Branches"][0]
    search, speak = (workflow["States"][name] for name in ("Search", "Speak"))
    assert (workflow["StartAt"], search["Next"], speak["Next"]) == ("Search", "Speak", "Plan")
    steps = [each["Arguments"]["Payload"]["step"] for each in (search, speak)]
    assert steps == ["footage", "voice"]


def test_what_the_captions_leave_out_is_told(step_stack: FakeVideoStack) -> None:
    step_stack.patch.setattr(publish, "find_undrawn", lambda texts, own: tuple(texts))

    step(step_stack, "publish", **up_to_publish(step_stack))

    published = task_of(step_stack).published
    assert published
    assert published.captions_left_out == ("Say", "this.")


def test_publishing_frees_the_slot(step_stack: FakeVideoStack) -> None:
    inputs = up_to_publish(step_stack)
    step_stack.services.slots.take("other", "ann")
    assert step_stack.post().status == 503

    step(step_stack, "publish", **inputs)

    assert step_stack.post().status == 202


def test_publishing_again_after_a_lost_answer_changes_nothing(step_stack: FakeVideoStack) -> None:
    inputs = up_to_publish(step_stack)
    first = step(step_stack, "publish", **inputs)
    before = step_stack.services.tasks.find("t")

    assert step(step_stack, "publish", **inputs) == first

    assert step_stack.services.tasks.find("t") == before


def test_who_waits_for_word_gets_it_after_publishing(step_stack: FakeVideoStack) -> None:
    step_stack.services.tasks.remove("t")
    request = replace(REQUEST, callback_url="https://c.example/")
    step_stack.services.tasks.add(step_stack.services.tasks.new("t", request, "me", 1000))

    assert step(step_stack, "publish", **up_to_publish(step_stack)) == {"notify": True}


@pytest.mark.parametrize("name", ["voice", "footage", "plan", "clip", "sound", "assemble", "publish"])
def test_no_step_begins_for_a_task_that_was_cancelled(step_stack: FakeVideoStack, name: str) -> None:
    inputs = up_to_publish(step_stack)
    step_stack.services.tasks.end("t", "cancelled", {})

    def fail_if_called(*_: Any, **__: Any) -> str:
        raise AssertionError("the step was made")

    for module, maker in (
        (voice_over, "make"),
        (footage, "find"),
        (clip, "make"),
        (assemble, "make_sound"),
        (assemble, "join"),
        (poster, "make"),
    ):
        step_stack.patch.setattr(module, maker, fail_if_called)
    with pytest.raises(errors.Cancelled):
        step(step_stack, name, index=0, found="", **inputs)


def test_a_video_cancelled_while_it_is_published_leaves_nothing(step_stack: FakeVideoStack) -> None:
    inputs = up_to_publish(step_stack)
    make = poster.make

    def cancelled_meanwhile(*arguments: Any, **named: Any) -> str:
        step_stack.services.tasks.end("t", "cancelled", {})
        return make(*arguments, **named)

    step_stack.patch.setattr(poster, "make", cancelled_meanwhile)
    with pytest.raises(errors.Cancelled):
        step(step_stack, "publish", **inputs)

    assert step_stack.services.storage.head("outputs", "videos/t/short.mp4") is None
    assert step_stack.services.storage.head("outputs", "videos/t/poster.jpg") is None


WORK = (
    "work/voice/a.json",
    "work/footage/a.json",
    "work/clip/0.json",
    "work/clip/1.json",
    "work/sound/a.m4a",
    "work/video/a.mp4",
)


def existing(stack: FakeVideoStack, *keys: str) -> list[str]:
    return [key for key in keys if stack.services.storage.head("outputs", key)]


def task_of(stack: FakeVideoStack) -> Task:
    task = stack.services.tasks.find("t")
    assert task
    return task


def test_a_task_knows_the_work_of_its_steps(step_stack: FakeVideoStack) -> None:
    inputs = up_to_publish(step_stack)
    assert task_of(step_stack).artifact_keys == {*WORK, inputs["plan"]}

    step(step_stack, "publish", **inputs)

    assert task_of(step_stack).artifact_keys == {*WORK, inputs["plan"], "work/poster/a.jpg"}


@pytest.mark.parametrize("end", ["succeeded", "failed", "running"])
def test_deleting_a_task_deletes_files_work_and_what_was_asked_for(step_stack: FakeVideoStack, end: str) -> None:
    step_stack.services.tasks.remove("t")
    private = VideoRequest(SECRET, "sea of secrets", callback_url="https://c.example/?token=42")
    step_stack.services.tasks.add(step_stack.services.tasks.new("t", private, "me", 1000))
    inputs = up_to_publish(step_stack)
    if end == "succeeded":
        step(step_stack, "publish", **inputs)
    elif end == "failed":
        step(step_stack, "fail", error="EncodingFailed", cause="None.")
        assert existing(step_stack, *WORK) == list(WORK), "a new task goes on from there"
    all_keys = [*task_of(step_stack).artifact_keys, *values.file_keys("t").values()]
    step_stack.services.storage.delete("outputs", "work/clip/1.json")  # by somebody else, or it expired

    for _ in range(2):
        lifecycle.delete(task_of(step_stack), step_stack.services)

    assert existing(step_stack, *all_keys) == []
    after = task_of(step_stack)
    assert after.status == ("cancelled" if end == "running" else end)
    assert after.digest == digest(private)
    assert not after.artifact_keys
    item = step_stack.services.tasks._client().get_item(
        TableName=step_stack.services.settings.state_table, Key={"id": {"S": "task#t"}}
    )
    for text in (SECRET, "sea of secrets", "c.example", "token=42"):
        assert text not in json.dumps(item["Item"])
    assert step(step_stack, "notify", attempt=1) == {"notify": False}, "nobody waits for word of it"


def test_what_is_left_by_a_deletion_that_broke_off_is_deleted_by_the_next(step_stack: FakeVideoStack) -> None:
    inputs = up_to_publish(step_stack)
    step(step_stack, "publish", **inputs)

    def fail(*_: Any) -> None:
        raise errors.StorageFailed("S3 did not answer.")

    with step_stack.patch.context() as patch:
        patch.setattr(step_stack.services.storage, "delete", fail)
        with pytest.raises(errors.StorageFailed):
            lifecycle.delete(task_of(step_stack), step_stack.services)
    assert step_stack.http("GET", "/download/t").status in (404, 410)

    lifecycle.delete(task_of(step_stack), step_stack.services)

    assert existing(step_stack, *WORK, *values.file_keys("t").values()) == []


def ends_meanwhile(step_stack: FakeVideoStack, how: Callable[[], object]) -> None:
    """Let the first clip be made while something becomes of its task."""
    make = clip.make

    def meanwhile(*arguments: Any, **named: Any) -> str:
        key = make(*arguments, **named)
        how()
        return key

    step_stack.patch.setattr(clip, "make", meanwhile)
    keys = {**step(step_stack, "voice"), **step(step_stack, "footage")}
    output = step(step_stack, "plan", **keys)
    with pytest.raises(errors.Cancelled):
        step(step_stack, "clip", index=0, voice=output["voice"], plan=output["plan"])


def test_a_step_that_ends_after_its_task_was_deleted_deletes_what_it_made(step_stack: FakeVideoStack) -> None:
    ends_meanwhile(step_stack, lambda: lifecycle.delete(task_of(step_stack), step_stack.services))

    assert existing(step_stack, *WORK) == []
    assert task_of(step_stack).artifact_keys == frozenset()


def test_a_step_that_ends_after_its_task_failed_keeps_what_it_made(step_stack: FakeVideoStack) -> None:
    ends_meanwhile(step_stack, lambda: step(step_stack, "fail", error="EncodingFailed", cause="None."))

    assert existing(step_stack, "work/clip/0.json")
    assert "work/clip/0.json" in task_of(step_stack).artifact_keys, "so that it can be deleted"


def test_what_a_failed_step_made_is_its_tasks_too(step_stack: FakeVideoStack) -> None:
    def speak_one_chunk(*inputs: Any) -> str:
        context_of(inputs).artifacts.put_bytes("work/speech/a.mp3", b"part", "audio/mpeg")
        raise errors.ProviderFailed("ElevenLabs answered with status 500.")

    step_stack.patch.setattr(voice_over, "make", speak_one_chunk)
    with pytest.raises(errors.ProviderFailed):
        step(step_stack, "voice")

    assert task_of(step_stack).artifact_keys == {"work/speech/a.mp3"}


@pytest.mark.parametrize("gone", ["voice", "plan", "clips", "video"])
def test_a_step_that_relies_on_what_is_gone_says_so_for_the_steps_before_it(
    step_stack: FakeVideoStack, gone: str
) -> None:
    inputs = up_to_publish(step_stack)
    key = inputs[gone][0] if gone == "clips" else inputs[gone]
    step_stack.services.storage.delete("outputs", key)

    with pytest.raises(errors.WorkGone):
        step(step_stack, "publish", **inputs)


def test_a_fault_that_nobody_foresaw_tells_the_workflow_nothing(step_stack: FakeVideoStack) -> None:
    def breaks(*_: Any, **__: Any) -> str:
        raise ValueError(SECRET)

    step_stack.patch.setattr(voice_over, "make", breaks)
    with pytest.raises(errors.InternalError, match="ValueError") as raised:
        step(step_stack, "voice")

    assert SECRET not in "".join(traceback.format_exception(raised.value))


PRIVATE = {"query", "text", "script", "script_text", "search_query", "callback_url", "url", "voice_id", "words"}


def quoted(node: ast.Raise) -> set[str]:
    """Names whose values the message of an error holds; how long a value is says little of it."""
    inner = [each for text in ast.walk(node) if isinstance(text, ast.JoinedStr) for each in ast.walk(text)]
    lengths = {
        id(part)
        for call in inner
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "len"
        for part in ast.walk(call)
    }
    parts = [each for each in inner if id(each) not in lengths]
    return {getattr(each, "attr", getattr(each, "id", "")) for each in parts}


def test_no_error_of_a_video_quotes_what_was_asked_for() -> None:
    raised = [
        (path.name, node.lineno, quoted(node) & PRIVATE)
        for path in Path(steps.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise)
    ]

    assert len(raised) > 50
    assert [each for each in raised if each[2]] == []
    (example,) = ast.parse('raise NoFootage(f"Nothing for {request.search_query!r:.80} of {len(text)} letters.")').body
    assert isinstance(example, ast.Raise)
    assert quoted(example) & PRIVATE == {"search_query"}


def test_a_step_renews_the_lease_of_its_task(step_stack: FakeVideoStack) -> None:
    step_stack = step_stack.with_slots(1)
    for _ in range(5):
        step_stack.clock.at += 300
        step(step_stack, "voice")

    assert step_stack.post().status == 503


def test_a_lost_lease_does_not_stop_what_was_paid_for(step_stack: FakeVideoStack) -> None:
    step_stack = step_stack.with_slots(1)
    step_stack.clock.at += 1000
    step_stack.post()

    assert step(step_stack, "voice")["voice"]


def test_a_step_logs_no_script_no_url_and_no_key(
    step_stack: FakeVideoStack, capsys: pytest.CaptureFixture[str]
) -> None:
    request = VideoRequest(SECRET, "sea of secrets", callback_url="https://c.example/?token=42")
    step_stack.services.tasks.remove("t")
    step_stack.services.tasks.add(step_stack.services.tasks.new("t", request, "me", 1000))

    def fails(*_: Any, **__: Any) -> str:
        raise errors.ProviderFailed("ElevenLabs answered with status 500.")

    log = io.StringIO()
    logger = Logger(service=step_stack.services.settings.state_table, stream=log)
    for module in (steps, lifecycle):
        step_stack.patch.setattr(module, "logger", lambda: logger)
    step_stack.patch.setattr(voice_over, "make", fails)
    with pytest.raises(errors.ProviderFailed):
        step(step_stack, "voice")
    step(step_stack, "footage")
    step(step_stack, "fail", error="ProviderFailed", cause='{"errorMessage": "ElevenLabs answered with status 500."}')

    text = log.getvalue() + "".join(capsys.readouterr())
    assert '"ProviderFailed"' in text
    for private in (SECRET, "sea of secrets", "token=42", "elevenlabs-key", "pexels-key"):
        assert private not in text


def test_the_operators_voice_speaks_unless_the_request_names_one(step_stack: FakeVideoStack) -> None:
    voice_ids: list[str] = []

    def speaks(voice_id: str, service: VoiceService, context: StepContext) -> str:
        voice_ids.append(voice_id)
        assert service.identity == ElevenLabs.identity
        return "key"

    step_stack.patch.setattr(voice_over, "make", speaks)
    step_stack.patch.setenv("VOICE_ID", "operators")
    step(step_stack, "voice")
    step_stack.services.tasks.remove("t")
    step_stack.services.tasks.add(step_stack.services.tasks.new("t", replace(REQUEST, voice_id="mine"), "me", 1000))
    step(step_stack, "voice")

    assert voice_ids == ["operators", "mine"]


def test_a_failure_is_recorded_and_frees_the_slot(step_stack: FakeVideoStack) -> None:
    cause = json.dumps({"errorMessage": "Nothing was found.", "errorType": "NoFootage", "stackTrace": [SECRET]})

    output = step(step_stack, "fail", error="NoFootage", cause=cause)

    task = step_stack.services.tasks.find("t")
    assert output == {"error": "NoFootage", "cause": "Nothing was found.", "notify": False}
    assert task
    assert task.problem
    assert (task.status, task.problem["code"], task.problem["detail"]) == ("failed", "no_footage", "Nothing was found.")
    assert SECRET not in json.dumps(dict(task.problem))
    assert step_stack.with_slots(1).post().status == 202
    assert step(step_stack, "fail", error="NoFootage", cause=cause) == output, (
        "the answer of the first may have been lost"
    )


def test_what_lambda_says_of_a_dead_sandbox_or_a_full_house_is_an_error_of_ours() -> None:
    assert isinstance(workflow_error("Sandbox.Timedout", "x"), errors.OutOfTime)
    assert isinstance(workflow_error("States.Timeout", ""), errors.OutOfTime)
    full = workflow_error("Lambda.TooManyRequestsException", json.dumps({"errorMessage": SECRET}))
    assert type(full) is errors.AtCapacity
    assert full.retryable
    assert SECRET not in full.detail
    broken = workflow_error("ValueError", json.dumps({"errorMessage": SECRET}))
    assert type(broken) is errors.InternalError
    assert SECRET not in broken.detail
    for name, kind in errors.family().items():
        if kind is not errors.InternalError:
            assert type(workflow_error(name, '{"errorMessage": "Said."}')) is kind
            assert workflow_error(name, "").detail == kind.title


def test_a_step_whose_storage_fails_says_so_and_can_be_tried_again(step_stack: FakeVideoStack) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise errors.StorageFailed("Storage answered 500.")

    with step_stack.patch.context() as patch:
        patch.setattr(step_stack.services.storage, "write", fail)
        with pytest.raises(errors.StorageFailed):
            up_to_publish(step_stack)

    assert step(step_stack, "publish", **up_to_publish(step_stack)) == {"notify": False}


@pytest.mark.parametrize("payload", [{}, {"step": "else"}, {"step": ["voice"]}])
def test_an_unknown_step_is_refused(stack: FakeVideoStack, payload: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest):
        stack.invoke({"task_id": "t", **payload})


def event(status: str, **detail: Any) -> dict[str, Any]:
    return {
        "source": "aws.states",
        "detail-type": app.EXECUTION_ENDED,
        "detail": {"status": status, "input": json.dumps({"task_id": "t"}), **detail},
    }


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        (event("FAILED", error="NoFootage", cause="None."), "failed", "no_footage"),
        (event("FAILED", error="States.Runtime", cause=SECRET), "failed", "internal_error"),
        (event("FAILED"), "failed", "internal_error"),
        (event("TIMED_OUT"), "failed", "out_of_time"),
        (event("ABORTED"), "cancelled", "cancelled"),
    ],
)
def test_an_execution_that_ended_settles_its_task(
    step_stack: FakeVideoStack, payload: Any, status: str, code: str
) -> None:
    step_stack.services.tasks.enter("t")

    assert step_stack.invoke(payload) is None

    task = step_stack.services.tasks.find("t")
    assert task
    assert task.problem
    assert (task.status, task.problem["code"]) == (status, code)
    assert SECRET not in json.dumps(dict(task.problem))
    step_stack.clock.at += ENDING_SECONDS if status == "cancelled" else 0  # a step may still be at work
    assert step_stack.with_slots(1).post().status == 202, "the slot is free"


def test_a_step_whose_task_was_cancelled_meanwhile_frees_the_slot_that_was_kept_for_it(
    step_stack: FakeVideoStack,
) -> None:
    def cancelled(*_: Any, **__: Any) -> str:
        lifecycle.delete(step_stack.services.tasks.enter("t"), step_stack.services)
        assert step_stack.with_slots(1).post().status == 503, "this step is still at work"
        return "key"

    step_stack.patch.setattr(voice_over, "make", cancelled)

    with pytest.raises(errors.Cancelled):
        step(step_stack, "voice")

    assert step_stack.with_slots(1).post().status == 202


def test_a_task_that_is_over_stays_as_it_is_and_nobody_is_called_twice(step_stack: FakeVideoStack) -> None:
    step_stack.finish("t")
    before = step_stack.services.tasks.find("t")

    step_stack.invoke(event("FAILED", error="NoFootage", cause="None."))

    assert step_stack.services.tasks.find("t") == before


def test_a_settled_task_is_told_once(step_stack: FakeVideoStack) -> None:
    with StandIns() as standins:
        origins = frozenset(standins.environment["TRUSTED_ORIGINS"].split(","))
        settings = replace(step_stack.services.settings, trusted_origins=origins)
        calling = replace(step_stack, services=replace(step_stack.services, settings=settings))
        task_id = calling.http("POST", "/generate-video", {**BODY, "callback_url": standins.callback_url}).body[
            "task_id"
        ]
        payload = event("TIMED_OUT", input=json.dumps({"task_id": task_id}))

        calling.invoke(payload)
        calling.invoke(payload)

        assert [json.loads(body)["data"]["problem"]["code"] for _, body in standins.callbacks] == ["out_of_time"]
