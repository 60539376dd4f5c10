"""The gallery's pairs, its messages about folders and pictures that are wrong, and what happens when a swap fails."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFont

from local import contact_sheet, gallery, swap_clients
from local.demo import draw_pictures
from local.publish_demo_pack import NAME


class Stack:
    """A stack that returns the meme as the result; the faces in `refused` have no face."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pack = "own"
        self.refused: set[str] = set()
        self.swaps: list[tuple[str, str]] = []
        monkeypatch.setattr(gallery, "running_cloud", self.run)
        monkeypatch.setattr(swap_clients, "upload_form", lambda cloud, path: str(path))
        monkeypatch.setattr(swap_clients, "post", self.post)
        monkeypatch.setattr(swap_clients, "download", lambda url: Path(url).read_bytes())

    @contextmanager
    def run(self, say: Any) -> Iterator[tuple[Any, str]]:
        yield None, self.pack

    def post(self, cloud: Any, request: dict[str, Any]) -> dict[str, Any]:
        face, meme = Path(request["face"]).name, Path(request["meme"]).name
        if face in self.refused:
            raise swap_clients.CallFailed("no_face_in_source", "No face was found in the source picture.")
        self.swaps.append((face, meme))
        return {"url": request["meme"], "faces": [{"swapped": True}, {"swapped": False}]}


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "out"
    monkeypatch.setattr(gallery, "OUT", folder)
    monkeypatch.setattr(gallery, "SHEET", folder / "gallery.jpg")
    monkeypatch.setattr(gallery, "RESULTS", folder / "gallery")
    return folder


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(monkeypatch)


def fill(folder: Path, *names: str) -> Path:
    """A folder with a small plain picture of each of these names."""
    folder.mkdir()
    for name in names:
        Image.new("RGB", (60, 40), (90, 120, 200)).save(folder / name)
    return folder


def run(faces: Path, memes: Path) -> int:
    return gallery.main(["--faces", str(faces), "--memes", str(memes)])


def test_faces_begin_again_when_there_are_more_memes(tmp_path: Path, out: Path, stack: Stack) -> None:
    faces = fill(tmp_path / "faces", "b.png", "a.JPG")
    memes = fill(tmp_path / "memes", "1.jpeg", "2.webp", "3.png")
    (memes / "notes.txt").write_text("no picture")
    (memes / "more.png").mkdir()

    assert run(faces, memes) == 0

    assert stack.swaps == [("a.JPG", "1.jpeg"), ("b.png", "2.webp"), ("a.JPG", "3.png")]
    assert Image.open(out / "gallery.jpg").width > 1000
    assert sorted(path.name for path in (out / "gallery").iterdir()) == ["01-1.jpg", "02-2.jpg", "03-3.jpg"]


