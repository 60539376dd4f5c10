"""Models of true size on their whole way, offline: from unreliable servers to swaps in the deployed stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from layers.models.tools import internet_download
from local.cloud import Cloud
from tests.bench.prepare import picture_with_one_face
from tests.integration.test_models import Commands, Traffic, swap_largest_face, use_cloud
from tests.support import model_standins
from tests.support.model_host import ModelHost, zip_files

pytestmark = pytest.mark.full

MB = 1_000_000
SWAPPER, EMBEDDER, DETECTOR = "inswapper_128_fp16.onnx", "w600k_r50.onnx", "det_500m.onnx"
TRUE_SIZES = {SWAPPER: 277_680_638, EMBEDDER: 174_383_860, DETECTOR: 2_524_817}
MEME = "meme.jpg"


@pytest.fixture
def model_files(tmp_path: Path) -> dict[str, Path]:
    """The stand-ins by the names of the real files, and a picture in which the detector sees one face."""
    files = {name: tmp_path / name for name in (SWAPPER, EMBEDDER, DETECTOR, MEME)}
    model_standins.inswapper(files[SWAPPER])
    model_standins.w600k_r50(files[EMBEDDER])
    files[MEME].write_bytes(picture_with_one_face(files[DETECTOR], model_standins.det_500m))
    return files


@pytest.fixture
def model_host(tmp_path: Path, model_files: dict[str, Path]) -> Iterator[ModelHost]:
    """The servers."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    (folder / SWAPPER).hardlink_to(model_files[SWAPPER])
    zip_files(folder / "buffalo_l.zip", {EMBEDDER: model_files[EMBEDDER]}, pack=False)
    zip_files(folder / "buffalo_sc.zip", {DETECTOR: model_files[DETECTOR]})
    with ModelHost(folder) as servers:
        yield servers


def test_from_upstream_to_a_swap_and_back(
    tmp_path: Path,
    model_files: dict[str, Path],
    model_host: ModelHost,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, size in TRUE_SIZES.items():
        assert abs(model_files[name].stat().st_size / size - 1) < 0.01
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(internet_download, "PAUSES_SECONDS", (0.0, 0.0))
    commands = Commands(capsys, model_host.catalogue(model_files))

    _fetch(commands, model_host)
    pack = commands("build")
    assert pack["models"]["swapper"]["parity"]["psnr_db"] >= 80
    assert pack["models"]["embedder"]["parity"]["cosine"] >= 0.9999

    with Cloud() as cloud:
        cloud.deploy()
        use_cloud(cloud, monkeypatch)
        default = commands("publish")["digest"]
        assert commands("verify")["faults"] == 0

        uploads, key = cloud.bucket("uploads"), f"requests/{cloud.caller()}/{MEME}"
        cloud.client("s3").upload_file(str(model_files[MEME]), uploads, key)
        request = {"meme": f"s3://{uploads}/{key}", "face": f"s3://{uploads}/{key}"}
        first = swap_largest_face(cloud, request)
        assert dict(first.models)["pack"] == "default"

        other = model_standins.inswapper(tmp_path / "other.onnx", "fp16-weights", width=32)
        commands("build", "--swapper", other, "--licence", "none", "--name", "second")
        second = commands("publish", "--pack", "second")["digest"]
        both = {first, swap_largest_face(cloud, request)}
        assert len({answer.picture for answer in both}) == 2

        with Traffic(cloud, request) as traffic:
            for digest in (default, second, default):
                commands("rollback", digest)
                traffic.wait_for_answers(3)
        assert set(traffic.answers) == both
        assert swap_largest_face(cloud, request) == first


def _fetch(commands: Commands, model_host: ModelHost) -> None:
    """Fetch with a first call that gives up, and a second that resumes from there."""
    model_host.fault("broken", match=f"/store/{SWAPPER}", after=100 * MB)
    model_host.fault("elsewhere", match=f"/store/{SWAPPER}")
    model_host.fault("broken", match=f"/store/{SWAPPER}", after=200 * MB)
    model_host.fault("status", match=f"/store/{SWAPPER}", times=None, status=503)
    model_host.fault("broken", match="/store/buffalo_l.zip", after=30 * MB)
    model_host.fault("no_range", match="/store/buffalo_l.zip")
    model_host.fault("trickle", match="/store/buffalo_sc.zip", bytes_per_second=2 * MB)
    status, output = commands.run("fetch", "--accept-license")
    assert status == 1
    assert f"{200 * MB} bytes are kept" in output["error"]["detail"]

    model_host.clear()
    model_host.requests.clear()
    files = commands("fetch", "--accept-license")
    assert {Path(each["path"]).name: each["downloaded"] for each in files} == {
        DETECTOR: False,
        EMBEDDER: False,
        SWAPPER: True,
    }
    assert [each.bytes_sent for each in model_host.requests_for(SWAPPER)] == [files[2]["size"] - 200 * MB]
