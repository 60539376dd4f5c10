"""The HTTP API of videos: what is refused, who may see what, and that a task begins and ends whole."""

from __future__ import annotations

import hashlib
import io
import json
import time
from dataclasses import replace
from typing import Any

import pytest

from functions.video import dry_run
from functions.video.dry_run import DRY_RUN_SECONDS
from functions.video.entry import http_api
from functions.video.tasks.lifecycle import delete
from functions.video.tasks.slots import LEASE_SECONDS
from functions.video.webhook_signature import derive_secret
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError
from layers.core.telemetry import logger
from layers.core.terms import VERSION, Terms
from local.standins.servers import CALLBACK_SECRET, StandIns
from tests.unit.video.fake_stack import BODY, ME, OTHER, REQUEST, FakeVideoStack


def test_a_video_is_asked_for_and_followed(world: FakeVideoStack) -> None:
    answer = world.post()

    task_id = answer.body["task_id"]
    assert answer.status == 202
    assert answer.headers["Location"] == f"/task/{task_id}" == answer.body["links"]["self"]
    assert (answer.body["status"], answer.body["stage"], answer.body["progress"]) == ("queued", "queued", 0)
    assert world.executions.started == [(task_id, task_id)]
    followed = world.http("GET", f"/task/{task_id}")
    assert followed.body == answer.body
    assert int(followed.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"script_text": ""}, "script_text"),
        ({"script_text": " \n\t"}, "script_text"),
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
def test_what_is_wrong_in_the_body_is_named(world: FakeVideoStack, change: dict[str, Any], field: str) -> None:
    answer = world.http("POST", "/generate-video", {**BODY, **change})

    assert answer.status == 400
    assert answer.body["code"] == "invalid_request"
    assert field in answer.body["detail"]
    assert not world.executions.started


@pytest.mark.parametrize("body", ["", "{", "[]", "null", '"x"'])
def test_what_is_no_object_is_refused(world: FakeVideoStack, body: str) -> None:
    assert world.http("POST", "/generate-video", body).status == 400


def test_half_a_surrogate_pair_is_refused(world: FakeVideoStack) -> None:
    assert world.http("POST", "/generate-video", '{"script_text": "\\ud83d", "search_query": "sea"}').status == 400


def test_a_script_in_any_language_and_layout_is_taken(world: FakeVideoStack) -> None:
    script = "Zeile eins.\r\n\tZeile zwei: 日本語。 👩‍🚀 مرحبا"

    assert world.http("POST", "/generate-video", {**BODY, "script_text": script}).status == 202


def test_a_script_over_the_limit_is_too_long(world: FakeVideoStack) -> None:
    answer = world.http("POST", "/generate-video", {**BODY, "script_text": "x" * 5001})

    assert (answer.status, answer.body["code"]) == (413, "script_too_long")


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/", "https://[::1]/", "https://0x7f.1/",
     "https://example.com:8443/", "https://u:p@example.com/", "ftp://example.com/", "x"],
)  # fmt: skip
def test_a_callback_to_where_nobody_may_call_is_refused_at_once(world: FakeVideoStack, url: str) -> None:
    answer = world.http("POST", "/generate-video", {**BODY, "callback_url": url})

    assert (answer.status, answer.body["code"]) == (422, "refused_url")
    assert not world.executions.started


@pytest.mark.parametrize("missing", ["PEXELS_API_KEY", "ELEVENLABS_API_KEY", "CALLBACK_SECRET"])
def test_a_key_that_is_needed_and_missing_is_told_before_anything_is_spent(world: FakeVideoStack, missing: str) -> None:
    world.patch.delenv(missing)

    answer = world.http("POST", "/generate-video", {**BODY, "callback_url": "https://example.com/"})

    assert (answer.status, answer.body["code"]) == (503, "keys_missing")
    assert missing in answer.body["detail"]
    assert not world.executions.started


def test_without_a_callback_no_secret_is_needed(world: FakeVideoStack) -> None:
    world.patch.delenv("CALLBACK_SECRET")

    assert world.post().status == 202


def test_one_more_than_allowed_is_told_when_to_come_again(world: FakeVideoStack) -> None:
    first, _ = world.post(), world.post()

    refused = world.post()

    assert (refused.status, refused.body["code"], refused.body["retryable"]) == (503, "at_capacity", True)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert len(world.executions.started) == 2
    world.http("DELETE", f"/task/{first.body['task_id']}")
    assert world.post().status == 202


