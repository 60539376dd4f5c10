"""The pipeline, in a stack in memory."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from functions.swap import pipeline
from functions.swap.face import align, looks
from functions.swap.latent_cache import latent_recipe
from functions.swap.values import SwapRequest, SwapResult
from layers.core.deadline import Deadline
from layers.core.errors import InputNotFound, InvalidRequest, NoFaceInMeme, NoFaceInSource, OutOfTime, StorageFailed
from layers.media.xmp_label import read_label
from tests.unit.media.test_color_profile import RGB
from tests.unit.swap.face_fixtures import keypoints_at
from tests.unit.swap.fake_stack import (
    MODELS,
    OUTPUTS,
    UPLOADS,
    FakeSwapStack,
    FlatSwapper,
    decode,
    drawing,
    encode,
    settings,
)
from tests.unit.swap.networks import draw_marks

MEME = f"s3://{UPLOADS}/requests/1/meme"
PLAIN: dict[str, Any] = {"color_match": False, "soft_edges": False, "detail": "fast"}


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def swap(stack: FakeSwapStack, request: SwapRequest, seconds: float = 60, **more: Any) -> SwapResult:
    context = stack.services.context(Deadline.after(seconds))
    return pipeline.swap(request, context, **{"key": "swaps/1.png", **more}).result


def put_meme(stack: FakeSwapStack, faces: int = 1, **size: Any) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(faces, **size)))


def swapped_mask(stack: FakeSwapStack, key: str = "swaps/1.png") -> Any:
    """Where the result has the colour that the swapper paints, bool [H, W]."""
    result = decode(stack.storage.objects[OUTPUTS, key].data)
    return (np.abs(result[:, :, :3].astype(int) - FlatSwapper.colour) <= 1).all(2)


def test_a_face_is_replaced_and_the_result_written_and_labelled(stack: FakeSwapStack) -> None:
    result = swap(stack, SwapRequest(MEME, **PLAIN))

    stored = stack.storage.objects[OUTPUTS, "swaps/1.png"]
    assert result.key == "swaps/1.png"
    assert result.url == f"https://{OUTPUTS}.example/swaps/1.png?for=3600"
    assert (result.content_type, stored.content_type) == ("image/png", "image/png")
    assert result.bytes == len(stored.data)
    assert (result.width, result.height) == (600, 400)
    assert read_label(stored.data)
    (face,) = result.faces
    assert (face.index, face.swapped, face.reason) == (0, True, None)
    x0, y0, x1, y1 = (int(value) for value in face.box)
    mask = swapped_mask(stack)
    assert mask[(y0 + y1) // 2, (x0 + x1) // 2]
    assert not mask[:, :150].any()
    assert result.models == {"pack": "toy", **stack.models.digests}
    assert result.bytes_fetched == 1000
    assert result.bytes_in_vain == 0
    assert {"fetch", "decode", "detect", "swap", "paste", "encode", "write"} <= set(result.timings_ms)
    assert result.peak_memory_mb > 0


def test_what_detail_cost_is_a_phase_of_its_own(stack: FakeSwapStack) -> None:
    fast, balanced = (swap(stack, SwapRequest(MEME, detail=detail)).timings_ms for detail in ("fast", "balanced"))

    assert "detail" not in fast
    assert balanced["detail"] > 0
    assert list(balanced).index("detail") == list(balanced).index("paste") + 1


def test_only_the_first_swap_of_a_sandbox_is_a_cold_start(stack: FakeSwapStack) -> None:
    swap(stack, SwapRequest(MEME))
    assert not swap(stack, SwapRequest(MEME)).cold_start


@pytest.mark.parametrize(("format", "extension"), [("jpeg", "jpg"), ("png", "png"), ("webp", "webp"), (None, "png")])
def test_the_format_is_the_memes_own_or_the_one_asked_for(stack: FakeSwapStack, format: Any, extension: str) -> None:
    result = swap(stack, SwapRequest(MEME, format=format), key="swaps/1", add_extension=True)

    assert result.key == f"swaps/1.{extension}"
    assert result.content_type == f"image/{format or 'png'}"
    assert decode(stack.storage.objects[OUTPUTS, result.key].data).shape == (400, 600, 3)


def test_transparency_is_kept_or_said_to_be_lost(stack: FakeSwapStack) -> None:
    alpha = np.full((400, 600, 1), 255, np.uint8)
    alpha[:50] = 7
    stack.storage.put(UPLOADS, "requests/1/meme", encode(np.concatenate([drawing(), alpha], 2)))

    transparent = swap(stack, SwapRequest(MEME))
    assert (decode(stack.storage.objects[OUTPUTS, transparent.key].data)[:, :, 3:] == alpha).all()
    assert transparent.notes == []

    opaque = swap(stack, SwapRequest(MEME, format="jpeg"))
    assert "transparent" in opaque.notes[0]


def test_outside_of_the_face_a_jpeg_loses_no_more_than_one_encoding_of_its_own_must(stack: FakeSwapStack) -> None:
    pixels = drawing()
    pixels[300:390:3] = (30, 20, 230)  # thin red lines, which coarse colours would spoil
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, ::-1]).save(buffer, "JPEG", quality=85, subsampling="4:4:4", icc_profile=RGB)
    stack.storage.put(UPLOADS, "requests/1/meme", buffer.getvalue())

    result = swap(stack, SwapRequest(MEME))

    stored = stack.storage.objects[OUTPUTS, "swaps/1.png"].data
    before, after = decode(buffer.getvalue()).astype(int), decode(stored).astype(int)
    assert result.content_type == "image/jpeg"
    assert result.notes == []
    assert np.square(after[300:] - before[300:]).mean() < 1
    with Image.open(io.BytesIO(stored)) as image:
        assert image.info["icc_profile"] == RGB


@pytest.mark.parametrize(
    ("faces", "swapped"),
    [("all", [0, 1, 2]), ([0, 2], [0, 2]), ([1], [1]), ([1, 1], [1]), ([], [])],
)
def test_faces_are_chosen_from_left_to_right(stack: FakeSwapStack, faces: Any, swapped: list[int]) -> None:
    put_meme(stack, faces=3, width=900)

    result = swap(stack, SwapRequest(MEME, faces=faces, **PLAIN))

    assert [face.index for face in result.faces] == [0, 1, 2]
    assert [face.box[0] for face in result.faces] == sorted(face.box[0] for face in result.faces)
    assert [face.index for face in result.faces if face.swapped] == swapped
    assert {face.reason for face in result.faces if not face.swapped} <= {"not_chosen"}
    assert len(stack.models.swapper.crops) == len(swapped)
    for face in result.faces:
        middle = int(face.box[0] + face.box[2]) // 2
        assert swapped_mask(stack)[200, middle] == face.swapped


def test_the_largest_face_can_be_chosen(stack: FakeSwapStack) -> None:
    pixels = drawing(0, width=900)
    draw_marks(pixels, keypoints_at(200, 200, 1.0, 0), 5)
    draw_marks(pixels, keypoints_at(500, 200, 1.8, 0), 5)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(pixels))

    result = swap(stack, SwapRequest(MEME, faces="largest"))

    assert [face.swapped for face in result.faces] == [False, True]


def test_a_face_that_is_not_there_is_refused_by_its_number(stack: FakeSwapStack) -> None:
    with pytest.raises(InvalidRequest, match="no face 1, 4"):
        swap(stack, SwapRequest(MEME, faces=[0, 4, 1]))
    assert stack.models.pending[-1].dropped


def test_more_faces_than_the_limit_are_reported(stack: FakeSwapStack) -> None:
    stack.settings = settings(max_faces=2)
    put_meme(stack, faces=3, width=900)

    result = swap(stack, SwapRequest(MEME))

    assert sorted(str(face.reason) for face in result.faces) == ["None", "None", "over_limit"]


def test_neighbours_do_not_see_each_other(stack: FakeSwapStack) -> None:
    put_meme(stack, faces=2, width=420, scale=2.0)
    alone = FakeSwapStack()
    alone.storage = stack.storage

    swap(stack, SwapRequest(MEME, faces="all"))
    swap(alone, SwapRequest(MEME, faces=[1]))

    both = [crop.tobytes() for crop in stack.models.swapper.crops]
    assert alone.models.swapper.crops[0].tobytes() in both


def test_a_neighbour_that_was_not_chosen_is_not_painted_over(stack: FakeSwapStack) -> None:
    put_meme(stack, faces=2, width=360, scale=2.2)

    result = swap(stack, SwapRequest(MEME, faces=[1], **PLAIN))

    kept, replaced = (int(face.box[0] + face.box[2]) // 2 for face in result.faces)
    mask = swapped_mask(stack)[180:220]
    assert mask[:, replaced].all()
    assert not mask[:, : kept + 85].any()
    swap(stack, SwapRequest(MEME, faces="all", **PLAIN))
    assert swapped_mask(stack)[180:220, kept : replaced + 1].mean() > 0.8  # all but the seam


def test_where_no_face_can_be_replaced_the_picture_stays_and_no_swapper_is_made(stack: FakeSwapStack) -> None:
    put_meme(stack, scale=0.33)

    result = swap(stack, SwapRequest(MEME))

    assert [face.reason for face in result.faces] == ["too_small"]
    assert (decode(stack.storage.objects[OUTPUTS, result.key].data) == drawing(scale=0.33)).all()
    assert stack.models.pending[-1].dropped
    assert result.bytes_in_vain == 1000
    assert stack.models.embedder_loads == 0
    assert result.notes


def test_without_a_face_in_the_meme_the_swapper_is_dropped(stack: FakeSwapStack) -> None:
    stack.models.manifest.hint = "This pack knows drawn faces only."
    put_meme(stack, faces=0)

    with pytest.raises(NoFaceInMeme, match=r"This pack knows drawn faces only\.$") as caught:
        swap(stack, SwapRequest(MEME))

    assert caught.value.extra["bytes_in_vain"] == 1000
    assert stack.models.pending[-1].dropped
    assert stack.models.embedder_loads == 0
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]


@pytest.mark.parametrize("scale", [None, 0.33])
def test_without_a_face_in_the_source_the_swapper_is_dropped(stack: FakeSwapStack, scale: float | None) -> None:
    stack.models.manifest.hint = "Draw one."
    picture = drawing(0) if scale is None else drawing(scale=scale)
    stack.storage.put(UPLOADS, "requests/1/face", encode(picture))

    with pytest.raises(NoFaceInSource, match=r"Draw one\.$"):
        swap(stack, SwapRequest(MEME, face=f"s3://{UPLOADS}/requests/1/face"))

    assert stack.models.pending[-1].dropped


def test_the_swapper_gets_the_latent_of_the_largest_face(stack: FakeSwapStack) -> None:
    pixels = drawing(0, width=900)
    draw_marks(pixels, keypoints_at(200, 200, 1.0, 0), 5)
    draw_marks(pixels, keypoints_at(500, 200, 1.8, 0), 5)
    stack.storage.put(UPLOADS, "requests/1/both", encode(pixels))
    pixels[:, :320] = (150, 170, 190)
    stack.storage.put(UPLOADS, "requests/1/large", encode(pixels))

    for name in ("both", "large"):
        swap(stack, SwapRequest(MEME, face=f"s3://{UPLOADS}/requests/1/{name}"))

    first, second = stack.models.swapper.latents
    assert (first == second).all()
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)


def test_pictures_may_come_inside_the_request(stack: FakeSwapStack) -> None:
    inside = "data:image/png;base64," + base64.b64encode(encode(drawing())).decode()

    assert swap(stack, SwapRequest(inside, face=inside)).faces[0].swapped


def stored_latents(stack: FakeSwapStack) -> list[str]:
    return [key for bucket, key in stack.storage.objects if bucket == MODELS and key.startswith("latents/")]


def test_the_default_faces_latent_is_kept_and_the_embedder_never_loaded_again(stack: FakeSwapStack) -> None:
    swap(stack, SwapRequest(MEME))
    swap(stack, SwapRequest(MEME))

    assert stack.models.embedder_loads == 1
    first, second = stack.models.swapper.latents
    assert (first == second).all()
    picture = hashlib.sha256(stack.storage.objects[MODELS, "faces/default.png"].data).hexdigest()
    assert stored_latents(stack) == [
        f"latents/default/{latent_recipe(stack.models.digests, stack.settings)}/{picture}.json"
    ]


def test_whatever_changes_a_latent_makes_a_new_one(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    swap(stack, SwapRequest(MEME))
    for model in ("detector", "embedder", "swapper"):
        stack.models.digests[model] = "0" * 64
        swap(stack, SwapRequest(MEME))
    stack.settings = replace(stack.settings, detection_size=320)
    swap(stack, SwapRequest(MEME))
    monkeypatch.setattr(looks, "PLAN", "another")
    swap(stack, SwapRequest(MEME))
    monkeypatch.setattr(align, "TEMPLATE", align.TEMPLATE + 0.5)
    swap(stack, SwapRequest(MEME))
    stack.storage.put(MODELS, "faces/default.png", encode(drawing(scale=1.3)))
    swap(stack, SwapRequest(MEME))

    assert stack.models.embedder_loads == 8
    assert len(set(stored_latents(stack))) == 8


FACE = f"s3://{UPLOADS}/requests/1/face"


@pytest.mark.parametrize("cache_latents", [False, True])
def test_other_faces_are_kept_only_where_the_operator_says_so(stack: FakeSwapStack, cache_latents: bool) -> None:
    stack.settings = settings(cache_latents=cache_latents)
    stack.storage.put(UPLOADS, "requests/1/face", encode(drawing()))

    swap(stack, SwapRequest(MEME, face=FACE))
    swap(stack, SwapRequest(MEME, face=FACE))

    assert stack.models.embedder_loads == (1 if cache_latents else 2)
    assert len(stored_latents(stack)) == (1 if cache_latents else 0)
    assert all(key.startswith("latents/others/") for key in stored_latents(stack))


@pytest.mark.parametrize("age", [-60, 86_401])
def test_a_latent_whose_time_is_over_or_not_yet_come_is_made_again(stack: FakeSwapStack, age: float) -> None:
    stack.settings = settings(cache_latents=True)
    stack.storage.put(UPLOADS, "requests/1/face", encode(drawing()))
    swap(stack, SwapRequest(MEME, face=FACE))
    (key,) = stored_latents(stack)
    document = json.loads(stack.storage.objects[MODELS, key].data)
    stack.storage.put(MODELS, key, json.dumps({**document, "made": document["made"] - age}).encode())

    swap(stack, SwapRequest(MEME, face=FACE))

    assert stack.models.embedder_loads == 2


@pytest.mark.parametrize("damage", [b"", b"{}", b"null", b'{"made": 1, "values": "AAAA"}', b"\xff", b"x" * 20_000])
def test_a_damaged_latent_is_made_again(stack: FakeSwapStack, damage: bytes) -> None:
    swap(stack, SwapRequest(MEME))
    (key,) = stored_latents(stack)
    stack.storage.put(MODELS, key, damage)

    assert swap(stack, SwapRequest(MEME)).faces[0].swapped
    assert stack.models.embedder_loads == 2


def test_the_cache_of_latents_may_fail_alone(stack: FakeSwapStack) -> None:
    stack.storage.failures = {("read", "latents/"): StorageFailed(), ("write", "latents/"): StorageFailed()}

    assert swap(stack, SwapRequest(MEME)).faces[0].swapped


def test_nothing_is_written_once_time_is_over(stack: FakeSwapStack) -> None:
    class Slow(FlatSwapper):
        def run(self, crops: Any, latents: Any) -> Any:
            object.__setattr__(deadline, "at", 0.0)
            return super().run(crops, latents)

    deadline = Deadline.after(60)
    stack.models.swapper = Slow()

    with pytest.raises(OutOfTime):
        pipeline.swap(SwapRequest(MEME), stack.services.context(deadline), key="swaps/1.png")

    assert (OUTPUTS, "swaps/1.png") not in stack.storage.objects


def test_errors_say_which_picture_they_speak_of(stack: FakeSwapStack) -> None:
    with pytest.raises(InputNotFound, match=r"^About face: ") as caught:
        swap(stack, SwapRequest(MEME, face=f"s3://{UPLOADS}/nowhere"))
    assert caught.value.extra["picture"] == "face"
    assert [mistake["field"] for mistake in caught.value.extra["errors"]] == ["face"]


def test_an_error_about_the_default_face_names_no_field_of_the_request(stack: FakeSwapStack) -> None:
    stack.storage.objects.pop((MODELS, "faces/default.png"))

    with pytest.raises(InputNotFound, match=r"^About the stack's default face: ") as caught:
        swap(stack, SwapRequest(MEME))
    assert "errors" not in caught.value.extra


def test_a_request_without_any_face_is_refused_before_anything_is_fetched(stack: FakeSwapStack) -> None:
    stack.settings = replace(stack.settings, default_face="")

    with pytest.raises(InvalidRequest, match="face"):
        swap(stack, SwapRequest(MEME))

    assert stack.models.pending == []
    assert stack.storage.reads == []


@pytest.mark.parametrize(("hours", "used"), [(23.9, True), (24.1, False)])
def test_an_upload_may_be_used_for_a_day(stack: FakeSwapStack, hours: float, used: bool) -> None:
    place = (UPLOADS, "requests/1/meme")
    stack.storage.objects[place] = replace(stack.storage.objects[place], last_modified=time.time() - hours * 3600)

    if used:
        swap(stack, SwapRequest(MEME))
    else:
        with pytest.raises(InputNotFound, match="more than a day old"):
            swap(stack, SwapRequest(MEME))


def test_the_default_face_stays_however_old_it_is(stack: FakeSwapStack) -> None:
    place = (MODELS, "faces/default.png")
    stack.storage.objects[place] = replace(stack.storage.objects[place], last_modified=0.0)

    assert swap(stack, SwapRequest(MEME)).faces[0].swapped


@pytest.mark.parametrize("alpha", [0, 20])
def test_a_face_that_nobody_sees_is_neither_replaced_nor_used(stack: FakeSwapStack, alpha: int) -> None:
    pixels = drawing(2)
    cover = np.full(pixels.shape[:2], 255, np.uint8)
    cover[:, pixels.shape[1] // 2 :] = alpha
    stack.storage.put(UPLOADS, "requests/1/meme", encode(np.dstack((pixels, cover))))

    result = swap(stack, SwapRequest(MEME))

    assert len(result.faces) == 1
    assert result.faces[0].box[2] < pixels.shape[1] / 2
