"""Batches, from the request to the report, and what goes wrong on the way."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import replace
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError

from functions.swap import app, moving_app, pipeline
from functions.swap.batch import clearing, report, steps
from functions.swap.batch.values import Batch
from layers.core import errors
from layers.core.budget import Budget
from layers.core.errors import ColdswapError
from tests.attack.bombs import png
from tests.support.plain_gifs import write_gif
from tests.unit.swap.entry_clients import HttpResult, http, invoke
from tests.unit.swap.fake_batches import MemoryBatches
from tests.unit.swap.fake_stack import (
    BATCH_ARN,
    MOVING_ARN,
    OUTPUTS,
    UPLOADS,
    FakeContext,
    FakeSwapStack,
    drawing,
    encode,
)

FOLDER = "requests/1/batches/holidays/"
RETRIED = ("StorageFailed", "AtCapacity", "UpstreamFailed", "StorageFull", "OutOfTime", "StillRunning")


class World:
    """A stack, and what its state machine for batches does (batch.asl.yaml), by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.stack = FakeSwapStack()
        self.patch = patch
        patch.setattr(moving_app, "load_services", lambda: self.stack.services)

    @property
    def batches(self) -> MemoryBatches:
        return cast(MemoryBatches, self.stack.batches)

    def put(self, *names: str, data: bytes | None = None) -> None:
        for number, name in enumerate(names):
            picture = drawing()
            picture[:5, :5] = 10 * number  # so that no two are the same
            self.stack.storage.put(UPLOADS, f"{FOLDER}{name}", data or encode(picture))

    def post(self, **fields: Any) -> HttpResult:
        headers = {name: fields.pop(name) for name in ("idempotency_key",) if name in fields}
        return http(self.stack, self.patch, path="/batches", body={"batch": "holidays", **fields}, **headers)

    def get(self, name: str) -> HttpResult:
        return http(self.stack, self.patch, "GET", f"/batches/{name}")

    def delete(self, name: str) -> HttpResult:
        return http(self.stack, self.patch, "DELETE", f"/batches/{name}")

    def step(self, name: str, **payload: Any) -> Any:
        return invoke(self.stack, {"step": name, **payload}, self.patch)

    def open(self, name: str) -> Any:
        return self.step("open", execution="1", input=self.given(self.stack.batches.find(name)))

    def given(self, batch: Batch | None) -> Any:
        assert batch is not None
        return json.loads(self.stack.batch_machine.executions[batch.execution]["input"])

    def meme(self, opened: Any, key: str) -> str | None:
        """One child's way: the name of the error with which it fails, if it does."""
        about = {"batch": opened["batch"], "run": opened["run"], "key": key}
        for _ in range(3):
            try:
                while self.step("swap", **about)["next"] == "wait":
                    self.move()
                return None
            except ColdswapError as error:
                name, cause = type(error).__name__, json.dumps({"errorMessage": error.detail})
                if name not in RETRIED:
                    break
        ended = self.step("give_up", **about, error=name, cause=cause)
        return str(ended["error"])

    def move(self) -> None:
        """The workflows for moving memes go on to their end."""
        for name, execution in self.stack.moving_machine.executions.items():
            if execution["status"] == "RUNNING":
                execution["status"] = "SUCCEEDED"
                started = {"step": "analyse", "input": {"swap": name}, "execution": f"{MOVING_ARN}:{name}"}
                output = moving_app.handler(started, FakeContext())
                assert output is not None
                if output["next"] == "finish":
                    moving_app.handler({"step": "finish", "swap": name}, FakeContext())

    def run(self, name: str) -> Any:
        """A run, from the first step to the report; the batch as its owner sees it."""
        opened = self.open(name)
        keys = [key for page in self.stack.storage.list_keys(UPLOADS, opened["prefix"]) for key in page]
        faults = [fault for key in keys if (fault := self.meme(opened, key))]
        exceeded = len(faults) > len(keys) / 5
        error = {"error": "States.ExceedToleratedFailureThreshold"} if exceeded else {}
        self.step("report", batch=name, run=opened["run"], **error)
        return self.get(name).body

    def clear(self, name: str) -> None:
        while self.step("clear", batch=name)["next"] == "clear":
            pass

    def report(self, name: str) -> Any:
        return self.stack.storage.json(f"batches/{name}/report.json")

    def results(self) -> set[str]:
        return {key for bucket, key in self.stack.storage.objects if bucket == OUTPUTS and key.startswith("swaps/")}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def moving_meme() -> bytes:
    frames = [drawing(1, 200, 200, 0.6) for _ in range(2)]
    frames[1][:10, :10] = 60
    return write_gif(frames)


