"""Short videos on the deployed stack, over HTTP, with stand-ins for the providers."""

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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layers.media.ffmpeg import program
from layers.media.xmp_label import SOURCE_TYPE, read_label, read_mp4_label
from local.cloud import Cloud
from local.standins.servers import CALLBACK_SECRET, StandIns
from local.standins.stock_footage import identify
from local.swap_clients import put_input, wait_for
from tests.support import log_leaks
from tests.support.video_client import VideoClient, is_alive

SCRIPT = "The sea was here before us. It will be here when we are gone. Listen to it for a while."


@pytest.fixture(scope="module")
def module_client() -> Iterator[VideoClient]:
    with StandIns() as standins, Cloud() as cloud:
        cloud.deploy(environment=standins.environment)
        yield VideoClient(cloud, standins)
        log_leaks.assert_no_leaks(cloud, private=[SCRIPT.partition(".")[0], *standins.secrets])


@pytest.fixture
def client(module_client: VideoClient) -> Iterator[VideoClient]:
    """A client without faults or recorded requests; both slots are free again afterwards."""
    module_client.standins.clear()
    module_client.standins.requests.clear()
    yield module_client
    module_client.standins.clear()
    wait_for(lambda: module_client.free_slots() == 2 or None)


@pytest.fixture(scope="module")
def finished(module_client: VideoClient) -> dict[str, Any]:
    """A finished video, requested with a callback."""
    module_client.standins.clear()
    task_id = module_client.start(SCRIPT, callback_url=module_client.standins.callback_url)
    task = module_client.wait_until_over(task_id)
    assert task["status"] == "succeeded", task
    return task


def fresh(text: str = SCRIPT) -> str:
    """A script that has not been used before."""
    return f"{text} Number {uuid.uuid4().int % 10**6}."


