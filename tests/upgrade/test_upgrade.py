"""A stack of 0.1.0 in the middle of its work, updated to these sources: everything that was left there still answers,
or the change log says what does not.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from functions.video import webhook_signature
from layers.core import storage
from layers.core.errors import FaceRefused, InputNotFound, NotFound, TermsNotAccepted
from layers.core.operator_settings import OperatorSettings
from layers.core.terms import VERSION
from layers.models.runtime.manifest import POINTER_KEY
from layers.models.tools import cli as models_command
from local.cloud import ACCOUNT, CREDENTIALS, REGION, ROOT, STACK, Cloud
from local.demo import draw_pictures
from local.standins.servers import CALLBACK_SECRET, StandIns
from local.swap_clients import data_uri, download, wait_for
from tests.support.fault_proxy import FaultProxy, ProxyFault
from tests.support.video_client import VideoClient
from tools import denylist, settings
from tools import parameters as template_parameters
from tools.stack import read_deployed_parameters
from tools.template import load_template

pytestmark = pytest.mark.upgrade

FORMER = "c4d4461"  # 0.1.0
DEFAULT_FACE = "faces/default.png"
MEME = "works-on-my-machine"
UPLOAD = "in-flight.jpg"
KEY = "before the update"
VIDEOS = {
    "clips": {"script_text": "The sea is calm today.", "search_query": "sea"},
    "voice": {"script_text": "Listen to the rain.", "search_query": "rain"},
}
"""By the step that is at work while the stack is updated."""
FORMER_PARAMETERS = {"DailyBudget": "4000", "CacheLatents": "true", "ResultDays": "3", "ThrottleRate": "20"}
"""Those of 0.1.0's that went; the last has the default's value."""
HOLD_SECONDS = 120.0  # longer than an update takes
LEAVE_SECONDS = 120


@dataclass(frozen=True)
class Upgraded:
    """The stack after its update, and what was left there before."""

    cloud: Cloud
    standins: StandIns
    pictures: dict[str, Path]
    left: dict[str, Any]
    before: dict[str, dict[str, Any]]  # items of the state table, by id
    began: datetime  # the update
    parameters: dict[str, str]  # of the stack before
    names: set[str]  # of alarms, topics and dashboards before

    @property
    def studio(self) -> VideoClient:
        return VideoClient(self.cloud, self.standins)

    @property
    def meme(self) -> dict[str, str]:
        """A request for a swap, the same as before."""
        return {"meme": data_uri(self.pictures[MEME])}

    def object(self, name: str, key: str) -> bytes | None:
        """What a bucket of the stack has there."""
        stored = self.stored(name, key)
        return bytes(stored["Body"].read()) if stored else None

    def stored(self, name: str, key: str) -> dict[str, Any] | None:
        """The same with when it was written, as S3 answers."""
        s3 = self.cloud.client("s3")
        try:
            return dict(s3.get_object(Bucket=self.cloud.bucket(name), Key=key))
        except s3.exceptions.NoSuchKey:
            return None


class PatientCloud(Cloud):
    """AWS waits a minute before it invokes again for an event; here that must be longer than an update takes."""

    def _environment(self, scratch: Path) -> dict[str, str]:
        return {**super()._environment(scratch), "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "12"}


@contextmanager
def _nothing_new(cloud: Cloud) -> Iterator[None]:
    """No function starts anything, so that what is tried again meets the function as it is afterwards. (In an update
    the emulator ends each sandbox, twice; AWS lets it finish.)"""
    functions, names = cloud.client("lambda"), [cloud.outputs[f"{name}FunctionName"] for name in ("Swap", "Video")]
    for name in names:
        functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    yield
    for name in names:
        functions.delete_function_concurrency(FunctionName=name)


@pytest.fixture(scope="module")
def former(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources of the earlier version, from the repository's history."""
    folder = tmp_path_factory.mktemp("former")
    archive = subprocess.run(["git", "archive", FORMER], cwd=ROOT, capture_output=True, timeout=60)
    if archive.returncode:
        pytest.fail(
            f"The history of this clone lacks commit {FORMER}, which is version 0.1.0. Get it all: git fetch "
            f"--unshallow. ({archive.stderr.decode().strip()})"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def upgraded(former: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Upgraded]:
    """Deployed by the earlier version, used through it, and updated while two videos, a swap and an upload are made."""
    drawn = {name: each.path for name, each in draw_pictures(tmp_path_factory.mktemp("drawn")).items()}
    with StandIns() as standins, PatientCloud() as cloud, FaultProxy(lambda: cloud.endpoint) as proxy:
        parameters = {"DefaultFace": f"s3://{STACK}-models-{ACCOUNT}-{REGION}/{DEFAULT_FACE}"}
        environment = {**standins.environment, "AWS_ENDPOINT_URL_S3": proxy.url}
        services = [
            standins.fault("files.hold", times=None),
            standins.fault("elevenlabs.hold", times=None, match=VIDEOS["voice"]["script_text"]),
        ]
        with ExitStack() as broken:
            reads = [
                broken.enter_context(proxy.fault(ProxyFault("GET", part, status=403, hold=HOLD_SECONDS)))
                for part in ("/requests/", "/memes/")
            ]
            left = _leave(former, cloud, drawn, {**parameters, **FORMER_PARAMETERS}, environment, standins.callback_url)
            reached = [*(each.reached for each in services), *(each.reached for each in reads)]
            assert all(event.wait(HOLD_SECONDS / 2) for event in reached), "what was left is not under way"
            cloud.outputs = _outputs(cloud)
            # Of each video only the step that is held: the emulator has no proper error for one that just starts.
            wait_for(lambda: _tries(cloud, "Video") == [1, 1] or None)
            with _nothing_new(cloud):
                broken.close()  # the former code fails with what a retry can cure, and the next try is after the update
                wait_for(lambda: _broke_off(cloud) or None)
                before, began = _items(cloud), datetime.now(UTC)
                names = read_deployed_parameters(cloud.client("cloudformation"), STACK), _monitoring(cloud)
                cloud.deploy(parameters, environment)
        for service in services:
            service.release()
        yield Upgraded(cloud, standins, drawn, left, before, began, *names)


def _leave(
    former: Path,
    cloud: Cloud,
    drawn: dict[str, Path],
    parameters: dict[str, str],
    environment: dict[str, str],
    callback_url: str,
) -> dict[str, Any]:
    instructions = {
        "port": cloud.port,
        "parameters": parameters,
        "environment": environment,
        "default_face": DEFAULT_FACE,
        "pictures": {"ivy": str(drawn["ivy"]), "ruby": str(drawn["ruby"]), "meme": str(drawn[MEME])},
        "key": KEY,
        "videos": {step: {**body, "callback_url": callback_url} for step, body in VIDEOS.items()},
        "upload": UPLOAD,
    }
    left = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("leave.py")), json.dumps(instructions)],
        cwd=former,
        env={**os.environ, **_address(cloud), "PYTHONPATH": str(former), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        timeout=LEAVE_SECONDS,
    )
    assert left.returncode == 0, left.stderr.decode()
    answer: dict[str, Any] = json.loads(left.stdout)
    return answer


