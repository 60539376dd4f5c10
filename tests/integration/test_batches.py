"""Batches, through the deployed workflow: a Distributed Map of the emulator, whose items come from its S3."""

from __future__ import annotations

import io
import json
import uuid
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from local.swap_clients import wait_for
from tests.integration.test_moving_memes import keys, meme
from tests.support.swap_client import SwapClient


def post_file(stack: SwapClient, batch: str, content: bytes) -> str:
    """Upload a meme of a batch by a form; its key."""
    form = stack.cloud.request("POST", "/uploads", {"batch": batch}).json()
    sent = requests.post(form["url"], data=form["fields"], files={"file": content}, timeout=10)
    assert sent.status_code in (200, 204), sent.text
    return str(form["fields"]["key"])


def ended(stack: SwapClient, path: str) -> dict[str, Any]:
    """The batch once its run is over."""

    def is_over() -> dict[str, Any] | None:
        state: dict[str, Any] = stack.cloud.request("GET", path).json()
        return None if state["status"] in ("queued", "running") else state

    return wait_for(is_over)


def gone(stack: SwapClient, path: str) -> None:
    """Delete the batch, and wait until all of it is."""
    assert stack.cloud.request("DELETE", path).status_code == 202
    wait_for(lambda: stack.cloud.request("GET", path).status_code == 410 or None)


