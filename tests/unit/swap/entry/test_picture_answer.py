"""The picture itself as the answer, and the answer in JSON."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest

from functions.swap.entry import picture_answer
from functions.swap.entry.accept import choose_format, prefers_picture
from functions.swap.entry.swap_answer import arrange_result
from functions.swap.entry.welcome import VERSION
from layers.core.deadline import Deadline
from tests.unit.swap.entry_clients import http
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, settings

BODY = {"meme": f"s3://{UPLOADS}/requests/1/meme"}
LAMBDA_BYTES = 6_291_556  # of an answer, AWS says


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


@pytest.mark.parametrize(
    ("accept", "is_picture", "format"),
    [
        ("", False, None),
        ("*/*", False, None),
        ("application/json", False, None),
        ("text/csv", False, None),
        ("image/*", True, None),
        ("IMAGE/*", True, None),
        ("image/png", True, "png"),
        ("image/jpg", True, "jpeg"),
        ("image/jpeg, image/png", True, "jpeg"),
        ("image/png, image/jpeg", True, "png"),
        ("image/png;q=0.5, image/webp", True, "webp"),
        ("image/png, image/*;q=0.5", True, "png"),
        ("image/avif, image/webp, image/*, */*;q=0.8", True, None),
        ("image/*, application/json", False, None),
        ("image/*, application/json;q=0.9", True, None),
        ("image/*;q=0.9, application/json", False, None),
        ("image/*, */*", False, None),
        ("image/*, */*;q=0.1", True, None),
        ("image/gif", False, None),
        ("image/*;q=0", False, None),
        ("image/*;q=0, image/png", True, "png"),
        ("image/*;q=2, image/png;q=x, image/webp;q", False, None),
        ("image/png;q=nan", False, None),
        ("image/*;level=1;q=0.5", True, None),
        ("," * 9000, False, None),
    ],
)
def test_accept_is_read_as_http_says(accept: str, is_picture: bool, format: str | None) -> None:
    assert prefers_picture(accept) is is_picture
    if is_picture:
        assert choose_format(accept) == format


def test_the_answer_is_the_picture_with_its_name_and_place(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    response = http(stack, monkeypatch, body=BODY, accept="image/*")

    ((bucket, key),) = (place for place in stack.storage.objects if place[0] == OUTPUTS)
    name = key.removeprefix("swaps/")
    assert response.body == stack.storage.objects[bucket, key].data
    assert (response.status, response.headers["content-type"]) == (200, "image/png")
    assert response.headers["content-disposition"] == f'inline; filename="{name}"'
    assert response.headers["content-location"] == f"/swap/{name.removesuffix('.png')}"
    assert response.headers["cache-control"] == "no-store"
    assert "detect;dur=" in response.headers["server-timing"]
    again = http(stack, monkeypatch, "GET", response.headers["content-location"], accept="image/*")
    assert again.body == response.body


def test_the_kind_of_picture_that_is_asked_for_is_made(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    as_accepted = http(stack, monkeypatch, body=BODY, accept="image/webp")
    as_said = http(stack, monkeypatch, body={**BODY, "format": "jpeg"}, accept="image/webp")

    assert as_accepted.headers["content-type"] == "image/webp"
    assert as_accepted.body[8:12] == b"WEBP"
    assert as_said.headers["content-type"] == "image/jpeg"


def test_a_picture_too_large_for_an_answer_is_redirected_to(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_answer, "MAX_INLINE_BYTES", 10)

    first = http(stack, monkeypatch, body=BODY, accept="image/*")
    again = http(stack, monkeypatch, "GET", f"/swap/{Path(first.body['key']).stem}", accept="image/*")

    for response in (first, again):
        assert response.status == 303
        assert response.headers["location"] == response.body["url"]
        assert response.headers["location"].startswith(f"https://{OUTPUTS}.example/{first.body['key']}")


def test_the_largest_picture_of_an_answer_fits_into_lambda_s_limit(stack: FakeSwapStack) -> None:
    size = picture_answer.MAX_INLINE_BYTES
    key = "swaps/00000000-0000-7000-8000-000000000000.jpg"
    stack.storage.put(OUTPUTS, key, bytes(size))
    result = {"key": key, "url": "", "bytes": size, "content_type": "image/jpeg"}

    response = picture_answer.answer_with_picture(result, {}, stack.services, Deadline.after(9))

    assert len(base64.b64decode(response.body or "")) == size
    assert (size + 2) // 3 * 4 + 100_000 < LAMBDA_BYTES, "and 100 KB for headers and the JSON around them"


def test_errors_and_swaps_that_are_not_done_are_told_in_json(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = http(stack, monkeypatch, body={}, accept="image/*")
    started = http(stack, monkeypatch, body=BODY, accept="image/*", prefer="respond-async")
    waiting = http(stack, monkeypatch, "GET", started.headers["location"], accept="image/*")

    assert (wrong.status, wrong.body["code"]) == (400, "invalid_request")
    assert (started.status, waiting.body["status"]) == (202, "queued")
    assert waiting.status == 202, "a client that saves what it gets must not take this for the picture"


def test_a_failed_swap_is_its_problem_for_who_wants_the_picture(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.records.queue("01a20a25-9134-7e8a-a6bf-25430c84c889", "1", BODY, frozenset())
    (record,) = stack.records.items.values()
    object.__setattr__(record, "status", "failed")
    object.__setattr__(record, "error", "NoFaceInMeme")

    response = http(stack, monkeypatch, "GET", f"/swap/{record.id}", accept="image/*")

    assert (response.status, response.body["code"]) == (422, "no_face_in_meme")
    assert response.headers["content-type"] == "application/problem+json"


def test_a_picture_that_is_gone_is_not_found(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    key = http(stack, monkeypatch, body=BODY).body["key"]
    del stack.storage.objects[OUTPUTS, key]

    response = http(stack, monkeypatch, "GET", f"/swap/{Path(key).stem}", accept="image/*")

    assert (response.status, response.body["code"]) == (404, "not_found")


def test_the_link_and_the_faces_come_first_and_measurements_under_one_name(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = http(stack, monkeypatch, body=BODY).body

    assert list(body)[:2] == ["url", "faces"]
    assert body["measurements"].keys() == {
        "timings_ms",
        "peak_memory_mb",
        "cold_start",
        "bytes_fetched",
        "bytes_in_vain",
    }
    assert {name: body[name] for name in body["measurements"]} == body["measurements"], "the former names stay"


def decimals(value: Any) -> list[int]:
    """How many decimals each number in a document has."""
    if isinstance(value, dict | list):
        return [each for inner in (value.values() if isinstance(value, dict) else value) for each in decimals(inner)]
    return [len(repr(value).partition(".")[2])] if isinstance(value, float) else []


def test_numbers_have_no_more_digits_than_they_mean(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    swap, listing = (http(stack, monkeypatch, path=path, body=BODY).body for path in ("/swap", "/faces"))

    assert max(decimals(swap)) <= 3
    assert max(decimals(listing)) <= 3
    assert all(decimals(face["box"]) == [1, 1, 1, 1] for face in (*swap["faces"], *listing["faces"]))


def test_a_result_of_an_earlier_version_is_told_in_today_s_order() -> None:
    face = {"index": 0, "box": [1.2345678, 2, 3, 4], "score": 0.987654321, "swapped": True, "reason": None}
    stored = {"key": "swaps/1.png", "faces": [face], "timings_ms": {"swap": 1.0}, "peak_memory_mb": 99.123456}

    arranged = arrange_result({**stored, "url": "https://a.test"})

    assert list(arranged) == ["url", "faces", "key", "measurements", "timings_ms", "peak_memory_mb"]
    assert arranged["faces"] == [{**face, "box": [1.2, 2, 3, 4], "score": 0.988}]
    assert arranged["measurements"] == {"timings_ms": {"swap": 1.0}, "peak_memory_mb": 99.1}


def test_the_root_says_what_this_is(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    nobody: dict[str, Any] = {"jwt": {"claims": {}}}
    response = http(stack, monkeypatch, "GET", "/", authorizer=nobody)

    assert (response.status, response.body["name"]) == (200, "Coldswap")
    assert response.body == http(stack, monkeypatch, "GET", "/").body, "whoever asks"
    for name in ("openapi", "docs", "terms"):
        assert http(stack, monkeypatch, "GET", response.body["links"][name]).status == 200
    changes = (Path(__file__).parents[4] / "CHANGELOG.md").read_text()
    latest = re.search(r"^## ([\d.]+)", changes, re.MULTILINE)
    assert latest
    assert response.body["version"] == latest[1] == VERSION
    assert settings().outputs_bucket not in str(response.body)


def test_the_description_has_forms_and_pictures(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    document = http(stack, monkeypatch, "GET", "/openapi.json").body

    post, get = document["paths"]["/swap"]["post"], document["paths"]["/swap/{name}"]["get"]
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
    in_json = document["components"]["schemas"]["SwapBody"]
    assert form["properties"].keys() == in_json["properties"].keys()
    assert form["required"] == in_json["required"]
    assert form["properties"]["meme"]["format"] == "binary"
    assert form["properties"]["face"]["maxItems"] == 4
    for operation in (post, get):
        assert {"application/json", "image/jpeg", "image/png", "image/webp"} <= operation["responses"]["200"][
            "content"
        ].keys()
        assert "Location" in operation["responses"]["303"]["headers"]
