"""Forms: the fields of a request from the parts of a multipart/form-data body, so that they are validated like JSON."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from functions.swap.entry.multipart import Part, malformed, parse_multipart
from functions.swap.entry.schemas import FacesBody, SwapBody, VerifyBody
from layers.core.errors import InvalidRequest, PictureTooLarge
from layers.core.mistakes import describe_mistake
from layers.core.web import header, parse_json

FORM = "multipart/form-data"
FILE_FIELDS = frozenset({"meme", "face", "uri"})  # that may be sent as files
MAX_BODY_BYTES = 6 * 1024 * 1024  # as a function is handed it, in base64 where it is not text (Lambda's quota)
_FILE = "data:application/octet-stream;base64,"  # what kind of picture a file is, its bytes say
_NUMBERS = re.compile(r"[0-9 ]+(,[0-9 ]+)+")  # as the command takes them

Schema = Mapping[str, Any]


@dataclass(frozen=True)
class Form:
    """A body that is read when it is asked for, so that its mistakes are answered like any other's."""

    content_type: str
    body: str
    is_base64: bool

    @staticmethod
    def of_event(event: Mapping[str, Any]) -> Form | None:
        """The form in an event of an HTTP API; None where it has another kind of body."""
        content_type = header(event, "content-type")
        if content_type.partition(";")[0].strip().lower() != FORM:
            return None
        return Form(content_type, event.get("body") or "", bool(event.get("isBase64Encoded")))

    def parse(self) -> dict[str, Any]:
        """Its fields, as JSON would have them. Raises InvalidRequest or PictureTooLarge."""
        return read_fields(parse_multipart(self._decode(), self.content_type))

    def read_file(self, name: str) -> Part:
        """The file in one of its fields. Raises InvalidRequest or PictureTooLarge."""
        for part in parse_multipart(self._decode(), self.content_type):
            if part.name == name and part.file_name is not None:
                return part
        raise InvalidRequest(f"The form has no file in its field {name}.")

    def _decode(self) -> bytes:
        check_size(len(self.body))
        try:
            return base64.b64decode(self.body) if self.is_base64 else self.body.encode()
        except (binascii.Error, ValueError):  # also half of a surrogate pair
            raise malformed("is not in base64, or not text") from None


def parse_body(body: str | Form) -> Any:
    """Parse a form, or JSON. Raises InvalidRequest, PictureTooLarge or JSONDecodeError."""
    if isinstance(body, Form):
        return body.parse()
    check_size(len(body))
    return parse_json(body)


def check_size(size: int) -> None:
    """Refuse what Lambda would not hand to a function, also where there is no Lambda. Raises PictureTooLarge."""
    if size > MAX_BODY_BYTES:
        raise PictureTooLarge(
            "The request is larger than 6 MB (4.5 MB of files). Send each large picture to the form that POST /uploads "
            "gives you, and name it by its uri."
        )


def read_fields(parts: list[Part]) -> dict[str, Any]:
    """The fields that parts stand for; several parts of one name are a list. Raises InvalidRequest."""
    values: dict[str, list[Any]] = {}
    for part in parts:
        if part.file_name == "" and not len(part.content):
            continue  # what a browser sends for a file that nobody chose
        values.setdefault(part.name, []).append(_read_value(part))
    return {name: _join(name, several) for name, several in values.items()}


def _read_value(part: Part) -> Any:
    schema = _properties().get(part.name, {})
    if part.file_name is not None or part.media_type.startswith(("image/", "video/", "application/octet-stream")):
        if part.name not in FILE_FIELDS:
            # A field that does not exist is reported as such, not as one that should be text.
            raise _mistake(part.name, "must be text, not a file" if schema else "is not a field of this request")
        if not len(part.content):
            raise _mistake(part.name, "must not be an empty file")
        return _FILE + base64.b64encode(part.content).decode()
    try:
        text = bytes(part.content).decode()
        if part.charset not in ("", "utf-8", "us-ascii", "ascii") and not text.isascii():
            raise ValueError(part.charset)
    except ValueError:
        raise _mistake(part.name, "must be text in UTF-8") from None
    if part.name in FILE_FIELDS and text and text != "null" and ":" not in text:
        raise _mistake(part.name, f"must be a file or a URI (curl sends a file as -F {part.name}=@NAME)")
    if part.name == "faces" and _NUMBERS.fullmatch(text):
        return [_read_json(each) for each in text.split(",")]
    return text if _types(schema) <= {"string", "null"} else _read_json(text)


def _read_json(text: str) -> Any:
    """A number, a truth value (also as Python writes it) or a list; what is not JSON is text, and validated as that."""
    try:
        return parse_json(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text


def _join(name: str, values: list[Any]) -> Any:
    is_list = "array" in _types(_properties().get(name, {}))
    if len(values) > 1:
        if not is_list:
            raise _mistake(name, "must come only once")
        return values
    (value,) = values
    return [value] if is_list and isinstance(value, (int, dict)) and not isinstance(value, bool) else value


def _mistake(name: str, message: str) -> InvalidRequest:
    mistake = describe_mistake((name,), message)
    return InvalidRequest(f"{mistake['field']} {message}.", errors=[mistake])


@cache
def _properties() -> dict[str, Schema]:
    """The JSON schema of every field of the requests that may be forms; where two have a field, it is the same."""
    return {
        name: schema
        for body in (FacesBody, VerifyBody, SwapBody)
        for name, schema in body.model_json_schema()["properties"].items()
    }


def _types(schema: Schema) -> set[str]:
    """The JSON types that a schema allows, `string` where it says nothing of them."""
    if "anyOf" in schema or "oneOf" in schema:
        return set().union(*(_types(each) for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))))
    return {schema.get("type", "string")}