def _address(cloud: Cloud) -> dict[str, str]:
    """By which boto3, and so commands, speak to this cloud."""
    return {**CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": cloud.endpoint}


def _outputs(cloud: Cloud) -> dict[str, str]:
    (stack,) = cloud.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def _tries(cloud: Cloud, machine: str) -> list[int]:
    """How many tries of steps are under way in each running execution."""
    states = cloud.client("stepfunctions")
    running = states.list_executions(stateMachineArn=cloud.outputs[f"{machine}StateMachineArn"], statusFilter="RUNNING")
    histories = [
        Counter(event["type"] for event in states.get_execution_history(executionArn=each["executionArn"])["events"])
        for each in running["executions"]
    ]
    return [each["TaskScheduled"] - each["TaskSucceeded"] - each["TaskFailed"] for each in histories]


def _broke_off(cloud: Cloud) -> bool:
    """Whether the first tries of the upload and of the queued swap are over."""
    uploads = [item for item in _items(cloud).values() if item.get("status") == {"S": "INPROGRESS"}]
    return not uploads and _tries(cloud, "Swap") == [0]


def _items(cloud: Cloud) -> dict[str, dict[str, Any]]:
    pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=cloud.state_table)
    return {item["id"]["S"]: item for page in pages for item in page["Items"]}


def _monitoring(cloud: Cloud) -> set[str]:
    """The names of all alarms, topics and dashboards."""
    cloudwatch, sns = cloud.client("cloudwatch"), cloud.client("sns")
    return {
        *(each["AlarmName"] for each in cloudwatch.describe_alarms()["MetricAlarms"]),
        *(each["TopicArn"] for each in sns.list_topics()["Topics"]),
        *(each["DashboardName"] for each in cloudwatch.list_dashboards()["DashboardEntries"]),
    }