def test_a_form_of_a_batch_is_for_one_file_under_the_caller_s_own_prefix(world: World) -> None:
    forms = [http(world.stack, world.patch, path="/uploads", body={"batch": "holidays"}).body for _ in range(2)]

    keys = [form["fields"]["key"] for form in forms]
    assert all(key.startswith(FOLDER) and "/" not in key.removeprefix(FOLDER) for key in keys)
    assert len(set(keys)) == 2
    assert forms[0]["uri"] == f"s3://{UPLOADS}/{keys[0]}"
    assert http(world.stack, world.patch, path="/uploads").body["uri"].endswith("/upload"), "others are as they were"
    for name in ("", "../2", "a/b", "a" * 65):
        assert http(world.stack, world.patch, path="/uploads", body={"batch": name}).status == 400, name


def test_every_meme_of_a_batch_is_swapped_stills_and_moving_ones_and_the_report_tells_of_each(world: World) -> None:
    world.put("a", "b")
    world.put("c", data=moving_meme())

    response = world.post()

    name = response.body["id"]
    assert (response.status, response.body["status"]) == (202, "queued")
    assert response.headers["location"] == f"/batches/{name}"
    assert response.body["counts"] == {"done": 0, "failed": 0, "total": 3}
    assert world.given(world.batches.find(name)) == {"batch": name}, "all that a history keeps for 90 days"

    done = world.run(name)

    assert (done["status"], done["counts"]) == ("succeeded", {"done": 3, "failed": 0, "total": 3})
    assert done["cost"]["gb_seconds"] > 0
    assert done["report"] == f"https://{OUTPUTS}.example/batches/{name}/report.json?for=3600"
    report = world.report(name)
    assert [meme["upload"] for meme in report["memes"]] == [f"{FOLDER}{each}" for each in "abc"]
    assert [meme["status"] for meme in report["memes"]] == ["succeeded"] * 3
    assert {meme["key"] for meme in report["memes"]} == world.results()
    assert [meme["key"].rpartition(".")[2] for meme in report["memes"]] == ["png", "png", "gif"]
    each = http(world.stack, world.patch, "GET", f"/swap/{report['memes'][0]['swap']}").body
    assert each["status"] == "succeeded", "a result like any other"


def test_a_poisoned_meme_harms_no_other_and_the_report_says_what_was_wrong_with_it(world: World) -> None:
    world.put("a", "b")
    world.put("bomb", data=png(60_000, 60_000))
    world.put("text", data=b"no picture at all")
    world.put("nobody", data=encode(drawing(0)))
    name = world.post().body["id"]

    done = world.run(name)

    assert (done["status"], done["counts"]) == ("succeeded", {"done": 2, "failed": 3, "total": 5})
    codes = {meme["upload"].removeprefix(FOLDER): meme.get("code") for meme in world.report(name)["memes"]}
    assert codes == {
        "a": None,
        "b": None,
        "bomb": "picture_too_large",
        "text": "unsupported_picture",
        "nobody": "no_face_in_meme",
    }


