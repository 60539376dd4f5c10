"""The warm-up of the swap function."""

from __future__ import annotations

import subprocess
import sys

import pytest

from functions.swap import moving_app, warm_up
from layers.core.errors import EncodingFailed, InternalError, LabelFailed
from layers.core.warm_up import PAYLOAD
from layers.engine import native_swapper
from layers.engine.native_swapper import Miscalculates, Unavailable
from layers.media import c2pa_key, ffmpeg
from tests.unit.swap.entry_clients import invoke
from tests.unit.swap.fake_stack import FakeContext, FakeSwapStack


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")  # clients are made, and call nothing
    warm_up._test.cache_clear()


def test_a_warm_up_tests_the_engine_and_a_signature_and_touches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FakeSwapStack()
    before = dict(stack.storage.objects)

    report = invoke(stack, PAYLOAD, monkeypatch)

    assert report["warm"] is True
    assert report["engine"] in ("native", "onnxruntime")
    assert list(report["timings_ms"]) == ["import", "test"]
    assert stack.storage.objects == before
    assert invoke(stack, PAYLOAD, monkeypatch)["timings_ms"]["test"] < report["timings_ms"]["test"]


def test_the_function_for_moving_memes_tests_ffmpeg_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving_app, "load_services", lambda: FakeSwapStack().services)
    warm_up._tested_steps.clear()

    report = moving_app.handler(PAYLOAD, FakeContext())

    assert report is not None
    assert list(report["timings_ms"]) == ["import", "test", "steps"]
    monkeypatch.setattr(ffmpeg, "program", lambda: "/bin/false")
    warm_up._tested_steps.clear()
    with pytest.raises(EncodingFailed):
        moving_app.handler(PAYLOAD, FakeContext())


def test_an_engine_that_miscalculates_fails_it_and_one_that_is_not_there_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def library(error: Exception) -> None:
        def find() -> None:
            raise error

        monkeypatch.setattr(native_swapper, "library", find)
        warm_up._test.cache_clear()

    library(Unavailable("it is not compiled"))
    assert invoke(FakeSwapStack(), PAYLOAD, monkeypatch)["engine"] == "onnxruntime"

    library(Miscalculates("it miscalculates"))
    with pytest.raises(InternalError):
        invoke(FakeSwapStack(), PAYLOAD, monkeypatch)


def test_a_key_that_cannot_sign_fails_it_and_rings(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def chain(_: str) -> None:
        raise LabelFailed("The key is disabled.")

    monkeypatch.setattr(c2pa_key, "signing_chain", chain)

    with pytest.raises(LabelFailed):
        invoke(FakeSwapStack(), PAYLOAD, monkeypatch)
    assert '"Fault":[1.0]' in capsys.readouterr().out.replace(" ", "")


def test_after_a_warm_up_a_request_imports_nothing_large() -> None:
    code = (
        "import sys, functions.swap.warm_up as warm; warm._import(); before = set(sys.modules); "
        "from functions.swap import pipeline; from functions.swap.entry import http_api; "
        "from functions.swap.face import align, detect, embed, paste, scrfd; "
        "import cv2, onnxruntime, numpy, boto3, c2pa; "
        "import layers.models.runtime.loaded_models, layers.engine.native_swapper; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    environment = {"AWS_DEFAULT_REGION": "eu-west-1", "PATH": "/usr/bin"}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert set(process.stdout.split()) <= {"layers"}
