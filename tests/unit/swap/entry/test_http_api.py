"""The HTTP entry."""

from __future__ import annotations

import base64
import io
import json
import time
from dataclasses import fields
from functools import partial
from hashlib import sha256
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord
from botocore.exceptions import ClientError
from pydantic import TypeAdapter

from functions.swap import cost, result_link
from functions.swap.entry import http_api
from functions.swap.entry.responses import JobResponse, PackResponse, ResultsResponse, SwapResponse, UploadResponse
from functions.swap.swap_records import OVERDUE_SECONDS, ResultSummary, SwapRecord
from functions.swap.values import FaceReport
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import (
    AtCapacity,
    BudgetSpent,
    InputNotFound,
    InternalError,
    NoFaceInMeme,
    NotFound,
    StorageFailed,
    VideoError,
    family,
)
from layers.core.ids import creation_time, new_id
from layers.core.telemetry import logger
from layers.core.terms import Terms
from tests.unit.swap.entry_clients import http, invoke
from tests.unit.swap.fake_stack import (
    MODELS,
    OUTPUTS,
    UPLOADS,
    FakeContext,
    FakeSwapStack,
    FixedPseudonyms,
    drawing,
    encode,
    settings,
    upload_folder,
)

MEME = f"s3://{UPLOADS}/requests/1/meme"
BODY = {"meme": MEME}
COMMON = {"meme": f"s3://{MODELS}/faces/default.png"}  # what every caller may name
ANN, BEN = ({"iam": {"callerId": f"AIDA{name}", "userArn": f"arn:aws:iam::1:user/{name}"}} for name in ("ANN", "BEN"))
CYD = {"jwt": {"claims": {"iss": "https://issuer.example", "sub": "cyd"}}}


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def results(stack: FakeSwapStack) -> list[str]:
    return [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]


def test_a_swap_gives_the_result_with_its_timings(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, body=BODY)

    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert results(stack) == [response.body["key"]]
    assert response.body["key"].startswith("swaps/")
    assert response.body["key"].endswith(".png")
    assert response.body["url"].startswith(f"https://{OUTPUTS}.example/{response.body['key']}")
    assert response.body["faces"][0]["swapped"] is True
    timing = dict(part.split(";dur=") for part in response.headers["server-timing"].split(", "))
    assert {name: float(value) for name, value in timing.items()} == response.body["timings_ms"]
    TypeAdapter(SwapResponse).validate_python(response.body)


def test_the_documented_answer_is_the_result(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, body=BODY)

    assert {field.name for field in fields(SwapResponse)} - {"remote"} == set(response.body)
    assert {field.name for field in fields(FaceReport)} == set(response.body["faces"][0])


def test_options_reach_the_use_case(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, body={**BODY, "faces": [], "format": "webp", "quality": 10})

    assert response.body["content_type"] == "image/webp"
    assert response.body["faces"][0]["reason"] == "not_chosen"


def test_curl_without_a_content_type_is_understood(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    form = "application/x-www-form-urlencoded"

    assert http(stack, monkeypatch, body=BODY, content_type=form).status == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "meme"),
        ({"meme": ""}, "meme"),
        ({"meme": 3}, "meme"),
        ({**BODY, "faces": "some"}, "faces"),
        ({**BODY, "faces": [-1]}, "faces"),
        ({**BODY, "quality": 101}, "quality"),
        ({**BODY, "detail": "best"}, "detail"),
        ({**BODY, "detail": 2}, "detail"),
        ({**BODY, "format": "bmp"}, "format"),
        ({**BODY, "colour": True}, "colour"),
        ("{", "body"),
        ("[]", "body"),
        ("null", "body"),
        ('"text"', "body"),
        (None, "body"),
    ],
)
def test_what_is_wrong_with_a_request_is_said_by_field(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, body: Any, field: str
) -> None:
    response = http(stack, monkeypatch, body=body)

    assert response.status == 400
    assert response.body["code"] == "invalid_request"
    assert any(field in error["field"] for error in response.body["errors"])
    assert field in response.body["detail"]
    assert stack.models.pending == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "meme is missing."),
        ({"meme": ""}, "meme must not be empty."),
        ({"meme": 3}, "meme must be text."),
        ({**BODY, "faces": "some"}, 'faces must be "all", "largest" or a list of numbers.'),
        ({**BODY, "faces": {"index": 0}}, 'faces must be "all", "largest" or a list of numbers.'),
        ({**BODY, "faces": [0, -1]}, "faces[1] must be at least 0."),
        ({**BODY, "faces": ["0"]}, "faces[0] must be the number of a face, or an object with index and face."),
        ({**BODY, "faces": [{"index": 0}]}, "faces[0].face is missing."),
        ({**BODY, "faces": [{"index": 0, "face": 1}]}, "faces[0].face must be a URI or a list of URIs."),
        ({**BODY, "faces": list(range(33))}, "faces must have at most 32 items."),
        ({**BODY, "format": "bmp"}, 'format must be "jpeg", "jpg", "png", "webp", "gif" or "mp4".'),
        ({**BODY, "quality": 0, "badge": "x"}, "quality must be at least 1; badge must be true or false."),
        ({**BODY, "quality": 1.5}, "quality must be a whole number."),
        ({**BODY, "quality": "90"}, "quality must be a whole number."),
        ({**BODY, "color_match": "yes"}, "color_match must be true or false."),
        ({**BODY, "soft_edges": 1}, "soft_edges must be true or false."),
        ({**BODY, "colour": True}, "colour is not a field of this request."),
        ({**BODY, "consent": "two\nlines"}, "consent must be one line, without control characters."),
        ({**BODY, "consent": "one line\n"}, "consent must be one line, without control characters."),
        ("[]", "The body must be a JSON object."),
        (None, "The body is missing."),
        ("{'meme': 1}", "The body is not JSON: line 1, column 2: expecting property name enclosed in double quotes."),
        ('{"meme": "m",\n "faces": }', "The body is not JSON: line 2, column 11: expecting value."),
        ("[" * 100_000, "The body is not JSON: nested too deeply, or a number is too long."),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_mistake_is_told_by_the_name_that_the_caller_wrote_and_by_what_to_write(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, body: Any, detail: str
) -> None:
    response = http(stack, monkeypatch, body=body)

    assert (response.status, response.body["detail"]) == (400, detail)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"meme": "meme.png"}, "meme"),
        ({"face": "face.png"}, "face"),
        ({"faces": [0, {"index": 1, "face": "ftp://faces.example/a.png"}]}, "faces[1].face"),
    ],
)
def test_a_uri_that_can_never_be_fetched_is_named_by_its_field(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], field: str
) -> None:
    response = http(stack, monkeypatch, body={**BODY, **change})

    assert (response.status, response.body["code"]) == (422, "refused_url")
    assert response.body["detail"] == f"About {field}: A picture must be named by an https:, s3: or data: URI."


