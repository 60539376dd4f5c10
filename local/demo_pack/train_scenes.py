"""Scenes after a swap: the detector also has to find the faces that the swapper made, which are softer than drawn ones.

`python -m local.demo_pack.train_scenes FOLDER`
"""

import argparse
import os
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from local.demo_pack import datasets
from local.demo_pack.canvas import Bytes, Floats
from local.demo_pack.drawing import keypoints, similarity, template
from local.demo_pack.networks import Swapper
from local.demo_pack.people import TRAINING, identity
from local.demo_pack.scenes import Scene, scene
from local.demo_pack.train_swapper import Identity, as_tensor

SEEDS = range(100_000, 101_000)
"""Scenes of their own, apart from those of datasets.scene_pictures."""
SMALLEST = 24.0
"""Faces narrower than this, in pixels, stay as they are."""
KEYPOINT_ERROR = 0.05
"""Standard deviation of what the swap's alignment sees, over the distance from the eyes to the mouth."""


def pasted(picture: Bytes, crop: Bytes, placement: Floats) -> Bytes:
    """`picture` with the aligned `crop` [128, 128, 3] put back where `placement` [2, 3] took it from, soft at the
    rim."""
    shape = (picture.shape[1], picture.shape[0])
    rim = cv2.GaussianBlur(cv2.copyMakeBorder(np.ones((108, 108), np.float32), 10, 10, 10, 10, 0), (0, 0), 4)
    back = cv2.invertAffineTransform(placement)
    mask = cv2.warpAffine(rim, back, shape)[..., None]
    return np.asarray(picture * (1 - mask) + cv2.warpAffine(crop, back, shape) * mask + 0.5, np.uint8)


@torch.no_grad()
def swap_all(drawn: Scene, network: Swapper, latents: Tensor, rng: np.random.Generator) -> tuple[Bytes, Floats]:
    """The scene with a stranger in every face that is large enough, and labels float32 [n, 14].

    latents [people, views, 512] belong to datasets.EMBEDDER_PEOPLE. A label's keypoints are where the stranger would
    have been drawn.
    """
    picture, points = drawn.picture, drawn.keypoints.copy()
    for number, (box, (state, spot)) in enumerate(zip(drawn.boxes, drawn.moments, strict=True)):
        if box[2] - box[0] < SMALLEST or rng.random() < 0.1:
            continue
        row = int(rng.integers(len(latents)))
        unit = float(np.linalg.norm(points[number, :2].mean(0) - points[number, 3:].mean(0)))
        seen = points[number] + rng.normal(0, KEYPOINT_ERROR * unit, (5, 2)).astype(np.float32)
        placement = similarity(seen, template(128))
        crop = cv2.warpAffine(picture, placement, (128, 128))
        with torch.autocast("cpu", torch.bfloat16):
            output = network(as_tensor(crop[None]), latents[row, int(rng.integers(latents.shape[1]))][None])
        swapped = (output[0].float().permute(1, 2, 0).numpy()[..., ::-1] * 255 + 0.5).clip(0, 255)
        picture = pasted(picture, swapped.astype(np.uint8), placement)
        points[number] = keypoints(identity(datasets.EMBEDDER_PEOPLE.start + row), state, spot)
    return picture, np.concatenate([drawn.boxes, points.reshape(-1, 10)], 1)


def swapped_scenes(folder: Path) -> tuple[Bytes, Floats]:
    """Scenes and labels like datasets.scene_pictures, after swaps by the trained swapper; drawn once."""
    path = folder / "scenes_swapped.npy"
    labels = path.with_suffix(".labels.npy")
    if not labels.exists():
        network = Swapper()
        network.load_state_dict(torch.load(folder / "swapper.pt")["average"])
        latents = Identity(folder).latents
        size, partial = datasets.SCENE_SIZE, path.with_suffix(".partial.npy")
        pictures = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(SEEDS), size, size, 3))
        rows = np.full((len(SEEDS), datasets.MOST_FACES, 14), np.nan, np.float32)
        for row, seed in enumerate(SEEDS):
            pictures[row], faces = swap_all(
                scene(seed, TRAINING, size), network, latents, np.random.default_rng([9, seed])
            )
            rows[row, : len(faces)] = faces
        pictures.flush()
        os.replace(partial, path)
        np.save(labels, rows)
    return np.load(path, mmap_mode="r"), np.load(labels)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    torch.set_num_threads(2)
    swapped_scenes(parser.parse_args().folder)


if __name__ == "__main__":
    main()
