"""What is printed for the first request, and its models. tests/integration/test_deploy.py runs the lines."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from layers.core.terms import VERSION
from tests.support.templates import load_template
from tests.unit.tools.aws import Client, refusal
from tools import first_request
from tools.stack import ROOT

TEMPLATE = load_template(ROOT / "template.yaml")
MODES = TEMPLATE["Parameters"]["AuthMode"]["AllowedValues"]


@pytest.mark.parametrize("auth_mode", MODES)
def test_every_line_is_one_that_a_shell_takes(auth_mode: str) -> None:
    lines = [line for _, line in first_request.list_steps("https://api", "eu-west-1", auth_mode)]

    subprocess.run(["sh", "-n", "-c", "\n".join(lines)], check=True)
    assert not any("\n" in line or "#" in line for line in lines), "one line each, and zsh takes no comments"


@pytest.mark.parametrize("auth_mode", MODES)
def test_terms_are_accepted_before_a_face_is_swapped_and_a_picture_comes_last(auth_mode: str) -> None:
    steps = first_request.list_steps("https://api", "eu-west-1", auth_mode)
    lines = "\n".join(line for _, line in steps)

    assert lines.index(f'https://api/terms -d \'{{"version": "{VERSION}"}}\'') < lines.index("https://api/swap")
    assert "-o swapped.jpg" in steps[-1][1]


@pytest.mark.parametrize(
    ("auth_mode", "credentials"),
    [
        ("iam", "--aws-sigv4 aws:amz:eu-west-1:execute-api"),
        ("jwt", "Authorization: Bearer $TOKEN"),
        ("key", "x-api-key: $KEY"),
    ],
)
def test_a_call_has_what_the_api_asks_for(auth_mode: str, credentials: str) -> None:
    (call,) = [line for _, line in first_request.list_steps("https://api", "eu-west-1", auth_mode) if "call()" in line]

    assert credentials in call


def test_a_key_is_one_of_the_environment_s_stack() -> None:
    assert "make -s key NAME=first ENV=staging" in str(first_request.list_steps("https://api", "r", "key", "staging"))


@pytest.mark.parametrize("token", [None, "a/token+of='quotes'"])
def test_credentials_are_those_that_boto3_finds_and_no_token_is_left_of_others(token: str | None) -> None:
    frozen = SimpleNamespace(access_key="ID", secret_key="s3/cr+t", token=token)
    session = SimpleNamespace(get_credentials=lambda: SimpleNamespace(get_frozen_credentials=lambda: frozen))

    script = f"{first_request.format_credentials(session)}\nenv -0"
    shell = subprocess.run(
        ["sh", "-c", script],
        env={"AWS_SESSION_TOKEN": "stale", "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    variables = dict(line.split("=", 1) for line in shell.stdout.split("\0") if "=" in line)

    assert variables["AWS_ACCESS_KEY_ID"] == "ID"
    assert variables["AWS_SECRET_ACCESS_KEY"] == "s3/cr+t"
    assert variables.get("AWS_SESSION_TOKEN") == token


def test_without_credentials_it_says_how_to_get_some() -> None:
    with pytest.raises(ValueError, match="Sign in"):
        first_request.format_credentials(SimpleNamespace(get_credentials=lambda: None))


def test_the_demo_pack_is_built_in_the_image_that_sam_made() -> None:
    metadata = TEMPLATE["Resources"]["SwapFunction"]["Metadata"]
    command = first_request.build_container_command(Path("/scratch"))

    assert command[-1] == f"swapfunction:{metadata['DockerTag']}"
    assert command[command.index("--network") + 1] == "none"
    assert "/scratch:/scratch" in command
    assert f"{ROOT / 'layers/models'}:/opt/python/layers/models:ro" in command


class Denied(Client):
    def head_object(self, **_: Any) -> None:
        raise refusal("403", status=403)


def test_whether_a_pack_is_in_use_has_to_be_known() -> None:
    with pytest.raises(Exception, match="403"):
        first_request.publish_demo_pack(Denied(), "bucket", lambda folder: pytest.fail("built all the same"))


def test_deploying_needs_neither_numpy_nor_onnx() -> None:
    """Nor what else the functions and the demo need: its environment has sam and boto3."""
    heavy = ("numpy", "onnx", "onnxruntime", "cv2", "aws_lambda_powertools", "pydantic", "PIL")
    program = f"import sys\nfor name in {heavy}: sys.modules[name] = None\nimport tools.deploy, tools.api_keys"

    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_the_pictures_are_there_and_small_enough_for_a_request() -> None:
    for path in (first_request.MEME, first_request.FACE):
        assert 0 < (ROOT / path).stat().st_size < 100_000  # bytes
    assert shlex.quote(first_request.MEME) == first_request.MEME
