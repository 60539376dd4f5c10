"""The video function for tests: files in a folder, a real table of the local cloud, a workflow that only records."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from coldswap.folder_storage import FolderStorage
from functions.video import app
from functions.video.artifacts import ArtifactStore
from functions.video.providers.payments import Payments
from functions.video.services import Services
from functions.video.settings import VideoSettings
from functions.video.tasks.executions import Executions
from functions.video.tasks.slots import Slots
from functions.video.tasks.store import TaskStore
from functions.video.values import Credit, PublishedVideo, Search, Shot, VideoRequest
from layers.core.budget import Budget
from layers.core.errors import StorageFailed
from layers.core.fair_share import Quota
from layers.core.pseudonyms import Pseudonyms
from layers.core.terms import Terms
from local.standins.servers import CALLBACK_SECRET
from tests.support.clock import Clock

REQUEST = VideoRequest("Say this. And that.", "sea")
BODY = {"script_text": REQUEST.script_text, "search_query": "sea"}
KEYS = {
    "PEXELS_API_KEY": "pexels-key",
    "ELEVENLABS_API_KEY": "elevenlabs-key",
    "CALLBACK_SECRET": CALLBACK_SECRET,
}
ME, OTHER = (
    {"iam": {"callerId": f"AIDA{name.upper()}", "userArn": f"arn:aws:iam::123456789012:user/{name}"}}
    for name in ("me", "other")
)


class FakeExecutions(Executions):
    """Records which executions were started and stopped; a `broken` one starts nothing."""

    def __init__(self) -> None:
        super().__init__("arn", lambda: None)
        self.started: list[tuple[str, str]] = []
        self.stopped: list[str] = []
        self.broken = False

    def start(self, name: str, task_id: str) -> None:
        if self.broken:
            raise StorageFailed("Step Functions did not answer.")
        self.started.append((name, task_id))

    def stop(self, name: str) -> None:
        self.stopped.append(name)


class LinkedFolderStorage(FolderStorage):
    """Objects that have links."""

    def presign_get(self, bucket: str, key: str, seconds: int, filename: str | None = None) -> str:
        return f"https://{bucket}.example/{key}?for={seconds}&as={filename}"


class Context:
    """An invocation's context."""

    aws_request_id = "11111111-2222-3333-4444-555555555555"
    function_name = "video"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:eu-west-1:123456789012:function:video"

    def get_remaining_time_in_millis(self) -> int:
        return 120_000


@dataclass
class ApiResponse:
    """A response of the HTTP API."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass
class FakeVideoStack:
    """The video function with everything that it touches, and ways to call it."""

    services: Services
    executions: FakeExecutions
    clock: Clock
    patch: pytest.MonkeyPatch
    buckets: Path

    def invoke(self, event: Any) -> Any:
        """The handler's answer; the event has been through JSON, as on Lambda."""
        self.patch.setattr(app, "load_services", lambda: self.services)
        return app.handler(json.loads(json.dumps(event)), Context())

    def http(
        self, method: str, path: str, body: Any = None, identity: Any = None, sent_at: float = 0, **headers: str
    ) -> ApiResponse:
        """A request through the HTTP API, payload format 2.0, which API Gateway got at `sent_at` (epoch, seconds)."""
        path, _, query = path.partition("?")
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": query,
            "queryStringParameters": dict(each.split("=") for each in query.split("&")) if query else {},
            "headers": {name.replace("_", "-"): value for name, value in headers.items()},
            "requestContext": {
                "http": {"method": method, "path": path, "sourceIp": "192.0.2.1"},
                "requestId": "req-1",
                "stage": "$default",
                "authorizer": identity or ME,
                **({"timeEpoch": int(sent_at * 1000)} if sent_at else {}),
            },
            "isBase64Encoded": False,
            **({"body": body if isinstance(body, str) else json.dumps(body)} if body is not None else {}),
        }
        response = self.invoke(event)
        content = response.get("body") or ""
        kind = response["headers"].get("Content-Type", "")
        return ApiResponse(
            response["statusCode"], response["headers"], json.loads(content) if content and "json" in kind else content
        )

    def post(self, identity: Any = None, **headers: str) -> ApiResponse:
        """POST /generate-video with the usual body."""
        return self.http("POST", "/generate-video", BODY, identity, 0, **headers)

    def finish(self, task_id: str) -> PublishedVideo:
        """Finish the task, with files in the place of a video."""
        published = PublishedVideo(
            video=f"videos/{task_id}/short.mp4",
            poster=f"videos/{task_id}/poster.jpg",
            srt=f"videos/{task_id}/captions.srt",
            vtt=None,
            seconds=12.5,
            size=5,
            credits=(Credit("Ann", "https://p.example/ann", "https://p.example/1", "Stock"),),
            shots=(Shot(0.0, 12.5, "nature", True, "https://p.example/1"),),
            searches=(
                Search("xylophone zeppelin", "portrait", None, False, 0, 0),
                Search("nature", "portrait", None, True, 9, 8),
            ),
        )
        for key in ("video", "poster", "srt"):
            self.services.storage.write("outputs", getattr(published, key), b"bytes", "x/y")
        self.services.tasks.succeed(task_id, published)
        self.services.slots.free(task_id)
        return published

    def with_slots(self, slots: int) -> FakeVideoStack:
        """The same stack with that many slots."""
        table, client = self.services.settings.state_table, self.services.tasks._client
        services = replace(self.services, slots=Slots(table, slots, client, self.clock))
        return replace(self, services=services)


@pytest.fixture
def stack(dynamodb: Any, table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeVideoStack:
    """A stack without any task, with two slots and every provider key."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    settings = VideoSettings.read({"OUTPUTS_BUCKET": "outputs", "STATE_TABLE": table, "STATE_MACHINE_ARN": "arn"})
    storage, clock, executions = LinkedFolderStorage(tmp_path / "buckets"), Clock(), FakeExecutions()
    monkeypatch.setattr("time.time", clock)
    services = Services(
        settings=settings,
        storage=storage,
        artifacts=ArtifactStore(storage, "outputs"),
        tasks=TaskStore(table, lambda: dynamodb, clock),
        slots=Slots(table, 2, lambda: dynamodb, clock),
        executions=executions,
        budget=Budget(table, "seconds of video", lambda: 0, lambda: dynamodb, clock),
        payments=Payments(table, lambda: dynamodb, clock),
        terms=Terms("", dict),
        pseudonyms=Pseudonyms(table, lambda: dynamodb),
        quota=lambda service, whole, seconds: Quota(table, service, whole, seconds, lambda: dynamodb, clock),
    )
    return FakeVideoStack(services, executions, clock, monkeypatch, tmp_path / "buckets")
