"""Denial of wallet: twice as many callers as the stack has room for.

Whoever is refused is told so at once: 429 or 503, with Retry-After wherever our code answers (API Gateway gives
none when it refuses by itself). Whoever is accepted gets the result; nothing is lost or done twice; and the
sandboxes hold no more memory at the end than in the beginning.
"""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from local.cloud import Cloud
from local.publish_demo_pack import publish_demo_pack
from local.standins.servers import StandIns
from local.swap_clients import data_uri, wait_for
from tests.support import log_leaks
from tests.support.swap_client import sandboxes
from tests.support.video_client import VideoClient

CAPACITY = 2  # swaps at one time, and videos: the template's default of MaxConcurrentTasks
CALLERS = 2 * CAPACITY
KEYS_EACH = 15
PROBLEM = "application/problem+json"
SCRIPT = "The sea was here before us."

pytestmark = pytest.mark.full


@dataclass
class Tally:
    """What the callers were answered, and the largest sandbox (pages) after each answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    resident: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, answer: requests.Response, cloud: Cloud) -> requests.Response | None:
        """The answer if it is none to come back after; every refusal has to be a proper one."""
        refused = answer.status_code in (409, 429, 503)
        with self.lock:
            self.statuses[answer.status_code] += 1
            if not refused:
                self.resident.append(largest(cloud))
        if not refused:
            return answer
        if answer.headers["Content-Type"] == PROBLEM:
            assert answer.json()["retryable"], answer.text
            assert int(answer.headers["Retry-After"]) >= 1
        else:
            assert answer.status_code in (429, 503), "the emulated gateway's own"
        return None


def largest(cloud: Cloud) -> int:
    """Resident pages of the sandbox that holds most."""
    sizes = []
    for process in sandboxes(cloud):
        try:
            sizes.append(int(Path(f"/proc/{process}/statm").read_text().split()[1]))
        except OSError:
            continue  # it ended while we looked
    return max(sizes)


@pytest.fixture(scope="module")
def studio() -> Iterator[VideoClient]:
    """A stack with room for two swaps and two videos."""
    with StandIns() as standins, Cloud() as cloud:
        cloud.deploy({"ReservedConcurrency": str(CAPACITY)}, standins.environment)
        publish_demo_pack(cloud)
        yield VideoClient(cloud, standins)
        log_leaks.assert_no_leaks(cloud, private=[SCRIPT, *standins.secrets])


@pytest.fixture(scope="module")
def body(drawn: dict[str, Path]) -> dict[str, str]:
    """A swap with all that it needs in the request."""
    return {"meme": data_uri(drawn["works-on-my-machine"]), "face": data_uri(drawn["ruby"])}


def flat(resident: list[int]) -> bool:
    """Whether the second half holds no more than the first, but for a tenth."""
    half = len(resident) // 2
    return max(resident[half:]) <= 1.1 * max(resident[:half])


def test_swaps_at_twice_the_capacity(studio: VideoClient, body: dict[str, str]) -> None:
    """Callers in pairs send the same keys at the same time, and come back until each key has its result."""
    tally = Tally()

    def call(names: list[str]) -> dict[str, str]:
        results = {}
        for name in names:

            def ask(name: str = name) -> requests.Response | None:
                answer = studio.cloud.request("POST", "/swap", body, {"Idempotency-Key": name})
                return tally.count(answer, studio.cloud)

            answer = wait_for(ask)
            assert answer.status_code == 200, answer.text
            results[name] = str(answer.json()["key"])
        return results

    pairs = [[str(uuid.uuid4()) for _ in range(KEYS_EACH)] for _ in range(CALLERS // 2)]
    with ThreadPoolExecutor(CALLERS) as pool:
        told = list(pool.map(call, [pair for pair in pairs for _ in range(2)]))

    for first, second in zip(told[::2], told[1::2], strict=True):
        assert first == second
    made = {key for results in told for key in results.values()}
    assert len(made) == KEYS_EACH * len(pairs)
    assert set(studio.keys("swaps/")) == made
    assert tally.statuses[429] + tally.statuses[503] > 0
    assert set(tally.statuses) <= {200, 409, 429, 503}
    assert flat(tally.resident)


def test_swaps_that_nobody_waits_for_at_twice_the_capacity(studio: VideoClient, body: dict[str, str]) -> None:
    before = set(studio.keys("swaps/"))
    tally = Tally()

    def call(_: int) -> str:
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "respond-async"}
        started = wait_for(lambda: tally.count(studio.cloud.request("POST", "/swap", body, headers), studio.cloud))
        assert started.status_code == 202, started.text

        def ended() -> dict[str, Any] | None:
            answer = tally.count(studio.cloud.request("GET", started.headers["Location"]), studio.cloud)
            if answer is None:
                return None
            assert answer.status_code == 200, answer.text
            job: dict[str, Any] = answer.json()
            return job if job["status"] in ("succeeded", "failed") else None

        job = wait_for(ended)
        assert job["status"] == "succeeded", job
        return str(job["result"]["key"])

    with ThreadPoolExecutor(CALLERS) as pool:
        made = list(pool.map(call, range(3 * CALLERS)))

    assert len(set(made)) == len(made)
    assert set(studio.keys("swaps/")) - before == set(made)
    assert tally.statuses[429] + tally.statuses[503] > 0
    assert flat(tally.resident)


def executions(studio: VideoClient) -> list[dict[str, Any]]:
    """Of the videos' workflow."""
    machine = studio.cloud.outputs["VideoStateMachineArn"]
    found: list[dict[str, Any]] = studio.cloud.client("stepfunctions").list_executions(stateMachineArn=machine)[
        "executions"
    ]
    return found