def test_the_same_request_twice_is_one_batch_with_or_without_a_key(world: World) -> None:
    world.put("a")
    first = world.post()
    again = world.post()
    keyed = [world.post(idempotency_key="k") for _ in range(2)]
    other = world.post(quality=50)

    assert {each.body["id"] for each in (first, again, *keyed)} == {first.body["id"]}
    assert other.body["id"] != first.body["id"]
    assert len(world.stack.batch_machine.executions) == 2
    assert world.post(idempotency_key="k", quality=60).body["code"] == "idempotency_conflict"


def test_a_batch_that_could_not_be_started_is_started_by_the_same_request(world: World) -> None:
    world.put("a")
    world.stack.batch_machine.failure = EndpointConnectionError(endpoint_url="https://states.example")
    assert world.post(idempotency_key="k").body["code"] == "storage_failed"
    world.stack.batch_machine.failure = None

    name = world.post(idempotency_key="k").body["id"]

    assert world.run(name)["counts"] == {"done": 1, "failed": 0, "total": 1}


def test_a_restart_swaps_what_failed_what_was_replaced_and_what_is_new_and_nothing_else(world: World) -> None:
    world.put("a", "b", "c")
    world.put("d", data=b"no picture")
    name = world.post().body["id"]
    world.run(name)
    before = {meme["upload"]: meme["swap"] for meme in world.report(name)["memes"]}
    swapped = len(world.stack.models.swapper.crops)
    world.put("b", data=encode(drawing(1, 700, 500)))
    world.put("d", "e", data=encode(drawing(1, 650, 450)))

    again = world.post()
    done = world.run(name)

    assert (again.body["id"], again.body["status"]) == (name, "queued")
    assert len(world.stack.batch_machine.executions) == 2
    assert (done["status"], done["counts"]) == ("succeeded", {"done": 5, "failed": 0, "total": 5})
    assert len(world.stack.models.swapper.crops) == swapped + 3
    after = {meme["upload"]: meme["swap"] for meme in world.report(name)["memes"]}
    assert {key for key in before if before[key] == after[key]} == {f"{FOLDER}a", f"{FOLDER}c"}


def test_a_moving_meme_that_failed_is_tried_by_a_workflow_of_another_name(world: World) -> None:
    world.put("a", data=moving_meme())
    name = world.post().body["id"]
    opened = world.open(name)
    about = {"batch": name, "run": 1, "key": f"{FOLDER}a"}
    assert world.step("swap", **about)["next"] == "wait"
    ((first, execution),) = world.stack.moving_machine.executions.items()
    execution["status"] = "FAILED"
    moving_app.handler(
        {"step": "fail", "input": {"swap": first}, "error": "States.Timeout", "cause": ""}, FakeContext()
    )
    assert world.step("swap", **about) == {"next": "over"}
    world.step("report", batch=name, run=opened["run"])
    assert world.report(name)["memes"][0]["code"] == "out_of_time"

    world.post()
    done = world.run(name)

    assert done["counts"] == {"done": 1, "failed": 0, "total": 1}
    assert len(world.stack.moving_machine.executions) == 2


def test_a_child_that_is_killed_is_done_again_and_neither_counted_nor_paid_for_twice(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("a")
    paid: list[tuple[Any, ...]] = []
    monkeypatch.setattr(world.stack.budget, "spend", lambda *charge: paid.append(charge))
    name = world.post().body["id"]
    opened = world.open(name)
    about = {"batch": name, "run": opened["run"], "key": f"{FOLDER}a"}
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "swap", _killed)
        with pytest.raises(SystemExit):
            world.step("swap", **about)
    record = next(iter(world.stack.records.items.values()))
    assert record.status == "running"

    for _ in range(2):  # the second time because its answer was lost
        assert world.step("swap", **about) == {"next": "over"}

    assert (world.batches.batches[name].done, world.batches.batches[name].failed) == (1, 0)
    assert len(world.stack.models.swapper.crops) == 1
    assert {charge[2] for charge in paid if len(charge) > 2 and charge[2]} == {
        f"{record.id}#{item}" for item in ("upfront", "megapixels", "faces", "sources")
    }


def _killed(*_: Any, **__: Any) -> Any:
    raise SystemExit  # as no handler catches it


