"""The do-not-swap list: who is on it is neither put into a picture nor replaced in one, and nothing goes unguarded."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from functions.swap.safeguards.denylist import KEY, THRESHOLD, DeniedFace, Denylist
from functions.swap.values import Floats, SwapRequest, SwapResult
from layers.core.deadline import Deadline
from layers.core.errors import FaceRefused, SafeguardFailed, StorageFailed
from layers.core.operator_settings import OperatorSettings
from tests.unit.swap.entry_clients import CALLERS
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, FakeContext, FakeSwapStack, drawing, encode
from tests.unit.swap.test_pipeline import MEME, swap, swapped_mask

ONE, OTHER = np.eye(512, dtype=np.float32)[:2]


class ScriptedEmbedder:
    """An embedder that gives the next of these embeddings for each face that it is asked about, either way up."""

    def __init__(self, stack: FakeSwapStack, *embeddings: Floats) -> None:
        self.embeddings = list(embeddings)
        self.upright: Floats | None = None
        self.embedding = OTHER
        stack.models.embedder_network = self

    def run(self, crops: Floats) -> Floats:
        if self.upright is None or not np.array_equal(crops, self.upright[:, :, ::-1, ::-1]):
            self.upright, self.embedding = crops, self.embeddings.pop(0)
        return np.asarray(self.embedding[None] * 17, np.float32)


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def put_denylist(stack: FakeSwapStack, *faces: Floats, embedder: str | None = None, **changed: Any) -> None:
    name = embedder or stack.models.digests["embedder"]
    entries = tuple(DeniedFace(f"p{number}", name, face, "2026-11-23") for number, face in enumerate(faces))
    stack.storage.put(MODELS, KEY, replace(Denylist(entries), **changed).dump())


def outcomes(result: SwapResult) -> list[tuple[bool, str | None]]:
    return [(face.swapped, face.reason) for face in result.faces]


def test_without_a_list_the_default_face_needs_no_embedder_the_second_time(stack: FakeSwapStack) -> None:
    swap(stack, SwapRequest(MEME))
    swap(stack, SwapRequest(MEME))
    assert stack.models.embedder_loads == 1


def test_an_emptied_list_costs_no_embedder_either(stack: FakeSwapStack) -> None:
    swap(stack, SwapRequest(MEME))
    stack.storage.put(MODELS, KEY, Denylist().dump())
    assert outcomes(swap(stack, SwapRequest(MEME))) == [(True, None)]
    assert stack.models.embedder_loads == 1


@pytest.mark.parametrize("caller", CALLERS)
def test_a_source_on_the_list_is_refused_to_every_caller(
    stack: FakeSwapStack, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_denylist(stack, ONE)
    ScriptedEmbedder(stack, ONE)

    refusal = CALLERS[caller](stack, {"meme": MEME}, monkeypatch, FakeContext())

    assert (refusal.code, refusal.retryable) == (FaceRefused.code, False)
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS and not key.endswith(".json")]
    assert stack.models.pending[-1].dropped


def test_a_face_of_the_meme_on_the_list_stays_and_the_others_are_replaced(stack: FakeSwapStack) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(3, width=900)))
    put_denylist(stack, ONE)
    ScriptedEmbedder(stack, OTHER, OTHER, ONE, OTHER)  # the source, then the meme's from left to right

    result = swap(stack, SwapRequest(MEME, color_match=False, soft_edges=False))

    assert outcomes(result) == [(True, None), (False, "refused"), (True, None)]
    where = swapped_mask(stack)
    assert where[:, :300].any()
    assert not where[:, 350:550].any()
    assert where[:, 600:].any()


def test_where_only_refused_faces_were_chosen_the_meme_comes_back_as_it_was(stack: FakeSwapStack) -> None:
    put_denylist(stack, ONE)
    ScriptedEmbedder(stack, OTHER, ONE)

    result = swap(stack, SwapRequest(MEME))

    assert outcomes(result) == [(False, "refused")]
    assert result.engine is None
    assert result.bytes_in_vain > 0
    assert result.notes
    assert not swapped_mask(stack).any()


def test_a_kept_latent_of_somebody_listed_since_is_refused_without_being_made_again(stack: FakeSwapStack) -> None:
    swap(stack, SwapRequest(MEME))
    (key,) = (key for bucket, key in stack.storage.objects if key.startswith("latents/default/"))
    embedding = json.loads(stack.storage.objects[MODELS, key].data)["embedding"]
    record = {"person": "p", "embedder": stack.models.digests["embedder"], "values": embedding, "added": "2026-11-23"}
    stack.storage.put(MODELS, KEY, json.dumps({"format": 1, "threshold": 0.999, "faces": [record]}).encode())

    with pytest.raises(FaceRefused):
        swap(stack, SwapRequest(MEME))
    assert stack.models.embedder_loads == 1


def test_a_face_whose_keypoints_are_upside_down_is_known_too(stack: FakeSwapStack) -> None:
    class Upright(ScriptedEmbedder):
        """Knows the face in the turned crop only."""

        def run(self, crops: Floats) -> Floats:
            output = super().run(crops)
            return output if crops is self.upright else ONE[None]

    put_denylist(stack, ONE)
    Upright(stack, OTHER, OTHER)
    assert outcomes(swap(stack, SwapRequest(MEME))) == [(False, "refused")]


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("default", [False, True])
def test_nothing_is_kept_of_a_face_that_is_refused(stack: FakeSwapStack, damaged: bool, default: bool) -> None:
    stack.settings = replace(stack.settings, operator_settings=lambda: OperatorSettings(cache_latents=True))
    stack.storage.put(UPLOADS, "requests/1/face", encode(drawing()))
    put_denylist(stack, ONE)
    if damaged:
        stack.storage.put(MODELS, KEY, b"{}")
    ScriptedEmbedder(stack, ONE)
    with pytest.raises(SafeguardFailed if damaged else FaceRefused):
        swap(stack, SwapRequest(MEME, face=None if default else f"s3://{UPLOADS}/requests/1/face"))
    assert not [key for _, key in stack.storage.objects if key.startswith("latents/")]


def test_a_reading_that_comes_late_does_not_undo_a_later_one(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread of a request that ended early, from before somebody was listed."""
    put_denylist(stack, ONE)
    before = stack.storage.objects[MODELS, KEY]
    denylist, soon = stack.denylist, Deadline.after(10)
    denylist.load(soon)
    read = stack.storage.read

    def slowly(bucket: str, key: str, limit: int, deadline: Deadline) -> Any:
        """While the old list is on its way here, a newer request reads the new one."""
        monkeypatch.setattr(stack.storage, "read", read)
        put_denylist(stack, ONE, OTHER)
        assert len(denylist.load(deadline).entries) == 2
        return before

    put_denylist(stack, OTHER)
    monkeypatch.setattr(stack.storage, "read", slowly)
    denylist.load(soon)

    assert len(denylist.load(soon).entries) == 2


