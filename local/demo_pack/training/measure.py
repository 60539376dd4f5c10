"""Measure the pack on people never trained on: `python -m local.demo_pack.training.measure [FOLDER]`.

Writes CARD.md, report.json and contact.jpg. Needs no torch. Everything runs through insightface's own classes, on
identities of the reserve, from fixed seeds.
"""

import argparse
import contextlib
import io
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from insightface.app.common import Face
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.model_zoo.inswapper import INSwapper
from insightface.model_zoo.scrfd import SCRFD

from local.demo_pack.canvas import Bytes, Floats
from local.demo_pack.drawing import aligned, draw, keypoints
from local.demo_pack.people import (
    CHOICES,
    RESERVE,
    TRAINING,
    Identity,
    State,
    identity,
    sample_carrier,
    sample_state,
)
from local.demo_pack.scenes import TrainingScene, overlap, placed, scene

PACK = Path(__file__).parents[1]
GALLERY = 500
SWAPS = 500
SCENES = 180
PORTRAITS = 80
READERS = 1500
"""People of the training range whose crops teach what reads colours from embeddings and gaze from crops."""
ROLLS = (0, 15, 30, 45)
"""Degrees by which portraits are turned to measure keypoints."""
CROP_JITTER = 0.02


@dataclass
class Pack:
    """The four models behind insightface's classes."""

    detector: Any
    embedder: Any
    swapper: Any
    judge: Any

    @staticmethod
    def load(folder: Path = PACK) -> "Pack":
        """Load the files; onnxruntime may use two threads."""
        detector = SCRFD(str(folder / "detector.onnx"), session=session(folder / "detector.onnx"))
        detector.prepare(-1)
        embedder, judge = (
            ArcFaceONNX(str(folder / name), session=session(folder / name)) for name in ("embedder.onnx", "judge.onnx")
        )
        with contextlib.redirect_stdout(io.StringIO()):  # INSwapper prints its input shape
            swapper = INSwapper(str(folder / "swapper.onnx"), session=session(folder / "swapper.onnx"))
        return Pack(detector, embedder, swapper, judge)

    def faces(self, picture: Bytes, size: int) -> list[Any]:
        """Faces of a picture with their embeddings, largest first; detection at `size` pixels."""
        boxes, points = self.detector.detect(picture, input_size=(size, size))[:2]
        found = []
        for box, five in zip(boxes, points, strict=True):
            face = Face(bbox=box[:4], kps=five, det_score=box[4])
            self.embedder.get(picture, face)
            found.append(face)
        return sorted(found, key=lambda face: -float(face.bbox[3] - face.bbox[1]))

    def judged(self, picture: Bytes, face: Any) -> Floats:
        """The judge's unit embedding of a found face."""
        copy = Face(bbox=face.bbox, kps=face.kps, det_score=face.det_score)
        self.judge.get(picture, copy)
        return np.asarray(copy.normed_embedding, np.float32)

    def swap_crop(self, crop: Bytes, embedding: Floats) -> Bytes:
        """Swap an aligned crop uint8 BGR [128, 128, 3] to the unit embedding, as INSwapper.get does before it
        pastes."""
        latent = embedding[None] @ self.swapper.emap
        latent /= np.linalg.norm(latent)
        blob = cv2.dnn.blobFromImage(crop, 1 / 255, (128, 128), (0, 0, 0), swapRB=True)
        swapped = self.swapper.session.run(None, {"target": blob, "source": latent.astype(np.float32)})[0][0]
        rounded = np.clip(swapped.transpose(1, 2, 0)[..., ::-1] * 255 + 0.5, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(rounded)


def session(path: Path) -> onnxruntime.InferenceSession:
    """A CPU session of at most two threads that keeps quiet about the unused embedding map."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def unit_embeddings(embedder: Any, crops: Sequence[Bytes]) -> Floats:
    """Unit embeddings float32 [n, 512] of aligned crops of 112 pixels."""
    parts = [embedder.get_feat(list(crops[start : start + 50])) for start in range(0, len(crops), 50)]
    stacked = np.concatenate(parts)
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), np.float32)


@cache
def person_crop(number: int, seed: int, size: int = 112) -> Bytes:
    """An aligned crop of the reserve's person `number` in a hair style and at a moment given by the seed."""
    rng = np.random.default_rng([5, seed])
    person = identity(RESERVE.start + number)
    state = sample_state(rng)
    jitter = rng.normal(0, CROP_JITTER, (5, 2)).astype(np.float32)
    return draw(person, sample_carrier(rng, person), state, aligned(person, state, size, jitter), (size, size))


@cache
def reserve_scene(number: int, size: int) -> TrainingScene:
    """A scene of the reserve's people, square, `size` pixels."""
    return scene(20_000_000 + number, RESERVE, size)


def drawn_swap(seed: int, source: int, target: int) -> tuple[Bytes, Bytes, State]:
    """Target and truth of one swap between people of the reserve, crops of 128 pixels, and their moment."""
    rng = np.random.default_rng([6, seed])
    old, new = identity(RESERVE.start + target), identity(RESERVE.start + source)
    carrier, state = sample_carrier(rng, old), replace(sample_state(rng), noise=0.0)
    placement = aligned(old, state, 128, rng.normal(0, CROP_JITTER, (5, 2)).astype(np.float32))
    pictures = [draw(person, carrier, state, placement, (128, 128)) for person in (old, new)]
    return pictures[0], pictures[1], state


@cache
def readers() -> tuple[list[Bytes], list[Identity], list[State]]:
    """Crops of 128 pixels of READERS people of the training range, who they are, and their moments."""
    crops, people, states = [], [], []
    for number in range(READERS):
        rng = np.random.default_rng([10, number])
        person, state = identity(TRAINING.start + number), replace(sample_state(rng), noise=0.0)
        placement = aligned(person, state, 128, rng.normal(0, CROP_JITTER, (5, 2)).astype(np.float32))
        crops.append(draw(person, sample_carrier(rng, person), state, placement, (128, 128)))
        people.append(person)
        states.append(state)
    return crops, people, states


def portrait(number: int, seed: int, size: int = 512, roll: float | None = None) -> tuple[Bytes, Floats]:
    """One person of the reserve from the shoulders up [size, size, 3], and the true keypoints [5, 2]; `roll` in
    radians instead of nearly upright."""
    rng = np.random.default_rng([7, seed])
    person = identity(RESERVE.start + number)
    state = replace(sample_state(rng), blur=0.0, noise=0.0)
    middle = size * rng.uniform(0.44, 0.56, 2)
    unit, own_roll = size * rng.uniform(0.2, 0.26), float(rng.normal(0, 0.1))
    placement = placed(unit, own_roll if roll is None else roll, float(middle[0]), float(middle[1]))
    return draw(person, sample_carrier(rng, person), state, placement, (size, size)), keypoints(
        person, state, placement
    )


def crop112(crops: Sequence[Bytes]) -> list[Bytes]:
    """The 112-pixel crops inside crops of 128 pixels."""
    return [np.ascontiguousarray(crop[:112, 8:120]) for crop in crops]


def area_under_curve(same: Floats, other: Floats) -> float:
    """Chance that a same-person similarity is above another's."""
    return float(np.searchsorted(np.sort(other), same).mean() / len(other))


def measure_embedder(embedder: Any) -> dict[str, float]:
    """Verification and retrieval among GALLERY people, one gallery and two probe pictures each."""
    views = [unit_embeddings(embedder, [person_crop(i, 10 * i + view) for i in range(GALLERY)]) for view in range(3)]
    similar = np.concatenate([view @ views[0].T for view in views[1:]])
    own = np.tile(np.arange(GALLERY), 2)
    rows = np.arange(len(own))
    mask = np.ones_like(similar, bool)
    mask[rows, own] = False
    return {
        "rank1": float((similar.argmax(1) == own).mean()),
        "auc": area_under_curve(similar[rows, own], similar[mask]),
        "cosine_same": float(similar[rows, own].mean()),
        "cosine_other": float(similar[mask].mean()),
    }


def measure_colours(embedder: Any) -> dict[str, dict[str, float]]:
    """How often a ridge readout of the embedding names a colour, against always naming the commonest.

    It learns from training people and is asked about the GALLERY of the reserve; frames only where there are any.
    """
    crops, people, _ = readers()
    known = unit_embeddings(embedder, crop112(crops))
    asked = unit_embeddings(embedder, [person_crop(i, 10 * i) for i in range(GALLERY)])
    strangers = [identity(RESERVE.start + i) for i in range(GALLERY)]
    result = {}
    for name in ("iris", "brow_colour", "frame_colour"):
        rows, tests = (
            np.array([i for i, person in enumerate(some) if name != "frame_colour" or person.glasses])
            for some in (people, strangers)
        )
        labels, answers = (
            np.array([getattr(some[i], name) for i in which]) for some, which in ((people, rows), (strangers, tests))
        )
        x, y = known[rows], np.eye(CHOICES[name])[labels]
        weights = np.linalg.solve(x.T @ x + 0.02 * len(x) / 512 * np.eye(512), x.T @ (y - y.mean(0)))
        right = ((asked[tests] @ weights + y.mean(0)).argmax(1) == answers).mean()
        result[name] = {"right": float(right), "chance": float(np.bincount(answers).max() / len(answers))}
    return result


def eye_patches(crops: Sequence[Bytes]) -> Floats:
    """float32 [n, 560]: both eyes of aligned crops of 128 pixels, in grey, each with mean 0 and deviation 1."""
    rows = []
    for crop in crops:
        grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).astype(np.float32)
        eyes = [grey[42:62, x - 14 : x + 14] for x in (46, 82)]
        rows.append(np.concatenate([((eye - eye.mean()) / (eye.std() + 1)).ravel() for eye in eyes]))
    return np.stack([cv2.resize(row.reshape(40, 28), (14, 40), interpolation=cv2.INTER_AREA).ravel() for row in rows])


