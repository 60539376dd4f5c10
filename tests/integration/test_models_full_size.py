"""Real models' whole way at their true size, offline: from servers on a bad day to swaps in the deployed stack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from layers.models.tools import internet_download as fetching
from local.cloud import Cloud
from tests.bench.prepare import picture_with_one_face
from tests.integration.test_models import Commands, Traffic, address, ask
from tests.support import model_standins
from tests.support.model_host import ModelHost, zipped

pytestmark = pytest.mark.full

MB = 1_000_000
SWAPPER, EMBEDDER, DETECTOR = "inswapper_128_fp16.onnx", "w600k_r50.onnx", "det_500m.onnx"
TRUE_SIZES = {SWAPPER: 277_680_638, EMBEDDER: 174_383_860, DETECTOR: 2_524_817}
MEME = "meme.jpg"


@pytest.fixture
def published(tmp_path: Path) -> dict[str, Path]:
    """The stand-ins by the names of the real files, and a picture in which the detector sees one face."""
    files = {name: tmp_path / name for name in (SWAPPER, EMBEDDER, DETECTOR, MEME)}
    model_standins.inswapper(files[SWAPPER])
    model_standins.w600k_r50(files[EMBEDDER])
    files[MEME].write_bytes(picture_with_one_face(files[DETECTOR], model_standins.det_500m))
    return files


@pytest.fixture
def upstream(tmp_path: Path, published: dict[str, Path]) -> Iterator[ModelHost]:
    """The servers."""
    folder = tmp_path / "upstream"
    folder.mkdir()
    (folder / SWAPPER).hardlink_to(published[SWAPPER])
    zipped(folder / "buffalo_l.zip", {EMBEDDER: published[EMBEDDER]}, pack=False)
    zipped(folder / "buffalo_sc.zip", {DETECTOR: published[DETECTOR]})
    with ModelHost(folder) as servers:
        yield servers


def test_from_upstream_to_a_swap_and_back(
    tmp_path: Path,
    published: dict[str, Path],
    upstream: ModelHost,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, size in TRUE_SIZES.items():
        assert abs(published[name].stat().st_size / size - 1) < 0.01
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetching, "PAUSES_SECONDS", (0.0, 0.0))
    commands = Commands(capsys, upstream.catalogue(published))

    _fetch(commands, upstream)
    built = commands("build")
    assert built["models"]["swapper"]["parity"]["psnr_db"] >= 80
    assert built["models"]["embedder"]["parity"]["cosine"] >= 0.9999

    with Cloud() as cloud:
        cloud.deploy()
        address(cloud, monkeypatch)
        default = commands("publish")["digest"]
        assert commands("verify")["faults"] == 0

        uploads, key = cloud.bucket("uploads"), f"requests/{cloud.caller()}/{MEME}"
        cloud.client("s3").upload_file(str(published[MEME]), uploads, key)
        request = {"meme": f"s3://{uploads}/{key}", "face": f"s3://{uploads}/{key}"}
        first = ask(cloud, request)
        assert dict(first.models)["pack"] == "default"

        other = model_standins.inswapper(tmp_path / "other.onnx", "fp16-weights", width=32)
        commands("build", "--swapper", other, "--licence", "none", "--name", "second")
        second = commands("publish", "--pack", "second")["digest"]
        both = {first, ask(cloud, request)}
        assert len({answer.picture for answer in both}) == 2

        with Traffic(cloud, request) as traffic:
            for digest in (default, second, default):
                commands("rollback", digest)
                traffic.pass_by(3)
        assert set(traffic.answers) == both
        assert ask(cloud, request) == first


def _fetch(commands: Commands, upstream: ModelHost) -> None:
    """One call that is given up, and one that goes on from there."""
    upstream.fault("broken", match=f"/store/{SWAPPER}", after=100 * MB)
    upstream.fault("elsewhere", match=f"/store/{SWAPPER}")
    upstream.fault("broken", match=f"/store/{SWAPPER}", after=200 * MB)
    upstream.fault("status", match=f"/store/{SWAPPER}", times=None, status=503)
    upstream.fault("broken", match="/store/buffalo_l.zip", after=30 * MB)
    upstream.fault("no_range", match="/store/buffalo_l.zip")
    upstream.fault("trickle", match="/store/buffalo_sc.zip", bytes_per_second=2 * MB)
    status, said = commands.run("fetch", "--accept-license")
    assert status == 1
    assert f"{200 * MB} bytes are kept" in said["error"]["detail"]

    upstream.clear()
    upstream.requests.clear()
    fetched = commands("fetch", "--accept-license")
    assert {Path(each["path"]).name: each["downloaded"] for each in fetched} == {
        DETECTOR: False,
        EMBEDDER: False,
        SWAPPER: True,
    }
    assert [each.sent for each in upstream.sent(SWAPPER)] == [fetched[2]["size"] - 200 * MB]
