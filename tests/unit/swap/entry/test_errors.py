"""Each error, seen by each of the three callers."""

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
from layers.engine.onnx_embedder import unit
from layers.media.c2pa_chain import create_chain
from tests.unit.swap.entry_clients import CALLERS, http
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, Context, FakeSwapStack, drawing, encoded
from tests.unit.swap.networks import Answering

MEME = f"s3://{UPLOADS}/requests/1/meme"
FACE = f"s3://{UPLOADS}/requests/1/face"

Arrange = Callable[[FakeSwapStack, pytest.MonkeyPatch], dict[str, Any]]


def meme(data: bytes) -> Arrange:
    def arrange(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        world.storage.put(UPLOADS, "requests/1/meme", data)
        return {"meme": MEME}

    return arrange


def face(uri: str, data: bytes | None = None) -> Arrange:
    def arrange(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        if data is not None:
            world.storage.put(UPLOADS, "requests/1/face", data)
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
    def arrange(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        world.models.failure = error
        return {"meme": MEME}

    return arrange


def storage(action: str, prefix: str, error: ColdswapError) -> Arrange:
    def arrange(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
        world.storage.failures[action, prefix] = error
        return {"meme": MEME}

    return arrange


def broken_key(_: FakeSwapStack, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    patch.setattr(pipeline, "signing_chain", lambda _: replace(create_chain(), key=create_chain().key))
    return {"meme": MEME}


def unreadable_key(world: FakeSwapStack, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    def fail(_: str) -> None:
        raise StorageFailed("A secret could not be read.")

    patch.setattr(secrets, "secret", fail)
    world.settings = replace(world.settings, signing_key="arn:aws:secretsmanager:key")
    return {"meme": MEME}


def listed(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    """Whoever this embedder sees; it tells nobody apart."""
    seen = unit(world.models.run(to_planes(np.zeros((112, 112, 3), np.uint8)))[0])
    entry = DeniedFace("p", world.models.digests["embedder"], seen, "2026-11-23")
    world.storage.put(MODELS, KEY, Denylist((entry,)).dump())
    return {"meme": MEME}


def damaged_list(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    world.storage.put(MODELS, KEY, b"{}")
    return {"meme": MEME}


def gated(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    world.models.digests["gate"] = "9" * 64
    world.models.classifier = Answering(1.0)
    return {"meme": MEME}


def without_default_face(world: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    world.settings = replace(world.settings, default_face="")
    return {"meme": MEME}


PNG = encoded(drawing())
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
    ("gif", UnsupportedPicture, meme(b"GIF89a" + bytes(100))),
    ("too-many-pixels", PictureTooLarge, meme(HUGE_PNG)),
    ("too-many-bytes", PictureTooLarge, meme(PNG + bytes(21 << 20))),
    ("no-face-in-meme", NoFaceInMeme, meme(encoded(drawing(0)))),
    ("one-pixel", NoFaceInMeme, meme(encoded(np.zeros((1, 1, 3), np.uint8)))),
    ("no-face-in-source", NoFaceInSource, face(FACE, encoded(drawing(0)))),
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
    ("listed-face", FaceRefused, listed),
    ("damaged-list", SafeguardFailed, damaged_list),
    ("gate", ContentRefused, gated),
    ("broken-signing-key", LabelFailed, broken_key),
    ("unreadable-signing-key", StorageFailed, unreadable_key),
]


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("kind", "arrange"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_caller_sees_the_error_by_its_name(
    caller: str, kind: type[ColdswapError], arrange: Arrange, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = FakeSwapStack()
    request = arrange(world, monkeypatch)
    if caller == "upload" and ("read", "requests/") in world.storage.failures:
        world.storage.failures["read", "memes/"] = world.storage.failures["read", "requests/"]

    refusal = CALLERS[caller](world, request, monkeypatch, Context())

    assert refusal.code == kind.code
    assert refusal.retryable == kind.retryable
    assert refusal.detail[-1] in ".)"
    assert "Traceback" not in refusal.detail


@pytest.mark.parametrize("arrange", [broken_key, unreadable_key])
@pytest.mark.parametrize("caller", CALLERS)
def test_what_is_not_labelled_is_not_delivered(caller: str, arrange: Arrange, monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeSwapStack()

    CALLERS[caller](world, arrange(world, monkeypatch), monkeypatch, Context())

    written = [key for bucket, key in world.storage.objects if bucket == OUTPUTS]
    assert not [key for key in written if not key.endswith(".json")]


@pytest.mark.parametrize("caller", CALLERS)
def test_every_caller_is_told_when_time_is_over(caller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = CALLERS[caller](FakeSwapStack(), {"meme": MEME}, monkeypatch, Context(left=lambda: 0))

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
    tested = {kind.__name__ for _, kind, _ in CASES} | {OutOfTime.__name__}
    assert tested == set(family()) - set(family(VideoError)) - by_the_http_entry_or_the_workflow


def test_what_nobody_foresaw_is_an_internal_error_without_details(monkeypatch: pytest.MonkeyPatch) -> None:
    world = FakeSwapStack()
    monkeypatch.setattr(world.models, "start_swapper", lambda _: 1 / 0)

    answer = http(world, monkeypatch, body={"meme": MEME})

    assert answer.status == 500
    assert answer.body["code"] == InternalError.code
    assert "division" not in str(answer.body)


def test_what_nobody_foresaw_is_raised_for_lambda_to_retry_and_for_a_workflow_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = FakeSwapStack()
    monkeypatch.setattr(world.models, "start_swapper", lambda _: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        CALLERS["upload"](world, {"meme": MEME}, monkeypatch, Context())
    assert CALLERS["task"](world, {"meme": MEME}, monkeypatch, Context()).code == InternalError.code
