"""Verdicts on files: ours, a stranger's, broken ones and bare ones."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from functions.swap.values import SwapRequest
from layers.core import http_fetch
from layers.core.deadline import Deadline
from layers.core.errors import (
    ColdswapError,
    InputNotFound,
    InvalidRequest,
    PictureTooLarge,
    RefusedUrl,
    UnsupportedPicture,
)
from layers.core.ids import new_id
from layers.media.c2pa_chain import create_chain
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import SYNTHETIC, Action, Provenance, Signer
from layers.media.xmp_label import SOURCE_TYPE, label
from tests.unit.swap.entry_clients import http
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, FakeSwapStack, decode, drawing, encode
from tools.verify import main

JPEG = encode(drawing(), ".jpg")
STRANGE = Provenance([Action("c2pa.created", "Painted \x1b[2J by a model", source_type=SYNTHETIC)])


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def make_result(stack: FakeSwapStack, **fields: Any) -> str:
    """The key of a result."""
    request, name = SwapRequest(f"s3://{UPLOADS}/requests/1/meme", **{"format": "jpeg", **fields}), new_id()
    result = stack.services.swap(request, key=f"swaps/{name}.jpg", deadline=Deadline.after(60)).result
    stack.records.add(name, "1", frozenset(), asdict(result), frozenset())  # everybody's, where the API is open
    return result.key


def post_verify(stack: FakeSwapStack, patch: pytest.MonkeyPatch, uri: str) -> tuple[int, Any]:
    response = http(stack, patch, path="/verify", body={"uri": uri})
    return response.status, response.body


def data_uri(data: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def test_a_result_is_ours_and_says_what_was_done(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_result(stack)

    status, verdict = post_verify(stack, monkeypatch, f"s3://{OUTPUTS}/{key}")

    assert status == 200
    assert verdict["ours"] is verdict["made_with_a_model"] is True
    assert verdict["sentence"].startswith("This stack made the file")
    assert verdict["source_type"] == SOURCE_TYPE
    assert verdict["manifest"]["state"] == "trusted"
    assert verdict["manifest"]["actions"][1]["parameters"]["coldswap.pack"] == "toy"
    assert (verdict["media"], verdict["bytes"]) == ("image/jpeg", len(stack.storage.objects[OUTPUTS, key].data))


def test_the_same_result_is_ours_when_it_comes_back_as_an_upload_or_in_the_request(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stack.storage.objects[OUTPUTS, make_result(stack)].data
    stack.storage.put(UPLOADS, "requests/1/upload", data)

    for uri in (f"s3://{UPLOADS}/requests/1/upload", data_uri(data)):
        assert post_verify(stack, monkeypatch, uri)[1]["ours"] is True


def test_one_changed_bit_and_it_is_nobodys(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytearray(stack.storage.objects[OUTPUTS, make_result(stack)].data)
    data[-900] ^= 1

    _, verdict = post_verify(stack, monkeypatch, data_uri(bytes(data)))

    assert verdict["ours"] is False
    assert verdict["manifest"]["state"] == "invalid"
    assert "proves nothing" in verdict["sentence"]


def test_what_a_stranger_signed_is_the_strangers(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Signer(lambda: create_chain("Painters")).sign_picture(JPEG, "jpeg", STRANGE)

    _, verdict = post_verify(stack, monkeypatch, data_uri(data))

    assert verdict["ours"] is False
    assert verdict["made_with_a_model"] is True
    assert verdict["manifest"]["state"] == "valid"
    assert verdict["manifest"]["signer"].startswith("Painters, ")


def test_a_stranger_who_calls_itself_by_our_name_is_not_us(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Signer(lambda: create_chain()).sign_picture(JPEG, "jpeg", STRANGE)

    assert post_verify(stack, monkeypatch, data_uri(data))[1]["ours"] is False


def test_what_a_former_key_signed_stays_ours(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    data = stack.storage.objects[OUTPUTS, make_result(stack)].data
    new = create_chain()
    renewed = replace(new, anchors=new.anchors + signing_chain("").anchors)
    monkeypatch.setattr("functions.swap.verify.signing_chain", lambda _: renewed)

    assert post_verify(stack, monkeypatch, data_uri(data))[1]["ours"] is True


@pytest.mark.parametrize(("data", "model"), [(JPEG, False), (label(JPEG, "jpeg"), True)], ids=["bare", "XMP alone"])
def test_a_file_without_a_signed_label_proves_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, data: bytes, model: bool
) -> None:
    _, verdict = post_verify(stack, monkeypatch, data_uri(data))

    assert verdict["manifest"]["state"] == "absent"
    assert (verdict["ours"], verdict["made_with_a_model"]) == (False, model)


def signed(name: str) -> bytes:
    """A picture whose labels say that a trained model made it, in one of the ways of strangers."""
    if name == "XMP":
        return label(JPEG, "jpeg", SYNTHETIC)
    return Signer(lambda: create_chain("Painters")).sign_picture(JPEG, "jpeg", STRANGE)


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("request_fields", [{"faces": []}, {"faces": "all"}], ids=["none chosen", "all too small"])
def test_what_no_model_changed_has_no_label_that_one_did(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, format: Any, request_fields: Any
) -> None:
    scale = 1.2 if request_fields["faces"] == [] else 0.33
    pixels = drawing(scale=scale)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(pixels))

    key = make_result(stack, badge=True, format=format, quality=100, **request_fields)
    _, verdict = post_verify(stack, monkeypatch, f"s3://{OUTPUTS}/{key}")

    assert (verdict["ours"], verdict["made_with_a_model"], verdict["source_type"]) == (True, False, None)
    assert [each["action"] for each in verdict["manifest"]["actions"]] == ["c2pa.opened", "c2pa.transcoded"]
    assert not [each for each in verdict["manifest"]["actions"] if "digitalSourceType" in each]
    result = stack.storage.objects[OUTPUTS, key].data
    assert b"AlgorithmicMedia" not in result
    assert np.abs(decode(result).astype(int) - pixels).max() <= (6 if format == "jpeg" else 0), "nor a badge"


@pytest.mark.parametrize("name", ["XMP", "C2PA"])
def test_what_a_model_made_before_keeps_its_label_without_a_swap(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", signed(name))

    key = make_result(stack, faces=[])
    _, verdict = post_verify(stack, monkeypatch, f"s3://{OUTPUTS}/{key}")

    assert (verdict["ours"], verdict["made_with_a_model"], verdict["source_type"]) == (True, True, SYNTHETIC)
    assert verdict["manifest"]["actions"][0]["digitalSourceType"] == SYNTHETIC
    assert verdict["manifest"]["actions"][1]["description"] == "No face was replaced."


def test_a_swapped_result_swapped_no_further_stays_a_composite(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(2, width=900)))
    once = stack.storage.objects[OUTPUTS, make_result(stack, faces=[0])].data
    stack.storage.put(UPLOADS, "requests/1/meme", once)

    _, verdict = post_verify(stack, monkeypatch, f"s3://{OUTPUTS}/{make_result(stack, faces=[])}")

    assert (verdict["made_with_a_model"], verdict["source_type"]) == (True, SOURCE_TYPE)


def bitmap() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "BMP")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        (data_uri(bitmap()), UnsupportedPicture),
        (data_uri(b"<svg/>"), UnsupportedPicture),
        (data_uri(b""), UnsupportedPicture),
        (data_uri(b"\0\0\0\x1cftypheic" + bytes(100)), UnsupportedPicture),
        ("data:text/html,hello", InvalidRequest),
        (f"s3://{OUTPUTS}/swaps/01a20a25-9134-7e8a-a6bf-25430c84c889.jpg", InputNotFound),
        (f"s3://{OUTPUTS}/swapped/a.jpg", RefusedUrl),
        (f"s3://{MODELS}/faces/default.png", RefusedUrl),
        (f"s3://{OUTPUTS}-of-somebody-else/a.jpg", RefusedUrl),
        ("file:///proc/self/environ", RefusedUrl),
        ("https://169.254.169.254/latest/meta-data", RefusedUrl),
        ("http://example.com/a.jpg", RefusedUrl),
        ("", InvalidRequest),
        ("swaps/1.jpg", RefusedUrl),
    ],
)
def test_what_cannot_be_looked_at_has_its_error(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, uri: str, kind: type[ColdswapError]
) -> None:
    status, verdict = post_verify(stack, monkeypatch, uri)

    assert (status, verdict["code"]) == (kind.status, kind.code)


def test_a_url_is_fetched_by_the_one_fetcher_and_within_its_limits(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, Any] = {}

    def fetch_into(file: Any, url: str, **limited: Any) -> None:
        limits.update(limited, url=url)
        file.write(JPEG)

    monkeypatch.setattr(http_fetch, "fetch_into", fetch_into)
    status, _ = post_verify(stack, monkeypatch, "https://pictures.example/a.jpg")

    assert status == 200
    assert limits["limit"] == stack.settings.max_verified_bytes
    assert limits["deadline"].left() <= stack.settings.fetch_seconds


def test_a_picture_too_large_to_be_read_whole_is_refused(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key = make_result(stack)
    stack.storage.put(OUTPUTS, key, JPEG + bytes(41 << 20))

    assert post_verify(stack, monkeypatch, f"s3://{OUTPUTS}/{key}")[1]["code"] == PictureTooLarge.code


def test_the_command_line_says_the_same(
    stack: FakeSwapStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, strange, bare, anchors = (tmp_path / name for name in ("ours.jpg", "strange.jpg", "bare.jpg", "ours.pem"))
    ours.write_bytes(stack.storage.objects[OUTPUTS, make_result(stack)].data)
    strange.write_bytes(Signer(lambda: create_chain("Painters")).sign_picture(JPEG, "jpeg", STRANGE))
    bare.write_bytes(JPEG)
    anchors.write_text(signing_chain("").anchors)

    assert main([str(ours), "--anchors", str(anchors)]) == 0
    output = capsys.readouterr().out
    assert "This stack made the file" in output
    assert "Faces replaced: 1 of 1." in output
    assert main([str(ours)]) == 0, "without anchors it is whole, and somebody's"
    assert "Somebody unknown here" in capsys.readouterr().out
    assert main([str(strange), "--anchors", str(anchors), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["manifest"]["state"] == "valid"
    assert main([str(strange)]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert main([str(ours), str(bare)]) == 1
    assert main([str(tmp_path / "none.jpg")]) == 1
    assert "No such file" in capsys.readouterr().err
