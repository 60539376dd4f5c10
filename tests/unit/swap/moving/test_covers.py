"""What hides a face, and what only looks as if something did."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from functions.swap.face.align import invert
from functions.swap.moving.cover_mask import mix_crops, soften
from functions.swap.moving.covers import cover_share, face_cells, find_covers
from functions.swap.moving.segment import Sighting
from functions.swap.moving.store import open_store
from functions.swap.moving.tracker import Tracker
from functions.swap.moving.values import COVER_SIDE
from layers.core.deadline import Deadline
from local.demo_pack.people import State
from tests.support.drawn_clips import Actor, Clip, NoisyDetector, Pose

RUBY = 24
SMALL = (320, 180)


def look(clip: Clip, folder: Path) -> list[Sighting]:
    """The sightings of the one face of a clip, with what hides it."""
    detector = NoisyDetector(clip, 0.02)
    with open_store(folder) as store:
        tracker = Tracker(detector, store, Deadline.after(600))
        for frame in detector.show(clip.frames()):
            tracker.add(frame.pixels, frame.seconds)
        (segment,) = tracker.finish()
        return find_covers(segment, store, *clip.size)


def test_something_small_that_passes_is_found_where_it_is(tmp_path: Path) -> None:
    def pass_by(n: int) -> tuple[int, int, int, int] | None:
        return (100 + 12 * n, 0, 112 + 12 * n, 180) if n >= 2 else None

    clip = Clip([Actor(RUBY, lambda n: Pose(30, 160 + n, 85))], 10, SMALL, pass_by)
    shares = []
    for sighting in look(clip, tmp_path):
        bar = pass_by(sighting.number)
        rows, columns = np.nonzero(face_cells())
        middles = (np.stack([columns, rows], 1) + 0.5) * 128 / COVER_SIDE - 0.5
        xs = (np.hstack([middles, np.ones((len(middles), 1))]) @ invert(sighting.forward).T)[:, 0]
        truth = (xs > bar[0] + 2) & (xs < bar[2] - 2) if bar else np.zeros(len(xs), np.bool_)
        cover = np.zeros((COVER_SIDE, COVER_SIDE), np.bool_) if sighting.cover is None else sighting.cover
        if truth.mean() > 0.05:
            shares.append((float(truth.mean()), float(cover[rows, columns][truth].mean())))
        assert cover_share(sighting.cover) < truth.mean() + 0.25  # with an edge of four pixels
    assert len(shares) >= 3
    assert all(share < 0.25 for share, _ in shares)
    assert min(seen for _, seen in shares) > 0.8


def test_eyes_that_close_and_a_mouth_that_opens_hide_nothing(tmp_path: Path) -> None:
    def talk(n: int) -> Pose:
        return Pose(34, 160, 85, state=State(blink=float(n % 5 == 3), opening=round(abs(np.sin(n)), 1)))

    clip = Clip([Actor(RUBY, talk)], 12, SMALL)
    assert max(cover_share(sighting.cover) for sighting in look(clip, tmp_path)) < 0.03


def test_nothing_of_the_face_is_put_over_what_hides_it() -> None:
    cover = np.zeros((COVER_SIDE, COVER_SIDE), np.bool_)
    cover[:, :20] = True
    shown = soften(cover)
    assert shown[:, :38].max() == 0
    assert shown[:, 46:].min() > 0.99
    crop, other = (np.full((128, 128, 3), level, np.uint8) for level in (200, 50))
    mixed = mix_crops(crop, other, shown)
    assert (mixed[:, :38] == 50).all()
    assert (mixed[:, 46:] >= 199).all()
