"""Short videos on the deployed stack, over HTTP, with stand-ins for the services it asks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.media.ffmpeg import program
from layers.media.xmp_label import SOURCE_TYPE, read_label, read_mp4_label
from local.cloud import Cloud
from local.standins.servers import CALLBACK_SECRET, StandIns
from local.standins.stock_footage import identify
from local.swap_clients import wait_for as until
from tests.support import log_leaks
from tests.support.video_client import VideoClient, alive

SCRIPT = "The sea was here before us. It will be here when we are gone. Listen to it for a while."


@pytest.fixture(scope="module")
def running() -> Iterator[VideoClient]:
    with StandIns() as standins, Cloud() as cloud:
        cloud.deploy(environment=standins.environment)
        yield VideoClient(cloud, standins)
        log_leaks.assert_no_leaks(cloud, private=[SCRIPT.partition(".")[0], *standins.secrets])


@pytest.fixture
def studio(running: VideoClient) -> Iterator[VideoClient]:
    """With no fault on, nothing asked yet, and both slots free again afterwards."""
    running.standins.clear()
    running.standins.requests.clear()
    yield running
    running.standins.clear()
    until(lambda: running.free_slots() == 2 or None)


@pytest.fixture(scope="module")
def made(running: VideoClient) -> dict[str, Any]:
    """A finished video, asked for with a callback."""
    running.standins.clear()
    task_id = running.begin(SCRIPT, callback_url=running.standins.callback_url)
    task = running.ended(task_id)
    assert task["status"] == "succeeded", task
    return task


def fresh(text: str = SCRIPT) -> str:
    """A script that nobody has asked for before."""
    return f"{text} Number {uuid.uuid4().int % 10**6}."


def decoded(video: bytes, folder: Path, *, at: float) -> np.ndarray[Any, Any]:
    """One frame, uint8 RGB [1280, 720, 3], as ffmpeg decodes it."""
    path = folder / "short.mp4"
    path.write_bytes(video)
    read = [program(), "-v", "error", "-ss", f"{at:.3f}", "-i", str(path), "-frames:v", "1"]
    raw = subprocess.run([*read, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(1280, 720, 3)


def test_a_script_becomes_a_video(studio: VideoClient, made: dict[str, Any], tmp_path: Path) -> None:
    assert (made["status"], made["stage"], made["progress"]) == ("succeeded", "done", 1)
    video = studio.file(made["task_id"])
    assert len(video) == made["bytes"]
    path = tmp_path / "short.mp4"
    path.write_bytes(video)
    assert read_mp4_label(path) == SOURCE_TYPE
    told = studio.verified(made["task_id"], "short.mp4")
    assert (told["ours"], told["made_with_a_model"]) == (True, True)
    thanked = {part.get("informational_URI") for part in told["manifest"]["ingredients"]} - {None}
    assert thanked == {credit["footage_url"] for credit in made["credits"]}
    said = subprocess.run([program(), "-i", str(path)], capture_output=True, text=True).stderr
    assert re.search(r"Video: h264 .*yuv420p.* 720x1280 \[SAR 1:1 DAR 9:16\].* 30 fps", said)
    assert re.search(r"Audio: aac .* 48000 Hz, stereo", said)
    length = re.search(r"Duration: 00:00:([\d.]+)", said)
    assert length
    assert float(length[1]) == pytest.approx(made["seconds"], abs=1 / 30 + 0.025)
    scenes = {identify(decoded(video, tmp_path, at=made["seconds"] * part)) for part in (0.1, 0.5, 0.9)}
    assert len(scenes - {None}) >= 2
    assert len(made["credits"]) >= 2
    assert all(credit["source"] == "Pexels" and credit["footage_url"] for credit in made["credits"])


def test_poster_and_captions_come_with_it(studio: VideoClient, made: dict[str, Any]) -> None:
    poster = studio.file(made["task_id"], "poster")
    assert read_label(poster) == SOURCE_TYPE
    assert studio.verified(made["task_id"], "poster.jpg")["ours"] is True
    srt, vtt = (studio.file(made["task_id"], name).decode() for name in ("srt", "vtt"))
    assert vtt.startswith("WEBVTT")
    assert srt.startswith("1\n00:00:0")
    for text in (srt, vtt):
        said = " ".join(line for line in text.splitlines() if "-->" not in line and not line.isdigit())
        assert " ".join(said.removeprefix("WEBVTT").split()) == SCRIPT
    assert studio.status("GET", f"/download/{made['task_id']}?file=script") == (400, "invalid_request")


def test_who_asked_is_told_with_a_signature(studio: VideoClient, made: dict[str, Any]) -> None:
    (told,) = until(lambda: studio.callbacks(made["task_id"]) or None)
    assert told["type"] == "video.succeeded"
    assert told["data"]["links"]["download"] == f"/download/{made['task_id']}"
    headers = told["headers"]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + told["body"]
    secret = studio.callback_secret()
    assert secret != CALLBACK_SECRET, "the operator's verifies everybody's"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 600
    assert until(lambda: studio.task(made["task_id"]).get("callback")) == "delivered"
    assert studio.execution(made["task_id"])["status"] == "SUCCEEDED"


def test_the_same_inputs_again_cost_nothing(studio: VideoClient, made: dict[str, Any]) -> None:
    again = studio.ended(studio.begin(SCRIPT))
    assert again["task_id"] != made["task_id"]
    assert again["status"] == "succeeded"
    assert studio.counts() == {"elevenlabs": 0, "pexels": 0, "files": 0}
    assert studio.file(again["task_id"]) == studio.file(made["task_id"])


def test_other_captions_need_no_new_speech(studio: VideoClient, made: dict[str, Any]) -> None:
    plain = studio.ended(studio.begin(SCRIPT, captions=False, quality="draft"))
    assert plain["status"] == "succeeded"
    assert studio.counts()["elevenlabs"] == studio.counts()["pexels"] == 0
    assert plain["seconds"] == made["seconds"]
    assert studio.file(plain["task_id"]) != studio.file(made["task_id"])


def test_nothing_private_is_in_the_states_or_the_log(studio: VideoClient, made: dict[str, Any]) -> None:
    states = studio.cloud.client("stepfunctions")
    arn = studio.execution(made["task_id"])["executionArn"]
    history = json.dumps(states.get_execution_history(executionArn=arn, maxResults=1000), default=str)
    log = studio.cloud.log.read_text(errors="replace")
    for private in (SCRIPT, studio.callback_secret(), *studio.standins.secrets):
        assert private not in history
        assert private not in log
    assert studio.standins.callback_url not in history


def test_a_task_that_failed_is_not_quoted_by_its_history(studio: VideoClient) -> None:
    script, query = fresh(), f"sea {uuid.uuid4().hex}"
    studio.standins.fault("pexels.none", times=None)
    task_id = studio.begin(script, query, callback_url=studio.standins.callback_url)
    studio.ended(task_id)
    arn = studio.execution(task_id)["executionArn"]
    states = studio.cloud.client("stepfunctions")
    history = json.dumps(states.get_execution_history(executionArn=arn, maxResults=1000), default=str)
    assert "NoFootage" in history
    for private in (script, query.split()[1], studio.standins.callback_url):
        assert private not in history


def test_a_repeated_request_is_the_same_task(studio: VideoClient, made: dict[str, Any]) -> None:
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: studio.post(SCRIPT, key=key), range(2))
    assert first.status_code == second.status_code == 202
    assert first.headers["Location"] == second.headers["Location"] == f"/task/{first.json()['task_id']}"
    other = studio.post(SCRIPT, "city", key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert studio.ended(first.json()["task_id"])["status"] == "succeeded"
    assert studio.post(SCRIPT, key=key).json()["status"] == "succeeded"


def test_a_third_video_waits_until_there_is_room(studio: VideoClient) -> None:
    hold = studio.standins.fault("elevenlabs.hold", times=None)
    tasks = [studio.begin(fresh()) for _ in range(2)]
    refused = studio.post(fresh())
    assert (refused.status_code, refused.json()["code"]) == (503, "at_capacity")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    script = fresh()

    def asked_again() -> Any:
        # A lease that ran out is anybody's: what held it died. Here another of its steps may begin, and renew it.
        studio.cloud.client("dynamodb").update_item(
            TableName=studio.table,
            Key={"id": {"S": "slot#0"}},
            UpdateExpression="SET expires_at = :past",
            ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 1)}},
        )
        answer = studio.post(script)
        return answer if answer.status_code == 202 else None

    third = until(asked_again)
    for task_id in (*tasks, third.json()["task_id"]):
        studio.cloud.request("DELETE", f"/task/{task_id}")
    hold.release()


@pytest.mark.parametrize(
    ("service", "stage"), [("elevenlabs", "voice-over"), ("pexels", "footage"), ("files", "clips")]
)
def test_a_task_can_be_cancelled_at_any_stage(studio: VideoClient, service: str, stage: str) -> None:
    hold = studio.standins.fault(f"{service}.hold", times=None)
    task_id = studio.begin(fresh(), f"sea {uuid.uuid4().hex}")
    assert hold.reached.wait(60)
    answer = studio.cloud.request("DELETE", f"/task/{task_id}")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    hold.release()  # until then a step may be at work, and keeps the slot
    until(lambda: studio.free_slots() == 2 or None)
    assert studio.execution(task_id)["status"] == "ABORTED"
    assert studio.cloud.request("DELETE", f"/task/{task_id}").json()["status"] == "cancelled"
    assert studio.status("GET", f"/download/{task_id}") == (409, "not_ready")
    assert studio.task(task_id)["status"] == "cancelled"
    assert studio.keys(f"videos/{task_id}") == []


def test_an_execution_that_an_operator_stops_is_settled(studio: VideoClient) -> None:
    hold = studio.standins.fault("elevenlabs.hold", times=None)
    task_id = studio.begin(fresh(), callback_url=studio.standins.callback_url)
    assert hold.reached.wait(60)
    states = studio.cloud.client("stepfunctions")
    machine = studio.cloud.outputs["VideoStateMachineArn"]
    states.stop_execution(executionArn=machine.replace(":stateMachine:", ":execution:", 1) + f":{task_id}")
    task = studio.ended(task_id)
    assert (task["status"], task["problem"]["code"]) == ("cancelled", "cancelled")
    hold.release()
    until(lambda: studio.standins.asked("elevenlabs") or None)  # the step that was at work counts here


def test_a_worker_that_is_killed_in_mid_encode_is_replaced(studio: VideoClient) -> None:
    task_id = studio.begin(fresh(), f"sea {uuid.uuid4().hex}", quality="high")
    encoder, sandbox = until(lambda: next(iter(studio.encoders()), None))
    os.kill(sandbox, signal.SIGKILL)
    until(lambda: not alive(encoder) or None)
    task = studio.ended(task_id)
    assert task["status"] == "succeeded", task
    assert studio.counts()["elevenlabs"] == 1
    assert studio.counts()["pexels"] == 1


def test_what_is_deleted_while_a_video_is_made_is_made_again(studio: VideoClient) -> None:
    hold = studio.standins.fault("files.hold")
    task_id = studio.begin(fresh(), f"sea {uuid.uuid4().hex}", quality="draft")
    assert hold.reached.wait(60)
    work = studio.work(task_id)
    (plan,) = [key for key in work if key.startswith("work/plan/")]
    (sound,) = until(lambda: [key for key in studio.work(task_id) if key.startswith("work/sound/")] or None)
    for key in (plan, sound):
        studio.cloud.client("s3").delete_object(Bucket=studio.cloud.bucket("outputs"), Key=key)
    hold.release()
    task = studio.ended(task_id)
    assert task["status"] == "succeeded", task
    assert studio.counts()["elevenlabs"] == studio.counts()["pexels"] == 1


def test_a_new_task_goes_on_where_a_failed_one_stopped(studio: VideoClient) -> None:
    script = fresh()
    studio.standins.fault("files.status", times=None, status=404)
    failed = studio.ended(studio.begin(script))
    assert (failed["status"], failed["stage"], failed["problem"]["code"]) == ("failed", "clips", "no_footage")
    studio.standins.clear()
    spoken = studio.counts()["elevenlabs"]
    again = studio.ended(studio.begin(script))
    assert again["status"] == "succeeded"
    assert studio.counts()["elevenlabs"] == spoken == 1


@pytest.mark.parametrize(
    ("fault", "how", "code"),
    [
        ("elevenlabs.quota", {}, "quota_exceeded"),
        ("elevenlabs.voice", {}, "provider_refused"),
        ("elevenlabs.unparsable", {}, "unreadable_media"),
        ("pexels.key", {}, "key_rejected"),
        ("pexels.none", {}, "no_footage"),
    ],
)
def test_a_fault_of_a_service_ends_as_a_problem_with_its_name(
    studio: VideoClient, fault: str, how: dict[str, Any], code: str
) -> None:
    studio.standins.fault(fault, times=None, **how)
    task_id = studio.begin(fresh(), f"sea {uuid.uuid4().hex}", callback_url=studio.standins.callback_url)
    task = studio.ended(task_id)
    assert (task["status"], task["problem"]["code"]) == ("failed", code)
    assert task["problem"]["instance"] == f"/task/{task_id}"
    execution = studio.execution(task_id)
    assert execution["status"] == "FAILED"
    assert "Traceback" not in json.dumps(execution, default=str)
    (told,) = studio.callbacks(task_id)
    assert (told["type"], told["data"]["problem"]["code"]) == ("video.failed", code)
    assert studio.status("GET", f"/download/{task_id}") == (409, "not_ready")


def test_a_service_that_is_busy_for_a_while_fails_nothing(studio: VideoClient) -> None:
    studio.standins.fault("elevenlabs.rate_limit", times=4)
    studio.standins.fault("pexels.html", times=4, status=503)
    studio.standins.fault("files.broken", after=1000)
    task = studio.ended(studio.begin(fresh(), f"sea {uuid.uuid4().hex}"))
    assert task["status"] == "succeeded", task
    assert studio.counts()["elevenlabs"] == 5


def test_a_callback_is_tried_again_and_never_fails_a_video(studio: VideoClient, made: dict[str, Any]) -> None:
    studio.standins.fault("callbacks.status", status=500)
    studio.standins.fault("callbacks.redirect", to="http://127.0.0.1:1/")
    told = studio.begin(SCRIPT, callback_url=studio.standins.callback_url)
    assert studio.execution(told)["status"] == "SUCCEEDED"
    assert studio.task(told)["callback"] == "delivered"
    ids = {each["headers"]["webhook-id"] for each in studio.callbacks(told)}
    assert ids == {f"msg_{told}"}
    studio.standins.fault("callbacks.status", times=None, status=410)
    gone = studio.begin(SCRIPT, callback_url=studio.standins.callback_url)
    assert studio.execution(gone)["status"] == "SUCCEEDED"
    assert (studio.task(gone)["status"], studio.task(gone)["callback"]) == ("succeeded", "failed")


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://10.0.0.1/", "https://[::1]/", "https://localhost:9001/"]
)
def test_a_callback_to_a_private_address_is_refused(studio: VideoClient, url: str) -> None:
    refused = studio.post(SCRIPT, callback_url=url)
    assert (refused.status_code, refused.json()["code"]) == (422, "refused_url")


def test_a_dry_run_spends_nothing(studio: VideoClient) -> None:
    answer = studio.post(fresh(), "city night", dry_run=True)
    assert answer.status_code == 200
    plan = answer.json()
    assert studio.counts()["elevenlabs"] == 0
    assert plan["characters"] > len(SCRIPT)
    assert sum(each["seconds"] for each in plan["segments"]) == pytest.approx(plan["seconds"], abs=0.1)
    assert studio.free_slots() == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"script_text": " ", "search_query": "sea"}, "invalid_request"),
        ({"script_text": "Hi", "search_query": "sea", "colour": "red"}, "invalid_request"),
        ({"script_text": "Hi", "search_query": "sea", "quality": "best"}, "invalid_request"),
        ({"script_text": "Hi\0", "search_query": "sea"}, "invalid_request"),
        ({"script_text": "a" * 5001, "search_query": "sea"}, "script_too_long"),
        (b"{", "invalid_request"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(studio: VideoClient, body: Any, code: str) -> None:
    answer = studio.cloud.request("POST", "/generate-video", body)
    assert answer.json()["code"] == code
    assert answer.status_code in (400, 413)
    assert studio.free_slots() == 2


def test_what_is_not_there_is_said_so(studio: VideoClient) -> None:
    for method, path in (("GET", "/task/x"), ("DELETE", f"/task/{uuid.uuid4()}"), ("GET", "/download/x")):
        assert studio.status(method, path) == (404, "not_found")
    paths = studio.cloud.request("GET", "/video/openapi.json").json()["paths"]
    assert set(paths) == {"/generate-video", "/task/{task_id}", "/download/{task_id}", "/video/callback-secret"}
    assert "swagger" in studio.cloud.request("GET", "/video/docs").text.lower()


def test_nobody_is_answered_without_a_signature(studio: VideoClient) -> None:
    routes = studio.cloud.client("apigatewayv2").get_routes(ApiId=studio.cloud.api_id)["Items"]
    assert len(routes) == 6
    assert {each["AuthorizationType"] for each in routes} == {"AWS_IAM"}


def test_a_finished_video_is_deleted_with_all_that_was_kept_to_make_it(studio: VideoClient) -> None:
    before = set(studio.keys("work/"))
    task_id = studio.begin(script := fresh(), f"sea {uuid.uuid4().hex}", quality="draft")
    assert studio.ended(task_id)["status"] == "succeeded"
    assert len(studio.keys(f"videos/{task_id}/")) >= 4
    kept, made = set(studio.keys("work/")), studio.work(task_id)
    assert kept - before <= made <= kept  # not equal: two scripts that take as long to say may have the same plan
    for _ in range(2):
        assert studio.cloud.request("DELETE", f"/task/{task_id}").status_code == 200
    assert studio.keys(f"videos/{task_id}/") == []
    assert set(studio.keys("work/")) <= before - made
    assert script not in json.dumps(studio.item(f"task#{task_id}"))
    assert studio.status("GET", f"/download/{task_id}") == (410, "expired")


@pytest.mark.full
def test_many_videos_one_after_another_leave_nothing_behind(studio: VideoClient) -> None:
    def resident() -> int:
        pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in studio.sandboxes()]
        return max(pages)

    of_the_killed = studio.left_behind()  # on AWS a sandbox's disk goes with it
    after: list[int] = []
    for _ in range(20):
        task = studio.ended(studio.begin(fresh("Nothing stays."), captions=False, quality="draft"))
        assert task["status"] == "succeeded", task
        assert studio.left_behind() == of_the_killed
        after.append(resident())
    assert max(after[10:]) <= 1.1 * max(after[:10])
