"""The HTTP API of videos: what is refused, who may see what, and that a task begins and ends whole."""

from __future__ import annotations

import hashlib
import io
import json
import math
import time
from dataclasses import replace
from typing import Any, cast

import pytest

from functions.video import dry_run
from functions.video.context import CallerContext
from functions.video.cost import DRY_RUN_SECONDS
from functions.video.entry import http_api
from functions.video.entry.schemas import VideoBody
from functions.video.tasks.lifecycle import delete
from functions.video.tasks.slots import LEASE_SECONDS
from functions.video.tasks.store import Task
from functions.video.values import CaptionStyle, Scene
from functions.video.webhook_signature import derive_secret
from layers.core.budget import Budget
from layers.core.errors import ColdswapError
from layers.core.operator_settings import OperatorSettings
from layers.core.telemetry import logger
from layers.core.terms import VERSION, Terms
from local.standins.servers import CALLBACK_SECRET, StandIns
from tests.unit.video.fake_stack import BODY, ME, OTHER, REQUEST, FakeVideoStack


def test_a_video_is_asked_for_and_followed(stack: FakeVideoStack) -> None:
    response = stack.post()

    task_id = response.body["task_id"]
    assert response.status == 202
    assert response.headers["Location"] == f"/task/{task_id}" == response.body["links"]["self"]
    assert (response.body["status"], response.body["stage"], response.body["progress"]) == ("queued", "queued", 0)
    assert stack.executions.started == [(task_id, task_id)]
    later = stack.http("GET", f"/task/{task_id}")
    assert later.body == response.body
    assert int(later.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"script_text": ""}, "script_text"),
        ({"script_text": " \n\t"}, "script_text"),
        ({"script_text": "\u00a0\u200b\u2060"}, "script_text"),
        ({"script_text": "... \u2014 !"}, "script_text"),
        ({"script_text": '<break time="1s"/>'}, "script_text"),
        ({"script_text": "a\x00b"}, "script_text"),
        ({"script_text": "a\x1b[2Jb"}, "script_text"),
        ({"script_text": 7}, "script_text"),
        ({"script_text": None}, "script_text"),
        ({"search_query": "  "}, "search_query"),
        ({"search_query": "a\nb"}, "search_query"),
        ({"search_query": "x" * 201}, "search_query"),
        ({"voice_id": "../v1/user"}, "voice_id"),
        ({"voice_id": ""}, "voice_id"),
        ({"quality": "best"}, "quality"),
        ({"captions": "maybe"}, "captions"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_in_the_body_is_named(stack: FakeVideoStack, change: dict[str, Any], field: str) -> None:
    response = stack.http("POST", "/generate-video", {**BODY, **change})

    assert response.status == 400
    assert response.body["code"] == "invalid_request"
    assert field in response.body["detail"]
    assert not stack.executions.started


def test_null_for_an_optional_field_is_the_same_as_leaving_it_out(stack: FakeVideoStack) -> None:
    nulls = {name: None for name, field in VideoBody.model_fields.items() if not field.is_required()}
    assert len(nulls) == 13

    first = stack.http("POST", "/generate-video", {**nulls, **BODY}, Idempotency_Key="k")

    assert first.status == 202
    assert stack.http("POST", "/generate-video", BODY, Idempotency_Key="k").body["task_id"] == first.body["task_id"]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"script_text": 7}, "script_text must be text."),
        ({"script_text": None}, "The body must have either script_text or scenes."),
        ({"scenes": [{"text": "Hi."}]}, "The body must have either script_text or scenes."),
        (
            {"script_text": None, "scenes": [{"text": "Hi."}]},
            "The body must not have search_query beside scenes, which have their own.",
        ),
        ({"search_query": ["sea", " "]}, "search_query[1] must not be blank."),
        ({"search_query": []}, "search_query must not be empty."),
        ({"search_query": 7}, "search_query must be text."),
        ({"script_text": " "}, "script_text must not be blank."),
        ({"search_query": "x" * 201}, "search_query must have at most 200 characters."),
        ({"voice_id": "../v1/user"}, "voice_id must have 1 to 64 letters and digits, and nothing else."),
        ({"voice_id": "a\n"}, "voice_id must have 1 to 64 letters and digits, and nothing else."),
        ({"quality": "best"}, 'quality must be "draft", "standard" or "high".'),
        ({"captions": "maybe"}, "captions must be true or false."),
        ({"captions": {"look": "loud"}}, 'captions.look must be "highlight", "boxed", "karaoke", "word" or "plain".'),
        ({"captions": {"accent": "red"}}, "captions.accent must be a colour such as #FFDD2B."),
        ({"captions": {"font": "../x.ttf"}}, "captions.font must be the name of a .ttf, .otf or .ttc file."),
        ({"captions": {"font": "Mine.ttf"}}, "This stack has no typeface 'Mine.ttf' for captions."),
        ({"voice": {}}, "voice must have either id or uri."),
        ({"voice": {"id": "a", "uri": "https://a.example/b"}}, "voice must have either id or uri."),
        ({"voice": {"uri": "file:///a"}}, "voice.uri must be an https URL, or the uri of an upload."),
        ({"voice": {"id": "a"}, "voice_id": "b"}, "The body must have either voice or voice_id."),
        ({"music": {"name": "../x.mp3"}}, "music.name must be the name of a file."),
        ({"music": {"name": "none.mp3"}}, "This stack has no music 'none.mp3'."),
        ({"aspect": "4:3"}, 'aspect must be "9:16", "1:1" or "16:9".'),
        ({"colour": "red"}, "colour is not a field of this request."),
    ],
)
def test_a_mistake_is_told_by_what_to_write(stack: FakeVideoStack, change: dict[str, Any], detail: str) -> None:
    assert stack.http("POST", "/generate-video", {**BODY, **change}).body["detail"] == detail


