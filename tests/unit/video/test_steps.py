"""The steps as the workflow calls them, and the tasks of executions that ended by themselves."""

from __future__ import annotations

import ast
import io
import json
import tempfile
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_lambda_powertools import Logger

from functions.video import app, steps, values
from functions.video.artifacts import ArtifactStore
from functions.video.providers import elevenlabs
from functions.video.render import assemble, clip, footage, plan, poster
from functions.video.render import voice_over as voice
from functions.video.tasks import lifecycle
from functions.video.tasks.lifecycle import failure
from functions.video.tasks.slots import ENDING_SECONDS
from functions.video.tasks.store import Task, digest
from functions.video.values import Clip, Footage, Plan, Rendition, SearchResult, Segment, VideoRequest, VoiceOver, Word
from layers.core import errors
from local.standins.servers import StandIns
from tests.unit.video.fake_stack import BODY, REQUEST, FakeVideoStack

SECRET = "a sentence that nobody else should read"
WORDS = (Word("Say", 0.0, 0.5, 0, 3), Word("this.", 0.5, 1.0, 4, 9, ends_sentence=True))
VOICE = VoiceOver("work/voice/a.flac", 2.0, WORDS, aligned=True)


FILES = (Rendition("https://f.example/", 720, 1280),)


def shown(name: str) -> Footage:
    return Footage(
        name,
        10.0,
        f"https://p.example/{name}",
        f"{name}'s",
        f"https://p.example/by-{name}",
        (Rendition("https://f.example/", 720, 1280),),
    )


SEA, SKY, DUNE = shown("sea"), shown("sky"), shown("dune")
PLAN = Plan(60, (Segment(0, 0, 30, SEA), Segment(1, 30, 30, SKY)), (DUNE,))
CLIPS = (Clip("work/clip/0.mp4", 0, 30, SEA, 1000), Clip("work/clip/1.mp4", 1, 30, DUNE, 2000))


@pytest.fixture
def made(world: FakeVideoStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeVideoStack]:
    """A running task "t" whose steps are done by stubs that put what they would make."""
    services, patch = world.services, world.patch
    world.services.slots.take("t", "ann")
    services.tasks.add(services.tasks.new("t", REQUEST, "me", 1000))

    def put(key: str, value: Any) -> Callable[..., str]:
        def make(*_: Any, work: ArtifactStore, **__: Any) -> str:
            work.put(key, value)
            return key

        return make

    patch.setattr(voice, "voice_over", put("work/voice/a.json", VOICE))
    patch.setattr(footage, "find", put("work/footage/a.json", SearchResult("sea", (SEA, SKY, DUNE))))
    patch.setattr(plan, "lay_out", lambda voice, found: PLAN)
    patch.setattr(
        clip,
        "make",
        lambda segment, *_, work, **__: put(f"work/clip/{segment.index}.json", CLIPS[segment.index])(work=work),
    )

    def file(key: str) -> Callable[..., str]:
        def make(*_: Any, work: ArtifactStore, **__: Any) -> str:
            work.put_bytes(key, key.encode(), "x/y")
            return key

        return make

    patch.setattr(assemble, "sound", file("work/sound/a.m4a"))
    patch.setattr(assemble, "join", file("work/video/a.mp4"))
    patch.setattr(poster, "make", file("work/poster/a.jpg"))
    temporary = tmp_path_factory.mktemp("temporary")
    patch.setattr(tempfile, "tempdir", str(temporary))
    yield world
    assert list(temporary.iterdir()) == [], "a step left its folder"


def step(world: FakeVideoStack, name: str, **payload: Any) -> Any:
    return world.invoke({"step": name, "task_id": "t", **payload})


def up_to_publish(world: FakeVideoStack) -> dict[str, Any]:
    """All but the last step, wired as the workflow wires them; what publish is given."""
    spoken, found = step(world, "voice"), step(world, "footage")
    planned = step(world, "plan", voice=spoken["voice"], found=found["found"])
    keys = {"voice": planned["voice"], "plan": planned["plan"]}
    clips = [step(world, "clip", index=index, **keys)["clip"] for index in planned["segments"]]
    assert step(world, "sound", **keys) == {"sound": "work/sound/a.m4a"}
    return {"clips": clips, **keys, "video": step(world, "assemble", clips=clips, **keys)["video"]}


