"""The parts of a multipart/form-data body (RFC 7578), as browsers, curl and libraries send it.

The body is searched for its delimiters and never copied as a whole, and what a part may have before its content is
bounded, so that a hostile body costs no more than an honest one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from layers.core.errors import InvalidRequest

MAX_PARTS = 100
MAX_HEAD_BYTES = 8192  # of the headers of one part
MAX_BOUNDARY_BYTES = 200  # RFC 2046 allows 70

_LINE_END = b"\r\n"
_BLANK_LINE = b"\r\n\r\n"
_AFTER_BOUNDARY = re.compile(rb"(--)?[ \t]{0,100}(?:\r\n|\Z)")
_PARAMETER = re.compile(r'\s*;\s*([^\s=;"]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s;"]*)\s*(?=;|\Z)')
_PLAIN = ("", "binary", "8bit", "7bit")  # Content-Transfer-Encoding that leaves the bytes as they are


@dataclass(frozen=True)
class Part:
    """One part of a form."""

    name: str
    content: memoryview
    file_name: str | None  # None where none was sent; may be empty
    media_type: str  # in small letters, "" where none was sent
    charset: str  # the same


def parse_multipart(body: bytes, content_type: str) -> list[Part]:
    """The parts of a form, in its order. Raises InvalidRequest."""
    parts: list[Part] = []
    view = memoryview(body)
    for start, end in _split(body, b"\r\n--" + _find_boundary(content_type)):
        if len(parts) == MAX_PARTS:
            raise malformed(f"has more than {MAX_PARTS} parts")
        # The head may be empty: then the blank line begins with the end of the boundary's own line.
        head_end = body.find(_BLANK_LINE, start - len(_LINE_END), min(end, start + MAX_HEAD_BYTES) + len(_BLANK_LINE))
        if head_end < 0:
            raise malformed("has a part whose headers do not end, or are too long")
        headers = _parse_headers(body[start : max(head_end, start)])
        parts.append(_describe_part(headers, view[min(head_end + len(_BLANK_LINE), end) : end]))
    return parts


def parse_value(value: str) -> tuple[str, dict[str, str]]:
    """A header's value before its parameters, in small letters, and the parameters by their names in small letters.

    Raises ValueError for what is no list of parameters, or names one twice.
    """
    kind = value.partition(";")[0]
    parameters: dict[str, str] = {}
    position, end = len(kind), len(value.rstrip("; \t"))
    while position < end:
        match = _PARAMETER.match(value, position)
        if match is None or match[1].lower() in parameters:
            raise ValueError("not a list of parameters")
        text = match[2]
        parameters[match[1].lower()] = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
        position = match.end()
    return kind.strip().lower(), parameters


def malformed(message: str) -> InvalidRequest:
    """The error for a body that is no form; `message` goes on from "The body"."""
    return InvalidRequest(f"The body {message}.", errors=[{"field": "body", "message": message}])


def _find_boundary(content_type: str) -> bytes:
    try:
        boundary = parse_value(content_type)[1].get("boundary", "")
    except ValueError:
        boundary = ""
    if not boundary.isascii() or not boundary.isprintable() or not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
        raise malformed(
            "cannot be divided: its Content-Type names no boundary. Let your HTTP library write that header"
        )
    return boundary.encode()


def _split(body: bytes, delimiter: bytes) -> Iterator[tuple[int, int]]:
    """Where each part begins and ends, without the lines of the delimiters. Raises InvalidRequest."""
    first = delimiter.removeprefix(_LINE_END)
    at, length = (0, len(first)) if body.startswith(first) else (body.find(delimiter), len(delimiter))
    start: int | None = None
    while at >= 0:
        line = _AFTER_BOUNDARY.match(body, at + length)
        if line is not None:  # otherwise it only begins like the delimiter, and belongs to the content
            if start is not None:
                yield start, max(at, start)
            if line[1]:
                return
            start = line.end()
        # The end of this line may be the beginning of the next delimiter, before which a part is then empty.
        at = body.find(delimiter, at + length)
        length = len(delimiter)
    raise malformed("is cut off, or not divided by the boundary that its Content-Type names")


def _parse_headers(head: bytes) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in head.decode(errors="replace").split("\r\n"):
        name, colon, value = line.partition(":")
        name = name.lower()
        if not colon or not name or name in headers or any(letter.isspace() for letter in name):
            raise malformed("has a part with a header that cannot be read")
        headers[name] = value.strip()
    return headers


def _describe_part(headers: dict[str, str], content: memoryview) -> Part:
    try:
        kind, disposition = parse_value(headers.get("content-disposition", ""))
        media_type, parameters = parse_value(headers.get("content-type", ""))
    except ValueError:
        raise malformed("has a part with a header that cannot be read") from None
    name = disposition.get("name", "")
    if kind != "form-data" or not name:
        raise malformed("has a part without a name")
    if media_type.startswith("multipart/"):
        raise malformed("has parts inside a part. Send each file as a part of its own")
    if headers.get("content-transfer-encoding", "").lower() not in _PLAIN:
        raise malformed("has a part in a transfer encoding. Send the bytes as they are")
    file_name = disposition.get("filename", disposition.get("filename*"))
    return Part(name, content, file_name, media_type, parameters.get("charset", "").lower())
