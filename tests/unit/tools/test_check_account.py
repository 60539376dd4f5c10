"""What is said of an account, on clients that answer as AWS does and can do nothing but read."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from tools.account import POLLS, Account
from tools.account_checks import CHECKS
from tools.check_account import MANUAL, CheckResult, read_credentials, run_check, run_checks

ROOT = Path(__file__).resolve().parents[3]
READING = ("describe_", "list_", "get_", "filter_", "simulate_", "exceptions")
REQUEST_ID = "JKJaXmPLvHcESHA="
LAMBDA_ID = "5f6a2c1e-0000-4000-8000-000000000000"
KEY = "ck_" + "k" * 43
ALARM = "stack-Monitoring-1-SwapFaults-1"


class Gateway(BaseHTTPRequestHandler):
    """API Gateway as it answers with each AuthMode."""

    mode = "iam"

    def do_GET(self) -> None:
        """Lets in a signature, the one key, or the one token."""
        let_in = {
            "iam": "AWS4-HMAC-SHA256" in self.headers.get("authorization", ""),
            "key": self.headers.get("x-api-key") == KEY,
            "jwt": self.headers.get("authorization") == "Bearer good",
            "open": True,
        }[self.mode]
        status, body = (200, {}) if let_in else (401 if self.mode == "jwt" else 403, {"message": "Forbidden"})
        self.send_response(status)
        self.send_header("Apigw-Requestid", REQUEST_ID)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def gateway() -> Iterator[tuple[type[Gateway], str]]:
    class Own(Gateway):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield Own, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class FakeAccount:
    """An account in which all is as expected; tests change what they are about."""

    def __init__(self, url: str) -> None:
        self.parameters = {"AuthMode": "iam"}
        self.tracing = "Active"
        self.status = "UPDATE_COMPLETE"
        self.index = "ACTIVE"
        self.policy = "x" * 900
        self.executions = 1000
        self.letters = 0
        self.lost: dict[str, float] = {}  # events, by their rule
        self.init_ms: float | None = 2345.67  # of a day's cold start
        self.ringing = False
        self.subscription = "arn:aws:sns:eu-west-1:123456789012:stack-alarms:1"
        self.forbidden: set[tuple[str, str]] = set()  # actions that a role lacks
        self.careless = False  # whether the conditions on keys do nothing
        self.shown_after = 0  # looks at a log before it has a line
        self.pauses: list[float] = []
        self.account = Account("stack", self, url, {}, self.pauses.append)

    region_name = "eu-west-1"

    def get_credentials(self) -> Any:
        return boto3.session.Session("AKIA", "secret", "token").get_credentials()

    def client(self, service: str) -> Any:
        methods: dict[str, Callable[..., Any]] = getattr(self, f"_{service}")()
        assert all(name.startswith(READING) for name in methods)
        return SimpleNamespace(**methods)

    def _cloudformation(self) -> dict[str, Any]:
        names = ["SwapFunctionRole", "VideoFunctionRole", "KeyAuthorizerFunctionRole"]
        names += ["SwapStateMachineRole", "VideoStateMachineRole", "StateTable", "SwapFunction"]
        names += ["SwapFunctionEnded", "MovingFunctionEnded", "VideoFunctionEnded", "Monitoring"]
        listed = {
            "stack": [{"LogicalResourceId": name, "PhysicalResourceId": f"stack-{name}-1"} for name in names],
            "stack-Monitoring-1": [{"LogicalResourceId": "SwapFaults", "PhysicalResourceId": ALARM}],
        }
        outputs = {"ApiUrl": "", "AlarmTopicArn": "arn:topic", "FailedUploadsUrl": "f", "UnsettledTasksUrl": "u"}
        stack = {
            "StackStatus": self.status,
            "Parameters": [{"ParameterKey": name, "ParameterValue": each} for name, each in self.parameters.items()],
            "Outputs": [{"OutputKey": name, "OutputValue": each} for name, each in outputs.items()],
        }

        def paginate(StackName: str) -> list[dict[str, Any]]:
            return [{"StackResourceSummaries": listed[StackName]}]

        return {
            "describe_stacks": lambda **_: {"Stacks": [stack]},
            "get_paginator": lambda name: SimpleNamespace(paginate=paginate),
        }

    def _dynamodb(self) -> dict[str, Any]:
        index = {"IndexName": "by-caller", "IndexStatus": self.index}
        return {
            "describe_table": lambda **_: {"Table": {"GlobalSecondaryIndexes": [index]}},
            "describe_time_to_live": lambda **_: {"TimeToLiveDescription": {"TimeToLiveStatus": "ENABLED"}},
        }

    def _logs(self) -> dict[str, Any]:
        def filter_log_events(**request: Any) -> dict[str, Any]:
            if request["filterPattern"] == '"initDurationMs"':
                return {"events": [{"message": json.dumps(each)} for each in self._reports()]}
            if len(self.pauses) < self.shown_after:
                return {"events": []}
            line = {"correlation_id": REQUEST_ID, "lambda_request_id": LAMBDA_ID}
            return {"events": [{"message": json.dumps(line)}]}

        policies = {"resourcePolicies": [{"policyDocument": self.policy}]}
        return {"filter_log_events": filter_log_events, "describe_resource_policies": lambda: policies}

    def _reports(self) -> list[Mapping[str, Any]]:
        """Lambda's lines of a cold start, with the function's own that names the field too."""
        if self.init_ms is None:
            return []
        metrics = {
            "durationMs": 301.0,
            "billedDurationMs": 2647,
            "memorySizeMB": 1769,
            "maxMemoryUsedMB": 612,
            "initDurationMs": self.init_ms,
        }
        record = {"requestId": LAMBDA_ID, "metrics": metrics, "status": "success"}
        report = {"time": "2026-11-23T10:00:00.000Z", "type": "platform.report", "record": record}
        return [report, {"level": "INFO", "message": "initDurationMs"}]

    def _iam(self) -> dict[str, Any]:
        def simulate(**request: Any) -> dict[str, Any]:
            role, (action,) = request["PolicySourceArn"].split("/")[1], request["ActionNames"]
            allowed = (role.split("-")[1], action) not in self.forbidden
            for entry in [] if self.careless else request["ContextEntries"]:
                (key,) = entry["ContextKeyValues"]
                if "Authorizer" in role:
                    allowed &= fnmatchcase(key, "key#*")
                elif "StateMachine" in role:
                    allowed &= fnmatchcase(key, "result#*")
                else:
                    allowed &= not (fnmatchcase(key, "key#*") or fnmatchcase(key, "keyname#*"))
            return {"EvaluationResults": [{"EvalDecision": "allowed" if allowed else "implicitDeny"}]}

        return {"simulate_principal_policy": simulate}

    def _sts(self) -> dict[str, Any]:
        identity = {"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/operator"}
        return {"get_caller_identity": lambda: identity}

    def _lambda(self) -> dict[str, Any]:
        limit = {"ConcurrentExecutions": self.executions, "UnreservedConcurrentExecutions": self.executions}
        configuration = {"TracingConfig": {"Mode": self.tracing}}
        return {
            "get_account_settings": lambda: {"AccountLimit": limit},
            "get_function_configuration": lambda **_: configuration,
        }

    def _sqs(self) -> dict[str, Any]:
        attributes = {"ApproximateNumberOfMessages": str(self.letters)}
        return {"get_queue_attributes": lambda **_: {"Attributes": attributes}}

    def _cloudwatch(self) -> dict[str, Any]:
        alarm = {"AlarmName": ALARM, "StateValue": "ALARM" if self.ringing else "OK"}
        another_s = {"AlarmName": "stack-other-Monitoring-1-SwapFaults-1", "StateValue": "ALARM"}

        def get_metric_statistics(**request: Any) -> dict[str, Any]:
            (rule,) = request["Dimensions"]
            return {"Datapoints": [{"Sum": self.lost.get(rule["Value"], 0.0)}]}

        return {
            "get_metric_statistics": get_metric_statistics,
            "describe_alarms": lambda **_: {"MetricAlarms": [alarm, another_s]},
        }

    def _sns(self) -> dict[str, Any]:
        subscribed = {"Subscriptions": [{"SubscriptionArn": self.subscription}]}
        return {"list_subscriptions_by_topic": lambda **_: subscribed}


@pytest.fixture
def world(gateway: tuple[type[Gateway], str]) -> FakeAccount:
    return FakeAccount(gateway[1])


def test_where_all_is_as_expected_only_manual_checks_are_left(world: FakeAccount) -> None:
    table = list(run_checks(world.account))

    assert [row.number for row in table] == sorted({*CHECKS, *MANUAL})
    assert {row.number: row.detail for row in table if row.verdict != "ok" and row.number in CHECKS} == {}
    assert [row.number for row in table if row.verdict == "manual"] == sorted(MANUAL)


@pytest.mark.parametrize(
    ("number", "change", "sentence"),
    [
        (2, {"status": "UPDATE_ROLLBACK_FAILED"}, "UPDATE_ROLLBACK_FAILED"),
        (2, {"index": "CREATING"}, "by-caller is CREATING"),
        (4, {"shown_after": POLLS + 1}, "does not contain"),
        (5, {"shown_after": POLLS + 1}, "does not contain"),
        (5, {"policy": "x" * 5000}, "5000 of 5120"),
        (6, {"careless": True}, "SwapFunctionRole is allowed dynamodb:PutItem on key#1"),
        (6, {"forbidden": {("SwapFunctionRole", "lambda:GetAccountSettings")}}, "is denied lambda:GetAccountSettings"),
        (6, {"forbidden": {("VideoFunctionRole", "dynamodb:PutItem")}}, "is denied dynamodb:PutItem on task#1"),
        (7, {"forbidden": {("VideoStateMachineRole", "xray:PutTraceSegments")}}, "is denied xray:PutTraceSegments"),
        (8, {"executions": 10}, "10 concurrent executions"),
        (9, {"init_ms": 10_500.0}, "10500 ms"),
        (10, {"letters": 1}, "dead letters wait"),
        (10, {"lost": {"stack-SwapFunctionEnded-1": 2.0}}, "2 events"),
        (10, {"lost": {"stack-SwapFunctionEnded-1": 2.0, "stack-VideoFunctionEnded-1": 1.0}}, "3 events"),
        (11, {"ringing": True}, f"{ALARM} in alarm"),
        (11, {"subscription": "PendingConfirmation"}, "nobody"),
    ],
)
def test_what_deviates_is_named_and_nothing_else_is(
    world: FakeAccount, number: int, change: Mapping[str, Any], sentence: str
) -> None:
    for name, value in change.items():
        setattr(world, name, value)

    row = run_check(world.account, number)

    assert row.verdict == "deviates"
    assert sentence in row.detail


@pytest.mark.parametrize(
    ("mode", "caller"), [("iam", {}), ("key", {"x-api-key": KEY}), ("jwt", {"authorization": "Bearer good"})]
)
def test_who_may_comes_in_and_nobody_else(
    world: FakeAccount, gateway: tuple[type[Gateway], str], mode: str, caller: dict[str, str]
) -> None:
    gateway[0].mode = world.parameters["AuthMode"] = mode
    world.account.credentials = caller

    assert run_check(world.account, 3).verdict == "ok"
    gateway[0].mode = "open"
    assert "without credentials the API answers 200" in run_check(world.account, 3).detail


def test_without_a_key_a_check_is_manual(world: FakeAccount, gateway: tuple[type[Gateway], str]) -> None:
    gateway[0].mode = world.parameters["AuthMode"] = "key"

    assert "set KEY" in run_check(world.account, 4).detail
    assert read_credentials({"KEY": KEY}) == {"x-api-key": KEY}
    assert read_credentials({"TOKEN": "t"}) == {"authorization": "Bearer t"}
    assert read_credentials({}) == {}


def test_an_open_api_deviates(world: FakeAccount, gateway: tuple[type[Gateway], str]) -> None:
    gateway[0].mode = world.parameters["AuthMode"] = "open"

    assert run_check(world.account, 3).verdict == "deviates"


def test_where_nothing_is_traced_the_check_is_manual(world: FakeAccount) -> None:
    world.tracing = "PassThrough"

    assert run_check(world.account, 7).verdict == "manual"


def test_a_log_gets_time_to_show_a_line(world: FakeAccount) -> None:
    world.shown_after = 3

    assert run_check(world.account, 4) == CheckResult(4, CHECKS[4][0], "ok", f"{REQUEST_ID} and {LAMBDA_ID}")
    assert len(world.pauses) == 3


def test_a_cold_start_is_read_from_lambda_s_report(world: FakeAccount) -> None:
    assert run_check(world.account, 9).detail == "1 in a day, INIT at most 2346 ms"

    world.init_ms = None
    assert run_check(world.account, 9).verdict == "manual"


def test_what_may_not_be_looked_at_is_manual(world: FakeAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SimulatePrincipalPolicy")

    monkeypatch.setattr(world, "_iam", lambda: {"simulate_principal_policy": refuse})

    row = run_check(world.account, 6)

    assert row.verdict == "manual"
    assert "AccessDenied" in row.detail


def test_the_guide_has_every_check_under_its_number_and_title() -> None:
    guide = (ROOT / "docs/first-account.md").read_text()
    titles = {int(number): title for number, title in re.findall(r"^### (\d+)\. (.+)$", guide, re.MULTILINE)}

    assert titles == {number: title for number, (title, _) in CHECKS.items()} | MANUAL


def test_the_guide_s_commands_are_a_shell_s() -> None:
    guide = (ROOT / "docs/first-account.md").read_text()
    commands = "\n".join(re.findall(r"^```sh\n(.*?)^```", guide, re.MULTILINE | re.DOTALL))

    checked = subprocess.run(["bash", "-n"], input=commands, capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")