def test_the_steps_hand_each_other_what_they_need(made: FakeVideoStack) -> None:
    answer = step(made, "publish", **up_to_publish(made))

    task = made.services.tasks.find("t")
    assert answer == {"notify": False}
    assert task
    assert task.published
    assert task.status == "succeeded"
    assert task.published.seconds == 2
    assert [each.footage_url for each in task.published.credits] == [SEA.page_url, DUNE.page_url], "what is really seen"
    bucket = made.buckets / "outputs"
    assert (bucket / task.published.video).read_bytes() == b"work/video/a.mp4"
    assert (bucket / task.published.poster).read_bytes() == b"work/poster/a.jpg"
    assert b"this." in (bucket / str(task.published.srt)).read_bytes()
    assert (bucket / str(task.published.vtt)).read_bytes().startswith(b"WEBVTT")


def test_publishing_frees_the_slot(made: FakeVideoStack) -> None:
    given = up_to_publish(made)
    made.services.slots.take("other", "ann")
    assert made.post().status == 503

    step(made, "publish", **given)

    assert made.post().status == 202


def test_publishing_again_after_a_lost_answer_changes_nothing(made: FakeVideoStack) -> None:
    given = up_to_publish(made)
    first = step(made, "publish", **given)
    before = made.services.tasks.find("t")

    assert step(made, "publish", **given) == first

    assert made.services.tasks.find("t") == before


def test_who_waits_for_word_gets_it_after_publishing(made: FakeVideoStack) -> None:
    made.services.tasks.remove("t")
    request = replace(REQUEST, callback_url="https://c.example/")
    made.services.tasks.add(made.services.tasks.new("t", request, "me", 1000))

    assert step(made, "publish", **up_to_publish(made)) == {"notify": True}


@pytest.mark.parametrize("name", ["voice", "footage", "plan", "clip", "sound", "assemble", "publish"])
def test_no_step_begins_for_a_task_that_was_cancelled(made: FakeVideoStack, name: str) -> None:
    given = up_to_publish(made)
    made.services.tasks.end("t", "cancelled", {})

    def called(*_: Any, **__: Any) -> str:
        raise AssertionError("the step was made")

    for module, maker in (
        (voice, "voice_over"),
        (footage, "find"),
        (clip, "make"),
        (assemble, "sound"),
        (assemble, "join"),
        (poster, "make"),
    ):
        made.patch.setattr(module, maker, called)
    with pytest.raises(errors.Cancelled):
        step(made, name, index=0, found="", **given)


def test_a_video_cancelled_while_it_is_published_leaves_nothing(made: FakeVideoStack) -> None:
    given = up_to_publish(made)
    make = poster.make

    def cancelled_meanwhile(*arguments: Any, **named: Any) -> str:
        made.services.tasks.end("t", "cancelled", {})
        return make(*arguments, **named)

    made.patch.setattr(poster, "make", cancelled_meanwhile)
    with pytest.raises(errors.Cancelled):
        step(made, "publish", **given)

    assert made.services.storage.head("outputs", "videos/t/short.mp4") is None
    assert made.services.storage.head("outputs", "videos/t/poster.jpg") is None


WORK = (
    "work/voice/a.json",
    "work/footage/a.json",
    "work/clip/0.json",
    "work/clip/1.json",
    "work/sound/a.m4a",
    "work/video/a.mp4",
)


def there(world: FakeVideoStack, *keys: str) -> list[str]:
    return [key for key in keys if world.services.storage.head("outputs", key)]


def task_of(world: FakeVideoStack) -> Task:
    task = world.services.tasks.find("t")
    assert task
    return task


def test_a_task_knows_the_work_of_its_steps(made: FakeVideoStack) -> None:
    inputs = up_to_publish(made)
    assert task_of(made).work == {*WORK, inputs["plan"]}

    step(made, "publish", **inputs)

    assert task_of(made).work == {*WORK, inputs["plan"], "work/poster/a.jpg"}


