"""Forms by strangers: whatever comes, it is divided as others divide it or refused, in time and within bounds."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from urllib3.filepost import encode_multipart_formdata

from functions.swap.entry.form import Form
from functions.swap.entry.multipart import MAX_HEAD_BYTES, Part, parse_multipart
from layers.core.errors import InvalidRequest, PictureTooLarge
from tests.attack.test_fuzz import LONG, QUICK, fuzzed, in_time, mutants
from tests.unit.swap.entry_clients import Sendable, encode_form

BOUNDARY = "b0und"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
LARGE = 4_500_000  # bytes, about as many as Lambda lets through


def forms() -> list[bytes]:
    """Right ones, with what a mutant may turn into something else."""
    fields: list[tuple[str, Sendable]] = [
        ("meme", ("a.png", b"\x89PNG\r\n\x1a\n" * 9)),
        ("faces", "[0, 1]"),
        ("badge", "true"),
        ("consent", "é"),
    ]
    once = encode_form(*fields, boundary=BOUNDARY)[0]
    twice = encode_form(("face", ("", b"")), ("face", ("b.png", b"\r\n--b0un\r\n\r\n--")), boundary=BOUNDARY)[0]
    return [once, twice]


def read(body: bytes) -> Any:
    """What the API makes of a body; None if it is refused."""
    fields = in_time(
        lambda each: Form(FORM, base64.b64encode(each).decode(), is_base64=True).parse(),
        body,
        InvalidRequest,
        PictureTooLarge,
    )
    json.dumps(fields)
    return fields


@given(data=mutants(forms))
@fuzzed(QUICK // 2)
def test_a_broken_form_is_refused_or_read(data: bytes) -> None:
    read(data)


@pytest.mark.full
@given(data=mutants(forms))
@fuzzed(LONG)
def test_many_more_broken_forms(data: bytes) -> None:
    read(data)


# RFC 2046 forbids that a part's content has a line that begins like its delimiter; the rest may be anything.
CONTENTS = st.binary(max_size=200).filter(lambda content: f"--{BOUNDARY}".encode() not in b"\r\n" + content)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=20)


@given(parts=st.lists(st.tuples(NAMES, NAMES, CONTENTS), min_size=1, max_size=5))
@fuzzed(QUICK // 5)
def test_a_form_is_divided_as_urllib3_put_it_together(parts: list[tuple[str, str, bytes]]) -> None:
    body, _ = encode_multipart_formdata([(name, (file, data)) for name, file, data in parts], BOUNDARY)

    divided = parse_multipart(body, FORM)

    # urllib3 writes quotes and backslashes as browsers do: %22, and backslashes as they are.
    plain = [(name, data) for name, _, data in parts if not set(name) & set('\\"')]
    assert [bytes(part.content) for part in divided] == [data for _, _, data in parts]
    assert [each for each in plain if each[0] not in [part.name for part in divided]] == []


@given(parts=st.lists(CONTENTS.filter(lambda content: content.isascii()), min_size=1, max_size=5))
@fuzzed(QUICK // 5)
def test_a_form_is_divided_as_the_standard_library_divides_it(parts: list[bytes]) -> None:
    body, _ = encode_form(*((f"f{number}", ("a", data)) for number, data in enumerate(parts)), boundary=BOUNDARY)

    message = email.message_from_bytes(f"Content-Type: {FORM}\r\n\r\n".encode() + body, policy=email.policy.HTTP)

    assert message.is_multipart()
    names = [part.get_param("name", header="content-disposition") for part in message.iter_parts()]
    assert [part.name for part in parse_multipart(body, FORM)] == names


HEAD = b'--b0und\r\nContent-Disposition: form-data; name="meme"; filename="a"\r\n'
HOSTILE = {
    "delimiters": b"\r\n--b0und\r\n" * (LARGE // 11),
    "almost-delimiters": b"\r\n--b0undX" * (LARGE // 10),
    "delimiters-and-blanks": (b"\r\n--b0und" + b" " * 101) * (LARGE // 110),
    "line-ends": b"\r\n" * (LARGE // 2),
    "dashes": b"-" * LARGE,
    "a-head-without-end": HEAD + b"a: b\r\n" * (LARGE // 6),
    "a-header-without-end": HEAD + b"a" * LARGE,
    "quotes": b'--b0und\r\nContent-Disposition: form-data; name="' + b'\\"' * (MAX_HEAD_BYTES // 2 - 50) + b"\r\n\r\n",
    "parameters": b"--b0und\r\nContent-Disposition: form-data" + b"; a=b" * (MAX_HEAD_BYTES // 5 - 20) + b"\r\n\r\n",
    "semicolons": b"--b0und\r\nContent-Disposition: form-data" + b"; " * (MAX_HEAD_BYTES // 2 - 50) + b"=\r\n\r\n",
    "parts": (HEAD + b"\r\n\r\n") * (LARGE // len(HEAD)),
    "a-deep-list": b'--b0und\r\nContent-Disposition: form-data; name="faces"\r\n\r\n' + b"[" * LARGE + b"\r\n--b0und--",
    "a-long-number": b'--b0und\r\nContent-Disposition: form-data; name="quality"\r\n\r\n'
    + b"9" * LARGE
    + b"\r\n--b0und--",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_form_costs_no_more_than_an_honest_one(name: str) -> None:
    began = time.process_time()
    with suppress(InvalidRequest):
        Form(FORM, HOSTILE[name].decode(), is_base64=False).parse()
    assert time.process_time() - began < 2


def test_a_large_file_is_not_copied_while_it_is_looked_for() -> None:
    body = encode_form(("meme", ("a.png", b"\r\n--b0un" * (LARGE // 8))), boundary=BOUNDARY)[0]

    tracemalloc.start()
    (part,) = parse_multipart(body, FORM)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert isinstance(part, Part)
    assert len(part.content) == LARGE // 8 * 8
    assert peak < 200_000
