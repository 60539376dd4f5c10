"""Swaps as Replicate's clients ask for them; tests/clients has the real client."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest

from functions.swap.entry.form import Form
from functions.swap.entry.prediction_schemas import NAMES, FileResponse, PredictionResponse, VersionResponse
from layers.core.errors import InvalidRequest, NotFound
from layers.core.ids import new_id
from tests.unit.swap.entry_clients import http, invoke
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, FakeSwapStack, upload_folder

MEME = f"s3://{UPLOADS}/requests/1/meme"
COMMON = f"s3://{MODELS}/faces/default.png"
BODY = {"version": "cdingram/face-swap:d1d6ea8c", "input": {"input_image": MEME}}
FORM = (
    "--line\r\n"
    'Content-Disposition: form-data; name="metadata"\r\n\r\n{}\r\n'
    "--line\r\n"
    'Content-Disposition: form-data; name="content"; filename="me.png"\r\n'
    "Content-Type: image/png\r\n\r\nthe\r\nfile\r\n"
    "--line--\r\n"
)
FORM_TYPE = "multipart/form-data; boundary=line"
ANN, BEN = ({"iam": {"callerId": f"AIDA{name}", "userArn": f"arn:aws:iam::1:user/{name}"}} for name in ("ANN", "BEN"))


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def create(stack: FakeSwapStack, patch: pytest.MonkeyPatch, body: Any = None, **more: Any) -> Any:
    """The response to a new prediction."""
    return http(stack, patch, path="/v1/predictions", body=body or BODY, **more)


def get(stack: FakeSwapStack, patch: pytest.MonkeyPatch, name: str, **more: Any) -> Any:
    """A prediction as it is now."""
    response = http(stack, patch, "GET", f"/v1/predictions/{name}", **more)
    assert response.status == 200
    PredictionResponse.model_validate(response.body)
    return response.body


def run_workflow(stack: FakeSwapStack, patch: pytest.MonkeyPatch, name: str) -> None:
    """What the stack's workflow does with a queued swap."""
    invoke(stack, json.loads(stack.machine.executions[name]["input"]), patch)


