"""The warm-up of the video function, and the hook by which a release is tested before it takes requests."""

from __future__ import annotations

import io
import json
from typing import Any

import boto3
import pytest

from functions.video import warm_up
from functions.video.entry import release_hook
from layers.core.errors import EncodingFailed, InternalError
from layers.core.warm_up import PAYLOAD
from layers.media import ffmpeg
from tests.unit.video.fake_stack import FakeVideoStack


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")  # clients are made, and ask nobody
    warm_up._tested_keys.clear()


def test_a_warm_up_encodes_and_signs_a_video_and_keeps_none(stack: FakeVideoStack) -> None:
    result = stack.invoke(PAYLOAD)

    assert result["warm"] is True
    assert list(result["timings_ms"]) == ["import", "test"]
    assert stack.executions.started == []
    assert stack.invoke(PAYLOAD)["timings_ms"]["test"] < result["timings_ms"]["test"]


def test_an_encoder_that_does_not_start_fails_it(stack: FakeVideoStack) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise EncodingFailed("ffmpeg cannot be run.")

    stack.patch.setattr(ffmpeg, "run", fail)

    with pytest.raises(EncodingFailed):
        stack.invoke(PAYLOAD)


class Clients:
    """Clients of Lambda and CodeDeploy."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken  # the version that fails its own test
        self.invoked: list[tuple[str, Any]] = []
        self.verdicts: list[dict[str, str]] = []

    def invoke(self, **call: Any) -> dict[str, Any]:
        self.invoked.append((call["FunctionName"], json.loads(call["Payload"])))
        if call["FunctionName"] == self.broken:
            error = {"errorType": "InternalError", "errorMessage": "The native engine miscalculates."}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(error).encode())}
        return {"Payload": io.BytesIO(b'{"warm": true}')}

    def put_lifecycle_event_hook_execution_status(self, **verdict: str) -> None:
        self.verdicts.append(verdict)


EVENT = {"DeploymentId": "d-1", "LifecycleEventHookExecutionId": "e-1"}


@pytest.mark.parametrize(("broken", "status"), [("", "Succeeded"), ("video:8", "Failed")])
def test_a_release_s_versions_are_tested_and_codedeploy_gets_the_verdict(
    monkeypatch: pytest.MonkeyPatch, broken: str, status: str
) -> None:
    clients = Clients(broken)
    monkeypatch.setattr(boto3, "client", lambda *_, **__: clients)
    monkeypatch.setenv("VERSIONS", "swap:7,video:8")

    release_hook.handler(EVENT, None)

    assert clients.invoked == [("swap:7", PAYLOAD), ("video:8", PAYLOAD)]
    assert clients.verdicts == [{"deploymentId": "d-1", "lifecycleEventHookExecutionId": "e-1", "status": status}]


def test_whoever_warms_up_hears_of_what_failed() -> None:
    with pytest.raises(InternalError, match=r"swap:7 failed its warm-up: .*miscalculates"):
        release_hook.warm_up(Clients("swap:7"), ["swap:7", "video:8"])
    assert release_hook.warm_up(Clients(), ["swap:7"]) == {"swap:7": {"warm": True}}
