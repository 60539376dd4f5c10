"""Measure the pack on people never trained on: `python -m local.demo_pack.training.measure [FOLDER]`.

Writes CARD.md (card.py), report.json and contact.jpg. Needs no torch. Everything runs through insightface's own
classes, on identities of the reserve, from fixed seeds.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from local.demo_pack.canvas import Bytes, Floats
from local.demo_pack.drawing import draw
from local.demo_pack.geometry import crop_placement, keypoints, make_placement
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
from local.demo_pack.reference_pack import PACK, ReferencePack
from local.demo_pack.scenes import TrainingScene, draw_scene, overlap
from local.demo_pack.training.card import card

GALLERY = 500
SWAPS = 500
SCENES = 180
PORTRAITS = 80
READERS = 1500
"""People of the training range on whose crops the readouts of colours and gaze are fitted."""
ROLLS = (0, 15, 30, 45)
"""Degrees by which portraits are rotated to measure keypoints."""
CROP_JITTER = 0.02


def unit_embeddings(embedder: Any, crops: Sequence[Bytes]) -> Floats:
    """Unit embeddings float32 [n, 512] of aligned crops of 112 pixels."""
    parts = [embedder.get_feat(list(crops[start : start + 50])) for start in range(0, len(crops), 50)]
    stacked = np.concatenate(parts)
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), np.float32)


@cache
def draw_person_crop(number: int, seed: int, size: int = 112) -> Bytes:
    """An aligned crop of the reserve's person `number` in a hair style and at a moment given by the seed."""
    rng = np.random.default_rng([5, seed])
    person = identity(RESERVE.start + number)
    state = sample_state(rng)
    jitter = rng.normal(0, CROP_JITTER, (5, 2)).astype(np.float32)
    return draw(person, sample_carrier(rng, person), state, crop_placement(person, state, size, jitter), (size, size))


@cache
def draw_reserve_scene(number: int, size: int) -> TrainingScene:
    """A scene of the reserve's people, square, `size` pixels."""
    return draw_scene(20_000_000 + number, RESERVE, size)


def draw_swap(seed: int, source: int, target: int) -> tuple[Bytes, Bytes, State]:
    """Target and truth of one swap between people of the reserve, crops of 128 pixels, and their moment."""
    rng = np.random.default_rng([6, seed])
    old, new = identity(RESERVE.start + target), identity(RESERVE.start + source)
    carrier, state = sample_carrier(rng, old), replace(sample_state(rng), noise=0.0)
    placement = crop_placement(old, state, 128, rng.normal(0, CROP_JITTER, (5, 2)).astype(np.float32))
    pictures = [draw(person, carrier, state, placement, (128, 128)) for person in (old, new)]
    return pictures[0], pictures[1], state


