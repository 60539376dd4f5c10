"""The workflow for batches: that it keeps to what Step Functions allows, and what ten thousand memes would cost.

Nothing here runs on AWS: quotas and prices are those of its documents (Step Functions' developer guide, "Service
quotas"; the price lists of us-east-1), and the history is counted from the definition.
"""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.swap.batch import steps
from functions.swap.batch.values import LONGEST_SECONDS, MAX_MEMES, TOLERATED_PERCENT
from functions.swap.moving_state import DOLLARS_PER_GB_SECOND
from functions.swap.services import MAX_BATCH_ROOM, NEW_ACCOUNT_CONCURRENCY, batch_room
from functions.swap.settings import Settings
from functions.swap.swap_records import MOVING_OVERDUE_SECONDS
from layers.core import errors
from tools.template import load_template

ROOT = Path(__file__).resolve().parents[3]
RESOURCES = load_template(ROOT / "template.yaml")["Resources"]
BATCH = load_template(ROOT / "functions/swap/batch.asl.yaml")
MOVING = load_template(ROOT / "functions/swap/moving.asl.yaml")
MAP = BATCH["States"]["Memes"]
CHILD = MAP["ItemProcessor"]["States"]

HISTORY_EVENTS = 25_000  # of one execution
PAYLOAD_BYTES = 256 * 1024  # of a state's input or output
KEY_BYTES = 1024  # of S3
CAUSE_CHARS = 32_768  # of an error (API reference, HistoryEvent)
PAGE_KEYS = 1000  # of ListObjectsV2
TRANSITION_DOLLARS = 0.000025
WARM_SECONDS = 1.6  # of a swap: docs/operations.md has 0.05 dollars for a thousand
GB = 1769 / 1024