def test_the_list_is_read_again_when_it_has_changed_and_only_then(stack: FakeSwapStack) -> None:
    for _ in range(2):
        swap(stack, SwapRequest(MEME))
    put_denylist(stack, ONE)
    for _ in range(2):
        ScriptedEmbedder(stack, OTHER)
        assert swap(stack, SwapRequest(MEME)).faces[0].swapped
    put_denylist(stack, ONE, OTHER)
    ScriptedEmbedder(stack, OTHER)
    assert outcomes(swap(stack, SwapRequest(MEME))) == [(False, "refused")]
    del stack.storage.objects[MODELS, KEY]
    assert swap(stack, SwapRequest(MEME)).faces[0].swapped
    assert stack.storage.reads.count(f"{MODELS}/{KEY}") == 2


def test_a_list_by_another_embedder_stops_every_swap(stack: FakeSwapStack) -> None:
    put_denylist(stack, ONE, embedder="0" * 64)
    with pytest.raises(SafeguardFailed, match="Add its faces again"):
        swap(stack, SwapRequest(MEME))


def test_a_person_with_a_face_of_each_embedder_is_known_by_either(stack: FakeSwapStack) -> None:
    name = stack.models.digests["embedder"]
    both = (DeniedFace("p", "0" * 64, OTHER, ""), DeniedFace("p", name, ONE, ""))
    stack.storage.put(MODELS, KEY, Denylist(both).dump())
    ScriptedEmbedder(stack, OTHER, ONE)

    assert outcomes(swap(stack, SwapRequest(MEME))) == [(False, "refused")]


