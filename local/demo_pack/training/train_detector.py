"""Train the detector on drawn scenes: `python -m local.demo_pack.training.train_detector FOLDER`."""

import argparse
import copy
import math
import os
import time
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from local.demo_pack.training import datasets
from local.demo_pack.training.datasets import Bytes, Floats
from local.demo_pack.training.networks import ANCHORS, STRIDES, DetectorNet
from local.demo_pack.training.photographs import counter_example

SEED = 3
SIZES = ((192, 24, 0.2), (320, 10, 0.5), (448, 5, 0.2), (640, 3, 0.1))
"""Picture size in pixels, batch, and how often."""
SMALLEST_FACE = 9.0
"""Side of the smallest labelled face that is learned, in pixels; smaller ones count as background."""
PHOTOGRAPHS = 0.2
"""How often a picture is a photograph, in which nothing is to be found."""
ROLLED, MOST_ROLL = 0.35, math.radians(52)
"""How often a whole picture is turned, and by how much at most; the scenes themselves are mostly upright."""
FIRST_LEVEL = 48.0
"""Faces up to this side go to the first anchor of stride 8, up to twice of it to the second, then stride 16, and so
on."""

Target = tuple[Floats, Floats, Floats, NDArray[np.bool_]]


def find_levels(box: Floats) -> set[int]:
    """Which of the six (stride, anchor) pairs 0 to 5 are responsible for a box: one, or both near a boundary.

    With one alone, a face at a boundary would get half a score from either.
    """
    side = math.sqrt(max(1.0, float((box[2] - box[0]) * (box[3] - box[1]))))
    exact = math.log2(side / FIRST_LEVEL) + 1
    return {int(np.clip(math.floor(exact + slack), 0, len(STRIDES) * ANCHORS - 1)) for slack in (-0.2, 0.2)}