def decode_frame(video: bytes, folder: Path, *, at: float) -> np.ndarray[Any, Any]:
    """One frame, uint8 RGB [1280, 720, 3], as ffmpeg decodes it."""
    path = folder / "short.mp4"
    path.write_bytes(video)
    read = [program(), "-v", "error", "-ss", f"{at:.3f}", "-i", str(path), "-frames:v", "1"]
    raw = subprocess.run([*read, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(1280, 720, 3)


def test_a_script_becomes_a_video(client: VideoClient, finished: dict[str, Any], tmp_path: Path) -> None:
    assert (finished["status"], finished["stage"], finished["progress"]) == ("succeeded", "done", 1)
    video = client.download(finished["task_id"])
    assert len(video) == finished["bytes"]
    path = tmp_path / "short.mp4"
    path.write_bytes(video)
    assert read_mp4_label(path) == SOURCE_TYPE
    report = client.verify(finished["task_id"], "short.mp4")
    assert (report["ours"], report["made_with_a_model"]) == (True, True)
    credit_urls = {part.get("informational_URI") for part in report["manifest"]["ingredients"]} - {None}
    assert credit_urls == {credit["footage_url"] for credit in finished["credits"]}
    ffmpeg_output = subprocess.run([program(), "-i", str(path)], capture_output=True, text=True).stderr
    assert re.search(r"Video: h264 .*yuv420p.* 720x1280 \[SAR 1:1 DAR 9:16\].* 30 fps", ffmpeg_output)
    assert re.search(r"Audio: aac .* 48000 Hz, stereo", ffmpeg_output)
    length = re.search(r"Duration: 00:00:([\d.]+)", ffmpeg_output)
    assert length
    assert float(length[1]) == pytest.approx(finished["seconds"], abs=1 / 30 + 0.025)
    scenes = {identify(decode_frame(video, tmp_path, at=finished["seconds"] * part)) for part in (0.1, 0.5, 0.9)}
    assert len(scenes - {None}) >= 2
    assert len(finished["credits"]) >= 2
    assert all(credit["source"] == "Pexels" and credit["footage_url"] for credit in finished["credits"])


def test_poster_and_captions_come_with_it(client: VideoClient, finished: dict[str, Any]) -> None:
    poster = client.download(finished["task_id"], "poster")
    assert read_label(poster) == SOURCE_TYPE
    assert client.verify(finished["task_id"], "poster.jpg")["ours"] is True
    srt, vtt = (client.download(finished["task_id"], name).decode() for name in ("srt", "vtt"))
    assert vtt.startswith("WEBVTT")
    assert srt.startswith("1\n00:00:0")
    for text in (srt, vtt):
        words = " ".join(line for line in text.splitlines() if "-->" not in line and not line.isdigit())
        assert " ".join(words.removeprefix("WEBVTT").split()) == SCRIPT
    assert client.status("GET", f"/download/{finished['task_id']}?file=script") == (400, "invalid_request")


def draw_own_files(client: VideoClient, folder: Path) -> dict[str, str]:
    """A green picture, a blue video, a recording and music, as uploads; their URIs."""
    sources = {
        "shop.png": ["-i", "color=0x20a020:s=900x900", "-frames:v", "1"],
        "roast.mp4": ["-i", "color=0x2020c0:s=640x360:r=25:d=2", "-c:v", "libx264", "-pix_fmt", "yuv420p"],
        "voice.mp3": ["-i", "aevalsrc='0.2*sin(1200*t)*gt(sin(8*t),0)':s=24000:d=4"],
        "music.mp3": ["-i", "sine=frequency=300:duration=2"],
    }
    for name, source in sources.items():
        subprocess.run([program(), "-v", "error", "-f", "lavfi", *source, str(folder / name)], check=True)
    return {Path(name).stem: put_input(client.cloud, folder / name) for name in sources}


@contextmanager
def without_keys(client: VideoClient) -> Iterator[None]:
    """The stack as it is where the operator has no key of any other service."""
    functions, name = client.cloud.client("lambda"), client.cloud.outputs["VideoFunctionName"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    others = ("ELEVENLABS_API_KEY", "PEXELS_API_KEY", "PIXABAY_API_KEY", "VOICE_ID", "CALLBACK_SECRET")
    left = {key: value for key, value in variables.items() if key not in others}
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": left})
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables})


def test_own_pictures_videos_recordings_and_music_become_a_video(client: VideoClient, tmp_path: Path) -> None:
    own = draw_own_files(client, tmp_path)
    scenes = [{"text": "This is our shop.", "clip": own["shop"]}, {"text": "We roast here.", "clip": own["roast"]}]
    body = {
        "scenes": scenes,
        "voice": {"uri": own["voice"]},
        "music": {"uri": own["music"]},
        "captions": {"look": "boxed"},
        "quality": "draft",
    }
    response = client.cloud.request("POST", "/generate-video", body)
    assert response.status_code == 202, response.text
    task = client.wait_until_over(response.json()["task_id"])

    assert task["status"] == "succeeded", task
    assert task["seconds"] == pytest.approx(4, abs=0.1)
    assert (task["voice_service"], task["captions_timing"], task["credits"]) == (None, "estimated", [])
    assert [shot["source"] for shot in task["shots"]] == ["own", "own"]
    video = client.download(task["task_id"])
    first, last = (decode_frame(video, tmp_path, at=at)[:500].mean(axis=(0, 1)) for at in (0.5, 3.5))
    assert first.argmax() == 1, "the picture is green"
    assert last.argmax() == 2, "the video is blue"
    assert client.request_counts() == {"elevenlabs": 0, "pexels": 0, "files": 0}
    parts = {part["title"] for part in client.verify(task["task_id"], "short.mp4")["manifest"]["ingredients"]}
    assert {"Music", "Clips of the requester's own"} <= parts


def test_a_stack_without_any_key_makes_videos_of_own_clips_by_polly(client: VideoClient, tmp_path: Path) -> None:
    own = draw_own_files(client, tmp_path)
    body = {"scenes": [{"text": "This is our shop, in the old harbour.", "clip": own["shop"]}], "quality": "draft"}
    with without_keys(client):
        response = client.cloud.request("POST", "/generate-video", body)
        assert response.status_code == 202, response.text
        task = client.wait_until_over(response.json()["task_id"])
        assert client.post(fresh()).status_code == 503, "stock footage needs a key"

    assert task["status"] == "succeeded", task
    assert (task["voice_service"], task["captions_timing"]) == ("Amazon Polly", "exact")
    assert len(client.standins.requests_to("polly")) == 2, "its sound and its times"
    manifest = client.verify(task["task_id"], "short.mp4")["manifest"]
    assert "polly" in json.dumps(manifest), "signed as what it is"


def test_who_asked_is_told_with_a_signature(client: VideoClient, finished: dict[str, Any]) -> None:
    (callback,) = wait_for(lambda: client.callbacks(finished["task_id"]) or None)
    assert callback["type"] == "video.succeeded"
    assert callback["data"]["links"]["download"] == f"/download/{finished['task_id']}"
    headers = callback["headers"]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + callback["body"]
    secret = client.callback_secret()
    assert secret != CALLBACK_SECRET, "the operator's secret would verify the callbacks of all callers"
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 600
    assert wait_for(lambda: client.task(finished["task_id"]).get("callback")) == "delivered"
    assert client.wait_for_execution(finished["task_id"])["status"] == "SUCCEEDED"


def test_the_same_inputs_again_cost_nothing(client: VideoClient, finished: dict[str, Any]) -> None:
    again = client.wait_until_over(client.start(SCRIPT))
    assert again["task_id"] != finished["task_id"]
    assert again["status"] == "succeeded"
    assert client.request_counts() == {"elevenlabs": 0, "pexels": 0, "files": 0}
    assert client.download(again["task_id"]) == client.download(finished["task_id"])


def test_other_captions_need_no_new_speech(client: VideoClient, finished: dict[str, Any]) -> None:
    plain = client.wait_until_over(client.start(SCRIPT, captions=False, quality="draft"))
    assert plain["status"] == "succeeded"
    assert client.request_counts()["elevenlabs"] == client.request_counts()["pexels"] == 0
    assert plain["seconds"] == finished["seconds"]
    assert client.download(plain["task_id"]) != client.download(finished["task_id"])


def test_nothing_private_is_in_the_states_or_the_log(client: VideoClient, finished: dict[str, Any]) -> None:
    states = client.cloud.client("stepfunctions")
    arn = client.wait_for_execution(finished["task_id"])["executionArn"]
    history = json.dumps(states.get_execution_history(executionArn=arn, maxResults=1000), default=str)
    log = client.cloud.log.read_text(errors="replace")
    for private in (SCRIPT, client.callback_secret(), *client.standins.secrets):
        assert private not in history
        assert private not in log
    assert client.standins.callback_url not in history


def test_a_task_that_failed_is_not_quoted_by_its_history(client: VideoClient) -> None:
    script, query = fresh(), f"sea {uuid.uuid4().hex}"
    client.standins.fault("pexels.none", times=None)
    task_id = client.start(script, query, callback_url=client.standins.callback_url)
    client.wait_until_over(task_id)
    arn = client.wait_for_execution(task_id)["executionArn"]
    states = client.cloud.client("stepfunctions")
    history = json.dumps(states.get_execution_history(executionArn=arn, maxResults=1000), default=str)
    assert "NoFootage" in history
    for private in (script, query.split()[1], client.standins.callback_url):
        assert private not in history


def test_a_repeated_request_is_the_same_task(client: VideoClient, finished: dict[str, Any]) -> None:
    key = str(uuid.uuid4())
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: client.post(SCRIPT, key=key), range(2))
    assert first.status_code == second.status_code == 202
    assert first.headers["Location"] == second.headers["Location"] == f"/task/{first.json()['task_id']}"
    other = client.post(SCRIPT, "city", key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")
    assert client.wait_until_over(first.json()["task_id"])["status"] == "succeeded"
    assert client.post(SCRIPT, key=key).json()["status"] == "succeeded"


def test_a_third_video_waits_until_there_is_room(client: VideoClient) -> None:
    hold = client.standins.fault("elevenlabs.hold", times=None)
    tasks = [client.start(fresh()) for _ in range(2)]
    response = client.post(fresh())
    assert (response.status_code, response.json()["code"]) == (503, "at_capacity")
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    script = fresh()

    def retry() -> Any:
        # An expired lease is free: its holder has died. Here another of its steps may start, and renew it.
        client.cloud.client("dynamodb").update_item(
            TableName=client.table,
            Key={"id": {"S": "slot#0"}},
            UpdateExpression="SET expires_at = :past",
            ExpressionAttributeValues={":past": {"N": str(int(time.time()) - 1)}},
        )
        response = client.post(script)
        return response if response.status_code == 202 else None

    accepted = wait_for(retry)
    for task_id in (*tasks, accepted.json()["task_id"]):
        client.cloud.request("DELETE", f"/task/{task_id}")
    hold.release()


@pytest.mark.parametrize(
    ("service", "stage"), [("elevenlabs", "voice-over"), ("pexels", "footage"), ("files", "clips")]
)
def test_a_task_can_be_cancelled_at_any_stage(client: VideoClient, service: str, stage: str) -> None:
    hold = client.standins.fault(f"{service}.hold", times=None)
    task_id = client.start(fresh(), f"sea {uuid.uuid4().hex}")
    assert hold.reached.wait(60)
    response = client.cloud.request("DELETE", f"/task/{task_id}")
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    hold.release()  # until then a step may be at work, and keeps the slot
    wait_for(lambda: client.free_slots() == 2 or None)
    assert client.wait_for_execution(task_id)["status"] == "ABORTED"
    assert client.cloud.request("DELETE", f"/task/{task_id}").json()["status"] == "cancelled"
    assert client.status("GET", f"/download/{task_id}") == (409, "not_ready")
    assert client.task(task_id)["status"] == "cancelled"
    assert client.keys(f"videos/{task_id}") == []


def test_an_execution_that_an_operator_stops_is_settled(client: VideoClient) -> None:
    hold = client.standins.fault("elevenlabs.hold", times=None)
    task_id = client.start(fresh(), callback_url=client.standins.callback_url)
    assert hold.reached.wait(60)
    states = client.cloud.client("stepfunctions")
    machine = client.cloud.outputs["VideoStateMachineArn"]
    states.stop_execution(executionArn=machine.replace(":stateMachine:", ":execution:", 1) + f":{task_id}")
    task = client.wait_until_over(task_id)
    assert (task["status"], task["problem"]["code"]) == ("cancelled", "cancelled")
    hold.release()
    wait_for(lambda: client.standins.requests_to("elevenlabs") or None)  # the step that was at work counts here


def test_a_worker_that_is_killed_in_mid_encode_is_replaced(client: VideoClient) -> None:
    task_id = client.start(fresh(), f"sea {uuid.uuid4().hex}", quality="high")
    encoder, sandbox = wait_for(lambda: next(iter(client.encoders()), None))
    os.kill(sandbox, signal.SIGKILL)
    wait_for(lambda: not is_alive(encoder) or None)
    task = client.wait_until_over(task_id)
    assert task["status"] == "succeeded", task
    assert client.request_counts()["elevenlabs"] == 1
    assert client.request_counts()["pexels"] == 1


def test_what_is_deleted_while_a_video_is_made_is_made_again(client: VideoClient) -> None:
    hold = client.standins.fault("files.hold")
    task_id = client.start(fresh(), f"sea {uuid.uuid4().hex}", quality="draft")
    assert hold.reached.wait(60)
    work = client.artifact_keys(task_id)
    (plan,) = [key for key in work if key.startswith("work/plan/")]
    (sound,) = wait_for(lambda: [key for key in client.artifact_keys(task_id) if key.startswith("work/sound/")] or None)
    for key in (plan, sound):
        client.cloud.client("s3").delete_object(Bucket=client.cloud.bucket("outputs"), Key=key)
    hold.release()
    task = client.wait_until_over(task_id)
    assert task["status"] == "succeeded", task
    assert client.request_counts()["elevenlabs"] == client.request_counts()["pexels"] == 1


def test_a_new_task_goes_on_where_a_failed_one_stopped(client: VideoClient) -> None:
    script = fresh()
    client.standins.fault("files.status", times=None, status=404)
    failed = client.wait_until_over(client.start(script))
    assert (failed["status"], failed["stage"], failed["problem"]["code"]) == ("failed", "clips", "no_footage")
    client.standins.clear()
    voice_requests = client.request_counts()["elevenlabs"]
    again = client.wait_until_over(client.start(script))
    assert again["status"] == "succeeded"
    assert client.request_counts()["elevenlabs"] == voice_requests == 1


@pytest.mark.parametrize(
    ("fault", "how", "code"),
    [
        ("elevenlabs.quota", {}, "quota_exceeded"),
        pytest.param("elevenlabs.voice", {}, "provider_refused", marks=pytest.mark.full),
        pytest.param("elevenlabs.unparsable", {}, "unreadable_media", marks=pytest.mark.full),
        pytest.param("pexels.key", {}, "key_rejected", marks=pytest.mark.full),
        ("pexels.none", {}, "no_footage"),
    ],
)
def test_a_fault_of_a_service_ends_as_a_problem_with_its_name(
    client: VideoClient, fault: str, how: dict[str, Any], code: str
) -> None:
    client.standins.fault(fault, times=None, **how)
    task_id = client.start(fresh(), f"sea {uuid.uuid4().hex}", callback_url=client.standins.callback_url)
    task = client.wait_until_over(task_id)
    assert (task["status"], task["problem"]["code"]) == ("failed", code)
    assert task["problem"]["instance"] == f"/task/{task_id}"
    execution = client.wait_for_execution(task_id)
    assert execution["status"] == "FAILED"
    assert "Traceback" not in json.dumps(execution, default=str)
    (callback,) = client.callbacks(task_id)
    assert (callback["type"], callback["data"]["problem"]["code"]) == ("video.failed", code)
    assert client.status("GET", f"/download/{task_id}") == (409, "not_ready")


def test_a_service_that_is_busy_for_a_while_fails_nothing(client: VideoClient) -> None:
    client.standins.fault("elevenlabs.rate_limit", times=4)
    client.standins.fault("pexels.html", times=4, status=503)
    client.standins.fault("files.broken", after=1000)
    task = client.wait_until_over(client.start(fresh(), f"sea {uuid.uuid4().hex}"))
    assert task["status"] == "succeeded", task
    assert client.request_counts()["elevenlabs"] == 5


def test_a_callback_is_tried_again_and_never_fails_a_video(client: VideoClient, finished: dict[str, Any]) -> None:
    client.standins.fault("callbacks.status", status=500)
    client.standins.fault("callbacks.redirect", to="http://127.0.0.1:1/")
    task_id = client.start(SCRIPT, callback_url=client.standins.callback_url)
    assert client.wait_for_execution(task_id)["status"] == "SUCCEEDED"
    assert client.task(task_id)["callback"] == "delivered"
    ids = {each["headers"]["webhook-id"] for each in client.callbacks(task_id)}
    assert ids == {f"msg_{task_id}"}
    client.standins.fault("callbacks.status", times=None, status=410)
    other_task_id = client.start(SCRIPT, callback_url=client.standins.callback_url)
    assert client.wait_for_execution(other_task_id)["status"] == "SUCCEEDED"
    assert (client.task(other_task_id)["status"], client.task(other_task_id)["callback"]) == ("succeeded", "failed")


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://10.0.0.1/", "https://[::1]/", "https://localhost:9001/"]
)
def test_a_callback_to_a_private_address_is_refused(client: VideoClient, url: str) -> None:
    response = client.post(SCRIPT, callback_url=url)
    assert (response.status_code, response.json()["code"]) == (422, "refused_url")