@cache
def draw_readers() -> tuple[list[Bytes], list[Identity], list[State]]:
    """Crops of 128 pixels of READERS people of the training range, who they are, and their moments."""
    crops, people, states = [], [], []
    for number in range(READERS):
        rng = np.random.default_rng([10, number])
        person, state = identity(TRAINING.start + number), replace(sample_state(rng), noise=0.0)
        placement = crop_placement(person, state, 128, rng.normal(0, CROP_JITTER, (5, 2)).astype(np.float32))
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
    placement = make_placement(unit, own_roll if roll is None else roll, float(middle[0]), float(middle[1]))
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
    views = [
        unit_embeddings(embedder, [draw_person_crop(i, 10 * i + view) for i in range(GALLERY)]) for view in range(3)
    ]
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

    It is fitted on training people and tested on the GALLERY of the reserve; frames only where there are any.
    """
    crops, people, _ = draw_readers()
    reader_embeddings = unit_embeddings(embedder, crop112(crops))
    gallery_embeddings = unit_embeddings(embedder, [draw_person_crop(i, 10 * i) for i in range(GALLERY)])
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
        x, y = reader_embeddings[rows], np.eye(CHOICES[name])[labels]
        weights = np.linalg.solve(x.T @ x + 0.02 * len(x) / 512 * np.eye(512), x.T @ (y - y.mean(0)))
        right = ((gallery_embeddings[tests] @ weights + y.mean(0)).argmax(1) == answers).mean()
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


def measure_expression(outputs: list[Bytes], truths: list[Bytes], states: list[State]) -> dict[str, dict[str, float]]:
    """Correlation of gaze and blink, as kernel ridge regression reads them from the eyes, with what was drawn.

    The regression is fitted on drawn crops of training people. Gaze is compared only where both eyes are open.
    """
    crops, _, moments = draw_readers()
    reader_patches = eye_patches(crops)

    def similar(patches: Floats) -> Floats:
        distances = (patches**2).sum(1)[:, None] + (reader_patches**2).sum(1)[None] - 2 * patches @ reader_patches.T
        return np.asarray(np.exp(-distances / reader_patches.shape[1]), np.float32)

    kernel, output_kernel, truth_kernel = (
        similar(reader_patches),
        similar(eye_patches(outputs)),
        similar(eye_patches(truths)),
    )
    result = {}
    for name in ("gaze_x", "gaze_y", "blink"):

        def usable(state: State, name: str = name) -> bool:
            return state.wink == 0 and (name == "blink" or state.blink < 0.3)

        readable = np.array([usable(state) for state in moments])
        comparable = np.array([usable(state) for state in states])
        values = np.array([getattr(state, name) for state in moments])[readable]
        weights = np.linalg.solve(kernel[readable][:, readable] + 0.1 * np.eye(readable.sum()), values - values.mean())
        labels = np.array([getattr(state, name) for state in states])[comparable]
        predictions = [(some[comparable][:, readable] @ weights) for some in (output_kernel, truth_kernel)]
        result[name] = {
            kind: float(np.corrcoef(one, labels)[0, 1])
            for kind, one in zip(("swapped", "truth"), predictions, strict=True)
        }
    return result


def average_precision(detections: list[tuple[float, bool]], total: int) -> float:
    """Area under the interpolated precision-recall curve of (score, is right), of `total` faces."""
    right = np.array([hit for _, hit in sorted(detections, key=lambda item: -item[0])], bool)
    precision = np.cumsum(right) / np.arange(1, len(right) + 1)
    recall = np.cumsum(right) / total
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(np.concatenate([[0.0], recall])) * envelope))


def measure_detector(detector: Any, size: int, scene_size: int) -> dict[str, float]:
    """AP at IoU 0.5 on scenes drawn at `scene_size` pixels and detected at `size`; faces under 9 pixels there are
    ignored.

    Keypoint error is the mean distance over the distance from the middle of the eyes to the middle of the mouth.
    """
    detections: list[tuple[float, bool]] = []
    errors: list[float] = []
    total = empty = false_alarms = 0
    threshold, detector.det_thresh = detector.det_thresh, 0.05
    for seed in range(SCENES):
        drawing = draw_reserve_scene(seed, scene_size)
        boxes, points = drawing.boxes, drawing.keypoints
        small = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], 1)) * size / scene_size < 9
        total += int((~small).sum())
        guesses, five = detector.detect(drawing.picture, input_size=(size, size))[:2]
        order = np.argsort(-guesses[:, 4])
        shared = overlap(guesses[:, :4], boxes)
        matches: set[int] = set()
        for guess in order:
            score = float(guesses[guess, 4])
            candidates = [n for n in range(len(boxes)) if n not in matches and shared[guess, n] >= 0.5]
            if not candidates:
                detections.append((score, False))
                continue
            best = max(candidates, key=lambda n: float(shared[guess, n]))
            matches.add(best)
            if small[best]:
                continue
            detections.append((score, True))
            if score >= 0.5:
                unit = float(np.linalg.norm(points[best][:2].mean(0) - points[best][3:].mean(0)))
                errors.append(float(np.linalg.norm(five[guess] - points[best], axis=1).mean()) / unit)
        if len(boxes) == 0:
            empty += 1
            false_alarms += int((guesses[:, 4] >= 0.5).any())
    detector.det_thresh = threshold
    return {
        "ap50": average_precision(detections, total),
        "recall_at_0.5": sum(hit and score >= 0.5 for score, hit in detections) / total,
        "precision_at_0.5": sum(hit for score, hit in detections if score >= 0.5)
        / max(1, sum(s >= 0.5 for s, _ in detections)),
        "keypoint_error_median": float(np.median(errors or [1.0])),
        "keypoint_error_mean": float(np.mean(errors or [1.0])),
        "scenes_without_faces": empty,
        "false_alarms_there": false_alarms,
        "faces": total,
    }


def measure_swapper(pack: ReferencePack) -> tuple[dict[str, Any], list[list[Bytes]]]:
    """SWAPS swaps between GALLERY people: how near the output is to the truth and to whom; and columns for the contact
    sheet."""
    portraits = [draw_person_crop(i, 10 * i) for i in range(GALLERY)]
    others = [draw_person_crop(i, 10 * i + 1) for i in range(GALLERY)]
    embeddings = unit_embeddings(pack.embedder, portraits)
    sources = np.arange(SWAPS) % GALLERY
    aims = (sources + 1 + np.random.default_rng(8).integers(0, GALLERY - 1, SWAPS)) % GALLERY
    pairs = [draw_swap(n, int(source), int(aim)) for n, (source, aim) in enumerate(zip(sources, aims, strict=True))]
    targets, truths, states = [p[0] for p in pairs], [p[1] for p in pairs], [p[2] for p in pairs]
    outputs = [pack.swap_crop(target, embeddings[source]) for target, source in zip(targets, sources, strict=True)]
    rows = np.arange(SWAPS)
    result: dict[str, Any] = {
        "psnr": psnr(outputs, truths),
        "psnr_target": psnr(targets, truths),
        "sharpness": sharpness(outputs) / sharpness(truths),
        "expression": measure_expression(outputs, truths, states),
    }
    for name, embedder in (("judge", pack.judge), ("embedder", pack.embedder)):
        gallery = unit_embeddings(embedder, others)
        for kind, crops in (("swapped", outputs), ("truth", truths), ("target", targets)):
            similar = unit_embeddings(embedder, crop112(crops)) @ gallery.T
            rank = (similar > similar[rows, sources][:, None]).sum(1)
            result[f"{name}_{kind}"] = {
                "rank1": float((rank == 0).mean()),
                "top5": float((rank < 5).mean()),
                "cosine_source": float(similar[rows, sources].mean()),
                "cosine_target": float(similar[rows, aims].mean()),
            }
    columns = [
        [cv2.resize(portraits[s], (128, 128)), targets[n], outputs[n], truths[n]] for n, s in enumerate(sources[:20])
    ]
    return result, columns


def psnr(pictures: Sequence[Bytes], truths: Sequence[Bytes]) -> float:
    """Mean peak signal-to-noise ratio in dB over pairs of pictures."""
    errors = [np.mean((a.astype(np.float64) - b) ** 2) for a, b in zip(pictures, truths, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / max(float(error), 1e-9)) for error in errors]))


def sharpness(pictures: Sequence[Bytes]) -> float:
    """Mean absolute Laplacian of the inner face: 1.0 of the truth's means as crisp as the drawing."""
    return float(np.mean([np.abs(cv2.Laplacian(picture[30:110, 24:104], cv2.CV_32F)).mean() for picture in pictures]))


