"""The local cloud itself: it ends with its starter and keeps its buckets on demand; `make up` and `make demo`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from layers.media.xmp_label import SOURCE_TYPE, read_label
from local import demo, video_client
from local.cloud import ROOT, Cloud, CloudFailed
from local.publish_demo_pack import publish_demo_pack
from tests.docs.pages import read, shell_blocks
from tests.support.fault_proxy import FaultProxy
from tests.support.swap_client import SwapClient

STARTER = """
import signal
from local.cloud import Cloud
with Cloud() as cloud:
    cloud.deploy()
    cloud.request("GET", "/openapi.json").raise_for_status()
    print(cloud.endpoint, cloud.folder, flush=True)
    signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.full)])
def test_emulator_and_sandboxes_end_with_whoever_started_them(tmp_path: Path, number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", STARTER], cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        endpoint, folder = starter.stdout.readline().split()
        other_cloud = Cloud(tmp_path, int(endpoint.rpartition(":")[2]))
        processes = [*SwapClient(other_cloud, FaultProxy(lambda: endpoint)).sandboxes(), *_processes_of_folder(folder)]
        pidfds = [os.pidfd_open(process) for process in processes]
        starter.send_signal(number)

    assert len(pidfds) > 2, "the supervisor, the emulator and a sandbox"
    for each in pidfds:
        assert select.select([each], [], [], 30)[0], "it still runs"
        os.close(each)
    assert not Path(folder).exists()


UP_SCRIPT = """
import pathlib, sys
from local import up
up.STATE_FOLDER = pathlib.Path(sys.argv[1])
sys.exit(up.main())
"""


def run(line: str) -> str:
    """Run a printed command line; its output."""
    return subprocess.run(["bash", "-c", line], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60).stdout


# The commands of the AWS CLI that the pages use, for machines without it.
AWS = """
aws() {
    case "$1 $2 $3" in
        "s3 cp s3://"*) curl -s -o "$4" "$AWS_ENDPOINT_URL/${3#s3://}" ;;
        "s3 cp "*) curl -s -T "$3" ${6:+-H "x-amz-meta-${6/=/: }"} "$AWS_ENDPOINT_URL/${4#s3://}" ;;
        "s3api wait object-exists")
            curl -s -I -o exists --retry 60 --retry-delay 1 --retry-all-errors "$AWS_ENDPOINT_URL/$5/$7" ;;
        "stepfunctions start-execution --state-machine-arn")
            python3 -c 'import json, sys; print(json.dumps(dict(zip(("stateMachineArn", "input"), sys.argv[1:]))))' \
                "$4" "$6" | curl -s -d @- -H "X-Amz-Target: AWSStepFunctions.StartExecution" \
                -H "Content-Type: application/x-amz-json-1.0" "$AWS_ENDPOINT_URL" ;;
        *) return 1 ;;
    esac
}
"""


def run_pages(variables: str, folder: Path) -> None:
    """Run every line for a shell in README.md's part for users and in docs/api.md, as they stand, after the line
    `export …` that `make up` prints. Fails where a command does, or where the API answers with an error."""
    blocks = [block for block in shell_blocks(read(ROOT / "README.md")) if "$API" in block or "$UPLOADS" in block]
    blocks += shell_blocks(read(ROOT / "docs/api.md"))
    folder.mkdir()
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / ".curlrc").write_text("fail\n")
    script = "\n".join(["set -euo pipefail", variables, AWS, *blocks])
    environment = {"PATH": os.environ["PATH"], "CURL_HOME": str(folder)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_a_standing_cloud_takes_the_lines_that_it_prints_and_those_of_the_pages(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", UP_SCRIPT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        output = "".join(iter(process.stdout.readline, "Press Ctrl-C to stop.\n"))
        try:
            lines = [line.strip() for line in output.splitlines() if line.startswith("  curl")]
            upload_line, _, swap_line, _, results_line, video_line, task_line, _ = lines
            run(upload_line)
            result = json.loads(run(swap_line))
            items = json.loads(run(results_line))["items"]
            task = json.loads(run(video_line))
            same_task = json.loads(run(task_line.replace("ID", task["task_id"])))
            (page_line,) = (line for line in output.splitlines() if line.startswith("page"))
            (variables,) = (line.strip() for line in output.splitlines() if line.startswith("  export"))
            run_pages(variables, tmp_path / "pages")
        finally:
            process.send_signal(signal.SIGINT)
        rest = process.stdout.read()

    assert re.fullmatch(r"page {6}http://\w+\.execute-api\.localhost:\d+/", page_line)
    assert result["faces"][0]["swapped"]
    assert [line["id"] for line in items] == [PurePosixPath(result["key"]).stem]
    assert task["status"] == "queued"
    assert same_task["status"] in ("queued", "running", "succeeded")
    for picture in ("swapped.jpg", "a.jpg"):
        assert read_label((tmp_path / "pages" / picture).read_bytes()) == SOURCE_TYPE, picture
    assert b"ftyp" in (tmp_path / "pages/short.mp4").read_bytes()[:12]
    assert process.returncode == 0
    assert "The buckets are kept" in rest


def test_kept_buckets_are_there_in_the_next_run(tmp_path: Path) -> None:
    with Cloud(tmp_path) as cloud:
        cloud.deploy()
        bucket = cloud.bucket("models")
        cloud.client("s3").put_object(Bucket=bucket, Key="packs/kept", Body=b"kept", Metadata={"a": "b"})

    with Cloud(tmp_path) as cloud:
        cloud.deploy({"DefaultFace": "https://example.com/face.png"})
        stored = cloud.client("s3").get_object(Bucket=bucket, Key="packs/kept")
        function = cloud.client("lambda").get_function_configuration(FunctionName=cloud.outputs["SwapFunctionName"])
        assert cloud.request("GET", "/openapi.json").status_code == 200

    assert (stored["Body"].read(), stored["Metadata"]) == (b"kept", {"a": "b"})
    assert function["Environment"]["Variables"]["DEFAULT_FACE"] == "https://example.com/face.png"


def test_kept_buckets_belong_to_one_run_at_a_time(tmp_path: Path) -> None:
    with Cloud(tmp_path), pytest.raises(CloudFailed, match="make up"):
        Cloud(tmp_path).start()


@pytest.mark.usefixtures("pointer")
def test_a_pack_of_the_operator_s_own_stays_in_use(stack: SwapClient, s3: Any) -> None:
    pointer = {"Bucket": stack.cloud.bucket("models"), "Key": "packs/current.json"}
    theirs = json.dumps({"pack": "theirs", "digest": "0" * 64}).encode()
    s3.put_object(**pointer, Body=theirs)

    assert publish_demo_pack(stack.cloud) == "theirs"
    assert s3.get_object(**pointer)["Body"].read() == theirs


def test_an_open_api_asks_for_no_signature() -> None:
    with Cloud() as cloud:
        cloud.deploy(open_api=True)
        with urllib.request.urlopen(f"{cloud.api_url}/openapi.json", timeout=60) as response:
            assert json.load(response)["openapi"]
        assert "spend your money" in cloud.outputs["ApiIsOpen"]


def test_with_jwt_nobody_enters_without_a_token() -> None:
    jwt = {"AuthMode": "jwt", "JwtIssuer": "https://issuer.example", "JwtAudience": "coldswap"}
    with Cloud() as cloud:
        cloud.deploy(jwt)
        (authorizer,) = cloud.client("apigatewayv2").get_authorizers(ApiId=cloud.api_id)["Items"]
        response = cloud.request("GET", "/openapi.json")

    assert response.status_code == 401
    assert authorizer["JwtConfiguration"] == {"Issuer": "https://issuer.example", "Audience": ["coldswap"]}


def test_nothing_listens_beyond_the_loopback(stack: SwapClient) -> None:
    ours = {each for process in _processes_of_folder(str(stack.cloud.folder)) for each in _open_files(process)}
    tables = [Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    sockets = [line.split() for table in tables for line in table]
    listening = [each[1].rpartition(":")[0] for each in sockets if each[3] == "0A" and f"socket:[{each[9]}]" in ours]

    assert listening
    assert set(listening) == {"0100007F"}  # 127.0.0.1, lowest byte first


@pytest.mark.full
def test_a_demo_that_fails_says_so_and_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clouds = []

    class RecordedCloud(Cloud):
        def __init__(self) -> None:
            super().__init__()
            clouds.append(self)

    monkeypatch.setattr(demo, "OUT", tmp_path)
    monkeypatch.setattr(demo, "Cloud", RecordedCloud)
    monkeypatch.setattr(video_client, "SCRIPT", "The sea was here first.")  # of the first video, to save its time
    monkeypatch.setattr(demo, "publish_demo_pack", lambda cloud: "none")

    status = demo.main([])

    assert status == 1
    report = json.loads((tmp_path / "demo.json").read_text())
    assert [each["ok"] for each in report["callers"].values()] == [False, False, False]
    assert all(each["problem"] for each in report["moving"].values())
    assert "models_missing" in capsys.readouterr().out
    assert [report["video"]["problem"], report["video"]["other"]["problem"]] == [None, None], "videos need no models"
    assert (tmp_path / "names.mp4").stat().st_size == report["video"]["other"]["bytes"]
    assert not clouds[0].alive()
    assert not clouds[0].folder.exists()


def _processes_of_folder(folder: str) -> list[int]:
    """Processes with the folder in their environment or their command: the emulator and its supervisor."""
    processes = []
    for process in Path("/proc").iterdir():
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if process.name.isdigit() and folder.encode() in text:
            processes.append(int(process.name))
    return processes


def _open_files(process: int) -> list[str]:
    """The targets of the process's file descriptors."""
    links = []
    with contextlib.suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with contextlib.suppress(OSError):
                links.append(os.readlink(link))
    return links
