"""data: URIs, as browsers and libraries write them."""

from __future__ import annotations

import base64
import os
from urllib.parse import quote

import pytest

from functions.swap.data_uri import check_data_uri, decode_data_uri, is_data_uri
from functions.swap.entry.schemas import FacesBody, VerifyBody
from layers.core.errors import InvalidRequest, PictureTooLarge

LIMIT = 1000
DATA = b"\xfb\xef\xbe\xff\0picture"  # in base64, begins with + and /
TEXT = base64.b64encode(DATA).decode()

TAKEN = {
    "plain": f"data:image/png;base64,{TEXT}",
    "no padding": f"data:image/png;base64,{TEXT.rstrip('=')}",
    "escaped": f"data:image/png;base64,{quote(TEXT, safe='')}",
    "line breaks": f"data:image/png;base64,{TEXT[:4]}\r\n{TEXT[4:8]}\n{TEXT[8:]}\n",
    "spaces": f"data:image/png;base64, {TEXT[:4]} {TEXT[4:]} ",
    "escaped line breaks": f"data:image/png;base64,{TEXT[:4]}%0A{TEXT[4:]}",
    "another alphabet": f"data:image/png;base64,{base64.urlsafe_b64encode(DATA).decode()}",
    "charset": f"data:image/png;charset=utf-8;base64,{TEXT}",
    "name": f"data:image/png;name=my%20picture.png;base64,{TEXT}",
    "base64 first": f"data:image/png;base64;charset=utf-8,{TEXT}",
    "capitals": f"DATA:IMAGE/PNG;BASE64,{TEXT}",
    "a space": f"data:image/png; base64,{TEXT}",
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_a_browser_shows_is_taken(kind: str) -> None:
    uri = FacesBody.model_validate({"meme": TAKEN[kind]}).meme
    assert is_data_uri(uri)
    check_data_uri(uri)
    assert decode_data_uri(uri, LIMIT) == (DATA, "image/png")


@pytest.mark.parametrize("media_type", ["", "application/octet-stream"])
def test_a_type_that_says_nothing_is_a_file_of_any_type(media_type: str) -> None:
    assert decode_data_uri(f"data:{media_type};base64,{TEXT}", LIMIT) == (DATA, "application/octet-stream")


def test_spaces_around_a_uri_do_not_count() -> None:
    assert FacesBody.model_validate({"meme": f"\n {TAKEN['plain']}\n"}).meme == TAKEN["plain"]
    assert VerifyBody.model_validate({"uri": " S3://bucket/Key "}).uri == "s3://bucket/Key"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        (f"data:image/png;base64{TEXT}", "no comma"),
        (f"data:image/png;base64;{'x' * 2000},{TEXT}", "no comma"),
        (f"data:image/png,{TEXT}", "in base64"),
        ("data:,x", "in base64"),
        (f"data:text/html;base64,{TEXT}", "kind of picture"),
        (f"data:image/png\r\nx-evil:1;base64,{TEXT}", "kind of picture"),
    ],
)
def test_what_cannot_hold_a_picture_is_told_what_is_wrong(uri: str, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        check_data_uri(uri)


@pytest.mark.parametrize("text", ["####", "A", "AAAAA", "AA=A", "A===", "%ff%fe", "ÄÖÜß"])
def test_what_is_not_base64_is_told_so(text: str) -> None:
    check_data_uri(f"data:image/png;base64,{text}")
    with pytest.raises(InvalidRequest, match="not valid base64"):
        decode_data_uri(f"data:image/png;base64,{text}", LIMIT)


@pytest.mark.parametrize("size", [LIMIT, LIMIT - 1, LIMIT - 2])
def test_the_limit_is_that_of_the_bytes(size: int) -> None:
    def uri(data: bytes) -> str:
        return "data:image/png;base64," + quote(base64.b64encode(data).decode(), safe="")

    data = os.urandom(size)
    assert decode_data_uri(uri(data), LIMIT)[0] == data
    with pytest.raises(PictureTooLarge):
        decode_data_uri(uri(bytes(LIMIT + 1)), LIMIT)
