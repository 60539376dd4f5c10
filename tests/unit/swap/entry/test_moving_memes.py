"""A meme that moves, from every caller: to the workflow, through its steps, and to its end."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from functions.swap import cost, moving_app
from functions.swap.moving import steps
from functions.swap.moving_run import STACK
from functions.swap.moving_state import MovingState
from layers.core import http_fetch
from layers.core.budget import Budget
from layers.core.errors import AtCapacity, BudgetSpent, MovingMeme, NoFaceInMeme, NotFound, StorageFailed
from layers.core.fair_share import Sandboxes
from layers.core.telemetry import logger
from layers.media.moving.kinds import sniff_moving
from tests.support.plain_gifs import write_gif
from tests.unit.media.moving.test_video import EVEN
from tests.unit.media.moving.test_video import encode as encode_video
from tests.unit.swap.entry_clients import HttpResult, http, invoke, upload_event
from tests.unit.swap.fake_stack import MOVING_ARN, OUTPUTS, UPLOADS, FakeContext, FakeSwapStack, drawing

MEME = {"meme": f"s3://{UPLOADS}/requests/1/moving"}
EXECUTION = MOVING_ARN.replace(":stateMachine:", ":execution:")


@cache
def meme() -> bytes:
    """A GIF of three frames with two people."""
    frames = [drawing(2, 400, 200, 0.6) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame[:10, :10] = 60 * number  # so that they differ
    return write_gif(frames)


@pytest.fixture
def stack() -> FakeSwapStack:
    world = FakeSwapStack()
    world.storage.put(UPLOADS, "requests/1/moving", meme())
    return world


class Workflow:
    """What the state machine does, of which the steps are called here by hand."""

    def __init__(self, stack: FakeSwapStack, patch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        patch.setattr(moving_app, "load_services", lambda: stack.services)

    def step(self, name: str, **payload: Any) -> Any:
        return moving_app.handler(json.loads(json.dumps({"step": name, **payload})), FakeContext())

    def run(self, swap: str) -> Any:
        """From the first step to the last."""
        output = self.step("analyse", input={"swap": swap}, execution=f"{EXECUTION}:{swap}")
        if output["next"] == "swap":
            for chunk in output["chunks"]:
                self.step("swap", swap=swap, chunk=chunk)
            return self.step("compose", swap=swap)
        return output["result"] if output["next"] == "over" else self.step("finish", swap=swap)

    def end(self, status: str, started: Any, execution: str = "1", **detail: Any) -> None:
        """EventBridge tells that an execution ended badly (Step Functions' developer guide has the examples).

        An input of None is one that was too large for the event.
        """
        about = {
            "executionArn": f"{EXECUTION}:{execution}",
            "stateMachineArn": MOVING_ARN,
            "name": execution,
            "status": status,
            "startDate": 1795885200225,
            "stopDate": 1795885205351,
            "input": None if started is None else json.dumps(started),
            "inputDetails": {"included": started is not None},
            "output": None,
            "outputDetails": None,
            "error": None,
            "cause": None,
        }
        event = {
            "version": "0",
            "id": "315c1398-40ff-a850-213b-158f73e60175",
            "detail-type": moving_app.EXECUTION_EVENT,
            "source": "aws.states",
            "account": "123456789012",
            "time": "2026-11-28T17:00:05Z",
            "region": "eu-west-1",
            "resources": [f"{EXECUTION}:{execution}"],
            "detail": {**about, **detail},
        }
        moving_app.handler(json.loads(json.dumps(event)), FakeContext())


@pytest.fixture
def workflow(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> Workflow:
    return Workflow(stack, monkeypatch)


def state_of(stack: FakeSwapStack, name: str) -> MovingState:
    state = stack.records.items[name].moving
    assert state is not None
    return state


def outputs(stack: FakeSwapStack) -> set[str]:
    return {key for bucket, key in stack.storage.objects if bucket == OUTPUTS}


def test_it_is_answered_202_and_ends_as_a_swap(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    response = http(stack, monkeypatch, body=MEME)

    name = response.body["id"]
    assert (response.status, response.body["status"]) == (202, "queued")
    assert response.headers["location"] == f"/swap/{name}"
    assert json.loads(stack.moving_machine.executions[name]["input"]) == {"swap": name}
    before = http(stack, monkeypatch, "GET", f"/swap/{name}").body
    assert (before["stage"], before["progress"]) == ("queued", {"done": 0, "total": 0, "unit": "frames"})

    assert workflow.run(name) == {"swap": name}, "what a history keeps for 90 days"

    done = http(stack, monkeypatch, "GET", f"/swap/{name}").body
    assert done["status"] == "succeeded"
    assert done["cost"]["gb_seconds"] > 0
    assert [face["swapped"] for face in done["result"]["faces"]] == [True, True]
    assert [person["times"] for person in done["result"]["people"]] == [[{"start": 0.0, "end": 0.2}]] * 2
    assert outputs(stack) == {f"swaps/{name}.gif"}, "no work file is left"
    assert sniff_moving(stack.storage.objects[OUTPUTS, f"swaps/{name}.gif"].data) == "gif"


def test_between_the_steps_it_tells_how_far_it_is(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    name = http(stack, monkeypatch, body=MEME).body["id"]
    output = workflow.step("analyse", input={"swap": name}, execution="")
    assert http(stack, monkeypatch, "GET", f"/swap/{name}").body["progress"] == {
        "done": 0,
        "total": 6,
        "unit": "face_frames",
    }

    for chunk in output["chunks"]:
        workflow.step("swap", swap=name, chunk=chunk)

    body = http(stack, monkeypatch, "GET", f"/swap/{name}").body
    assert (body["status"], body["stage"], body["progress"]["done"]) == ("running", "swapping", 6)


def test_who_did_what_with_which_pictures_is_in_the_log_as_for_stills(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.storage.put(UPLOADS, "requests/1/moving", meme())
    swap = http(stack, monkeypatch, body={**MEME, "consent": "an actor's contract"}).body["id"]
    listing = http(stack, monkeypatch, path="/faces", body=MEME).body["id"]
    stream = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", stream)
    capsys.readouterr()

    workflow.run(listing)
    workflow.run(swap)

    log = [json.loads(line) for line in stream.getvalue().splitlines()]
    digest = hashlib.sha256(meme()).hexdigest()
    (listed,) = (line for line in log if line.get("message") == "faces listed")
    assert (listed["digests"], listed["caller"], listed["faces"]) == ({"meme": digest}, "1", 2)
    (swapped,) = (line for line in log if line.get("message") == "moving meme swapped")
    result = hashlib.sha256(stack.storage.objects[OUTPUTS, f"swaps/{swap}.gif"].data).hexdigest()
    assert (swapped["caller"], swapped["consent"]) == ("1", "an actor's contract")
    assert (swapped["digests"]["meme"], swapped["digests"]["result"]) == (digest, result)
    assert swapped["correlation_id"] == swap
    assert '"Swapped":[2.0]' in capsys.readouterr().out, "the metric"


def test_the_same_key_is_the_same_swap(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = (http(stack, monkeypatch, body=MEME, idempotency_key="k") for _ in range(2))

    assert (first.status, again.status) == (202, 202)
    assert first.body["id"] == again.body["id"]
    assert len(stack.moving_machine.executions) == 1


def post(stack: FakeSwapStack, patch: pytest.MonkeyPatch, uri: str) -> str:
    return str(http(stack, patch, body={"meme": uri}).body["id"])


def post_for_later(stack: FakeSwapStack, patch: pytest.MonkeyPatch, uri: str) -> str:
    name = str(http(stack, patch, body={"meme": uri}, prefer="respond-async").body["id"])
    invoke(stack, {"swap": name}, patch)
    return name


def list_people(stack: FakeSwapStack, patch: pytest.MonkeyPatch, uri: str) -> str:
    return str(http(stack, patch, path="/faces", body={"meme": uri}).body["id"])


@pytest.mark.parametrize("ask", [post, post_for_later, list_people])
@pytest.mark.parametrize("kind", ["a GIF", "a video"])
def test_what_a_url_names_is_fetched_once_and_stored(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., str], kind: str
) -> None:
    content = meme() if kind == "a GIF" else encode_video("a.mp4", EVEN)
    fetched: list[str] = []

    def fetch_into(file: Any, url: str, **_: Any) -> None:
        fetched.append(url)
        for start in range(0, len(content), 4096):
            file.write(content[start : start + 4096])

    monkeypatch.setattr(http_fetch, "fetch_into", fetch_into)

    name = ask(stack, monkeypatch, "https://me.example/a")

    record = stack.records.items[name]
    (key,) = record.inputs
    assert key.startswith("requests/1/")
    assert record.request is not None
    assert record.request["meme"] == f"s3://{UPLOADS}/{key}", "what the steps read"
    assert stack.storage.objects[UPLOADS, key].data == content
    assert fetched == ["https://me.example/a"]
    assert http(stack, monkeypatch, "DELETE", f"/results/{name}").status == 200
    assert (UPLOADS, key) not in stack.storage.objects


def test_what_a_request_holds_is_stored(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name = post(stack, monkeypatch, f"data:image/gif;base64,{base64.b64encode(meme()).decode()}")

    record = stack.records.items[name]
    (key,) = record.inputs
    assert record.request is not None
    assert record.request["meme"] == f"s3://{UPLOADS}/{key}"
    assert stack.storage.objects[UPLOADS, key].data == meme()


def by_prefer(stack: FakeSwapStack, patch: pytest.MonkeyPatch) -> str:
    name = str(http(stack, patch, body=MEME, prefer="respond-async").body["id"])
    assert invoke(stack, {"swap": name}, patch) == {"swap": name}, "the workflow of stills hands it over"
    return name


def by_prediction(stack: FakeSwapStack, patch: pytest.MonkeyPatch) -> str:
    response = http(stack, patch, path="/v1/predictions", body={"input": MEME}, prefer="wait")
    assert (response.status, response.body["status"]) == (201, "starting")
    return str(response.body["id"])


@pytest.mark.parametrize("ask", [by_prefer, by_prediction])
def test_who_asks_in_other_ways_gets_the_same_work(
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    workflow: Workflow,
    ask: Callable[[FakeSwapStack, pytest.MonkeyPatch], str],
) -> None:
    name = ask(stack, monkeypatch)
    assert name in stack.moving_machine.executions

    workflow.run(name)

    prediction = http(stack, monkeypatch, "GET", f"/v1/predictions/{name}").body
    assert prediction["status"] == "succeeded"
    assert f"swaps/{name}.gif" in prediction["output"]


def test_people_are_listed_and_are_nothing_that_a_swap_s_path_knows(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    response = http(stack, monkeypatch, path="/faces", body=MEME)
    location = response.headers["location"]
    assert (response.status, location) == (202, f"/faces/{response.body['id']}")
    assert http(stack, monkeypatch, "GET", location).body["status"] == "queued"

    workflow.run(response.body["id"])

    done = http(stack, monkeypatch, "GET", location).body
    assert [person["index"] for person in done["result"]["people"]] == [0, 1]
    assert http(stack, monkeypatch, "GET", location.replace("faces", "swap")).status == 404
    assert http(stack, monkeypatch, "DELETE", location.replace("faces", "results")).status == 200
    assert http(stack, monkeypatch, "GET", location).status == 410


@pytest.mark.parametrize("after", ["analyse", "swap"])
def test_a_swap_that_is_deleted_stops_and_leaves_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, after: str
) -> None:
    name = http(stack, monkeypatch, body=MEME).body["id"]
    workflow.step("analyse", input={"swap": name}, execution="")
    if after == "swap":
        workflow.step("swap", swap=name, chunk=0)

    assert http(stack, monkeypatch, "DELETE", f"/results/{name}").status == 200

    assert stack.moving_machine.executions[name]["status"] == "ABORTED"
    assert outputs(stack) == set()
    assert (UPLOADS, "requests/1/moving") not in stack.storage.objects
    for step in ("swap", "compose"):
        with pytest.raises(NotFound):
            workflow.step(step, swap=name, chunk=0)
    workflow.end("ABORTED", {"swap": name})
    assert outputs(stack) == set()
    assert http(stack, monkeypatch, "GET", f"/swap/{name}").status == 410


def test_a_result_that_comes_after_its_deletion_is_deleted(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    name = http(stack, monkeypatch, body=MEME).body["id"]
    compose = steps.compose

    def delete_meanwhile(*arguments: Any, **options: Any) -> Any:
        outcome = compose(*arguments, **options)
        stack.records.delete(name, "1")
        return outcome

    monkeypatch.setattr(steps, "compose", delete_meanwhile)

    with pytest.raises(NotFound):
        workflow.run(name)

    assert outputs(stack) == set()


def failed(response: HttpResult) -> tuple[str, str]:
    return response.body["status"], response.body["problem"]["code"]


# As Lambda, Step Functions and whoever stops an execution name what happened, and what the caller is told.
LAMBDA_SAYS = json.dumps({"errorMessage": "No face was found.", "errorType": "NoFaceInMeme", "stackTrace": ["secret"]})
KILLED = "RequestId: 1 Error: Runtime exited with error: signal: killed"
ENDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "an error of ours": ("FAILED", {"error": "NoFaceInMeme", "cause": LAMBDA_SAYS}, "no_face_in_meme"),
    "an error of ours with its sentence": ("FAILED", {"error": "BudgetSpent", "cause": "Too much."}, "budget_spent"),
    "the whole execution's time-out": ("TIMED_OUT", {}, "out_of_time"),
    "somebody stopped it": ("ABORTED", {"error": "Cancelled", "cause": "The swap was deleted."}, "not_found"),
    "an operator stopped it": ("ABORTED", {}, "not_found"),
    "a definition that breaks": ("FAILED", {"error": "States.Runtime", "cause": "secret"}, "internal_error"),
    "an expression that breaks": ("FAILED", {"error": "States.QueryEvaluationError", "cause": "x"}, "internal_error"),
    "an output that is too large": ("FAILED", {"error": "States.DataLimitExceeded", "cause": "x"}, "internal_error"),
    "no permission": ("FAILED", {"error": "Lambda.AccessDeniedException", "cause": "secret"}, "internal_error"),
    "killed for its memory": ("FAILED", {"error": "Runtime.OutOfMemory", "cause": KILLED}, "internal_error"),
    "killed in another way": ("FAILED", {"error": "Runtime.ExitError", "cause": KILLED}, "internal_error"),
    "a function's time-out": ("FAILED", {"error": "Sandbox.Timedout", "cause": "1 timed out"}, "out_of_time"),
    "a task's time-out": ("FAILED", {"error": "States.Timeout"}, "out_of_time"),
    "throttled for too long": ("FAILED", {"error": "Lambda.TooManyRequestsException"}, "at_capacity"),
    "nothing said": ("FAILED", {}, "internal_error"),
}


@pytest.mark.parametrize("end", ENDS)
def test_whatever_ends_a_workflow_the_reason_is_where_the_caller_looks(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, end: str
) -> None:
    status, detail, code = ENDS[end]
    swap = http(stack, monkeypatch, body=MEME).body["id"]
    listing = http(stack, monkeypatch, path="/faces", body=MEME).body["id"]
    uploaded = upload(stack, monkeypatch, meme())
    stack.storage.put(OUTPUTS, f"work/swaps/{swap}/meme", b"left by a step")

    for name in (swap, listing, uploaded, swap):
        workflow.end(status, {"swap": name}, execution=name, **detail)

    for path in (f"/swap/{swap}", f"/faces/{listing}"):
        response = http(stack, monkeypatch, "GET", path)
        assert failed(response) == ("failed", code)
        assert response.body["problem"]["instance"] == path
        assert "secret" not in json.dumps(response.body), "a history's text may hold anything"
    problem = stack.storage.json("failed/a.gif.json")
    assert (problem["code"], problem["will_be_retried"]) == (code, False)
    assert outputs(stack) == {"failed/a.gif.json"}


def test_the_first_reason_stays(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow) -> None:
    name = http(stack, monkeypatch, body=MEME).body["id"]
    output = workflow.step("fail", input={"swap": name}, execution="", error="Runtime.OutOfMemory", cause="secret")
    assert output["error"] == "InternalError"

    workflow.end("FAILED", {"swap": name}, error="NoFaceInMeme", cause="")

    response = http(stack, monkeypatch, "GET", f"/swap/{name}")
    assert failed(response) == ("failed", "internal_error")
    assert "secret" not in json.dumps(response.body)


def test_the_end_of_an_execution_whose_input_was_too_large_to_be_told_clears_away(
    stack: FakeSwapStack, workflow: Workflow
) -> None:
    name = workflow.step("analyse", input=MEME, execution=f"{EXECUTION}:mine")["swap"]
    assert outputs(stack)

    workflow.end("TIMED_OUT", None, execution="mine")

    assert outputs(stack) == set()
    assert stack.records.items[name].error == "OutOfTime"


def test_an_end_that_cannot_be_recorded_is_kept_and_recorded_later(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    """Lambda tries an event again, and then makes it a dead letter, only if it raises."""
    name = upload(stack, monkeypatch, meme())
    stack.storage.failures["write", "failed/"] = StorageFailed()
    with pytest.raises(StorageFailed):
        workflow.end("TIMED_OUT", {"swap": name})

    stack.storage.failures.clear()
    workflow.end("TIMED_OUT", {"swap": name})

    assert stack.storage.json("failed/a.gif.json")["code"] == "out_of_time"


@pytest.mark.parametrize("how", ["deleted", "timed out"])
def test_a_step_that_outlives_its_workflow_leaves_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, how: str
) -> None:
    name = http(stack, monkeypatch, body=MEME).body["id"]
    workflow.step("analyse", input={"swap": name}, execution="")
    swap = stack.models.swapper.run

    def end_meanwhile(*arguments: Any) -> Any:
        if how == "deleted":
            http(stack, monkeypatch, "DELETE", f"/results/{name}")
        else:
            workflow.end("TIMED_OUT", {"swap": name})
        return swap(*arguments)

    monkeypatch.setattr(stack.models.swapper, "run", end_meanwhile)
    with pytest.raises(NotFound):
        workflow.step("swap", swap=name, chunk=0)

    assert outputs(stack) == set()


def upload(stack: FakeSwapStack, patch: pytest.MonkeyPatch, data: bytes, sequencer: str = "01") -> str:
    """Upload a meme, and tell of it; the id of the work that was queued last."""
    stack.storage.put(UPLOADS, "memes/a.gif", data)
    assert invoke(stack, upload_event("memes/a.gif", sequencer=sequencer), patch) == {"outcomes": ["swapped/a.gif"]}
    return list(stack.moving_machine.executions)[-1]


def test_an_upload_ends_with_its_result_and_what_is_said_of_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    name = upload(stack, monkeypatch, meme())
    for sequencer in ("01", "02"):  # S3 tells of an object at least once
        invoke(stack, upload_event("memes/a.gif", sequencer=sequencer), monkeypatch)
    assert list(stack.moving_machine.executions) == [name]
    assert outputs(stack) == set()

    workflow.run(name)
    del stack.storage.objects[OUTPUTS, "swapped/a.gif.json"]  # as if the last step had been killed before it wrote it
    workflow.step("compose", swap=name)

    assert outputs(stack) == {"swapped/a.gif", "swapped/a.gif.json"}
    outcome = stack.storage.json("swapped/a.gif.json")
    assert (outcome["key"], outcome["frames"]) == ("swapped/a.gif", 3)
    assert outcome["upload_etag"]
    assert "url" not in outcome


def test_an_upload_that_cannot_be_swapped_ends_with_the_reason(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    plain = write_gif([np.full((80, 80, 3), 40 * number, np.uint8) for number in range(3)])
    name = upload(stack, monkeypatch, plain)

    with pytest.raises(NoFaceInMeme) as caught:
        workflow.run(name)
    workflow.step("fail", input={"swap": name}, execution="", error="NoFaceInMeme", cause=str(caught.value))

    assert outputs(stack) == {"failed/a.gif.json"}
    outcome = stack.storage.json("failed/a.gif.json")
    assert (outcome["code"], outcome["will_be_retried"]) == ("no_face_in_meme", False)


def test_an_event_that_was_overtaken_starts_nothing(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = upload(stack, monkeypatch, meme(), "02")

    assert invoke(stack, upload_event("memes/a.gif", sequencer="01"), monkeypatch) == {"outcomes": ["swapped/a.gif"]}

    assert list(stack.moving_machine.executions) == [newer]


def test_a_step_that_was_killed_goes_on_from_where_it_was(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    name = http(stack, monkeypatch, body=MEME).body["id"]
    workflow.step("analyse", input={"swap": name}, execution="")
    stack.storage.failures["write", "swaps/"] = StorageFailed()
    with pytest.raises(StorageFailed):
        workflow.step("finish", swap=name)
    done = len(stack.models.swapper.crops)
    reads = stack.storage.reads.count(f"{UPLOADS}/requests/1/moving")

    stack.storage.failures.clear()
    workflow.step("finish", swap=name)

    assert len(stack.models.swapper.crops) == done == 6, "each face-frame once"
    assert stack.storage.reads.count(f"{UPLOADS}/requests/1/moving") == reads
    assert http(stack, monkeypatch, "GET", f"/swap/{name}").body["status"] == "succeeded"


def test_an_upload_that_is_replaced_leaves_the_outcome_of_the_newer_one(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    older = upload(stack, monkeypatch, meme(), "01")
    workflow.step("analyse", input={"swap": older}, execution="")
    newer = upload(stack, monkeypatch, meme(), "02")
    assert older != newer
    workflow.run(newer)

    with pytest.raises(NotFound):
        workflow.step("finish", swap=older)
    workflow.step("fail", input={"swap": older}, execution="", error="NotFound", cause="")

    assert outputs(stack) == {"swapped/a.gif", "swapped/a.gif.json"}


@pytest.fixture
def sandboxes(stack: FakeSwapStack, dynamodb: Any, table: str) -> Sandboxes:
    stack.step_sandboxes = Sandboxes(table, 900, lambda: 4, lambda: dynamodb)
    return stack.step_sandboxes


def test_steps_count_as_their_caller_s_and_wait_while_others_ask(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, sandboxes: Sandboxes
) -> None:
    name = http(stack, monkeypatch, body=MEME).body["id"]
    workflow.step("analyse", input={"swap": name}, execution="")
    for running in range(2):
        sandboxes.enter("1", f"another step {running}")
    sandboxes.enter("somebody else", "a still picture")

    with pytest.raises(AtCapacity):
        workflow.step("swap", swap=name, chunk=0)
    assert not stack.models.swapper.crops

    sandboxes.leave("1", "another step 0")
    workflow.step("swap", swap=name, chunk=0)
    sandboxes.enter("1", "another step 0")
    output = workflow.step("fail", input={"swap": name}, execution="", error="AtCapacity", cause="")
    assert output["error"] == "AtCapacity", "why it failed is recorded all the same"


def test_uploads_together_count_as_one_caller(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, sandboxes: Sandboxes
) -> None:
    name = upload(stack, monkeypatch, meme())
    for running in range(2):
        sandboxes.enter(STACK, f"of another upload {running}")
    sandboxes.enter("1", "a still picture")

    with pytest.raises(AtCapacity):
        workflow.step("analyse", input={"swap": name}, execution="")


def test_a_meme_is_charged_for_its_frames_and_for_its_faces_once_each(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow, dynamodb: Any, table: str
) -> None:
    """Each unit of frames is 40 megapixels, of faces four of them, and the first one is everybody's."""
    monkeypatch.setattr(cost, "FRAME_PIXELS_PER_UNIT", 80_000)  # one frame of this meme
    stack.budget = Budget(table, cost.UNIT, lambda: 100, lambda: dynamodb)

    def spent() -> int:
        items = dynamodb.scan(TableName=table)["Items"]
        return sum(int(item["spent"]["N"]) for item in items if item["id"]["S"].startswith("budget#"))

    name = http(stack, monkeypatch, body=MEME).body["id"]
    assert spent() == 1
    stack.storage.failures["write", f"work/swaps/{name}/crops"] = StorageFailed()
    with pytest.raises(StorageFailed):
        workflow.step("analyse", input={"swap": name}, execution="")
    assert spent() == 1 + 3 + 6 // cost.FACES_PER_UNIT, "before anything is swapped"

    stack.storage.failures.clear()
    workflow.run(name)

    assert spent() == 1 + 3 + 6 // cost.FACES_PER_UNIT, "a retry pays nothing"


@pytest.mark.parametrize(("limit", "needs"), [(3, "This request needs 3"), (4, "This request needs 1")])
def test_a_budget_that_does_not_last_ends_the_swap_before_it_begins(
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    workflow: Workflow,
    dynamodb: Any,
    table: str,
    limit: int,
    needs: str,
) -> None:
    monkeypatch.setattr(cost, "FRAME_PIXELS_PER_UNIT", 80_000)
    stack.budget = Budget(table, cost.UNIT, lambda: limit, lambda: dynamodb)
    name = http(stack, monkeypatch, body=MEME).body["id"]

    with pytest.raises(BudgetSpent, match=needs) as caught:
        workflow.run(name)
    workflow.step("fail", input={"swap": name}, execution="", error="BudgetSpent", cause=str(caught.value))

    assert failed(http(stack, monkeypatch, "GET", f"/swap/{name}")) == ("failed", "budget_spent")
    assert (stack.models.swapper.crops, outputs(stack)) == ([], set())


def test_a_task_names_the_state_machine_which_takes_the_same_request(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, workflow: Workflow
) -> None:
    with pytest.raises(MovingMeme, match=MOVING_ARN):
        invoke(stack, MEME, monkeypatch)

    started = {**MEME, "key": "swaps/of-a-workflow/1"}
    output = workflow.step("analyse", input=started, execution=f"{EXECUTION}:mine")
    again = workflow.step("analyse", input=started, execution=f"{EXECUTION}:mine")
    assert again["swap"] == output["swap"], "a step may run twice"
    result = workflow.run(output["swap"])

    assert (result["key"], result["frames"]) == ("swaps/of-a-workflow/1.gif", 3)
    assert outputs(stack) == {"swaps/of-a-workflow/1.gif"}


def test_a_bomb_is_refused_before_anything_is_queued(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    huge = meme()[:6] + b"\xff\xff\xff\xff" + meme()[10:]
    stack.storage.put(UPLOADS, "requests/1/moving", huge)

    assert http(stack, monkeypatch, body=MEME).body["code"] == "picture_too_large"

    assert not stack.moving_machine.executions


def test_what_could_not_be_started_is_not_owed(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.moving_machine.failure = StorageFailed()

    assert http(stack, monkeypatch, body=MEME).body["code"] == "storage_failed"

    assert not stack.records.items
