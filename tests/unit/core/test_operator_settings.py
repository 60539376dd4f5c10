"""The operator's settings as a function reads them, on a parameter that answers as SSM does."""

from __future__ import annotations

import io
import json
from dataclasses import fields
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from layers.core.errors import SafeguardFailed, StorageFailed
from layers.core.operator_settings import KEPT_SECONDS, OperatorSettings, SettingsReader
from layers.core.telemetry import logger
from tests.support.clock import Clock

NAME = "/coldswap/settings"


class Parameter:
    """SSM with one parameter; `failure` is raised instead of an answer."""

    def __init__(self, value: str = "{}") -> None:
        self.value = value
        self.failure: Exception | None = None
        self.requests = 0

    def get_parameter(self, Name: str) -> dict[str, Any]:
        assert Name == NAME
        self.requests += 1
        if self.failure:
            raise self.failure
        return {"Parameter": {"Value": self.value}}


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "GetParameter")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def parameter() -> Parameter:
    return Parameter()


@pytest.fixture
def read(parameter: Parameter, clock: Clock) -> SettingsReader:
    return SettingsReader(NAME, lambda: parameter, clock)


def test_an_empty_document_has_every_default(read: SettingsReader) -> None:
    assert read() == OperatorSettings() == OperatorSettings(daily_budget=5000, cache_latents=False)


def test_without_a_parameter_the_defaults_hold_and_nobody_is_asked() -> None:
    def none() -> Any:
        raise AssertionError("SSM was asked")

    assert SettingsReader("", none)() == OperatorSettings()


def test_a_changed_document_is_in_use_after_a_minute(parameter: Parameter, read: SettingsReader, clock: Clock) -> None:
    assert read().daily_budget == 5000
    parameter.value = '{"daily_budget": 50}'
    clock.at += KEPT_SECONDS - 1
    assert read().daily_budget == 5000
    clock.at += 1
    assert read().daily_budget == 50
    assert parameter.requests == 2


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"daily_budgte": 1}', "no setting daily_budgte"),
        ('{"daily_budget": "50"}', "daily_budget must be a whole number from 0 to"),
        ('{"daily_budget": 1.5}', "daily_budget must be a whole number"),
        ('{"daily_budget": -1}', "daily_budget must be a whole number"),
        ('{"daily_budget": true}', "daily_budget must be a whole number"),
        ('{"daily_budget": 10000000000}', "daily_budget must be a whole number"),
        ('{"daily_budget": null}', "daily_budget must be a whole number"),
        ('{"cache_latents": "true"}', "cache_latents must be true or false"),
        ('{"cache_latents": 1}', "cache_latents must be true or false"),
    ],
)
def test_a_document_that_cannot_be_read_stops_all_work_until_it_is_mended(
    document: str,
    reason: str,
    parameter: Parameter,
    read: SettingsReader,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", log)
    assert read() == OperatorSettings()
    parameter.value = document
    clock.at += KEPT_SECONDS

    for _ in range(2):
        with pytest.raises(SafeguardFailed, match="make settings"):
            read()
    line = json.loads(log.getvalue().splitlines()[0])
    assert reason in line["reason"]
    assert line["parameter"] == NAME

    parameter.value = "{}"
    assert read() == OperatorSettings()


@pytest.mark.parametrize("failure", [refusal("ThrottlingException"), ConnectTimeoutError(endpoint_url="https://ssm")])
def test_while_ssm_does_not_answer_the_last_values_hold_and_it_is_asked_once_a_minute(
    failure: Exception, parameter: Parameter, read: SettingsReader, clock: Clock
) -> None:
    parameter.value = '{"daily_budget": 50}'
    assert read().daily_budget == 50
    parameter.failure = failure
    clock.at += KEPT_SECONDS

    assert [read().daily_budget for _ in range(3)] == [50, 50, 50]
    assert parameter.requests == 2


@pytest.mark.parametrize("code", ["ThrottlingException", "AccessDeniedException"])  # a new role's rights take seconds
def test_a_sandbox_that_never_had_an_answer_may_be_asked_again(
    code: str, parameter: Parameter, read: SettingsReader
) -> None:
    parameter.failure = refusal(code)

    with pytest.raises(StorageFailed):
        read()

    parameter.failure = None
    assert read() == OperatorSettings()


def test_a_parameter_that_is_not_there_is_no_reason_to_forget_a_budget(
    parameter: Parameter, read: SettingsReader, clock: Clock
) -> None:
    assert read()
    parameter.failure = refusal("ParameterNotFound")
    clock.at += KEPT_SECONDS

    with pytest.raises(SafeguardFailed):
        read()


def test_a_document_has_what_is_not_the_default_and_is_read_as_it_was_written() -> None:
    changed = OperatorSettings().changed({"daily_budget": 50, "cache_latents": True})

    assert OperatorSettings().text() == "{}"
    assert json.loads(OperatorSettings(cache_latents=True).text()) == {"cache_latents": True}
    assert OperatorSettings.parse(changed.text()) == changed == OperatorSettings(50, True)


def test_every_field_says_what_it_does() -> None:
    assert all(each.metadata["help"].endswith(".") for each in fields(OperatorSettings))
