"""Keeping sandboxes warm, or no longer."""

from __future__ import annotations

import boto3
import pytest

from tools import keep_warm


class Clients:
    """Of CloudFormation and EventBridge."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def client(self, _: str) -> Clients:
        return self

    def describe_stack_resource(self, **request: str) -> object:
        assert request["LogicalResourceId"] == "KeepWarm"
        return {"StackResourceDetail": {"PhysicalResourceId": f"{request['StackName']}-warm-always"}}

    def enable_rule(self, **rule: str) -> None:
        self.calls.append(("on", rule["Name"]))

    def disable_rule(self, **rule: str) -> None:
        self.calls.append(("off", rule["Name"]))


@pytest.mark.parametrize(("options", "call"), [(["--on"], "on"), ([], "off")])
def test_the_rule_of_the_environment_s_stack_is_switched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str], call: str
) -> None:
    clients = Clients()
    monkeypatch.setattr(boto3.session, "Session", lambda: clients)

    assert keep_warm.main(["--env", "staging", *options]) == 0

    assert clients.calls == [(call, "coldswap-staging-warm-always")]
    assert (keep_warm.PRICE in capsys.readouterr().out) == (call == "on"), "whoever turns it on hears what it costs"