def test_a_throttled_account_makes_memes_wait_and_what_waits_too_long_can_be_restarted(world: World) -> None:
    world.put("a", "b")
    name = world.post().body["id"]
    opened = world.open(name)
    throttled = {"batch": name, "run": opened["run"], "error": "Lambda.TooManyRequestsException", "cause": ""}
    ended = [world.step("give_up", key=f"{FOLDER}{key}", **throttled) for key in "ab"]
    world.step("report", batch=name, run=1, error="States.ExceedToleratedFailureThreshold")

    assert [each["error"] for each in ended] == ["AtCapacity"] * 2
    state = world.get(name).body
    assert (state["status"], state["problem"]["code"]) == ("failed", "at_capacity")
    assert state["counts"] == {"done": 0, "failed": 2, "total": 2}
    world.post()
    assert world.run(name)["counts"] == {"done": 2, "failed": 0, "total": 2}


def test_a_pack_that_is_published_in_between_is_told_by_the_report(world: World) -> None:
    world.put("a", "b")
    name = world.post().body["id"]
    opened = world.open(name)
    assert world.meme(opened, f"{FOLDER}a") is None
    world.stack.models.manifest.pack = "next"
    world.stack.models.digests = {**world.stack.models.digests, "swapper": "6" * 64}
    assert world.meme(opened, f"{FOLDER}b") is None
    world.step("report", batch=name, run=1)

    packs = [meme["models"]["pack"] for meme in world.report(name)["memes"]]
    assert packs == ["toy", "next"]


def test_an_upload_that_is_deleted_between_listing_and_swap_fails_alone_and_one_that_is_replaced_is_swapped_as_it_is(
    world: World,
) -> None:
    world.put("a", "b", "c")
    name = world.post().body["id"]
    opened = world.open(name)
    world.stack.storage.delete(UPLOADS, f"{FOLDER}a")
    world.put("b", data=encode(drawing(2)))

    faults = [world.meme(opened, f"{FOLDER}{key}") for key in "abc"]
    world.step("report", batch=name, run=1)

    assert faults == [None] * 3
    memes = world.report(name)["memes"]
    assert [meme.get("code") for meme in memes] == ["input_not_found", None, None]
    assert [meme.get("faces") for meme in memes] == [None, 2, 1]


@pytest.mark.parametrize("error", [errors.ModelsMissing(), errors.SafeguardFailed(), errors.BudgetSpent()])
def test_a_fault_that_every_meme_would_have_ends_the_run_and_is_its_reason(
    world: World, monkeypatch: pytest.MonkeyPatch, error: ColdswapError
) -> None:
    world.put("a", "b")
    name = world.post().body["id"]

    def fail(*_: Any, **__: Any) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "swap", fail)
        done = world.run(name)

    assert (done["status"], done["problem"]["code"]) == ("failed", error.code)
    assert {meme["code"] for meme in world.report(name)["memes"]} == {error.code}


def test_a_batch_that_is_deleted_stops_leaves_nothing_and_may_be_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(world.stack.storage.objects)
    world.put("a", "b")
    face = f"data:image/png;base64,{base64.b64encode(encode(drawing())).decode()}"
    name = world.post(face=face).body["id"]
    world.put("c")
    world.meme(world.open(name), f"{FOLDER}a")
    world.stack.storage.write(OUTPUTS, f"batches/{name}/report.json", b"{}", "application/json")
    assert len(world.results()) == 1

    response = world.delete(name)

    assert (response.status, response.body) == (202, {"id": name, "status": "deleting"})
    assert world.get(name).body["status"] == "deleting"
    assert world.stack.batch_machine.executions[world.batches.batches[name].execution]["status"] == "ABORTED"
    assert world.step("swap", batch=name, run=1, key=f"{FOLDER}b") == {"next": "over"}, "nothing more is begun"
    world.clear(name)
    assert set(world.stack.storage.objects) == before
    assert world.get(name).body["code"] == "deleted"
    assert world.delete(name).body["code"] == "deleted"

    monkeypatch.setattr(world.batches, "_now", lambda: time.time() + 60)
    world.put("new")
    assert world.post(face=face).body["id"] == name, "the same request, and so the same batch"
    assert world.run(name)["counts"] == {"done": 1, "failed": 0, "total": 1}