def tasks(states: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, state in states.items():
        if state["Type"] == "Task":
            yield name, state
        if "ItemProcessor" in state:
            yield from tasks(state["ItemProcessor"]["States"])


def events(state: dict[str, Any], failures: int = 0) -> int:
    """What a state adds to a history: entered and left, and three for each try of a task."""
    own = {"Task": 3 * (1 + failures), "Map": 2, "Fail": -1, "Succeed": 0}
    return 2 + own.get(state["Type"], 0)


def tries(state: dict[str, Any]) -> int:
    """The most failures of a task that are retried."""
    return sum(retry["MaxAttempts"] for retry in state["Retry"])


def looks(seconds: float) -> int:
    """How often a child looks at a moving meme that takes so long."""
    least, most = steps.LOOK_SECONDS
    count, age = 0, 0.0
    while age < seconds:
        age += round(max(least, min(most, age / 4)))
        count += 1
    return count


def test_every_step_has_the_retry_of_the_other_workflow_and_outlasts_the_function() -> None:
    timeout = RESOURCES["SwapFunction"]["Properties"]["Timeout"]
    (retry,) = {json.dumps(task["Retry"]) for _, task in tasks(BATCH["States"])}
    moving = MOVING["States"]["Fail"]["Retry"]

    assert moving == json.loads(retry)
    assert sorted(task["Arguments"]["Payload"]["step"] for _, task in tasks(BATCH["States"])) == sorted(steps.STEPS)
    for name, task in tasks(BATCH["States"]):
        assert task["Arguments"]["FunctionName"] == "${SwapFunctionArn}", name
        assert timeout < task["TimeoutSeconds"] < BATCH["TimeoutSeconds"] == LONGEST_SECONDS, name
    assert Settings.input_seconds >= LONGEST_SECONDS, "no upload is older than a run may be"


def test_what_every_meme_would_end_with_is_not_retried_and_counts_against_what_is_tolerated() -> None:
    retried = {name for retry in CHILD["Swap"]["Retry"] for name in retry["ErrorEquals"]}

    assert not retried & {kind.__name__ for kind in steps.COMMON_ERRORS}
    assert {kind.__name__ for kind in steps.COMMON_ERRORS} >= {
        name
        for name, kind in errors.family().items()
        if kind.fault and not kind.retryable and name not in errors.family(errors.VideoError)
    }
    assert MAP["ToleratedFailurePercentage"] == TOLERATED_PERCENT
    assert [(each["ErrorEquals"], each["Next"]) for each in CHILD["Swap"]["Catch"]] == [(["States.ALL"], "GiveUp")]
    assert [(each["ErrorEquals"], each["Next"]) for each in MAP["Catch"]] == [(["States.ALL"], "Pause")]


def test_a_throttled_account_is_waited_for_before_a_meme_is_given_up() -> None:
    (retry,) = (each for each in CHILD["Swap"]["Retry"] if "Lambda.TooManyRequestsException" in each["ErrorEquals"])
    waits = [min(retry["MaxDelaySeconds"], retry["IntervalSeconds"] * retry["BackoffRate"] ** n) for n in range(25)]

    assert retry["MaxAttempts"] == 25
    assert sum(waits) / 2 > 600, "ten minutes in the mean"


def test_memes_are_read_by_pages_and_each_is_an_execution_that_may_last_for_hours() -> None:
    assert MAP["ItemReader"]["Resource"].endswith(":states:::s3:listObjectsV2")
    assert MAP["ItemReader"]["ReaderConfig"] == {"MaxItems": MAX_MEMES}
    assert MAP["ItemReader"]["Arguments"] == {"Bucket": "${UploadsBucket}", "Prefix": "{% $states.input.prefix %}"}
    assert MAP["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert MAP["MaxConcurrency"] == "{% $states.input.room %}"


@pytest.mark.parametrize(
    ("sandboxes", "room"), [(NEW_ACCOUNT_CONCURRENCY, 5), (1, 1), (0, 1), (900, 450), (10_000, MAX_BATCH_ROOM)]
)
def test_a_batch_leaves_half_of_the_account_s_room_to_others(sandboxes: int, room: int) -> None:
    assert batch_room(sandboxes) == room


def test_every_way_leads_to_a_state_that_is_there_and_every_state_has_a_way() -> None:
    for start, states in ((BATCH["StartAt"], BATCH["States"]), (MAP["ItemProcessor"]["StartAt"], CHILD)):
        ways = [way for state in states.values() for name in ("Catch", "Choices") for way in state.get(name, [])]
        named = {each["Next"] for each in (*ways, *states.values()) if "Next" in each}
        named |= {state["Default"] for state in states.values() if "Default" in state}
        assert named | {start} == states.keys()
        for state in states.values():
            assert "Next" in state or state.get("End") or state["Type"] in ("Choice", "Fail", "Succeed")


def test_the_role_may_list_uploads_start_memes_and_watch_them_and_no_more() -> None:
    properties = RESOURCES["BatchStateMachine"]["Properties"]
    invoke, own, _ = properties["Policies"]
    arn = "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}"

    assert invoke == {"LambdaInvokePolicy": {"FunctionName": {"Ref": "SwapFunction"}}}
    assert properties["Name"] == {"Fn::Sub": "${AWS::StackName}-batch"}
    assert {each["Sid"]: (each["Action"], each["Resource"]) for each in own["Statement"]} == {
        "ListMemes": ("s3:ListBucket", {"Fn::GetAtt": ["UploadsBucket", "Arn"]}),
        "StartMemes": ("states:StartExecution", {"Fn::Sub": f"{arn}:stateMachine:${{AWS::StackName}}-batch"}),
        "WatchAndStopMemes": (
            ["states:DescribeExecution", "states:StopExecution"],
            [{"Fn::Sub": f"{arn}:execution:${{AWS::StackName}}-batch{of}:*"} for of in ("", f"/{MAP['Label']}")],
        ),
    }


def test_a_bad_end_of_a_batch_is_settled_or_kept() -> None:
    function = RESOURCES["SwapFunction"]["Properties"]
    rule = function["Events"]["BatchEnded"]["Properties"]

    assert rule["Pattern"]["detail"] == {
        "stateMachineArn": [function["Environment"]["Variables"]["BATCH_MACHINE_ARN"]],
        "status": ["FAILED", "TIMED_OUT", "ABORTED"],
    }
    assert rule["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["FailedUploads", "Arn"]}}


def evaluate(expression: str, given: Any) -> Any:
    done = subprocess.run(
        [ROOT / ".venv-cloud/bin/python", Path(__file__).with_name("evaluate.py")],
        input=json.dumps([{"expression": expression, "input": each} for each in given]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def test_a_report_is_written_with_and_without_a_fault_and_a_time_out_has_no_cause() -> None:
    arguments = BATCH["States"]["Report"]["Arguments"]["Payload"]
    given = [{}, {"fault": {"Error": "States.Timeout"}}, {"fault": {"Error": "E", "Cause": "c"}}]

    assert evaluate(arguments["error"], given) == ["", "States.Timeout", "E"]
    assert evaluate(arguments["cause"], given) == ["", "", "c"]


def test_whatever_finds_memes_by_the_index_waits_until_it_has_caught_up() -> None:
    states = BATCH["States"]
    for step in ("report", "clear"):
        (name,) = (name for name, task in tasks(states) if task["Arguments"]["Payload"]["step"] == step)
        before = [state for state in states.values() if state.get("Next") == name]
        assert [(each["Type"], each["Seconds"]) for each in before] == [("Wait", 3)], step
    assert [each["Next"] for each in states["Which"]["Choices"]] == ["PauseBeforeClear"]


def test_the_history_of_a_batch_does_not_grow_with_its_memes_and_that_of_a_meme_ends_well_below_the_limit() -> None:
    states = BATCH["States"]
    way = ["Which", "Open", "Memes", "Pause", "Report", "HowItEnded", "Done"]
    parent = 2 + sum(events(states[name], tries(states[name]) if "Retry" in states[name] else 0) for name in way)

    longest = looks(MOVING_OVERDUE_SECONDS)
    look = events(CHILD["Swap"]) + events(CHILD["IsOver"]) + events(CHILD["Wait"])
    ends = events(CHILD["Swap"], tries(CHILD["Swap"])) + events(CHILD["GiveUp"], tries(CHILD["GiveUp"]))
    meme = 2 + longest * look + ends + events(CHILD["Failed"])

    assert parent < 1300
    assert 130 < longest < 160
    assert meme < 2500 <= HISTORY_EVENTS / 10
    # Every part of a batch that is deleted is a look of its own; a part is a hundred memes at the very least.
    clear = events(states["Clear"]) + events(states["IsClear"])
    assert 2 + events(states["PauseBeforeClear"]) + MAX_MEMES / 100 * clear < HISTORY_EVENTS / 10


def test_no_payload_comes_near_its_limit_however_long_a_key_or_a_cause_is() -> None:
    key = json.dumps("\x01" * KEY_BYTES)  # six characters for each byte
    child = len(key) + len(json.dumps({"batch": "x" * 36, "run": 9999, "next": "wait", "seconds": 60}))
    fault = len(json.dumps({"Error": "x" * 256, "Cause": '"' * CAUSE_CHARS}))
    answers = (len(json.dumps(CHILD["Over"]["Output"])) + 1) * MAX_MEMES

    assert CHILD["Over"]["Output"] == {}
    assert child + fault < PAYLOAD_BYTES / 3
    assert answers < PAYLOAD_BYTES / 8


def reckon(memes: int, room: int) -> dict[str, float]:
    """What a batch of stills costs and lasts."""
    transitions = memes * (1 + len(["Swap", "IsOver", "Over"]))
    pages = 2 * math.ceil(memes / PAGE_KEYS)  # counted by the API, then read by the Map
    requests = memes * 12  # to the table: each about as dear as a write of one unit
    return {
        "hours": memes * WARM_SECONDS / room / 3600,
        "lambda": memes * (WARM_SECONDS * GB * DOLLARS_PER_GB_SECOND + 0.2e-6),
        "step functions": transitions * TRANSITION_DOLLARS,
        "table": requests * 0.625e-6,
        "storage": (memes * 2 + pages) * 5e-6,
    }


def test_ten_thousand_stills_cost_and_last_what_the_page_for_operators_says() -> None:
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    paragraph = next(" ".join(part.split()) for part in text.split("\n\n") if part.startswith("**Ten thousand memes**"))
    new, grown = reckon(MAX_MEMES, batch_room(NEW_ACCOUNT_CONCURRENCY)), reckon(MAX_MEMES, batch_room(1000))
    dollars = {name: value for name, value in new.items() if name != "hours"}

    assert grown["hours"] * 60 == pytest.approx(0.53, abs=0.05)
    for words in (
        f"{new['hours']:.1f} hours",
        f"{grown['hours'] * 3600:.0f} seconds",
        f"{dollars['lambda']:.2f} dollars",
        f"{dollars['step functions']:.2f}",
        f"{sum(dollars.values()):.2f} dollars in all",
        f"{2 * MAX_MEMES // PAGE_KEYS} pages",
    ):
        assert words in paragraph, words