def with_scenes(*scenes: dict[str, Any]) -> dict[str, Any]:
    return {"scenes": list(scenes)}


@pytest.mark.parametrize(
    ("scene", "code", "detail"),
    [
        ({"text": " "}, "invalid_request", "scenes[0].text must not be blank."),
        (
            {"text": "Hi.", "search_query": "sea", "clip": "https://my.example/a.mp4"},
            "invalid_request",
            "scenes[0] must have search_query or clip, not both.",
        ),
        (
            {"text": "Hi.", "clip": "data:,"},
            "invalid_request",
            "scenes[0].clip must be an https URL, or the uri of an upload.",
        ),
        ({"text": "Hi.", "clip": "http://my.example/a.mp4"}, "refused_url", "scenes[0].clip: "),
        ({"text": "Hi.", "clip": "https://127.0.0.1/a.mp4"}, "refused_url", "scenes[0].clip: "),
        ({"text": "Hi.", "clip": "s3://outputs/videos/a.mp4"}, "refused_url", "scenes[0].clip: "),
        ({"text": "Hi.", "clip": "s3://uploads/requests/somebody/a.mp4"}, "refused_url", "scenes[0].clip: "),
    ],
)
def test_a_scene_that_cannot_be_shown_is_refused_at_once(
    stack: FakeVideoStack, scene: dict[str, Any], code: str, detail: str
) -> None:
    settings = replace(stack.services.settings, uploads_bucket="uploads")
    stack = replace(stack, services=replace(stack.services, settings=settings))

    response = stack.http("POST", "/generate-video", with_scenes(scene))

    assert response.body["code"] == code
    assert response.body["detail"].startswith(detail)
    assert not stack.executions.started


def test_an_upload_of_one_s_own_whose_key_is_longer_than_any_is_refused_before_it_is_recorded(
    stack: FakeVideoStack,
) -> None:
    me = stack.services.pseudonyms.caller("iam:AIDAME")
    settings = replace(stack.services.settings, uploads_bucket="uploads")
    stack = replace(stack, services=replace(stack.services, settings=settings))
    own = f"s3://uploads/requests/{me}/"

    response = stack.http("POST", "/generate-video", with_scenes({"text": "Hi.", "clip": own + "k" * 1025}))

    assert response.body["code"] == "invalid_request"
    assert response.body["detail"] == "scenes[0].clip must be an https URL, or the uri of an upload."
    assert not stack.executions.started


def test_scenes_are_taken_in_place_of_a_script(stack: FakeVideoStack) -> None:
    me = stack.services.pseudonyms.caller("iam:AIDAME")
    settings = replace(stack.services.settings, uploads_bucket="uploads")
    stack = replace(stack, services=replace(stack.services, settings=settings))
    own = {"text": "Look at this.", "clip": f"s3://uploads/requests/{me}/a.jpg"}

    response = stack.http("POST", "/generate-video", with_scenes({"text": "Hi.", "search_query": "sea"}, own))

    assert response.status == 202
    request = cast(Task, stack.services.tasks.find(response.body["task_id"])).request
    assert request.script_text == "Hi.\n\nLook at this."
    assert request.scenes == (Scene("Hi.", "sea"), Scene("Look at this.", clip=own["clip"]))