@pytest.mark.parametrize("end", ["succeeded", "failed", "running"])
def test_deleting_a_task_deletes_files_work_and_what_was_asked_for(made: FakeVideoStack, end: str) -> None:
    made.services.tasks.remove("t")
    private = VideoRequest(SECRET, "sea of secrets", callback_url="https://c.example/?token=42")
    made.services.tasks.add(made.services.tasks.new("t", private, "me", 1000))
    inputs = up_to_publish(made)
    if end == "succeeded":
        step(made, "publish", **inputs)
    elif end == "failed":
        step(made, "fail", error="EncodingFailed", cause="None.")
        assert there(made, *WORK) == list(WORK), "a new task goes on from there"
    all_keys = [*task_of(made).work, *values.file_keys("t").values()]
    made.services.storage.delete("outputs", "work/clip/1.json")  # by somebody else, or it expired

    for _ in range(2):
        lifecycle.delete(task_of(made), made.services)

    assert there(made, *all_keys) == []
    after = task_of(made)
    assert after.status == ("cancelled" if end == "running" else end)
    assert after.digest == digest(private)
    assert not after.work
    item = made.services.tasks._client().get_item(
        TableName=made.services.settings.state_table, Key={"id": {"S": "task#t"}}
    )
    for text in (SECRET, "sea of secrets", "c.example", "token=42"):
        assert text not in json.dumps(item["Item"])
    assert step(made, "notify", attempt=1) == {"notify": False}, "nobody waits for word of it"


def test_what_is_left_by_a_deletion_that_broke_off_is_deleted_by_the_next(made: FakeVideoStack) -> None:
    inputs = up_to_publish(made)
    step(made, "publish", **inputs)

    def fail(*_: Any) -> None:
        raise errors.StorageFailed("S3 did not answer.")

    with made.patch.context() as patch:
        patch.setattr(made.services.storage, "delete", fail)
        with pytest.raises(errors.StorageFailed):
            lifecycle.delete(task_of(made), made.services)
    assert made.http("GET", "/download/t").status in (404, 410)

    lifecycle.delete(task_of(made), made.services)

    assert there(made, *WORK, *values.file_keys("t").values()) == []


def ends_meanwhile(made: FakeVideoStack, how: Callable[[], object]) -> None:
    """Let the first clip be made while something becomes of its task."""
    make = clip.make

    def meanwhile(*arguments: Any, **named: Any) -> str:
        key = make(*arguments, **named)
        how()
        return key

    made.patch.setattr(clip, "make", meanwhile)
    keys = {**step(made, "voice"), **step(made, "footage")}
    planned = step(made, "plan", **keys)
    with pytest.raises(errors.Cancelled):
        step(made, "clip", index=0, voice=planned["voice"], plan=planned["plan"])


def test_a_step_that_ends_after_its_task_was_deleted_deletes_what_it_made(made: FakeVideoStack) -> None:
    ends_meanwhile(made, lambda: lifecycle.delete(task_of(made), made.services))

    assert there(made, *WORK) == []
    assert task_of(made).work == frozenset()


def test_a_step_that_ends_after_its_task_failed_keeps_what_it_made(made: FakeVideoStack) -> None:
    ends_meanwhile(made, lambda: step(made, "fail", error="EncodingFailed", cause="None."))

    assert there(made, "work/clip/0.json")
    assert "work/clip/0.json" in task_of(made).work, "so that it can be deleted"


def test_what_a_failed_step_made_is_its_tasks_too(made: FakeVideoStack) -> None:
    def speaks_a_part(*_: Any, work: ArtifactStore, **__: Any) -> str:
        work.put_bytes("work/speech/a.mp3", b"part", "audio/mpeg")
        raise errors.ProviderFailed("ElevenLabs answered with status 500.")

    made.patch.setattr(voice, "voice_over", speaks_a_part)
    with pytest.raises(errors.ProviderFailed):
        step(made, "voice")

    assert task_of(made).work == {"work/speech/a.mp3"}


