"""Clients of the swap function in its three ways: HTTP, an S3 upload, a state machine."""

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

TIMEOUT_SECONDS = 150.0  # longer than the function's own timeout
POLL_SECONDS = 0.02
QUEUED_POLL_SECONDS = 0.2  # of a meme that moves, each of which runs a function

T = TypeVar("T")


class CallFailed(Exception):
    """The stack responded with a problem document; `code` is its code, the message its detail."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


@dataclass(frozen=True)
class SwapResponse:
    """A finished swap: the JSON result, the picture's bytes, and how long the caller waited."""

    result: dict[str, Any]
    picture: bytes
    seconds: float


Caller = Callable[[Cloud, Path, Path], SwapResponse]


def http(cloud: Cloud, face: Path, meme: Path) -> SwapResponse:
    """Swap by POST /swap with both pictures in the request; the result comes from the link in the response."""
    began = time.monotonic()
    result = post(cloud, {"face": data_uri(face), "meme": data_uri(meme)})
    return SwapResponse(result, download(result["url"]), time.monotonic() - began)


def upload(cloud: Cloud, face: Path, meme: Path) -> SwapResponse:
    """Swap by uploading the meme, the face named in the object's metadata; the result is at the key for this upload."""
    s3 = cloud.client("s3")
    name = f"{time.time_ns()}-{meme.name}"
    source = put_input(cloud, face)
    began = time.monotonic()
    s3.put_object(
        Bucket=cloud.bucket("uploads"), Key=f"memes/{name}", Body=meme.read_bytes(), Metadata={"face": source}
    )
    result = wait_for(lambda: _read_outcome(cloud, name))
    if "code" in result:
        raise CallFailed(result["code"], result["detail"])
    picture = s3.get_object(Bucket=cloud.bucket("outputs"), Key=result["key"])["Body"].read()
    return SwapResponse(result, picture, time.monotonic() - began)


def workflow(cloud: Cloud, face: Path, meme: Path) -> SwapResponse:
    """Swap by an execution of the state machine, with both pictures by their S3 URIs."""
    states = cloud.client("stepfunctions")
    request = {"face": put_input(cloud, face), "meme": put_input(cloud, meme)}
    began = time.monotonic()
    arn = states.start_execution(stateMachineArn=cloud.outputs["SwapStateMachineArn"], input=json.dumps(request))
    execution = wait_for_end(states, arn["executionArn"])
    if execution["status"] != "SUCCEEDED":
        raise CallFailed(execution.get("error", execution["status"]), execution.get("cause", ""))
    result = json.loads(execution["output"])
    picture = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=result["key"])["Body"].read()
    return SwapResponse(result, picture, time.monotonic() - began)


CALLERS: dict[str, Caller] = {"http": http, "upload": upload, "workflow": workflow}


def post(cloud: Cloud, request: dict[str, Any]) -> dict[str, Any]:
    """POST /swap; raises CallFailed with the problem of the response."""
    response = cloud.request("POST", "/swap", request)
    if response.status_code != 200:
        raise _read_problem(response)
    result: dict[str, Any] = response.json()
    return result


def queue(cloud: Cloud, request: dict[str, Any]) -> str:
    """POST /swap of a meme that moves: where to poll. Raises CallFailed."""
    response = cloud.request("POST", "/swap", request)
    if response.status_code != 202:
        raise _read_problem(response)
    return str(response.headers["Location"])


def follow(cloud: Cloud, location: str) -> dict[str, Any]:
    """Poll a queued swap until it is over; its result. Raises CallFailed."""

    def find_end() -> dict[str, Any] | None:
        response = cloud.request("GET", location)
        if response.status_code != 200:
            raise _read_problem(response)
        state: dict[str, Any] = response.json()
        return None if state["status"] in ("queued", "running") else state

    state = wait_for(find_end, QUEUED_POLL_SECONDS)
    if state["status"] != "succeeded":
        problem = state.get("problem") or {}
        raise CallFailed(problem.get("code", state["status"]), problem.get("detail", "The swap failed."))
    result: dict[str, Any] = state["result"]
    return result


def upload_form(cloud: Cloud, picture: Path) -> str:
    """Upload a picture of any size with the form of POST /uploads; its S3 URI."""
    form = cloud.request("POST", "/uploads").json()
    with _session_without_proxy() as session:
        response = session.post(form["url"], data=form["fields"], files={"file": picture.read_bytes()}, timeout=60)
    if not response.ok:
        raise CallFailed("upload_refused", f"The bucket did not accept {picture} (status {response.status_code}).")
    return str(form["uri"])


def data_uri(picture: Path) -> str:
    """The file as a data: URI."""
    kind = mimetypes.guess_type(picture.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(picture.read_bytes()).decode()}"


def put_input(cloud: Cloud, picture: Path) -> str:
    """Put a picture among the caller's uploads; its S3 URI."""
    bucket, key = cloud.bucket("uploads"), f"requests/{cloud.caller()}/local/{picture.name}"
    cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=picture.read_bytes())
    return f"s3://{bucket}/{key}"


def download(url: str) -> bytes:
    """Download the file of a presigned link."""
    with _session_without_proxy() as session:
        response = session.get(url, timeout=60)
        response.raise_for_status()
        return response.content


def wait_for(check: Callable[[], T | None], pause: float = POLL_SECONDS) -> T:
    """Call `check` until it returns a value; raises CallFailed if that takes longer than any swap may."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (value := check()) is None:
        if time.monotonic() > deadline:
            raise CallFailed("no_answer", f"There was no response within {TIMEOUT_SECONDS:.0f} seconds.")
        time.sleep(pause)
    return value


def wait_for_end(states: Any, execution_arn: str) -> dict[str, Any]:
    """The execution of a state machine once it has ended; `states` is the client."""

    def finished_execution() -> dict[str, Any] | None:
        execution: dict[str, Any] = states.describe_execution(executionArn=execution_arn)
        return None if execution["status"] == "RUNNING" else execution

    return wait_for(finished_execution)


def _read_outcome(cloud: Cloud, name: str) -> dict[str, Any] | None:
    s3 = cloud.client("s3")
    for folder in ("swapped", "failed"):
        try:
            body = s3.get_object(Bucket=cloud.bucket("outputs"), Key=f"{folder}/{name}.json")["Body"]
        except s3.exceptions.NoSuchKey:
            continue
        outcome: dict[str, Any] = json.loads(body.read())
        return None if outcome.get("will_be_retried") else outcome
    return None


def _read_problem(response: Any) -> CallFailed:
    """The problem document of a response, as an error."""
    try:
        problem = response.json()
        return CallFailed(problem["code"], problem["detail"])
    except (ValueError, KeyError):
        return CallFailed(f"status {response.status_code}", response.text[:500])


def _session_without_proxy() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # the stack is on the loopback, which no proxy of this machine reaches
    return session
