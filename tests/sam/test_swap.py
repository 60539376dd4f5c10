"""The swap image in Lambda's own surroundings: its three events, its API, and callers of the local cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local import swap_clients
from local.cloud import Cloud
from local.sam.run import Stack
from tests.sam.conftest import World
from tools.redrive import redrive

TOO_LITTLE = 64  # MB: the interpreter starts, the models do not fit
SHORT = 10  # seconds; until then a request that was killed counts as one that still runs


def http_event(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """As an HTTP API sends it, payload format 2.0."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": "000000000000",
            "http": {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "203.0.113.1"},
            "requestId": "request",
            "stage": "$default",
        },
        "body": json.dumps(body),
        "isBase64Encoded": False,
    }


def upload_event(bucket: str, key: str) -> dict[str, Any]:
    """As S3 notifies."""
    thing = {"key": key, "eTag": key, "sequencer": "1"}
    return {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": bucket}, "object": thing}}]}


def picture(cloud: Cloud, key: str) -> bytes:
    data: bytes = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=key)["Body"].read()
    return data


def test_a_task_s_payload(stack: Stack, cloud: Cloud, request_body: dict[str, str]) -> None:
    invoked = stack.invoke("SwapFunction", request_body)

    assert [face["swapped"] for face in invoked.answer["faces"]] == [True]
    assert picture(cloud, invoked.answer["key"]).startswith(b"\xff\xd8")


def test_an_http_event(stack: Stack, cloud: Cloud, request_body: dict[str, str]) -> None:
    invoked = stack.invoke("SwapFunction", http_event("POST", "/swap", request_body))

    assert invoked.answer["statusCode"] == 200, invoked.answer
    assert picture(cloud, json.loads(invoked.answer["body"])["key"])


def test_an_upload_s_event(stack: Stack, cloud: Cloud, drawn: dict[str, Path], request_body: dict[str, str]) -> None:
    bucket, key = cloud.bucket("uploads"), "elsewhere/on-mute.jpg"  # where the local cloud notifies nobody
    cloud.client("s3").put_object(
        Bucket=bucket, Key=key, Body=drawn["on-mute"].read_bytes(), Metadata={"face": request_body["face"]}
    )

    invoked = stack.invoke("SwapFunction", upload_event(bucket, key))

    assert invoked.answer == {"outcomes": [f"swapped/{key}"]}
    assert picture(cloud, f"swapped/{key}")


def test_a_named_error_is_the_answer_s_type(stack: Stack, request_body: dict[str, str]) -> None:
    invoked = stack.invoke("SwapFunction", {**request_body, "meme": request_body["meme"] + ".missing"})

    assert invoked.error == "InputNotFound"


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[str]:
    with stack.api() as url:
        yield url


def test_http_through_start_api(api: str, cloud: Cloud, request_body: dict[str, str]) -> None:
    swapped = requests.post(f"{api}/swap", json=request_body, timeout=60)

    assert swapped.status_code == 200, swapped.text
    assert swapped.headers["Server-Timing"]
    assert swap_clients.download(swapped.json()["url"]) == picture(cloud, swapped.json()["key"])


def test_documents_and_problems_through_start_api(api: str) -> None:
    described = requests.get(f"{api}/openapi.json", timeout=60)
    unknown = requests.get(f"{api}/nothing", timeout=60)
    wrong = requests.post(f"{api}/swap", data="{", headers={"Content-Type": "application/json"}, timeout=60)

    assert "/swap" in described.json()["paths"]
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.headers["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("who", swap_clients.CALLERS)
def test_the_local_cloud_s_callers_reach_the_containers(
    who: str, start_lambda: dict[str, str], cloud: Cloud, drawn: dict[str, Path]
) -> None:
    answer = swap_clients.CALLERS[who](cloud, drawn["noor"], drawn["on-mute"])

    assert any(face["swapped"] for face in answer.result["faces"])


@pytest.fixture
def starved(world: World, start_lambda: dict[str, str], stack: Stack) -> Iterator[Cloud]:
    """Callers whose function gets too little memory, for the time of a test."""
    little = stack.with_properties("SwapFunction", MemorySize=TOO_LITTLE, Timeout=SHORT)
    with little.functions() as handlers:
        world.relay.write_text(json.dumps(handlers))
        yield world.cloud
    world.relay.write_text(json.dumps(start_lambda))


def test_too_little_memory_is_told_to_each_caller_and_loses_nothing(
    starved: Cloud, drawn: dict[str, Path], request_body: dict[str, str]
) -> None:
    queue, name = starved.outputs["FailedUploadsUrl"], "starved.jpg"
    sqs, s3 = starved.client("sqs"), starved.client("s3")

    over_http = starved.request("POST", "/swap", request_body)
    with pytest.raises(swap_clients.CallFailed, match=r"Runtime\.ExitError") as in_a_workflow:
        swap_clients.workflow(starved, drawn["noor"], drawn["on-mute"])
    s3.put_object(
        Bucket=starved.bucket("uploads"),
        Key=f"memes/{name}",
        Body=drawn["on-mute"].read_bytes(),
        Metadata={"face": request_body["face"]},
    )
    swap_clients.wait_for(lambda: waiting(sqs, queue) or None)

    assert over_http.status_code in (500, 502)
    assert in_a_workflow.value.code == "InternalError"
    assert outcome(starved, name) is None


def test_a_dead_letter_is_redriven(start_lambda: dict[str, str], cloud: Cloud) -> None:
    queue, function = cloud.outputs["FailedUploadsUrl"], cloud.outputs["SwapFunctionName"]
    sqs, functions = cloud.client("sqs"), cloud.client("lambda")
    assert waiting(sqs, queue) == 1

    def again() -> str | None:
        redrive(queue, function, sqs, functions)  # too early it only comes back
        return outcome(cloud, "starved.jpg")

    assert swap_clients.wait_for(again) == "swapped/starved.jpg.json"
    assert not waiting(sqs, queue)


def waiting(sqs: Any, queue: str) -> int:
    """Letters in a queue."""
    said = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    return int(said["ApproximateNumberOfMessages"])


def outcome(cloud: Cloud, name: str) -> str | None:
    """Which of the two keys an upload left."""
    s3 = cloud.client("s3")
    for key in (f"swapped/{name}.json", f"failed/{name}.json"):
        if s3.list_objects_v2(Bucket=cloud.bucket("outputs"), Prefix=key).get("KeyCount"):
            return key
    return None
