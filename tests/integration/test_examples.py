"""Examples that need no client of other people; tests/clients has the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from layers.media.xmp_label import SOURCE_TYPE, read_label
from local.cloud import ACCOUNT, ROOT
from local.swap_clients import wait_for_end
from tests.support.swap_client import SwapClient

MACHINE = ROOT / "examples/step_functions.asl.json"


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "Set TELEGRAM_TOKEN and API (examples/README.md).\n"),
        ({"TELEGRAM_TOKEN": "123:abc"}, "Set API (examples/README.md).\n"),
    ],
)
def test_a_bot_without_its_settings_says_which(environment: dict[str, str], sentence: str) -> None:
    program = [sys.executable, str(ROOT / "examples/telegram_bot.py")]
    bot = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=60)

    assert (bot.returncode, bot.stderr) == (1, sentence)


@pytest.fixture
def machine(stack: SwapClient) -> str:
    """The example as a state machine; its ARN."""
    definition = MACHINE.read_text(encoding="utf-8").replace(
        "${SwapFunctionName}", stack.cloud.outputs["SwapFunctionName"]
    )
    created = stack.cloud.client("stepfunctions").create_state_machine(
        name="example", definition=definition, roleArn=f"arn:aws:iam::{ACCOUNT}:role/example"
    )
    return str(created["stateMachineArn"])


def test_step_functions_swaps_a_list_and_passes_over_what_has_no_face(
    stack: SwapClient, machine: str, pictures: dict[str, Path]
) -> None:
    blank = bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1])
    memes = [stack.upload(each) for each in (pictures["works-on-my-machine"].read_bytes(), blank)]
    states = stack.cloud.client("stepfunctions")
    task = {"face": stack.upload(pictures["ruby"].read_bytes()), "memes": memes}

    arn = states.start_execution(stateMachineArn=machine, input=json.dumps(task))["executionArn"]

    ended = wait_for_end(states, arn)
    assert ended["status"] == "SUCCEEDED", ended
    key, nothing = json.loads(ended["output"])
    assert nothing is None
    assert read_label(stack.read_output(key) or b"") == SOURCE_TYPE