def test_a_prediction_is_a_queued_swap_until_it_has_a_picture(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = create(stack, monkeypatch)

    name = response.body["id"]
    assert (response.status, response.body["status"], response.body["output"]) == (201, "starting", None)
    assert response.headers["location"] == f"/v1/predictions/{name}"
    assert response.body["input"]["meme"] == MEME
    PredictionResponse.model_validate(response.body)

    stack.records.begin(name)
    assert get(stack, monkeypatch, name)["status"] == "processing"

    run_workflow(stack, monkeypatch, name)
    done = get(stack, monkeypatch, name)
    assert (done["status"], done["error"], done["input"]) == ("succeeded", None, {})
    assert done["output"].startswith(f"https://{OUTPUTS}.example/swaps/{name}.png?")
    assert http(stack, monkeypatch, "GET", f"/swap/{name}").body["status"] == "succeeded"


def test_whoever_waits_gets_the_picture_at_once(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    for prefer in ("wait", "wait=60", "respond-async, wait"):
        response = create(stack, monkeypatch, prefer=prefer)

        assert (response.status, response.body["status"]) == (201, "succeeded")
        assert response.body["output"].startswith(f"https://{OUTPUTS}.example/")
        again = get(stack, monkeypatch, response.body["id"])
        assert {**again, "created_at": ""} == {**response.body, "created_at": ""}
    assert stack.machine.executions == {}


@pytest.mark.parametrize("prefer", ["wait=5", "respond-async", "await", ""])
def test_whoever_waits_for_too_short_a_time_asks_again(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, prefer: str
) -> None:
    assert create(stack, monkeypatch, prefer=prefer).body["status"] == "starting"


def test_addresses_are_those_by_which_the_caller_came(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def urls(host: str, **headers: str) -> Any:
        event = {
            "version": "2.0",
            "rawPath": "/v1/predictions",
            "headers": {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}},
            "requestContext": {
                "http": {"method": "POST", "path": "/v1/predictions"},
                "domainName": "api.example.com",
                "stage": "$default",
            },
            "body": json.dumps(BODY),
            "isBase64Encoded": False,
        }
        document = json.loads(invoke(stack, event, monkeypatch)["body"])
        return {name: url.replace(document["id"], "ID") for name, url in document["urls"].items()}

    assert urls("api.example.com", x_forwarded_proto="https") == {
        "get": "https://api.example.com/v1/predictions/ID",
        "cancel": "https://api.example.com/v1/predictions/ID/cancel",
    }
    assert urls("127.0.0.1:4566")["get"] == "http://api.example.com:4566/v1/predictions/ID"


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_may_have_the_name_that_a_model_on_replicate_gives_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    others = {"meme": {"face": COMMON}, "face": {"meme": MEME}}[NAMES[name]]

    body = create(stack, monkeypatch, {"input": {name: COMMON, **others}}).body

    assert body["input"][NAMES[name]] == COMMON


def test_a_client_may_name_a_model_instead_of_a_version(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    path = "/v1/models/codeplugtech/face-swap/predictions"

    response = http(stack, monkeypatch, path=path, body={"input": {"input_image": MEME, "faces": "largest"}})

    assert (response.status, response.body["input"]["faces"]) == (201, "largest")


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "input is missing."),
        ({"input": {}}, "input.meme is missing."),
        ({"input": {"input_image": MEME, "upscale": True}}, "input.upscale is not a field of this request."),
        (
            {"input": {"input_image": MEME, "meme": MEME}},
            "input must not have both input_image and meme, which mean the same.",
        ),
        ({"input": "meme"}, "input must be a JSON object."),
        (
            {**BODY, "webhook": "https://example.com/done"},
            "webhook is not supported here: ask urls.get until the status is final.",
        ),
        ({**BODY, "stream": True}, "stream must be false: a picture comes at once."),
    ],
)
def test_what_cannot_be_done_is_said_in_detail(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, body: Any, detail: str
) -> None:
    response = http(stack, monkeypatch, path="/v1/predictions", body=body)

    assert (response.status, response.body["code"], response.body["detail"]) == (400, "invalid_request", detail)
    assert stack.machine.executions == {}