def measure_expression(swapped: list[Bytes], truths: list[Bytes], states: list[State]) -> dict[str, dict[str, float]]:
    """Correlation of gaze and blink, as kernel ridge regression reads them from the eyes, with what was drawn.

    The regression learns from drawn crops of training people. Gaze is asked for only where both eyes are open.
    """
    crops, _, moments = readers()
    learned = eye_patches(crops)

    def similar(patches: Floats) -> Floats:
        apart = (patches**2).sum(1)[:, None] + (learned**2).sum(1)[None] - 2 * patches @ learned.T
        return np.asarray(np.exp(-apart / learned.shape[1]), np.float32)

    kernel, shown, true = similar(learned), similar(eye_patches(swapped)), similar(eye_patches(truths))
    result = {}
    for name in ("gaze_x", "gaze_y", "blink"):

        def usable(state: State, name: str = name) -> bool:
            return state.wink == 0 and (name == "blink" or state.blink < 0.3)

        known = np.array([usable(state) for state in moments])
        asked = np.array([usable(state) for state in states])
        values = np.array([getattr(state, name) for state in moments])[known]
        weights = np.linalg.solve(kernel[known][:, known] + 0.1 * np.eye(known.sum()), values - values.mean())
        drawn = np.array([getattr(state, name) for state in states])[asked]
        read = [(some[asked][:, known] @ weights) for some in (shown, true)]
        result[name] = {
            kind: float(np.corrcoef(one, drawn)[0, 1]) for kind, one in zip(("swapped", "truth"), read, strict=True)
        }
    return result