def picture(content: bytes, number: int) -> bytes:
    """The picture with one pixel of its own."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.putpixel((0, 0), (number, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_a_still_a_moving_meme_and_a_poisoned_one_are_swapped_reported_and_deleted_together(
    stack: SwapClient, pictures: dict[str, Path]
) -> None:
    name, face = f"b-{uuid.uuid4()}", pictures["ruby"].read_bytes()
    uploads = {kind: post_file(stack, name, content) for kind, content in (("still", face), ("moving", meme()))}
    folder = uploads["still"].rpartition("/")[0]
    s3, bucket = stack.cloud.client("s3"), stack.cloud.bucket("uploads")
    s3.put_object(Bucket=bucket, Key=f"{folder}/poison", Body=b"no picture")

    response = stack.cloud.request("POST", "/batches", {"batch": name})

    assert response.status_code == 202, response.text
    path = response.headers["Location"]
    state = ended(stack, path)
    assert (state["status"], state["counts"]) == ("succeeded", {"done": 2, "failed": 1, "total": 3}), state
    assert state["cost"]["dollars"] > 0
    report = json.loads(requests.get(state["report"], timeout=10).content)
    memes = {each["upload"]: each for each in report["memes"]}
    assert memes[f"{folder}/poison"]["code"] == "unsupported_picture"
    assert memes[uploads["moving"]]["key"].endswith(".gif")
    assert (stack.read_output(memes[uploads["still"]]["key"]) or b"").startswith(b"\x89PNG")
    assert {item["id"] for item in stack.cloud.request("GET", "/results").json()["items"]} & {path.split("/")[2]}

    gone(stack, path)

    assert not [key for each in report["memes"] for key in keys(stack, each["swap"])]
    assert not keys(stack, path.split("/")[2])
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=folder)


@pytest.mark.full
def test_sixty_are_swapped_and_a_second_run_swaps_only_what_is_new(
    stack: SwapClient, pictures: dict[str, Path]
) -> None:
    name, face = f"b-{uuid.uuid4()}", pictures["ruby"].read_bytes()
    folder = post_file(stack, name, picture(face, 255)).rpartition("/")[0]
    s3, bucket = stack.cloud.client("s3"), stack.cloud.bucket("uploads")
    for number in range(59):
        content = meme() if number == 7 else b"no picture" if number == 11 else picture(face, number)
        s3.put_object(Bucket=bucket, Key=f"{folder}/{number:02}", Body=content)
    path = stack.cloud.request("POST", "/batches", {"batch": name}).headers["Location"]
    first = ended(stack, path)
    assert (first["status"], first["counts"]) == ("succeeded", {"done": 59, "failed": 1, "total": 60}), first
    before = json.loads(requests.get(first["report"], timeout=10).content)

    s3.put_object(Bucket=bucket, Key=f"{folder}/11", Body=picture(face, 200))
    again = stack.cloud.request("POST", "/batches", {"batch": name})
    second = ended(stack, path)

    assert again.headers["Location"] == path
    assert (second["status"], second["counts"]) == ("succeeded", {"done": 60, "failed": 0, "total": 60}), second
    after = json.loads(requests.get(second["report"], timeout=10).content)
    same = [each for each in after["memes"] if each in before["memes"]]
    assert len(same) == 59, "swapped once, and told in the same words"
    gone(stack, path)
    assert not [key for each in after["memes"] for key in keys(stack, each["swap"])]


@pytest.mark.full
def test_one_that_is_deleted_while_it_runs_stops_and_leaves_nothing(
    stack: SwapClient, pictures: dict[str, Path]
) -> None:
    name, face = f"b-{uuid.uuid4()}", pictures["ruby"].read_bytes()
    folder = post_file(stack, name, face).rpartition("/")[0]
    s3, bucket = stack.cloud.client("s3"), stack.cloud.bucket("uploads")
    for number in range(20):
        s3.put_object(Bucket=bucket, Key=f"{folder}/{number}", Body=picture(face, number))
    before = keys(stack, "swaps/")
    path = stack.cloud.request("POST", "/batches", {"batch": name}).headers["Location"]
    wait_for(lambda: stack.cloud.request("GET", path).json()["counts"]["done"] or None)

    gone(stack, path)

    assert "Contents" not in s3.list_objects_v2(Bucket=bucket, Prefix=folder)
    wait_for(lambda: keys(stack, "swaps/") == before or None)  # what was being swapped deletes itself


def test_a_prefix_of_the_operator_s_is_swapped_by_the_workflow_itself(
    stack: SwapClient, pictures: dict[str, Path]
) -> None:
    s3, bucket, prefix = stack.cloud.client("s3"), stack.cloud.bucket("uploads"), f"campaign/{uuid.uuid4()}/"
    s3.put_object(Bucket=bucket, Key=f"{prefix}1.png", Body=pictures["ruby"].read_bytes())
    states = stack.cloud.client("stepfunctions")
    arn = stack.cloud.outputs["BatchStateMachineArn"]

    started = [
        states.start_execution(stateMachineArn=arn, input=json.dumps({"prefix": each}))["executionArn"]
        for each in (prefix, "memes/")
    ]

    def over(execution: str) -> dict[str, Any] | None:
        described: dict[str, Any] = states.describe_execution(executionArn=execution)
        return None if described["status"] == "RUNNING" else described

    good, bad = (wait_for(partial(over, each)) for each in started)
    assert (bad["status"], bad["error"]) == ("FAILED", "RefusedUrl")
    assert good["status"] == "SUCCEEDED", good
    output = json.loads(good["output"])
    assert (output["done"], output["failed"]) == (1, 0)
    report = json.loads(stack.read_output(f"batches/{output['batch']}/report.json") or b"")
    assert stack.read_output(report["memes"][0]["key"])


@pytest.mark.full
def test_an_execution_that_an_operator_stops_ends_its_batch_with_a_report(
    stack: SwapClient, pictures: dict[str, Path]
) -> None:
    s3, bucket, prefix = stack.cloud.client("s3"), stack.cloud.bucket("uploads"), f"campaign/{uuid.uuid4()}/"
    for number in range(12):
        content = picture(pictures["ruby"].read_bytes(), number)
        s3.put_object(Bucket=bucket, Key=f"{prefix}{number}.png", Body=content)
    states, before = stack.cloud.client("stepfunctions"), set(keys(stack, "/report.json"))
    arn = stack.cloud.outputs["BatchStateMachineArn"]
    execution = states.start_execution(stateMachineArn=arn, input=json.dumps({"prefix": prefix}))["executionArn"]

    def is_open() -> bool | None:
        events = states.get_execution_history(executionArn=execution)["events"]
        return any(event["type"] == "MapStateEntered" for event in events) or None

    wait_for(is_open)
    states.stop_execution(executionArn=execution)

    (key,) = wait_for(lambda: set(keys(stack, "/report.json")) - before or None)
    report = json.loads(stack.read_output(key) or b"")
    assert report["counts"]["done"] < 12
    described = states.describe_execution(executionArn=execution)
    assert described["status"] == "ABORTED"
