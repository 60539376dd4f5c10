"""`pip install` from this repository, into an empty environment: what it adds, and that it swaps.

Needs the network, for what the package depends on. `make test-package` runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldswap import swap, workspace
from layers.core import telemetry
from layers.engine.build import compiler
from layers.media.picture import Pixels

pytestmark = pytest.mark.full

ROOT = Path(__file__).resolve().parents[2]
FACE, MEME = ROOT / "examples/face.jpg", ROOT / "examples/meme.jpg"
FORBIDDEN = {"boto3", "botocore", "insightface", "opencv-python", "aws-lambda-powertools", "pydantic"}
TOP_LEVEL = """
import json
from importlib.metadata import distribution, distributions
names = sorted({str(path).partition("/")[0] for path in distribution("coldswap").files})
print(json.dumps([names, sorted(each.name.lower() for each in distributions())]))
"""


def run(*command: str | Path, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a user who has no variable but HOME and PATH, in their home."""
    env = {"HOME": str(home), "PATH": os.environ["PATH"], **variables}
    return subprocess.run([*map(str, command)], cwd=home, env=env, capture_output=True, text=True, timeout=600)


def pip(*arguments: str, python: Path | str = sys.executable, **variables: str) -> None:
    """Run pip with the settings of this machine."""
    env = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **variables}
    command = [str(python), "-m", "pip", "-q", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment in which nothing but the package was installed, from git."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    pip("install", f"git+{ROOT.as_uri()}", python=folder / "bin/python")
    return folder / "bin"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pixels]:
    """What the repository's own code makes of the example."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(telemetry, "_chosen_loggers", [])
    yield swap(FACE, MEME, format="png").pixels
    workspace._loaded.clear()


def test_it_adds_one_name_and_swaps_as_the_repository_does(environment: Path, home: Path, expected: Pixels) -> None:
    names, installed = json.loads(run(environment / "python", "-c", TOP_LEVEL, home=home).stdout)
    assert [name for name in names if name != ".." and not name.endswith(".dist-info")] == ["coldswap"]
    assert FORBIDDEN.isdisjoint(installed)

    done = run(environment / "coldswap", "swap", FACE, MEME, "-o", "out.png", "--json", home=home)

    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert str(facts["engine"]).startswith("native" if compiler() else "onnxruntime")
    assert "docs/responsible-use.md" in done.stderr
    assert np.array_equal(np.asarray(Image.open(home / "out.png").convert("RGB")), expected)
    verdict = run(environment / "coldswap", "verify", "out.png", "--json", home=home)
    assert json.loads(verdict.stdout)["ours"]


def test_every_module_of_it_can_be_imported(environment: Path, home: Path) -> None:
    code = """
import importlib, pkgutil, coldswap
late = ("botocore", "boto3", "pydantic", "aws_lambda_powertools", "awslambdaric")  # only functions in a cloud need them
for module in pkgutil.walk_packages(coldswap.__path__, "coldswap."):
    try:
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name.partition(".")[0] not in late:
            raise
import sys
print(sorted({"functions", "layers", "local"} & set(sys.modules)))
"""
    done = run(environment / "python", "-c", code, home=home)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_stack_is_said_to_need_a_checkout(environment: Path, home: Path) -> None:
    done = run(environment / "coldswap", "serve", home=home)

    assert done.returncode == 2
    assert "checkout" in done.stderr


def test_without_a_compiler_it_swaps_on_onnxruntime_and_says_so(environment: Path, home: Path, tmp_path: Path) -> None:
    pip("wheel", "--no-deps", "--wheel-dir", str(tmp_path), f"git+{ROOT.as_uri()}", CXX="no-such-compiler")
    (wheel,) = tmp_path.glob("coldswap-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")

    command = ("-m", "coldswap", "swap", FACE, MEME, "-o", "out.jpg", "--json")
    done = run(environment / "python", *command, home=home, PYTHONPATH=str(tmp_path / "site"))

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["engine"] == "onnxruntime"
    assert "onnxruntime ran the swap" in done.stderr
