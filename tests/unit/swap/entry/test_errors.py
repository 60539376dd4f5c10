"""Each error, as each of the three kinds of callers sees it."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from functions.swap import pipeline
from functions.swap.face.align import to_planes
from functions.swap.safeguards.denylist import KEY, DeniedFace, Denylist
from layers.core import http_fetch, secrets
from layers.core.errors import (
    ColdswapError,
    ContentRefused,
    FaceRefused,
    InputNotFound,
    InternalError,
    InvalidRequest,
    LabelFailed,
    ModelsCorrupt,
    ModelsMissing,
    NoFaceInMeme,
    NoFaceInSource,
    OutOfTime,
    PictureTooLarge,
    RefusedUrl,
    SafeguardFailed,
    StorageFailed,
    StorageFull,
    UnreadablePicture,
    UnsupportedPicture,
    UpstreamFailed,
    VideoError,
    family,
)
from layers.engine.onnx_embedder import normalise
from layers.media.c2pa_chain import create_chain
from tests.unit.swap.entry_clients import CALLERS, http
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, FakeContext, FakeSwapStack, drawing, encode
from tests.unit.swap.networks import FixedClassifier

MEME = f"s3://{UPLOADS}/requests/1/meme"
FACE = f"s3://{UPLOADS}/requests/1/face"

Arrange = Callable[[FakeSwapStack, pytest.MonkeyPatch], dict[str, Any]]


def meme(data: bytes) -> Arrange:
    def arrange(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        stack.storage.put(UPLOADS, "requests/1/meme", data)
        return {"meme": MEME}

    return arrange


def face(uri: str, data: bytes | None = None) -> Arrange:
    def arrange(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        if data is not None:
            stack.storage.put(UPLOADS, "requests/1/face", data)
        return {"meme": MEME, "face": uri}

    return arrange


def fetching(error: ColdswapError) -> Arrange:
    def arrange(_: FakeSwapStack, patch: pytest.MonkeyPatch) -> dict[str, Any]:
        def fail(*_: Any, **__: Any) -> None:
            raise error

        patch.setattr(http_fetch, "fetch", fail)
        return {"meme": MEME, "face": "https://pictures.example/face.png"}

    return arrange


def models(error: ColdswapError) -> Arrange:
    def arrange(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        stack.models.failure = error
        return {"meme": MEME}

    return arrange


def storage(action: str, prefix: str, error: ColdswapError) -> Arrange:
    def arrange(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        stack.storage.failures[action, prefix] = error
        return {"meme": MEME}

    return arrange


def broken_key(_: FakeSwapStack, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    patch.setattr(pipeline, "signing_chain", lambda _: replace(create_chain(), key=create_chain().key))
    return {"meme": MEME}


def unreadable_key(stack: FakeSwapStack, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    def fail(_: str) -> None:
        raise StorageFailed("A secret could not be read.")

    patch.setattr(secrets, "read_secret", fail)
    stack.settings = replace(stack.settings, signing_key="arn:aws:secretsmanager:key")
    return {"meme": MEME}


def denied_face(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    """Denies everybody: this embedder cannot tell people apart."""
    embedding = normalise(stack.models.run(to_planes(np.zeros((112, 112, 3), np.uint8)))[0])
    entry = DeniedFace("p", stack.models.digests["embedder"], embedding, "2026-11-23")
    stack.storage.put(MODELS, KEY, Denylist((entry,)).dump())
    return {"meme": MEME}


def damaged_list(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    stack.storage.put(MODELS, KEY, b"{}")
    return {"meme": MEME}


def refusing_filter(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    stack.models.digests["gate"] = "9" * 64
    stack.models.classifier = FixedClassifier(1.0)
    return {"meme": MEME}


def without_default_face(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    stack.settings = replace(stack.settings, default_face="")
    return {"meme": MEME}


PNG = encode(drawing())
_HEADER = PNG[12:16] + (20_000).to_bytes(4, "big") * 2 + PNG[24:29]
HUGE_PNG = PNG[:12] + _HEADER + zlib.crc32(_HEADER).to_bytes(4, "big") + PNG[33:]

CASES: list[tuple[str, type[ColdswapError], Arrange]] = [
    ("no-face-at-all", InvalidRequest, without_default_face),
    ("bad-data-uri", InvalidRequest, face("data:text/html,hello")),
    ("bad-base64", InvalidRequest, face("data:image/png;base64,####")),
    ("bad-s3-uri", InvalidRequest, face("s3://")),
    ("missing-picture", InputNotFound, face(f"s3://{UPLOADS}/requests/1/none")),
    ("cut-off-picture", UnreadablePicture, meme(PNG[: len(PNG) // 2])),
    ("cut-off-face", UnreadablePicture, face(FACE, PNG[: len(PNG) // 2])),
    ("bmp", UnsupportedPicture, meme(b"BM" + bytes(100))),
    ("too-many-pixels", PictureTooLarge, meme(HUGE_PNG)),
    ("too-many-bytes", PictureTooLarge, meme(PNG + bytes(21 << 20))),
    ("no-face-in-meme", NoFaceInMeme, meme(encode(drawing(0)))),
    ("one-pixel", NoFaceInMeme, meme(encode(np.zeros((1, 1, 3), np.uint8)))),
    ("no-face-in-source", NoFaceInSource, face(FACE, encode(drawing(0)))),
    ("other-scheme", RefusedUrl, face("file:///proc/self/environ")),
    ("other-bucket", RefusedUrl, face("s3://someone-elses/face.png")),
    ("list-beside-models", RefusedUrl, face(f"s3://{MODELS}/refused/faces.json")),
    ("latent-beside-models", RefusedUrl, face(f"s3://{MODELS}/latents/others/e/f.json")),
    ("key-that-only-begins-alike", RefusedUrl, face(f"s3://{MODELS}/faces")),
    ("not-public", RefusedUrl, face("https://127.0.0.1/face.png")),
    ("upstream", UpstreamFailed, fetching(UpstreamFailed("pictures.example answered 500."))),
    ("no-models", ModelsMissing, models(ModelsMissing("What to do."))),
    ("damaged-models", ModelsCorrupt, models(ModelsCorrupt("What to do."))),
    ("storage-read", StorageFailed, storage("read", "requests/", StorageFailed("What to do."))),
    ("storage-write", StorageFailed, storage("write", "sw", StorageFailed("What to do."))),
    ("disk", StorageFull, models(StorageFull("What to do."))),
    ("listed-face", FaceRefused, denied_face),
    ("damaged-list", SafeguardFailed, damaged_list),
    ("gate", ContentRefused, refusing_filter),
    ("broken-signing-key", LabelFailed, broken_key),
    ("unreadable-signing-key", StorageFailed, unreadable_key),
]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("kind", "arrange"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_caller_sees_the_error_by_its_name(
    caller: str, kind: type[ColdswapError], arrange: Arrange, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = FakeSwapStack()
    request = arrange(stack, monkeypatch)
    if caller == "upload" and ("read", "requests/") in stack.storage.failures:
        stack.storage.failures["read", "memes/"] = stack.storage.failures["read", "requests/"]

    refusal = CALLERS[caller](stack, request, monkeypatch, FakeContext())

    assert refusal.code == kind.code
    assert refusal.retryable == kind.retryable
    assert refusal.detail[-1] in ".)"
    assert "Traceback" not in refusal.detail


@pytest.mark.parametrize("arrange", [broken_key, unreadable_key])
@pytest.mark.parametrize("caller", CALLERS)
def test_what_is_not_labelled_is_not_delivered(caller: str, arrange: Arrange, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FakeSwapStack()

    CALLERS[caller](stack, arrange(stack, monkeypatch), monkeypatch, FakeContext())

    written = [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]
    assert not [key for key in written if not key.endswith(".json")]


@pytest.mark.parametrize("caller", CALLERS)
def test_every_caller_is_told_when_time_is_over(caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = CALLERS[caller](FakeSwapStack(), {"meme": MEME}, monkeypatch, FakeContext(left=lambda: 0))

    assert refusal.code == OutOfTime.code
    assert refusal.retryable


def test_every_error_that_a_swap_can_meet_is_here() -> None:
    by_the_http_entry_or_the_workflow = {
        "ColdswapError",
        "InternalError",
        "NotFound",
        "IdempotencyConflict",
        "StillRunning",
        "BudgetSpent",
        "TermsNotAccepted",
        "Unidentified",
        "Deleted",
        "AtCapacity",
    }
    of_moving_memes = {"MovingMeme", "EncodingFailed", "WorkGone"}
    tested = {kind.__name__ for _, kind, _ in CASES} | {OutOfTime.__name__}
    assert tested == set(family()) - set(family(VideoError)) - by_the_http_entry_or_the_workflow - of_moving_memes


def test_what_nobody_foresaw_is_an_internal_error_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FakeSwapStack()
    monkeypatch.setattr(stack.models, "start_swapper", lambda _, **__: 1 / 0)

    response = http(stack, monkeypatch, body={"meme": MEME})

    assert response.status == 500
    assert response.body["code"] == InternalError.code
    assert "division" not in str(response.body)


def test_what_nobody_foresaw_is_raised_for_lambda_to_retry_and_for_a_workflow_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = FakeSwapStack()
    monkeypatch.setattr(stack.models, "start_swapper", lambda _, **__: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        CALLERS["upload"](stack, {"meme": MEME}, monkeypatch, FakeContext())
    assert CALLERS["task"](stack, {"meme": MEME}, monkeypatch, FakeContext()).code == InternalError.code
