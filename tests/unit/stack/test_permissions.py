"""The functions may do exactly what their code does: every AWS call is permitted, and every permission is used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from layers.core.api_keys import key_id, name_id
from tests.support.templates import load_template

ROOT = Path(__file__).resolve().parents[3]
FUNCTIONS = {
    "SwapFunction": (
        "functions/swap",
        "layers/core",
        "layers/media",
        "layers/models/runtime/model_store.py",
        "layers/models/runtime/s3_download.py",
    ),
    "MovingFunction": (
        *("functions/swap/moving", "functions/swap/moving_app.py", "functions/swap/moving_run.py"),
        *("functions/swap/moving_end.py", "functions/swap/moving_records.py", "functions/swap/services.py"),
        *("functions/swap/results.py", "functions/swap/upload_outcomes.py", "functions/swap/inputs.py"),
        *("functions/swap/latent_cache.py", "functions/swap/source_face.py", "functions/swap/source_embedding.py"),
        *("functions/swap/safeguards", "layers/core/budget.py", "layers/core/secrets.py"),
        *("layers/core/operator_settings.py", "layers/media"),
        *("layers/models/runtime/model_store.py", "layers/models/runtime/s3_download.py"),
    ),
    "VideoFunction": ("functions/video", "layers/core", "layers/media"),
    "KeyAuthorizerFunction": ("functions/video/entry/authorizer.py", "layers/core/api_keys.py"),
    "ReleaseHook": ("functions/video/entry/release_hook.py",),
}
# Files that run in one function, wherever they lie.
ENTRIES = {ROOT / place for places in FUNCTIONS.values() for place in places if place.startswith("functions/video/")}
STORAGE = ROOT / "layers/core/storage.py"

# boto3's methods and the actions that they need (Service Authorization Reference).
CALLS = {
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "copy_object": {"s3:GetObject", "s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "list_objects_v2": {"s3:ListBucket"},
    "generate_presigned_url": {"s3:GetObject"},
    "generate_presigned_post": {"s3:PutObject"},
    "get_item": {"dynamodb:GetItem"},
    "batch_get_item": {"dynamodb:BatchGetItem"},
    "put_item": {"dynamodb:PutItem"},
    "update_item": {"dynamodb:UpdateItem"},
    "delete_item": {"dynamodb:DeleteItem"},
    "query": {"dynamodb:Query"},
    "transact_write_items": {"dynamodb:PutItem", "dynamodb:UpdateItem"},
    "scan": {"dynamodb:Scan"},
    "start_execution": {"states:StartExecution"},
    "describe_execution": {"states:DescribeExecution"},
    "stop_execution": {"states:StopExecution"},
    "invoke": {"lambda:InvokeFunction"},
    "put_lifecycle_event_hook_execution_status": {"codedeploy:PutLifecycleEventHookExecutionStatus"},
    "get_account_settings": {"lambda:GetAccountSettings"},
    "sign": {"kms:Sign"},
    "synthesize_speech": {"polly:SynthesizeSpeech"},
    "get_parameter": {"ssm:GetParameter"},
    # powertools' parameters utility and idempotency layer
    "SecretsProvider": {"secretsmanager:GetSecretValue"},
    "SSMProvider": {"ssm:GetParameter"},
    "DynamoDBPersistenceLayer": {
        "dynamodb:GetItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
    },
}
# Asked of nobody: without it S3 answers 403 where 404 is meant.
SILENT = {"s3:ListBucket"}


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """What is called or imported in a file, by its last name, and the last name of what it is called on."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                on = node.func.value
                yield node.func.attr, on.attr if isinstance(on, ast.Attribute) else getattr(on, "id", "")
        elif isinstance(node, ast.ImportFrom):
            yield from ((each.name, "") for each in node.names)


def storage_methods() -> dict[str, set[str]]:
    """The actions behind each method of Storage."""
    actions_of: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(STORAGE.read_text())):
        if isinstance(node, ast.ClassDef) and node.name == "Storage":
            for method in node.body:
                if isinstance(method, ast.FunctionDef):
                    inner = [each.attr for each in ast.walk(method) if isinstance(each, ast.Attribute)]
                    actions_of[method.name] = set().union(*(CALLS.get(name, set()) for name in inner))
    return actions_of


def needed(places: tuple[str, ...]) -> set[str]:
    """The actions that the code of these places uses."""
    storage, actions = storage_methods(), set()
    for place in places:
        path = ROOT / place
        for file in [path] if path.is_file() else path.rglob("*.py"):
            if file == STORAGE or (file in ENTRIES and file != path):
                continue
            for name, on in calls(file):
                if on.strip("_") == "storage":
                    actions |= storage.get(name, set())
                elif on != "requests":
                    actions |= CALLS.get(name, set())
    return actions


def allowed(function: str) -> set[str]:
    """The actions that the template permits."""
    properties = load_template(ROOT / "template.yaml")["Resources"][function]["Properties"]
    actions: set[str] = set()
    for policy in properties["Policies"]:
        for statement in policy["Statement"]:
            # One that depends on a parameter counts as there.
            named = statement["Fn::If"][1]["Action"] if "Fn::If" in statement else statement["Action"]
            actions |= {named} if isinstance(named, str) else set(named)
    return actions


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_call_is_permitted(function: str) -> None:
    assert needed(FUNCTIONS[function]) <= allowed(function)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_permission_is_used(function: str) -> None:
    assert allowed(function) - SILENT <= needed(FUNCTIONS[function])


def test_the_authoriser_reads_the_digests_of_keys_and_no_other_item_of_the_table() -> None:
    properties = load_template(ROOT / "template.yaml")["Resources"]["KeyAuthorizerFunction"]["Properties"]
    (statement,) = properties["Policies"][0]["Statement"]

    assert statement["Action"] == "dynamodb:GetItem"
    assert statement["Resource"] == {"Fn::GetAtt": ["StateTable", "Arn"]}
    assert statement["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [key_id("*")]}}


@pytest.mark.parametrize("function", ["SwapFunction", "MovingFunction", "VideoFunction"])
def test_no_function_can_make_itself_an_api_key(function: str) -> None:
    policies = load_template(ROOT / "template.yaml")["Resources"][function]["Properties"]["Policies"]
    statements = [each for policy in policies for each in policy["Statement"] if "dynamodb:PutItem" in str(each)]

    assert [each["Condition"] for each in statements] == [
        {"ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": [key_id("*"), name_id("*")]}}
    ]


@pytest.mark.parametrize("function", ["SwapFunction", "MovingFunction", "VideoFunction"])
def test_no_key_in_kms_is_used_but_by_the_alias_of_the_stack(function: str) -> None:
    policies = load_template(ROOT / "template.yaml")["Resources"][function]["Properties"]["Policies"]
    statements = [each for policy in policies for each in policy["Statement"] if "kms:" in str(each)]

    assert [each["Condition"] for each in statements] == [
        {"StringEquals": {"kms:RequestAlias": {"Fn::Sub": "alias/${AWS::StackName}-signing"}}}
    ]


def test_every_kind_of_client_is_known_here() -> None:
    """A service that is not among CALLS would go unnoticed."""
    services = set()
    for folder in ("functions", "layers"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "client":
                    services |= {each.value for each in node.args if isinstance(each, ast.Constant)}

    usual = {"s3", "dynamodb", "stepfunctions", "secretsmanager", "ssm", "kms", "lambda", "codedeploy"}
    assert services <= {*usual, "polly"}
