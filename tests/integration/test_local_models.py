"""`make models LOCAL=1`: published models reach the local cloud, running or not, and stay in use."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from layers.models.tools import cli
from layers.models.tools.history import read_pointer
from local import models
from local.cloud import ROOT, Cloud
from local.publish_demo_pack import publish_demo_pack
from tests.support.model_host import ModelHost, zip_files

DEMO_FILES = {  # the demo pack's networks under the names of the published files, as this server has them
    "det_500m.onnx": "detector.onnx",
    "w600k_r50.onnx": "embedder.onnx",
    "inswapper_128_fp16.onnx": "swapper.onnx",
}


@pytest.fixture
def packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of packs, with `default` in it, made of files that a server of weights has."""
    monkeypatch.chdir(tmp_path)
    served = tmp_path / "served"
    served.mkdir()
    files = {}
    for name, ours in DEMO_FILES.items():
        files[name] = served / name
        files[name].write_bytes((ROOT / "local/demo_pack" / ours).read_bytes())
    for archive, member in (("buffalo_sc.zip", "det_500m.onnx"), ("buffalo_l.zip", "w600k_r50.onnx")):
        zip_files(served / archive, {member: files[member]})
    with ModelHost(served) as host:
        catalogue = host.catalogue(files)
        assert cli.main(["fetch", "--accept-license"], catalogue) == 0
        assert cli.main(["build"], catalogue) == 0
    return tmp_path / "build/packs"


@pytest.mark.full
def test_models_are_published_to_the_local_cloud_whether_it_runs_or_not(packs: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    publish = ["publish", "--built", str(packs / "default")]

    assert models.main(publish, kept) == 0

    with Cloud(kept) as cloud:
        cloud.deploy({"DefaultFace": "https://example.com/face.png"}, open_api=True)
        assert publish_demo_pack(cloud) == "default", "the demo pack replaced what was published"
        s3, bucket = cloud.client("s3"), cloud.bucket("models")
        first = read_pointer(bucket, s3)
        s3.delete_object(Bucket=bucket, Key="packs/current.json")
        assert models.main(publish, kept) == 0
        assert read_pointer(bucket, s3) == first
        assert cloud.alive()


def _recipe(*variables: str) -> list[str]:
    command = ["make", "--dry-run", "--old-file", ".venv/ready", "models", *variables]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [line for line in output.splitlines() if " -m l" in line]


@pytest.mark.parametrize(
    ("variables", "steps"),
    [
        (("LOCAL=1", "ACCEPT=1"), ["layers.models fetch", "layers.models build", "local.models publish"]),
        (("BUCKET=b", "ACCEPT=1"), ["layers.models fetch", "layers.models build", "layers.models publish"]),
    ],
)
def test_one_step_fetches_builds_and_publishes(variables: tuple[str, ...], steps: list[str]) -> None:
    recipe: Any = _recipe(*variables)

    assert [" ".join(line.split()[2:4]) for line in recipe if "layers.engine" not in line] == steps
    assert "--accept-license" in recipe[0]