def test_a_video_of_own_clips_needs_no_footage_service(stack: FakeVideoStack) -> None:
    stack.patch.delenv("PEXELS_API_KEY")
    own = {"text": "Hi.", "clip": "https://my.example/a.mp4"}

    assert stack.http("POST", "/generate-video", with_scenes(own)).status == 202
    assert stack.http("POST", "/generate-video", with_scenes(own, {"text": "And that."})).status == 503


def test_a_dry_run_shows_what_is_said_and_what_for(stack: FakeVideoStack) -> None:
    script = "A sailor stands on the beach and looks at the waves of the sea. The city never sleeps at night, and why?"
    with StandIns() as standins:
        stack = searching(stack, standins, seconds=100)
        plan = stack.http("POST", "/generate-video", {"script_text": script, "dry_run": True}).body

    assert " ".join(each["text"] for each in plan["segments"]) == script
    assert plan["segments"][0]["terms"][0] in ("sailor", "beach", "waves")
    assert "city" in plan["segments"][-1]["terms"]
    assert len({each["footage_url"] for each in plan["segments"]}) == len(plan["segments"])
    assert plan["budget_seconds"] == math.ceil(len(script) / 15)
    assert {each["source"] for each in plan["segments"]} == {"Pexels"}


def test_the_groups_of_a_request_reach_its_task(stack: FakeVideoStack) -> None:
    stack.services.storage.write("models", "music/calm.mp3", b"sound", "audio/mpeg")
    settings = replace(stack.services.settings, models_bucket="models")
    stack = replace(stack, services=replace(stack.services, settings=settings))
    groups = {
        "voice": {"id": "Amy"},
        "music": {"name": "calm.mp3"},
        "captions": {"look": "boxed", "accent": "#7b2ff7"},
        "aspect": "1:1",
        "resolution": "1080p",
    }

    response = stack.http("POST", "/generate-video", {**BODY, **groups})

    task = stack.services.tasks.find(response.body["task_id"])
    assert task
    assert task.request == replace(
        REQUEST,
        voice_id="Amy",
        music="music/calm.mp3",
        caption_style=CaptionStyle("boxed", accent="7B2FF7"),
        aspect="1:1",
        resolution="1080p",
    )


def test_a_body_that_is_no_json_is_told_where(stack: FakeVideoStack) -> None:
    response = stack.http("POST", "/generate-video", '{"script_text": "Hi",\n}')

    assert response.body["detail"].startswith("The body is not JSON: line 2, column 1: ")


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"x"'])
def test_what_is_no_object_is_refused(stack: FakeVideoStack, body: str) -> None:
    assert stack.http("POST", "/generate-video", body).status == 400


def test_half_a_surrogate_pair_is_refused(stack: FakeVideoStack) -> None:
    assert stack.http("POST", "/generate-video", '{"script_text": "\\ud83d", "search_query": "sea"}').status == 400


def test_a_script_in_any_language_and_layout_is_taken(stack: FakeVideoStack) -> None:
    script = "Zeile eins.\r\n\tZeile zwei: ภาษาไทย 👩‍🚀 مرحبا"

    assert stack.http("POST", "/generate-video", {**BODY, "script_text": script}).status == 202


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_script_that_captions_cannot_show_is_refused_before_anything_is_spent(
    stack: FakeVideoStack, dry_run: bool
) -> None:
    body = {**BODY, "script_text": "The word བོད is Tibetan.", "dry_run": dry_run}

    response = stack.http("POST", "/generate-video", body)

    assert (response.status, response.body["code"]) == (422, "unsupported_script")
    assert "Tibetan" in response.body["detail"]
    assert not stack.executions.started
    assert stack.http("POST", "/generate-video", {**body, "captions": False, "dry_run": False}).status == 202


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_typeface_that_is_not_published_is_told_before_anything_is_spent(
    stack: FakeVideoStack, dry_run: bool
) -> None:
    body = {**BODY, "script_text": "海洋覆盖了地球表面的百分之七十以上。", "dry_run": dry_run}

    response = stack.http("POST", "/generate-video", body)

    assert (response.status, response.body["code"]) == (503, "fonts_missing")
    assert "make fonts" in response.body["detail"]
    assert not stack.executions.started
    assert stack.http("POST", "/generate-video", {**body, "captions": False, "dry_run": False}).status == 202


def test_letters_of_markup_are_not_shown_and_so_not_refused(stack: FakeVideoStack) -> None:
    body = {**BODY, "script_text": "The sea <!-- བོད --> is old."}

    assert stack.http("POST", "/generate-video", body).status == 202


