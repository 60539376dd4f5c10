"""What can be known of a deployment without an account."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from local import deploy, rewrite
from local.deploy import BUCKETS, empty, hello, outputs, overrides, release, stack_name, warning
from local.redrive import redrive

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = rewrite.load(ROOT / "template.yaml")
API = {"ApiUrl": "https://api"}


@pytest.mark.parametrize("environment", ["default", "staging"])
def test_environments_deploy_stacks_of_their_own_with_parameters_that_exist(environment: str) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    given = config[environment]["deploy"]["parameters"].get("parameter_overrides", "")

    assert {each.partition("=")[0] for each in given.split()} <= TEMPLATE["Parameters"].keys()
    assert f"environment={'staging' if environment == 'staging' else 'production'}" in str(config[environment])
    assert stack_name("default") != stack_name("staging")


def test_a_deployment_names_its_release_or_none_and_keeps_the_environment_s_parameters() -> None:
    assert overrides("default", "") == ['CanaryRelease=""']
    assert overrides("staging", "one")[-1] == 'CanaryRelease="one"'
    assert "Tracing=Active" in overrides("staging", "one")
    assert re.fullmatch(TEMPLATE["Parameters"]["CanaryRelease"]["AllowedPattern"], release())


def test_outputs_that_the_scripts_read_are_the_template_s() -> None:
    class Formation:
        def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803 - boto3's name
            told = [{"OutputKey": name, "OutputValue": f"https://{name}"} for name in TEMPLATE["Outputs"]]
            return {"Stacks": [{"Outputs": told}]}

    found = outputs(Formation(), "coldswap")

    assert found.keys() >= set(BUCKETS)


@pytest.mark.parametrize(
    ("auth_mode", "credentials"),
    [("iam", "--aws-sigv4"), ("jwt", "Authorization: Bearer $TOKEN"), ("key", "x-api-key: $KEY"), ("open", "curl h")],
)
def test_the_first_request_has_what_the_api_asks_for(auth_mode: str, credentials: str) -> None:
    request = hello(API, "eu-west-1", auth_mode)

    assert request.endswith("https://api/openapi.json")
    assert credentials in request


def test_a_stack_that_is_open_says_so_when_it_is_deployed() -> None:
    assert "anyone who knows https://api\ncan use this stack and spend your money" in warning(API, "open")
    assert [warning(API, mode) for mode in ("iam", "jwt", "key")] == ["", "", ""]


@pytest.mark.parametrize("auth_mode", TEMPLATE["Parameters"]["AuthMode"]["AllowedValues"])
def test_the_warning_goes_by_what_is_deployed_and_not_by_what_was_asked_for(
    auth_mode: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = {
        "Outputs": [{"OutputKey": name, "OutputValue": name} for name in TEMPLATE["Outputs"]],
        "Parameters": [{"ParameterKey": "AuthMode", "ParameterValue": auth_mode}],
    }
    session = SimpleNamespace(
        client=lambda service: SimpleNamespace(describe_stacks=lambda **_: {"Stacks": [stack]}), region_name="eu-west-1"
    )
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(boto3.session, "Session", lambda: session)

    deploy.up("default", canary=False, accept_terms=False)

    printed = capsys.readouterr()
    assert ("spend your money" in printed.err) == (auth_mode == "open")
    assert ("make key NAME=" in printed.out) == (auth_mode == "key")


def test_every_retained_bucket_is_emptied() -> None:
    resources = TEMPLATE["Resources"].items()
    buckets = {
        n for n, each in resources if each["Type"] == "AWS::S3::Bucket" and each.get("DeletionPolicy") == "Retain"
    }

    assert {TEMPLATE["Outputs"][name]["Value"]["Ref"] for name in BUCKETS} == buckets


def test_emptying_deletes_page_by_page() -> None:
    deleted: list[str] = []

    class S3:
        def get_paginator(self, name: str) -> S3:
            assert name == "list_objects_v2"
            return self

        def paginate(self, Bucket: str) -> list[dict[str, Any]]:  # noqa: N803 - boto3's name
            return [{"Contents": [{"Key": "a"}, {"Key": "b"}]}, {"Contents": [{"Key": "c"}]}, {}]

        def delete_objects(self, Bucket: str, Delete: dict[str, Any]) -> None:  # noqa: N803 - boto3's names
            deleted.extend(each["Key"] for each in Delete["Objects"])

    assert empty(S3(), "bucket") == 3
    assert deleted == ["a", "b", "c"]


@pytest.mark.parametrize("letter", [{"requestPayload": {"Records": [1]}, "responsePayload": {}}, {"Records": [1]}])
def test_a_letter_is_sent_as_the_event_it_was_and_then_deleted(letter: dict[str, Any]) -> None:
    done: list[tuple[str, Any]] = []

    waiting = [{"Body": json.dumps(letter), "ReceiptHandle": "receipt"}]

    class Queue:
        def receive_message(self, **_: Any) -> dict[str, Any]:
            return {"Messages": [waiting.pop()]} if waiting else {}

        def delete_message(self, QueueUrl: str, ReceiptHandle: str) -> None:  # noqa: N803 - boto3's names
            done.append(("deleted", ReceiptHandle))

    class Functions:
        def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:  # noqa: N803 - boto3's names
            done.append((InvocationType, json.loads(Payload)))

    assert redrive("queue", "function", Queue(), Functions()) == 1
    assert done == [("Event", {"Records": [1]}), ("deleted", "receipt")]
