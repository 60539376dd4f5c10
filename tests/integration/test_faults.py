"""Broken connections, failing storage and killed sandboxes, in the deployed stack."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from local.swap_clients import wait_for
from tests.support.fault_proxy import Fault
from tests.support.swap_client import SwapClients

MEME = "works-on-my-machine"


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda stack: Fault("GET", "/blobs/", cut=True, times=1), "a range that breaks off"),
        (lambda stack: Fault("GET", "/blobs/", status=503, times=1), "S3 is busy while weights come"),
        (lambda stack: Fault("GET", "/packs/current.json", status=500, times=1), "S3 stumbles at the pointer"),
        (lambda stack: Fault("PUT", f"/{stack.cloud.bucket('outputs')}/", status=500, times=1), "and at the result"),
    ],
)
def test_what_passes_by_itself_is_only_slower(stack: SwapClients, drawn: dict[str, Path], fault: Any, why: str) -> None:
    stack.cloud.chill()

    with stack.meddler.fault(fault(stack)) as met:
        outcome = stack.ask("http", drawn[MEME].read_bytes())

    assert met.seen.is_set(), why
    assert outcome.result, outcome


def test_an_upload_that_keeps_failing_ends_in_the_dead_letter_queue(stack: SwapClients, drawn: dict[str, Path]) -> None:
    key = f"memes/{uuid.uuid4()}.jpg"
    uploads = stack.cloud.bucket("uploads")

    with stack.meddler.fault(Fault("HEAD", f"/{uploads}/{key}", status=403)):
        stack.cloud.client("s3").put_object(Bucket=uploads, Key=key, Body=drawn[MEME].read_bytes())
        dead = wait_for(lambda: stack.dead_letter(key))

    assert dead["responsePayload"]["errorType"] == "StorageFailed"
    assert dead["requestContext"]["approximateInvokeCount"] == 3
    assert stack.output(key.replace("memes/", "failed/") + ".json") is None


def test_http_survives_a_kill_in_mid_request(stack: SwapClients, drawn: dict[str, Path]) -> None:
    meme = stack.put(drawn[MEME].read_bytes())
    answers = []

    with stack.meddler.fault(Fault("GET", urlsplit(meme).path, hold=60)) as held:
        asking = threading.Thread(target=lambda: answers.append(stack.cloud.request("POST", "/swap", {"meme": meme})))
        asking.start()
        assert held.seen.wait(60)
        _kill(stack)
        asking.join()

    again = stack.cloud.request("POST", "/swap", {"meme": meme})
    assert answers[0].status_code >= 500
    assert again.status_code == 200
    assert again.json()["cold_start"]


def test_a_workflow_survives_a_kill_in_mid_request(stack: SwapClients, drawn: dict[str, Path]) -> None:
    meme = stack.put(drawn[MEME].read_bytes())
    ended: list[dict[str, Any]] = []

    with stack.meddler.fault(Fault("GET", urlsplit(meme).path, hold=60, times=1)) as held:
        running = threading.Thread(target=lambda: ended.append(stack.execute({"meme": meme})))
        running.start()
        assert held.seen.wait(60)
        _kill(stack)
        running.join()

    assert ended[0]["status"] == "SUCCEEDED"


def test_an_upload_is_never_lost_to_a_kill(stack: SwapClients, drawn: dict[str, Path]) -> None:
    key = f"memes/{uuid.uuid4()}.jpg"
    uploads = stack.cloud.bucket("uploads")

    with stack.meddler.fault(Fault("GET", f"/{uploads}/{key}", hold=60, times=1)) as held:
        stack.cloud.client("s3").put_object(Bucket=uploads, Key=key, Body=drawn[MEME].read_bytes())
        assert held.seen.wait(60)
        _kill(stack)

    # On AWS a later attempt does it; here they come before the claim of the first one lapses.
    swapped = key.replace("memes/", "swapped/")
    assert wait_for(lambda: stack.output(swapped) or stack.dead_letter(key))


def _kill(stack: SwapClients) -> None:
    sandboxes = stack.sandboxes()
    assert sandboxes
    for process in sandboxes:
        os.kill(process, signal.SIGKILL)