def test_a_lease_of_what_died_expires(world: FakeVideoStack) -> None:
    world = world.limited_to(1)
    world.post()
    assert world.post().status == 503

    world.clock.at += LEASE_SECONDS

    assert world.post().status == 202


def test_the_same_key_is_the_same_task(world: FakeVideoStack) -> None:
    world = world.limited_to(1)
    first = world.post(Idempotency_Key="k")
    task_id = first.body["task_id"]
    world.services.tasks.enter(task_id)

    again = world.post(Idempotency_Key="k")

    assert again.status == 202
    assert again.headers["Location"] == first.headers["Location"]
    assert again.body["status"] == "running"
    world.finished(task_id)
    assert world.post(Idempotency_Key="k").body["status"] == "succeeded"
    assert len(world.executions.started) == 1
    assert world.post(Idempotency_Key="other").status == 202, "the slot was freed and not taken again"


def test_the_same_key_with_another_body_is_a_mistake(world: FakeVideoStack) -> None:
    world.post(Idempotency_Key="k")

    answer = world.http("POST", "/generate-video", {**BODY, "captions": False}, Idempotency_Key="k")

    assert (answer.status, answer.body["code"]) == (422, "idempotency_conflict")


def test_another_callers_key_is_another_task(world: FakeVideoStack) -> None:
    mine, theirs = world.post(ME, Idempotency_Key="k"), world.post(OTHER, Idempotency_Key="k")

    assert mine.body["task_id"] != theirs.body["task_id"]


def test_what_does_not_start_leaves_nothing(world: FakeVideoStack) -> None:
    world = world.limited_to(1)
    world.executions.broken = True
    failed = world.post(Idempotency_Key="k")
    assert (failed.status, failed.body["retryable"]) == (503, True)

    world.executions.broken = False

    assert world.post(Idempotency_Key="k").status == 202
    assert len(world.executions.started) == 1


def test_a_crash_before_the_start_is_mended_by_the_same_request(world: FakeVideoStack) -> None:
    world = world.limited_to(1)
    first = world.post(Idempotency_Key="k")
    world.executions.started.clear()  # as if the sandbox had died after writing the item

    again = world.post(Idempotency_Key="k")

    assert again.body["task_id"] == first.body["task_id"]
    assert world.executions.started == [(f"{first.body['task_id']}-{int(world.clock.at)}", first.body["task_id"])]


def test_a_task_is_its_callers_alone(world: FakeVideoStack) -> None:
    task_id = world.post(ME).body["task_id"]

    for method, path in (("GET", "task"), ("DELETE", "task"), ("GET", "download")):
        answer = world.http(method, f"/{path}/{task_id}", who=OTHER)
        assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert world.http("GET", f"/task/{task_id}").body["status"] == "queued"


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
    world: FakeVideoStack, owner: str, caller: str, reaches: bool
) -> None:
    """That version kept a task under its owner's ARN."""
    tasks, who = world.services.tasks, {"iam": {"callerId": "AIDAANN:ann", "userArn": caller}}
    tasks.add(tasks.new("one", REQUEST, owner, 3600))

    for method, path in (("GET", "task"), ("GET", "download"), ("DELETE", "task")):
        answer = world.http(method, f"/{path}/one", who=who)
        assert (answer.status not in (403, 404)) == reaches, answer


@pytest.mark.parametrize("path", ["/task/nobody", "/download/nobody", "/video/else", "/generate-video"])
def test_what_is_not_there_is_404(world: FakeVideoStack, path: str) -> None:
    answer = world.http("GET", path)

    assert answer.status == 404
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_finished_video_is_linked_to(world: FakeVideoStack) -> None:
    task_id = world.post().body["task_id"]
    early = world.http("GET", f"/download/{task_id}")
    assert (early.status, early.body["code"]) == (409, "not_ready")
    world.finished(task_id)

    task = world.http("GET", f"/task/{task_id}")

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
        answer = world.http("GET", link)
        if name != "self":
            assert answer.status == 200
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.body["url"].startswith(f"https://outputs.example/videos/{task_id}/")
            led = world.http("GET", f"{link}{'&' if '?' in link else '?'}redirect=true")
            assert (led.status, led.headers["Location"]) == (302, answer.body["url"])
            assert not led.headers["Content-Type"].startswith("application/json"), "an empty body is no JSON"
    assert world.http("GET", f"/download/{task_id}?file=vtt").status == 404, "this one has none"
    assert world.http("GET", f"/download/{task_id}?file=other").status == 400


