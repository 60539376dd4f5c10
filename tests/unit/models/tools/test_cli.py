"""The commands as an operator types them: what they say, what they leave, and how they end."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from layers.core import storage
from layers.models.tools import internet_download as fetching
from layers.models.tools.catalogue import CATALOGUE, Catalogue
from layers.models.tools.cli import main
from layers.models.tools.history import read_pointer
from tests.support import model_standins
from tests.support.faulty_s3 import FaultyS3
from tests.support.model_host import LICENCE, ModelHost, zip_files
from tests.unit.models import toys
from tests.unit.swap import networks

BUCKET = ("--bucket", "models")


@dataclass(frozen=True)
class Commands:
    s3: FaultyS3
    upstream: ModelHost
    catalogue: Catalogue
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Exit status, standard output, standard error."""
        status = main([str(each) for each in arguments], self.catalogue)
        return status, *self.capture.readouterr()

    def run_json(self, *arguments: str | Path) -> Any:
        """What a command that succeeds says as JSON."""
        status, out, err = self.run(*arguments, "--json")
        assert status == 0, out + err
        return json.loads(out)

    def in_use(self) -> str:
        pointer = read_pointer("models", self.s3.client())
        assert pointer
        return pointer.digest


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Commands]:
    monkeypatch.setattr(fetching, "PAUSES_SECONDS", (0.0,))
    monkeypatch.setattr(storage, "_clients", {})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = tmp_path / "server"
    server.mkdir()
    names = {"detector": "det_500m.onnx", "embedder": "w600k_r50.onnx", "swapper": "inswapper_128_fp16.onnx"}
    files = {name: toys.files() / f"{model}.onnx" for model, name in names.items()}
    files["det_10g.onnx"] = model_standins.det_10g(tmp_path / "det_10g.onnx", shift=1.0)
    zip_files(server / "buffalo_sc.zip", {"det_500m.onnx": files["det_500m.onnx"]}, pack=False)
    zip_files(server / "buffalo_l.zip", {name: files[name] for name in ("det_10g.onnx", "w600k_r50.onnx")}, pack=False)
    shutil.copy(files["inswapper_128_fp16.onnx"], server / "inswapper_128_fp16.onnx")
    monkeypatch.chdir(tmp_path)
    with FaultyS3() as s3, ModelHost(server) as upstream:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        yield Commands(s3, upstream, upstream.catalogue(files), capsys)


def install(world: Commands, pack: str) -> str:
    """The digest of a pack that is fetched, built and published."""
    world.run_json("fetch", "--pack", pack, "--accept-license")
    world.run_json("build", "--pack", pack)
    return str(world.run_json("publish", "--pack", pack, *BUCKET)["digest"])


def test_nothing_is_fetched_before_the_licence_is_accepted(world: Commands) -> None:
    status, out, err = world.run("fetch")
    assert status == 2
    assert not out
    assert LICENCE.gist in err
    assert "--accept-license" in err
    assert not world.upstream.requests


def test_the_real_licence_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch"], CATALOGUE) == 2
    assert "non-commercial research only" in capsys.readouterr().err


def test_a_pack_from_upstream_to_the_bucket_and_back(world: Commands) -> None:
    default, large = install(world, "default"), install(world, "large")
    assert default != large
    assert world.in_use() == large

    packs = world.run_json("list", *BUCKET)["packs"]
    assert [(each["pack"], each["digest"], each["current"]) for each in packs] == [
        ("large", large, True),
        ("default", default, False),
    ]
    assert packs[0]["models"]["swapper"]["licence"] == LICENCE.name
    assert packs[0]["models"]["swapper"]["parity"]["psnr_db"] > 80

    assert world.run_json("verify", "--all", *BUCKET)["faults"] == 0
    assert world.run_json("rollback", *BUCKET)["digest"] == default
    assert world.in_use() == default
    assert world.run_json("rollback", large[:10], *BUCKET)["pack"] == "large"


def test_people_are_told_the_same_in_lines(world: Commands) -> None:
    digest = install(world, "default")
    for command, expected in (
        (("fetch", "--accept-license"), "already there, verified"),
        (("build",), "psnr_db"),
        (("publish", *BUCKET), digest),
        (("list", *BUCKET), f"default  {digest}"),
        (("verify", *BUCKET), "0 faulty"),
    ):
        status, out, _ = world.run(*command)
        assert status == 0
        assert expected in out


def test_damage_in_the_bucket_makes_verify_fail(world: Commands) -> None:
    install(world, "default")
    key = next(key for key in world.s3.objects if "/blobs/" in key)
    world.s3.objects[key] = world.s3.objects[key][:-1]
    status, out, _ = world.run("verify", *BUCKET)
    assert status == 1
    assert key.removeprefix("models/") in out


