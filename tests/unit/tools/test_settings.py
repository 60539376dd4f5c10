"""Settings are shown and changed, and nothing is written that the functions could not read."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from layers.core.operator_settings import OperatorSettings
from tests.unit.tools.aws import Formation, Parameters
from tools.settings import SettingsDocument, SettingsRefused, main, parse_changes

NAME = "/coldswap/settings"


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Parameters:
    """SSM of an account with a production stack; the command speaks to it."""
    parameters = Parameters(coldswap="{}")
    clients: dict[str, Any] = {"ssm": parameters, "cloudformation": Formation(coldswap="CREATE_COMPLETE")}
    monkeypatch.setattr(boto3.session, "Session", lambda: SimpleNamespace(client=clients.__getitem__))
    return parameters


def stored(ssm: Parameters) -> Any:
    return json.loads(ssm.versions[NAME][-1])


def test_every_setting_is_shown_with_its_value_its_default_and_what_it_does(
    ssm: Parameters, capsys: pytest.CaptureFixture[str]
) -> None:
    ssm.versions[NAME] = ['{"daily_budget": 50}']

    assert main([]) == 0

    shown = capsys.readouterr().out
    assert "daily_budget = 50 (default 5000)\n" in shown
    assert "cache_latents = false (the default)\n" in shown
    assert "one caller of the HTTP API" in shown
    assert len(ssm.versions[NAME]) == 1


def test_settings_are_changed_and_what_is_the_default_is_left_out(
    ssm: Parameters, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--set", "daily_budget=50 cache_latents=true"]) == 0
    assert stored(ssm) == {"daily_budget": 50, "cache_latents": True}
    assert "within a minute" in capsys.readouterr().out

    assert main(["--set", "daily_budget=default,cache_latents=false"]) == 0
    assert stored(ssm) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("daily_budget=-1", "daily_budget must be a whole number from 0"),
        ("daily_budget=many", "daily_budget must be a whole number"),
        ("daily_budget=1.5", "daily_budget must be a whole number"),
        ("cache_latents=1", "cache_latents must be true or false"),
        ("cache_latents=yes", "cache_latents must be true or false"),
        ("budget=1", "There is no setting budget. The settings are daily_budget, cache_latents, caption_font, "),
        ("budget=default", "There is no setting budget."),
        ("caption_font=../Brand.ttf", "caption_font must be the name of a file"),
        ("caption_font=Brand.woff2", "caption_font must be the name of a file"),
        ("sign_in_client_id='my page'", "sign_in_client_id must be the id of a client, without blanks, or empty."),
        ("sign_in_scopes='openid  email'", "sign_in_scopes must be scopes with single blanks between."),
        ("caption_font=7", "caption_font must be the name of a file"),
        ("daily_budget", "daily_budget is not NAME=VALUE."),
        ("daily_budget=", "daily_budget= is not NAME=VALUE."),
        ("daily_budget=1 daily_budget=2", "daily_budget is set twice."),
        ("", "Nothing to set"),
    ],
)
def test_what_the_functions_could_not_read_is_not_written(
    ssm: Parameters, capsys: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    assert main(["--set", text]) == 1

    assert sentence in capsys.readouterr().err
    assert ssm.versions[NAME] == ["{}"]


def test_a_change_that_somebody_else_makes_meanwhile_is_kept(ssm: Parameters) -> None:
    ssm.meanwhile = ['{"cache_latents": true}', '{"cache_latents": true, "daily_budget": 7}']

    changed = SettingsDocument(ssm, "coldswap").change(lambda before: before.changed({"daily_budget": 50}))

    assert changed == OperatorSettings(daily_budget=50, cache_latents=True)
    assert stored(ssm) == {"daily_budget": 50, "cache_latents": True}


def test_a_damaged_document_is_shown_and_only_replaced_by_a_reset(
    ssm: Parameters, capsys: pytest.CaptureFixture[str]
) -> None:
    ssm.versions[NAME] = ["{daily_budget: 50}"]

    for arguments in ([], ["--set", "daily_budget=50"]):
        assert main(arguments) == 1
        sentence = capsys.readouterr().err
        assert "is not JSON" in sentence
        assert "{daily_budget: 50}" in sentence
        assert "make settings RESET=1" in sentence
    assert len(ssm.versions[NAME]) == 1

    assert main(["--reset"]) == 0
    assert stored(ssm) == {}


def test_where_there_is_no_stack_nothing_is_written(ssm: Parameters, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--env", "staging"]) == 1
    assert "make settings ENV=staging RESET=1" in capsys.readouterr().err

    assert main(["--env", "staging", "--reset"]) == 1
    assert "There is no stack coldswap-staging." in capsys.readouterr().err
    assert ssm.versions.keys() == {NAME}


def test_a_parameter_that_was_deleted_is_written_again(ssm: Parameters) -> None:
    del ssm.versions[NAME]

    with pytest.raises(SettingsRefused, match="There is no SSM parameter /coldswap/settings"):
        SettingsDocument(ssm, "coldswap").read()
    assert main(["--reset"]) == 0

    assert ssm.versions[NAME] == ["{}"]


def test_values_are_those_of_json() -> None:
    assert parse_changes("a=1, b=true c=x") == {"a": 1, "b": True, "c": "x"}
