"""`make settings` against a deployed stack: the functions obey it, an update keeps it, damage stops what needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from layers.core.errors import BudgetSpent, InputNotFound, SafeguardFailed
from layers.core.ids import new_id
from local.cloud import CREDENTIALS, REGION, STACK, Cloud
from tools import settings

NAME = f"/{STACK}/settings"


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        running.deploy()
        yield running


@pytest.fixture(autouse=True)
def commands(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator runs speaks to this stack."""
    for name, value in {**CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": cloud.endpoint}.items():
        monkeypatch.setenv(name, value)


def codes(cloud: Cloud, requests: int) -> list[str]:
    """What a new sandbox answers to requests that cost a megapixel each: a file that is not there is looked for."""
    cloud.force_cold_start()
    body = {"uri": f"s3://{cloud.bucket('outputs')}/swaps/{new_id()}.png"}
    return [cloud.request("POST", "/verify", body).json()["code"] for _ in range(requests)]


def test_a_lower_budget_holds_without_a_deployment_and_an_update_keeps_it(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    assert codes(cloud, 2) == [InputNotFound.code] * 2

    assert settings.main(["--set", "daily_budget=3"]) == 0
    assert codes(cloud, 2) == [InputNotFound.code, BudgetSpent.code], "two were spent before"

    cloud.deploy({"MaxConcurrentTasks": "3"})
    assert codes(cloud, 1) == [BudgetSpent.code]
    assert settings.main([]) == 0
    assert "daily_budget = 3 (default 5000)" in capsys.readouterr().out


def test_a_damaged_document_stops_what_needs_it_until_it_is_reset(cloud: Cloud) -> None:
    cloud.client("ssm").put_parameter(Name=NAME, Value='{"daily_budget": "3"}', Type="String", Overwrite=True)

    assert codes(cloud, 1) == [SafeguardFailed.code]
    assert settings.main([]) == 1

    assert settings.main(["--reset"]) == 0
    assert codes(cloud, 1) == [InputNotFound.code]