def average_precision(found: list[tuple[float, bool]], total: int) -> float:
    """Area under the interpolated precision-recall curve of (score, is right), of `total` faces."""
    right = np.array([hit for _, hit in sorted(found, key=lambda item: -item[0])], bool)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    recall = np.cumsum(right) / total
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * envelope))


def measure_detector(detector: Any, size: int, drawn: int) -> dict[str, float]:
    """AP at IoU 0.5 on scenes drawn at `drawn` pixels and detected at `size`; faces under 9 pixels there are not asked
    for.

    Keypoint error is the mean distance over the distance from the middle of the eyes to the middle of the mouth.
    """
    found: list[tuple[float, bool]] = []
    errors: list[float] = []
    total = empty = false_alarms = 0
    threshold, detector.det_thresh = detector.det_thresh, 0.05
    for seed in range(SCENES):
        drawing = reserve_scene(seed, drawn)
        boxes, points = drawing.boxes, drawing.keypoints
        small = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], 1)) * size / drawn < 9
        total += int((~small).sum())
        guesses, five = detector.detect(drawing.picture, input_size=(size, size))[:2]
        order = np.argsort(-guesses[:, 4])
        shared = overlap(guesses[:, :4], boxes)
        taken: set[int] = set()
        for guess in order:
            score = float(guesses[guess, 4])
            candidates = [n for n in range(len(boxes)) if n not in taken and shared[guess, n] >= 0.5]
            if not candidates:
                found.append((score, False))
                continue
            best = max(candidates, key=lambda n: float(shared[guess, n]))
            taken.add(best)
            if small[best]:
                continue
            found.append((score, True))
            if score >= 0.5:
                unit = float(np.linalg.norm(points[best][:2].mean(0) - points[best][3:].mean(0)))
                errors.append(float(np.linalg.norm(five[guess] - points[best], axis=1).mean()) / unit)
        if len(boxes) == 0:
            empty += 1
            false_alarms += int((guesses[:, 4] >= 0.5).any())
    detector.det_thresh = threshold
    return {
        "ap50": average_precision(found, total),
        "recall_at_0.5": sum(hit and score >= 0.5 for score, hit in found) / total,
        "precision_at_0.5": sum(hit for score, hit in found if score >= 0.5) / max(1, sum(s >= 0.5 for s, _ in found)),
        "keypoint_error_median": float(np.median(errors or [1.0])),
        "keypoint_error_mean": float(np.mean(errors or [1.0])),
        "scenes_without_faces": empty,
        "false_alarms_there": false_alarms,
        "faces": total,
    }