def test_a_meme_that_was_being_swapped_while_its_batch_was_deleted_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("a")
    name = world.post().body["id"]
    world.open(name)
    swap = pipeline.swap

    def swap_while_deleted(*given: Any, **more: Any) -> Any:
        outcome = swap(*given, **more)
        world.batches.mark_deleting(name)
        return outcome

    monkeypatch.setattr(pipeline, "swap", swap_while_deleted)
    assert world.step("swap", batch=name, run=1, key=f"{FOLDER}a") == {"next": "over"}

    assert world.results() == set()
    assert world.stack.records.items == {}


def test_a_large_batch_is_deleted_in_parts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put("a", "b", "c")
    name = world.post().body["id"]
    world.run(name)
    world.delete(name)
    monkeypatch.setattr(clearing, "MARGIN_SECONDS", 1000.0)
    assert world.step("clear", batch=name) == {"next": "clear"}
    monkeypatch.setattr(clearing, "MARGIN_SECONDS", 1.0)
    assert world.step("clear", batch=name) == {"next": "over"}
    assert world.results() == set()


def test_uploads_that_nothing_was_made_of_are_deleted_in_parts_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("a", "b", "c")
    name = world.post().body["id"]
    world.delete(name)
    monkeypatch.setattr(clearing, "MARGIN_SECONDS", 1000.0)
    assert world.step("clear", batch=name) == {"next": "clear"}
    assert world.get(name).body["status"] == "deleting"
    monkeypatch.setattr(clearing, "MARGIN_SECONDS", 1.0)
    assert world.step("clear", batch=name) == {"next": "over"}
    assert not [key for page in world.stack.storage.list_keys(UPLOADS, FOLDER) for key in page]


def test_a_restart_has_the_face_that_came_with_the_request_though_uploads_are_gone_after_a_day(world: World) -> None:
    world.put("a")
    face = f"data:image/png;base64,{base64.b64encode(encode(drawing())).decode()}"
    name = world.post(face=face).body["id"]
    world.run(name)
    for page in list(world.stack.storage.list_keys(UPLOADS, "requests/1/")):
        for key in page:
            world.stack.storage.delete(UPLOADS, key)
    world.put("b")

    again = world.post(face=face)
    world.run(name)

    assert again.body["id"] == name
    statuses = {meme["upload"]: meme["status"] for meme in world.report(name)["memes"]}
    assert statuses == {f"{FOLDER}a": "succeeded", f"{FOLDER}b": "succeeded"}


def test_a_run_that_is_stopped_or_times_out_is_over_with_a_report(world: World) -> None:
    for status, code in (("ABORTED", "not_found"), ("TIMED_OUT", "out_of_time")):
        world.put(status)
        name = world.post(consent=status).body["id"]
        world.open(name)
        detail = {
            "status": status,
            "stateMachineArn": BATCH_ARN,
            "name": world.batches.batches[name].execution,
            "input": json.dumps({"batch": name}),
        }
        event = {"source": "aws.states", "detail-type": app.EXECUTION_EVENT, "detail": detail}

        assert invoke(world.stack, event, world.patch) is None

        assert (world.get(name).body["status"], world.get(name).body["problem"]["code"]) == ("failed", code)
        assert world.report(name)["memes"] == []


@pytest.mark.parametrize("text", [None, "null", "7", '["batch"]', '"clear"', '{"prefix": "campaign/"}'])
def test_an_execution_that_an_operator_started_and_that_ended_badly_is_no_fault_of_the_function(
    world: World, text: str | None
) -> None:
    # EventBridge gives no input that is too large for it (Step Functions' developer guide, "EventBridge payloads").
    detail = {"status": "ABORTED", "stateMachineArn": BATCH_ARN, "name": "mine", "input": text}
    event = {"source": "aws.states", "detail-type": app.EXECUTION_EVENT, "detail": detail}

    assert invoke(world.stack, event, world.patch) is None


