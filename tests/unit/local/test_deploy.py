"""What can be known of a deployment without an account."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from local import rewrite
from local.deploy import BUCKETS, empty, hello, outputs, overrides, release, stack_name
from local.redrive import redrive

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = rewrite.load(ROOT / "template.yaml")


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
    assert "https://ApiUrl/openapi.json" in hello(found, "eu-west-1")


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