def test_an_old_video_has_expired(world: FakeVideoStack) -> None:
    task_id = world.post().body["task_id"]
    world.finished(task_id)
    world.clock.at += world.services.settings.result_seconds

    answer = world.http("GET", f"/download/{task_id}")

    assert (answer.status, answer.body["code"]) == (410, "expired")
    assert world.http("GET", f"/task/{task_id}").body["links"] == {"self": f"/task/{task_id}"}


def test_a_video_whose_file_is_gone_has_expired(world: FakeVideoStack) -> None:
    task_id = world.post().body["task_id"]
    world.services.storage.delete("outputs", world.finished(task_id).video)

    assert world.http("GET", f"/download/{task_id}").status == 410


def test_cancelling_frees_the_slot_and_stops_the_workflow_and_can_be_repeated(world: FakeVideoStack) -> None:
    world = world.limited_to(1)
    task_id = world.post().body["task_id"]

    first, second = (world.http("DELETE", f"/task/{task_id}") for _ in range(2))

    assert first.status == second.status == 200
    assert first.body["status"] == second.body["status"] == "cancelled"
    assert first.body["problem"]["code"] == "cancelled"
    assert world.executions.stopped == [world.executions.started[0][0]]
    assert world.http("GET", f"/download/{task_id}").status == 409
    assert world.post().status == 202


def test_deleting_a_finished_video_deletes_its_files(world: FakeVideoStack) -> None:
    task_id = world.post().body["task_id"]
    published = world.finished(task_id)

    answer = world.http("DELETE", f"/task/{task_id}")

    assert (answer.status, answer.body["status"]) == (200, "succeeded")
    for key in (published.video, published.poster, str(published.srt)):
        assert world.services.storage.head("outputs", key) is None
    assert world.http("GET", f"/download/{task_id}").status == 410


def test_a_video_that_is_finished_while_it_is_cancelled_is_deleted(world: FakeVideoStack) -> None:
    task_id = world.post().body["task_id"]
    before = world.services.tasks.find(task_id)
    published = world.finished(task_id)
    assert before

    after = delete(before, world.services)

    assert (after.status, after.published) == ("succeeded", None)
    assert world.services.storage.head("outputs", published.video) is None


def test_a_dry_run_plans_and_spends_nothing(world: FakeVideoStack) -> None:
    with StandIns() as standins:
        for name, value in standins.environment.items():
            world.patch.setenv(name, value)
        settings = replace(world.services.settings, pexels_url=standins.pexels_url)
        world = replace(world, services=replace(world.services, settings=settings))

        answer = world.http("POST", "/generate-video", {**BODY, "script_text": "One two. " * 30, "dry_run": True})

        assert answer.status == 200
        assert not standins.asked("elevenlabs")
    assert not world.executions.started
    segments = answer.body["segments"]
    assert 3 <= len(segments) <= 5
    assert answer.body["characters"] == 270
    assert answer.body["voice_requests"] == 1
    assert answer.body["seconds"] == pytest.approx(sum(each["seconds"] for each in segments), abs=0.1)
    assert len({each["footage_url"] for each in segments}) == len(segments)


def searching(world: FakeVideoStack, standins: StandIns, seconds: int) -> FakeVideoStack:
    """With a footage service, and a budget of that many seconds of video."""
    for name, value in standins.environment.items():
        world.patch.setenv(name, value)
    services = world.services
    settings = replace(services.settings, pexels_url=standins.pexels_url)
    table, client = settings.state_table, services.tasks._client
    budget = Budget(table, "seconds of video", seconds, client, world.clock)
    return replace(world, services=replace(services, settings=settings, budget=budget))


def test_what_a_dry_run_waited_for_a_sandbox_is_taken_off(world: FakeVideoStack) -> None:
    left: list[float] = []

    def note(request: Any, *, deadline: Deadline, **_: Any) -> dict[str, Any]:
        left.append(deadline.left())
        return {}

    world.patch.setattr(dry_run, "estimate", note)
    for waited in (0.0, 12.0):
        world.http("POST", "/generate-video", {**BODY, "dry_run": True}, taken=time.time() - waited)

    assert 17 < left[0] <= 29
    assert 5 < left[1] <= 17