def test_a_typeface_that_cannot_be_used_is_told_before_anything_is_spent(stack: FakeVideoStack) -> None:
    operator_settings = OperatorSettings(caption_font="Brand.ttf")
    settings = replace(stack.services.settings, models_bucket="models", operator_settings=lambda: operator_settings)
    stack = replace(stack, services=replace(stack.services, settings=settings))

    response = stack.http("POST", "/generate-video", BODY)

    assert (response.status, response.body["code"]) == (503, "font_unusable")
    assert not stack.executions.started
    assert stack.http("POST", "/generate-video", {**BODY, "captions": False}).status == 202


def test_a_script_over_the_limit_is_too_long(stack: FakeVideoStack) -> None:
    response = stack.http("POST", "/generate-video", {**BODY, "script_text": "x" * 5001})

    assert (response.status, response.body["code"]) == (413, "script_too_long")


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/", "https://[::1]/", "https://0x7f.1/",
     "https://example.com:8443/", "https://u:p@example.com/", "ftp://example.com/", "x"],
)  # fmt: skip
def test_a_callback_to_where_nobody_may_call_is_refused_at_once(stack: FakeVideoStack, url: str) -> None:
    response = stack.http("POST", "/generate-video", {**BODY, "callback_url": url})

    assert (response.status, response.body["code"]) == (422, "refused_url")
    assert not stack.executions.started


@pytest.mark.parametrize("missing", ["PEXELS_API_KEY", "CALLBACK_SECRET"])
def test_a_key_that_is_needed_and_missing_is_told_before_anything_is_spent(stack: FakeVideoStack, missing: str) -> None:
    stack.patch.delenv(missing)

    response = stack.http("POST", "/generate-video", {**BODY, "callback_url": "https://example.com/"})

    assert (response.status, response.body["code"]) == (503, "keys_missing")
    assert missing in response.body["detail"]
    assert not stack.executions.started


def test_without_a_callback_no_secret_is_needed(stack: FakeVideoStack) -> None:
    stack.patch.delenv("CALLBACK_SECRET")

    assert stack.post().status == 202


def test_one_more_than_allowed_is_told_when_to_come_again(stack: FakeVideoStack) -> None:
    first, _ = stack.post(), stack.post()

    refusal = stack.post()

    assert (refusal.status, refusal.body["code"], refusal.body["retryable"]) == (503, "at_capacity", True)
    assert 1 <= int(refusal.headers["Retry-After"]) <= 60
    assert len(stack.executions.started) == 2
    stack.http("DELETE", f"/task/{first.body['task_id']}")
    assert stack.post().status == 202


def test_a_lease_of_what_died_expires(stack: FakeVideoStack) -> None:
    stack = stack.with_slots(1)
    stack.post()
    assert stack.post().status == 503

    stack.clock.at += LEASE_SECONDS

    assert stack.post().status == 202


def test_the_same_key_is_the_same_task(stack: FakeVideoStack) -> None:
    stack = stack.with_slots(1)
    first = stack.post(Idempotency_Key="k")
    task_id = first.body["task_id"]
    stack.services.tasks.enter(task_id)

    again = stack.post(Idempotency_Key="k")

    assert again.status == 202
    assert again.headers["Location"] == first.headers["Location"]
    assert again.body["status"] == "running"
    stack.finish(task_id)
    assert stack.post(Idempotency_Key="k").body["status"] == "succeeded"
    assert len(stack.executions.started) == 1
    assert stack.post(Idempotency_Key="other").status == 202, "the slot was freed and not taken again"


def test_the_same_key_with_another_body_is_a_mistake(stack: FakeVideoStack) -> None:
    stack.post(Idempotency_Key="k")

    response = stack.http("POST", "/generate-video", {**BODY, "captions": False}, Idempotency_Key="k")

    assert (response.status, response.body["code"]) == (422, "idempotency_conflict")


def test_another_callers_key_is_another_task(stack: FakeVideoStack) -> None:
    mine, theirs = stack.post(ME, Idempotency_Key="k"), stack.post(OTHER, Idempotency_Key="k")

    assert mine.body["task_id"] != theirs.body["task_id"]


def test_what_does_not_start_leaves_nothing(stack: FakeVideoStack) -> None:
    stack = stack.with_slots(1)
    stack.executions.broken = True
    failed = stack.post(Idempotency_Key="k")
    assert (failed.status, failed.body["retryable"]) == (503, True)

    stack.executions.broken = False

    assert stack.post(Idempotency_Key="k").status == 202
    assert len(stack.executions.started) == 1


def test_a_crash_before_the_start_is_mended_by_the_same_request(stack: FakeVideoStack) -> None:
    stack = stack.with_slots(1)
    first = stack.post(Idempotency_Key="k")
    stack.executions.started.clear()  # as if the sandbox had died after writing the item

    again = stack.post(Idempotency_Key="k")

    assert again.body["task_id"] == first.body["task_id"]
    assert stack.executions.started == [(f"{first.body['task_id']}-{int(stack.clock.at)}", first.body["task_id"])]


