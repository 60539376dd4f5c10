"""Face detection: a network of the SCRFD family, in several looks at each picture.

SCRFD sees faces of about 12 to 440 pixels. It sees turned ones too, but with the keypoints of an upright face for most
of them. So it is also shown the picture small, for faces that fill it, finer, for small faces, and turned by each
eighth of a circle. Where boxes overlap, the best score counts. What is left in doubt, a second look at the face alone
settles, upright and large.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, zip_longest
from typing import Any

import numpy as np

from functions.swap.face.candidates import OVERLAP, Candidates, drop_repeats, group, join, measure_overlap
from functions.swap.face.looks import CROP_FACTOR, CROP_SIDE, Pyramid, View, crop_upright, is_sliver, measure_roll, pad
from functions.swap.face.scrfd import Scrfd
from functions.swap.values import Face, Floats
from layers.core.deadline import Deadline
from layers.media.picture import Pixels

CANDIDATE = 0.45  # score from which the first looks report a face
SURE = 0.5  # score in the first looks from which it counts without a second look; SCRFD's own
SECOND_LEAST = 0.3  # score in a second look from which it confirms a face
DOUBT = 0.12  # scores nearer than that do not decide between two ways to turn a face
TILTED = 12.0  # degrees off upright, from which a face has to be confirmed
SMALL = 64.0  # pixels of the longer side in the finest look, below which keypoints suffer
LEAST = 24.0  # pixels of the longer side in the picture, below which a second look shows no more
BRIEF = 36.0  # pixels of a face's side in the shrunk turned looks for a picture's largest face
MOST_BRIEF = 0.8  # of the turned looks' sides, below which shrinking them is worth it
NEARLY = 0.7  # of the largest face's box, from which another one may be larger in a look that was not taken
SECOND_LOOKS = 64  # at one picture; the faces with the best scores come first
TURNED = 30.0  # degrees off upright, from which an upright look may report an upright face's keypoints


class Detector:
    """Finds faces with one onnxruntime session of the SCRFD family (det_500m, det_10g)."""

    def __init__(self, session: Any, size: int) -> None:
        """`size`: side in pixels of the square whose area a picture has as the detector sees it upright.

        Raises ValueError if the session is none of that family.
        """
        self._scrfd = Scrfd(session)
        self._size = size

    def find(self, pixels: Pixels, deadline: Deadline) -> list[Face]:
        """The faces of a picture (uint8 BGR [H, W, 3]), numbered in rows from top to bottom, then from left to right.

        Raises OutOfTime.
        """
        height, width = pixels.shape[:2]
        if is_sliver(height, width, self._size):
            return []
        search = _Search(self._scrfd, Pyramid(pixels, self._size), deadline)
        return number_faces(search.settle_all(search.look_at(search.pyramid.views())))

    def find_largest(self, pixels: Pixels, deadline: Deadline) -> Face | None:
        """The face of a picture with the largest box; of equal ones the first. None if there is no face.

        It is the one that `find` finds, for a third of the work where that face is upright and large. Then only the
        turned looks could change the answer: they may show a larger face, or that this one is turned. Either is at
        least as large in them as this face, so they are shrunk until it has BRIEF pixels, three times what the detector
        needs. The finer look, which shows smaller faces, is left out. If there is any doubt about this face, or another
        one is as large, all looks are taken at full size. Raises OutOfTime.
        """
        height, width = pixels.shape[:2]
        if is_sliver(height, width, self._size):
            return None
        search = _Search(self._scrfd, Pyramid(pixels, self._size), deadline)
        upright = search.look_at(search.pyramid.upright_views())
        face = search.look_briefly(upright)
        if face is None:
            rest = chain(search.pyramid.finer_views(), search.pyramid.turned_views())
            face = search.settle_all(join([upright, search.look_at(rest)]))
        faces = number_faces(face)
        return find_largest(faces) if faces else None

    def find_again(self, pixels: Pixels, expected: Sequence[Face], deadline: Deadline) -> list[Face]:
        """The faces that one upright look at a picture shows, and those `expected` that only a second look shows.

        For pictures that follow one another: `expected` are the faces of the one before, where they may be now. One of
        them that the upright look does not show, or that is turned, gets a second look. Numbered as in `find`.
        Raises OutOfTime.
        """
        height, width = pixels.shape[:2]
        if is_sliver(height, width, self._size):
            return []
        search = _Search(self._scrfd, Pyramid(pixels, self._size), deadline)
        return number_faces(drop_repeats(search.look_once(expected)))


class _Search:
    """The looks at one picture."""

    def __init__(self, scrfd: Scrfd, pyramid: Pyramid, deadline: Deadline) -> None:
        self._scrfd = scrfd
        self.pyramid = pyramid
        self._deadline = deadline
        self._second_looks = 0

    def look_at(self, views: Iterable[View]) -> Candidates:
        """What first looks report, in the picture's pixels, from the best score to the worst."""
        return join([self._look(view, CANDIDATE).map_back(view) for view in views])

    def settle_all(self, candidates: Candidates) -> Candidates:
        """The faces that these candidates mean."""
        self._second_looks = 0
        faces = [self.settle(overlapping) for overlapping in group(candidates)]
        return drop_repeats(join([face for face in faces if face is not None]))

    def look_briefly(self, upright: Candidates) -> Candidates | None:
        """The largest face that the upright looks have shown, if shrunk turned looks leave no doubt; see
        `Detector.find_largest`."""
        sure = upright.take(np.flatnonzero(upright.scores >= SURE))
        if not len(sure):
            return None
        side = float(np.sqrt(sure.areas.max())) * self.pyramid.upright_scale * self.pyramid.tilt_share
        if side < BRIEF / MOST_BRIEF:
            return None
        groups = group(join([upright, self.look_at(self.pyramid.turned_views(BRIEF / side))]))
        heads = join([candidates.take(np.array([0])) for candidates in groups])
        kept = drop_repeats(heads)
        groups.sort(key=lambda candidates: -float(candidates.areas[0]))
        for candidates, following in zip_longest(groups, groups[1:]):
            face = self.settle(candidates)
            if face is not None:
                is_kept = bool((kept.boxes == face.boxes[0]).all(1).any())
                is_alone = following is None or following.areas[0] < NEARLY * face.areas[0]
                return face if is_kept and is_alone and self._is_plain(candidates) else None
        return None

    @staticmethod
    def _is_plain(candidates: Candidates) -> bool:
        """Whether overlapping candidates mean a sure face that is upright, and was so in its look."""
        is_upright = candidates.upright[0] and abs(measure_roll(candidates.keypoints[0])) <= TILTED
        return bool(is_upright) and candidates.scores[0] >= SURE and len(candidates.list_ways_up(DOUBT)) == 1

    def look_once(self, expected: Sequence[Face]) -> Candidates:
        """What one upright look reports, with second looks at the expected faces that it leaves in doubt."""
        view = self.pyramid.levels[-1]
        upright = self._look(view, CANDIDATE).map_back(view)
        faces = join([candidates.take(np.array([0])) for candidates in group(upright)])
        for face in expected:
            box = np.array(face.box, np.float32)
            elsewhere = measure_overlap(box, faces.boxes) <= OVERLAP
            if abs(measure_roll(face.keypoints)) <= TURNED and not elsewhere.all():
                continue
            scores = np.array([face.score], np.float32)
            sought = Candidates(box[None], scores, face.keypoints[None], np.zeros(1, np.bool_))
            again = self._look_again(sought)
            if again is not None:
                faces = join([faces.take(np.flatnonzero(elsewhere)), again])
        return faces

    def settle(self, candidates: Candidates) -> Candidates | None:
        """The face that overlapping candidates mean, or None if there is none. The best score comes first.

        Only a sure face that is upright, and was so in its look, counts without a second look.
        """
        best = candidates.take(np.array([0]))
        side = float((best.boxes[0, 2:] - best.boxes[0, :2]).max())
        if best.scores[0] < SURE and side < LEAST:
            return None
        if not self._is_plain(candidates):
            return self._confirm(best, candidates.list_ways_up(DOUBT))
        if LEAST <= side < SMALL / self.pyramid.finest_scale:
            second = self._look_again(best)
            return replace(best, keypoints=second.keypoints) if second else best
        return best

    def _confirm(self, best: Candidates, ways: list[Candidates]) -> Candidates | None:
        """The face with the keypoints of a second look, which is taken each way up; None if it is not confirmed."""
        looks = [(way, second) for way in ways if (second := self._look_again(way)) is not None]
        if not looks:
            return None
        _, second = max(looks, key=lambda look: float(look[0].scores[0] + look[1].scores[0]))
        return replace(second, scores=np.maximum(best.scores, second.scores), boxes=best.boxes)

    def _look_again(self, face: Candidates) -> Candidates | None:
        """The face as a second look reports it; None if it is not seen again."""
        self._second_looks += 1
        if self._second_looks > SECOND_LOOKS:
            return None
        view = crop_upright(self.pyramid.levels, face.boxes[0], face.keypoints[0])
        seen = self._look(view, SECOND_LEAST)
        half = CROP_SIDE / CROP_FACTOR / 2
        expected = np.array([-half, -half, half, half], np.float32) + np.float32(CROP_SIDE / 2)
        is_same = measure_overlap(expected, seen.boxes) > OVERLAP
        if not is_same.any():
            return None
        return seen.take(np.flatnonzero(is_same)[:1]).map_back(view)

    def _look(self, view: View, threshold: float) -> Candidates:
        """The candidates of one look, in its own pixels, from the best score to the worst. Raises OutOfTime."""
        self._deadline.check("looking for faces")
        scores, boxes, keypoints = self._scrfd.forward(pad(view.pixels), threshold)
        seen = Candidates(boxes, scores, keypoints, np.ones(len(boxes), np.bool_))
        return join([seen.keep_sane()])


