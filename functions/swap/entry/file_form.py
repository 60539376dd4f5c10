"""A file in a form, as clients upload it (multipart/form-data, RFC 7578)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Any

from layers.core.errors import InvalidRequest

MAX_NAME_CHARS = 200


@dataclass(frozen=True)
class FormFile:
    """A file, and what its sender says of it."""

    name: str
    content_type: str
    data: bytes


def read_file(event: Mapping[str, Any], field: str) -> FormFile:
    """The file in that field of the form in an event of an HTTP API (payload format 2.0). Raises InvalidRequest."""
    advice = InvalidRequest(f"The body must be a form (multipart/form-data) with the file in its field `{field}`.")
    form = Message()
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    form["content-type"] = headers.get("content-type", "")
    boundary = form.get_boundary()
    if form.get_content_type() != "multipart/form-data" or not boundary:
        raise advice
    delimiter = b"\r\n--" + boundary.encode("latin-1", errors="replace")
    for part in (b"\r\n" + _read_body(event)).split(delimiter)[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        described = HeaderParser().parsestr(head.decode("latin-1").removeprefix("\r\n"))
        if described.get_param("name", header="content-disposition") == field:
            name = (described.get_filename() or field)[:MAX_NAME_CHARS]
            return FormFile(name, described.get_content_type(), data)
    raise advice


def _read_body(event: Mapping[str, Any]) -> bytes:
    body = str(event.get("body") or "")
    if not event.get("isBase64Encoded"):
        return body.encode()
    try:
        return base64.b64decode(body)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The body is not valid base64.") from None
