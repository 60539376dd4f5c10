"""What a swap remarks about the faces that it left as they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from functions.swap.face.detect import Detector
from functions.swap.notes import note_swap
from functions.swap.selection import FaceSelection
from functions.swap.values import Face, SkipReason, SwapRequest
from layers.media.formats import PictureFormat
from layers.media.header import FileTraits
from layers.media.picture import Picture
from tests.unit.swap.face_fixtures import keypoints_at
from tests.unit.swap.fake_stack import UPLOADS, FakeSwapStack
from tests.unit.swap.test_pipeline import swap

MEME = Picture(np.zeros((4, 4, 3), np.uint8), None, "", "png")


def selection(*reasons: SkipReason | None) -> FaceSelection:
    faces = [Face(index, (0, 0, 9, 9), np.zeros((5, 2), np.float32), 0.9) for index in range(len(reasons))]
    return FaceSelection(faces, dict(enumerate(reasons)))


@pytest.mark.parametrize(
    ("reasons", "notes"),
    [
        ([None, "not_chosen", "refused"], []),
        (
            [None, *["over_limit"] * 4],
            ["4 faces were left as they are: at most 32 are swapped in one request."],
        ),
        (
            [None, "too_small", "cut_by_frame", "too_small"],
            [
                "2 faces were left as they are: too small, with less than about 12 pixels between the eyes.",
                "1 face was left as it is: cut off by the edge of the picture.",
            ],
        ),
        (
            ["too_small"],
            [
                "No face was replaced; see the reason given for each face.",
                "1 face was left as it is: too small, with less than about 12 pixels between the eyes.",
            ],
        ),
    ],
)
def test_faces_that_were_left_over_are_counted_by_reason(reasons: Any, notes: list[str]) -> None:
    assert note_swap(MEME, "png", selection(*reasons), 32) == notes


@pytest.mark.parametrize(("profile", "format", "notes"), [(None, "png", 0), (b"CMYK", "jpeg", 1), (b"", "png", 1)])
def test_a_colour_profile_is_not_dropped_unsaid(profile: bytes | None, format: PictureFormat, notes: int) -> None:
    remarks = note_swap(replace(MEME, traits=FileTraits(profile=profile)), format, selection(None), 32)

    assert len(remarks) == notes
    assert all("profile" in remark for remark in remarks)


def test_a_picture_with_36_faces_keeps_four_and_its_notes_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = [
        Face(index, (0, 0, 60 + index, 60), keypoints_at(30 + 15 * index, 200, 0.6, 0), 0.9) for index in range(36)
    ]
    stack = FakeSwapStack()
    listed = iter([faces, faces[:1]])  # of the meme, and of the source picture
    monkeypatch.setattr(Detector, "find", lambda detector, pixels, deadline: next(listed))

    result = swap(stack, SwapRequest(f"s3://{UPLOADS}/requests/1/meme"))

    assert sum(face.swapped for face in result.faces) == 32
    assert result.notes == ["4 faces were left as they are: at most 32 are swapped in one request."]
