"""samconfig.toml as people write it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.templates import load_template
from tests.unit.tools.aws import ACCOUNT, REGION
from tools.stack import BUCKETS, ROOT, format_overrides, list_bucket_names, read_parameters

TEMPLATE = load_template(ROOT / "template.yaml")


def config(folder: Path, overrides: str) -> Path:
    path = folder / "samconfig.toml"
    path.write_text(f"[default.deploy.parameters]\n{overrides}\n")
    return path


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("", {}),
        ('parameter_overrides = ""', {}),
        ('parameter_overrides = "AuthMode=key MemorySize=3008"', {"AuthMode": "key", "MemorySize": "3008"}),
        ("""parameter_overrides = 'DefaultFace="s3://b/my face.png"'""", {"DefaultFace": "s3://b/my face.png"}),
        ("""parameter_overrides = ["AuthMode=key", 'DefaultFace="a b"']""", {"AuthMode": "key", "DefaultFace": "a b"}),
        ('parameter_overrides = ["DefaultFace=https://a/?x=1"]', {"DefaultFace": "https://a/?x=1"}),
        ('parameter_overrides = {AuthMode = "key", MemorySize = 3008}', {"AuthMode": "key", "MemorySize": "3008"}),
    ],
)
def test_parameters_are_read_from_a_string_a_list_or_a_table(
    written: str, read: dict[str, str], tmp_path: Path
) -> None:
    assert read_parameters("default", config(tmp_path, written)) == read


@pytest.mark.parametrize("written", ["AuthMode", "AuthMode=iam AuthMode=key", "ParameterKey=A,ParameterValue=b"])
def test_what_names_no_parameter_is_refused(written: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must give each parameter once, as Name=value"):
        read_parameters("default", config(tmp_path, f'parameter_overrides = "{written}"'))


def test_values_with_blanks_and_quotes_reach_sam_whole() -> None:
    assert format_overrides({"A": "x/y@sha256:0", "B": "a b", "C": 'say "hi"', "D": ""}) == [
        "A=x/y@sha256:0",
        'B="a b"',
        'C="say \\"hi\\""',
        'D=""',
    ]


def test_buckets_have_the_names_that_the_template_gives_them() -> None:
    resources = TEMPLATE["Resources"].values()
    patterns = {each["Properties"]["BucketName"]["Fn::Sub"] for each in resources if each["Type"] == "AWS::S3::Bucket"}
    values = {"AWS::StackName": "coldswap", "AWS::AccountId": ACCOUNT, "AWS::Region": REGION}

    for name, value in values.items():
        patterns = {each.replace(f"${{{name}}}", value) for each in patterns}

    assert patterns == set(list_bucket_names("coldswap", ACCOUNT, REGION))
    assert len(BUCKETS) == 3


@pytest.mark.parametrize(
    ("variables", "target"),
    [
        ([], "--stack 'coldswap'"),
        (["ENV=staging"], "--stack 'coldswap-staging'"),
        (["ENV=staging", "STACK=mine"], "--stack 'mine'"),
        (["BUCKET=own"], "--bucket 'own'"),
    ],
)
def test_models_go_to_the_stack_of_the_environment(variables: list[str], target: str) -> None:
    command = [
        "make",
        "--dry-run",
        "--no-print-directory",
        "--assume-old=.venv/ready",
        f"PY={sys.executable}",
        "models",
        "ACCEPT=1",
        *variables,
    ]

    output = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert output.splitlines()[-1].endswith(f"publish --pack 'default' {target}")
