"""What the local cloud changes in a template, and that it changes nothing else."""

from __future__ import annotations

import copy
import io
import json
import stat
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from local import template_rewrite
from tools.template import load_template, merge_globals

ROOT = Path(__file__).resolve().parents[3]
CODE = ("code", "bootstrap.zip")


def test_short_forms_become_long_ones(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("""
a: !Ref Bucket
b: !GetAtt Queue.Arn
c: !Sub "${AWS::StackName}-x"
d: !If [Condition, !Ref A, !Ref AWS::NoValue]
e: !Not [!Equals [!Ref A, ""]]
f: !Sub
  - "${x}"
  - x: !Ref B
""")

    assert load_template(path) == {
        "a": {"Ref": "Bucket"},
        "b": {"Fn::GetAtt": ["Queue", "Arn"]},
        "c": {"Fn::Sub": "${AWS::StackName}-x"},
        "d": {"Fn::If": ["Condition", {"Ref": "A"}, {"Ref": "AWS::NoValue"}]},
        "e": {"Fn::Not": [{"Fn::Equals": [{"Ref": "A"}, ""]}]},
        "f": {"Fn::Sub": ["${x}", {"x": {"Ref": "B"}}]},
    }


@pytest.fixture
def template() -> dict[str, Any]:
    return {
        "Resources": {
            "Swap": {
                "Type": "AWS::Serverless::Function",
                "Metadata": {"Dockerfile": "functions/swap/Dockerfile"},
                "Properties": {
                    "PackageType": "Image",
                    "ImageConfig": {"Command": ["package.module.handler"]},
                    "MemorySize": 1769,
                    "Environment": {"Variables": {"TRUSTED_ORIGINS": "", "STATE_TABLE": {"Ref": "StateTable"}}},
                },
            },
            "Workflow": {
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {"DefinitionUri": "flow.asl.yaml", "DefinitionSubstitutions": {"A": "b"}},
            },
            "Route": {
                "Type": "AWS::ApiGatewayV2::Route",
                "Properties": {"RouteKey": "$default", "AuthorizationType": "AWS_IAM", "AuthorizerId": {"Ref": "Jwt"}},
            },
            "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "b"}},
        }
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "flow.asl.yaml").write_text("StartAt: A\nStates: {A: {Type: Succeed}}\n")
    return tmp_path


def test_an_image_function_runs_its_handler_from_the_sources(template: dict[str, Any], root: Path) -> None:
    function = template_rewrite.rewrite(template, root, CODE, {"TRUSTED_ORIGINS": "http://127.0.0.1:1"})["Resources"][
        "Swap"
    ]

    assert function == {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Runtime": "provided.al2023",
            "Handler": "package.module.handler",
            "CodeUri": {"Bucket": "code", "Key": "bootstrap.zip"},
            "MemorySize": 1769,
            "Environment": {
                "Variables": {"TRUSTED_ORIGINS": "http://127.0.0.1:1", "STATE_TABLE": {"Ref": "StateTable"}}
            },
        },
    }


def test_a_workflow_brings_its_definition(template: dict[str, Any], root: Path) -> None:
    workflow = template_rewrite.rewrite(template, root, CODE, {})["Resources"]["Workflow"]

    assert workflow["Properties"] == {
        "Definition": {"StartAt": "A", "States": {"A": {"Type": "Succeed"}}},
        "DefinitionSubstitutions": {"A": "b"},
    }


def test_a_throttled_function_is_waited_for_by_the_emulator_s_name_too(template: dict[str, Any], root: Path) -> None:
    retry = "Retry: [{ErrorEquals: [Lambda.TooManyRequestsException]}, {ErrorEquals: [Lambda.Unknown]}]"
    (root / "flow.asl.yaml").write_text(f"StartAt: A\nStates: {{A: {{Type: Task, {retry}}}}}\n")

    flow = template_rewrite.rewrite(template, root, CODE, {})["Resources"]["Workflow"]["Properties"]["Definition"]

    assert flow["States"]["A"]["Retry"] == [
        {"ErrorEquals": ["Lambda.TooManyRequestsException", "Lambda.Unknown"]},
        {"ErrorEquals": ["Lambda.Unknown"]},
    ]


