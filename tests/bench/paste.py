"""Paste-back beside insightface's:

    python -m tests.bench.paste [--repeats N] [--quick]

Measures the seconds to put one swapped face into a picture, and on drawn faces, for which the right result can be
drawn, the decibels to it by kernel and with colour match. Writes out/bench/paste.json.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from insightface.app.common import Face as TheirFace

from functions.swap.face import align
from functions.swap.face.paste import paste
from functions.swap.values import Detail, Floats
from layers.media.picture import Pixels
from local.demo_pack import memes
from local.demo_pack.drawing import draw
from local.demo_pack.geometry import keypoints, make_placement
from local.demo_pack.people import RESERVE, clean, identity, sample_carrier, sample_state
from local.demo_pack.reference_pack import ReferencePack
from tests.bench import form

FRAMES = {"1080p": (1080, 1920), "4K": (2160, 3840)}  # height, width; the face's crop takes half of the height
OPTIONS: dict[str, tuple[bool, bool, Detail]] = {  # color_match, soft_edges, detail
    "linear": (False, False, "fast"),
    "cubic": (False, True, "fast"),
    "cubic and colour match": (True, True, "fast"),
    "balanced": (True, True, "balanced"),
}
HEAD = 100  # pixels, half the width of a drawn head and a little more


class _InstantSession:
    """A session that answers with the crop at once, so that insightface's own time is that of its paste-back."""

    def run(self, _: Any, feeds: dict[str, Any]) -> list[Any]:
        return [np.asarray(next(value for value in feeds.values() if value.ndim == 4))]


def time_pastes(pack: ReferencePack, frame: tuple[int, int], repeats: int) -> dict[str, float]:
    """The median seconds of a crop and its paste-back, by who does it, and the ratios to insightface."""
    height, width = frame
    picture = np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)
    points = ((align.TEMPLATE - 56) * height / 256 + (width / 2, height / 2)).astype(np.float32)
    face, embedding = TheirFace(kps=points), TheirFace(embedding=np.ones(512, np.float32))
    session, pack.swapper.session = pack.swapper.session, _InstantSession()

    def answer(crop: Pixels) -> Pixels:
        return align.to_pixels(align.to_planes(crop))

    try:
        theirs = _time(lambda: pack.swapper.get(picture, face, embedding, paste_back=True), max(repeats // 4, 1))
    finally:
        pack.swapper.session = session
    ours = {
        name: _time(partial(_paste, picture, points, answer, options), repeats) for name, options in OPTIONS.items()
    }
    return {"insightface": theirs} | ours | {f"{name} / insightface": value / theirs for name, value in ours.items()}


def _time(work: Callable[[], Any], repeats: int) -> float:
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def measure_fidelity(pack: ReferencePack, pairs: int) -> dict[str, dict[str, float]]:
    """The mean PSNR in dB, over the crop's box, of swaps by the demo pack to the same scene drawn with the source.

    By whose skin the drawn face has, the source's or the target's, which colour match keeps; then by who pastes.
    """
    decibels: dict[str, dict[str, list[float]]] = {
        skin: {name: [] for name in ("insightface", *OPTIONS)} for skin in ("source's skin", "target's skin")
    }
    for pair in range(pairs):
        source, target = (identity(RESERVE.start + number) for number in (100 + 2 * pair, 101 + 2 * pair))
        rng = np.random.default_rng(pair)
        carrier, state = sample_carrier(rng, target), clean(sample_state(rng))
        placement, shape = make_placement(HEAD, 0.05, 2.2 * HEAD, 2 * HEAD), (4 * HEAD, int(4.4 * HEAD))
        picture, truth = (draw(person, carrier, state, placement, shape) for person in (target, source))
        points = keypoints(target, state, placement)
        embedding = _embed(pack, 100 + 2 * pair)
        if embedding is None:
            continue
        plain = pack.swapper.get(picture.copy(), TheirFace(kps=points), TheirFace(embedding=embedding), paste_back=True)
        results = {"insightface": plain}
        for name, options in OPTIONS.items():
            results[name] = picture.copy()
            _paste(results[name], points, partial(pack.swap_crop, embedding=embedding), options)
        forward = align.alignment_matrix(points, align.SWAPPER_SIZE)
        x0, y0, x1, y1 = align.bounding_box(align.invert(forward), align.SWAPPER_SIZE, shape[1], shape[0])
        tinted = replace(source, tone=target.tone, rosiness=target.rosiness)
        truths = {"source's skin": truth, "target's skin": draw(tinted, carrier, state, placement, shape)}
        for skin, right in truths.items():
            for name, result in results.items():
                decibels[skin][name].append(cv2.PSNR(result[y0:y1, x0:x1], right[y0:y1, x0:x1]))
    return {
        skin: {name: float(np.mean(values)) for name, values in by_name.items()} for skin, by_name in decibels.items()
    }


def _embed(pack: ReferencePack, number: int) -> Floats | None:
    faces = pack.faces(memes._portrait(number, 0, "#b9c6f2"), 384)
    return np.asarray(faces[0].normed_embedding, np.float32) if faces else None


def _paste(
    picture: Pixels, points: Floats, swap: Callable[[Pixels], Pixels], options: tuple[bool, bool, Detail]
) -> None:
    """Replace a face, given by its keypoints, in place by what `swap` makes of its crop."""
    color_match, soft_edges, detail = options
    crop, forward = align.crop_face(picture, points, align.SWAPPER_SIZE, mirror_border=color_match or soft_edges)
    paste(picture, crop, swap(crop), forward, color_match=color_match, soft_edges=soft_edges, detail=detail)


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("paste", __doc__, inputs=Path(), repeats=40, avx2=False) as options:
        cv2.setNumThreads(1)
        pack = ReferencePack.load()
        report: dict[str, Any] = {
            "seconds": {name: time_pastes(pack, frame, options.repeats) for name, frame in FRAMES.items()},
            "decibels": measure_fidelity(pack, 1 if options.quick else 24),
        }
        text = json.dumps(report, indent=2)
        (options.out / "paste.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
