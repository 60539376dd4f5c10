"""A client of the deployed video stack, whose providers are stand-ins."""

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
from local.swap_clients import download, wait_for
from tests.support.swap_client import sandboxes

FINAL_STATUSES = ("succeeded", "failed", "cancelled")


@dataclass
class VideoClient:
    """The local cloud and the stand-ins."""

    cloud: Cloud
    standins: StandIns

    def post(self, script: str, query: str = "sea", key: str | None = None, **options: Any) -> requests.Response:
        """POST /generate-video."""
        body = {"script_text": script, "search_query": query, **options}
        return self.cloud.request("POST", "/generate-video", body, {"Idempotency-Key": key} if key else None)

    def start(self, script: str, query: str = "sea", **options: Any) -> str:
        """Start a video; the id of the task."""
        response = self.post(script, query, **options)
        assert response.status_code == 202, response.text
        return str(response.json()["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        """GET /task/{id}."""
        response = self.cloud.request("GET", f"/task/{task_id}")
        assert response.status_code == 200, response.text
        task: dict[str, Any] = response.json()
        return task

    def wait_until_over(self, task_id: str) -> dict[str, Any]:
        """Wait until the task is over; the task."""
        return wait_for(lambda: task if (task := self.task(task_id))["status"] in FINAL_STATUSES else None)

    def verify(self, task_id: str, name: str) -> dict[str, Any]:
        """Verify a finished video's file by POST /verify; the report."""
        uri = f"s3://{self.cloud.bucket('outputs')}/videos/{task_id}/{name}"
        response = self.cloud.request("POST", "/verify", {"uri": uri})
        assert response.status_code == 200, response.text
        report: dict[str, Any] = response.json()
        return report

    def download(self, task_id: str, name: str = "video") -> bytes:
        """Download a file by the link of GET /download/{id}."""
        response = self.cloud.request("GET", f"/download/{task_id}?file={name}")
        assert response.status_code == 200, response.text
        return download(response.json()["url"])

    def status(self, method: str, path: str) -> tuple[int, str]:
        """Status and problem code of a response."""
        response = self.cloud.request(method, path)
        return response.status_code, str(response.json().get("code", ""))

    def wait_for_execution(self, task_id: str) -> dict[str, Any]:
        """Wait until the task's execution has ended; the execution."""
        states = self.cloud.client("stepfunctions")
        machine = self.cloud.outputs["VideoStateMachineArn"]

        def finished_execution() -> dict[str, Any] | None:
            executions = states.list_executions(stateMachineArn=machine)["executions"]
            # Its name begins with the task's id.
            (arn,) = (each["executionArn"] for each in executions if each["name"].startswith(task_id))
            wait_for_execution: dict[str, Any] = states.describe_execution(executionArn=arn)
            return None if wait_for_execution["status"] == "RUNNING" else wait_for_execution

        return wait_for(finished_execution)

    def item(self, name: str) -> dict[str, Any] | None:
        """An item of the table of tasks and slots."""
        table = self.cloud.client("dynamodb")
        item: dict[str, Any] | None = table.get_item(TableName=self.table, Key={"id": {"S": name}}).get("Item")
        return item

    def artifact_keys(self, task_id: str) -> set[str]:
        """Keys of the task's artifacts."""
        return set((self.item(f"task#{task_id}") or {}).get("work", {}).get("SS", []))

    def callback_secret(self) -> str:
        """The secret that signs this caller's callbacks."""
        response = self.cloud.request("GET", "/video/callback-secret")
        assert response.status_code == 200, response.text
        return str(response.json()["secret"])

    @property
    def table(self) -> str:
        """The name of the state table, from the function's environment."""
        function = self.cloud.client("lambda").get_function_configuration(
            FunctionName=self.cloud.outputs["VideoFunctionName"]
        )
        return str(function["Environment"]["Variables"]["STATE_TABLE"])

    def free_slots(self) -> int:
        """How many of the two slots are free."""
        slots = [self.item(f"slot#{number}") for number in (0, 1)]
        return sum(slot is None or float(slot["expires_at"]["N"]) <= time.time() for slot in slots)

    def keys(self, prefix: str) -> list[str]:
        """Keys of the outputs bucket with the prefix."""
        response = self.cloud.client("s3").list_objects_v2(Bucket=self.cloud.bucket("outputs"), Prefix=prefix)
        return [each["Key"] for each in response.get("Contents", [])]

    def encoders(self) -> list[tuple[int, int]]:
        """Process ids of every ffmpeg of this cloud's sandboxes, each with that of its sandbox."""
        ours = f"AWS_ENDPOINT_URL={self.cloud.endpoint}\0".encode()
        encoders = []
        for process in Path("/proc").iterdir():
            try:
                if not process.name.isdigit() or b"ffmpeg" not in (process / "cmdline").read_bytes().split(b"\0")[0]:
                    continue
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                if ours in Path(f"/proc/{parent}/environ").read_bytes():
                    encoders.append((int(process.name), parent))
            except (OSError, ValueError):
                continue  # the process has ended
        return encoders

    def sandboxes(self) -> list[int]:
        """Process ids of the sandboxes of this cloud's functions."""
        return sandboxes(self.cloud)

    def leftover_folders(self) -> list[str]:
        """Scratch folders that finished steps left behind."""
        environments = [Path(f"/proc/{each}/environ").read_bytes().split(b"\0") for each in self.sandboxes()]
        folders = {dict(part.partition(b"=")[::2] for part in each if part)[b"TMPDIR"] for each in environments}
        return [str(path) for folder in folders for path in Path(os.fsdecode(folder)).glob("**/video-*")]

    def request_counts(self) -> dict[str, int]:
        """Number of requests to each service."""
        services = ("elevenlabs", "pexels", "files")
        return {name: len(self.standins.requests_to(name)) for name in services}

    def callbacks(self, task_id: str) -> list[dict[str, Any]]:
        """Callbacks of a task with their headers."""
        callbacks = []
        for headers, body in list(self.standins.callbacks):
            message = json.loads(body)
            if message["data"]["task_id"] == task_id:
                callbacks.append({"headers": headers, "body": body, **message})
        return callbacks


def is_alive(process: int) -> bool:
    """Whether a process still runs; a zombie does not."""
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False