def test_a_nested_stack_is_fetched_from_where_the_local_cloud_puts_its_template(
    template: dict[str, Any], root: Path
) -> None:
    template["Resources"]["Nested"] = {
        "Type": "AWS::CloudFormation::Stack",
        "Properties": {"TemplateURL": "nested.yaml", "Parameters": {"Table": {"Ref": "StateTable"}}},
    }

    nested = template_rewrite.rewrite(template, root, CODE, {}, "http://127.0.0.1:1/code")["Resources"]["Nested"]

    assert nested["Properties"] == {
        "TemplateURL": "http://127.0.0.1:1/code/nested.yaml",
        "Parameters": {"Table": {"Ref": "StateTable"}},
    }


def test_globals_are_merged_into_functions_as_sam_does(template: dict[str, Any], root: Path) -> None:
    template["Globals"] = {
        "Function": {
            "Tracing": {"Fn::FindInMap": ["A", "B", "C"]},
            "MemorySize": 128,
            "Environment": {"Variables": {"TRUSTED_ORIGINS": "all", "STATE_TABLE": "none", "SHARED": {"Ref": "X"}}},
        }
    }

    rewritten = template_rewrite.rewrite(template, root, CODE, {})

    assert "Globals" not in rewritten
    properties = rewritten["Resources"]["Swap"]["Properties"]
    assert (properties["Tracing"], properties["MemorySize"]) == ({"Fn::FindInMap": ["A", "B", "C"]}, 1769)
    variables = {"TRUSTED_ORIGINS": "", "STATE_TABLE": {"Ref": "StateTable"}, "SHARED": {"Ref": "X"}}
    assert properties["Environment"]["Variables"] == variables


