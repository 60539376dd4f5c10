"""The deployed video stack beside stand-ins of the services it asks, and what a client of its API does."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from local.cloud import Cloud
from local.standins.servers import StandIns
from local.swap_clients import download
from local.swap_clients import wait_for as until
from tests.support.swap_client import sandboxes

OVER = ("succeeded", "failed", "cancelled")


@dataclass
class VideoClient:
    """The local cloud and the stand-ins."""

    cloud: Cloud
    standins: StandIns

    def post(self, script: str, query: str = "sea", key: str | None = None, **more: Any) -> requests.Response:
        """POST /generate-video."""
        body = {"script_text": script, "search_query": query, **more}
        return self.cloud.request("POST", "/generate-video", body, {"Idempotency-Key": key} if key else None)

    def begin(self, script: str, query: str = "sea", **more: Any) -> str:
        """A task that was accepted; its id."""
        answer = self.post(script, query, **more)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """GET /task/{id}."""
        answer = self.cloud.request("GET", f"/task/{task_id}")
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def ended(self, task_id: str) -> dict[str, Any]:
        """The task once it is over."""
        return until(lambda: task if (task := self.task(task_id))["status"] in OVER else None)

    def verified(self, task_id: str, name: str) -> dict[str, Any]:
        """What POST /verify says of a finished video's file."""
        uri = f"s3://{self.cloud.bucket('outputs')}/videos/{task_id}/{name}"
        answer = self.cloud.request("POST", "/verify", {"uri": uri})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def file(self, task_id: str, name: str = "video") -> bytes:
        """GET /download/{id}, and what it leads to."""
        answer = self.cloud.request("GET", f"/download/{task_id}?file={name}")
        assert answer.status_code == 200, answer.text
        return download(answer.json()["url"])

    def status(self, method: str, path: str) -> tuple[int, str]:
        """Status and problem code of an answer."""
        answer = self.cloud.request(method, path)
        return answer.status_code, str(answer.json().get("code", ""))

    def execution(self, task_id: str) -> dict[str, Any]:
        """The task's execution, once it has ended."""
        states = self.cloud.client("stepfunctions")
        machine = self.cloud.outputs["VideoStateMachineArn"]

        def over() -> dict[str, Any] | None:
            found = states.list_executions(stateMachineArn=machine)["executions"]
            # Its name begins with the task's id.
            (arn,) = (each["executionArn"] for each in found if each["name"].startswith(task_id))
            execution: dict[str, Any] = states.describe_execution(executionArn=arn)
            return None if execution["status"] == "RUNNING" else execution

        return until(over)

    def item(self, name: str) -> dict[str, Any] | None:
        """An item of the table of tasks and slots."""
        table = self.cloud.client("dynamodb")
        found: dict[str, Any] | None = table.get_item(TableName=self.table, Key={"id": {"S": name}}).get("Item")
        return found

    def work(self, task_id: str) -> set[str]:
        """The keys of the work store that a task knows of."""
        return set((self.item(f"task#{task_id}") or {}).get("work", {}).get("SS", []))

    def callback_secret(self) -> str:
        """What this caller's callbacks are signed with."""
        answer = self.cloud.request("GET", "/video/callback-secret")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["secret"])

    @property
    def table(self) -> str:
        """The table's name, as the function knows it."""
        function = self.cloud.client("lambda").get_function_configuration(
            FunctionName=self.cloud.outputs["VideoFunctionName"]
        )
        return str(function["Environment"]["Variables"]["STATE_TABLE"])

    def free_slots(self) -> int:
        """How many of the two slots nobody holds."""
        slots = [self.item(f"slot#{number}") for number in (0, 1)]
        return sum(slot is None or float(slot["expires_at"]["N"]) <= time.time() for slot in slots)

    def keys(self, prefix: str) -> list[str]:
        """Keys of the outputs bucket."""
        answer = self.cloud.client("s3").list_objects_v2(Bucket=self.cloud.bucket("outputs"), Prefix=prefix)
        return [each["Key"] for each in answer.get("Contents", [])]

    def encoders(self) -> list[tuple[int, int]]:
        """Process ids of every ffmpeg that a sandbox of this cloud runs, and of that sandbox."""
        ours = f"AWS_ENDPOINT_URL={self.cloud.endpoint}\0".encode()
        found = []
        for process in Path("/proc").iterdir():
            try:
                if not process.name.isdigit() or b"ffmpeg" not in (process / "cmdline").read_bytes().split(b"\0")[0]:
                    continue
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                if ours in Path(f"/proc/{parent}/environ").read_bytes():
                    found.append((int(process.name), parent))
            except (OSError, ValueError):
                continue  # it ended while we looked
        return found

    def sandboxes(self) -> list[int]:
        """Process ids of the sandboxes of this cloud's functions."""
        return sandboxes(self.cloud)

    def left_behind(self) -> list[str]:
        """Work folders of steps that are over."""
        environments = [Path(f"/proc/{each}/environ").read_bytes().split(b"\0") for each in self.sandboxes()]
        folders = {dict(part.partition(b"=")[::2] for part in each if part)[b"TMPDIR"] for each in environments}
        return [str(path) for folder in folders for path in Path(os.fsdecode(folder)).glob("**/video-*")]

    def counts(self) -> dict[str, int]:
        """Requests that each service has had."""
        services = ("elevenlabs", "pexels", "files")
        return {name: len(self.standins.asked(name)) for name in services}

    def callbacks(self, task_id: str) -> list[dict[str, Any]]:
        """What the receiver was told of a task, with the headers."""
        found = []
        for headers, body in list(self.standins.callbacks):
            said = json.loads(body)
            if said["data"]["task_id"] == task_id:
                found.append({"headers": headers, "body": body, **said})
        return found


def alive(process: int) -> bool:
    """Whether a process still runs; one that waits to be reaped does not."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False