def test_videos_at_twice_the_capacity(studio: VideoClient) -> None:
    before = executions(studio)
    tally = Tally()
    hold = studio.standins.fault("elevenlabs.hold", times=None)  # the first stay until the others come
    refused = threading.Semaphore(0)

    def call(number: int) -> str:
        key = str(uuid.uuid4())

        def ask() -> requests.Response | None:
            answer = studio.post(f"{SCRIPT} Number {number}.", key=key, captions=False, quality="draft")
            if answer.status_code == 503:
                refused.release()
            return tally.count(answer, studio.cloud)

        answer = wait_for(ask)
        assert answer.status_code == 202, answer.text
        task = studio.ended(answer.json()["task_id"])
        assert task["status"] == "succeeded", task
        again = studio.post(f"{SCRIPT} Number {number}.", key=key, captions=False, quality="draft")
        assert again.json()["task_id"] == task["task_id"]
        return str(task["task_id"])

    with ThreadPoolExecutor(CALLERS) as pool:
        asked = [pool.submit(call, number) for number in range(CALLERS)]
        assert refused.acquire(timeout=60)
        assert studio.free_slots() == 0
        hold.release()
        made = [each.result() for each in asked]

    assert len(set(made)) == CALLERS
    added = [each for each in executions(studio) if each not in before]
    assert sorted(each["name"][: len(made[0])] for each in added) == sorted(made)
    assert {each["status"] for each in added} == {"SUCCEEDED"}
    assert all(f"videos/{each}/short.mp4" in studio.keys(f"videos/{each}/") for each in made)
    assert studio.free_slots() == CAPACITY
    assert tally.statuses[503] > 0
    assert studio.left_behind() == []


def test_a_video_waits_for_longer_than_a_fault_while_its_function_is_full(studio: VideoClient) -> None:
    functions, function = studio.cloud.client("lambda"), studio.cloud.outputs["VideoFunctionName"]
    hold = studio.standins.fault("elevenlabs.hold")
    task_id = studio.begin(f"{SCRIPT} Wait for it.", captions=False, quality="draft")
    assert hold.reached.wait(60)
    functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    hold.release()

    wait_for(lambda: refusals(studio, task_id) >= 8 or None)  # a fault has seven tries
    functions.delete_function_concurrency(FunctionName=function)

    assert studio.ended(task_id)["status"] == "succeeded"


def refusals(studio: VideoClient, task_id: str) -> int:
    """How often Lambda had no room for a step of this task."""
    (arn,) = (each["executionArn"] for each in executions(studio) if each["name"].startswith(task_id))
    history = studio.cloud.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
    causes = [each.get("taskFailedEventDetails", {}).get("cause", "") for each in history]
    return sum("ReservedFunctionConcurrentInvocationLimitExceeded" in cause for cause in causes)
