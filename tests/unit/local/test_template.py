"""What must hold for the stack, read from the template itself."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from layers.core import errors
from layers.core.settings import Settings
from local import rewrite

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = rewrite.load(ROOT / "template.yaml")
WORKFLOW = rewrite.load(ROOT / "functions/swap/swap.asl.yaml")


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    found = {name: each["Properties"] for name, each in TEMPLATE["Resources"].items() if each["Type"] == kind}
    assert found
    return found


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function").values())
def test_nothing_beside_the_public_internet_is_trusted(function: dict[str, Any]) -> None:
    assert function["Environment"]["Variables"]["TRUSTED_ORIGINS"] == ""


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function").values())
def test_handlers_are_where_the_template_says(function: dict[str, Any]) -> None:
    (handler,) = function["ImageConfig"]["Command"]

    assert importlib.util.find_spec(handler.rpartition(".")[0])


def test_the_settings_are_all_set() -> None:
    variables = of_type("AWS::Serverless::Function")["SwapFunction"]["Environment"]["Variables"]
    read: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    defaults = {name: value if isinstance(value, str) else name for name, value in variables.items()}
    Settings.read(Recorder({**defaults, "MODEL_RETENTION": "container"}))

    assert {name for name in read if not name.startswith("AWS_LAMBDA_")} <= variables.keys()


def test_parameters_are_few_and_described() -> None:
    assert len(TEMPLATE["Parameters"]) <= 12
    for parameter in TEMPLATE["Parameters"].values():
        assert parameter["Description"]
        assert "Default" in parameter


def test_the_api_asks_for_iam_unless_a_parameter_says_jwt() -> None:
    assert TEMPLATE["Parameters"]["AuthMode"] == {
        **TEMPLATE["Parameters"]["AuthMode"],
        "Default": "iam",
        "AllowedValues": ["iam", "jwt"],
    }
    for route in of_type("AWS::ApiGatewayV2::Route").values():
        assert route["AuthorizationType"] == {"Fn::If": ["JwtAuth", "JWT", "AWS_IAM"]}


@pytest.mark.parametrize("bucket", of_type("AWS::S3::Bucket").items(), ids=lambda item: item[0])
def test_buckets_are_encrypted_private_and_speak_tls_alone(bucket: tuple[str, dict[str, Any]]) -> None:
    name, properties = bucket
    policies = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": name}]
    (statement,) = policies[0]["PolicyDocument"]["Statement"]

    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert properties["LifecycleConfiguration"]["Rules"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": [name, "Arn"]}, {"Fn::Sub": f"${{{name}.Arn}}/*"}]


def test_no_policy_of_a_function_is_wider_than_the_stack() -> None:
    for function in of_type("AWS::Serverless::Function").values():
        for policy in function["Policies"]:
            for statement in policy["Statement"]:
                said = json.dumps(statement)
                assert '"*"' not in said
                assert ':*"' not in json.dumps(statement["Action"])
                assert "AWS::StackName" in said or "Fn::GetAtt" in said


def test_the_workflow_retries_exactly_what_a_retry_can_cure_and_catches_all_that_a_task_can_raise() -> None:
    others = {"ColdswapError", "InternalError", "NotFound", *errors.family(errors.VideoError)}
    named = set(errors.family()) - others
    task = WORKFLOW["States"]["Swap"]

    assert set(task["Retry"][0]["ErrorEquals"]) == {name for name in named if errors.family()[name].retryable}
    assert set(task["Catch"][0]["ErrorEquals"]) == named
    assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_every_state_that_the_workflow_names_is_there() -> None:
    states = WORKFLOW["States"]
    named = {WORKFLOW["StartAt"], *(catch["Next"] for state in states.values() for catch in state.get("Catch", []))}

    assert named == states.keys()


def test_the_task_outlasts_the_function_and_the_workflow_the_task() -> None:
    function = of_type("AWS::Serverless::Function")["SwapFunction"]

    assert function["Timeout"] < WORKFLOW["States"]["Swap"]["TimeoutSeconds"] < WORKFLOW["TimeoutSeconds"]
