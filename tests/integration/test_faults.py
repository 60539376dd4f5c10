"""Broken connections, failing storage and killed sandboxes, in the deployed stack."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.swap_clients import wait_for
from tests.support.fault_proxy import ProxyFault
from tests.support.swap_client import SwapClient
from tools.redrive import redrive

MEME = "works-on-my-machine"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda stack: ProxyFault("GET", "/blobs/", cut=True, times=1), "a range that breaks off"),
        (lambda stack: ProxyFault("GET", "/blobs/", status=503, times=1), "S3 is busy while weights come"),
        (lambda stack: ProxyFault("GET", "/packs/current.json", status=500, times=1), "S3 stumbles at the pointer"),
        (
            lambda stack: ProxyFault("PUT", f"/{stack.cloud.bucket('outputs')}/", status=500, times=1),
            "and at the result",
        ),
    ],
)
def test_what_passes_by_itself_is_only_slower(
    stack: SwapClient, pictures: dict[str, Path], fault: Any, why: str
) -> None:
    stack.cloud.force_cold_start()

    with stack.fault_proxy.fault(fault(stack)) as active_fault:
        outcome = stack.swap("http", pictures[MEME].read_bytes())

    assert active_fault.reached.is_set(), why
    assert outcome.result, outcome


def test_an_upload_that_keeps_failing_is_told_ends_in_the_dead_letter_queue_and_is_done_by_a_redrive(
    stack: SwapClient, pictures: dict[str, Path]
) -> None:
    key = f"memes/{uuid.uuid4()}.jpg"
    uploads, name = stack.cloud.bucket("uploads"), key.removeprefix("memes/")

    with stack.fault_proxy.fault(ProxyFault("HEAD", f"/{uploads}/{key}", status=403)):
        stack.cloud.client("s3").put_object(Bucket=uploads, Key=key, Body=pictures[MEME].read_bytes())
        told_at_once = wait_for(lambda: stack.read_output(f"failed/{name}.json"))
        dead_letter = wait_for(lambda: stack.dead_letter(key))

    assert json.loads(told_at_once)["code"] == "storage_failed"
    assert dead_letter["responsePayload"]["errorType"] == "StorageFailed"
    assert dead_letter["requestContext"]["approximateInvokeCount"] == 3
    assert json.loads(stack.read_output(f"failed/{name}.json") or b"{}")["will_be_retried"] is False
    redrive(
        stack.cloud.outputs["FailedUploadsUrl"],
        stack.cloud.outputs["SwapFunctionName"],
        DeadLetterQueue(dead_letter),
        stack.cloud.client("lambda"),
    )
    wait_for(lambda: stack.read_output(f"swapped/{name}.json"))
    wait_for(lambda: stack.read_output(f"failed/{name}.json") is None or None)


class DeadLetterQueue:
    """SQS with one dead letter, which the test has received already."""

    def __init__(self, dead_letter: dict[str, Any]) -> None:
        self._messages = [{"Body": json.dumps(dead_letter), "ReceiptHandle": "1"}]

    def receive_message(self, **_: Any) -> dict[str, Any]:
        """The messages that are left."""
        return {"Messages": list(self._messages)}

    def delete_message(self, **_: Any) -> None:
        """Delete the message."""
        self._messages.clear()


def test_http_survives_a_kill_in_mid_request(stack: SwapClient, pictures: dict[str, Path]) -> None:
    meme = stack.upload(pictures[MEME].read_bytes())
    responses = []

    with stack.fault_proxy.fault(ProxyFault("GET", urlsplit(meme).path, hold=60)) as fault:
        request_thread = threading.Thread(
            target=lambda: responses.append(stack.cloud.request("POST", "/swap", {"meme": meme}))
        )
        request_thread.start()
        assert fault.reached.wait(60)
        _kill(stack)
        request_thread.join()

    again = stack.cloud.request("POST", "/swap", {"meme": meme})
    assert responses[0].status_code >= 500
    assert again.status_code == 200
    assert again.json()["cold_start"]


def test_a_workflow_survives_a_kill_in_mid_request(stack: SwapClient, pictures: dict[str, Path]) -> None:
    meme = stack.upload(pictures[MEME].read_bytes())
    executions: list[dict[str, Any]] = []

    with stack.fault_proxy.fault(ProxyFault("GET", urlsplit(meme).path, hold=60, times=1)) as fault:
        execution_thread = threading.Thread(target=lambda: executions.append(stack.execute({"meme": meme})))
        execution_thread.start()
        assert fault.reached.wait(60)
        _kill(stack)
        execution_thread.join()

    assert executions[0]["status"] == "SUCCEEDED"


def test_an_upload_is_never_lost_to_a_kill(stack: SwapClient, pictures: dict[str, Path]) -> None:
    key = f"memes/{uuid.uuid4()}.jpg"
    uploads = stack.cloud.bucket("uploads")

    with stack.fault_proxy.fault(ProxyFault("GET", f"/{uploads}/{key}", hold=60, times=1)) as fault:
        stack.cloud.client("s3").put_object(Bucket=uploads, Key=key, Body=pictures[MEME].read_bytes())
        assert fault.reached.wait(60)
        _kill(stack)

    # On AWS a later attempt does it; here they come before the claim of the first one lapses.
    result_key = key.replace("memes/", "swapped/")
    assert wait_for(lambda: stack.read_output(result_key) or stack.dead_letter(key))


def _kill(stack: SwapClient) -> None:
    sandboxes = stack.sandboxes()
    assert sandboxes
    for process in sandboxes:
        os.kill(process, signal.SIGKILL)
