"""The video image in Lambda's own surroundings: each step by itself, and the workflow calling into containers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from functions.video.tasks.store import TaskStore
from functions.video.values import VideoRequest
from local import video_client
from local.cloud import Cloud
from local.sam.run import Stack, variables
from local.standins.servers import StandIns

SCRIPT = "The sea is calm tonight. Far away, the city lights go out, one after the other."
KEPT_SECONDS = 3600

Invoke = Callable[[dict[str, Any]], Any]


@pytest.fixture
def task(cloud: Cloud, standins: StandIns, how: str) -> str:
    """A task of no workflow, so that its steps are ours to call."""
    tasks = TaskStore(variables(cloud, "VideoFunction")["STATE_TABLE"], lambda: cloud.client("dynamodb"))
    request = VideoRequest(SCRIPT, "sea", callback_url=standins.callback_url, quality="draft")
    task = tasks.new(f"by-hand-{how}", request, "nobody", KEPT_SECONDS)
    assert tasks.add(task)
    return task.id


@pytest.fixture
def served(start_lambda: dict[str, str]) -> Invoke:
    """One container for all."""

    def invoke(event: dict[str, Any]) -> Any:
        return requests.post(start_lambda["functions.video.app.handler"], json=event, timeout=120).json()

    return invoke


@pytest.fixture
def alone(stack: Stack) -> Invoke:
    """A fresh container for each."""
    return lambda event: stack.invoke("VideoFunction", event).answer


@pytest.mark.parametrize("how", ["served", pytest.param("alone", marks=pytest.mark.full)])
def test_every_step_by_itself(
    how: str, request: pytest.FixtureRequest, cloud: Cloud, standins: StandIns, task: str
) -> None:
    invoke: Invoke = request.getfixturevalue(how)
    standins.callbacks.clear()

    def step(name: str, **known: Any) -> Any:
        answer = invoke({"step": name, "task_id": task, **known})
        assert "errorType" not in answer, answer
        return answer

    voice, found = step("voice"), step("footage")
    plan = step("plan", **voice, **found)
    clips = [step("clip", **voice, plan=plan["plan"], index=index)["clip"] for index in plan["segments"]]
    assert step("sound", **voice)["sound"].startswith("work/sound/")
    video = step("assemble", **voice, plan=plan["plan"], clips=clips)
    published = step("publish", **voice, plan=plan["plan"], clips=clips, **video)
    told = step("notify", attempt=1)

    made = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=f"videos/{task}/short.mp4")["Body"].read()
    assert made[4:8] == b"ftyp"
    assert published == {"notify": True}
    assert told["notify"] is False
    assert len(standins.callbacks) == 1


def test_a_step_that_cannot_be_done_says_so_by_its_name(stack: Stack) -> None:
    assert stack.invoke("VideoFunction", {"step": "voice", "task_id": "nobody's"}).error == "Cancelled"


def test_the_workflow_calls_into_containers(start_lambda: dict[str, str], cloud: Cloud) -> None:
    request = {"script_text": SCRIPT, "search_query": "city", "quality": "draft"}

    made = video_client.make(cloud, request, print)

    assert made["status"] == "succeeded"
    assert made["seconds"] > 3