DAMAGED = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"format": 2, "threshold": 0.3, "faces": []}',
    b'{"format": 1, "threshold": "much", "faces": []}',
    b'{"format": 1, "threshold": NaN, "faces": []}',
    b'{"format": 1, "threshold": 1e999, "faces": []}',
    b'{"format": 1, "threshold": -1, "faces": []}',
    b'{"format": 1, "threshold": 0.3}',
    b'{"format": 1, "threshold": 0.3, "faces": {"a": 1}}',
    b'{"format": 1, "threshold": 0.3, "faces": {}}',
    b'{"format": 1, "threshold": 0.3, "faces": ""}',
    b'{"format": 1, "threshold": 0.3, "faces": [{"person": "p", "embedder": "e", "added": "", "values": "AAAA"}]}',
    b'{"format": 1, "threshold": 0.3, "faces": [{"person": "p", "embedder": "e", "added": "", "values": null}]}',
    json.dumps(
        {
            "format": 1,
            "threshold": 0.3,
            "faces": [{"person": "p", "embedder": "e", "added": "", "values": "AADAfw==" * 512}],
        }
    ).encode(),  # not a number, 512 times
    Denylist((DeniedFace("p", "e", ONE, ""),)).dump()[:-40],
    Denylist((DeniedFace("p", "e", ONE * 2, ""),)).dump(),
]


@pytest.mark.parametrize("damage", DAMAGED, ids=lambda data: hashlib.sha256(data).hexdigest()[:6])
def test_a_damaged_list_stops_every_swap(stack: FakeSwapStack, damage: bytes) -> None:
    stack.storage.put(MODELS, KEY, damage)
    for _ in range(2):  # the second time too: nothing of the first is remembered
        with pytest.raises(SafeguardFailed):
            swap(stack, SwapRequest(MEME))
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]


def test_a_list_that_is_too_long_stops_every_swap(stack: FakeSwapStack) -> None:
    stack.storage.put(MODELS, KEY, b" " * (17 << 20))
    with pytest.raises(SafeguardFailed, match="too long"):
        swap(stack, SwapRequest(MEME))


@pytest.mark.parametrize("action", ["head", "read"])
def test_a_list_that_cannot_be_read_stops_every_swap_for_now(stack: FakeSwapStack, action: str) -> None:
    put_denylist(stack, ONE)
    stack.storage.failures[action, KEY] = StorageFailed("What to do.")
    with pytest.raises(StorageFailed):
        swap(stack, SwapRequest(MEME))


@pytest.mark.parametrize(
    ("embedding", "refused"),
    [
        (ONE, True),
        (OTHER, False),
        (-ONE, False),
        (ONE * 1e-20, True),
        (ONE * 0.299 + OTHER * (1 - 0.299**2) ** 0.5, False),
        (ONE * 0.301 + OTHER * (1 - 0.301**2) ** 0.5, True),
        (np.zeros(512, np.float32), True),
        (ONE * np.float32(np.nan), True),
        (np.full(512, np.inf, np.float32), True),
    ],
)
def test_a_face_is_refused_from_the_threshold_on_and_where_nothing_can_be_said(
    embedding: Floats, refused: bool
) -> None:
    matcher = Denylist((DeniedFace("p", "e", ONE, ""),)).build_matcher("e")
    assert matcher.threshold == THRESHOLD
    with np.errstate(all="ignore"):
        assert matcher.matches(embedding) is refused


def test_the_longest_list_fits_and_is_compared() -> None:
    many = np.random.default_rng(0).standard_normal((5_000, 512)).astype(np.float32)
    many /= np.linalg.norm(many, axis=1, keepdims=True)
    faces = Denylist(tuple(DeniedFace(str(n), "e", face, "2026-11-23") for n, face in enumerate(many)))
    parsed = Denylist.parse(faces.dump())
    assert len(faces.dump()) < 16 << 20
    assert parsed.build_matcher("e").matches(many[4_321])
    assert not parsed.build_matcher("e").matches(-many.mean(0))
