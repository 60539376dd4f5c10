"""How a pasted face looks beside the picture around it:

    python -m tests.bench.quality [--repeats N] [--quick]

Swaps drawn faces of four sizes by the demo pack, pastes them in four ways, and compares each with the same scene drawn
with the source's face, in the target's tone and with the meme's own grain. Writes out/bench/quality.json, and
quality.jpg, the first pair of each size at full size. CPU is over one run of the full-size swapper's network.
"""

from __future__ import annotations

import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from insightface.app.common import Face as TheirFace
from numpy.typing import NDArray

from functions.swap.face import align, face_mask
from functions.swap.face.paste import paste
from functions.swap.values import Detail, Floats
from layers.engine.native_swapper import Description, NativeSwapper
from layers.engine.stages import InMemoryWeights
from layers.media.picture import Pixels
from layers.models.tools.convert import convert_swapper
from local.demo_pack import memes
from local.demo_pack.drawing import draw
from local.demo_pack.geometry import head_outline, keypoints, make_placement, place, turn
from local.demo_pack.judge import Judge
from local.demo_pack.people import RESERVE, Carrier, State, identity, sample_carrier, sample_state
from local.demo_pack.reference_pack import ReferencePack
from tests.bench import form, instructions, prepare

FIRST = 700  # number of the first person in the reserve: constants of the paste were chosen on other people
SIZES = (128, 200, 400, 800)  # pixels from crown to chin
HEAD = 2.25  # the same in head units
NOISE = (5.0, 0.0)  # levels: every other pair has no grain
HIGH_PASS = 2.0  # sigma in pixels
OPTIONS: dict[str, tuple[bool, bool, Detail]] = {  # color_match, soft_edges, detail
    "plain": (False, False, "fast"),
    "fast": (True, True, "fast"),
    "balanced": (True, True, "balanced"),
}
ARMS = (*OPTIONS, "insightface")
MASKED = 128  # of 255: what is more opaque than that counts as replaced


@dataclass(frozen=True)
class Scene:
    """A meme with one face, and how it should look after the swap."""

    meme: Pixels
    truth: Pixels
    points: Floats
    head: NDArray[np.bool_]
    source: int  # number of the person in the reserve


def draw_scene(size: int, pair: int) -> Scene:
    """Draw a pair of people of the reserve, the target's head `size` pixels tall."""
    source, target = (identity(RESERVE.start + number) for number in (FIRST + 2 * pair, FIRST + 1 + 2 * pair))
    rng = np.random.default_rng(FIRST + pair)
    carrier = sample_carrier(rng, target)
    state = replace(sample_state(rng), blur=0.0, noise=NOISE[pair % len(NOISE)])
    unit = size / HEAD
    placement, shape = make_placement(unit, 0.05, 1.7 * unit, 1.75 * unit), (int(3.5 * unit), int(3.4 * unit))
    tinted = replace(source, tone=target.tone, rosiness=target.rosiness)
    meme, truth = (draw(person, carrier, state, placement, shape) for person in (target, tinted))
    return Scene(
        meme, truth, keypoints(target, state, placement), _head_mask(carrier, state, placement, shape), FIRST + 2 * pair
    )


def _head_mask(carrier: Carrier, state: State, placement: Floats, shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, np.uint8)
    outline = place(turn(head_outline(carrier), state), placement)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], (1.0,))
    return mask > 0


def paste_by(arm: str, pack: ReferencePack, scene: Scene, embedding: Floats) -> tuple[Pixels, dict[str, float]]:
    """The meme with the swapped face; CPU seconds of pasting it and the peak of its arrays in MB, if it is ours."""
    picture = scene.meme.copy()
    if arm == "insightface":
        face, source = TheirFace(kps=scene.points), TheirFace(embedding=embedding)
        return pack.swapper.get(picture, face, source, paste_back=True), {}
    color_match, soft_edges, detail = OPTIONS[arm]
    crop, forward = align.crop_face(picture, scene.points, align.SWAPPER_SIZE, mirror_border=arm != "plain")
    swapped = pack.swap_crop(crop, embedding)

    def work(onto: Pixels) -> None:
        paste(onto, crop, swapped, forward, color_match=color_match, soft_edges=soft_edges, detail=detail)

    cpu = measure_cpu(lambda: work(scene.meme.copy()), 3)
    tracemalloc.start()
    work(picture)
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return picture, {"cpu": cpu, "mb": peak}


def grade(result: Pixels, scene: Scene) -> dict[str, float]:
    """Compare a result with the truth: PSNR in dB and SSIM in the crop's box, sharpness of face and ground."""
    forward = align.alignment_matrix(scene.points, align.SWAPPER_SIZE)
    inverse = align.invert(forward)
    height, width = scene.meme.shape[:2]
    x0, y0, x1, y1 = align.bounding_box(inverse, align.SWAPPER_SIZE, width, height)
    box = np.s_[y0:y1, x0:x1]
    outside = np.ones((height, width), bool)
    outside[box] = False
    assert (result[outside] == scene.meme[outside]).all()
    replaced = cv2.warpAffine(face_mask.feather_mask(), inverse, (width, height)) >= MASKED
    ours, right = high_pass(result), high_pass(scene.truth)
    parts = {"face": replaced & scene.head, "ground": replaced & ~scene.head}
    sharpness = {name: float(ours[part].std() / right[part].std()) for name, part in parts.items()}
    return {
        "psnr": float(cv2.PSNR(result[box], scene.truth[box])),
        "ssim": measure_ssim(result[box], scene.truth[box]),
        **sharpness,
    }