def test_a_task_is_its_callers_alone(stack: FakeVideoStack) -> None:
    task_id = stack.post(ME).body["task_id"]

    for method, path in (("GET", "task"), ("DELETE", "task"), ("GET", "download")):
        response = stack.http(method, f"/{path}/{task_id}", identity=OTHER)
        assert (response.status, response.body["code"]) == (404, "not_found")
    assert stack.http("GET", f"/task/{task_id}").body["status"] == "queued"


IN_ACCOUNT = "arn:aws:iam::123456789012"
IN_ROLE = "arn:aws:sts::123456789012:assumed-role/app/ann"


@pytest.mark.parametrize(
    ("owner", "caller", "reaches"),
    [
        (f"{IN_ACCOUNT}:user/ann", f"{IN_ACCOUNT}:user/ann", True),
        (f"{IN_ACCOUNT}:root", f"{IN_ACCOUNT}:root", True),
        (f"{IN_ACCOUNT}:user/ann", f"{IN_ACCOUNT}:user/bob", False),
        (IN_ROLE, IN_ROLE, False),  # whoever takes on the role names the session
        ("arn:aws:sts::123456789012:federated-user/ann", "arn:aws:sts::123456789012:federated-user/ann", False),
    ],
)
def test_a_task_of_the_version_before_is_still_an_iam_users(
    stack: FakeVideoStack, owner: str, caller: str, reaches: bool
) -> None:
    """That version kept a task under its owner's ARN."""
    tasks, identity = stack.services.tasks, {"iam": {"callerId": "AIDAANN:ann", "userArn": caller}}
    tasks.add(tasks.new("one", REQUEST, owner, 3600))

    for method, path in (("GET", "task"), ("GET", "download"), ("DELETE", "task")):
        response = stack.http(method, f"/{path}/one", identity=identity)
        assert (response.status not in (403, 404)) == reaches, response


@pytest.mark.parametrize("path", ["/task/nobody", "/download/nobody", "/video/else", "/generate-video"])
def test_what_is_not_there_is_404(stack: FakeVideoStack, path: str) -> None:
    response = stack.http("GET", path)

    assert response.status == 404
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_finished_video_is_linked_to(stack: FakeVideoStack) -> None:
    task_id = stack.post().body["task_id"]
    early = stack.http("GET", f"/download/{task_id}")
    assert (early.status, early.body["code"]) == (409, "not_ready")
    stack.finish(task_id)

    task = stack.http("GET", f"/task/{task_id}")

    assert task.body["links"] == {
        "self": f"/task/{task_id}",
        "download": f"/download/{task_id}",
        "poster": f"/download/{task_id}?file=poster",
        "srt": f"/download/{task_id}?file=srt",
    }
    assert (task.body["status"], task.body["progress"], task.body["seconds"], task.body["bytes"]) == (
        "succeeded", 1, 12.5, 5,
    )  # fmt: skip
    assert task.body["credits"][0]["photographer"] == "Ann"
    assert "Retry-After" not in task.headers
    for name, link in task.body["links"].items():
        response = stack.http("GET", link)
        if name != "self":
            assert response.status == 200
            assert response.headers["Cache-Control"] == "no-store"
            assert response.body["url"].startswith(f"https://outputs.example/videos/{task_id}/")
            redirect = stack.http("GET", f"{link}{'&' if '?' in link else '?'}redirect=true")
            assert (redirect.status, redirect.headers["Location"]) == (302, response.body["url"])
            assert not redirect.headers["Content-Type"].startswith("application/json"), "an empty body is no JSON"
    assert stack.http("GET", f"/download/{task_id}?file=vtt").status == 404, "this one has none"
    assert stack.http("GET", f"/download/{task_id}?file=other").status == 400


def test_an_old_video_has_expired(stack: FakeVideoStack) -> None:
    task_id = stack.post().body["task_id"]
    stack.finish(task_id)
    stack.clock.at += stack.services.settings.result_seconds

    response = stack.http("GET", f"/download/{task_id}")

    assert (response.status, response.body["code"]) == (410, "expired")
    assert stack.http("GET", f"/task/{task_id}").body["links"] == {"self": f"/task/{task_id}"}


def test_a_video_whose_file_is_gone_has_expired(stack: FakeVideoStack) -> None:
    task_id = stack.post().body["task_id"]
    stack.services.storage.delete("outputs", stack.finish(task_id).video)

    assert stack.http("GET", f"/download/{task_id}").status == 410