def test_a_swap_that_fails_is_reported_and_the_others_are_on_the_sheet(
    tmp_path: Path, out: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    faces, memes = fill(tmp_path / "faces", "a.png", "b.png"), fill(tmp_path / "memes", "1.png", "2.png")
    stack.refused = {"a.png"}

    assert run(faces, memes) == 0

    written = capsys.readouterr()
    assert "a.png into 1.png: No face was found in the source picture. (no_face_in_source)" in written.err
    assert "1 of 2 swaps succeeded" in written.out
    assert (out / "gallery.jpg").exists()


def test_without_any_swap_there_is_no_sheet_not_even_the_one_before(tmp_path: Path, out: Path, stack: Stack) -> None:
    faces, memes = fill(tmp_path / "faces", "a.png"), fill(tmp_path / "memes", "1.png")
    run(faces, memes)
    stack.refused = {"a.png"}

    assert run(faces, memes) == 1

    assert not (out / "gallery.jpg").exists()


def break_picture(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def noise(path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def enlarge(path: Path) -> None:
    with path.open("ab") as file:
        file.truncate((20 << 20) + 1)


UNUSABLE = pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (break_picture, "b.png cannot be used. "),
        (lambda path: path.write_bytes(b"GIF89a"), "b.png cannot be used. "),
        (enlarge, "b.png is larger than 20 MiB. Make it smaller."),
        (noise, "b.png looks like a photograph. The demo pack recognises drawn faces only."),
    ],
)


@UNUSABLE
def test_a_face_that_cannot_be_used_is_named(
    tmp_path: Path, out: Path, stack: Stack, capsys: pytest.CaptureFixture[str], spoil: Any, message: str
) -> None:
    folders = {name: fill(tmp_path / name, "a.png", "b.png") for name in ("faces", "memes")}
    spoil(folders["faces"] / "b.png")
    stack.pack = NAME

    assert run(folders["faces"], folders["memes"]) == 2

    assert f"{folders['faces']}/{message}" in capsys.readouterr().err
    assert stack.swaps == []


@UNUSABLE
def test_a_meme_that_cannot_be_used_is_named_and_left_out(
    tmp_path: Path, out: Path, stack: Stack, capsys: pytest.CaptureFixture[str], spoil: Any, message: str
) -> None:
    faces, memes = fill(tmp_path / "faces", "a.png"), fill(tmp_path / "memes", "a.png", "b.png", "c.png")
    spoil(memes / "b.png")
    stack.pack = NAME

    assert run(faces, memes) == 0

    written = capsys.readouterr()
    assert f"{memes}/{message}" in written.err
    assert "It was left out." in written.err
    assert "2 of 3 swaps succeeded" in written.out
    assert stack.swaps == [("a.png", "a.png"), ("a.png", "c.png")]


def test_with_nothing_but_broken_memes_it_fails(tmp_path: Path, out: Path, stack: Stack) -> None:
    faces, memes = fill(tmp_path / "faces", "a.png"), fill(tmp_path / "memes", "a.png")
    break_picture(memes / "a.png")

    assert run(faces, memes) == 1

    assert not (out / "gallery.jpg").exists()


def test_photographs_are_swapped_by_another_pack_than_the_demo_s(tmp_path: Path, out: Path, stack: Stack) -> None:
    faces, memes = fill(tmp_path / "faces", "a.png"), fill(tmp_path / "memes", "1.png")
    noise(faces / "a.png")

    assert run(faces, memes) == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "There is no folder at {}."),
        ("file.png", "There is no folder at {}."),
        ("empty", "There is no picture in {}. Put JPEG, PNG or WebP files there."),
    ],
)
def test_a_folder_that_is_wrong_is_named(
    tmp_path: Path, stack: Stack, capsys: pytest.CaptureFixture[str], name: str, message: str
) -> None:
    memes = fill(tmp_path / "memes", "1.png")
    fill(tmp_path / "empty")
    (tmp_path / "file.png").write_bytes(b"")

    assert run(tmp_path / name, memes) == 2

    assert capsys.readouterr().err.strip() == message.format(tmp_path / name)


def test_a_sheet_has_the_first_memes_of_a_large_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "MOST_MEMES", 2)
    faces, memes = fill(tmp_path / "faces", "a.png"), fill(tmp_path / "memes", "1.png", "2.png", "3.png")

    pairs = gallery.choose_pairs(faces, memes)

    assert [each.meme.name for each in pairs] == ["1.png", "2.png"]
    assert "There are 3 memes; the sheet has the first 2." in capsys.readouterr().out


def test_the_demo_s_own_pictures_take_the_place_of_a_missing_folder(
    tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces = fill(tmp_path / "faces", "a.png")
    drawn = draw_pictures(out / "pictures")
    monkeypatch.setattr("local.gallery.draw_pictures", lambda folder: drawn)

    both, memes = gallery.choose_pairs(None, None), gallery.choose_pairs(faces, None)

    assert ("ruby", "works-on-my-machine") in [(each.face.stem, each.meme.stem) for each in both]
    assert {each.face.name for each in memes} == {"a.png"}
    assert {each.meme for each in memes} == {each.meme for each in both}
    gallery.check_pictures(path for each in both for path in (each.face, each.meme))


def test_words_on_a_card_that_are_too_wide_end_in_dots() -> None:
    font = ImageFont.load_default(17)

    assert contact_sheet._shorten("short", font, 100) == "short"
    shortened = contact_sheet._shorten("a-very-long-name-of-a-file-from-a-telephone", font, 100)
    assert shortened.startswith("a-very-")
    assert shortened.endswith("…")
    assert font.getlength(shortened) <= 100 < font.getlength("a-very-long-name-of")
    assert contact_sheet._shorten("wide", font, 1) == ""


def test_a_result_is_written_as_it_came(tmp_path: Path, out: Path, stack: Stack) -> None:
    faces, memes = fill(tmp_path / "faces", "a.png"), fill(tmp_path / "memes", "1.png")

    run(faces, memes)

    data = (out / "gallery/01-1.jpg").read_bytes()
    assert data == (memes / "1.png").read_bytes()
    assert Image.open(io.BytesIO(data)).size == (60, 40)
