"""Draw the training pictures once, in parallel, into memory-mapped arrays; a finished array is never drawn again.

All pictures are uint8 BGR. Every array depends only on its seeds, not on the number of processes.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from local.demo_pack.drawing import draw
from local.demo_pack.geometry import crop_placement
from local.demo_pack.people import DEVELOPMENT, TRAINING, identity, sample_carrier, sample_state
from local.demo_pack.scenes import draw_scene

PORTRAIT_JITTER = 0.03
SWAP_JITTER = 0.02
"""Error of the keypoints that alignment sees, in head units: about 1.3 and 0.9 pixels of the crop."""

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Job = tuple[int, int]


def portraits(seed: int, count: int, size: int = 112) -> Bytes:
    """[count, size, size, 3] aligned crops of one identity; hair and clothes change, so that they cannot name it."""
    rng = np.random.default_rng([1, seed])
    person = identity(seed)
    own = sample_carrier(rng, person)
    crops = []
    for _ in range(count):
        carrier = own if rng.random() < 0.4 else sample_carrier(rng, person)
        if rng.random() < 0.2:
            carrier = replace(carrier, neck_tone=float(rng.random()))
        state = sample_state(rng)
        jitter = rng.normal(0, PORTRAIT_JITTER, (5, 2)).astype(np.float32)
        crops.append(draw(person, carrier, state, crop_placement(person, state, size, jitter), (size, size)))
    return np.stack(crops)


def swap_group(seed: int, people: Iterable[int], size: int = 128) -> Bytes:
    """[n, size, size, 3]: n identities in one place; the first is the target, the others are what swapping them in
    should give."""
    rng = np.random.default_rng([2, seed])
    target, *others = (identity(number) for number in people)
    carrier, state = sample_carrier(rng, target), sample_state(rng)
    placement = crop_placement(target, state, size, rng.normal(0, SWAP_JITTER, (5, 2)).astype(np.float32))
    silent = replace(state, noise=0.0)
    crops = [draw(target, carrier, state, placement, (size, size))]
    return np.stack(crops + [draw(person, carrier, silent, placement, (size, size)) for person in others])


def group_members(seed: int, pool: range, count: int) -> list[int]:
    """The identities of one group: the target, then the sources."""
    rng = np.random.default_rng([3, seed])
    return [int(number) for number in pool.start + rng.choice(len(pool), count, replace=False)]


def _portraits_at(job: Job) -> Bytes:
    return portraits(*job)


def _group_at(job: tuple[int, range, int]) -> Bytes:
    seed, pool, count = job
    return swap_group(seed, group_members(seed, pool, count))


def _scene_at(job: tuple[int, range, int]) -> tuple[Bytes, Floats]:
    seed, pool, size = job
    scene = draw_scene(seed, pool, size)
    labels = np.full((MOST_FACES, 14), np.nan, np.float32)
    labels[: len(scene.boxes), :4] = scene.boxes
    labels[: len(scene.boxes), 4:] = scene.keypoints.reshape(-1, 10)
    return scene.picture, labels


def _single_thread() -> None:
    cv2.setNumThreads(1)


def _draw_array(
    path: Path, shape: tuple[int, ...], work: Callable[[Any], Bytes], jobs: list[Any], processes: int
) -> Bytes:
    """Fill and return the array at `path`; rows are written as they come, and the final name appears with the last."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial.npy")
        array = np.lib.format.open_memmap(partial, "w+", np.uint8, (len(jobs), *shape))
        with multiprocessing.get_context("spawn").Pool(processes, _single_thread) as pool:
            for row, picture in enumerate(pool.imap(work, jobs, chunksize=16)):
                array[row] = picture
        array.flush()
        os.replace(partial, path)
    loaded: Bytes = np.load(path, mmap_mode="r")
    return loaded


def portrait_array(path: Path, seeds: range, count: int, processes: int) -> Bytes:
    """[len(seeds), count, 112, 112, 3]; row i shows identity seeds[i]."""
    return _draw_array(path, (count, 112, 112, 3), _portraits_at, [(seed, count) for seed in seeds], processes)


