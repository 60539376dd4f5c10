"""Denial of wallet: twice as many callers as the stack has capacity for.

Excess requests are throttled at once: 429 or 503, with Retry-After wherever our code responds (API Gateway sends none
when it throttles by itself). Accepted requests get their result; nothing is lost or done twice; and the sandboxes use
no more memory at the end than at the beginning.
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
    """Statuses of all responses, and pages of the largest sandbox after each response."""

    statuses: Counter[int] = field(default_factory=Counter)
    resident: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, response: requests.Response, cloud: Cloud) -> requests.Response | None:
        """Count a response; returns it, or None if the caller has to retry, which a refusal must say in due form."""
        is_refusal = response.status_code in (409, 429, 503)
        with self.lock:
            self.statuses[response.status_code] += 1
            if not is_refusal:
                self.resident.append(largest(cloud))
        if not is_refusal:
            return response
        if response.headers["Content-Type"] == PROBLEM:
            assert response.json()["retryable"], response.text
            assert int(response.headers["Retry-After"]) >= 1
        else:
            assert response.status_code in (429, 503), "the emulated gateway's own"
        return None


def largest(cloud: Cloud) -> int:
    """Resident pages of the largest sandbox."""
    sizes = []
    for process in sandboxes(cloud):
        try:
            sizes.append(int(Path(f"/proc/{process}/statm").read_text().split()[1]))
        except OSError:
            continue  # the process has ended
    return max(sizes)


@pytest.fixture(scope="module")
def client() -> Iterator[VideoClient]:
    """A stack with capacity for two swaps and two videos."""
    with StandIns() as standins, Cloud() as cloud:
        cloud.deploy(environment=standins.environment, stage={"ReservedConcurrency": str(CAPACITY)})
        publish_demo_pack(cloud)
        yield VideoClient(cloud, standins)
        log_leaks.assert_no_leaks(cloud, private=[SCRIPT, *standins.secrets])


@pytest.fixture(scope="module")
def body(pictures: dict[str, Path]) -> dict[str, str]:
    """A swap request with both pictures in it."""
    return {"meme": data_uri(pictures["works-on-my-machine"]), "face": data_uri(pictures["ruby"])}


def flat(resident: list[int]) -> bool:
    """Whether the second half is at most a tenth larger than the first."""
    half = len(resident) // 2
    return max(resident[half:]) <= 1.1 * max(resident[:half])


def test_swaps_at_twice_the_capacity(client: VideoClient, body: dict[str, str]) -> None:
    """Pairs of callers send the same idempotency keys at the same time, and retry until each key has its result."""
    tally = Tally()

    def call(names: list[str]) -> dict[str, str]:
        results = {}
        for name in names:

            def ask(name: str = name) -> requests.Response | None:
                response = client.cloud.request("POST", "/swap", body, {"Idempotency-Key": name})
                return tally.count(response, client.cloud)

            response = wait_for(ask)
            assert response.status_code == 200, response.text
            results[name] = str(response.json()["key"])
        return results

    pairs = [[str(uuid.uuid4()) for _ in range(KEYS_EACH)] for _ in range(CALLERS // 2)]
    with ThreadPoolExecutor(CALLERS) as pool:
        results_by_caller = list(pool.map(call, [pair for pair in pairs for _ in range(2)]))

    for first, second in zip(results_by_caller[::2], results_by_caller[1::2], strict=True):
        assert first == second
    result_keys = {key for results in results_by_caller for key in results.values()}
    assert len(result_keys) == KEYS_EACH * len(pairs)
    assert set(client.keys("swaps/")) == result_keys
    assert tally.statuses[429] + tally.statuses[503] > 0
    assert set(tally.statuses) <= {200, 409, 429, 503}
    assert flat(tally.resident)


def test_swaps_that_nobody_waits_for_at_twice_the_capacity(client: VideoClient, body: dict[str, str]) -> None:
    before = set(client.keys("swaps/"))
    tally = Tally()

    def call(_: int) -> str:
        headers = {"Idempotency-Key": str(uuid.uuid4()), "Prefer": "respond-async"}
        response = wait_for(lambda: tally.count(client.cloud.request("POST", "/swap", body, headers), client.cloud))
        assert response.status_code == 202, response.text

        def finished_job() -> dict[str, Any] | None:
            job_response = tally.count(client.cloud.request("GET", response.headers["Location"]), client.cloud)
            if job_response is None:
                return None
            assert job_response.status_code == 200, job_response.text
            job: dict[str, Any] = job_response.json()
            return job if job["status"] in ("succeeded", "failed") else None

        job = wait_for(finished_job)
        assert job["status"] == "succeeded", job
        return str(job["result"]["key"])

    with ThreadPoolExecutor(CALLERS) as pool:
        result_keys = list(pool.map(call, range(3 * CALLERS)))

    assert len(set(result_keys)) == len(result_keys)
    assert set(client.keys("swaps/")) - before == set(result_keys)
    assert tally.statuses[429] + tally.statuses[503] > 0
    assert flat(tally.resident)


def executions(client: VideoClient) -> list[dict[str, Any]]:
    """Executions of the video state machine."""
    machine = client.cloud.outputs["VideoStateMachineArn"]
    executions: list[dict[str, Any]] = client.cloud.client("stepfunctions").list_executions(stateMachineArn=machine)[
        "executions"
    ]
    return executions


def test_videos_at_twice_the_capacity(client: VideoClient) -> None:
    before = executions(client)
    tally = Tally()
    hold = client.standins.fault("elevenlabs.hold", times=None)  # the first tasks stay until the others come
    throttled = threading.Semaphore(0)

    def call(number: int) -> str:
        key = str(uuid.uuid4())

        def ask() -> requests.Response | None:
            response = client.post(f"{SCRIPT} Number {number}.", key=key, captions=False, quality="draft")
            if response.status_code == 503:
                throttled.release()
            return tally.count(response, client.cloud)

        response = wait_for(ask)
        assert response.status_code == 202, response.text
        task = client.wait_until_over(response.json()["task_id"])
        assert task["status"] == "succeeded", task
        repeated = client.post(f"{SCRIPT} Number {number}.", key=key, captions=False, quality="draft")
        assert repeated.json()["task_id"] == task["task_id"]
        return str(task["task_id"])

    with ThreadPoolExecutor(CALLERS) as pool:
        futures = [pool.submit(call, number) for number in range(CALLERS)]
        assert throttled.acquire(timeout=60)
        assert client.free_slots() == 0
        hold.release()
        task_ids = [each.result() for each in futures]

    assert len(set(task_ids)) == CALLERS
    new_executions = [each for each in executions(client) if each not in before]
    assert sorted(each["name"][: len(task_ids[0])] for each in new_executions) == sorted(task_ids)
    assert {each["status"] for each in new_executions} == {"SUCCEEDED"}
    assert all(f"videos/{each}/short.mp4" in client.keys(f"videos/{each}/") for each in task_ids)
    assert client.free_slots() == CAPACITY
    assert tally.statuses[503] > 0
    assert client.leftover_folders() == []


def test_a_video_waits_for_longer_than_a_fault_while_its_function_is_full(client: VideoClient) -> None:
    functions, function = client.cloud.client("lambda"), client.cloud.outputs["VideoFunctionName"]
    hold = client.standins.fault("elevenlabs.hold")
    task_id = client.start(f"{SCRIPT} Wait for it.", captions=False, quality="draft")
    assert hold.reached.wait(60)
    functions.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    hold.release()

    wait_for(lambda: refusals(client, task_id) >= 8 or None)  # a fault has seven tries
    functions.delete_function_concurrency(FunctionName=function)

    assert client.wait_until_over(task_id)["status"] == "succeeded"


def refusals(client: VideoClient, task_id: str) -> int:
    """How often Lambda throttled a step of this task."""
    (arn,) = (each["executionArn"] for each in executions(client) if each["name"].startswith(task_id))
    history = client.cloud.client("stepfunctions").get_execution_history(executionArn=arn)["events"]
    causes = [each.get("taskFailedEventDetails", {}).get("cause", "") for each in history]
    return sum("ReservedFunctionConcurrentInvocationLimitExceeded" in cause for cause in causes)