def high_pass(picture: Pixels) -> Floats:
    """What is fine in a picture's grey levels."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32)
    return np.asarray(grey - cv2.GaussianBlur(grey, (0, 0), HIGH_PASS), np.float32)


def measure_ssim(one: Pixels, other: Pixels) -> float:
    """Mean structural similarity of grey levels (Wang et al., 2004), with its Gaussian window and constants."""
    x, y = (cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float64) for picture in (one, other))

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(cv2.GaussianBlur(values, (11, 11), 1.5), np.float64)

    mx, my = mean(x), mean(y)
    vx, vy, both = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return float(((2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))).mean())


def measure_network(folder: Path, repeats: int, quick: bool) -> float:
    """CPU seconds of one run of the swapper's network at full size, with random weights, on one thread."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "swapper.onnx"
    prepare.make_swapper(file, quick)
    blobs = convert_swapper(file).blobs
    file.unlink()
    description = Description.parse(bytes(blobs["native"]), len(blobs["weights"]))
    engine = NativeSwapper(description, InMemoryWeights(blobs["weights"]), 1, instructions.instruction_set())
    crop, latent = np.zeros((1, 3, 128, 128), np.float32), np.full((1, 512), 512**-0.5, np.float32)
    return measure_cpu(lambda: engine.run(crop, latent), repeats)


def measure_cpu(work: Callable[[], Any], repeats: int) -> float:
    """The median CPU seconds of some work, after one run to warm up."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        seconds.append(time.process_time() - began)
    return statistics.median(seconds)


def measure_size(judge: Judge, size: int, pairs: int, swap_cpu: float) -> tuple[dict[str, Any], list[Pixels]]:
    """The means of all measures by arm, and what the first pair looks like: meme, truth, and each arm's result."""
    rows: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    sheet: list[Pixels] = []
    for pair in range(pairs):
        scene = draw_scene(size, pair)
        portrait = memes._portrait(scene.source, 0, "#b9c6f2")
        faces = judge.pack.faces(portrait, 384)
        if not faces:
            continue
        results = []
        for arm in ARMS:
            result, costs = paste_by(arm, judge.pack, scene, faces[0].normed_embedding)
            results.append(result)
            grades = judge.grade(*(encode_png(picture) for picture in (portrait, scene.meme, result)))
            identity = {} if grades is None else {"identity": grades[0]}
            rows[arm].append(grade(result, scene) | identity | costs)
        sheet = sheet or [scene.meme, scene.truth, *results]
    return {arm: summarise(each, swap_cpu) for arm, each in rows.items()}, sheet


def summarise(rows: list[dict[str, float]], swap_cpu: float) -> dict[str, float]:
    """The mean of each measure over the pairs that have it, but the median of CPU and the peak of memory."""
    columns = {key: [row[key] for row in rows if key in row] for row in rows for key in row}
    ways: dict[str, Callable[[list[float]], float]] = {"cpu": statistics.median, "mb": max}
    summary = {key: round(float(ways.get(key, statistics.fmean)(values)), 4) for key, values in columns.items()}
    return summary | ({"cpu_over_swap": round(summary.pop("cpu") / swap_cpu, 4)} if "cpu" in summary else {})


def encode_png(picture: Pixels) -> bytes:
    """A PNG file."""
    return cv2.imencode(".png", picture)[1].tobytes()


def write_sheet(path: Path, rows: list[list[Pixels]]) -> None:
    """Write all pictures at full size as one JPEG, sizes from top to bottom: meme, truth, then the arms."""
    width = max(sum(picture.shape[1] for picture in row) for row in rows)
    strips = [cv2.hconcat(row) for row in rows]
    padded = [
        cv2.copyMakeBorder(strip, 0, 0, 0, width - strip.shape[1], cv2.BORDER_CONSTANT, value=(255, 255, 255))
        for strip in strips
    ]
    cv2.imwrite(str(path), cv2.vconcat(padded), [cv2.IMWRITE_JPEG_QUALITY, 95])


def main() -> None:
    """Measure, print and write."""
    inputs = Path("out/bench/inputs-quality")
    with form.parse_options("quality", __doc__, inputs=inputs, repeats=12, avx2=False) as options:
        cv2.setNumThreads(1)
        swap_cpu = measure_network(options.inputs, 3, options.quick)
        report: dict[str, Any] = {"swap_cpu_s": round(swap_cpu, 3), "sizes": {}}
        judge, rows = Judge.load(), []
        for size in SIZES[1:2] if options.quick else SIZES:
            report["sizes"][size], sheet = measure_size(judge, size, options.repeats, swap_cpu)
            rows.append(sheet)
        write_sheet(options.out / "quality.jpg", rows)
        text = json.dumps(report, indent=2)
        (options.out / "quality.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
