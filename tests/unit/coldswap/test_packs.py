"""Models on this machine: which are used, how they are got, and what a damaged pack does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from coldswap import list_faces, model_commands, packs, swap
from coldswap.command import main
from layers.core.errors import ModelsCorrupt, ModelsMissing
from layers.models.runtime.manifest import POINTER_KEY
from layers.models.tools.bundle import PackBundle
from tests.support.model_host import LICENCE, ModelHost, zip_files
from tests.unit.coldswap.conftest import FACE, MEME, ROOT

DEMO_FILES = ROOT / "local/demo_pack"
PUBLISHED = {"detector": "det_500m.onnx", "embedder": "w600k_r50.onnx", "swapper": "inswapper_128_fp16.onnx"}


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/coldswap"


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHost]:
    """The servers that publish models, with small ones, and the product's catalogue pointing there."""
    folder = tmp_path / "server"
    folder.mkdir()
    files = {published: DEMO_FILES / f"{name}.onnx" for name, published in PUBLISHED.items()}
    files["det_10g.onnx"] = files["det_500m.onnx"]
    zip_files(folder / "buffalo_sc.zip", {"det_500m.onnx": files["det_500m.onnx"]}, pack=False)
    zip_files(folder / "buffalo_l.zip", {"w600k_r50.onnx": files["w600k_r50.onnx"]}, pack=False)
    shutil.copy(files["inswapper_128_fp16.onnx"], folder)
    (folder / "swapper.onnx").rename(folder / "inswapper_128_fp16.onnx")
    with ModelHost(folder) as host:
        monkeypatch.setattr(model_commands, "CATALOGUE", host.catalogue(files))
        yield host


def copy_pack(target: Path) -> PackBundle:
    """A copy of the demo pack, converted."""
    shutil.copytree(packs.prepare_demo_pack(), target)
    return PackBundle.open(target)


def test_published_models_are_fetched_only_once_their_licence_is_accepted(
    upstream: ModelHost, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "get"]) == 2
    assert LICENCE.gist in capsys.readouterr().err
    assert not upstream.requests
    assert not empty_cache.exists()

    assert main(["models", "get", "--accept", "--json"]) == 0

    shown = json.loads(capsys.readouterr().out)
    assert shown["pack"] == "default"
    assert set(shown["licences"].values()) == {LICENCE.name}
    assert [each.name for each in empty_cache.iterdir()] == ["models"]
    assert list_faces(MEME)["faces"]


def test_what_cannot_be_fetched_is_said_and_changes_nothing(
    upstream: ModelHost, empty_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upstream.fault("missing", times=None)

    assert main(["models", "get", "--accept"]) == 1

    assert "(models_not_installed)" in capsys.readouterr().err
    assert not packs.installed_pack().exists()


def test_ones_own_files_need_a_licence(empty_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "get", "--from", str(DEMO_FILES)]) == 2
    assert "--licence" in capsys.readouterr().err

    assert main(["models", "get", "--from", str(DEMO_FILES), "--licence", "MIT"]) == 0

    assert packs.choose_pack() == empty_cache / "models"
    assert "own" in capsys.readouterr().out


def test_a_folder_without_a_swapper_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("detector", "embedder"):
        shutil.copy(DEMO_FILES / f"{name}.onnx", tmp_path)

    assert main(["models", "get", "--from", str(tmp_path), "--licence", "MIT"]) == 2

    assert "no swapper.onnx or inswapper_128_fp16.onnx in" in capsys.readouterr().err


def test_a_pack_that_was_built_is_installed_in_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_pack(tmp_path / "built")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    empty_cache = tmp_path / "coldswap"
    (empty_cache / "models").mkdir(parents=True)
    (empty_cache / "models/rest").write_text("of another pack")

    assert main(["models", "get", "--from", str(tmp_path / "built")]) == 0

    assert (empty_cache / "models" / POINTER_KEY).is_file()
    assert not (empty_cache / "models/rest").exists()


def test_a_folder_that_is_named_comes_before_the_installed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("named", "variable"):
        (tmp_path / name / POINTER_KEY).parent.mkdir(parents=True)
        (tmp_path / name / POINTER_KEY).touch()
    monkeypatch.setenv("COLDSWAP_MODELS", str(tmp_path / "variable"))

    assert packs.choose_pack(tmp_path / "named") == tmp_path / "named"
    assert packs.choose_pack() == tmp_path / "variable"
    monkeypatch.setenv("COLDSWAP_MODELS", str(tmp_path))
    with pytest.raises(ModelsMissing):
        packs.choose_pack()


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (Path.unlink, ModelsMissing, "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), ModelsCorrupt, "Delete that folder"),
    ],
)
def test_a_pack_that_is_damaged_is_not_used(tmp_path: Path, damage: object, error: type[Exception], words: str) -> None:
    bundle = copy_pack(tmp_path / "pack")
    assert callable(damage)
    damage(tmp_path / "pack" / bundle.manifest.models["swapper"].blob("weights").key)

    with pytest.raises(error, match=words):
        swap(FACE, MEME, models=tmp_path / "pack")
