"""The one description of the API, as a stack serves it."""

from __future__ import annotations

import json
import re
from typing import get_args

import pytest

from layers.core.api_description import describe_api, render_page
from layers.core.identity import AuthMode


@pytest.mark.parametrize(
    ("mode", "schemes"),
    [("iam", {"signature"}), ("jwt", {"token"}), ("key", {"key", "token"}), ("open", set())],
)
def test_a_stack_asks_for_what_its_auth_mode_asks_for(mode: AuthMode, schemes: set[str]) -> None:
    document = json.loads(describe_api(mode))

    assert {name for each in document["security"] for name in each} == schemes
    assert schemes <= document["components"]["securitySchemes"].keys()


def test_every_auth_mode_is_described() -> None:
    assert {len(describe_api(mode)) > 10_000 for mode in get_args(AuthMode)} == {True}


def test_the_page_has_the_document_and_asks_nobody_for_a_script() -> None:
    page = render_page("key")

    assert '"operationId": "swap_faces"' in page
    assert not re.search(r"<(script|link)[^>]* (src|href)=", page)
