"""A client of the deployed swap function in its three ways, with one form for every outcome."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layers.core import errors
from local.cloud import Cloud
from local.swap_clients import wait_for, wait_for_end
from tests.support.fault_proxy import FaultProxy

SANDBOX_ENDED = "bootstrap exited during init"  # the emulator's message
RETRIES = 3


class SandboxTornDown(Exception):
    """The emulator ended the sandbox while it started; AWS does not.

    Where a change of configuration ends a busy sandbox, the emulator also ends those that start next. A sandbox may be
    busy after the response too: it records an execution that failed.
    """


@dataclass(frozen=True)
class Outcome:
    """The result of a swap, or the error's code and detail."""

    result: dict[str, Any] | None = None
    code: str | None = None
    detail: str = ""
    picture: bytes = b""


@dataclass
class SwapClient:
    """The deployed stack, and the proxy in front of its S3."""

    cloud: Cloud
    fault_proxy: FaultProxy
    _dead_letters: dict[str, dict[str, Any]] = field(default_factory=dict)

    def upload(self, data: bytes, name: str = "picture") -> str:
        """Store a picture among the caller's uploads; its S3 URI."""
        bucket, key = self.cloud.bucket("uploads"), f"requests/{self.cloud.caller()}/{uuid.uuid4()}/{name}"
        self.cloud.client("s3").put_object(Bucket=bucket, Key=key, Body=data)
        return f"s3://{bucket}/{key}"

    def swap(self, caller: str, meme: bytes, face: str | None = None) -> Outcome:
        """Swap through `caller`: http, upload or workflow; `face` is a URI."""
        clients: dict[str, Callable[[bytes, str | None], Outcome]] = {
            "http": self._http,
            "upload": self._upload,
            "workflow": self._workflow,
        }
        for _ in range(RETRIES):
            try:
                return clients[caller](meme, face)
            except SandboxTornDown:
                continue
        return clients[caller](meme, face)

    def read_output(self, key: str) -> bytes | None:
        """Read an object of the outputs bucket; None if there is none."""
        s3 = self.cloud.client("s3")
        try:
            return bytes(s3.get_object(Bucket=self.cloud.bucket("outputs"), Key=key)["Body"].read())
        except s3.exceptions.NoSuchKey:
            return None

    def dead_letter(self, key: str) -> dict[str, Any] | None:
        """The dead letter of an upload, if it has arrived."""
        response = self.cloud.client("sqs").receive_message(
            QueueUrl=self.cloud.outputs["FailedUploadsUrl"], MaxNumberOfMessages=10
        )
        for message in response.get("Messages", []):
            body = json.loads(message["Body"])
            self._dead_letters[body["requestPayload"]["Records"][0]["s3"]["object"]["key"]] = body
        return self._dead_letters.get(key)

    def sandboxes(self) -> list[int]:
        """Process ids of the function's sandboxes."""
        return sandboxes(self.cloud)

    def _http(self, meme: bytes, face: str | None) -> Outcome:
        request = {"meme": self.upload(meme)} | ({"face": face} if face else {})
        response = self.cloud.request("POST", "/swap", request)
        if response.status_code == 200:
            result = response.json()
            return Outcome(result, picture=self.read_output(result["key"]) or b"")
        problem = response.json()
        if SANDBOX_ENDED in problem.get("errorMessage", ""):
            raise SandboxTornDown(response.text)
        assert response.headers["Content-Type"] == "application/problem+json", (response.status_code, response.text)
        assert problem["status"] == response.status_code
        assert problem["type"] == f"urn:coldswap:problem:{problem['code']}"
        error_class = next(each for each in errors.family().values() if each.code == problem["code"])
        assert (problem["status"], problem["retryable"]) == (error_class.status, error_class.retryable)
        return Outcome(code=problem["code"], detail=problem["detail"])

    def _upload(self, meme: bytes, face: str | None) -> Outcome:
        name = f"{uuid.uuid4()}.jpg"
        self.cloud.client("s3").put_object(
            Bucket=self.cloud.bucket("uploads"),
            Key=f"memes/{name}",
            Body=meme,
            Metadata={"face": face} if face else {},
        )

        def find_outcome() -> Outcome | None:
            if text := self.read_output(f"swapped/{name}.json"):
                result = json.loads(text)
                assert result["key"] == f"swapped/{name}"
                return Outcome(result, picture=self.read_output(result["key"]) or b"")
            if text := self.read_output(f"failed/{name}.json"):
                problem = json.loads(text)
                if problem["will_be_retried"]:
                    return None
                return Outcome(code=problem["code"], detail=problem["detail"])
            if dead_letter := self.dead_letter(f"memes/{name}"):
                error = dead_letter["responsePayload"]
                error_class = errors.family().get(error["errorType"])
                assert error_class is None or error_class.retryable
                return Outcome(
                    code=error_class.code if error_class else error["errorType"], detail=error["errorMessage"]
                )
            return None

        return wait_for(find_outcome)

    def _workflow(self, meme: bytes, face: str | None) -> Outcome:
        request = {"meme": self.upload(meme)} | ({"face": face} if face else {})
        execution = self.execute(request)
        if execution["status"] == "SUCCEEDED":
            result = json.loads(execution["output"])
            return Outcome(result, picture=self.read_output(result["key"]) or b"")
        if self._sandbox_ended(execution):
            raise SandboxTornDown(execution["cause"])
        return Outcome(code=errors.family()[execution["error"]].code, detail=execution["cause"])

    def _sandbox_ended(self, execution: dict[str, Any]) -> bool:
        """Whether a task of the execution failed because its sandbox was ended while it started.

        The execution's own cause has only the error's name, which the emulator gives to other failures too.
        """
        history = self.cloud.client("stepfunctions").get_execution_history(executionArn=execution["executionArn"])
        failures = (event.get("taskFailedEventDetails", {}) for event in history["events"])
        return any(SANDBOX_ENDED in failure.get("cause", "") for failure in failures)

    def execute(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run the state machine; the execution once it has ended."""
        states = self.cloud.client("stepfunctions")
        arn = states.start_execution(
            stateMachineArn=self.cloud.outputs["SwapStateMachineArn"], input=json.dumps(request)
        )["executionArn"]
        return wait_for_end(states, arn)


def sandboxes(cloud: Cloud) -> list[int]:
    """Process ids of the sandboxes of a local cloud's functions."""
    processes = []
    for process in Path("/proc").iterdir():
        try:
            if (
                process.name.isdigit()
                and b"awslambdaric" in (process / "cmdline").read_bytes()
                and f"AWS_ENDPOINT_URL={cloud.endpoint}\0".encode() in (process / "environ").read_bytes()
            ):
                processes.append(int(process.name))
        except OSError:
            continue  # the process has ended, or is another user's
    return processes