def measure_swapper(pack: Pack) -> tuple[dict[str, Any], list[list[Bytes]]]:
    """SWAPS swaps between GALLERY people: how near the output is to the truth and to whom; and columns for the contact
    sheet."""
    shown = [person_crop(i, 10 * i) for i in range(GALLERY)]
    others = [person_crop(i, 10 * i + 1) for i in range(GALLERY)]
    known = unit_embeddings(pack.embedder, shown)
    sources = np.arange(SWAPS) % GALLERY
    aims = (sources + 1 + np.random.default_rng(8).integers(0, GALLERY - 1, SWAPS)) % GALLERY
    pairs = [drawn_swap(n, int(source), int(aim)) for n, (source, aim) in enumerate(zip(sources, aims, strict=True))]
    targets, truths, states = [p[0] for p in pairs], [p[1] for p in pairs], [p[2] for p in pairs]
    swapped = [pack.swap_crop(target, known[source]) for target, source in zip(targets, sources, strict=True)]
    rows = np.arange(SWAPS)
    result: dict[str, Any] = {
        "psnr": psnr(swapped, truths),
        "psnr_target": psnr(targets, truths),
        "sharpness": sharpness(swapped) / sharpness(truths),
        "expression": measure_expression(swapped, truths, states),
    }
    for name, embedder in (("judge", pack.judge), ("embedder", pack.embedder)):
        gallery = unit_embeddings(embedder, others)
        for kind, crops in (("swapped", swapped), ("truth", truths), ("target", targets)):
            similar = unit_embeddings(embedder, crop112(crops)) @ gallery.T
            rank = (similar > similar[rows, sources][:, None]).sum(1)
            result[f"{name}_{kind}"] = {
                "rank1": float((rank == 0).mean()),
                "top5": float((rank < 5).mean()),
                "cosine_source": float(similar[rows, sources].mean()),
                "cosine_target": float(similar[rows, aims].mean()),
            }
    columns = [
        [cv2.resize(shown[s], (128, 128)), targets[n], swapped[n], truths[n]] for n, s in enumerate(sources[:20])
    ]
    return result, columns


