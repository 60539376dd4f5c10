"""Expressions of the workflows, evaluated."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.templates import load_template

ROOT = Path(__file__).resolve().parents[3]
SWAP = load_template(ROOT / "functions/swap/swap.asl.yaml")["States"]
VIDEO = load_template(ROOT / "functions/video/short_video.asl.yaml")["States"]

LAMBDA_S = json.dumps(
    {
        "errorMessage": 'No face was found in "C:\\memes". \u00dcber\n',
        "errorType": "NoFaceInMeme",
        "stackTrace": ['  File "/var/task/functions/swap/app.py", line 57, in task\n    {"errorMessage": 1}'],
    }
)
CAUSES = {
    LAMBDA_S: 'No face was found in "C:\\memes". \u00dcber\n',
    json.dumps({"errorMessage": "Ends here.", "stackTrace": ["x" * 99]})[:60]: "Ends here.",  # cut off
    '{"errorMessage": "cut off within the sen': "",
    '{"errorMessage": null, "errorType": "NotFound"}': "",
    "not JSON at all": "",
    "": "",
}


REFUSED = [{"Error": "NoFaceInMeme", "Cause": cause} for cause in CAUSES] + [{"Error": "OutOfTime"}]
FAILED = [{"Error": "States.Timeout"}, {"Error": "NoFootage", "Cause": LAMBDA_S}]


@pytest.fixture(scope="module")
def causes() -> list[Any]:
    """What the workflows make of the causes above, in their order. Fails where an expression has no value."""
    refused = {"expression": SWAP["Refused"]["Output"]["cause"]}
    failed = {"expression": VIDEO["Fail"]["Arguments"]["Payload"]["cause"]}
    evaluations = [*({**refused, "input": each} for each in REFUSED), *({**failed, "input": each} for each in FAILED)]
    done = subprocess.run(
        [ROOT / ".venv-cloud/bin/python", Path(__file__).with_name("evaluate.py")],
        input=json.dumps(evaluations),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    values: list[Any] = json.loads(done.stdout)
    return values


def test_a_refused_swap_tells_its_sentence_and_none_where_its_cause_is_cut_off_or_missing(causes: list[Any]) -> None:
    assert causes[: len(REFUSED)] == [*CAUSES.values(), ""]


def test_a_video_that_ends_without_a_cause_fails_all_the_same(causes: list[Any]) -> None:
    assert causes[len(REFUSED) :] == ["", LAMBDA_S]