def test_a_dry_run_is_paid_with_the_callers_budget_where_it_searches(world: FakeVideoStack) -> None:
    with StandIns() as standins:
        world = searching(world, standins, seconds=2 * DRY_RUN_SECONDS)

        def plan(query: str, who: Any = ME) -> int:
            return world.http("POST", "/generate-video", {**BODY, "search_query": query, "dry_run": True}, who).status

        assert [plan("sea"), plan("sea"), plan("city")] == [200, 200, 200]
        searches = len(standins.asked("pexels"))
        assert plan("forest") == 429
        assert plan("sea") == 200, "what is known costs nothing"
        assert len(standins.asked("pexels")) == searches
        assert plan("forest", OTHER) == 200


def test_a_video_after_its_dry_run_searches_no_more(world: FakeVideoStack) -> None:
    with StandIns() as standins:
        world = searching(world, standins, seconds=100)
        assert world.http("POST", "/generate-video", {**BODY, "dry_run": True}).status == 200
        searches = len(standins.asked("pexels"))
        task_id = world.post().body["task_id"]

        world.invoke({"step": "footage", "task_id": task_id})

        assert len(standins.asked("pexels")) == searches == 1


def test_a_caller_fetches_the_secret_of_its_own_callbacks(world: FakeVideoStack) -> None:
    mine, theirs = (world.http("GET", "/video/callback-secret", who=who) for who in (ME, OTHER))

    assert mine.status == theirs.status == 200
    assert mine.headers["Cache-Control"] == "no-store"
    me, other = (world.services.pseudonyms.caller(f"iam:AIDA{name}") for name in ("ME", "OTHER"))
    assert mine.body == {"secret": derive_secret(CALLBACK_SECRET, me)}
    assert theirs.body == {"secret": derive_secret(CALLBACK_SECRET, other)}


@pytest.mark.parametrize("secret", ["", "not a secret"])
def test_without_a_secret_of_the_operators_there_is_none(world: FakeVideoStack, secret: str) -> None:
    world.patch.setenv("CALLBACK_SECRET", secret)

    answer = world.http("GET", "/video/callback-secret")

    assert (answer.status, answer.body["code"]) == (503, "keys_missing")
    assert "not a secret" not in json.dumps(answer.body)


def test_a_deleted_task_is_still_its_keys(world: FakeVideoStack) -> None:
    task_id = world.post(Idempotency_Key="k").body["task_id"]
    world.http("DELETE", f"/task/{task_id}")

    again = world.post(Idempotency_Key="k")
    other = world.http("POST", "/generate-video", {**BODY, "captions": False}, Idempotency_Key="k")

    assert (again.status, again.body["task_id"], again.body["status"]) == (202, task_id, "cancelled")
    assert (other.status, other.body["code"]) == (422, "idempotency_conflict")
    assert len(world.executions.started) == 1


def test_the_api_describes_itself(world: FakeVideoStack) -> None:
    document = world.http("GET", "/video/openapi.json").body

    assert set(document["paths"]) == {
        "/generate-video",
        "/task/{task_id}",
        "/download/{task_id}",
        "/video/callback-secret",
    }
    assert {"200", "202", "400", "413", "422", "503"} <= set(document["paths"]["/generate-video"]["post"]["responses"])
    assert json.loads(http_api.openapi()) == document
    assert world.http("GET", "/video/docs").headers["Content-Type"].startswith("text/html")


def test_what_nobody_foresaw_tells_nothing(world: FakeVideoStack) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("the secret is 42")

    world.patch.setattr("functions.video.tasks.lifecycle.submit", broken)

    answer = world.post()

    assert (answer.status, answer.body["code"]) == (500, "internal_error")
    assert "42" not in json.dumps(answer.body)


def test_a_key_that_was_turned_away_may_come_again(world: FakeVideoStack) -> None:
    world = world.limited_to(1)
    first = world.post().body["task_id"]
    assert world.post(Idempotency_Key="k").status == 503

    world.http("DELETE", f"/task/{first}")

    assert world.post(Idempotency_Key="k").status == 202