def psnr(pictures: Sequence[Bytes], truths: Sequence[Bytes]) -> float:
    """Mean peak signal-to-noise ratio in dB over pairs of pictures."""
    errors = [np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(pictures, truths, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / max(float(error), 1e-9)) for error in errors]))


def sharpness(pictures: Sequence[Bytes]) -> float:
    """Mean absolute Laplacian of the inner face: 1.0 of the truth's means as crisp as the drawing."""
    return float(np.mean([np.abs(cv2.Laplacian(picture[30:110, 24:104], cv2.CV_32F)).mean() for picture in pictures]))


def measure_chain(pack: Pack, size: int = 512) -> dict[str, float]:
    """Detect, embed, swap, paste, detect again on PORTRAITS pictures of 512 pixels, each getting the next one's
    face."""
    drawn = [portrait(i, i) for i in range(PORTRAITS)]
    found = [pack.faces(picture, size) for picture, _ in drawn]
    seen = [i for i, faces in enumerate(found) if faces]
    gallery = np.stack([pack.judged(drawn[i][0], found[i][0]) for i in seen])
    errors, hits, near, far, again, exact = [], 0, [], [], 0, 0
    for place, i in enumerate(seen):
        points = drawn[i][1]
        unit = float(np.linalg.norm(points[:2].mean(0) - points[3:].mean(0)))
        errors.append(float(np.linalg.norm(found[i][0].kps - points, axis=1).mean()) / unit)
        exact += len(found[i]) == 1
        donor = (place + 1) % len(seen)
        output = pack.swapper.get(drawn[i][0], found[i][0], found[seen[donor]][0], paste_back=True)
        faces = pack.faces(output, size)
        if faces:
            again += 1
            similar = gallery @ pack.judged(output, faces[0])
            hits += int(similar.argmax() == donor)
            near.append(float(similar[donor]))
            far.append(float(similar[place]))
    return {
        "portraits": PORTRAITS,
        "found": len(seen),
        "found_exactly_once": exact,
        "keypoint_error_median": float(np.median(errors)),
        "found_after_swap": again,
        "judge_rank1": hits / len(seen),
        "judge_cosine_source": float(np.mean(near or [0.0])),
        "judge_cosine_target": float(np.mean(far or [0.0])),
    }


def measure_rotation(pack: Pack, size: int = 512) -> dict[str, Any]:
    """How often a portrait is found upright, and lying on its side, at the usual threshold of 0.5; and by degrees of
    roll how often, and the median error of its keypoints over the distance from the eyes to the mouth."""
    upright = lying = 0
    for number in range(50):
        picture, _ = portrait(number, number)
        upright += len(pack.detector.detect(picture, input_size=(size, size))[0]) > 0
        turned = np.ascontiguousarray(np.rot90(picture, 1 if number % 2 else 3))
        lying += len(pack.detector.detect(turned, input_size=(size, size))[0]) > 0
    rolls = {}
    for roll in ROLLS:
        errors = []
        for number in range(50):
            picture, points = portrait(number, number, size, math.radians(roll * (1, -1)[number % 2]))
            boxes, five = pack.detector.detect(picture, input_size=(size, size))[:2]
            if len(boxes):
                unit = float(np.linalg.norm(points[:2].mean(0) - points[3:].mean(0)))
                errors.append(float(np.linalg.norm(five[0] - points, axis=1).mean()) / unit)
        rolls[str(roll)] = {"found": len(errors) / 50, "keypoint_error_median": float(np.median(errors or [1.0]))}
    return {"upright": upright / 50, "lying": lying / 50, "rolls": rolls}


