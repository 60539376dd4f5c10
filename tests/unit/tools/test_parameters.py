"""Whoever still sets a parameter that went is told what to do instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.templates import load_template
from tools import parameters

TEMPLATE = load_template(Path(__file__).resolve().parents[3] / "template.yaml")
FORMER = {  # of 0.1.0, with the defaults that they had
    "CacheLatents": "false",
    "DailyBudget": "5000",
    "ResultDays": "7",
    "LogRetentionDays": "14",
    "Tracing": "PassThrough",
    "ThrottleRate": "20",
    "ReservedConcurrency": "0",
}


def test_every_former_parameter_has_a_replacement() -> None:
    assert {*parameters.SETTINGS, *parameters.STAGED} == FORMER.keys()
    assert not FORMER.keys() & TEMPLATE["Parameters"].keys()
    for stage in TEMPLATE["Mappings"]["Stages"].values():
        assert set(stage) == {*parameters.STAGED, "PageThrottleRate"}


@pytest.mark.parametrize(
    ("name", "value", "replacement"),
    [
        ("DailyBudget", "50", "run make settings SET='daily_budget=50'."),
        ("CacheLatents", "true", "run make settings SET='cache_latents=true'."),
        ("ResultDays", "3", "it is 7 with Stage=production and 1 with Stage=staging. For another value, edit Mappings"),
        ("Tracing", "Active", "it is PassThrough with Stage=production and Active with Stage=staging."),
        ("ReservedConcurrency", "5", "edit Mappings in template.yaml."),
    ],
)
def test_a_former_parameter_in_samconfig_is_named_with_what_replaces_it(
    name: str, value: str, replacement: str
) -> None:
    (sentence,) = parameters.check_names({"AuthMode": "key", name: value}, TEMPLATE, "make settings")

    assert sentence.startswith(f"{name} is no longer a parameter. Remove it from parameter_overrides in samconfig.toml")
    assert replacement in sentence


def test_a_name_that_no_version_had_is_named_too() -> None:
    (sentence,) = parameters.check_names({"AuthMod": "key"}, TEMPLATE, "make settings")

    assert "There is no parameter AuthMod." in sentence
    assert "AuthMode" in sentence


def test_a_stack_with_the_former_defaults_loses_nothing() -> None:
    assert parameters.find_lost_values({**FORMER, "AuthMode": "iam"}, {}, TEMPLATE, "make settings") == []


def test_what_a_stack_was_deployed_with_and_would_lose_is_named() -> None:
    deployed = {**FORMER, "DailyBudget": "50", "ReservedConcurrency": "5"}

    budget, reserved = parameters.find_lost_values(deployed, {}, TEMPLATE, "make settings")

    assert "DailyBudget=50, which is a setting now and begins as 5000." in budget
    assert "run make settings SET='daily_budget=50'." in budget
    assert "ReservedConcurrency=5; with Stage=production it becomes 0." in reserved


def test_a_stack_that_had_the_values_of_staging_is_deployed_as_staging() -> None:
    deployed = {**FORMER, "ResultDays": "1", "LogRetentionDays": "3", "Tracing": "Active"}

    assert parameters.find_lost_values(deployed, {"Stage": "staging"}, TEMPLATE, "make settings") == []
    assert len(parameters.find_lost_values(deployed, {}, TEMPLATE, "make settings")) == 3
