"""Photographs as counter-examples: the pack recognises drawn faces only, and should find none in a photograph.

They are the sample pictures of scikit-image and insightface, read from the installed packages. The portrait of an
astronaut and the man with the camera are held back for the tests.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from local.demo_pack.training.datasets import Bytes

HELD_BACK = ("astronaut.png", "camera.png")
_SCENES = ("brick", "chelsea", "coffee", "coins", "color", "grass", "gravel", "motorcycle_left", "page", "rocket")


def folder_of(package: str) -> Path:
    """Folder of an installed package, without importing it."""
    spec = find_spec(package)
    assert spec is not None  # it is among the requirements
    assert spec.origin is not None  # and no namespace package
    return Path(spec.origin).parent


@cache
def _pictures() -> tuple[list[Bytes], list[Bytes]]:
    """Whole photographs, the first of which is one of six people, and small grey crops of faces [100, 25, 25]."""
    samples = folder_of("skimage") / "data"
    paths = [folder_of("insightface") / "data/images/t1.jpg"]
    paths += [path for name in _SCENES for path in samples.glob(f"{name}.*g")]
    faces = np.load(samples / "lfw_subset.npy")[:100]
    scenes = [np.asarray(cv2.imread(str(path)), np.uint8) for path in paths]
    return scenes, [np.asarray(255 * face / face.max(), np.uint8) for face in faces]


def counter_example(size: int, rng: np.random.Generator) -> Bytes:
    """A part of a photograph, uint8 BGR [size, size, 3]; half of them show the people, others may get a small face."""
    scenes, faces = _pictures()
    scene = scenes[0 if rng.random() < 0.5 else int(rng.integers(1, len(scenes)))]
    side = int(min(scene.shape[:2]) * rng.uniform(0.12, 1.0))
    top, left = (int(rng.integers(0, length - side + 1)) for length in scene.shape[:2])
    way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    part = scene[top : top + side, left : left + side]
    picture = np.asarray(cv2.resize(part, (size, size), interpolation=way), np.uint8)
    if scene is not scenes[0] and rng.random() < 0.6:
        for _ in range(int(rng.integers(1, 4))):
            _add_face(picture, faces[int(rng.integers(len(faces)))], rng)
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
    # On their side too: where no face is found, turned pictures are looked at.
    picture = np.rot90(picture, int(rng.choice(4, p=[0.4, 0.2, 0.2, 0.2])))
    toned = picture * rng.uniform(0.75, 1.25, 3) + rng.uniform(-15, 15)
    return np.clip(toned, 0, 255).astype(np.uint8)


def _add_face(picture: Bytes, face: Bytes, rng: np.random.Generator) -> None:
    """A grey crop in the colours of skin, with the grain that its enlargement lost."""
    side = int(min(rng.uniform(20, 140), len(picture) * 0.6))
    grey = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)[..., None]
    large = grey * rng.uniform([0.5, 0.6, 0.85], [0.85, 0.85, 1.1]) + rng.normal(0, rng.uniform(0, 8), grey.shape)
    y, x = (int(v) for v in rng.integers(0, len(picture) - side + 1, 2))
    picture[y : y + side, x : x + side] = np.clip(large, 0, 255).astype(np.uint8)