@pytest.mark.parametrize(("path", "field"), [("/results?limit=0", "limit"), ("/results?cursor=" + "a" * 500, "cursor")])
def test_parameters_are_named_as_in_the_address(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, path: str, field: str
) -> None:
    response = http(stack, monkeypatch, "GET", path)

    assert [error["field"] for error in response.body["errors"]] == [field]


def test_headers_are_named_as_they_are_documented(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, body=BODY, idempotency_key="k" * 256)

    assert response.body["detail"] == "Idempotency-Key must have at most 255 characters."


def test_a_body_that_is_not_text_is_the_callers_fault(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    event = {
        "version": "2.0",
        "rawPath": "/swap",
        "headers": {},
        "requestContext": {"http": {"method": "POST", "path": "/swap"}, "stage": "$default"},
        "body": base64.b64encode(b"\xff\xfe\x00").decode(),
        "isBase64Encoded": True,
    }

    assert invoke(stack, event, monkeypatch)["statusCode"] == 400


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/"), ("GET", "/swap"), ("DELETE", "/swap"), ("POST", "/swap/x/y")]
)
def test_other_paths_are_answered_with_a_problem(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    response = http(stack, monkeypatch, method, path)

    assert (response.status, response.body["code"]) == (404, "not_found")
    assert response.headers["content-type"] == "application/problem+json"


@pytest.fixture
def seconds_left(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that each swap had when it began."""
    seconds: list[float] = []
    start = stack.models.start_swapper

    def start_and_note(deadline: Deadline, **named: Any) -> Any:
        seconds.append(deadline.left())
        return start(deadline, **named)

    monkeypatch.setattr(stack.models, "start_swapper", start_and_note)
    return seconds


def test_without_a_key_work_ends_before_the_gateway_gives_up(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, seconds_left: list[float]
) -> None:
    context = FakeContext(left=lambda: 120_000)

    http(stack, monkeypatch, body=BODY, context=context)
    http(stack, monkeypatch, body=BODY, context=context, idempotency_key="k")

    assert 20 < seconds_left[0] < 30
    assert seconds_left[1] > 100


def test_what_a_request_waited_for_a_sandbox_is_taken_off(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, seconds_left: list[float]
) -> None:
    http(stack, monkeypatch, body=BODY, context=FakeContext(left=lambda: 120_000), sent_at=time.time() - 12)

    assert 5 < seconds_left[0] <= 17


# ---- Idempotency-Key


def test_the_same_key_and_body_give_the_stored_result(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    first = http(stack, monkeypatch, body=BODY, idempotency_key="k")
    second = http(stack, monkeypatch, body={**BODY, "color_match": True}, idempotency_key="k")  # the same, said

    assert (first.status, second.status) == (200, 200)
    assert first.body == second.body
    assert len(results(stack)) == 1


def test_a_stored_result_comes_with_a_fresh_url(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    first = http(stack, monkeypatch, body=BODY, idempotency_key="k")
    monkeypatch.setattr(result_link, "LINK_SECONDS", 7)
    second = http(stack, monkeypatch, body=BODY, idempotency_key="k")

    assert second.body["url"] == f"https://{OUTPUTS}.example/{first.body['key']}?for=7"


@pytest.mark.parametrize("option", [{"quality": 5}, {"detail": "fast"}])
def test_the_same_key_for_another_body_is_a_conflict(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, option: dict[str, Any]
) -> None:
    http(stack, monkeypatch, body=BODY, idempotency_key="k")
    response = http(stack, monkeypatch, body={**BODY, **option}, idempotency_key="k")

    assert (response.status, response.body["code"]) == (422, "idempotency_conflict")


def test_the_same_key_while_running_is_told_to_wait(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    http(stack, monkeypatch, body=BODY, idempotency_key="k")
    ((key, record),) = stack.table.records.items()
    in_progress = DataRecord(
        key, "INPROGRESS", record.expiry_timestamp, int(time.time() * 1000) + 60_000, payload_hash=record.payload_hash
    )
    stack.table.records[key] = in_progress

    response = http(stack, monkeypatch, body=BODY, idempotency_key="k")

    assert (response.status, response.body["code"]) == (409, "still_running")
    assert response.headers["retry-after"]


def test_keys_of_different_callers_do_not_meet(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for authorizer in (ANN, BEN, CYD):
        assert http(stack, monkeypatch, body=COMMON, authorizer=authorizer, idempotency_key="k").status == 200
    http(stack, monkeypatch, body=COMMON, authorizer=BEN, idempotency_key="k")

    assert len(results(stack)) == 3


def test_a_failure_is_not_remembered(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.models.failure = NoFaceInMeme()
    assert http(stack, monkeypatch, body=BODY, idempotency_key="k").status == 422
    stack.models.failure = None

    assert http(stack, monkeypatch, body=BODY, idempotency_key="k").status == 200


def test_a_table_that_does_not_answer_is_a_storage_failure(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.table.failure = OSError()

    response = http(stack, monkeypatch, body=BODY, idempotency_key="k")

    assert (response.status, response.body["code"]) == (503, "storage_failed")


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_keys_have_a_length(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    assert http(stack, monkeypatch, body=BODY, idempotency_key=key).status == 400


# ---- Prefer: respond-async


def test_an_asynchronous_swap_is_started_and_can_be_followed(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = http(stack, monkeypatch, body={**BODY, "format": "webp"}, prefer="respond-async")

    assert response.status == 202
    name = response.body["id"]
    assert response.headers["location"] == f"/swap/{name}"
    assert results(stack) == []
    job = http(stack, monkeypatch, "GET", f"/swap/{name}")
    assert (job.status, job.body) == (200, {"id": name, "status": "queued"})
    assert job.headers["retry-after"]

    stack.records.begin(name)
    assert http(stack, monkeypatch, "GET", f"/swap/{name}").body["status"] == "running"

    assert invoke(stack, execution_input(stack, name), monkeypatch) == {"swap": name}
    job = http(stack, monkeypatch, "GET", f"/swap/{name}")
    assert job.body["status"] == "succeeded"
    assert job.body["result"]["key"] == f"swaps/{name}.webp"
    assert job.body["result"]["url"].startswith(f"https://{OUTPUTS}.example/swaps/{name}.webp")
    JobResponse.model_validate(job.body)


def execution_input(stack: FakeSwapStack, name: str) -> Any:
    """The input of the swap's execution, which is the task's payload."""
    return json.loads(stack.machine.executions[name]["input"])


def test_an_execution_s_history_tells_nothing_but_the_swap_s_id(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {"meme": "https://me.example/a.jpg?token=secret", "consent": "her own picture"}

    name = http(stack, monkeypatch, body=body, authorizer=ANN, prefer="respond-async").body["id"]

    assert execution_input(stack, name) == {"swap": name}


def test_a_task_that_is_tried_again_after_it_was_done_does_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]

    assert [invoke(stack, execution_input(stack, name), monkeypatch) for _ in range(2)] == [{"swap": name}] * 2

    assert len(stack.models.pending) == 1


def fails(*_: Any) -> Any:
    """What the table does not do."""
    raise StorageFailed()


def test_a_result_that_could_not_be_told_of_is_deleted_at_once(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack.records, "add", fails)

    assert http(stack, monkeypatch, body=BODY).status == 503

    assert results(stack) == []


def test_what_was_written_and_never_told_of_goes_with_the_swap(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]
    with monkeypatch.context() as patch:
        patch.setattr(stack.records, "finish", fails)
        with pytest.raises(StorageFailed):
            invoke(stack, execution_input(stack, name), patch)
    assert results(stack)

    assert http(stack, monkeypatch, "DELETE", f"/results/{name}").status == 200

    assert results(stack) == []


def test_a_retry_of_a_deleted_swap_removes_what_a_killed_try_wrote(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]
    payload = execution_input(stack, name)
    http(stack, monkeypatch, "DELETE", f"/results/{name}")
    stack.storage.put(OUTPUTS, f"swaps/{name}.png", encode(drawing()))

    with pytest.raises(NotFound):
        invoke(stack, payload, monkeypatch)

    assert results(stack) == []


def test_an_execution_s_history_has_no_message_that_nobody_foresaw(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]
    stack.models.failure = ValueError("https://me.example/a.jpg?token=secret")

    with pytest.raises(InternalError) as raised:
        invoke(stack, execution_input(stack, name), monkeypatch)

    assert str(raised.value) == "The swap failed with ValueError. See the log."


def test_an_execution_s_history_names_no_caller(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = {"meme": f"s3://{UPLOADS}/{upload_folder(ANN)}gone/upload"}
    name = http(stack, monkeypatch, body=gone, authorizer=ANN, prefer="respond-async").body["id"]

    with pytest.raises(InputNotFound) as raised:
        invoke(stack, execution_input(stack, name), monkeypatch)

    assert upload_folder(ANN).split("/")[1] not in str(raised.value)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_swap_that_is_deleted_before_it_is_done_leaves_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]
    payload, start = execution_input(stack, name), stack.models.start_swapper

    def delete_and_start(deadline: Deadline, **named: Any) -> Any:
        stack.records.delete(name, "1")
        return start(deadline, **named)

    if when == "before":
        assert http(stack, monkeypatch, "DELETE", f"/results/{name}").status == 200
    else:
        monkeypatch.setattr(stack.models, "start_swapper", delete_and_start)

    with pytest.raises(NotFound):
        invoke(stack, payload, monkeypatch)
    assert results(stack) == []
    job = http(stack, monkeypatch, "GET", f"/swap/{name}")
    assert (job.status, job.body["code"], job.body["retryable"]) == (410, "deleted", False)


def test_pictures_inside_an_asynchronous_request_are_stored_first(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {"meme": encode(drawing()), "face": encode(drawing(scale=1.3))}
    body = {name: "data:image/png;base64," + base64.b64encode(data).decode() for name, data in pictures.items()}

    response = http(stack, monkeypatch, body=body, prefer="wait=5, respond-async")

    name = response.body["id"]
    for field, data in pictures.items():
        stored = stack.storage.objects[UPLOADS, f"{upload_folder()}{name}/{field}"]
        assert (stored.data, stored.content_type) == (data, "image/png")
    invoke(stack, execution_input(stack, name), monkeypatch)
    job = http(stack, monkeypatch, "GET", f"/swap/{name}")
    assert job.body["result"]["faces"][0]["swapped"]
    http(stack, monkeypatch, "DELETE", f"/results/{name}")
    assert not [key for _, key in stack.storage.objects if name in key]


def test_the_same_key_starts_one_execution(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    first = http(stack, monkeypatch, body=BODY, prefer="respond-async", idempotency_key="k")
    second = http(stack, monkeypatch, body=BODY, prefer="respond-async", idempotency_key="k")

    assert first.body == second.body
    assert len(stack.machine.executions) == 1


def test_an_asynchronous_request_is_checked_at_once(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, body={"meme": "file:///etc/passwd"}, prefer="respond-async")

    assert (response.status, response.body["code"]) == (422, "refused_url")
    assert stack.machine.executions == {}


def test_without_a_state_machine_there_is_nothing_asynchronous(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.settings = settings(state_machine_arn="")

    assert http(stack, monkeypatch, body=BODY, prefer="respond-async").body["code"] == "invalid_request"
    assert stack.records.items == {}


@pytest.mark.parametrize("name", ["x", "00000000-0000-4000-8000-000000000000", "..", "%2e"])
def test_no_swap_has_such_a_name(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert http(stack, monkeypatch, "GET", f"/swap/{name}").body["code"] == "not_found"


def record_swap(stack: FakeSwapStack, **outcome: Any) -> str:
    """The id of an anonymous caller's swap that ended so."""
    name = new_id()
    stack.records.items[name] = SwapRecord(name, "1", created_at=time.time(), **outcome)
    return name


@pytest.mark.parametrize("kind", family().values())
def test_a_failed_swap_tells_its_problem(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    name = record_swap(stack, status="failed", error=kind.__name__, cause="What was wrong.")

    response = http(stack, monkeypatch, "GET", f"/swap/{name}")

    assert (response.status, response.body["status"]) == (200, "failed")
    problem = response.body["problem"]
    assert (problem["code"], problem["status"], problem["detail"]) == (kind.code, kind.status, "What was wrong.")
    assert problem["instance"] == f"/swap/{name}"
    assert "retry-after" not in response.headers


def test_a_swap_whose_workflow_can_no_longer_say_so_is_out_of_time(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]
    later = time.time() + OVERDUE_SECONDS + 1
    monkeypatch.setattr(stack.records, "_now", lambda: later)

    response = http(stack, monkeypatch, "GET", f"/swap/{name}")

    assert (response.body["status"], response.body["problem"]["code"]) == ("failed", "out_of_time")


def test_what_does_not_answer_is_told_and_leaves_no_swap_behind(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.machine.failure = ClientError({"Error": {"Code": "ThrottlingException"}}, "Any")
    assert http(stack, monkeypatch, body=BODY, prefer="respond-async").body["code"] == "storage_failed"
    assert stack.records.items == {}

    stack.records.failure = StorageFailed()
    assert http(stack, monkeypatch, "GET", f"/swap/{new_id()}").body["code"] == "storage_failed"


# ---- whose is it


def test_another_caller_s_swap_is_not_told_from_none(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name = http(stack, monkeypatch, body=COMMON, authorizer=ANN, prefer="respond-async").body["id"]
    url = f"/swap/{name}"

    own, other = (http(stack, monkeypatch, "GET", url, authorizer=who) for who in (ANN, BEN))
    stack.records.remove(name)
    nothing = http(stack, monkeypatch, "GET", url, authorizer=BEN)

    assert (own.status, other.status) == (200, 404)
    assert other == nothing


def places(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """URIs of pictures that there are and that Ben may not read, by whose they are."""
    result = http(stack, monkeypatch, body=COMMON, authorizer=ANN).body["key"]
    for bucket, key in (
        (UPLOADS, "memes/private-party.png"),
        (UPLOADS, f"{upload_folder(ANN)}1/upload"),
        (OUTPUTS, "swapped/private-party.png"),
        (OUTPUTS, "work/voice/digest.json"),
        (OUTPUTS, "videos/01a20a25-9134-7e8a-a6bf-25430c84c889/poster.jpg"),
        (MODELS, "faces/staff.png"),
    ):
        stack.storage.put(bucket, key, encode(drawing()))
    stack.records.videos["01a20a25-9134-7e8a-a6bf-25430c84c889"] = FixedPseudonyms().caller("iam:AIDAANN")
    keys = [(bucket, key) for bucket, key in stack.storage.objects if key != "faces/default.png"]
    assert (OUTPUTS, result) in keys
    return {key: f"s3://{bucket}/{key}" for bucket, key in keys if not key.startswith("latents/")}


def test_nobody_reads_what_is_another_s_whatever_the_route(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, uri in places(stack, monkeypatch).items():
        requests: tuple[tuple[str, Any], ...] = (
            ("/swap", {"meme": uri, "faces": []}),
            ("/swap", {**COMMON, "face": uri}),
            ("/verify", {"uri": uri}),
        )
        for path, body in requests:
            response = http(stack, monkeypatch, path=path, body=body, authorizer=BEN)
            assert response.status in (404, 422), (path, key)
            assert response.body["code"] in ("input_not_found", "refused_url"), (path, key)


def test_a_place_that_is_another_s_is_not_told_from_one_with_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, uri in places(stack, monkeypatch).items():
        there = http(stack, monkeypatch, path="/verify", body={"uri": uri}, authorizer=BEN)
        bucket = uri.removeprefix("s3://").partition("/")[0]
        del stack.storage.objects[bucket, key]
        nothing = http(stack, monkeypatch, path="/verify", body={"uri": uri}, authorizer=BEN)
        assert there == nothing, key


def test_a_caller_reads_what_is_its_own(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    own = [
        uri
        for key, uri in places(stack, monkeypatch).items()
        if key.startswith((upload_folder(ANN), "swaps/", "videos/"))
    ]
    assert len(own) == 3
    for uri in own:
        assert http(stack, monkeypatch, path="/verify", body={"uri": uri}, authorizer=ANN).status == 200
        code = http(stack, monkeypatch, body={"meme": uri, "faces": []}, authorizer=ANN).body.get("code")
        assert code in (None, "no_face_in_meme"), "a swapped face is none to the tests' detector"


def test_the_default_face_serves_every_caller_wherever_the_operator_keeps_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bucket, key in ((UPLOADS, "faces/staff.png"), (OUTPUTS, "faces/staff.png")):
        stack.storage.put(bucket, key, encode(drawing()))
        stack.settings = settings(default_face=f"s3://{bucket}/{key}")
        uri = "data:image/png;base64," + base64.b64encode(encode(drawing())).decode()

        assert http(stack, monkeypatch, body={"meme": uri}, authorizer=ANN).status == 200


def test_the_check_goes_with_a_swap_that_runs_beside(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    key = http(stack, monkeypatch, body=COMMON, authorizer=ANN).body["key"]
    body = {"meme": f"s3://{OUTPUTS}/{key}", "faces": []}
    name = http(stack, monkeypatch, body=body, authorizer=BEN, prefer="respond-async").body["id"]

    with pytest.raises(InputNotFound):
        invoke(stack, execution_input(stack, name), monkeypatch)


def test_the_stack_s_own_principals_read_all_that_is_named_to_them(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, uri in places(stack, monkeypatch).items():
        if not key.startswith("swaps/"):  # a swapped face is none to the tests' detector
            assert invoke(stack, {"meme": uri, "faces": []}, monkeypatch)["key"]


def test_a_link_tells_neither_who_asked_nor_by_which_picture(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.settings = settings(cache_latents=True)
    face = f"{upload_folder(ANN)}1/face"
    stack.storage.put(UPLOADS, face, encode(drawing()))

    response = http(stack, monkeypatch, body={**COMMON, "face": f"s3://{UPLOADS}/{face}"}, authorizer=ANN)

    assert response.status == 200
    assert stack.storage.objects[OUTPUTS, response.body["key"]].metadata == {}
    assert FixedPseudonyms().caller("iam:AIDAANN") not in response.body["url"]


# ---- the rest


def test_an_upload_form_has_a_limit_and_a_uri_to_use_it_by(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = http(stack, monkeypatch, path="/uploads")

    assert response.status == 201
    assert response.body["fields"]["limit"] == str(200 * 2**20)
    assert response.body["uri"] == f"s3://{UPLOADS}/{response.body['fields']['key']}"
    assert not response.body["fields"]["key"].startswith("memes/")  # which would be swapped by itself
    UploadResponse.model_validate(response.body)


def test_the_api_describes_itself(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, "GET", "/openapi.json")

    assert response.status == 200
    paths = response.body["paths"]
    own = json.loads(http_api.openapi())["paths"]
    assert {(path, method) for path in own for method in own[path]} <= {
        (path, method) for path in paths for method in paths[path]
    }
    assert paths.keys() > own.keys()
    statuses = set(paths["/swap"]["post"]["responses"])
    of_swaps = set(family().values()) - set(family(VideoError).values())
    assert {str(kind.status) for kind in of_swaps} - statuses == {"507"}
    assert {"200", "202"} <= statuses
    headers = {parameter["name"] for parameter in paths["/swap"]["post"]["parameters"]}
    assert headers == {"idempotency-key", "prefer"}
    assert "meme" in response.body["components"]["schemas"]["SwapBody"]["required"]


def test_the_pack_is_told_with_its_licences_and_what_its_users_must_know(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.models.manifest.hint = "Drawn faces only."
    licences = {"detector": "MIT", "embedder": "own", "swapper": "MIT"}
    stack.models.manifest.models = {name: SimpleNamespace(licence=text) for name, text in licences.items()}

    response = http(stack, monkeypatch, "GET", "/pack")

    assert response.status == 200
    PackResponse.model_validate(response.body)
    assert response.body == {
        "name": "toy",
        "hint": "Drawn faces only.",
        "licences": ["MIT", "own"],
        "models": ["detector", "embedder", "swapper"],
        "has_default_face": True,
    }


def test_the_description_can_be_read_in_a_browser(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, "GET", "/docs")

    assert response.status == 200
    assert "swagger" in str(response.body).lower()


def test_ids_are_in_the_order_of_time_and_unlike(monkeypatch: pytest.MonkeyPatch) -> None:
    early, late = new_id(), None
    monkeypatch.setattr(time, "time_ns", lambda: int(((creation_time(early) or 0) + 1) * 1e9))
    late = new_id()

    assert early < late
    assert creation_time(late) == pytest.approx((creation_time(early) or 0) + 1, abs=0.002)
    assert len({new_id() for _ in range(1000)}) == 1000
    assert creation_time(early.upper()) is None or early.upper() == early


def limit_budget(stack: FakeSwapStack, dynamodb: Any, table: str, limit: int) -> FakeSwapStack:
    stack.budget = Budget(table, "megapixels", lambda: limit, lambda: dynamodb)
    return stack


def test_a_caller_s_budget_is_refused_before_any_work(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 2)
    assert [http(stack, monkeypatch, body=COMMON, authorizer=ANN).status for _ in range(2)] == [200, 200]
    swaps = len(stack.models.pending)

    rejection = http(stack, monkeypatch, body=COMMON, authorizer=ANN)

    assert (rejection.status, rejection.body["code"], rejection.body["retryable"]) == (429, "budget_spent", False)
    assert 0 < int(rejection.headers["retry-after"]) <= 24 * 3600
    assert len(stack.models.pending) == swaps
    assert http(stack, monkeypatch, body=COMMON, authorizer=ANN, prefer="respond-async").status == 429
    assert http(stack, monkeypatch, path="/uploads", authorizer=ANN).status == 429
    assert http(stack, monkeypatch, body=COMMON, authorizer=BEN).status == 200


def test_a_large_meme_costs_its_megapixels_also_beside_its_caller(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 3)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(width=2000, height=1600)))  # 3.2 megapixels

    assert http(stack, monkeypatch, body=BODY).status == 429
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]
    with pytest.raises(BudgetSpent):
        invoke(stack, execution_input(stack, name), monkeypatch)
    assert results(stack) == []
    limit_budget(stack, dynamodb, table, 6)  # each of the two refused ones has cost one
    assert http(stack, monkeypatch, body=BODY).status == 200


def test_an_execution_that_is_tried_again_pays_once(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 5)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(width=2000, height=1600)))  # 3.2 megapixels
    name = http(stack, monkeypatch, body=BODY, prefer="respond-async").body["id"]
    stack.storage.failures["write", "swaps/"] = StorageFailed()
    for _ in range(3):
        with pytest.raises(StorageFailed):
            invoke(stack, execution_input(stack, name), monkeypatch)
    stack.storage.failures.clear()

    invoke(stack, execution_input(stack, name), monkeypatch)

    assert http(stack, monkeypatch, path="/uploads").status == 201, "four of five units are spent"
    assert http(stack, monkeypatch, path="/uploads").status == 429


def test_many_faces_in_a_small_picture_cost_what_they_take(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 2)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(9, width=2000, height=200, scale=0.6)))

    assert http(stack, monkeypatch, body=BODY).status == 429, "nine faces are two units more"
    assert http(stack, monkeypatch, body={**BODY, "faces": [0, 1, 2, 3]}).status == 200


@pytest.mark.parametrize("headers", [{}, {"prefer": "respond-async"}], ids=["waiting", "not waiting"])
@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"meme": f"https://example.com/{'a' * 300_000}"}, "refused_url"),
        ({**BODY, "face": f"https://example.com/?{'a' * 300_000}"}, "refused_url"),
        ({"meme": f"s3://{UPLOADS}/requests/{'a' * 300_000}"}, "invalid_request"),
        ({"meme": f"data:image/{'a' * 300_000};base64,"}, "invalid_request"),
        ({"meme": "https://example.com:8443/a.png"}, "refused_url"),
        ({**BODY, "faces": list(range(33))}, "invalid_request"),
        ({**BODY, "faces": [10**4000]}, "invalid_request"),
    ],
    ids=["long meme", "long face", "long key", "long type", "port", "many faces", "long number"],
)
def test_what_could_not_be_kept_or_fetched_is_refused_before_it_costs_anything(
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    dynamodb: Any,
    table: str,
    wrong: dict[str, Any],
    code: str,
    headers: dict[str, Any],
) -> None:
    limit_budget(stack, dynamodb, table, 1)

    response = http(stack, monkeypatch, body=wrong, **headers)

    assert (response.status, response.body["code"]) == ({"refused_url": 422}.get(code, 400), code)
    assert http(stack, monkeypatch, path="/uploads").status == 201, "the one unit is still there"


def test_a_repeated_request_costs_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 1)

    responses = [http(stack, monkeypatch, body=COMMON, authorizer=CYD, idempotency_key="k") for _ in range(3)]

    assert [response.status for response in responses] == [200, 200, 200]


def test_looking_at_a_file_costs_one_unit_before_it_is_fetched(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 1)
    nowhere = {"uri": f"s3://{OUTPUTS}/swaps/{new_id()}.png"}
    ask = partial(http, stack, monkeypatch, path="/verify", body=nowhere)

    assert [ask(authorizer=ANN).status for _ in range(2)] == [404, 429]
    assert ask(authorizer=ANN).body["code"] == "budget_spent"
    assert ask(authorizer=BEN).status == 404
    assert [ask().status for _ in range(2)] == [404, 429], "all who are nobody in particular share one budget"


def test_a_large_file_costs_more_to_look_at(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 2)
    monkeypatch.setattr(cost, "BYTES_PER_UNIT", 1000)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing()) + bytes(1500))

    assert http(stack, monkeypatch, path="/verify", body={"uri": MEME}).status == 429


