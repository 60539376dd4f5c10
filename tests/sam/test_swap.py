"""The swap image under Lambda's runtime emulator: its three events, its API, and callers of the local cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from local import swap_clients
from local.cloud import Cloud
from local.sam.run import SamStack
from tests.sam.conftest import RelayCloud
from tools.redrive import redrive

TOO_LITTLE = 64  # MB: the interpreter starts, the models do not fit
SHORT = 10  # seconds; until then a request that was killed counts as still running


def http_event(method: str, path: str, body: Any = None) -> dict[str, Any]:
    """An event of an HTTP API, payload format 2.0."""
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
    """An event of S3."""
    s3_object = {"key": key, "eTag": key, "sequencer": "1"}
    return {"Records": [{"eventSource": "aws:s3", "s3": {"bucket": {"name": bucket}, "object": s3_object}}]}


def read_picture(cloud: Cloud, key: str) -> bytes:
    data: bytes = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=key)["Body"].read()
    return data


def test_a_task_s_payload(stack: SamStack, cloud: Cloud, request_body: dict[str, str]) -> None:
    result = stack.invoke("SwapFunction", request_body)

    assert [face["swapped"] for face in result.response["faces"]] == [True]
    assert read_picture(cloud, result.response["key"]).startswith(b"\xff\xd8")


def test_an_http_event(stack: SamStack, cloud: Cloud, request_body: dict[str, str]) -> None:
    result = stack.invoke("SwapFunction", http_event("POST", "/swap", request_body))

    assert result.response["statusCode"] == 200, result.response
    assert read_picture(cloud, json.loads(result.response["body"])["key"])


def test_an_upload_s_event(
    stack: SamStack, cloud: Cloud, pictures: dict[str, Path], request_body: dict[str, str]
) -> None:
    bucket, key = cloud.bucket("uploads"), "elsewhere/on-mute.jpg"  # a prefix without notifications in the local cloud
    cloud.client("s3").put_object(
        Bucket=bucket, Key=key, Body=pictures["on-mute"].read_bytes(), Metadata={"face": request_body["face"]}
    )

    result = stack.invoke("SwapFunction", upload_event(bucket, key))

    assert result.response == {"outcomes": [f"swapped/{key}"]}
    assert read_picture(cloud, f"swapped/{key}")


def test_a_named_error_is_the_answer_s_type(stack: SamStack, request_body: dict[str, str]) -> None:
    result = stack.invoke("SwapFunction", {**request_body, "meme": request_body["meme"] + ".missing"})

    assert result.error == "InputNotFound"


@pytest.fixture(scope="module")
def api(stack: SamStack) -> Iterator[str]:
    with stack.api() as url:
        yield url


def test_http_through_start_api(api: str, cloud: Cloud, request_body: dict[str, str]) -> None:
    response = requests.post(f"{api}/swap", json=request_body, timeout=60)

    assert response.status_code == 200, response.text
    assert response.headers["Server-Timing"]
    assert swap_clients.download(response.json()["url"]) == read_picture(cloud, response.json()["key"])


def test_files_go_in_and_a_picture_comes_out_through_start_api(api: str, pictures: dict[str, Path]) -> None:
    files = {"meme": pictures["works-on-my-machine"].read_bytes(), "face": pictures["ruby"].read_bytes()}

    response = requests.post(
        f"{api}/swap", files=files, data={"faces": "largest"}, headers={"Accept": "image/*"}, timeout=60
    )

    assert (response.status_code, response.headers["Content-Type"]) == (200, "image/jpeg"), response.text
    assert response.content.startswith(b"\xff\xd8")


def test_documents_and_problems_through_start_api(api: str) -> None:
    document = requests.get(f"{api}/openapi.json", timeout=60)
    not_found = requests.get(f"{api}/nothing", timeout=60)
    bad_request = requests.post(f"{api}/swap", data="{", headers={"Content-Type": "application/json"}, timeout=60)

    assert "/swap" in document.json()["paths"]
    assert (not_found.status_code, not_found.json()["code"]) == (404, "not_found")
    assert (bad_request.status_code, bad_request.headers["Content-Type"]) == (400, "application/problem+json")


@pytest.mark.parametrize("who", swap_clients.CALLERS)
def test_the_local_cloud_s_callers_reach_the_containers(
    who: str, start_lambda: dict[str, str], cloud: Cloud, pictures: dict[str, Path]
) -> None:
    response = swap_clients.CALLERS[who](cloud, pictures["noor"], pictures["on-mute"])

    assert any(face["swapped"] for face in response.result["faces"])


@pytest.fixture
def starved_cloud(relay_cloud: RelayCloud, start_lambda: dict[str, str], stack: SamStack) -> Iterator[Cloud]:
    """A cloud whose swap function has too little memory, for the time of a test."""
    little = stack.with_properties("SwapFunction", MemorySize=TOO_LITTLE, Timeout=SHORT)
    with little.functions() as handlers:
        relay_cloud.relay.write_text(json.dumps(handlers))
        yield relay_cloud.cloud
    relay_cloud.relay.write_text(json.dumps(start_lambda))


def test_too_little_memory_is_told_to_each_caller_and_loses_nothing(
    starved_cloud: Cloud, pictures: dict[str, Path], request_body: dict[str, str]
) -> None:
    queue, name = starved_cloud.outputs["FailedUploadsUrl"], "starved.jpg"
    sqs, s3 = starved_cloud.client("sqs"), starved_cloud.client("s3")

    over_http = starved_cloud.request("POST", "/swap", request_body)
    with pytest.raises(swap_clients.CallFailed, match=r"Runtime\.ExitError") as in_a_workflow:
        swap_clients.workflow(starved_cloud, pictures["noor"], pictures["on-mute"])
    s3.put_object(
        Bucket=starved_cloud.bucket("uploads"),
        Key=f"memes/{name}",
        Body=pictures["on-mute"].read_bytes(),
        Metadata={"face": request_body["face"]},
    )
    swap_clients.wait_for(lambda: dead_letters(sqs, queue) or None)

    assert over_http.status_code in (500, 502)
    assert in_a_workflow.value.code == "InternalError"
    assert outcome_key(starved_cloud, name) is None


def test_a_dead_letter_is_redriven(start_lambda: dict[str, str], cloud: Cloud) -> None:
    queue, function = cloud.outputs["FailedUploadsUrl"], cloud.outputs["SwapFunctionName"]
    sqs, functions = cloud.client("sqs"), cloud.client("lambda")
    assert dead_letters(sqs, queue) == 1

    def again() -> str | None:
        redrive(queue, function, sqs, functions)  # too early, it only returns to the queue
        key = outcome_key(cloud, "starved.jpg")
        # The try that was killed is told first, as a failure that will be tried again.
        return key if key and key.startswith("swapped/") else None

    assert swap_clients.wait_for(again) == "swapped/starved.jpg.json"
    assert not dead_letters(sqs, queue)


def dead_letters(sqs: Any, queue: str) -> int:
    """Number of dead letters in a queue."""
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


def outcome_key(cloud: Cloud, name: str) -> str | None:
    """Which of the two result keys an upload has."""
    s3 = cloud.client("s3")
    for key in (f"swapped/{name}.json", f"failed/{name}.json"):
        if s3.list_objects_v2(Bucket=cloud.bucket("outputs"), Prefix=key).get("KeyCount"):
            return key
    return None