def contact_sheet(columns: list[list[Bytes]], path: Path) -> None:
    """JPEG below 300 KB: per swap, from top to bottom, source, target, swapped and drawn truth; ten swaps to a band."""
    bands = []
    for start in range(0, len(columns), 10):
        band = np.hstack([np.vstack(column) for column in columns[start : start + 10]])
        bands.append(cv2.copyMakeBorder(band, 0, 12, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    sheet = np.vstack(bands)
    for quality in (90, 80, 70, 60):
        _, encoded = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(encoded) <= 300_000:
            break
    path.write_bytes(encoded.tobytes())


def card(report: dict[str, Any], pack: dict[str, Any]) -> str:
    """The pack's model card in Markdown."""
    swap, chain = report["swapper"], report["chain"]
    files = "\n".join(
        f"| `{model['file']}` | {model['size'] / 1e6:.1f} MB | `{model['sha256'][:16]}…` |"
        for model in pack["models"].values()
    )
    detectors = "\n".join(
        f"| {name} | {d['ap50']:.3f} | {d['recall_at_0.5']:.3f} | {d['precision_at_0.5']:.3f} "
        f"| {d['keypoint_error_median']:.3f} |"
        for name, d in report["detector"].items()
    )
    embedders = "\n".join(
        f"| {name} | {e['rank1']:.3f} | {e['auc']:.6f} | {e['cosine_same']:.2f} | {e['cosine_other']:.2f} |"
        for name, e in ((name, report[name]) for name in ("embedder", "judge"))
    )
    swaps = "\n".join(
        f"| {who}: {kind} | {s['rank1']:.3f} | {s['top5']:.3f} | {s['cosine_source']:.2f} | {s['cosine_target']:.2f} |"
        for who in ("judge", "embedder")
        for kind, s in ((kind, swap[f"{who}_{kind}"]) for kind in ("swapped", "truth", "target"))
    )
    chains = (
        f"| {chain['found']} | {chain['found_after_swap']} | {chain['judge_rank1']:.2f} "
        f"| {chain['judge_cosine_source']:.2f} | {chain['judge_cosine_target']:.2f} "
        f"| {chain['keypoint_error_median']:.3f} |"
    )
    rolls = "\n".join(
        f"| {roll}° | {r['found']:.0%} | {r['keypoint_error_median']:.3f} |"
        for roll, r in report["rotation"]["rolls"].items()
    )
    colours = "\n".join(
        f"| {name.replace('_', ' ')} | {c['right']:.2f} | {c['chance']:.2f} |" for name, c in report["colours"].items()
    )
    moods = "\n".join(
        f"| {name.replace('_', ' ')} | {e['swapped']:.2f} | {e['truth']:.2f} |"
        for name, e in swap["expression"].items()
    )
    return f"""# The demo pack

A face detector, an embedder and a swapper with the contracts of InsightFace's det_500m, w600k_r50 and inswapper_128
(the swapper with the same layers at an eighth of the width), and a judge that grades swaps. They learned from
procedurally drawn faces, in this repository. No foreign weight went in; photographs only as counter-examples, in which
the detector is to find nothing. Licence: the project's own (MIT). They work on drawings like these and are of no use on
photographs.

`make demo-pack-report` writes this page, report.json and contact.jpg. `make demo-pack-train` trains the pack anew; the
files here come from that recipe, but its constants were settled along the way, between checkpoints.

| file | size | SHA-256 |
| --- | --- | --- |
{files}

![Source, target, swapped, drawn truth](contact.jpg)

From top to bottom: source, target, swapped, and the truth as the drawing has it.

All numbers are measured on identities of the reserve, which nothing was trained on.

## Detector

{SCENES} scenes of up to five faces, the largest of which fills four fifths of the picture. Faces under 9 pixels are not
asked for. Keypoint error is over the distance from eyes to mouth. Faces lying on their side carry no label: the
detector leaves them to the caller, who turns the picture and tries again. Of 50 portraits at 512 it finds
{report["rotation"]["upright"]:.0%} upright and {report["rotation"]["lying"]:.0%} turned by 90°.

| scenes | AP at IoU 0.5 | recall at 0.5 | precision at 0.5 | keypoint error, median |
| --- | --- | --- | --- | --- |
{detectors}

50 portraits at 512, turned:

| roll | found | keypoint error, median |
| --- | --- | --- |
{rolls}

## Embedder and judge

{GALLERY} people, one gallery picture and two probes each; hair, clothes, pose, expression and light differ.

| model | rank-1 | AUC | cosine, same person | cosine, others |
| --- | --- | --- | --- | --- |
{embedders}

A ridge readout of the embedding names these colours, on people it never saw; chance is to name the commonest:

| colour | right | chance |
| --- | --- | --- |
{colours}

The judge has another shape, another loss, another seed and other training identities than the embedder, and no part in
training the swapper.

## Swapper

{SWAPS} swaps of aligned crops between {GALLERY} people. PSNR to the drawn truth: {swap["psnr"]:.1f} dB, against
{swap["psnr_target"]:.1f} dB of the untouched target. Sharpness of the inner face: {swap["sharpness"]:.2f} of the
truth's.

| who looks at what | rank-1 to the source | top-5 | cosine to the source | cosine to the target |
| --- | --- | --- | --- | --- |
{swaps}

What is read from the eyes, correlated with what was drawn:

| moment | swapped | truth |
| --- | --- | --- |
{moods}

## The whole chain

Detect, embed, swap, paste and detect again, by insightface's own classes, on {chain["portraits"]} portraits of 512
pixels, each of which gets the next one's face.

| found | found after the swap | judge's rank-1 | cosine to the source | cosine to the target | keypoint error |
| --- | --- | --- | --- | --- | --- |
{chains}

## Limits

Swaps are softer than what they stand beside, large faces most: a crop has 128 pixels, and the swapper saw some 350,000
pictures and was still improving. Faces lying on their side are mostly not found until the picture is turned; nobody was
drawn in profile.
"""


def rounded(value: Any) -> Any:
    """Numbers to six decimals, so that the report stays readable."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def measure(folder: Path) -> dict[str, Any]:
    """Measure everything and write the three files into `folder`."""
    began = time.monotonic()
    pack = Pack.load(folder)
    report: dict[str, Any] = {
        "embedder": measure_embedder(pack.embedder),
        "judge": measure_embedder(pack.judge),
        "detector": {
            "320, drawn at 320": measure_detector(pack.detector, 320, 320),
            "512, drawn at 512": measure_detector(pack.detector, 512, 512),
            "640, drawn at 320": measure_detector(pack.detector, 640, 320),
            "640, drawn at 640": measure_detector(pack.detector, 640, 640),
        },
        "rotation": measure_rotation(pack),
        "colours": measure_colours(pack.embedder),
    }
    report["swapper"], columns = measure_swapper(pack)
    report["chain"] = measure_chain(pack)
    report = rounded(report)
    described = json.loads((folder / "pack.json").read_text())
    report["models"] = {kind: model["sha256"] for kind, model in described["models"].items()}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "CARD.md").write_text(card(report, described))
    contact_sheet(columns, folder / "contact.jpg")
    print(f"measured in {time.monotonic() - began:.0f} s")
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=PACK)
    print(json.dumps(measure(parser.parse_args().folder), indent=2))


if __name__ == "__main__":
    main()
