"""The warm-up of the swap function."""

from __future__ import annotations

import subprocess
import sys

import pytest

from functions.swap import warm
from layers.core.errors import InternalError, LabelFailed
from layers.core.warm import PAYLOAD
from layers.engine import native_swapper
from layers.engine.native_swapper import Miscalculates, Unavailable
from layers.media import c2pa_key
from tests.unit.swap.callers import invoke
from tests.unit.swap.fakes import World


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")  # clients are made, and ask nobody
    warm._test.cache_clear()


def test_a_warm_up_tests_the_engine_and_a_signature_and_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    before = dict(world.storage.objects)

    answer = invoke(world, PAYLOAD, monkeypatch)

    assert answer["warm"] is True
    assert answer["engine"] in ("native", "onnxruntime")
    assert list(answer["timings_ms"]) == ["import", "test"]
    assert world.storage.objects == before
    assert invoke(world, PAYLOAD, monkeypatch)["timings_ms"]["test"] < answer["timings_ms"]["test"]


def test_an_engine_that_miscalculates_fails_it_and_one_that_is_not_there_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def library(error: Exception) -> None:
        def find() -> None:
            raise error

        monkeypatch.setattr(native_swapper, "library", find)
        warm._test.cache_clear()

    library(Unavailable("it is not compiled"))
    assert invoke(World(), PAYLOAD, monkeypatch)["engine"] == "onnxruntime"

    library(Miscalculates("it miscalculates"))
    with pytest.raises(InternalError):
        invoke(World(), PAYLOAD, monkeypatch)


def test_a_key_that_cannot_sign_fails_it_and_rings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chain(_: str) -> None:
        raise LabelFailed("The key is disabled.")

    monkeypatch.setattr(c2pa_key, "signing_chain", chain)

    with pytest.raises(LabelFailed):
        invoke(World(), PAYLOAD, monkeypatch)
    assert '"Fault":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_after_a_warm_up_a_request_imports_nothing_large() -> None:
    code = (
        "import sys, functions.swap.warm as warm; warm._import(); before = set(sys.modules); "
        "from functions.swap import api, align, detect, embed, paste, use_case; detect.scrfd(); "
        "import cv2, onnxruntime, numpy, boto3, c2pa, layers.models.pack, layers.engine.native_swapper; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    environment = {"AWS_DEFAULT_REGION": "eu-west-1", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) <= {"layers"}