def group_array(path: Path, seeds: range, pool: range, count: int, processes: int) -> Bytes:
    """[len(seeds), count, 128, 128, 3]; who is in row i says group_members(seeds[i], pool, count)."""
    return _draw_array(path, (count, 128, 128, 3), _group_at, [(seed, pool, count) for seed in seeds], processes)


def scene_arrays(path: Path, seeds: range, pool: range, size: int, processes: int) -> tuple[Bytes, Floats]:
    """Scenes [n, size, size, 3] and labels float32 [n, MOST_FACES, 14]: box, then keypoints; NaN where there is no
    face."""
    labels = path.with_suffix(".labels.npy")
    if not labels.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        pictures = np.lib.format.open_memmap(path, "w+", np.uint8, (len(seeds), size, size, 3))
        rows = np.empty((len(seeds), MOST_FACES, 14), np.float32)
        jobs = [(seed, pool, size) for seed in seeds]
        with multiprocessing.get_context("spawn").Pool(processes, _single_thread) as workers:
            for row, (picture, faces) in enumerate(workers.imap(_scene_at, jobs, chunksize=8)):
                pictures[row], rows[row] = picture, faces
        pictures.flush()
        np.save(labels, rows)
    return np.load(path, mmap_mode="r"), np.load(labels)


MOST_FACES = 5
SCENE_SIZE = 320
EMBEDDER_PEOPLE = range(TRAINING.start, TRAINING.start + 5000)
MORE_PEOPLE = range(TRAINING.start + 20_000, TRAINING.start + 25_000)
JUDGE_PEOPLE = range(TRAINING.start + 500_000, TRAINING.start + 503_500)
TRIAL_PEOPLE = range(DEVELOPMENT.start, DEVELOPMENT.start + 500)
"""Identities of the embedder and the swapper, of the embedder alone, of the judge (others), and for the learning
curves."""

PORTRAITS_EACH = 6
GROUPS = range(9000)
GROUP_SIZE = 5
TRIAL_GROUPS = range(10_000_000, 10_000_096)


def embedder_pictures(folder: Path, processes: int = 2) -> Bytes:
    """Portraits that train the embedder."""
    return portrait_array(folder / "portraits.npy", EMBEDDER_PEOPLE, PORTRAITS_EACH, processes)


def more_pictures(folder: Path, processes: int = 2) -> Bytes:
    """Further portraits that train the embedder: what it reads in faces it has not met depends on how many it has."""
    return portrait_array(folder / "portraits_more.npy", MORE_PEOPLE, PORTRAITS_EACH, processes)


def judge_pictures(folder: Path, processes: int = 2) -> Bytes:
    """Portraits that train the judge."""
    return portrait_array(folder / "portraits_judge.npy", JUDGE_PEOPLE, PORTRAITS_EACH, processes)


def trial_pictures(folder: Path, processes: int = 2) -> Bytes:
    """Portraits that the learning curves are measured on."""
    return portrait_array(folder / "portraits_trial.npy", TRIAL_PEOPLE, 4, processes)


def swap_pictures(folder: Path, processes: int = 2) -> Bytes:
    """Groups that train the swapper, all of people that trained the embedder."""
    return group_array(folder / "groups.npy", GROUPS, EMBEDDER_PEOPLE, GROUP_SIZE, processes)


def trial_swaps(folder: Path, processes: int = 2) -> Bytes:
    """Groups of two for the swapper's learning curve."""
    return group_array(folder / "groups_trial.npy", TRIAL_GROUPS, TRIAL_PEOPLE, 2, processes)


def scene_pictures(folder: Path, processes: int = 2) -> tuple[Bytes, Floats]:
    """Scenes that train the detector."""
    return scene_arrays(folder / "scenes.npy", range(10_000), TRAINING, SCENE_SIZE, processes)
