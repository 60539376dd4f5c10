"""Asking the deployed stack in its three ways, and what came of it in one form."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layers.core import errors
from local.cloud import Cloud
from local.swap_clients import wait_for
from tests.support.fault_proxy import FaultProxy

TORN_DOWN = "bootstrap exited during init"
ASKED_AGAIN = 3


class SandboxTornDown(Exception):
    """The sandbox was ended while it started.

    AWS does no such thing. The emulator does: where a change of configuration ends a sandbox at work, it ends with it
    those that start next. A sandbox is at work after the answer, too: at the report of an execution that failed.
    """


@dataclass(frozen=True)
class Outcome:
    """A result, or the code of the error and the sentence that came with it."""

    result: dict[str, Any] | None = None
    code: str | None = None
    detail: str = ""
    picture: bytes = b""


@dataclass
class SwapClients:
    """The deployed stack, and the hand on its S3."""

    cloud: Cloud
    meddler: FaultProxy
    _dead: dict[str, dict[str, Any]] = field(default_factory=dict)

    def put(self, data: bytes, name: str = "picture") -> str:
        """Stores a picture as an upload of whoever signs; its S3 URI."""
        bucket, key = self.cloud.bucket("uploads"), f"requests/{self.cloud.caller()}/{uuid.uuid4()}/{name}"
        self.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
        return f"s3://{bucket}/{key}"

    def ask(self, caller: str, meme: bytes, face: str | None = None) -> Outcome:
        """A swap asked for by `caller`: http, upload or workflow; `face` is a URI."""
        asked: dict[str, Callable[[bytes, str | None], Outcome]] = {
            "http": self._http,
            "upload": self._upload,
            "workflow": self._workflow,
        }
        for _ in range(ASKED_AGAIN):
            try:
                return asked[caller](meme, face)
            except SandboxTornDown:
                continue
        return asked[caller](meme, face)

    def output(self, key: str) -> bytes | None:
        """What the outputs bucket has there."""
        s3 = self.cloud.client("s3")
        try:
            return bytes(s3.get_object(Bucket=self.cloud.bucket("outputs"), Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None

    def dead_letter(self, key: str) -> dict[str, Any] | None:
        """The dead letter of an upload, if it has come by now."""
        answer = self.cloud.client("sqs").receive_message(
            QueueUrl=self.cloud.outputs["FailedUploadsUrl"], MaxNumberOfMessages=10
        )
        for message in answer.get("Messages", []):
            body = json.loads(message["Body"])
            self._dead[body["requestPayload"]["Records"][0]["s3"]["object"]["key"]] = body
        return self._dead.get(key)

    def sandboxes(self) -> list[int]:
        """Process ids of the function's sandboxes."""
        return sandboxes(self.cloud)

    def _http(self, meme: bytes, face: str | None) -> Outcome:
        request = {"meme": self.put(meme)} | ({"face": face} if face else {})
        answer = self.cloud.request("POST", "/swap", request)
        if answer.status_code == 200:
            result = answer.json()
            return Outcome(result, picture=self.output(result["key"]) or b"")
        problem = answer.json()
        if TORN_DOWN in problem.get("errorMessage", ""):
            raise SandboxTornDown(answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json", (answer.status_code, answer.text)
        assert problem["status"] == answer.status_code
        assert problem["type"] == f"urn:coldswap:problem:{problem['code']}"
        kind = next(each for each in errors.family().values() if each.code == problem["code"])
        assert (problem["status"], problem["retryable"]) == (kind.status, kind.retryable)
        return Outcome(code=problem["code"], detail=problem["detail"])

    def _upload(self, meme: bytes, face: str | None) -> Outcome:
        name = f"{uuid.uuid4()}.jpg"
        self.cloud.client("s3").put_object(
            Bucket=self.cloud.bucket("uploads"),
            Key=f"memes/{name}",
            Body=meme,
            Metadata={"face": face} if face else {},
        )

        def came() -> Outcome | None:
            if said := self.output(f"swapped/{name}.json"):
                result = json.loads(said)
                assert result["key"] == f"swapped/{name}"
                return Outcome(result, picture=self.output(result["key"]) or b"")
            if said := self.output(f"failed/{name}.json"):
                problem = json.loads(said)
                assert not problem["retryable"]
                return Outcome(code=problem["code"], detail=problem["detail"])
            if dead := self.dead_letter(f"memes/{name}"):
                error = dead["responsePayload"]
                kind = errors.family().get(error["errorType"])
                assert kind is None or kind.retryable
                return Outcome(code=kind.code if kind else error["errorType"], detail=error["errorMessage"])
            return None

        return wait_for(came)

    def _workflow(self, meme: bytes, face: str | None) -> Outcome:
        request = {"meme": self.put(meme)} | ({"face": face} if face else {})
        execution = self.execute(request)
        if execution["status"] == "SUCCEEDED":
            result = json.loads(execution["output"])
            return Outcome(result, picture=self.output(result["key"]) or b"")
        if "Runtime.Unknown" in execution["cause"]:
            raise SandboxTornDown(execution["cause"])
        return Outcome(code=errors.family()[execution["error"]].code, detail=execution["cause"])

    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        """An execution of the state machine, once it has ended."""
        states = self.cloud.client("stepfunctions")
        arn = states.start_execution(
            stateMachineArn=self.cloud.outputs["SwapStateMachineArn"], input=json.dumps(request)
        )["executionArn"]

        def ended() -> dict[str, Any] | None:
            found: dict[str, Any] = states.describe_execution(executionArn=arn)
            return None if found["status"] == "RUNNING" else found

        return wait_for(ended)


def sandboxes(cloud: Cloud) -> list[int]:
    """Process ids of the sandboxes of a local cloud's functions."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and b"awslambdaric" in (process / "cmdline").read_bytes()
                and f"AWS_ENDPOINT_URL={cloud.endpoint}\0".encode() in (process / "environ").read_bytes()
            ):
                found.append(int(process.name))
        except OSError:
            continue  # it ended while we looked, or is another user's
    return found
