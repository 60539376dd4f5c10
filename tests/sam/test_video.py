"""The video image under Lambda's runtime emulator: each step by itself, and the workflow calling into containers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from functions.video.tasks.store import TaskStore
from functions.video.values import VideoRequest
from local import video_client
from local.cloud import Cloud
from local.sam.run import SamStack, variables
from local.standins.servers import StandIns

SCRIPT = "The sea is calm tonight. Far away, the city lights go out, one after the other."
KEPT_SECONDS = 3600

Invoke = Callable[[dict[str, Any]], Any]


@pytest.fixture
def task(cloud: Cloud, standins: StandIns, how: str) -> str:
    """A task without an execution, so that the test calls its steps."""
    tasks = TaskStore(variables(cloud, "VideoFunction")["STATE_TABLE"], lambda: cloud.client("dynamodb"))
    request = VideoRequest(SCRIPT, "sea", callback_url=standins.callback_url, quality="draft")
    task = tasks.new(f"by-hand-{how.replace('_', '-')}", request, "nobody", KEPT_SECONDS)
    assert tasks.add(task)
    return task.id


@pytest.fixture
def warm_container(start_lambda: dict[str, str]) -> Invoke:
    """All steps in one container."""

    def invoke(event: dict[str, Any]) -> Any:
        return requests.post(start_lambda["functions.video.app.handler"], json=event, timeout=120).json()

    return invoke


@pytest.fixture
def fresh_containers(stack: SamStack) -> Invoke:
    """Each step in a fresh container."""
    return lambda event: stack.invoke("VideoFunction", event).response


@pytest.mark.parametrize("how", ["warm_container", pytest.param("fresh_containers", marks=pytest.mark.full)])
def test_every_step_by_itself(
    how: str, request: pytest.FixtureRequest, cloud: Cloud, standins: StandIns, task: str
) -> None:
    invoke: Invoke = request.getfixturevalue(how)
    standins.callbacks.clear()

    def step(name: str, **payload: Any) -> Any:
        response = invoke({"step": name, "task_id": task, **payload})
        assert "errorType" not in response, response
        return response

    voice, footage = step("voice"), step("footage")
    plan = step("plan", **voice, **footage)
    clips = [step("clip", **voice, plan=plan["plan"], index=index)["clip"] for index in plan["segments"]]
    assert step("sound", **voice)["sound"].startswith("work/sound/")
    video = step("assemble", **voice, plan=plan["plan"], clips=clips)
    publish_output = step("publish", **voice, plan=plan["plan"], clips=clips, **video)
    notify_output = step("notify", attempt=1)

    mp4 = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=f"videos/{task}/short.mp4")["Body"].read()
    assert mp4[4:8] == b"ftyp"
    assert publish_output == {"notify": True}
    assert notify_output["notify"] is False
    assert len(standins.callbacks) == 1


def test_a_step_that_cannot_be_done_says_so_by_its_name(stack: SamStack) -> None:
    assert stack.invoke("VideoFunction", {"step": "voice", "task_id": "nobody's"}).error == "Cancelled"


def test_the_workflow_calls_into_containers(start_lambda: dict[str, str], cloud: Cloud) -> None:
    request = {"script_text": SCRIPT, "search_query": "city", "quality": "draft"}

    task = video_client.make_video(cloud, request, print)

    assert task["status"] == "succeeded"
    assert task["seconds"] > 3
