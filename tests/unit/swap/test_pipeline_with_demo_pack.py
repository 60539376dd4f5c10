"""The whole swap with the demo pack, published, loaded and run, against insightface's classes on the same files."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from insightface.app.common import Face as TheirFace
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.inswapper import INSwapper
from insightface.model_zoo.scrfd import SCRFD

from functions.swap import pipeline
from functions.swap.context import SwapContext
from functions.swap.face import detect
from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.swap_records import SwapRecords
from functions.swap.values import SwapRequest, SwapResult
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt, NoFaceInMeme
from layers.media.picture import Pixels
from layers.models.runtime.loaded_models import LoadedModels
from layers.models.runtime.model_store import ModelStore
from layers.models.tools.publish import publish
from local.demo_pack import memes
from local.demo_pack.training.photographs import folder_of
from tests.support.faulty_s3 import Fault, FaultyS3
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, MemoryStorage, decode, drawing, encode, settings

PACK = Path(memes.__file__).parent
MEME, FACE = f"s3://{UPLOADS}/requests/1/meme", f"s3://{UPLOADS}/requests/1/face"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pixels]:
    drawn = memes.draw_demo_pictures(tmp_path_factory.mktemp("pictures"))
    return {scene.name: np.asarray(cv2.imread(str(scene.path)), np.uint8) for scene in drawn}


@pytest.fixture(scope="module")
def published() -> dict[str, bytes]:
    licences: Any = dict.fromkeys(("detector", "embedder", "swapper"), "MIT")
    with FaultyS3() as s3:
        publish(PACK, MODELS, s3.client(), "demo", licences, "It knows drawn faces only.")
        return {key: bytes(data) for key, data in s3.objects.items()}


@pytest.fixture
def s3(published: dict[str, bytes]) -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        server.objects.update(published)
        yield server


def load_models(s3: FaultyS3, memory_mb: int = 1769) -> LoadedModels:
    return LoadedModels(ModelStore(MODELS, s3.client()), 2, memory_mb=memory_mb)


def swap(models: LoadedModels, meme: Pixels, face: Pixels, **options: Any) -> tuple[SwapResult, Pixels]:
    storage = MemoryStorage()
    storage.put(UPLOADS, "requests/1/meme", encode(meme))
    storage.put(UPLOADS, "requests/1/face", encode(face))
    context = SwapContext(
        settings=settings(),
        storage=cast(Any, storage),
        models=models,
        budget=Budget("", "megapixels", lambda: 0, dict),
        denylist=DenylistStore(cast(Any, storage), MODELS),
        records=SwapRecords("", dict, 0),
        deadline=Deadline.after(60),
    )
    result = pipeline.swap(SwapRequest(MEME, face=FACE, **options), context, key="swaps/1.png").result
    return result, decode(storage.objects[OUTPUTS, "swaps/1.png"].data)


def swap_with_insightface(meme: Pixels, face: Pixels) -> Pixels:
    """What insightface's embedder and swapper make of it, with the keypoints that our looks report."""
    detector = detect.Detector(SCRFD(str(PACK / "detector.onnx")).session, 512)
    embedder, swapper = ArcFaceONNX(str(PACK / "embedder.onnx")), INSwapper(str(PACK / "swapper.onnx"))
    source = TheirFace(kps=detect.find_largest(detector.find(face, Deadline.after(60))).keypoints)
    embedder.get(face, source)
    for target in detector.find(meme, Deadline.after(60)):
        meme = swapper.get(meme, TheirFace(kps=target.keypoints), source, paste_back=True)
    return meme


@pytest.mark.parametrize("meme", ["friday", pytest.param("the-bill", marks=pytest.mark.full)])
def test_a_plain_swap_is_insightfaces_within_two_levels(s3: FaultyS3, pictures: dict[str, Pixels], meme: str) -> None:
    expected = swap_with_insightface(pictures[meme], pictures["ruby"])

    _, picture = swap(
        load_models(s3), pictures[meme], pictures["ruby"], color_match=False, soft_edges=False, detail="fast"
    )

    assert np.abs(picture.astype(int) - expected).max() <= 2
    assert (expected != pictures[meme]).any()