def test_a_dry_run_spends_nothing(client: VideoClient) -> None:
    response = client.post(fresh(), "city night", dry_run=True)
    assert response.status_code == 200
    plan = response.json()
    assert client.request_counts()["elevenlabs"] == 0
    assert plan["characters"] > len(SCRIPT)
    assert sum(each["seconds"] for each in plan["segments"]) == pytest.approx(plan["seconds"], abs=0.1)
    assert client.free_slots() == 2


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
def test_a_request_that_makes_no_sense_is_refused(client: VideoClient, body: Any, code: str) -> None:
    response = client.cloud.request("POST", "/generate-video", body)
    assert response.json()["code"] == code
    assert response.status_code in (400, 413)
    assert client.free_slots() == 2


def test_what_is_not_there_is_said_so(client: VideoClient) -> None:
    for method, path in (("GET", "/task/x"), ("DELETE", f"/task/{uuid.uuid4()}"), ("GET", "/download/x")):
        assert client.status(method, path) == (404, "not_found")
    whole, alias = (client.cloud.request("GET", path).text for path in ("/openapi.json", "/video/openapi.json"))
    assert alias == whole
    assert "swagger" in client.cloud.request("GET", "/video/docs").text.lower()


def test_nobody_is_answered_without_a_signature(client: VideoClient) -> None:
    routes = client.cloud.client("apigatewayv2").get_routes(ApiId=client.cloud.api_id)["Items"]
    assert len(routes) == 6
    assert {each["AuthorizationType"] for each in routes} == {"AWS_IAM"}


