"""docs/stability.md names all that it promises: what is not on the page has changed without anybody deciding so."""

from __future__ import annotations

import json
import re
from dataclasses import fields

from layers.core.api_description import describe_api
from layers.core.errors import family
from layers.core.operator_settings import OperatorSettings
from local.cloud import ROOT
from tests.support.templates import load_template

PAGE = (ROOT / "docs/stability.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([^`]+)`", PAGE))
OPERATORS = PAGE.partition("## For operators")[2].partition("\n## ")[0]


def listed(what: str) -> set[str]:
    """The names in the operators' line that begins so."""
    line = OPERATORS.partition(f"- {what}: ")[2].partition("\n- ")[0]
    return set(re.findall(r"`([A-Z]\w+)`", line))


def test_the_paths_are_those_of_both_apis() -> None:
    paths = json.loads(describe_api("open"))["paths"]
    described = [(method.upper(), path) for path in paths for method in paths[path]]

    named = {name for name in NAMED if re.match("[A-Z]+ /", name)}
    assert named == {f"{method} {re.sub('{.*?}', '{id}', path)}" for method, path in described}


def test_the_error_codes_are_those_of_the_family() -> None:
    codes = {kind.code for kind in family().values()}
    line = PAGE.partition("the sentences are not.")[2].partition("New ones may come")[0]

    assert set(re.findall(r"`(\w+)`", line)) == codes


def test_the_settings_are_those_that_the_functions_read() -> None:
    line = OPERATORS.partition("`/STACK/settings`: ")[2].partition(".")[0]

    assert re.findall(r"`(\w+)`", line) == [each.name for each in fields(OperatorSettings)]


def test_the_parameters_and_outputs_are_the_templates() -> None:
    template = load_template(ROOT / "template.yaml")

    assert listed("Parameters") == set(template["Parameters"])
    assert listed("Outputs") - {"AuthMode"} == set(template["Outputs"])