def test_globals_of_the_project_s_own_template_are_merged_as_sam_s_translator_does() -> None:
    template = load_template(ROOT / "template.yaml")
    script = (
        "import json, sys; from samtranslator.plugins.globals.globals import Globals;"
        "template = json.load(sys.stdin); every = Globals(template);"
        "print(json.dumps({name: every.merge('AWS::Serverless::Function', each['Properties'])"
        " for name, each in template['Resources'].items() if each['Type'] == 'AWS::Serverless::Function'}))"
    )
    by_sam = subprocess.run(
        [ROOT / ".venv-cloud/bin/python", "-c", script],
        input=json.dumps(template),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    merged = json.loads(by_sam.stdout)
    assert len(merged) == 5
    resources = merge_globals(template)["Resources"]
    assert merged == {name: resources[name]["Properties"] for name in merged}


def test_the_rest_and_the_given_template_stay_as_they_are(template: dict[str, Any], root: Path) -> None:
    before = copy.deepcopy(template)

    rewritten = template_rewrite.rewrite(template, root, CODE, {"A": "b"})

    assert template == before
    for name in ("Route", "Bucket"):
        assert rewritten["Resources"][name] == before["Resources"][name]


def test_a_function_that_is_no_image_is_refused(template: dict[str, Any], root: Path) -> None:
    template["Resources"]["Swap"]["Properties"]["PackageType"] = "Zip"

    with pytest.raises(ValueError, match="image"):
        template_rewrite.rewrite(template, root, CODE, {})


def test_the_bootstrap_runs_the_runtime_client_on_the_handler(tmp_path: Path) -> None:
    root, python = tmp_path / "with a space", tmp_path / "it's python"
    root.mkdir()
    python.write_text('#!/bin/sh\necho "$PYTHONPATH|$*"\n')
    python.chmod(0o755)

    with zipfile.ZipFile(io.BytesIO(template_rewrite.build_bootstrap(root, python))) as archive:
        (entry,) = archive.infolist()
        script = tmp_path / "bootstrap"
        script.write_bytes(archive.read(entry))
    mode = entry.external_attr >> 16
    script.chmod(mode)

    assert entry.filename == "bootstrap"
    assert mode & stat.S_IXUSR
    result = subprocess.run([script], env={"_HANDLER": "a.b.handler"}, capture_output=True, text=True, check=True)
    assert result.stdout == f"{root}|-m awslambdaric a.b.handler\n"


def test_the_project_s_own_template_is_rewritten_whole() -> None:
    rewritten = template_rewrite.rewrite(load_template(ROOT / "template.yaml"), ROOT, CODE, {})

    for resource in rewritten["Resources"].values():
        assert "ImageConfig" not in resource.get("Properties", {})
        assert "DefinitionUri" not in resource.get("Properties", {})


DISTRIBUTED = """
QueryLanguage: JSONata
StartAt: Each
States:
  Each:
    Type: Map
    ItemReader:
      Resource: arn:aws:states:::s3:listObjectsV2
      ReaderConfig: {MaxItems: 7}
      Arguments: {Bucket: uploads, Prefix: "{% $states.input.prefix %}"}
    ItemSelector: {batch: "{% $states.input.batch %}", key: "{% $states.context.Map.Item.Value.Key %}"}
    MaxConcurrency: "{% $states.input.room %}"
    ToleratedFailurePercentage: 20
    ItemProcessor:
      ProcessorConfig: {Mode: DISTRIBUTED, ExecutionType: STANDARD}
      StartAt: One
      States: {One: {Type: Pass, Output: "{% $states.input.key %}", End: true}}
    Output: "{% $states.input %}"
    Catch:
      - {ErrorEquals: [States.ALL], Next: End, Output: "{% $merge([$states.input, {'fault': $states.errorOutput}]) %}"}
    Next: End
  End: {Type: Succeed}
"""


def test_a_distributed_map_s_own_fields_are_written_in_json_path_and_its_states_stay(
    template: dict[str, Any], root: Path
) -> None:
    (root / "flow.asl.yaml").write_text(DISTRIBUTED)

    machine = template_rewrite.rewrite(template, root, CODE, {})["Resources"]["Workflow"]["Properties"]["Definition"]

    before, each = load_template(root / "flow.asl.yaml")["States"]["Each"], machine["States"]["Each"]
    changed = {name for name in before.keys() | each.keys() if before.get(name) != each.get(name)}
    assert changed == {"QueryLanguage", "ItemReader", "ItemSelector", "MaxConcurrency", "Output", "Catch"}
    assert each["QueryLanguage"] == "JSONPath"
    assert each["ResultPath"] is None, "it hands on its input"
    assert each["ItemReader"]["Parameters"] == {"Bucket": "uploads", "Prefix.$": "$.prefix"}
    assert each["ItemReader"]["ReaderConfig"] == {"MaxItems": 7}
    assert each["ItemSelector"] == {"batch.$": "$.batch", "key.$": "$$.Map.Item.Value.Key"}
    assert each["MaxConcurrency"] > 0
    assert each["Catch"] == [{"ErrorEquals": ["States.ALL"], "Next": "End", "ResultPath": "$.fault"}]


@pytest.mark.parametrize(
    ("expression", "other"),
    [
        ("{% $states.input.prefix %}", "{% $uppercase($states.input.prefix) %}"),
        ('Output: "{% $states.input %}"', 'Output: "{% $states.result %}"'),
        ("{'fault': $states.errorOutput}", "{'error': $states.errorOutput}"),
    ],
)
def test_a_distributed_map_that_json_path_cannot_say_is_refused(
    template: dict[str, Any], root: Path, expression: str, other: str
) -> None:
    (root / "flow.asl.yaml").write_text(DISTRIBUTED.replace(expression, other))

    with pytest.raises(ValueError, match=r"a Distributed Map|no path"):
        template_rewrite.rewrite(template, root, CODE, {})
