"""The swap itself, in a stack in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from functions.swap import pipeline
from functions.swap.latent_cache import embedder_digest
from functions.swap.values import SwapRequest, SwapResult
from layers.core.deadline import Deadline
from layers.core.errors import InputNotFound, InvalidRequest, NoFaceInMeme, NoFaceInSource, OutOfTime, StorageFailed
from layers.media.xmp_label import read_label
from tests.unit.swap.face.test_align import placed
from tests.unit.swap.fake_stack import (
    MODELS,
    OUTPUTS,
    UPLOADS,
    FakeSwapStack,
    FlatSwapper,
    decoded,
    drawing,
    encoded,
    settings,
)
from tests.unit.swap.networks import marked

MEME = f"s3://{UPLOADS}/requests/1/meme"
PLAIN: dict[str, Any] = {"color_match": False, "soft_edges": False}


@pytest.fixture
def world() -> FakeSwapStack:
    return FakeSwapStack()


def swap(world: FakeSwapStack, request: SwapRequest, seconds: float = 60, **more: Any) -> SwapResult:
    services = world.services
    return pipeline.swap(
        request,
        **{"key": "swaps/1.png", **more},
        deadline=Deadline.after(seconds),
        settings=services.settings,
        storage=services.storage,
        models=services.models,
        budget=services.budget,
        refusals=services.refusals,
        ledger=services.ledger,
    ).result


def put(world: FakeSwapStack, faces: int = 1, **size: Any) -> None:
    world.storage.put(UPLOADS, "requests/1/meme", encoded(drawing(faces, **size)))


def painted(world: FakeSwapStack, key: str = "swaps/1.png") -> Any:
    """Where the result has the colour that the swapper paints, bool [H, W]."""
    result = decoded(world.storage.objects[OUTPUTS, key].data)
    return (np.abs(result[:, :, :3].astype(int) - FlatSwapper.colour) <= 1).all(2)


def test_a_face_is_replaced_and_the_result_written_and_labelled(world: FakeSwapStack) -> None:
    result = swap(world, SwapRequest(MEME, **PLAIN))

    stored = world.storage.objects[OUTPUTS, "swaps/1.png"]
    assert result.key == "swaps/1.png"
    assert result.url == f"https://{OUTPUTS}.example/swaps/1.png?for=3600"
    assert (result.content_type, stored.content_type) == ("image/png", "image/png")
    assert result.bytes == len(stored.data)
    assert (result.width, result.height) == (600, 400)
    assert read_label(stored.data)
    (face,) = result.faces
    assert (face.index, face.swapped, face.reason) == (0, True, None)
    x0, y0, x1, y1 = (int(value) for value in face.box)
    shown = painted(world)
    assert shown[(y0 + y1) // 2, (x0 + x1) // 2]
    assert not shown[:, :150].any()
    assert result.models == {"pack": "toy", **world.models.digests}
    assert result.bytes_fetched == 1000
    assert result.bytes_in_vain == 0
    assert {"fetch", "decode", "detect", "swap", "paste", "encode", "write"} <= set(result.timings_ms)
    assert result.peak_memory_mb > 0


def test_only_the_first_swap_of_a_sandbox_is_a_cold_start(world: FakeSwapStack) -> None:
    swap(world, SwapRequest(MEME))
    assert not swap(world, SwapRequest(MEME)).cold_start


@pytest.mark.parametrize(("format", "extension"), [("jpeg", "jpg"), ("png", "png"), ("webp", "webp"), (None, "png")])
def test_the_format_is_the_memes_own_or_the_one_asked_for(world: FakeSwapStack, format: Any, extension: str) -> None:
    result = swap(world, SwapRequest(MEME, format=format), key="swaps/1", add_extension=True)

    assert result.key == f"swaps/1.{extension}"
    assert result.content_type == f"image/{format or 'png'}"
    assert decoded(world.storage.objects[OUTPUTS, result.key].data).shape == (400, 600, 3)


def test_transparency_is_kept_or_said_to_be_lost(world: FakeSwapStack) -> None:
    alpha = np.full((400, 600, 1), 255, np.uint8)
    alpha[:50] = 7
    world.storage.put(UPLOADS, "requests/1/meme", encoded(np.concatenate([drawing(), alpha], 2)))

    kept = swap(world, SwapRequest(MEME))
    assert (decoded(world.storage.objects[OUTPUTS, kept.key].data)[:, :, 3:] == alpha).all()
    assert kept.notes == []

    lost = swap(world, SwapRequest(MEME, format="jpeg"))
    assert "transparent" in lost.notes[0]


@pytest.mark.parametrize(
    ("faces", "swapped"),
    [("all", [0, 1, 2]), ([0, 2], [0, 2]), ([1], [1]), ([1, 1], [1]), ([], [])],
)
def test_faces_are_chosen_from_left_to_right(world: FakeSwapStack, faces: Any, swapped: list[int]) -> None:
    put(world, faces=3, width=900)

    result = swap(world, SwapRequest(MEME, faces=faces, **PLAIN))

    assert [face.index for face in result.faces] == [0, 1, 2]
    assert [face.box[0] for face in result.faces] == sorted(face.box[0] for face in result.faces)
    assert [face.index for face in result.faces if face.swapped] == swapped
    assert {face.reason for face in result.faces if not face.swapped} <= {"not_chosen"}
    assert len(world.models.made.crops) == len(swapped)
    for face in result.faces:
        middle = int(face.box[0] + face.box[2]) // 2
        assert painted(world)[200, middle] == face.swapped


def test_the_largest_face_can_be_chosen(world: FakeSwapStack) -> None:
    pixels = drawing(0, width=900)
    marked(pixels, placed(200, 200, 1.0, 0), 5)
    marked(pixels, placed(500, 200, 1.8, 0), 5)
    world.storage.put(UPLOADS, "requests/1/meme", encoded(pixels))

    result = swap(world, SwapRequest(MEME, faces="largest"))

    assert [face.swapped for face in result.faces] == [False, True]


def test_a_face_that_is_not_there_is_refused_by_its_number(world: FakeSwapStack) -> None:
    with pytest.raises(InvalidRequest, match="no face 1, 4"):
        swap(world, SwapRequest(MEME, faces=[0, 4, 1]))
    assert world.models.pending[-1].dropped


def test_more_faces_than_the_limit_are_reported(world: FakeSwapStack) -> None:
    world.settings = settings(max_faces=2)
    put(world, faces=3, width=900)

    result = swap(world, SwapRequest(MEME))

    assert sorted(str(face.reason) for face in result.faces) == ["None", "None", "over_limit"]


def test_neighbours_do_not_see_each_other(world: FakeSwapStack) -> None:
    put(world, faces=2, width=420, scale=2.0)
    alone = FakeSwapStack()
    alone.storage = world.storage

    swap(world, SwapRequest(MEME, faces="all"))
    swap(alone, SwapRequest(MEME, faces=[1]))

    both = [crop.tobytes() for crop in world.models.made.crops]
    assert alone.models.made.crops[0].tobytes() in both


def test_where_no_face_can_be_replaced_the_picture_stays_and_no_swapper_is_made(world: FakeSwapStack) -> None:
    put(world, scale=0.33)

    result = swap(world, SwapRequest(MEME))

    assert [face.reason for face in result.faces] == ["too_small"]
    assert (decoded(world.storage.objects[OUTPUTS, result.key].data) == drawing(scale=0.33)).all()
    assert world.models.pending[-1].dropped
    assert result.bytes_in_vain == 1000
    assert world.models.embedded == 0
    assert result.notes


def test_without_a_face_in_the_meme_the_swapper_is_dropped(world: FakeSwapStack) -> None:
    world.models.manifest.hint = "This pack knows drawn faces only."
    put(world, faces=0)

    with pytest.raises(NoFaceInMeme, match=r"This pack knows drawn faces only\.$") as caught:
        swap(world, SwapRequest(MEME))

    assert caught.value.extra["bytes_in_vain"] == 1000
    assert world.models.pending[-1].dropped
    assert world.models.embedded == 0
    assert not [key for bucket, key in world.storage.objects if bucket == OUTPUTS]


@pytest.mark.parametrize("scale", [None, 0.33])
def test_without_a_face_in_the_source_the_swapper_is_dropped(world: FakeSwapStack, scale: float | None) -> None:
    world.models.manifest.hint = "Draw one."
    picture = drawing(0) if scale is None else drawing(scale=scale)
    world.storage.put(UPLOADS, "requests/1/face", encoded(picture))

    with pytest.raises(NoFaceInSource, match=r"Draw one\.$"):
        swap(world, SwapRequest(MEME, face=f"s3://{UPLOADS}/requests/1/face"))

    assert world.models.pending[-1].dropped


def test_the_swapper_gets_the_latent_of_the_largest_face(world: FakeSwapStack) -> None:
    pixels = drawing(0, width=900)
    marked(pixels, placed(200, 200, 1.0, 0), 5)
    marked(pixels, placed(500, 200, 1.8, 0), 5)
    world.storage.put(UPLOADS, "requests/1/both", encoded(pixels))
    pixels[:, :320] = (150, 170, 190)
    world.storage.put(UPLOADS, "requests/1/large", encoded(pixels))

    for name in ("both", "large"):
        swap(world, SwapRequest(MEME, face=f"s3://{UPLOADS}/requests/1/{name}"))

    first, second = world.models.made.latents
    assert (first == second).all()
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)


def test_pictures_may_come_inside_the_request(world: FakeSwapStack) -> None:
    inside = "data:image/png;base64," + base64.b64encode(encoded(drawing())).decode()

    assert swap(world, SwapRequest(inside, face=inside)).faces[0].swapped


def latents_of(world: FakeSwapStack) -> list[str]:
    return [key for bucket, key in world.storage.objects if bucket == MODELS and key.startswith("latents/")]


def test_the_default_faces_latent_is_kept_and_the_embedder_never_loaded_again(world: FakeSwapStack) -> None:
    swap(world, SwapRequest(MEME))
    swap(world, SwapRequest(MEME))

    assert world.models.embedded == 1
    first, second = world.models.made.latents
    assert (first == second).all()
    picture = hashlib.sha256(world.storage.objects[MODELS, "faces/default.png"].data).hexdigest()
    assert latents_of(world) == [f"latents/default/{embedder_digest(world.models.digests)}/{picture}.json"]


def test_another_embedder_or_map_or_picture_makes_a_new_latent(world: FakeSwapStack) -> None:
    swap(world, SwapRequest(MEME))
    for changed in ("embedder", "swapper"):
        world.models.digests[changed] = "0" * 64
        swap(world, SwapRequest(MEME))
    world.storage.put(MODELS, "faces/default.png", encoded(drawing(scale=1.3)))
    swap(world, SwapRequest(MEME))

    assert world.models.embedded == 4


FACE = f"s3://{UPLOADS}/requests/1/face"


@pytest.mark.parametrize("cache_latents", [False, True])
def test_other_faces_are_kept_only_where_the_operator_says_so(world: FakeSwapStack, cache_latents: bool) -> None:
    world.settings = settings(cache_latents=cache_latents)
    world.storage.put(UPLOADS, "requests/1/face", encoded(drawing()))

    swap(world, SwapRequest(MEME, face=FACE))
    swap(world, SwapRequest(MEME, face=FACE))

    assert world.models.embedded == (1 if cache_latents else 2)
    assert len(latents_of(world)) == (1 if cache_latents else 0)
    assert all(key.startswith("latents/others/") for key in latents_of(world))


@pytest.mark.parametrize("age", [-60, 86_401])
def test_a_latent_whose_time_is_over_or_not_yet_come_is_made_again(world: FakeSwapStack, age: float) -> None:
    world.settings = settings(cache_latents=True)
    world.storage.put(UPLOADS, "requests/1/face", encoded(drawing()))
    swap(world, SwapRequest(MEME, face=FACE))
    (key,) = latents_of(world)
    document = json.loads(world.storage.objects[MODELS, key].data)
    world.storage.put(MODELS, key, json.dumps({**document, "made": document["made"] - age}).encode())

    swap(world, SwapRequest(MEME, face=FACE))

    assert world.models.embedded == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"null", b'{"made": 1, "values": "AAAA"}', b"\xff", b"x" * 20_000])
def test_a_damaged_latent_is_made_again(world: FakeSwapStack, damage: bytes) -> None:
    swap(world, SwapRequest(MEME))
    (key,) = latents_of(world)
    world.storage.put(MODELS, key, damage)

    assert swap(world, SwapRequest(MEME)).faces[0].swapped
    assert world.models.embedded == 2


def test_the_cache_of_latents_may_fail_alone(world: FakeSwapStack) -> None:
    world.storage.failures = {("read", "latents/"): StorageFailed(), ("write", "latents/"): StorageFailed()}

    assert swap(world, SwapRequest(MEME)).faces[0].swapped


def test_nothing_is_written_once_time_is_over(world: FakeSwapStack) -> None:
    class Slow(FlatSwapper):
        def run(self, crops: Any, latents: Any) -> Any:
            object.__setattr__(deadline, "at", 0.0)
            return super().run(crops, latents)

    deadline = Deadline.after(60)
    world.models.made = Slow()
    services = world.services

    with pytest.raises(OutOfTime):
        pipeline.swap(
            SwapRequest(MEME),
            key="swaps/1.png",
            deadline=deadline,
            settings=services.settings,
            storage=services.storage,
            models=services.models,
            budget=services.budget,
            refusals=services.refusals,
            ledger=services.ledger,
        )

    assert (OUTPUTS, "swaps/1.png") not in world.storage.objects


def test_errors_say_which_picture_they_speak_of(world: FakeSwapStack) -> None:
    with pytest.raises(InputNotFound, match=r"^About the face: ") as caught:
        swap(world, SwapRequest(MEME, face=f"s3://{UPLOADS}/nowhere"))
    assert caught.value.extra["picture"] == "face"


def test_a_request_without_any_face_is_refused_before_anything_is_fetched(world: FakeSwapStack) -> None:
    world.settings = replace(world.settings, default_face="")

    with pytest.raises(InvalidRequest, match="face"):
        swap(world, SwapRequest(MEME))

    assert world.models.pending == []
    assert world.storage.reads == []


@pytest.mark.parametrize(("hours", "used"), [(23.9, True), (24.1, False)])
def test_an_upload_may_be_used_for_a_day(world: FakeSwapStack, hours: float, used: bool) -> None:
    place = (UPLOADS, "requests/1/meme")
    world.storage.objects[place] = replace(world.storage.objects[place], written=time.time() - hours * 3600)

    if used:
        swap(world, SwapRequest(MEME))
    else:
        with pytest.raises(InputNotFound, match="more than a day old"):
            swap(world, SwapRequest(MEME))


def test_the_default_face_stays_however_old_it_is(world: FakeSwapStack) -> None:
    place = (MODELS, "faces/default.png")
    world.storage.objects[place] = replace(world.storage.objects[place], written=0.0)

    assert swap(world, SwapRequest(MEME)).faces[0].swapped