def test_a_caller_accepts_the_terms_before_a_video_is_made_or_planned(
    world: FakeVideoStack, dynamodb: Any, table: str
) -> None:
    terms = Terms(table, lambda: dynamodb, world.clock)
    world = replace(world, services=replace(world.services, terms=terms))

    for body in (BODY, {**BODY, "dry_run": True}):
        refused = world.http("POST", "/generate-video", body)
        assert (refused.status, refused.body["code"]) == (403, "terms_not_accepted")

    terms.accept(world.services.pseudonyms.caller("iam:AIDAME"), VERSION)
    assert world.post().status == 202


def test_a_budget_of_seconds_is_refused_before_a_slot_is_kept(world: FakeVideoStack, dynamodb: Any, table: str) -> None:
    budget = Budget(table, "seconds of video", 3, lambda: dynamodb, world.clock)
    world = replace(world, services=replace(world.services, budget=budget))
    assert world.post().status == 202

    refused = world.post()

    assert (refused.status, refused.body["code"]) == (429, "budget_spent")
    assert int(refused.headers["Retry-After"]) > 0
    assert world.post(OTHER).status == 202, "the slot is free"


def test_the_same_key_again_costs_nothing_more(world: FakeVideoStack, dynamodb: Any, table: str) -> None:
    budget = Budget(table, "seconds of video", 3, lambda: dynamodb, world.clock)
    world = replace(world, services=replace(world.services, budget=budget))

    assert [world.post(Idempotency_Key="k").status for _ in range(3)] == [202, 202, 202]


def test_the_id_of_a_task_is_in_the_lines_of_who_took_it_and_of_every_step(
    world: FakeVideoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)

    task_id = world.post().body["task_id"]
    with pytest.raises(ColdswapError):
        world.invoke({"step": "clip", "task_id": task_id, "plan": "work/none", "voice": "work/none", "index": 0})

    lines = [json.loads(line) for line in log.getvalue().splitlines() if "_aws" not in line]
    assert [line.get("leads_to") for line in lines if line["message"] == "answered"] == [f"/task/{task_id}"]
    steps = [line for line in lines if "step" in line]
    assert steps
    assert {line["correlation_id"] for line in steps} == {task_id}


def test_one_line_of_the_log_tells_who_had_which_script_spoken_without_the_script(
    world: FakeVideoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)
    body = {**BODY, "voice_id": "Anna1", "badge": True}

    first = world.http("POST", "/generate-video", body, ME, idempotency_key="order-1")
    again = world.http("POST", "/generate-video", body, ME, idempotency_key="order-1")

    assert first.body["task_id"] == again.body["task_id"]
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    answered = [line for line in lines if line["message"] == "answered"]
    (audit,) = [line for line in lines if line["message"] == "video requested"]
    assert audit["caller"] == answered[0]["caller"]
    assert audit["script_sha256"] == hashlib.sha256(BODY["script_text"].encode()).hexdigest()
    assert (audit["task_id"], audit["voice"], audit["badge"]) == (first.body["task_id"], "Anna1", True)
    assert (audit["quality"], audit["characters"]) == ("standard", len(BODY["script_text"]))
    for text in (BODY["script_text"], BODY["search_query"], "order-1"):
        assert text not in log.getvalue()


def test_credentials_that_name_nobody_are_refused_on_every_route(world: FakeVideoStack) -> None:
    nobody = {"iam": {"userArn": "arn:aws:sts::123456789012:assumed-role/App/session"}}
    routes = (("POST", "/generate-video"), ("GET", "/task/1"), ("DELETE", "/task/1"), ("GET", "/download/1"))
    for method, path in (*routes, ("GET", "/video/callback-secret")):
        answer = world.http(method, path, BODY if method == "POST" else None, nobody)
        assert (answer.status, answer.body["code"]) == (403, "unidentified"), path


def test_a_deleted_video_is_no_longer_listed(world: FakeVideoStack, dynamodb: Any, table: str) -> None:
    task_id = world.post().body["task_id"]
    item = {"TableName": table, "Key": {"id": {"S": f"task#{task_id}"}}}
    assert "listed" in dynamodb.get_item(**item)["Item"]

    world.http("DELETE", f"/task/{task_id}")

    assert "listed" not in dynamodb.get_item(**item)["Item"]
    assert world.http("GET", f"/task/{task_id}").body["status"] == "cancelled"