def test_faults_of_memes_and_of_a_deletion_are_counted_once_and_refusals_never(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: list[str] = []
    for module in (steps, report):
        monkeypatch.setattr(module, "count_fault", lambda error, **_: faults.append(type(error).__name__))
    world.put("a", "b", "c", "d", "e", "f")
    world.put("text", data=b"no picture")
    name = world.post().body["id"]
    opened = world.open(name)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "swap", _break)
        assert world.meme(opened, f"{FOLDER}a") == "InternalError"
    for key in ("b", "c", "d", "e", "f", "text"):
        assert world.meme(opened, f"{FOLDER}{key}") is None
    world.step("report", batch=name, run=1)
    detail = {"status": "FAILED", "stateMachineArn": BATCH_ARN, "name": "1", "error": "StorageFailed"}
    detail["input"] = json.dumps({"batch": name, "clear": True})
    invoke(world.stack, {"source": "aws.states", "detail-type": app.EXECUTION_EVENT, "detail": detail}, world.patch)

    assert [fault for fault in faults if errors.family()[fault].fault] == ["InternalError", "StorageFailed"]


def _break(*_: Any, **__: Any) -> Any:
    raise KeyError("unforeseen")


def test_it_is_its_caller_s_alone(world: World) -> None:
    world.put("a")
    name = world.post().body["id"]
    ben = {"jwt": {"claims": {"iss": "https://issuer.example", "sub": "ben"}}}

    for method in ("GET", "DELETE"):
        response = http(world.stack, world.patch, method, f"/batches/{name}", authorizer=ben)
        assert (response.status, response.body["code"]) == (404, "not_found")
    missing = http(world.stack, world.patch, path="/batches", body={"batch": "holidays"}, authorizer=ben)
    assert missing.body["code"] == "input_not_found", "a name is each caller's own"


def test_a_budget_that_the_memes_would_exceed_is_told_before_anything_starts(world: World) -> None:
    checked: list[tuple[str | None, int]] = []

    class Small(Budget):
        def __init__(self) -> None:
            super().__init__("", "megapixels", lambda: 0, dict)

        def check(self, caller: str | None, amount: int) -> None:
            checked.append((caller, amount))
            raise errors.BudgetSpent

    world.put("a", "b")
    world.stack.budget = Small()

    assert world.post().body["code"] == "budget_spent"
    assert checked == [("1", 3)], "one for the request, and one for each meme"
    assert world.stack.batch_machine.executions == {}


def test_what_can_never_work_is_refused_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.post().body["code"] == "input_not_found"
    world.put("a", "b")
    assert world.post(face="ftp://x/y").body["code"] == "refused_url"
    assert world.post(meme="https://example.com/a.jpg").body["code"] == "invalid_request"
    monkeypatch.setattr("functions.swap.batch.submission.MAX_MEMES", 1)
    assert world.post().body["code"] == "invalid_request"
    world.stack.settings = replace(world.stack.settings, batch_machine_arn="")
    assert world.post().body["code"] == "invalid_request"
    assert world.stack.batch_machine.executions == {}


def test_an_operator_starts_the_workflow_with_a_prefix_of_theirs(world: World) -> None:
    for key in ("campaign/a.png", "campaign/b.png"):
        world.stack.storage.put(UPLOADS, key, encode(drawing()))
    world.stack.storage.put(UPLOADS, "campaign/", b"")  # the S3 console's folder

    opened = world.step("open", execution="monday", input={"prefix": "campaign/", "quality": 80})
    faults = [world.meme(opened, f"campaign/{key}") for key in ("", "a.png", "b.png")]
    world.step("report", batch=opened["batch"], run=opened["run"])

    assert faults == [None] * 3
    assert (opened["prefix"], opened["room"]) == ("campaign/", 5)
    assert world.report(opened["batch"])["counts"] == {"done": 2, "failed": 0, "total": 2}
    assert len(world.results()) == 2
    assert world.get(opened["batch"]).status == 404, "it is no caller's"
    again = world.step("open", execution="tuesday", input={"prefix": "campaign/", "quality": 80})
    assert (again["batch"], again["run"]) == (opened["batch"], 2), "a restart"