def test_a_result_is_deleted_with_all_that_was_kept_to_make_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.settings = settings(cache_latents=True)
    before = set(stack.storage.objects)
    face = f"{upload_folder(ANN)}7/upload"
    stack.storage.put(UPLOADS, face, encode(drawing()))
    body = {**COMMON, "face": f"s3://{UPLOADS}/{face}"}
    key = http(stack, monkeypatch, body=body, authorizer=ANN, idempotency_key="k").body["key"]
    name = key.removeprefix("swaps/").removesuffix(".png")
    assert any("latents/others" in key for _, key in stack.storage.objects)

    assert http(stack, monkeypatch, "DELETE", f"/results/{name}", authorizer=BEN).status == 404
    assert (OUTPUTS, key) in stack.storage.objects
    assert http(stack, monkeypatch, "DELETE", f"/results/{name}", authorizer=ANN).status == 200

    assert set(stack.storage.objects) == before
    assert stack.records.items == {}
    assert "faces" not in str(stack.table.records.values()), "what the key is remembered by is an id"
    for method, path in (("DELETE", f"/results/{name}"), ("GET", f"/swap/{name}")):
        gone = http(stack, monkeypatch, method, path, authorizer=ANN)
        assert (gone.status, gone.body["code"]) == (410, "deleted")
        assert http(stack, monkeypatch, method, path, authorizer=BEN).status == 404, "for others it never was"
    repeat = http(stack, monkeypatch, body=body, authorizer=ANN, idempotency_key="k")
    assert (repeat.status, repeat.body["code"]) == (410, "deleted")


