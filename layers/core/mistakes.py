"""What is wrong with a request, in the caller's own terms: pydantic's errors, by fields as JSON has them and in words
that say what to write.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from layers.core.errors import InvalidRequest

MAX_MISTAKES = 20  # that are reported of one request
MAX_FIELD_CHARS = 200  # of a field's name, which may be the caller's
_PARTS_OF_HTTP = ("body", "query", "header", "path", "cookie")  # by which powertools' locations begin

# By pydantic's type of error; braces name what its context has.
_MESSAGES = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be text",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "too_long": "must have at most {max_length} items",
    "model_type": "must be a JSON object",
    "model_attributes_type": "must be a JSON object",
    "json_invalid": "is not JSON: {error}",
}


def invalid_request(errors: Iterable[Any], request: Any, root: str = "payload") -> InvalidRequest:
    """Translate pydantic's errors, of which at most MAX_MISTAKES are reported, into one error of ours.

    `request` is the JSON that was validated, and `root` its name. Errors that powertools found in a request of HTTP
    begin with the part of it that they are in.
    """
    mistakes = [_translate(error, request, root) for error in itertools.islice(errors, MAX_MISTAKES)]
    names = [f"The {root}" if mistake["field"] == root else mistake["field"] for mistake in mistakes]
    sentence = "; ".join(f"{name} {mistake['message']}" for name, mistake in zip(names, mistakes, strict=True))
    return InvalidRequest(f"{sentence}.", errors=mistakes)


def name_field(steps: Sequence[str | int]) -> str:
    """The field at a place in a request's JSON, as its caller would write it: `faces[0].index`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")


def describe_mistake(steps: Sequence[str | int], message: str) -> dict[str, str]:
    """An entry of `errors` in a problem document: the field, a JSON pointer to it (RFC 6901), and what is wrong."""
    pointer = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return {"field": name_field(steps)[:MAX_FIELD_CHARS], "pointer": pointer[:MAX_FIELD_CHARS], "message": message}


def match(pattern: str, message: str) -> Callable[[str], str]:
    """Return a validator of text that reports `message` where the pattern does not match all of it, since pydantic
    reports the pattern."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(message)
        return text

    return check


def _translate(error: Mapping[str, Any], request: Any, root: str) -> dict[str, str]:
    """One of pydantic's errors as an entry of `errors`; of a header and a parameter, the field is its name."""
    part, location, message = "", list(error["loc"]), _describe(error)
    if root == "body" and location and location[0] in _PARTS_OF_HTTP:
        part, *location = location
    if part in ("query", "path", "cookie"):
        return {"field": str(location[-1])[:MAX_FIELD_CHARS], "message": message}
    if part == "header":
        return {"field": str(location[-1]).title()[:MAX_FIELD_CHARS], "message": message}
    steps = _follow(location, request, error["type"] == "missing")
    return describe_mistake(steps, message) if steps else {"field": root, "message": message}


def _follow(location: list[Any], value: Any, is_missing: bool) -> list[str | int]:
    """A place in JSON. What of a location is not in the JSON is pydantic's own: the tag of a union, a character."""
    steps: list[str | int] = []
    for number, step in enumerate(location, 1):
        if (isinstance(value, list) and isinstance(step, int) and step < len(value)) or (
            isinstance(value, dict) and step in value
        ):
            value = value[step]
            steps.append(step)
        elif is_missing and number == len(location):
            steps.append(step)
    return steps


def _describe(error: Mapping[str, Any]) -> str:
    """What the field must be, as the rest of a sentence that begins with its name."""
    kind, context, message = error["type"], error.get("ctx") or {}, str(error["msg"])
    if kind in ("string_too_short", "too_short") and context.get("min_length") == 1:
        return "must not be empty"
    if kind == "too_long" and context.get("field_type") != "List":
        kind = "string_too_long"
    if kind == "literal_error":
        return "must be " + re.sub(r"'([^']*)'", r'"\1"', str(context.get("expected")))
    if kind in _MESSAGES:
        return _MESSAGES[kind].format_map(context)
    message = message.removeprefix("Value error, ")
    return re.sub(r"^Input should be", "must be", message)