def measure_chain(pack: ReferencePack, size: int = 512) -> dict[str, float]:
    """Detect, embed, swap, paste, detect again on PORTRAITS pictures of 512 pixels, each getting the next one's
    face."""
    portraits = [portrait(i, i) for i in range(PORTRAITS)]
    detections = [pack.faces(picture, size) for picture, _ in portraits]
    indices = [i for i, faces in enumerate(detections) if faces]
    gallery = np.stack([pack.embed_with_judge(portraits[i][0], detections[i][0]) for i in indices])
    errors, hits, near, far, redetections, exact = [], 0, [], [], 0, 0
    for place, i in enumerate(indices):
        points = portraits[i][1]
        unit = float(np.linalg.norm(points[:2].mean(0) - points[3:].mean(0)))
        errors.append(float(np.linalg.norm(detections[i][0].kps - points, axis=1).mean()) / unit)
        exact += len(detections[i]) == 1
        donor = (place + 1) % len(indices)
        output = pack.swapper.get(portraits[i][0], detections[i][0], detections[indices[donor]][0], paste_back=True)
        faces = pack.faces(output, size)
        if faces:
            redetections += 1
            similar = gallery @ pack.embed_with_judge(output, faces[0])
            hits += int(similar.argmax() == donor)
            near.append(float(similar[donor]))
            far.append(float(similar[place]))
    return {
        "portraits": PORTRAITS,
        "found": len(indices),
        "found_exactly_once": exact,
        "keypoint_error_median": float(np.median(errors)),
        "found_after_swap": redetections,
        "judge_rank1": hits / len(indices),
        "judge_cosine_source": float(np.mean(near or [0.0])),
        "judge_cosine_target": float(np.mean(far or [0.0])),
    }


def measure_rotation(pack: ReferencePack, size: int = 512) -> dict[str, Any]:
    """How often a portrait is found upright, and lying on its side, at the usual threshold of 0.5; and by degrees of
    roll how often, and the median error of its keypoints over the distance from the eyes to the mouth."""
    upright = lying = 0
    for number in range(50):
        picture, _ = portrait(number, number)
        upright += len(pack.detector.detect(picture, input_size=(size, size))[0]) > 0
        sideways = np.ascontiguousarray(np.rot90(picture, 1 if number % 2 else 3))
        lying += len(pack.detector.detect(sideways, input_size=(size, size))[0]) > 0
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


def write_contact_sheet(columns: list[list[Bytes]], path: Path) -> None:
    """JPEG below 300 KB: per swap, from top to bottom, source, target, swapped and drawn truth; ten swaps to a band."""
    bands = []
    for start in range(0, len(columns), 10):
        band = np.hstack([np.vstack(column) for column in columns[start : start + 10]])
        bands.append(cv2.copyMakeBorder(band, 0, 12, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    sheet = np.vstack(bands)
    for quality in (90, 80, 70, 60):
        _, jpeg = cv2.imencode(".jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(jpeg) <= 300_000:
            break
    path.write_bytes(jpeg.tobytes())


def round_numbers(value: Any) -> Any:
    """Numbers to six decimals, so that the report stays readable."""
    if isinstance(value, dict):
        return {key: round_numbers(item) for key, item in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def measure(folder: Path) -> dict[str, Any]:
    """Measure everything and write the three files into `folder`."""
    began = time.monotonic()
    pack = ReferencePack.load(folder)
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
    report = round_numbers(report)
    pack_json = json.loads((folder / "pack.json").read_text())
    report["models"] = {kind: model["sha256"] for kind, model in pack_json["models"].items()}
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (folder / "CARD.md").write_text(card(report, pack_json, scenes=SCENES, gallery=GALLERY, swaps=SWAPS))
    write_contact_sheet(columns, folder / "contact.jpg")
    print(f"measured in {time.monotonic() - began:.0f} s")
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=PACK)
    print(json.dumps(measure(parser.parse_args().folder), indent=2))


if __name__ == "__main__":
    main()