def test_cancelling_frees_the_slot_and_stops_the_workflow_and_can_be_repeated(stack: FakeVideoStack) -> None:
    stack = stack.with_slots(1)
    task_id = stack.post().body["task_id"]

    first, second = (stack.http("DELETE", f"/task/{task_id}") for _ in range(2))

    assert first.status == second.status == 200
    assert first.body["status"] == second.body["status"] == "cancelled"
    assert first.body["problem"]["code"] == "cancelled"
    assert stack.executions.stopped == [stack.executions.started[0][0]]
    assert stack.http("GET", f"/download/{task_id}").status == 409
    assert stack.post().status == 202


def test_deleting_a_finished_video_deletes_its_files(stack: FakeVideoStack) -> None:
    task_id = stack.post().body["task_id"]
    published = stack.finish(task_id)

    response = stack.http("DELETE", f"/task/{task_id}")

    assert (response.status, response.body["status"]) == (200, "succeeded")
    for key in (published.video, published.poster, str(published.srt)):
        assert stack.services.storage.head("outputs", key) is None
    assert stack.http("GET", f"/download/{task_id}").status == 410


def test_a_video_that_is_finished_while_it_is_cancelled_is_deleted(stack: FakeVideoStack) -> None:
    task_id = stack.post().body["task_id"]
    before = stack.services.tasks.find(task_id)
    published = stack.finish(task_id)
    assert before

    after = delete(before, stack.services)

    assert (after.status, after.published) == ("succeeded", None)
    assert stack.services.storage.head("outputs", published.video) is None


def test_a_dry_run_plans_and_spends_nothing(stack: FakeVideoStack) -> None:
    with StandIns() as standins:
        for name, value in standins.environment.items():
            stack.patch.setenv(name, value)
        settings = replace(stack.services.settings, pexels_url=standins.pexels_url)
        stack = replace(stack, services=replace(stack.services, settings=settings))

        response = stack.http("POST", "/generate-video", {**BODY, "script_text": "One two. " * 30, "dry_run": True})

        assert response.status == 200
        assert not standins.requests_to("elevenlabs")
    assert not stack.executions.started
    segments = response.body["segments"]
    assert 3 <= len(segments) <= 5
    assert response.body["characters"] == 270
    assert response.body["voice_requests"] == 1
    assert response.body["captions_left_out"] == []
    assert response.body["seconds"] == pytest.approx(sum(each["seconds"] for each in segments), abs=0.1)
    assert len({each["footage_url"] for each in segments}) == len(segments)


def searching(stack: FakeVideoStack, standins: StandIns, seconds: int) -> FakeVideoStack:
    """With a footage service, and a budget of that many seconds of video."""
    for name, value in standins.environment.items():
        stack.patch.setenv(name, value)
    services = stack.services
    settings = replace(services.settings, pexels_url=standins.pexels_url)
    table, client = settings.state_table, services.tasks._client
    budget = Budget(table, "seconds of video", lambda: seconds, client, stack.clock)
    return replace(stack, services=replace(services, settings=settings, budget=budget))


def test_what_a_dry_run_waited_for_a_sandbox_is_taken_off(stack: FakeVideoStack) -> None:
    seconds_left: list[float] = []

    def note(request: Any, service: Any, voice: Any, context: CallerContext, spend: Any) -> Any:
        seconds_left.append(context.deadline.left())
        return {}

    stack.patch.setattr(dry_run, "estimate", note)
    for seconds in (0.0, 12.0):
        stack.http("POST", "/generate-video", {**BODY, "dry_run": True}, sent_at=time.time() - seconds)

    assert 17 < seconds_left[0] <= 29
    assert 5 < seconds_left[1] <= 17


def test_a_dry_run_is_paid_with_the_callers_budget_where_it_searches(stack: FakeVideoStack) -> None:
    with StandIns() as standins:
        stack = searching(stack, standins, seconds=2 * DRY_RUN_SECONDS)

        def plan(query: str, identity: Any = ME) -> int:
            return stack.http(
                "POST", "/generate-video", {**BODY, "search_query": query, "dry_run": True}, identity
            ).status

        assert [plan("sea"), plan("sea"), plan("city")] == [200, 200, 200]
        searches = len(standins.requests_to("pexels"))
        assert plan("forest") == 429
        assert plan("sea") == 200, "what is known costs nothing"
        assert len(standins.requests_to("pexels")) == searches
        assert plan("forest", OTHER) == 200


