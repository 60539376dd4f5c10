"""Photographs from installed packages, and the demo's own drawings."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.demo_pack.memes import draw_demo_pictures
from local.demo_pack.training.photographs import folder_of
from local.photo_check import looks_photographed

PEOPLE = [
    folder_of("insightface") / "data/images/t1.jpg",
    folder_of("skimage") / "data/astronaut.png",
    folder_of("skimage") / "data/camera.png",
]


@pytest.mark.parametrize("photograph", PEOPLE, ids=lambda path: path.stem)
def test_a_photograph_is_told(photograph: Path) -> None:
    assert looks_photographed(photograph)


def test_no_drawing_is_taken_for_one(tmp_path: Path) -> None:
    assert [scene.name for scene in draw_demo_pictures(tmp_path) if looks_photographed(scene.path)] == []


def test_what_is_no_picture_is_left_to_the_function(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    assert not looks_photographed(tmp_path / "a.jpg")
