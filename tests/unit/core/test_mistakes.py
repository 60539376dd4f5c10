"""What is wrong with a request, in the caller's own terms."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from layers.core.mistakes import MAX_FIELD_CHARS, MAX_MISTAKES, describe_mistake, invalid_request, match


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    index: int
    name: Annotated[str, Field(min_length=2)] = "ab"


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Inner | list[Inner | int] | None = None
    word: Literal["yes", "no"] = "yes"
    code: Annotated[str, AfterValidator(match("^[a-z]+$", "must have small letters only"))] = "a"


def describe(request: Any) -> list[tuple[str, str]]:
    """Each mistake's field and message."""
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(request)
    errors = invalid_request(caught.value.errors(), request).extra["errors"]
    return [(error["field"], error["message"]) for error in errors]


@pytest.mark.parametrize(
    ("request_", "mistake"),
    [
        ({"inner": {}}, ("inner.index", "is missing")),
        ({"inner": {"index": 1, "name": "a"}}, ("inner.name", "must have at least 2 characters")),
        ({"inner": [1, {"index": "x"}]}, ("inner[1].index", "must be a whole number")),
        ({"inner": {"index": 1, "else": 1}}, ("inner.else", "is not a field of this request")),
        ({"word": "maybe"}, ("word", 'must be "yes" or "no"')),
        ({"code": "A"}, ("code", "must have small letters only")),
        ({"code": "a\n"}, ("code", "must have small letters only")),
        ([], ("payload", "must be a JSON object")),
    ],
)
def test_fields_are_named_as_json_has_them_whatever_pydantic_tried(request_: Any, mistake: tuple[str, str]) -> None:
    assert mistake in describe(request_)


def test_a_pointer_leads_to_the_field() -> None:
    entry = describe_mistake(("faces", 0, "a/b~c"), "is wrong")

    assert entry == {"field": "faces[0].a/b~c", "pointer": "/faces/0/a~1b~0c", "message": "is wrong"}


def test_the_sentence_names_every_mistake_and_the_whole_by_its_name() -> None:
    missing = {"type": "missing", "loc": ("body", "meme"), "msg": "Field required"}
    whole = {"type": "model_type", "loc": ("body",), "msg": "Input should be a valid dictionary"}

    assert invalid_request([missing, whole], {}, "body").detail == "meme is missing; The body must be a JSON object."


def test_neither_many_mistakes_nor_long_names_make_a_long_answer() -> None:
    mistakes = describe({f"{number}{'x' * 1000}": 1 for number in range(100)})

    assert len(mistakes) == MAX_MISTAKES
    assert max(len(field) for field, _ in mistakes) == MAX_FIELD_CHARS