@pytest.mark.parametrize("gone", ["voice", "plan", "clips", "video"])
def test_a_step_that_relies_on_what_is_gone_says_so_for_the_steps_before_it(made: FakeVideoStack, gone: str) -> None:
    inputs = up_to_publish(made)
    key = inputs[gone][0] if gone == "clips" else inputs[gone]
    made.services.storage.delete("outputs", key)

    with pytest.raises(errors.WorkGone):
        step(made, "publish", **inputs)


def test_a_fault_that_nobody_foresaw_tells_the_workflow_nothing(made: FakeVideoStack) -> None:
    def breaks(*_: Any, **__: Any) -> str:
        raise ValueError(SECRET)

    made.patch.setattr(voice, "voice_over", breaks)
    with pytest.raises(errors.InternalError, match="ValueError") as raised:
        step(made, "voice")

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


def test_a_step_renews_the_lease_of_its_task(made: FakeVideoStack) -> None:
    made = made.limited_to(1)
    for _ in range(5):
        made.clock.at += 300
        step(made, "voice")

    assert made.post().status == 503


def test_a_lost_lease_does_not_stop_what_was_paid_for(made: FakeVideoStack) -> None:
    made = made.limited_to(1)
    made.clock.at += 1000
    made.post()

    assert step(made, "voice")["voice"]


def test_a_step_logs_no_script_no_url_and_no_key(made: FakeVideoStack, capsys: pytest.CaptureFixture[str]) -> None:
    request = VideoRequest(SECRET, "sea of secrets", callback_url="https://c.example/?token=42")
    made.services.tasks.remove("t")
    made.services.tasks.add(made.services.tasks.new("t", request, "me", 1000))

    def fails(*_: Any, **__: Any) -> str:
        raise errors.ProviderFailed("ElevenLabs answered with status 500.")

    log = io.StringIO()
    logger = Logger(service=made.services.settings.state_table, stream=log)
    for module in (steps, lifecycle):
        made.patch.setattr(module, "logger", lambda: logger)
    made.patch.setattr(voice, "voice_over", fails)
    with pytest.raises(errors.ProviderFailed):
        step(made, "voice")
    step(made, "footage")
    step(made, "fail", error="ProviderFailed", cause='{"errorMessage": "ElevenLabs answered with status 500."}')

    said = log.getvalue() + "".join(capsys.readouterr())
    assert '"ProviderFailed"' in said
    for private in (SECRET, "sea of secrets", "token=42", "elevenlabs-key", "pexels-key"):
        assert private not in said


def test_the_operators_voice_speaks_unless_the_request_names_one(made: FakeVideoStack) -> None:
    heard: list[str] = []

    def speaks(text: str, voice_id: str, **named: Any) -> str:
        heard.append(voice_id)
        assert named["service"].name == elevenlabs.ElevenLabs.name
        return "key"

    made.patch.setattr(voice, "voice_over", speaks)
    made.patch.setenv("VOICE_ID", "operators")
    step(made, "voice")
    made.services.tasks.remove("t")
    made.services.tasks.add(made.services.tasks.new("t", replace(REQUEST, voice_id="mine"), "me", 1000))
    step(made, "voice")

    assert heard == ["operators", "mine"]


def test_a_failure_is_recorded_and_frees_the_slot(made: FakeVideoStack) -> None:
    cause = json.dumps({"errorMessage": "Nothing was found.", "errorType": "NoFootage", "stackTrace": [SECRET]})

    answer = step(made, "fail", error="NoFootage", cause=cause)

    task = made.services.tasks.find("t")
    assert answer == {"error": "NoFootage", "cause": "Nothing was found.", "notify": False}
    assert task
    assert task.problem
    assert (task.status, task.problem["code"], task.problem["detail"]) == ("failed", "no_footage", "Nothing was found.")
    assert SECRET not in json.dumps(dict(task.problem))
    assert made.limited_to(1).post().status == 202
    assert step(made, "fail", error="NoFootage", cause=cause) == answer, "the answer of the first may have been lost"


