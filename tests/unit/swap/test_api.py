"""The HTTP entry."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord
from botocore.exceptions import ClientError

from functions.swap import api
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import BudgetSpent, NoFaceInMeme, VideoError, family
from layers.core.ids import made_at, new_id
from layers.core.telemetry import logger
from layers.core.terms import Terms
from tests.unit.swap.callers import http, invoke
from tests.unit.swap.fakes import MODELS, OUTPUTS, UPLOADS, Context, World, drawing, encoded, settings

MEME = f"s3://{UPLOADS}/requests/1/meme"
BODY = {"meme": MEME}


@pytest.fixture
def world() -> World:
    return World()


def results(world: World) -> list[str]:
    return [key for bucket, key in world.storage.objects if bucket == OUTPUTS]


def test_a_swap_gives_the_result_with_its_timings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, body=BODY)

    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert results(world) == [answer.body["key"]]
    assert answer.body["key"].startswith("swaps/")
    assert answer.body["key"].endswith(".png")
    assert answer.body["url"].startswith(f"https://{OUTPUTS}.example/{answer.body['key']}")
    assert answer.body["faces"][0]["swapped"] is True
    timing = dict(part.split(";dur=") for part in answer.headers["server-timing"].split(", "))
    assert {name: float(value) for name, value in timing.items()} == answer.body["timings_ms"]
    api.SwapAnswer.model_validate(answer.body)


def test_the_documented_answer_is_the_result(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, body=BODY)

    assert set(api.SwapAnswer.model_fields) == set(answer.body)
    assert set(api.FaceAnswer.model_fields) == set(answer.body["faces"][0])


def test_options_reach_the_use_case(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, body={**BODY, "faces": [], "format": "webp", "quality": 10})

    assert answer.body["content_type"] == "image/webp"
    assert answer.body["faces"][0]["reason"] == "not_chosen"


def test_curl_without_a_content_type_is_understood(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    form = "application/x-www-form-urlencoded"

    assert http(world, monkeypatch, body=BODY, content_type=form).status == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "meme"),
        ({"meme": ""}, "meme"),
        ({"meme": 3}, "meme"),
        ({**BODY, "faces": "some"}, "faces"),
        ({**BODY, "faces": [-1]}, "faces"),
        ({**BODY, "quality": 101}, "quality"),
        ({**BODY, "format": "gif"}, "format"),
        ({**BODY, "colour": True}, "colour"),
        ("{", "body"),
        ("[]", "body"),
        ("null", "body"),
        ('"text"', "body"),
        (None, "body"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_by_field(
    world: World, monkeypatch: pytest.MonkeyPatch, body: Any, field: str
) -> None:
    answer = http(world, monkeypatch, body=body)

    assert answer.status == 400
    assert answer.body["code"] == "invalid_request"
    assert any(field in error["field"] for error in answer.body["errors"])
    assert field in answer.body["detail"]
    assert world.models.pending == []


def test_a_body_that_is_not_text_is_the_callers_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {
        "version": "2.0",
        "rawPath": "/swap",
        "headers": {},
        "requestContext": {"http": {"method": "POST", "path": "/swap"}, "stage": "$default"},
        "body": base64.b64encode(b"\xff\xfe\x00").decode(),
        "isBase64Encoded": True,
    }

    assert invoke(world, event, monkeypatch)["statusCode"] == 400


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/swap"), ("DELETE", "/swap"), ("POST", "/swap/x/y")]
)
def test_other_paths_are_answered_with_a_problem(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    answer = http(world, monkeypatch, method, path)

    assert (answer.status, answer.body["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


def test_without_a_key_work_ends_before_the_gateway_gives_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[float] = []
    start = world.models.start_swapper

    def start_and_note(deadline: Deadline) -> Any:
        left.append(deadline.left())
        return start(deadline)

    monkeypatch.setattr(world.models, "start_swapper", start_and_note)
    context = Context(left=lambda: 120_000)

    http(world, monkeypatch, body=BODY, context=context)
    http(world, monkeypatch, body=BODY, context=context, idempotency_key="k")

    assert 20 < left[0] < 30
    assert left[1] > 100


# ---- Idempotency-Key


def test_the_same_key_and_body_give_the_stored_result(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = http(world, monkeypatch, body=BODY, idempotency_key="k")
    second = http(world, monkeypatch, body={**BODY, "quality": 90}, idempotency_key="k")  # the same, said explicitly

    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert len(results(world)) == 1


def test_a_stored_result_comes_with_a_fresh_url(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = http(world, monkeypatch, body=BODY, idempotency_key="k")
    world.settings = replace(world.settings, url_seconds=7)
    second = http(world, monkeypatch, body=BODY, idempotency_key="k")

    assert second.body["url"] == f"https://{OUTPUTS}.example/{first.body['key']}?for=7"


def test_the_same_key_for_another_body_is_a_conflict(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    http(world, monkeypatch, body=BODY, idempotency_key="k")
    answer = http(world, monkeypatch, body={**BODY, "quality": 5}, idempotency_key="k")

    assert (answer.status, answer.body["code"]) == (422, "idempotency_conflict")


def test_the_same_key_while_running_is_told_to_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    http(world, monkeypatch, body=BODY, idempotency_key="k")
    ((key, done),) = world.table.records.items()
    running = DataRecord(
        key, "INPROGRESS", done.expiry_timestamp, int(time.time() * 1000) + 60_000, payload_hash=done.payload_hash
    )
    world.table.records[key] = running

    answer = http(world, monkeypatch, body=BODY, idempotency_key="k")

    assert (answer.status, answer.body["code"]) == (409, "still_running")
    assert answer.headers["retry-after"]


def test_keys_of_different_callers_do_not_meet(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for authorizer in ({"iam": {"userArn": "arn:a"}}, {"iam": {"userArn": "arn:b"}}, {"jwt": {"claims": {"sub": "c"}}}):
        assert http(world, monkeypatch, body=BODY, authorizer=authorizer, idempotency_key="k").status == 200
    http(world, monkeypatch, body=BODY, authorizer={"iam": {"userArn": "arn:b"}}, idempotency_key="k")

    assert len(results(world)) == 3


def test_a_failure_is_not_remembered(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.models.failure = NoFaceInMeme()
    assert http(world, monkeypatch, body=BODY, idempotency_key="k").status == 422
    world.models.failure = None

    assert http(world, monkeypatch, body=BODY, idempotency_key="k").status == 200


def test_a_table_that_does_not_answer_is_a_storage_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.table.failure = OSError()

    answer = http(world, monkeypatch, body=BODY, idempotency_key="k")

    assert (answer.status, answer.body["code"]) == (503, "storage_failed")


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_keys_have_a_length(world: World, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    assert http(world, monkeypatch, body=BODY, idempotency_key=key).status == 400


# ---- Prefer: respond-async


def test_an_asynchronous_swap_is_started_and_can_be_followed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, body={**BODY, "quality": 70}, prefer="respond-async")

    assert answer.status == 202
    name = answer.body["id"]
    assert answer.headers["location"] == f"/swap/{name}"
    payload = json.loads(world.machine.executions[name]["input"])
    assert payload["meme"] == MEME
    assert payload["quality"] == 70
    assert payload["key"] == f"swaps/{name}"
    assert results(world) == []

    running = http(world, monkeypatch, "GET", f"/swap/{name}")
    assert (running.status, running.body) == (200, {"id": name, "status": "running"})
    assert running.headers["retry-after"]

    done = invoke(world, payload, monkeypatch)
    world.machine.executions[name] = {"status": "SUCCEEDED", "output": json.dumps({**done, "url": "stale"})}
    found = http(world, monkeypatch, "GET", f"/swap/{name}")
    assert found.body["status"] == "succeeded"
    assert found.body["result"]["key"] == f"swaps/{name}.png"
    assert found.body["result"]["url"] == done["url"]
    api.JobAnswer.model_validate(found.body)


def test_pictures_inside_an_asynchronous_request_are_stored_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(drawing())
    inside = "data:image/png;base64," + base64.b64encode(data).decode()

    answer = http(world, monkeypatch, body={"meme": inside, "face": inside}, prefer="wait=5, respond-async")

    name = answer.body["id"]
    payload = json.loads(world.machine.executions[name]["input"])
    for field in ("meme", "face"):
        assert payload[field] == f"s3://{UPLOADS}/requests/{name}/{field}"
        stored = world.storage.objects[UPLOADS, f"requests/{name}/{field}"]
        assert (stored.data, stored.content_type) == (data, "image/png")
    assert invoke(world, payload, monkeypatch)["faces"][0]["swapped"]


def test_the_same_key_starts_one_execution(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    first = http(world, monkeypatch, body=BODY, prefer="respond-async", idempotency_key="k")
    second = http(world, monkeypatch, body=BODY, prefer="respond-async", idempotency_key="k")

    assert first.body == second.body
    assert len(world.machine.executions) == 1


def test_an_asynchronous_request_is_checked_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, body={"meme": "file:///etc/passwd"}, prefer="respond-async")

    assert (answer.status, answer.body["code"]) == (422, "refused_url")
    assert world.machine.executions == {}


def test_without_a_state_machine_there_is_nothing_asynchronous(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings = settings(state_machine_arn="")

    assert http(world, monkeypatch, body=BODY, prefer="respond-async").body["code"] == "invalid_request"
    assert http(world, monkeypatch, "GET", f"/swap/{new_id()}").status == 404


def test_a_swap_just_asked_for_is_queued_though_step_functions_lags(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = new_id()
    answer = http(world, monkeypatch, "GET", f"/swap/{name}")
    assert (answer.status, answer.body) == (200, {"id": name, "status": "queued"})

    monkeypatch.setattr(time, "time", lambda: (made_at(name) or 0) + 61)
    assert http(world, monkeypatch, "GET", f"/swap/{name}").status == 404


@pytest.mark.parametrize("name", ["x", "00000000-0000-4000-8000-000000000000", "..", "%2e"])
def test_no_swap_has_such_a_name(world: World, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert http(world, monkeypatch, "GET", f"/swap/{name}").body["code"] == "not_found"


@pytest.mark.parametrize("kind", [NoFaceInMeme, *family().values()])
@pytest.mark.parametrize("as_lambda_says_it", [False, True])
def test_a_failed_swap_tells_its_problem(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: Any, as_lambda_says_it: bool
) -> None:
    name = new_id()
    said = {"errorMessage": "What was wrong.", "errorType": kind.__name__, "stackTrace": ["secret"]}
    cause = json.dumps(said) if as_lambda_says_it else "What was wrong."
    world.machine.executions[name] = {"status": "FAILED", "error": kind.__name__, "cause": cause}

    answer = http(world, monkeypatch, "GET", f"/swap/{name}")

    assert (answer.status, answer.body["status"]) == (200, "failed")
    problem = answer.body["problem"]
    assert (problem["code"], problem["status"]) == (kind.code, kind.status)
    assert problem["detail"] in ("What was wrong.", kind.title)
    assert "secret" not in str(answer.body)


@pytest.mark.parametrize(
    ("execution", "code"),
    [
        ({"status": "FAILED", "error": "Runtime.ExitError", "cause": "killed"}, "internal_error"),
        ({"status": "FAILED", "error": "AtCapacity", "cause": "Busy."}, "at_capacity"),
        ({"status": "ABORTED"}, "internal_error"),
        ({"status": "TIMED_OUT"}, "out_of_time"),
    ],
)
def test_other_ends_are_told_in_our_words(
    world: World, monkeypatch: pytest.MonkeyPatch, execution: Any, code: str
) -> None:
    name = new_id()
    world.machine.executions[name] = execution

    answer = http(world, monkeypatch, "GET", f"/swap/{name}")

    assert (answer.body["status"], answer.body["problem"]["code"]) == ("failed", code)


def test_step_functions_may_fail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.machine.failure = ClientError({"Error": {"Code": "ThrottlingException"}}, "Any")

    assert http(world, monkeypatch, body=BODY, prefer="respond-async").body["code"] == "storage_failed"
    assert http(world, monkeypatch, "GET", f"/swap/{new_id()}").body["code"] == "storage_failed"


# ---- the rest


def test_an_upload_form_has_a_limit_and_a_uri_to_use_it_by(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, path="/uploads")

    assert answer.status == 201
    assert answer.body["fields"]["limit"] == str(world.settings.max_picture_bytes)
    assert answer.body["uri"] == f"s3://{UPLOADS}/{answer.body['fields']['key']}"
    assert not answer.body["fields"]["key"].startswith("memes/")  # which would be swapped by itself
    api.UploadAnswer.model_validate(answer.body)


def test_the_api_describes_itself(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, "GET", "/openapi.json")

    assert answer.status == 200
    paths = answer.body["paths"]
    assert {path: set(methods) for path, methods in paths.items()} == {
        "/swap": {"post"},
        "/swap/{name}": {"get"},
        "/results/{name}": {"delete"},
        "/uploads": {"post"},
        "/verify": {"post"},
        "/terms": {"get", "post"},
    }
    said = set(paths["/swap"]["post"]["responses"])
    of_swaps = set(family().values()) - set(family(VideoError).values())
    assert {str(kind.status) for kind in of_swaps} - said == {"507"}
    assert {"200", "202"} <= said
    headers = {parameter["name"] for parameter in paths["/swap"]["post"]["parameters"]}
    assert headers == {"idempotency-key", "prefer"}
    assert "meme" in answer.body["components"]["schemas"]["SwapBody"]["required"]


def test_the_description_can_be_read_in_a_browser(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = http(world, monkeypatch, "GET", "/docs")

    assert answer.status == 200
    assert "swagger" in str(answer.body).lower()


def test_ids_are_in_the_order_of_time_and_unlike(monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = new_id(), None
    monkeypatch.setattr(time, "time_ns", lambda: int(((made_at(early) or 0) + 1) * 1e9))
    late = new_id()

    assert early < late
    assert made_at(late) == pytest.approx((made_at(early) or 0) + 1, abs=0.002)
    assert len({new_id() for _ in range(1000)}) == 1000
    assert made_at(early.upper()) is None or early.upper() == early


def metered(world: World, dynamodb: Any, table: str, limit: int) -> World:
    world.budget = Budget(table, "megapixels", limit, lambda: dynamodb)
    return world


def test_a_caller_s_budget_is_refused_before_any_work(
    world: World, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    metered(world, dynamodb, table, 2)
    ann, ben = ({"iam": {"userArn": f"arn:aws:iam::1:user/{name}"}} for name in ("ann", "ben"))
    assert [http(world, monkeypatch, body=BODY, authorizer=ann).status for _ in range(2)] == [200, 200]
    fetched = len(world.models.pending)

    refused = http(world, monkeypatch, body=BODY, authorizer=ann)

    assert (refused.status, refused.body["code"], refused.body["retryable"]) == (429, "budget_spent", False)
    assert 0 < int(refused.headers["retry-after"]) <= 24 * 3600
    assert len(world.models.pending) == fetched
    assert http(world, monkeypatch, body=BODY, authorizer=ann, prefer="respond-async").status == 429
    assert http(world, monkeypatch, body=BODY, authorizer=ben).status == 200


def test_a_large_meme_costs_its_megapixels_also_beside_its_caller(
    world: World, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    metered(world, dynamodb, table, 3)
    world.storage.put(UPLOADS, "requests/1/meme", encoded(drawing(width=2000, height=1600)))  # 3.2 megapixels
    who = {"jwt": {"claims": {"sub": "ann"}}}

    assert http(world, monkeypatch, body=BODY, authorizer=who).status == 429
    assert http(world, monkeypatch, body=BODY, authorizer=who, prefer="respond-async").status == 202
    (started,) = world.machine.executions.values()
    with pytest.raises(BudgetSpent):
        invoke(world, json.loads(started["input"]), monkeypatch)
    assert results(world) == []
    metered(world, dynamodb, table, 6)  # each of the two refused ones has cost one
    assert http(world, monkeypatch, body=BODY, authorizer=who).status == 200


def test_a_repeated_request_costs_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    metered(world, dynamodb, table, 1)
    who = {"jwt": {"claims": {"sub": "ann"}}}

    answers = [http(world, monkeypatch, body=BODY, authorizer=who, idempotency_key="k") for _ in range(3)]

    assert [answer.status for answer in answers] == [200, 200, 200]


def test_looking_at_a_file_costs_one_unit_before_it_is_fetched(
    world: World, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    metered(world, dynamodb, table, 1)
    nowhere = {"uri": f"s3://{OUTPUTS}/swaps/nowhere.png"}
    ask = partial(http, world, monkeypatch, path="/verify", body=nowhere)

    assert [ask(authorizer=ANN).status for _ in range(2)] == [404, 429]
    assert ask(authorizer=ANN).body["code"] == "budget_spent"
    assert ask(authorizer=BEN).status == 404
    assert [ask().status for _ in range(2)] == [404, 404]


@pytest.mark.parametrize(
    ("authorizer", "caller"),
    [({"jwt": {"claims": {"sub": "ann"}}}, "ann"), ({"lambda": {"key": "ann"}}, "key:ann")],
    ids=["jwt", "key"],
)
def test_who_asked_goes_with_a_swap_that_runs_beside(
    world: World, monkeypatch: pytest.MonkeyPatch, authorizer: Any, caller: str
) -> None:
    http(world, monkeypatch, body=BODY, authorizer=authorizer, prefer="respond-async")

    (started,) = world.machine.executions.values()
    assert json.loads(started["input"])["caller"] == caller


ANN, BEN = ({"iam": {"userArn": f"arn:aws:iam::1:user/{name}"}} for name in ("ann", "ben"))


def test_a_result_is_deleted_with_all_that_was_kept_to_make_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.settings = settings(cache_latents=True)
    world.storage.put(UPLOADS, "requests/1/face", encoded(drawing()))
    before = set(world.storage.objects)
    key = http(world, monkeypatch, body={**BODY, "face": f"s3://{UPLOADS}/requests/1/face"}, authorizer=ANN).body["key"]
    name = key.removeprefix("swaps/").removesuffix(".png")
    staged = (UPLOADS, f"requests/{name}/face")
    world.storage.put(*staged, encoded(drawing()))
    assert any("latents/others" in kept for _, kept in world.storage.objects)

    assert http(world, monkeypatch, "DELETE", f"/results/{name}", authorizer=BEN).status == 404
    assert (OUTPUTS, key) in world.storage.objects
    assert http(world, monkeypatch, "DELETE", f"/results/{name}", authorizer=ANN).status == 200

    assert set(world.storage.objects) == before
    assert http(world, monkeypatch, "DELETE", f"/results/{name}", authorizer=ANN).status == 404


def test_the_default_face_s_latent_outlives_a_result(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    key = http(world, monkeypatch, body=BODY, authorizer=ANN).body["key"]

    http(world, monkeypatch, "DELETE", f"/results/{key[6:-4]}", authorizer=ANN)

    assert any("latents/default" in kept for _, kept in world.storage.objects)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a", "01a20a25-9134-7e8a-a6bf-25430c84c889", "swaps"])
def test_what_is_no_result_of_the_caller_s_is_not_found(
    world: World, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    world.storage.put(OUTPUTS, "swaps/a.jpg", b"another's")

    assert http(world, monkeypatch, "DELETE", f"/results/{name}", authorizer=ANN).status == 404
    assert (OUTPUTS, "swaps/a.jpg") in world.storage.objects


def test_the_result_names_the_digests_of_what_went_in_and_came_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = http(world, monkeypatch, body=BODY)

    read = [(UPLOADS, "requests/1/meme"), (MODELS, "faces/default.png"), (OUTPUTS, answer.body["key"])]
    digests = [sha256(world.storage.objects[place].data).hexdigest() for place in read]
    assert answer.body["digests"] == dict(zip(("meme", "face", "result"), digests, strict=True))


def test_one_line_tells_who_made_what_of_what_and_nothing_more(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = "data:image/png;base64," + base64.b64encode(encoded(drawing())).decode()
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)

    answer = http(world, monkeypatch, body={"meme": inside, "consent": "her own picture"}, authorizer=ANN)

    (line,) = [each for each in map(json.loads, log.getvalue().splitlines()) if each["message"] == "swapped"]
    assert line["digests"] == answer.body["digests"]
    assert (line["caller"], line["consent"]) == ("arn:aws:iam::1:user/ann", "her own picture")
    assert line["models"] == answer.body["models"]
    assert inside[40:80] not in log.getvalue()
    assert answer.body["url"] not in log.getvalue()


def test_consent_is_a_short_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for said in ("", "x" * 201, "two\nlines", "bell\x07"):
        assert http(world, monkeypatch, body={**BODY, "consent": said}).status == 400


def test_a_caller_accepts_the_terms_once_before_anything_is_made(
    world: World, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    metered(world, dynamodb, table, 1).terms = Terms(table, lambda: dynamodb)
    who: Any = {"authorizer": {"iam": {"userArn": "arn:aws:iam::1:user/ann"}}}

    cases: tuple[tuple[str, Any, Any], ...] = (
        ("/swap", BODY, {}),
        ("/swap", BODY, {"prefer": "respond-async"}),
        ("/swap", BODY, {"idempotency_key": "k"}),
        ("/uploads", None, {}),
    )
    for path, body, headers in cases:
        refused = http(world, monkeypatch, path=path, body=body, **who, **headers)
        assert (refused.status, refused.body["code"], refused.body["retryable"]) == (403, "terms_not_accepted", False)
    assert world.models.pending == []
    shown = http(world, monkeypatch, "GET", "/terms", **who)
    assert (shown.status, shown.body["accepted"]) == (200, False)
    assert http(world, monkeypatch, path="/terms", body={"version": "1999-01-01"}, **who).status == 400
    accepted = http(world, monkeypatch, path="/terms", body={"version": shown.body["version"]}, **who)
    assert (accepted.status, accepted.body) == (200, {**shown.body, "accepted": True})
    assert http(world, monkeypatch, "GET", "/terms", **who).body["accepted"] is True

    assert http(world, monkeypatch, body=BODY, **who).status == 200, "what was refused has cost nothing"
    assert http(world, monkeypatch, path="/uploads", **who).status == 201
    other: Any = {"authorizer": {"jwt": {"claims": {"sub": "ben"}}}}
    assert http(world, monkeypatch, body=BODY, **other).status == 403


def test_where_nobody_signs_in_nobody_is_asked(
    world: World, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    world.terms = Terms(table, lambda: dynamodb)

    assert http(world, monkeypatch, "GET", "/terms").body["accepted"] is True
    assert http(world, monkeypatch, body=BODY).status == 200