def test_a_finished_video_is_deleted_with_all_that_was_kept_to_make_it(client: VideoClient) -> None:
    before = set(client.keys("work/"))
    task_id = client.start(script := fresh(), f"sea {uuid.uuid4().hex}", quality="draft")
    assert client.wait_until_over(task_id)["status"] == "succeeded"
    assert len(client.keys(f"videos/{task_id}/")) >= 4
    stored, of_the_task = set(client.keys("work/")), client.artifact_keys(task_id)
    assert (
        stored - before <= of_the_task <= stored
    )  # not equal: two scripts that take as long to say may have the same plan
    for _ in range(2):
        assert client.cloud.request("DELETE", f"/task/{task_id}").status_code == 200
    assert client.keys(f"videos/{task_id}/") == []
    assert set(client.keys("work/")) <= before - of_the_task
    assert script not in json.dumps(client.item(f"task#{task_id}"))
    assert client.status("GET", f"/download/{task_id}") == (410, "expired")


@pytest.mark.full
def test_many_videos_one_after_another_leave_nothing_behind(client: VideoClient) -> None:
    def resident() -> int:
        pages = [int(Path(f"/proc/{each}/statm").read_text().split()[1]) for each in client.sandboxes()]
        return max(pages)

    leftovers = client.leftover_folders()  # on AWS a sandbox's disk goes with it
    pages: list[int] = []
    for _ in range(20):
        task = client.wait_until_over(client.start(fresh("Nothing stays."), captions=False, quality="draft"))
        assert task["status"] == "succeeded", task
        assert client.leftover_folders() == leftovers
        pages.append(resident())
    assert max(pages[10:]) <= 1.1 * max(pages[:10])