def make_targets(labels: list[Floats], size: int) -> list[Target]:
    """Per stride: scores [N, A], boxes [N, A, 4], keypoints [N, A, 10] in strides, and anchors that count as neither
    [N, A].

    labels are [faces, 14] per picture. Positive are the anchors around the middle of the keypoints.
    """
    result: list[Target] = []
    for number, stride in enumerate(STRIDES):
        cells = size // stride
        shape = (len(labels), cells, cells, ANCHORS)
        score, box = np.zeros(shape, np.float32), np.zeros((*shape, 4), np.float32)
        points, unsure = np.zeros((*shape, 10), np.float32), np.zeros(shape, np.bool_)
        for row, faces in enumerate(labels):
            for face in faces:
                anchors = [level % ANCHORS for level in find_levels(face[:4]) if level // ANCHORS == number]
                if not anchors:
                    continue
                middle = face[4:].reshape(5, 2).mean(0) / stride
                low = np.clip(np.ceil(middle - 2.2), 0, cells).astype(int)
                high = np.clip(np.floor(middle + 2.2) + 1, 0, cells).astype(int)
                for y in range(low[1], high[1]):
                    for x in range(low[0], high[0]):
                        if max(abs(x - middle[0]), abs(y - middle[1])) > 1.3:
                            unsure[row, y, x] = True
                            continue
                        here = np.float32([x * stride, y * stride])
                        unsure[row, y, x] = True
                        score[row, y, x, anchors] = 1
                        box[row, y, x, anchors] = np.concatenate([here - face[:2], face[2:4] - here]) / stride
                        points[row, y, x, anchors] = (face[4:] - np.tile(here, 5)) / stride
        flat = (len(labels), -1)
        result.append(
            (score.reshape(flat), np.maximum(box, 0).reshape(*flat, 4), points.reshape(*flat, 10), unsure.reshape(flat))
        )
    return result


def augment(picture: Bytes, labels: Floats, size: int, rng: np.random.Generator) -> tuple[Bytes, Floats]:
    """Resize to `size`; mirror, zoom in or out, shift, turn; black bands as letterboxing leaves them; at times grey.

    labels [faces, 14] follow; faces that leave the picture or become too small are dropped.
    """
    zoom = size / len(picture) * math.exp(rng.uniform(-0.35, 0.35))
    slack = size - zoom * len(picture)
    shift = rng.uniform(min(0.0, slack), max(0.0, slack), 2)
    flip = rng.random() < 0.5
    matrix = np.float32([[zoom, 0, shift[0]], [0, zoom, shift[1]]])
    roll = rng.uniform(-MOST_ROLL, MOST_ROLL) if rng.random() < ROLLED else 0.0
    if roll:
        cos, sin, middle = math.cos(roll), math.sin(roll), (size - 1) / 2
        turn = np.float32([[cos, -sin, middle * (1 - cos + sin)], [sin, cos, middle * (1 - cos - sin)]])
        matrix = turn @ np.vstack([matrix, np.float32([0, 0, 1])])
    if flip:
        matrix = np.float32([[-1, 0, size - 1], [0, 1, 0]]) @ np.vstack([matrix, np.float32([0, 0, 1])])
    border = rng.uniform(0, 255, 3).tolist() if rng.random() < 0.5 else [0.0, 0.0, 0.0]
    smooth = cv2.GaussianBlur(picture, (0, 0), 0.35 / zoom) if zoom < 0.8 else picture
    picture = cv2.warpAffine(
        smooth, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=border
    )
    points = labels.reshape(-1, 7, 2) @ matrix[:, :2].T + matrix[:, 2]
    if flip:
        points = points[:, [0, 1, 3, 2, 4, 6, 5]]
    corners = np.stack([points[:, :2].min(1), points[:, :2].max(1)], 1)
    if roll:
        corners = _rotate_boxes(labels[:, :4] * zoom, corners.mean(1), roll)
    inside = np.clip(corners, 0, size)
    area, visible = np.prod(corners[:, 1] - corners[:, 0], 1), np.prod(inside[:, 1] - inside[:, 0], 1)
    middles = points[:, 2:].mean(1)
    keep = (visible > 0.5 * area) & (np.sqrt(visible) >= SMALLEST_FACE) & ((middles > 0) & (middles < size)).all(1)
    if rng.random() < 0.4:
        _draw_shelves(picture, inside, rng)
    if rng.random() < 0.3:  # letterbox: nothing but black beyond an edge that cuts no face
        axis = int(rng.integers(2))
        edge = max(float(inside[:, 1, axis].max(initial=0)), size * rng.uniform(0.5, 0.9))
        band = [slice(None), slice(None)]
        band[1 - axis] = slice(int(edge), None)
        picture[tuple(band)] = 0
    if rng.random() < 0.1:
        picture = np.repeat(picture.mean(2, keepdims=True), 3, 2).astype(np.uint8)
    result = np.concatenate([inside.reshape(-1, 4), points[:, 2:].reshape(-1, 10)], 1)[keep]
    return picture, result.astype(np.float32)


def _rotate_boxes(boxes: Floats, middles: Floats, roll: float) -> Floats:
    """Corners [n, 2, 2] around the ellipses that fill `boxes` [n, 4], turned by `roll` radians about `middles`
    [n, 2]: a head is an oval, and the box of its box's corners would be far too large."""
    half = (boxes[:, 2:] - boxes[:, :2]) / 2
    mixed = np.array([[math.cos(roll) ** 2, math.sin(roll) ** 2], [math.sin(roll) ** 2, math.cos(roll) ** 2]])
    reach = np.sqrt(half**2 @ mixed)
    return np.stack([middles - reach, middles + reach], 1).astype(np.float32)


def _draw_shelves(picture: Bytes, boxes: Floats, rng: np.random.Generator) -> None:
    """Draw a grid of dotted boxes (shelves, windows, servers) clear of the faces, corners [n, 2, 2], in place."""
    size = len(picture)
    low = rng.uniform(-0.1, 0.7, 2) * size
    high = low + rng.uniform(0.15, 0.7, 2) * size
    if any((low < box[1] + 4).all() and (high > box[0] - 4).all() for box in boxes):
        return
    cell = rng.uniform(5, 30, 2) * (1.0, rng.uniform(0.3, 1.0))
    frame, inner, lamp = rng.uniform(0, 255, (3, 3)).tolist()
    cv2.rectangle(picture, low.astype(int).tolist(), high.astype(int).tolist(), frame, -1)
    for y in np.arange(low[1] + 2, high[1] - cell[1], cell[1]):
        for x in np.arange(low[0] + 2, high[0] - cell[0], cell[0]):
            corner = (int(x + 0.8 * cell[0]), int(y + 0.7 * cell[1]))
            cv2.rectangle(picture, (int(x), int(y)), corner, inner, -1)
            if rng.random() < 0.5:
                cv2.circle(
                    picture, (int(x + 0.5 * cell[0]), int(y + 0.35 * cell[1])), max(1, int(cell[1] / 6)), lamp, -1
                )


def to_network_input(pictures: Bytes) -> Tensor:
    """uint8 BGR [N, H, W, 3] → float32 RGB [N, 3, H, W], (x - 127.5) / 128, as SCRFD does."""
    return (torch.from_numpy(np.ascontiguousarray(pictures[..., ::-1])).permute(0, 3, 1, 2).float() - 127.5) / 128


def compute_loss(outputs: tuple[Tensor, ...], goals: list[Target]) -> tuple[Tensor, list[float]]:
    """Focal loss of the scores, IoU and L1 of the boxes, L1 of the keypoints; also the three parts as numbers."""
    count = float(sum(goal[0].sum() for goal in goals)) + 1
    zero = torch.zeros(())
    score_loss, box_loss, point_loss = zero, zero, zero
    for level, goal in enumerate(goals):
        labels, boxes, points, unsure = (torch.from_numpy(part) for part in goal)
        logits = outputs[level].float()
        chance = torch.sigmoid(logits)
        focus = torch.where(labels > 0, 0.5 * (1 - chance) ** 2, 0.75 * chance**2)
        entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        positive = labels > 0
        score_loss = score_loss + (focus * entropy * (positive | ~unsure)).sum()
        if positive.any():
            predictions, truth = outputs[3 + level].float()[positive], boxes[positive]
            inner = torch.minimum(predictions, truth)
            shared = (inner[:, 0] + inner[:, 2]) * (inner[:, 1] + inner[:, 3])
            both = sum((b[:, 0] + b[:, 2]) * (b[:, 1] + b[:, 3]) for b in (predictions, truth)) - shared
            size = truth.mean(1, keepdim=True)
            box_loss = (
                box_loss + (1 - shared / (both + 1e-6)).sum() + 0.1 * ((predictions - truth).abs() / (size + 0.5)).sum()
            )
            off = (outputs[6 + level].float()[positive] - points[positive]).abs()
            point_loss = point_loss + (off / (size + 0.3)).mean(1).sum()
    parts = [part.item() / count for part in (score_loss, box_loss, point_loss)]
    return (8 * score_loss + box_loss + 60 * point_loss) / count, parts


def train(folder: Path, steps: int, threads: int, processes: int) -> None:
    """Train for `steps` batches; continues from its checkpoint."""
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    pictures, labels = datasets.scene_pictures(folder, processes)
    network = DetectorNet()
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-3)
    checkpoint, start = folder / "detector.pt", 0
    if checkpoint.exists():
        last_state = torch.load(checkpoint)
        network.load_state_dict(last_state["network"])
        average.load_state_dict(last_state["average"])
        optimizer.load_state_dict(last_state["optimizer"])
        start = last_state["step"]

    def save(step: int) -> None:
        state = {"network": network.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save(state | {"step": step}, checkpoint.with_suffix(".tmp"))
        os.replace(checkpoint.with_suffix(".tmp"), checkpoint)

    began = time.monotonic()
    for step in range(start, steps):
        rng = np.random.default_rng([SEED, step])
        torch.manual_seed(1_000_000 * SEED + step)  # a resumed run draws what an uninterrupted one would
        for group in optimizer.param_groups:
            group["lr"] = 2.5e-3 * min(1.0, (step + 1) / 50) * (0.51 + 0.5 * math.cos(math.pi * step / steps))
        size, count, _ = SIZES[rng.choice(len(SIZES), p=[share for _, _, share in SIZES])]
        rows = np.sort(rng.choice(len(pictures), count, replace=False))
        batch = [
            (counter_example(size, rng), np.zeros((0, 14), np.float32))
            if rng.random() < PHOTOGRAPHS
            else augment(pictures[row], labels[row][~np.isnan(labels[row, :, 0])], size, rng)
            for row in rows
        ]
        inputs = to_network_input(np.stack([picture for picture, _ in batch]))
        inputs = inputs * (1 + 0.1 * torch.randn(count, 1, 1, 1)) + 0.05 * torch.randn(count, 3, 1, 1)
        with torch.autocast("cpu", torch.bfloat16):
            outputs = network(inputs)
        loss, parts = compute_loss(outputs, make_targets([faces for _, faces in batch], size))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(network.parameters(), 20.0)
        optimizer.step()
        keep = min(0.995, (step + 1) / (step + 20))
        with torch.no_grad():
            for slow, fast in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
                slow.lerp_(fast, 1 - keep) if slow.is_floating_point() else slow.copy_(fast)
        if (step + 1) % 100 == 0 or step + 1 == steps:
            save(step + 1)
            scores, boxes, points = parts
            spent = time.monotonic() - began
            print(
                f"detector {step + 1}/{steps} {spent:.0f} s scores {scores:.3f} boxes {boxes:.3f} "
                f"keypoints {points:.4f}",
                flush=True,
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    train(options.folder, options.steps, options.threads, options.processes)


if __name__ == "__main__":
    main()