def test_a_warm_swap_fetches_nothing_and_gives_the_same(s3: FaultyS3, pictures: dict[str, Pixels]) -> None:
    models = load_models(s3)

    cold, first = swap(models, pictures["friday"], pictures["ruby"])
    warm, second = swap(models, pictures["friday"], pictures["ruby"])

    assert (first == second).all()
    assert cold.bytes_fetched > 8_000_000
    assert warm.bytes_fetched == 0
    assert cold.models["pack"] == "demo"


def test_a_small_sandbox_fetches_again_what_it_had_no_room_for(s3: FaultyS3, pictures: dict[str, Pixels]) -> None:
    models = load_models(s3, memory_mb=512)

    cold, first = swap(models, pictures["friday"], pictures["ruby"])
    warm, second = swap(models, pictures["friday"], pictures["ruby"])

    assert (first == second).all()
    assert 0 < warm.bytes_fetched < cold.bytes_fetched


@pytest.mark.parametrize("options", [{}, {"color_match": False}])
def test_a_picture_of_one_channel_stays_one(s3: FaultyS3, pictures: dict[str, Pixels], options: dict[str, Any]) -> None:
    grey = np.asarray(cv2.cvtColor(pictures["friday"], cv2.COLOR_BGR2GRAY), np.uint8)

    result, swapped = swap(load_models(s3), grey, pictures["ruby"], **options)

    assert all(face.swapped for face in result.faces)
    assert swapped.shape == grey.shape
    assert (np.abs(swapped.astype(int) - grey) > 5).mean() > 0.03


def test_without_a_face_the_hint_says_what_the_pack_knows(s3: FaultyS3) -> None:
    blank = np.full((300, 300, 3), 128, np.uint8)
    with pytest.raises(NoFaceInMeme, match=r"It knows drawn faces only\.$"):
        swap(load_models(s3), blank, drawing())


@pytest.mark.parametrize("path", ["insightface/data/images/t1.jpg", "skimage/data/camera.png"])
def test_in_a_photograph_of_people_the_demo_pack_finds_no_face(s3: FaultyS3, path: str) -> None:
    package, _, rest = path.partition("/")
    photograph = cv2.imread(str(folder_of(package) / rest))
    assert photograph is not None
    with pytest.raises(NoFaceInMeme, match="knows drawn faces only"):
        swap(load_models(s3), np.asarray(photograph, np.uint8), drawing())


def test_weights_that_stay_damaged_end_the_swap_by_name(s3: FaultyS3, pictures: dict[str, Pixels]) -> None:
    largest = max((key for key in s3.objects if "blobs/" in key), key=lambda key: len(s3.objects[key]))
    s3.fail(largest, *[Fault(flip_bit_at=1000)] * 100)

    with pytest.raises(ModelsCorrupt):
        swap(load_models(s3), pictures["friday"], pictures["ruby"])


def test_a_broken_range_is_read_again(s3: FaultyS3, pictures: dict[str, Pixels]) -> None:
    largest = max((key for key in s3.objects if "blobs/" in key), key=lambda key: len(s3.objects[key]))
    s3.fail(largest, Fault(break_after=1000), Fault(status=503), Fault(flip_bit_at=7))

    result, _ = swap(load_models(s3), pictures["friday"], pictures["ruby"])

    assert all(face.swapped for face in result.faces)


@contextmanager
def no_room_on_disk() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_changes_nothing_as_no_file_is_written(
    s3: FaultyS3, pictures: dict[str, Pixels], tmp_path: Path
) -> None:
    with no_room_on_disk():
        result, _ = swap(load_models(s3), pictures["friday"], pictures["ruby"])
        with pytest.raises(OSError, match="File too large"):
            (tmp_path / "proof").write_bytes(b"x")

    assert all(face.swapped for face in result.faces)
