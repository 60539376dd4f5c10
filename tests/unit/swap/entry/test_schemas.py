"""Fields as typed clients write them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from functions.swap.entry.schemas import FacesBody, SwapBody, TaskBody, parse_task

MEME = "https://example.com/meme.jpg"
OPTIONAL = sorted(set(TaskBody.model_fields) - {"meme"})


def test_null_for_every_optional_field_is_the_same_as_leaving_it_out() -> None:
    nulls: dict[str, Any] = dict.fromkeys(OPTIONAL)

    assert len(OPTIONAL) > 7
    assert parse_task({"meme": MEME, **nulls}) == TaskBody(meme=MEME)
    assert SwapBody.model_validate({"meme": MEME, "quality": None}).request() == SwapBody(meme=MEME).request()


@pytest.mark.parametrize("body", [{"meme": None}, {"meme": MEME, "colour": None}, {}, None, []])
def test_null_is_nothing_else(body: Any) -> None:
    with pytest.raises(ValidationError):
        FacesBody.model_validate(body)


@pytest.mark.parametrize(("name", "format"), [("jpg", "jpeg"), ("jpeg", "jpeg"), ("png", "png"), (None, None)])
def test_a_jpeg_has_two_names_outside_and_one_inside(name: str | None, format: str | None) -> None:
    assert SwapBody.model_validate({"meme": MEME, "format": name}).request().format == format