def test_nulls_and_false_ask_for_nothing(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {**BODY, "webhook": None, "stream": False, "input": {"input_image": MEME, "meme": None, "swap_image": None}}

    assert create(stack, monkeypatch, body).status == 201


def test_a_swap_that_failed_says_why(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name = create(stack, monkeypatch).body["id"]
    record = stack.records.items[name]
    stack.records.items[name] = replace(
        record, status="failed", error="NoFaceInMeme", cause="There is no face in the meme."
    )

    failed = get(stack, monkeypatch, name)

    assert (failed["status"], failed["error"], failed["output"]) == ("failed", "There is no face in the meme.", None)


def test_a_cancelled_swap_leaves_nothing_behind(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    data = base64.b64encode(stack.storage.objects[UPLOADS, "requests/1/meme"].data).decode()
    before = set(stack.storage.objects)
    body = {"input": {"meme": f"data:image/png;base64,{data}"}}
    name = create(stack, monkeypatch, body).body["id"]
    assert set(stack.storage.objects) > before

    response = http(stack, monkeypatch, path=f"/v1/predictions/{name}/cancel")

    assert (response.status, response.body["status"]) == (200, "canceled")
    assert set(stack.storage.objects) == before
    assert get(stack, monkeypatch, name)["status"] == "canceled"
    with pytest.raises(NotFound, match="deleted"):
        run_workflow(stack, monkeypatch, name)
    assert set(stack.storage.objects) == before
    again = http(stack, monkeypatch, path=f"/v1/predictions/{name}/cancel")
    assert (again.status, again.body["status"]) == (200, "canceled")


def test_what_is_done_cannot_be_cancelled(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name = create(stack, monkeypatch, prefer="wait").body["id"]

    response = http(stack, monkeypatch, path=f"/v1/predictions/{name}/cancel")

    assert (response.status, response.body["status"]) == (200, "succeeded")
    assert (OUTPUTS, f"swaps/{name}.png") in stack.storage.objects


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("POST", "/cancel")])
def test_a_prediction_is_its_callers_alone(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, method: str, end: str
) -> None:
    stack.storage.put(UPLOADS, f"{upload_folder(ANN)}meme", stack.storage.objects[UPLOADS, "requests/1/meme"].data)
    body = {"input": {"meme": f"s3://{UPLOADS}/{upload_folder(ANN)}meme"}}
    name = create(stack, monkeypatch, body, authorizer=ANN).body["id"]

    for each in (name, new_id()):
        response = http(stack, monkeypatch, method, f"/v1/predictions/{each}{end}", authorizer=BEN)
        assert (response.status, response.body["code"]) == (404, "not_found")
    assert stack.records.items[name].status == "queued"


def test_the_python_client_which_sends_its_token_to_every_address_gets_the_picture_itself(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = create(stack, monkeypatch, prefer="wait", user_agent="replicate-python/1.0.7").body

    head, _, data = body["output"].partition(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == stack.storage.objects[OUTPUTS, f"swaps/{body['id']}.png"].data


def test_a_file_becomes_an_upload_that_a_prediction_may_name(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = http(stack, monkeypatch, path="/v1/files", body=FORM, content_type=FORM_TYPE)

    assert response.status == 201
    FileResponse.model_validate(response.body)
    bucket, _, key = response.body["urls"]["get"].removeprefix("s3://").partition("/")
    stored = stack.storage.objects[bucket, key]
    assert (stored.data, stored.content_type) == (b"the\r\nfile", "image/png")
    assert response.body["checksums"] == {"sha256": hashlib.sha256(b"the\r\nfile").hexdigest()}
    assert create(stack, monkeypatch, {"input": {"meme": response.body["urls"]["get"]}}).status == 201


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (FORM.replace('"content"', '"file"'), FORM_TYPE),
        (FORM, "multipart/form-data"),
        (FORM, "multipart/form-data; boundary=other"),
        (FORM, "application/json"),
        (FORM[:-9], FORM_TYPE),
        (None, FORM_TYPE),
    ],
)
def test_what_is_no_form_with_a_file_is_refused(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, body: str | None, content_type: str
) -> None:
    response = http(stack, monkeypatch, path="/v1/files", body=body, content_type=content_type)

    assert (response.status, response.body["code"]) == (400, "invalid_request")


def test_bytes_of_a_file_arrive_as_they_are() -> None:
    data = bytes(range(256)) * 3 + b"\r\n--lin"
    head, _, tail = FORM.encode().partition(b"the\r\nfile")

    file = Form(FORM_TYPE, base64.b64encode(head + data + tail).decode(), is_base64=True).read_file("content")

    assert (bytes(file.content), file.file_name, file.media_type) == (data, "me.png", "image/png")


def test_a_body_that_is_not_base64_is_refused() -> None:
    with pytest.raises(InvalidRequest):
        Form(FORM_TYPE, "a", is_base64=True).read_file("content")


def test_a_version_says_that_its_output_is_one_picture(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    response = http(stack, monkeypatch, "GET", "/v1/models/cdingram/face-swap/versions/d1d6ea8c")

    version = VersionResponse.model_validate(response.body)
    schemas = version.openapi_schema["components"]["schemas"]
    assert version.id == "d1d6ea8c"
    assert schemas["Output"] == {"type": "string", "format": "uri"}
    assert {"meme", "face", *NAMES} <= schemas["Input"]["properties"].keys()
