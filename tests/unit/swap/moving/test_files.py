"""Analyses and crops as bytes, and their names."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from functions.swap.moving import analysis_file
from functions.swap.moving.crop_chunks import CropChunk, fill_chunks, list_faces, name_chunk, plan_chunks
from functions.swap.moving.values import COVER_SIDE, Analysis, FaceFrame, Track, TrackFrame
from functions.swap.selection import select_faces
from functions.swap.values import Floats
from layers.core.errors import InvalidRequest
from tests.unit.swap.face_fixtures import face_with, keypoints_at


def cover_of(number: int) -> np.ndarray | None:
    """Something that hides a face in every third frame."""
    covers = np.random.default_rng(number).random((COVER_SIDE, COVER_SIDE)) < 0.3
    return covers if number % 3 == 1 else None


def track_of(index: int, numbers: list[int], x: float, scale: float = 1.0) -> Track:
    points = keypoints_at(x, 100, scale, 0.0)
    frames = tuple(
        TrackFrame(n, points + np.float32(n), face_with(points).box, 0.8, 0.0 if n == 2 else 1.0, cover=cover_of(n))
        for n in numbers
    )
    embedding: Floats = np.random.default_rng(index).normal(0, 1, 512).astype(np.float32)
    return Track(index, frames, numbers[0], embedding / np.linalg.norm(embedding))


ANALYSIS = Analysis(
    400,
    200,
    (0, 0, 1, 2, 3, 4),
    (0.0, 0.2, 0.3, 0.4, 0.5),
    (track_of(0, [0, 1, 2, 4], 90), track_of(1, [1, 2, 3], 250, 1.4)),
)


def test_an_analysis_comes_back_as_it_was() -> None:
    content = analysis_file.to_bytes(ANALYSIS)
    again = analysis_file.from_bytes(content)
    assert (again.width, again.height, again.distinct, again.seconds) == (400, 200, ANALYSIS.distinct, ANALYSIS.seconds)
    for track, other in zip(ANALYSIS.tracks, again.tracks, strict=True):
        assert (track.index, track.thumbnail) == (other.index, other.thumbnail)
        np.testing.assert_array_equal(track.embedding, other.embedding)
        for frame, same in zip(track.frames, other.frames, strict=True):
            np.testing.assert_array_equal(frame.keypoints, same.keypoints)
            np.testing.assert_array_equal(frame.cover, same.cover)
            assert same.box == pytest.approx(frame.box)
            assert (frame.number, frame.opacity) == (same.number, same.opacity)
    assert analysis_file.to_bytes(again) == content


def test_an_analysis_without_people_comes_back_too() -> None:
    assert analysis_file.from_bytes(analysis_file.to_bytes(Analysis(4, 3, (0,), (0.0,), ()))).tracks == ()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing",
        analysis_file.to_bytes(ANALYSIS)[:-20],
        zlib.compress(b"{}\n"),
        zlib.compress(zlib.decompress(analysis_file.to_bytes(ANALYSIS))[:-4]),
        zlib.compress(zlib.decompress(analysis_file.to_bytes(ANALYSIS)).replace(b'"frames":4', b'"frames":9')),
        zlib.compress(bytes(analysis_file.MOST_BYTES + 1)),
    ],
    ids=["empty", "text", "cut", "no-fields", "too-short", "wrong-count", "bomb"],
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no analysis"):
        analysis_file.from_bytes(content)


def test_names_are_made_of_all_inputs() -> None:
    models = {"detector": "d", "embedder": "e", "swapper": "s"}
    name = analysis_file.name_analysis("meme", models, 512)
    assert name == analysis_file.name_analysis("meme", {**models, "swapper": "another"}, 512)
    others = [
        analysis_file.name_analysis("other", models, 512),
        analysis_file.name_analysis("meme", {**models, "detector": "x"}, 512),
        analysis_file.name_analysis("meme", models, 640),
    ]
    faces = [FaceFrame(0, 0), FaceFrame(1, 0)]
    chunks = [
        name_chunk(name, faces),
        name_chunk(name, faces[:1]),
        name_chunk("x", faces),
        name_chunk(name, faces, ["l"]),
    ]
    assert len({name, *others, *chunks}) == 8


def test_only_visible_faces_of_the_chosen_are_swapped_frame_by_frame() -> None:
    assert list_faces(ANALYSIS, [0, 1]) == [(0, 0), (1, 0), (1, 1), (3, 1), (4, 0)]
    assert list_faces(ANALYSIS, [1]) == [(1, 1), (3, 1)]


@pytest.mark.parametrize("count", [0, 1, 119, 120, 121, 250, 1800])
def test_chunks_are_few_and_equally_long(count: int) -> None:
    faces = [FaceFrame(n, 0) for n in range(count)]
    plan = plan_chunks(faces)
    assert [face for chunk in plan for face in chunk] == faces
    sizes = {len(chunk) for chunk in plan}
    assert all(size <= 120 for size in sizes)
    assert not sizes or max(sizes) - min(sizes) <= 1
    assert count <= 120 or min(sizes) >= 60


def test_crops_travel_in_chunks() -> None:
    faces = list_faces(ANALYSIS, [0, 1])
    random = np.random.default_rng(0)
    crops = [(face, random.integers(0, 256, (128, 128, 3)).astype(np.uint8)) for face in faces]
    chunks = [CropChunk.from_bytes(chunk.to_bytes()) for chunk in fill_chunks(crops, plan_chunks(faces, 2))]
    assert [len(chunk.faces) for chunk in chunks] == [1, 2, 2]
    assert [face for chunk in chunks for face in chunk.faces] == faces
    np.testing.assert_array_equal(np.concatenate([chunk.crops for chunk in chunks]), [crop for _, crop in crops])


@pytest.mark.parametrize("content", [b"", b"\x01\0\0\0", (1 << 31).to_bytes(4, "little")])
def test_other_bytes_are_no_chunk(content: bytes) -> None:
    with pytest.raises(ValueError, match="no chunk"):
        CropChunk.from_bytes(content + b"12345678" if content else b"1234")


def test_people_are_chosen_as_faces_of_stills_are() -> None:
    portraits = [track.portrait for track in ANALYSIS.tracks]
    assert [face.index for face in select_faces(portraits, "all", 400, 200, 9).chosen] == [0, 1]
    assert [face.index for face in select_faces(portraits, "largest", 400, 200, 9).chosen] == [1]
    assert [face.index for face in select_faces(portraits, [0], 400, 200, 9).chosen] == [0]
    with pytest.raises(InvalidRequest):
        select_faces(portraits, [2], 400, 200, 9)


def test_a_person_is_seen_from_when_to_when() -> None:
    assert ANALYSIS.times(ANALYSIS.tracks[0]) == [(0.0, 0.3), (0.5, 0.5)]
    assert [track.index for track, _ in ANALYSIS.faces_at(1)] == [0, 1]
    assert [track.index for track, _ in ANALYSIS.faces_at(4)] == [0]
    assert (ANALYSIS.tracks[0].first, ANALYSIS.tracks[0].last) == (0, 4)