@pytest.mark.parametrize(("queries", "seconds"), [(6, DRY_RUN_SECONDS), (7, 2 * DRY_RUN_SECONDS)])
def test_a_dry_run_that_searches_for_more_costs_more(stack: FakeVideoStack, queries: int, seconds: int) -> None:
    body = {**BODY, "search_query": [f"sea {number}" for number in range(queries)], "dry_run": True}
    body["script_text"] = "Say this. " * queries
    with StandIns() as standins:
        assert searching(stack, standins, seconds=seconds).http("POST", "/generate-video", body).status == 200
        too_little = searching(stack, standins, seconds=seconds - 1)
        assert too_little.http("POST", "/generate-video", {**body, "badge": True}, OTHER).status == 429


def test_a_video_after_its_dry_run_searches_no_more(stack: FakeVideoStack) -> None:
    with StandIns() as standins:
        stack = searching(stack, standins, seconds=100)
        assert stack.http("POST", "/generate-video", {**BODY, "dry_run": True}).status == 200
        searches = len(standins.requests_to("pexels"))
        task_id = stack.post().body["task_id"]

        stack.invoke({"step": "footage", "task_id": task_id})

        assert len(standins.requests_to("pexels")) == searches == 1


def test_a_caller_fetches_the_secret_of_its_own_callbacks(stack: FakeVideoStack) -> None:
    mine, theirs = (stack.http("GET", "/video/callback-secret", identity=identity) for identity in (ME, OTHER))

    assert mine.status == theirs.status == 200
    assert mine.headers["Cache-Control"] == "no-store"
    me, other = (stack.services.pseudonyms.caller(f"iam:AIDA{name}") for name in ("ME", "OTHER"))
    assert mine.body == {"secret": derive_secret(CALLBACK_SECRET, me)}
    assert theirs.body == {"secret": derive_secret(CALLBACK_SECRET, other)}


@pytest.mark.parametrize("secret", ["", "not a secret"])
def test_without_a_secret_of_the_operators_there_is_none(stack: FakeVideoStack, secret: str) -> None:
    stack.patch.setenv("CALLBACK_SECRET", secret)

    response = stack.http("GET", "/video/callback-secret")

    assert (response.status, response.body["code"]) == (503, "keys_missing")
    assert "not a secret" not in json.dumps(response.body)


def test_a_deleted_task_is_still_its_keys(stack: FakeVideoStack) -> None:
    task_id = stack.post(Idempotency_Key="k").body["task_id"]
    stack.http("DELETE", f"/task/{task_id}")

    again = stack.post(Idempotency_Key="k")
    other = stack.http("POST", "/generate-video", {**BODY, "captions": False}, Idempotency_Key="k")

    assert (again.status, again.body["task_id"], again.body["status"]) == (202, task_id, "cancelled")
    assert (other.status, other.body["code"]) == (422, "idempotency_conflict")
    assert len(stack.executions.started) == 1


def test_the_api_describes_itself(stack: FakeVideoStack) -> None:
    document = stack.http("GET", "/video/openapi.json").body

    own = json.loads(http_api.openapi())["paths"]
    assert set(own) == {"/generate-video", "/task/{task_id}", "/download/{task_id}", "/video/callback-secret"}
    assert own.keys() <= document["paths"].keys()
    assert {"200", "202", "400", "413", "422", "503"} <= set(document["paths"]["/generate-video"]["post"]["responses"])
    for routes in document["paths"].values():
        for route in routes.values():
            answers = {status: list(each.get("content", {})) for status, each in route["responses"].items()}
            errors = [kinds for status, kinds in answers.items() if status >= "400"]
            assert all(kinds == ["application/problem+json"] for kinds in errors), answers
    assert stack.http("GET", "/video/docs").headers["Content-Type"].startswith("text/html")


def test_what_nobody_foresaw_tells_nothing(stack: FakeVideoStack) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the secret is 42")

    stack.patch.setattr("functions.video.tasks.lifecycle.submit", broken)

    response = stack.post()

    assert (response.status, response.body["code"]) == (500, "internal_error")
    assert "42" not in json.dumps(response.body)


def test_a_key_that_was_turned_away_may_come_again(stack: FakeVideoStack) -> None:
    stack = stack.with_slots(1)
    first = stack.post().body["task_id"]
    assert stack.post(Idempotency_Key="k").status == 503

    stack.http("DELETE", f"/task/{first}")

    assert stack.post(Idempotency_Key="k").status == 202