def ended(execution_input: Any, name: str, status: str = "ABORTED") -> dict[str, Any]:
    """An event as EventBridge sends it (Step Functions' developer guide, "Step Functions event examples")."""
    arn = f"{BATCH_ARN.replace(':stateMachine:', ':execution:')}:{name}"
    detail = {
        "executionArn": arn,
        "stateMachineArn": BATCH_ARN,
        "name": name,
        "status": status,
        "startDate": 1_551_225_271_984,
        "stopDate": 1_551_225_291_984,
        "input": json.dumps(execution_input),
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": None,
        "stateMachineVersionArn": None,
        "stateMachineAliasArn": None,
        "redriveCount": 0,
        "redriveDate": None,
        "redriveStatus": "REDRIVABLE",
        "redriveStatusReason": None,
        "error": None,
        "cause": None,
    }
    return {
        "version": "0",
        "id": "315c1398-40ff-a850-213b-158f73e60175",
        "detail-type": app.EXECUTION_EVENT,
        "source": "aws.states",
        "account": "123456789012",
        "time": "2019-02-26T19:42:21Z",
        "region": "us-east-1",
        "resources": [arn],
        "detail": detail,
    }


@pytest.mark.parametrize(("status", "code"), [("ABORTED", "not_found"), ("TIMED_OUT", "out_of_time")])
def test_a_batch_that_an_operator_stops_in_the_console_is_over_with_a_report(
    world: World, status: str, code: str
) -> None:
    operators_input = {"prefix": "campaign/", "quality": 80}
    for key in ("campaign/a.png", "campaign/b.png"):
        world.stack.storage.put(UPLOADS, key, encode(drawing()))
    opened = world.step("open", execution="monday", input=operators_input)
    world.meme(opened, "campaign/a.png")

    invoke(world.stack, ended(operators_input, "sunday", status), world.patch)
    assert world.batches.batches[opened["batch"]].status == "running", "that was an earlier execution"
    invoke(world.stack, ended(operators_input, "monday", status), world.patch)

    batch = world.batches.batches[opened["batch"]]
    assert (batch.status, errors.family()[batch.error].code, batch.done) == ("failed", code, 1)
    assert [meme["upload"] for meme in world.report(batch.id)["memes"]] == ["campaign/a.png"]
    again = world.step("open", execution="tuesday", input=operators_input)
    invoke(world.stack, ended(operators_input, "monday", status), world.patch)
    assert (again["run"], world.batches.batches[batch.id].status) == (2, "running"), "that event came late"


def test_an_operator_s_pictures_are_not_in_the_input_which_every_meme_would_repeat(world: World) -> None:
    world.stack.storage.put(UPLOADS, "campaign/a.png", encode(drawing()))
    face = base64.b64encode(encode(drawing())).decode()
    operators_input = {"prefix": "campaign/", "face": f"data:image/png;base64,{face}"}
    with pytest.raises(errors.InvalidRequest):
        world.step("open", execution="monday", input=operators_input)
    assert world.batches.batches == {}


@pytest.mark.parametrize("prefix", ["memes/", "memes/cats/", "m", "requests/", "requests/1/batches/holidays/"])
def test_no_prefix_of_an_operator_has_what_is_swapped_already_or_belongs_to_callers(world: World, prefix: str) -> None:
    world.stack.storage.put(UPLOADS, "memes/cats/a.png", encode(drawing()))

    with pytest.raises(errors.RefusedUrl):
        world.step("open", execution="monday", input={"prefix": prefix})
