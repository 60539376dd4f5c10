"""The local cloud itself: it ends with its starter, and keeps its buckets where asked; so does the demo end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from local import demo
from local.cloud import ROOT, Cloud, CloudFailed
from local.publish_demo_pack import publish_demo_pack
from tests.support.fault_proxy import FaultProxy
from tests.support.swap_client import SwapClients

STARTER = """
import signal
from local.cloud import Cloud
with Cloud() as cloud:
    cloud.deploy()
    cloud.request("GET", "/openapi.json").raise_for_status()
    print(cloud.endpoint, cloud.folder, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_emulator_and_sandboxes_end_with_whoever_started_them(tmp_path: Path, number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        endpoint, folder = starter.stdout.readline().split()
        ran = Cloud(tmp_path, int(endpoint.rpartition(":")[2]))
        processes = [*SwapClients(ran, FaultProxy(lambda: endpoint)).sandboxes(), *_of_folder(folder)]
        watched = [os.pidfd_open(process) for process in processes]
        starter.send_signal(number)

    assert len(watched) > 2, "the supervisor, the emulator and a sandbox"
    for each in watched:
        assert select.select([each], [], [], 30)[0], "it still runs"
        os.close(each)
    assert not Path(folder).exists()


UP = """
import pathlib, sys
from local import up
up.KEPT = pathlib.Path(sys.argv[1])
sys.exit(up.main())
"""


def run(line: str) -> str:
    """What a line that a person copies prints."""
    return subprocess.run(["bash", "-c", line], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_standing_cloud_takes_the_lines_that_it_prints(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", UP, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as standing:
        assert standing.stdout
        said = "".join(iter(standing.stdout.readline, "Ctrl-C stops it.\n"))
        try:
            lines = [line.strip() for line in said.splitlines() if line.startswith(("  curl", "  printf"))]
            put, _, body, post, _, results, video, task, _ = lines
            run(put)
            run(body)
            answer = json.loads(run(post))
            listed = json.loads(run(results))["items"]
            begun = json.loads(run(video))
            looked = json.loads(run(task.replace("ID", begun["task_id"])))
        finally:
            standing.send_signal(signal.SIGINT)
        rest = standing.stdout.read()

    assert answer["faces"][0]["swapped"]
    assert [line["id"] for line in listed] == [PurePosixPath(answer["key"]).stem]
    assert begun["status"] == "queued"
    assert looked["status"] in ("queued", "running", "succeeded")
    assert standing.returncode == 0
    assert "the buckets are kept" in rest


def test_kept_buckets_are_there_in_the_next_run(tmp_path: Path) -> None:
    with Cloud(tmp_path) as cloud:
        cloud.deploy()
        bucket = cloud.bucket("models")
        cloud.client("s3").put_object(Bucket=bucket, Key="packs/kept", Body=b"kept", Metadata={"a": "b"})

    with Cloud(tmp_path) as cloud:
        cloud.deploy({"DefaultFace": "https://example.com/face.png"})
        kept = cloud.client("s3").get_object(Bucket=bucket, Key="packs/kept")
        function = cloud.client("lambda").get_function_configuration(FunctionName=cloud.outputs["SwapFunctionName"])
        assert cloud.request("GET", "/openapi.json").status_code == 200

    assert (kept["Body"].read(), kept["Metadata"]) == (b"kept", {"a": "b"})
    assert function["Environment"]["Variables"]["DEFAULT_FACE"] == "https://example.com/face.png"


def test_kept_buckets_belong_to_one_run_at_a_time(tmp_path: Path) -> None:
    with Cloud(tmp_path), pytest.raises(CloudFailed, match="make up"):
        Cloud(tmp_path).start()


@pytest.mark.usefixtures("pointer")
def test_a_pack_of_the_operator_s_own_stays_in_use(stack: SwapClients, s3: Any) -> None:
    pointer = {"Bucket": stack.cloud.bucket("models"), "Key": "packs/current.json"}
    theirs = json.dumps({"pack": "theirs", "digest": "0" * 64}).encode()
    s3.put_object(**pointer, Body=theirs)

    assert publish_demo_pack(stack.cloud) == "theirs"
    assert s3.get_object(**pointer)["Body"].read() == theirs


def test_an_open_api_asks_for_no_signature() -> None:
    with Cloud() as cloud:
        cloud.deploy(open_api=True)
        with urllib.request.urlopen(f"{cloud.api_url}/openapi.json", timeout=60) as answer:
            assert json.load(answer)["openapi"]
        assert "spend your money" in cloud.outputs["ApiIsOpen"]


def test_with_jwt_nobody_enters_without_a_token() -> None:
    jwt = {"AuthMode": "jwt", "JwtIssuer": "https://issuer.example", "JwtAudience": "coldswap"}
    with Cloud() as cloud:
        cloud.deploy(jwt)
        (authorizer,) = cloud.client("apigatewayv2").get_authorizers(ApiId=cloud.api_id)["Items"]
        answer = cloud.request("GET", "/openapi.json")

    assert answer.status_code == 401
    assert authorizer["JwtConfiguration"] == {"Issuer": "https://issuer.example", "Audience": ["coldswap"]}


def test_nothing_listens_beyond_the_loopback(stack: SwapClients) -> None:
    ours = {each for process in _of_folder(str(stack.cloud.folder)) for each in _opened(process)}
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    sockets = [line.split() for table in tables for line in table]
    listening = [each[1].rpartition(":")[0] for each in sockets if each[3] == "0A" and f"socket:[{each[9]}]" in ours]

    assert listening
    assert set(listening) == {"0100007F"}  # 127.0.0.1, lowest byte first


def test_a_demo_that_fails_says_so_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clouds = []

    class Watched(Cloud):
        def __init__(self) -> None:
            super().__init__()
            clouds.append(self)

    monkeypatch.setattr(demo, "OUT", tmp_path)
    monkeypatch.setattr(demo, "Cloud", Watched)
    monkeypatch.setattr(demo, "publish_demo_pack", lambda cloud: "none")

    status = demo.main([])

    assert status == 1
    report = json.loads((tmp_path / "demo.json").read_text())
    assert [each["ok"] for each in report["callers"].values()] == [False, False, False]
    assert "models_missing" in capsys.readouterr().out
    assert not clouds[0].alive()
    assert not clouds[0].folder.exists()


def _of_folder(folder: str) -> list[int]:
    """Processes with the folder in their environment or their command: the emulator and its supervisor."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if process.name.isdigit() and folder.encode() in told:
            found.append(int(process.name))
    return found


def _opened(process: int) -> list[str]:
    """What the process's file descriptors lead to."""
    found = []
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(os.readlink(link))
    return found