@pytest.fixture
def commands(upgraded: Upgraded, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator runs speaks to this stack."""
    for name, value in _address(upgraded.cloud).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "_clients", {})


def changes() -> str:
    """The change log's part about what came after 0.1.0, as one line."""
    return " ".join((ROOT / "CHANGELOG.md").read_text().partition("\n## 0.1.0")[0].split())


def test_the_terms_are_accepted_once_more(upgraded: Upgraded) -> None:
    """`Cloud.deploy` accepts them for its operator, so that is taken back first."""
    cloud = upgraded.cloud
    cloud.client("dynamodb").delete_item(TableName=cloud.state_table, Key={"id": {"S": f"terms#{cloud.caller()}"}})

    refused_swap = cloud.request("POST", "/swap", upgraded.meme)

    assert (refused_swap.status_code, refused_swap.json()["code"]) == (403, TermsNotAccepted.code)
    assert "must accept the terms again" in changes()
    assert cloud.request("POST", "/terms", {"version": VERSION}).json()["accepted"] is True


def test_what_became_of_parameters_is_said_before_the_update(upgraded: Upgraded) -> None:
    template = load_template(ROOT / "template.yaml")

    sentences = template_parameters.find_lost_values(upgraded.parameters, {}, template, "make settings")

    named = {name for name in FORMER_PARAMETERS for sentence in sentences if f"with {name}=" in sentence}
    assert named == {"DailyBudget", "CacheLatents", "ResultDays"}
    assert len(sentences) == 3
    for name in (*template_parameters.SETTINGS, *template_parameters.STAGED):
        assert f"`{name}`" in changes()
    after = read_deployed_parameters(upgraded.cloud.client("cloudformation"), STACK)
    assert after.keys() == template["Parameters"].keys()


@pytest.mark.usefixtures("commands")
def test_settings_begin_with_their_defaults(upgraded: Upgraded, capsys: pytest.CaptureFixture[str]) -> None:
    assert settings.main([]) == 0

    assert capsys.readouterr().out.count("(the default)") == len(fields(OperatorSettings))


def test_alarms_topic_and_dashboard_are_new_ones(upgraded: Upgraded) -> None:
    after = _monitoring(upgraded.cloud)

    assert len(upgraded.names) > 10
    assert not upgraded.names & after
    assert upgraded.cloud.outputs["AlarmTopicArn"] in after
    assert "confirm" in changes().partition("alarm topic")[2].partition(".")[0]


def test_the_table_keeps_its_items_and_gets_the_index(upgraded: Upgraded) -> None:
    cloud, after = upgraded.cloud, _items(upgraded.cloud)
    table = cloud.client("dynamodb").describe_table(TableName=cloud.state_table)["Table"]

    kinds = {name.partition("#")[0] for name in upgraded.before}
    assert {"task", "slot", "terms"} <= kinds
    assert {name for name in upgraded.before if not name.startswith("slot#")} <= set(after)
    assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-caller"]


@pytest.mark.parametrize("step", VIDEOS)
def test_a_video_that_was_running_is_finished_and_answers(upgraded: Upgraded, step: str) -> None:
    """Its workflow is the former one, and calls what the function is now."""
    studio, task_id = upgraded.studio, upgraded.left["tasks"][step]

    task = studio.wait_until_over(task_id)

    assert task["status"] == "succeeded", task
    assert studio.wait_for_execution(task_id)["status"] == "SUCCEEDED"
    assert studio.download(task_id)[4:8] == b"ftyp"
    assert studio.download(task_id, "vtt").startswith(b"WEBVTT")
    assert not [name for name, item in _items(upgraded.cloud).items() if item.get("task_id") == {"S": task_id}]


@pytest.mark.parametrize("step", VIDEOS)
def test_a_callback_is_signed_as_its_receiver_expects(upgraded: Upgraded, step: str) -> None:
    task_id = upgraded.left["tasks"][step]

    (message,) = wait_for(lambda: upgraded.studio.callbacks(task_id) or None)

    headers, body = message["headers"], message["body"]
    expected = webhook_signature.sign(CALLBACK_SECRET, headers["webhook-id"], int(headers["webhook-timestamp"]), body)
    assert headers["webhook-signature"] == expected["webhook-signature"]
    assert message["type"] == "video.succeeded"


def test_a_videos_idempotency_key_makes_a_new_one(upgraded: Upgraded) -> None:
    studio = upgraded.studio
    for task_id in upgraded.left["tasks"].values():
        studio.wait_until_over(task_id)

    again = studio.post(**_script("clips"), key=f"{KEY} clips", callback_url=upgraded.standins.callback_url)

    assert again.status_code == 202, again.text
    assert again.json()["task_id"] not in upgraded.left["tasks"].values()
    assert "`Idempotency-Key` used before the update makes a new swap or video" in changes()
    assert studio.status("DELETE", f"/task/{again.json()['task_id']}")[0] == 200


def _script(step: str) -> dict[str, str]:
    return {"script": VIDEOS[step]["script_text"], "query": VIDEOS[step]["search_query"]}


def test_a_swaps_idempotency_key_makes_a_new_one(upgraded: Upgraded) -> None:
    before = upgraded.left["swap"]

    again = upgraded.cloud.request("POST", "/swap", upgraded.meme, {"Idempotency-Key": KEY})

    assert again.status_code == 200, again.text
    assert again.json()["key"] != before["key"]
    assert {name for name in before if name not in again.json()} == set(), "a field of the answer is gone"


def test_a_result_is_there_by_its_link_and_verified(upgraded: Upgraded, tmp_path: Path) -> None:
    picture = tmp_path / "before.jpg"
    picture.write_bytes(download(upgraded.left["swap"]["url"]))

    verdict = upgraded.cloud.request("POST", "/verify", {"uri": data_uri(picture)}).json()

    assert picture.read_bytes() == upgraded.object("outputs", upgraded.left["swap"]["key"])
    assert (verdict["ours"], verdict["made_with_a_model"]) == (True, True)


def test_a_result_is_nobodys_by_the_api(upgraded: Upgraded) -> None:
    cloud, key = upgraded.cloud, upgraded.left["swap"]["key"]
    uri = f"s3://{cloud.bucket('outputs')}/{key}"

    for answer, error in (
        (cloud.request("GET", f"/swap/{Path(key).stem}"), NotFound),
        (cloud.request("DELETE", f"/results/{Path(key).stem}"), NotFound),
        (cloud.request("POST", "/verify", {"uri": uri}), InputNotFound),
    ):
        assert (answer.status_code, answer.json()["code"]) == (error.status, error.code)
    assert "Earlier results and videos can no longer be reached" in changes()
    assert upgraded.object("outputs", key), "what the API refused is gone"


def test_a_queued_swap_is_done(upgraded: Upgraded) -> None:
    """Its execution, which is the former one, hands the function as it is now the former payload."""
    cloud, name = upgraded.cloud, upgraded.left["queued"]
    states = cloud.client("stepfunctions")
    arn = f"{cloud.outputs['SwapStateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}"

    def ended() -> dict[str, Any] | None:
        execution: dict[str, Any] = states.describe_execution(executionArn=arn)
        return None if execution["status"] == "RUNNING" else execution

    execution = wait_for(ended)

    assert execution["status"] == "SUCCEEDED", execution.get("cause")
    assert upgraded.object("outputs", f"swaps/{name}.jpg")
    assert execution["stopDate"] > upgraded.began, "the swap was done before the update"


def test_an_upload_in_flight_is_done(upgraded: Upgraded) -> None:
    stored = wait_for(lambda: upgraded.stored("outputs", f"swapped/{UPLOAD}.json"))

    assert json.loads(stored["Body"].read())["key"] == f"swapped/{UPLOAD}"
    assert stored["LastModified"] >= upgraded.began.replace(microsecond=0), "it was done before the update"
    assert upgraded.object("outputs", f"failed/{UPLOAD}.json") is None


@pytest.mark.usefixtures("commands")
def test_the_denylist_is_obeyed_and_read(upgraded: Upgraded, capsys: pytest.CaptureFixture[str]) -> None:
    face = data_uri(upgraded.pictures["ruby"])

    answer = upgraded.cloud.request("POST", "/swap", {**upgraded.meme, "face": face})

    assert (answer.status_code, answer.json()["code"]) == (FaceRefused.status, FaceRefused.code)
    assert denylist.main(["list", "--bucket", upgraded.cloud.bucket("models")]) == 0
    assert "ruby" in capsys.readouterr().out


@pytest.mark.usefixtures("commands")
def test_the_pack_before_is_there_to_go_back_to(upgraded: Upgraded, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = upgraded.cloud.bucket("models")

    assert models_command.main(["rollback", "--bucket", bucket, "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["digest"] == upgraded.left["earlier_pack"]
    pointer = json.loads(upgraded.object("models", POINTER_KEY) or b"{}")
    assert pointer["digest"] == upgraded.left["earlier_pack"]
    assert upgraded.cloud.request("POST", "/swap", upgraded.meme).status_code == 200


@pytest.mark.parametrize("step", VIDEOS)
def test_a_video_can_be_deleted(upgraded: Upgraded, step: str) -> None:
    studio, task_id = upgraded.studio, upgraded.left["tasks"][step]
    studio.wait_until_over(task_id)
    assert studio.keys(f"videos/{task_id}/")

    assert studio.status("DELETE", f"/task/{task_id}")[0] == 200

    assert studio.keys(f"videos/{task_id}/") == []
    assert studio.status("GET", f"/download/{task_id}") == (410, "expired")