def test_a_damaged_manifest_does_not_hide_the_others(world: Commands) -> None:
    default, large = install(world, "default"), install(world, "large")
    key = f"models/packs/large/{large}.json"
    world.s3.objects[key] = world.s3.objects[key][:-1]
    packs = {each["digest"]: each for each in world.run_json("list", *BUCKET)["packs"]}
    assert "does not match the digest in its name" in packs[large]["fault"]
    assert packs[default]["models"]
    assert world.run_json("rollback", default, *BUCKET)["digest"] == default


def test_one_s_own_files_need_a_licence_and_become_a_pack(world: Commands) -> None:
    status, _, err = world.run("build", "--from", toys.files())
    assert status == 0  # the toys are in this catalogue

    own = model_standins.inswapper(Path("own.onnx"), "fp16-weights", width=32, seed=9)
    world.run_json("fetch", "--accept-license")
    status, _, err = world.run("build", "--swapper", own)
    assert status == 2
    assert "--licence" in err

    report = world.run_json("build", "--swapper", own, "--licence", "Mine", "--name", "mine")
    assert {name: model["licence"] for name, model in report["models"].items()} == {
        "detector": LICENCE.name,
        "embedder": LICENCE.name,
        "swapper": "Mine",
    }
    assert world.run_json("publish", "--pack", "mine", *BUCKET)["pack"] == "mine"


def test_an_unknown_embedder_is_taken_with_a_word_of_caution(world: Commands) -> None:
    world.run_json("fetch", "--accept-license")
    own = model_standins.w600k_r50(Path("own.onnx"), width=8, blocks=(1, 1, 1, 1), seed=9)
    assert "Only swaps can show" in world.run_json("build", "--embedder", own, "--licence", "Mine")["note"]


def test_a_mobilefacenet_is_refused_with_the_reason(world: Commands) -> None:
    world.run_json("fetch", "--accept-license")
    status, out, _ = world.run("build", "--embedder", toys.mobilefacenet(), "--licence", "Mine", "--json")
    assert status == 1
    error = json.loads(out)["error"]
    assert error["kind"] == "Unfit"
    assert "w600k_r50" in error["detail"]
    assert "another space" in error["detail"]


def test_a_fetched_file_that_was_changed_is_not_built(world: Commands) -> None:
    world.run_json("fetch", "--accept-license")
    shutil.copy(model_standins.inswapper(Path("x.onnx"), width=32, seed=9), "build/models/inswapper_128_fp16.onnx")
    status, _, err = world.run("build")
    assert status == 1
    assert "differs from the published file" in err


def test_what_is_not_there_is_named(world: Commands) -> None:
    for command, status in (
        (("build",), 2),
        (("publish", *BUCKET), 1),
        (("verify", *BUCKET), 2),
        (("rollback", *BUCKET), 1),
    ):
        ended, out, err = world.run(*command)
        assert (ended, out) == (status, "")
        assert err
    assert world.run_json("list", *BUCKET)["packs"] == []


def test_upstream_s_failure_is_an_exit_status_and_a_sentence(world: Commands) -> None:
    world.upstream.fault("missing", match="", times=None)
    status, out, _ = world.run("fetch", "--accept-license", "--json")
    assert status == 1
    assert json.loads(out)["error"]["kind"] == "FetchFailed"
    assert "404" in json.loads(out)["error"]["detail"]


def test_an_interrupted_command_says_what_is_kept(world: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fetching, "download_files", interrupted)
    status, out, err = world.run("fetch", "--accept-license")
    assert (status, out) == (130, "")
    assert "continues from what was transferred" in err


def test_a_content_gate_of_ones_own_is_built_published_and_verified(world: Commands, tmp_path: Path) -> None:
    file = networks.classifier(tmp_path / "mine.onnx")
    world.run_json("fetch", "--accept-license")

    status, _, err = world.run("build", "--gate", file)
    assert status == 2
    assert "--licence" in err
    assert world.run("build", "--gate", tmp_path / "none.onnx", "--licence", "mine")[0] == 2

    report = world.run_json("build", "--gate", file, "--gate-threshold", "0.8", "--licence", "mine")
    assert report["models"]["gate"]["licence"] == "mine"
    world.run_json("publish", *BUCKET)
    assert world.run_json("verify", *BUCKET)["faults"] == 0
    (pack,) = world.run_json("list", *BUCKET)["packs"]
    assert set(pack["models"]) == {"detector", "embedder", "swapper", "gate"}

    digest = world.in_use()
    world.run_json("build", "--pack", "default")
    status, _, err = world.run("publish", *BUCKET)
    assert (status, "--without-gate" in err) == (2, True)
    assert world.in_use() == digest
    world.run_json("publish", *BUCKET, "--without-gate")
    bare = world.in_use()
    world.run_json("rollback", digest, *BUCKET)
    assert world.run("rollback", bare, *BUCKET)[0] == 2
    assert world.in_use() == digest
    world.run_json("rollback", bare, *BUCKET, "--without-gate")
    assert world.in_use() == bare