def test_a_caller_accepts_the_terms_before_a_video_is_made_or_planned(
    stack: FakeVideoStack, dynamodb: Any, table: str
) -> None:
    terms = Terms(table, lambda: dynamodb, stack.clock)
    stack = replace(stack, services=replace(stack.services, terms=terms))

    for body in (BODY, {**BODY, "dry_run": True}):
        refusal = stack.http("POST", "/generate-video", body)
        assert (refusal.status, refusal.body["code"]) == (403, "terms_not_accepted")

    terms.accept(stack.services.pseudonyms.caller("iam:AIDAME"), VERSION)
    assert stack.post().status == 202


def test_a_budget_of_seconds_is_refused_before_a_slot_is_kept(stack: FakeVideoStack, dynamodb: Any, table: str) -> None:
    budget = Budget(table, "seconds of video", lambda: 3, lambda: dynamodb, stack.clock)
    stack = replace(stack, services=replace(stack.services, budget=budget))
    assert stack.post().status == 202

    refusal = stack.post()

    assert (refusal.status, refusal.body["code"]) == (429, "budget_spent")
    assert int(refusal.headers["Retry-After"]) > 0
    assert stack.post(OTHER).status == 202, "the slot is free"


def test_the_same_key_again_costs_nothing_more(stack: FakeVideoStack, dynamodb: Any, table: str) -> None:
    budget = Budget(table, "seconds of video", lambda: 3, lambda: dynamodb, stack.clock)
    stack = replace(stack, services=replace(stack.services, budget=budget))

    assert [stack.post(Idempotency_Key="k").status for _ in range(3)] == [202, 202, 202]


def test_the_id_of_a_task_is_in_the_lines_of_who_took_it_and_of_every_step(
    stack: FakeVideoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)

    task_id = stack.post().body["task_id"]
    with pytest.raises(ColdswapError):
        stack.invoke({"step": "clip", "task_id": task_id, "plan": "work/none", "voice": "work/none", "index": 0})

    lines = [json.loads(line) for line in log.getvalue().splitlines() if "_aws" not in line]
    assert [line.get("leads_to") for line in lines if line["message"] == "answered"] == [f"/task/{task_id}"]
    steps = [line for line in lines if "step" in line]
    assert steps
    assert {line["correlation_id"] for line in steps} == {task_id}


def test_one_line_of_the_log_tells_who_had_which_script_spoken_without_the_script(
    stack: FakeVideoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)
    body = {**BODY, "voice_id": "Anna1", "badge": True}

    first = stack.http("POST", "/generate-video", body, ME, idempotency_key="order-1")
    again = stack.http("POST", "/generate-video", body, ME, idempotency_key="order-1")

    assert first.body["task_id"] == again.body["task_id"]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    request_lines = [line for line in lines if line["message"] == "answered"]
    (audit,) = [line for line in lines if line["message"] == "video requested"]
    assert audit["caller"] == request_lines[0]["caller"]
    assert audit["script_sha256"] == hashlib.sha256(BODY["script_text"].encode()).hexdigest()
    assert (audit["task_id"], audit["voice"], audit["badge"]) == (first.body["task_id"], "Anna1", True)
    assert (audit["quality"], audit["characters"]) == ("standard", len(BODY["script_text"]))
    for text in (*BODY.values(), "order-1"):
        assert text not in log.getvalue()


def test_a_recording_is_told_from_a_synthetic_voice_in_the_log(
    stack: FakeVideoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)

    assert stack.http("POST", "/generate-video", {**BODY, "voice": {"uri": "https://my.example/a.mp3"}}).status == 202

    (audit,) = [line for line in map(json.loads, log.getvalue().splitlines()) if line["message"] == "video requested"]
    assert audit["voice"] == "own"
    assert "my.example" not in log.getvalue()


def test_credentials_that_name_nobody_are_refused_on_every_route(stack: FakeVideoStack) -> None:
    nobody = {"iam": {"userArn": "arn:aws:sts::123456789012:assumed-role/App/session"}}
    routes = (("POST", "/generate-video"), ("GET", "/task/1"), ("DELETE", "/task/1"), ("GET", "/download/1"))
    for method, path in (*routes, ("GET", "/video/callback-secret")):
        response = stack.http(method, path, BODY if method == "POST" else None, nobody)
        assert (response.status, response.body["code"]) == (403, "unidentified"), path


def test_a_deleted_video_is_no_longer_listed(stack: FakeVideoStack, dynamodb: Any, table: str) -> None:
    task_id = stack.post().body["task_id"]
    item = {"TableName": table, "Key": {"id": {"S": f"task#{task_id}"}}}
    assert "listed" in dynamodb.get_item(**item)["Item"]

    stack.http("DELETE", f"/task/{task_id}")

    assert "listed" not in dynamodb.get_item(**item)["Item"]
    assert stack.http("GET", f"/task/{task_id}").body["status"] == "cancelled"