def number_faces(faces: Candidates) -> list[Face]:
    """Faces in rows from top to bottom, each from left to right, by the middles of their boxes.

    A row is begun by its topmost face. Others belong to it whose middles are at most half a face lower, by the mean
    height of the two.
    """
    return [
        Face(
            index=index,
            box=(x0, y0, x1, y1),
            keypoints=faces.keypoints[at],
            score=float(faces.scores[at]),
        )
        for index, at in enumerate(order_rows(faces.boxes))
        for x0, y0, x1, y1 in [faces.boxes[at].tolist()]
    ]


def order_rows(boxes: Floats) -> list[int]:
    """The order of boxes [N, 4] in rows, as `number_faces` has it: their places in the array."""
    middles, heights = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 3] - boxes[:, 1]
    rest = np.argsort(middles[:, 1], kind="stable")
    order: list[int] = []
    while rest.size:
        lower = middles[rest, 1] - middles[rest[0], 1]
        in_row = lower <= (heights[rest] + heights[rest[0]]) / 4
        row = rest[in_row]
        order += row[np.argsort(middles[row, 0], kind="stable")].tolist()
        rest = rest[~in_row]
    return order


def sort_by_size(faces: list[Face]) -> list[Face]:
    """The faces by the area of their boxes, the largest first; equal ones stay in their order."""
    return sorted(faces, key=lambda face: face.area, reverse=True)


def find_largest(faces: list[Face]) -> Face:
    """The face with the largest box; of equal ones the first."""
    return sort_by_size(faces)[0]
