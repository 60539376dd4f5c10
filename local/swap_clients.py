"""The three ways into the swap function, each as its user would take it."""

from __future__ import annotations

import base64
import json
import mimetypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import requests

from local.cloud import Cloud

PATIENCE = 150.0  # seconds, longer than the function is given
POLL = 0.02

T = TypeVar("T")


class CallFailed(Exception):
    """The stack answered with a problem document; `code` is its code, the message its sentence."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


@dataclass(frozen=True)
class SwapResponse:
    """A finished swap: the result as JSON has it, the picture's bytes, and how long the caller waited."""

    result: dict[str, Any]
    picture: bytes
    seconds: float


Caller = Callable[[Cloud, Path, Path], SwapResponse]


def http(cloud: Cloud, face: Path, meme: Path) -> SwapResponse:
    """POST /swap with both pictures in the request, and the result from the link in the answer."""
    began = time.monotonic()
    result = post(cloud, {"face": data_uri(face), "meme": data_uri(meme)})
    return SwapResponse(result, download(result["url"]), time.monotonic() - began)


def upload(cloud: Cloud, face: Path, meme: Path) -> SwapResponse:
    """A meme dropped into the uploads bucket, its face named by the object's metadata; the result at its known key."""
    s3 = cloud.client("s3")
    name = f"{time.time_ns()}-{meme.name}"
    source = put_input(cloud, face)
    began = time.monotonic()
    s3.put_object(
        Bucket=cloud.bucket("uploads"), Key=f"memes/{name}", Body=meme.read_bytes(), Metadata={"face": source}
    )
    result = wait_for(lambda: _outcome(cloud, name))
    if "code" in result:
        raise CallFailed(result["code"], result["detail"])
    picture = s3.get_object(Bucket=cloud.bucket("outputs"), Key=result["key"])["Body"].read()
    return SwapResponse(result, picture, time.monotonic() - began)


def workflow(cloud: Cloud, face: Path, meme: Path) -> SwapResponse:
    """The state machine with both pictures by their S3 URIs."""
    states = cloud.client("stepfunctions")
    request = {"face": put_input(cloud, face), "meme": put_input(cloud, meme)}
    began = time.monotonic()
    arn = states.start_execution(stateMachineArn=cloud.outputs["SwapStateMachineArn"], input=json.dumps(request))

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = states.describe_execution(executionArn=arn["executionArn"])
        return None if found["status"] == "RUNNING" else found

    execution = wait_for(ended)
    if execution["status"] != "SUCCEEDED":
        raise CallFailed(execution.get("error", execution["status"]), execution.get("cause", ""))
    result = json.loads(execution["output"])
    picture = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=result["key"])["Body"].read()
    return SwapResponse(result, picture, time.monotonic() - began)


CALLERS: dict[str, Caller] = {"http": http, "upload": upload, "workflow": workflow}


def post(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any]:
    """POST /swap; raises CallFailed with the problem that was answered."""
    answer = cloud.request("POST", "/swap", request)
    if answer.status_code != 200:
        try:
            problem = answer.json()
            raise CallFailed(problem["code"], problem["detail"])
        except (ValueError, KeyError):
            raise CallFailed(f"status {answer.status_code}", answer.text[:500]) from None
    result: dict[str, Any] = answer.json()
    return result


def upload_form(cloud: Cloud, picture: Path) -> str:
    """Sends a picture of any size the way POST /uploads offers; its S3 URI."""
    place = cloud.request("POST", "/uploads").json()
    with _direct() as session:
        sent = session.post(place["url"], data=place["fields"], files={"file": picture.read_bytes()}, timeout=60)
    if not sent.ok:
        raise CallFailed("upload_refused", f"{picture}: the bucket did not take it (status {sent.status_code}).")
    return str(place["uri"])


def data_uri(picture: Path) -> str:
    """The file as a data: URI."""
    kind = mimetypes.guess_type(picture.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def put_input(cloud: Cloud, picture: Path) -> str:
    """Puts a picture among the caller's uploads; its S3 URI."""
    bucket, key = cloud.bucket("uploads"), f"requests/{cloud.caller()}/local/{picture.name}"
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=picture.read_bytes())
    return f"s3://{bucket}/{key}"


def download(url: str) -> bytes:
    """What a presigned link leads to."""
    with _direct() as session:
        answer = session.get(url, timeout=60)
        answer.raise_for_status()
        return answer.content


def wait_for(look: Callable[[], T | None]) -> T:
    """Looks until there is something; raises CallFailed if that takes longer than any swap may."""
    until = time.monotonic() + PATIENCE
    while (found := look()) is None:
        if time.monotonic() > until:
            raise CallFailed("no_answer", f"There was no answer within {PATIENCE:.0f} seconds.")
        time.sleep(POLL)
    return found


def _outcome(cloud: Cloud, name: str) -> dict[str, Any] | None:
    s3 = cloud.client("s3")
    for folder in ("swapped", "failed"):
        try:
            body = s3.get_object(Bucket=cloud.bucket("outputs"), Key=f"{folder}/{name}.json")["Body"]
        except s3.exceptions.NoSuchKey:
            continue
        outcome: dict[str, Any] = json.loads(body.read())
        return outcome
    return None


def _direct() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # whatever proxy this machine has, the stack is on the loopback
    return session