def test_what_lambda_says_of_a_dead_sandbox_or_a_full_house_is_an_error_of_ours() -> None:
    assert isinstance(failure("Sandbox.Timedout", "x"), errors.OutOfTime)
    assert isinstance(failure("States.Timeout", ""), errors.OutOfTime)
    full = failure("Lambda.TooManyRequestsException", json.dumps({"errorMessage": SECRET}))
    assert type(full) is errors.AtCapacity
    assert full.retryable
    assert SECRET not in full.detail
    broken = failure("ValueError", json.dumps({"errorMessage": SECRET}))
    assert type(broken) is errors.InternalError
    assert SECRET not in broken.detail
    for name, kind in errors.family().items():
        if kind is not errors.InternalError:
            assert type(failure(name, '{"errorMessage": "Said."}')) is kind
            assert failure(name, "").detail == kind.title


def test_a_step_whose_storage_fails_says_so_and_can_be_tried_again(made: FakeVideoStack) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise errors.StorageFailed("Storage answered 500.")

    with made.patch.context() as patch:
        patch.setattr(made.services.storage, "write", fail)
        with pytest.raises(errors.StorageFailed):
            up_to_publish(made)

    assert step(made, "publish", **up_to_publish(made)) == {"notify": False}


@pytest.mark.parametrize("payload", [{}, {"step": "else"}, {"step": ["voice"]}])
def test_an_unknown_step_is_refused(world: FakeVideoStack, payload: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidRequest):
        world.invoke({"task_id": "t", **payload})


def event(status: str, **detail: Any) -> dict[str, Any]:
    return {
        "source": "aws.states",
        "detail-type": app.ENDED,
        "detail": {"status": status, "input": json.dumps({"task_id": "t"}), **detail},
    }


@pytest.mark.parametrize(
    ("told", "status", "code"),
    [
        (event("FAILED", error="NoFootage", cause="None."), "failed", "no_footage"),
        (event("FAILED", error="States.Runtime", cause=SECRET), "failed", "internal_error"),
        (event("FAILED"), "failed", "internal_error"),
        (event("TIMED_OUT"), "failed", "out_of_time"),
        (event("ABORTED"), "cancelled", "cancelled"),
    ],
)
def test_an_execution_that_ended_settles_its_task(made: FakeVideoStack, told: Any, status: str, code: str) -> None:
    made.services.tasks.enter("t")

    assert made.invoke(told) is None

    task = made.services.tasks.find("t")
    assert task
    assert task.problem
    assert (task.status, task.problem["code"]) == (status, code)
    assert SECRET not in json.dumps(dict(task.problem))
    made.clock.at += ENDING_SECONDS if status == "cancelled" else 0  # a step may still be at work
    assert made.limited_to(1).post().status == 202, "the slot is free"


def test_a_step_whose_task_was_cancelled_meanwhile_frees_the_slot_that_was_kept_for_it(made: FakeVideoStack) -> None:
    def cancelled(*_: Any, **__: Any) -> str:
        lifecycle.delete(made.services.tasks.enter("t"), made.services)
        assert made.limited_to(1).post().status == 503, "this step is still at work"
        return "key"

    made.patch.setattr(voice, "voice_over", cancelled)

    with pytest.raises(errors.Cancelled):
        step(made, "voice")

    assert made.limited_to(1).post().status == 202


def test_a_task_that_is_over_stays_as_it_is_and_nobody_is_called_twice(made: FakeVideoStack) -> None:
    made.finished("t")
    before = made.services.tasks.find("t")

    made.invoke(event("FAILED", error="NoFootage", cause="None."))

    assert made.services.tasks.find("t") == before


def test_a_settled_task_is_told_once(made: FakeVideoStack) -> None:
    with StandIns() as standins:
        origins = frozenset(standins.environment["TRUSTED_ORIGINS"].split(","))
        settings = replace(made.services.settings, trusted_origins=origins)
        calling = replace(made, services=replace(made.services, settings=settings))
        task_id = calling.http("POST", "/generate-video", {**BODY, "callback_url": standins.callback_url}).body[
            "task_id"
        ]
        told = event("TIMED_OUT", input=json.dumps({"task_id": task_id}))

        calling.invoke(told)
        calling.invoke(told)

        assert [json.loads(body)["data"]["problem"]["code"] for _, body in standins.callbacks] == ["out_of_time"]