def test_a_key_whose_queued_swap_was_deleted_leads_nowhere(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = partial(http, stack, monkeypatch, body=BODY, prefer="respond-async", idempotency_key="k")
    name = queue().body["id"]
    assert queue().body == {"id": name, "status": "queued"}
    invoke(stack, execution_input(stack, name), monkeypatch)
    assert queue().body == {"id": name, "status": "succeeded"}

    http(stack, monkeypatch, "DELETE", f"/results/{name}")

    assert (queue().status, queue().body["code"]) == (410, "deleted")
    job = http(stack, monkeypatch, "GET", f"/swap/{name}")
    assert (job.status, job.body["code"]) == (410, "deleted")


def test_nobody_learns_from_a_kept_latent_whose_picture_was_here_before(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.settings = settings(cache_latents=True)
    for authorizer in (ANN, ANN, BEN):
        face = f"{upload_folder(authorizer)}1/face"
        stack.storage.put(UPLOADS, face, encode(drawing()))
        http(stack, monkeypatch, body={**COMMON, "face": f"s3://{UPLOADS}/{face}"}, authorizer=authorizer)

    assert stack.models.embedder_loads == 2, "once for each of the two"


def test_a_scheme_in_capitals_is_the_same(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    upload, default = f"S3://{UPLOADS}/requests/1/meme", f"S3://{MODELS}/faces/default.png"

    key = http(stack, monkeypatch, body={"meme": upload, "face": default}).body["key"]

    (record,) = stack.records.items.values()
    assert record.inputs == {"requests/1/meme"}
    assert record.latent_keys == frozenset()
    assert http(stack, monkeypatch, "DELETE", f"/results/{key[6:-4]}").status == 200
    assert (UPLOADS, "requests/1/meme") not in stack.storage.objects


@pytest.mark.parametrize("name", ["x" * 3000, "a#b", "\u00e9", "result"])
def test_what_can_be_no_id_is_not_looked_for(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert http(stack, monkeypatch, "GET", f"/swap/{quote(name)}").status == 404


def test_the_default_face_s_latent_outlives_a_result(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    key = http(stack, monkeypatch, body=COMMON, authorizer=ANN).body["key"]

    http(stack, monkeypatch, "DELETE", f"/results/{key[6:-4]}", authorizer=ANN)

    assert any("latents/default" in key for _, key in stack.storage.objects)


@pytest.mark.parametrize("name", ["..", "%2e%2e", "a", "01a20a25-9134-7e8a-a6bf-25430c84c889", "swaps"])
def test_what_is_no_result_of_the_caller_s_is_not_found(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stack.storage.put(OUTPUTS, "swaps/a.jpg", b"another's")

    assert http(stack, monkeypatch, "DELETE", f"/results/{name}", authorizer=ANN).status == 404
    assert (OUTPUTS, "swaps/a.jpg") in stack.storage.objects


def test_the_result_names_the_digests_of_what_went_in_and_came_out(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = http(stack, monkeypatch, body=BODY)

    read = [(UPLOADS, "requests/1/meme"), (MODELS, "faces/default.png"), (OUTPUTS, response.body["key"])]
    digests = [sha256(stack.storage.objects[place].data).hexdigest() for place in read]
    assert response.body["digests"] == dict(zip(("meme", "face", "result"), digests, strict=True))


def test_one_line_tells_who_made_what_of_what_and_nothing_more(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "data:image/png;base64," + base64.b64encode(encode(drawing())).decode()
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)

    response = http(stack, monkeypatch, body={"meme": uri, "consent": "her own picture"}, authorizer=ANN)

    (line,) = [each for each in map(json.loads, log.getvalue().splitlines()) if each["message"] == "swapped"]
    assert line["digests"] == response.body["digests"]
    assert (line["caller"], line["consent"]) == (FixedPseudonyms().caller("iam:AIDAANN"), "her own picture")
    assert line["models"] == response.body["models"]
    assert uri[40:80] not in log.getvalue()
    assert response.body["url"] not in log.getvalue()


def capture_log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is logged from here on."""
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)
    return log


def lines(log: io.StringIO, name: str) -> list[dict[str, Any]]:
    """Those in which that id stands."""
    return [json.loads(line) for line in log.getvalue().splitlines() if name in line and "_aws" not in line]


@pytest.mark.parametrize("body", [COMMON, {"meme": 3}, {"meme": "file:///etc/passwd"}], ids=["200", "400", "422"])
def test_the_id_that_api_gateway_tells_a_caller_is_in_every_line_beside_lambda_s(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    log, context = capture_log(monkeypatch), FakeContext()

    response = http(stack, monkeypatch, body=body, authorizer=ANN, context=context)

    assert response.status == 200 or response.body["instance"] == "urn:coldswap:request:req-1"
    of_request = lines(log, "req-1")
    assert len(of_request) == len([line for line in log.getvalue().splitlines() if "_aws" not in line]) > 0
    assert {line["lambda_request_id"] for line in of_request} == {context.aws_request_id}
    assert of_request[-1]["status"] == response.status


def test_a_fault_that_nobody_foresaw_is_found_by_the_id_in_its_problem(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.models.failure = RuntimeError("unforeseen")
    log = capture_log(monkeypatch)

    response = http(stack, monkeypatch, body=COMMON, authorizer=ANN)

    assert response.status == 500
    assert "unforeseen" in str(lines(log, response.body["instance"].rpartition(":")[2]))


def test_the_id_of_a_swap_is_in_the_lines_of_who_took_it_and_of_who_did_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = capture_log(monkeypatch)
    name = http(stack, monkeypatch, body=COMMON, authorizer=ANN, prefer="respond-async").body["id"]
    submission_lines = lines(log, name)

    invoke(stack, execution_input(stack, name), monkeypatch)

    assert [line["leads_to"] for line in submission_lines] == [f"/swap/{name}"]
    task_lines = lines(log, name)[len(submission_lines) :]
    assert [line["message"] for line in task_lines] == ["swapped"]
    assert task_lines[0]["correlation_id"] == name


def test_the_ids_of_a_form_and_of_a_result_are_in_the_log(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = capture_log(monkeypatch)
    form = http(stack, monkeypatch, path="/uploads", authorizer=ANN).body["uri"].split("/")[-2]
    result = http(stack, monkeypatch, body=COMMON, authorizer=ANN).body["key"][6:-4]

    assert lines(log, form)
    assert lines(log, result)


def test_who_is_told_to_come_again_has_paid_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 1)
    with monkeypatch.context() as patch:
        patch.setattr(stack.sandboxes, "enter", full)
        for path, body in (("/swap", COMMON), ("/verify", {"uri": COMMON["meme"]})):
            response = http(stack, patch, path=path, body=body, authorizer=ANN)
            assert (response.status, response.body["code"]) == (503, "at_capacity")

    assert http(stack, monkeypatch, body=COMMON, authorizer=ANN).status == 200


def full(caller: str | None, name: str) -> None:
    """There is no room."""
    raise AtCapacity(retry_after=2)


def test_while_another_caller_asks_one_who_has_half_of_the_room_is_told_when_to_come_again(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stack.sandboxes, "enter", full)

    response = http(stack, monkeypatch, body=COMMON, authorizer=ANN)

    assert (response.status, response.body["code"], response.headers["retry-after"]) == (503, "at_capacity", "2")
    assert stack.models.pending == []


def test_the_sandbox_is_given_back_whatever_becomes_of_the_swap(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    running: list[str] = []
    monkeypatch.setattr(stack.sandboxes, "enter", lambda caller, name: running.append(name))
    monkeypatch.setattr(stack.sandboxes, "leave", lambda caller, name: running.remove(name))
    stack.models.failure = NoFaceInMeme()

    http(stack, monkeypatch, body=COMMON, authorizer=ANN)

    assert running == []


def test_results_are_listed_in_pages(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (
        [ResultSummary("1", "swap", "succeeded", "2026-11-28T00:00:00Z"), ResultSummary("2", "video", "running", "…")],
        "more",
    )
    calls: list[Any] = []

    def one(*arguments: Any) -> Any:
        calls.append(arguments)
        return page

    monkeypatch.setattr(stack.records, "page", one)

    response = http(stack, monkeypatch, "GET", "/results?cursor=here&limit=2", authorizer=ANN)

    assert calls == [(FixedPseudonyms().caller("iam:AIDAANN"), "here", 2)]
    assert response.body["next"] == "more"
    assert [item["links"] for item in response.body["items"]] == [
        {"self": "/swap/1", "delete": "/results/1"},
        {"self": "/task/2", "delete": "/task/2"},
    ]
    ResultsResponse.model_validate({**response.body, "items": response.body["items"][:1]})


@pytest.mark.parametrize("limit", ["0", "101", "x"])
def test_a_page_has_a_length(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    assert http(stack, monkeypatch, "GET", f"/results?limit={limit}", authorizer=ANN).status == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/swap"), ("GET", "/swap/1"), ("GET", "/results"), ("DELETE", "/results/1"), ("POST", "/uploads"),
     ("POST", "/faces"), ("POST", "/verify"), ("GET", "/terms"), ("POST", "/terms")],
)  # fmt: skip
def test_credentials_that_name_nobody_are_refused_on_every_route(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    bodies = {"/swap": COMMON, "/faces": COMMON, "/verify": {"uri": COMMON["meme"]}, "/terms": {"version": "1"}}
    nobody = {"jwt": {"claims": {"iss": "https://issuer.example"}}}

    response = http(stack, monkeypatch, method, path, bodies.get(path) if method == "POST" else None, authorizer=nobody)

    assert (response.status, response.body["code"]) == (403, "unidentified")


def test_consent_is_a_short_line(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for consent in ("", "x" * 201, "two\nlines", "bell\x07"):
        assert http(stack, monkeypatch, body={**BODY, "consent": consent}).status == 400


def test_a_caller_accepts_the_terms_once_before_anything_is_made(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 1).terms = Terms(table, lambda: dynamodb)
    who: Any = {"authorizer": ANN}

    cases: tuple[tuple[str, Any, Any], ...] = (
        ("/swap", COMMON, {}),
        ("/swap", COMMON, {"prefer": "respond-async"}),
        ("/swap", COMMON, {"idempotency_key": "k"}),
        ("/uploads", None, {}),
    )
    for path, body, headers in cases:
        rejection = http(stack, monkeypatch, path=path, body=body, **who, **headers)
        assert (rejection.status, rejection.body["code"], rejection.body["retryable"]) == (
            403,
            "terms_not_accepted",
            False,
        )
    assert stack.models.pending == []
    terms = http(stack, monkeypatch, "GET", "/terms", **who)
    assert (terms.status, terms.body["accepted"]) == (200, False)
    assert http(stack, monkeypatch, path="/terms", body={"version": "1999-01-01"}, **who).status == 400
    acceptance = http(stack, monkeypatch, path="/terms", body={"version": terms.body["version"]}, **who)
    assert (acceptance.status, acceptance.body) == (200, {**terms.body, "accepted": True})
    assert http(stack, monkeypatch, "GET", "/terms", **who).body["accepted"] is True

    assert http(stack, monkeypatch, body=COMMON, **who).status == 200, "what was refused has cost nothing"
    assert http(stack, monkeypatch, body=COMMON, authorizer=CYD).status == 403
