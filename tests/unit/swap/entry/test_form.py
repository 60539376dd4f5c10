"""Requests as forms (multipart/form-data), as API Gateway hands them on and as other servers do."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from functions.swap.entry.form import Form
from functions.swap.entry.schemas import SwapBody
from layers.core.errors import InvalidRequest
from tests.unit.swap.entry_clients import Sendable, encode_form, http, http_form, invoke
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, drawing, encode

MEME, FACE, OTHER = encode(drawing()), encode(drawing(scale=1.3)), encode(drawing(scale=1.4))
URI = f"s3://{UPLOADS}/requests/1/meme"


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def as_uri(data: bytes) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(data).decode()


def parse(*fields: tuple[str, Sendable]) -> dict[str, Any]:
    """The fields of a form."""
    body, content_type = encode_form(*fields)
    return Form(content_type, base64.b64encode(body).decode(), is_base64=True).parse()


def test_files_give_the_same_picture_as_the_same_request_in_json(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    form = http_form(stack, monkeypatch, ("meme", ("m.png", MEME)), ("face", ("f.png", FACE)), ("quality", "90"))
    in_json = http(stack, monkeypatch, body={"meme": as_uri(MEME), "face": as_uri(FACE), "quality": 90})

    assert (form.status, in_json.status) == (200, 200), form.body
    pictures = [stack.storage.objects[OUTPUTS, each.body["key"]].data for each in (form, in_json)]
    assert form.body["digests"]["face"] == in_json.body["digests"]["face"]
    assert len(pictures[0]) == len(pictures[1])


def test_every_field_of_the_json_request_can_be_sent() -> None:
    fields: dict[str, tuple[str, Any]] = {
        "meme": ("https://a.test/m.png", "https://a.test/m.png"),
        "face": ("https://a.test/f.png", "https://a.test/f.png"),
        "faces": ("largest", "largest"),
        "format": ("webp", "webp"),
        "quality": ("90", 90),
        "color_match": ("false", False),
        "soft_edges": ("true", True),
        "detail": ("fast", "fast"),
        "badge": ("True", True),  # as Python writes it
        "consent": ("2024", "2024"),
    }
    assert fields.keys() == SwapBody.model_fields.keys()

    parsed = parse(*((name, text) for name, (text, _) in fields.items()))

    assert parsed == {name: value for name, (_, value) in fields.items()}
    SwapBody.model_validate(parsed)


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["all"], "all"),
        (["0"], [0]),
        (["0", "2"], [0, 2]),
        (["[0, 2]"], [0, 2]),
        (["0,2"], [0, 2]),
        (["0, 2"], [0, 2]),
        (['{"index": 1, "face": "https://a.test"}'], [{"index": 1, "face": "https://a.test"}]),
        (["0", '{"index": 1, "face": "https://a.test"}'], [0, {"index": 1, "face": "https://a.test"}]),
    ],
)
def test_a_list_is_several_parts_or_json(texts: list[str], value: Any) -> None:
    assert parse(*(("faces", text) for text in texts)) == {"faces": value}


def test_several_files_are_several_pictures_of_one_person_beside_urls() -> None:
    parsed = parse(("face", ("a.png", FACE)), ("face", "https://a.test/b.png"), ("face", ("c.png", OTHER)))

    assert parsed == {"face": [as_uri(FACE), "https://a.test/b.png", as_uri(OTHER)]}


def test_a_file_that_nobody_chose_is_left_out() -> None:
    assert parse(("meme", "https://a.test"), ("face", ("", b""))) == {"meme": "https://a.test"}


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ([("face", "https://a.test")], "meme is missing."),
        ([("meme", "")], "meme must not be empty."),
        ([("meme", "meme.jpg")], "meme must be a file or a URI (curl sends a file as -F meme=@NAME)."),
        ([("meme", URI), ("face", "me.jpg")], "face must be a file or a URI (curl sends a file as -F face=@NAME)."),
        ([("meme", ("empty.png", b""))], "meme must not be an empty file."),
        ([("meme", URI), ("meme", URI)], "meme must come only once."),
        ([("meme", URI), ("consent", ("c.txt", b"x"))], "consent must be text, not a file."),
        ([("meme", URI), ("colour", ("c.txt", b"x"))], "colour is not a field of this request."),
        ([("meme", URI), ("colour", "red")], "colour is not a field of this request."),
        ([("meme", URI), ("quality", "101")], "quality must be at most 100."),
        ([("meme", URI), ("quality", "9.5")], "quality must be a whole number."),
        ([("meme", URI), ("quality", "")], "quality must be a whole number."),
        ([("meme", URI), ("badge", "yes")], "badge must be true or false."),
        ([("meme", URI), ("faces", "-1")], "faces[0] must be at least 0."),
        ([("meme", URI), ("face", "")], "face must not be empty."),
        ([("meme", URI), *[("face", URI)] * 5], "face must have at most 4 items."),
    ],
)
def test_a_mistake_is_told_as_in_json(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, fields: list[tuple[str, Sendable]], detail: str
) -> None:
    response = http_form(stack, monkeypatch, *fields)

    assert (response.status, response.body["code"], response.body["detail"]) == (400, "invalid_request", detail)
    assert response.body["errors"]


def part(headers: str, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + headers.encode("latin-1") + b"\r\n\r\n" + content + b"\r\n"


NAMED = 'Content-Disposition: form-data; name="meme"'
END = b"--b--\r\n"
FORM = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (part(NAMED) + END, "multipart/form-data", "names no boundary"),
        (part(NAMED) + END, "multipart/form-data; boundary=", "names no boundary"),
        (part(NAMED) + END, 'multipart/form-data; boundary="b', "names no boundary"),
        (part(NAMED) + END, "multipart/form-data; boundary=" + "b" * 201, "names no boundary"),
        (part(NAMED) + END, "multipart/form-data; boundary=b; boundary=c", "names no boundary"),
        (part(NAMED) + END, "multipart/form-data; boundary=another", "cut off, or not divided"),
        (part(NAMED), FORM, "cut off"),
        (b"", FORM, "cut off"),
        (b"--b", FORM, "cut off"),
        (b"--b\r\n" + NAMED.encode(), FORM, "cut off"),
        (part("Content-Disposition: form-data") + END, FORM, "without a name"),
        (part('Content-Disposition: attachment; name="meme"') + END, FORM, "without a name"),
        (part("Content-Type: image/png") + END, FORM, "without a name"),
        (part('Content-Disposition: form-data; name="a"; name="meme"') + END, FORM, "header that cannot be read"),
        (part('Content-Disposition: form-data; name="meme') + END, FORM, "header that cannot be read"),
        (part(NAMED + "\r\n" + NAMED) + END, FORM, "header that cannot be read"),
        (part(NAMED + "\r\n folded") + END, FORM, "header that cannot be read"),
        (part("meme") + END, FORM, "header that cannot be read"),
        (b"--b\r\n\r\nx\r\n" + END, FORM, "header that cannot be read"),
        (b"--b\r\n--b\r\n" + END, FORM, "headers do not end"),
        (part(NAMED + "\r\nX: " + "x" * 9000) + END, FORM, "headers do not end, or are too long"),
        (part(NAMED + "\r\nContent-Type: multipart/mixed; boundary=c") + END, FORM, "parts inside a part"),
        (part(NAMED + "\r\nContent-Transfer-Encoding: base64") + END, FORM, "transfer encoding"),
        (part(NAMED) * 101 + END, FORM, "more than 100 parts"),
        (part(NAMED, b"\xff") + END, FORM, "text in UTF-8"),
        (part(NAMED + "\r\nContent-Type: text/plain; charset=latin-1", "é".encode()) + END, FORM, "text in UTF-8"),
    ],
)
def test_what_is_no_form_is_refused_in_words(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, body: bytes, content_type: str, message: str
) -> None:
    response = http(stack, monkeypatch, body=body, content_type=content_type)

    assert (response.status, response.body["code"]) == (400, "invalid_request")
    assert message in response.body["detail"]
    assert stack.models.pending == []


@pytest.mark.parametrize(
    ("headers", "content"),
    [
        ("content-disposition: FORM-DATA; NAME=meme", b"data:,x"),
        ('Content-Disposition: form-data; filename="a;name=face"; name="meme"', b"\0\xff"),
        ('Content-Disposition: form-data; name="meme"; filename="C:\\dir\\a.png"', b"\r\n--bb\r\n\r\nb"),
        ('Content-Disposition: form-data; name="meme"; filename="q\\"; name=\\"face.png"', b"x--b--"),
        ('Content-Disposition: form-data; name="meme"; filename="../../x\xe9\0.png"', b"\r\n\r\n"),
        ("Content-Disposition: form-data; name=\"meme\"; filename*=UTF-8''%e2%82%ac.png", b"x"),
        ('Content-Disposition: form-data; name="meme"; filename=""', b"x"),
    ],
)
def test_names_of_files_and_bytes_like_the_boundary_change_nothing(headers: str, content: bytes) -> None:
    body = b"a preamble\r\n" + part(headers, content) + END + b"--b\r\nan epilogue"

    parsed = Form(FORM, base64.b64encode(body).decode(), is_base64=True).parse()

    assert parsed == {"meme": as_uri(content) if "filename" in headers else content.decode()}


def test_a_form_of_text_need_not_be_in_base64(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    body, content_type = encode_form(("meme", URI), ("faces", "[]"))

    response = http(stack, monkeypatch, body=body.decode(), content_type=content_type)

    assert response.status == 200, response.body


def test_headers_may_be_written_in_any_case(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    body, content_type = encode_form(("meme", ("m.png", MEME)))
    event = {
        "version": "2.0",
        "rawPath": "/swap",
        "headers": {"Content-Type": content_type, "Accept": "image/*"},
        "requestContext": {"http": {"method": "POST", "path": "/swap"}, "stage": "$default"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }

    response = invoke(stack, event, monkeypatch)

    assert (response["statusCode"], response["headers"]["Content-Type"]) == (200, "image/png")


@pytest.mark.parametrize("body", ["%%%", "A", "\u00e9"])
def test_what_is_not_in_base64_is_refused(body: str) -> None:
    with pytest.raises(InvalidRequest):
        Form(FORM, body, is_base64=True).parse()


@pytest.mark.parametrize("size", [6 * 1024 * 1024, 8 * 1024 * 1024])
def test_a_request_that_is_too_large_is_told_of_uploads(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    as_form = http_form(stack, monkeypatch, ("meme", ("m.png", bytes(size))))
    in_json = http(stack, monkeypatch, body={"meme": "x" * size})

    for response in (as_form, in_json):
        assert (response.status, response.body["code"]) == (413, "picture_too_large")
        assert "/uploads" in response.body["detail"]


def test_a_key_belongs_to_the_content_whatever_divides_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    form: list[tuple[str, Sendable]] = [("meme", ("m.png", MEME)), ("quality", "80")]
    first = http_form(stack, monkeypatch, *form, idempotency_key="k", boundary="one")
    renamed: list[tuple[str, Sendable]] = [("quality", "80"), ("meme", ("other.jpg", MEME))]
    again = http_form(stack, monkeypatch, *renamed, idempotency_key="k", boundary="two")
    in_json = http(stack, monkeypatch, body={"meme": as_uri(MEME), "quality": 80}, idempotency_key="k")
    other = http_form(stack, monkeypatch, ("meme", ("m.png", FACE)), ("quality", "80"), idempotency_key="k")

    assert first.status == 200, first.body
    assert [again.body["key"], in_json.body["key"]] == [first.body["key"]] * 2
    assert (other.status, other.body["code"]) == (422, "idempotency_conflict")


def test_faces_and_verify_take_a_file(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    faces = http_form(stack, monkeypatch, ("meme", ("m.png", MEME)), path="/faces")
    verdict = http_form(stack, monkeypatch, ("uri", ("m.png", MEME)), path="/verify")

    assert faces.body["faces"][0]["swappable"] is True
    assert (verdict.status, verdict.body["media"], verdict.body["bytes"]) == (200, "image/png", len(MEME))


def test_a_form_can_be_queued_and_its_files_are_no_part_of_the_record(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = http_form(stack, monkeypatch, ("meme", ("m.png", MEME)), prefer="respond-async")

    assert response.status == 202
    (record,) = stack.records.items.values()
    assert "base64" not in json.dumps(record.request)
