"""The work store: what counts as there, how long it stays, and who is told that it is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from functions.video.artifacts import FRESH_SECONDS, ArtifactStore
from layers.core.errors import WorkGone
from layers.core.storage import Head
from tests.support.folder_storage import FolderStorage
from tests.unit.video.fixtures import soon

NOW = 1_800_000_000
KEY, MEDIA = "work/sound/a.json", "work/sound/a.flac"


@dataclass(frozen=True)
class Pointer:
    """To a file of sound."""

    audio_key: str


class Shelf(FolderStorage):
    """Remembers what was renewed, in order."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.root = root
        self.renewed: list[str] = []
        self.before: Callable[[str], None] = lambda key: None

    def renew(self, bucket: str, key: str, head: Head) -> None:
        self.before(key)
        super().renew(bucket, key, head)
        self.renewed.append(key)

    def age(self, key: str, seconds: float) -> None:
        """As if the object had been written so long ago."""
        os.utime(self.root / "outputs" / key, (NOW - seconds, NOW - seconds))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


@pytest.fixture
def work(shelf: Shelf) -> ArtifactStore:
    """With a file of sound and what points to it, just written."""
    work = ArtifactStore(shelf, "outputs", lambda: NOW)
    work.put_bytes(MEDIA, b"sound", "audio/flac")
    work.put(KEY, Pointer(MEDIA))
    for key in (MEDIA, KEY):
        shelf.age(key, 0)
    return work.track("ann")


def reuse(work: ArtifactStore) -> Pointer | None:
    return work.reuse(KEY, Pointer, soon(), lambda pointer: pointer.audio_key)


def test_what_points_to_a_file_that_is_there_is_used_again(work: ArtifactStore, shelf: Shelf) -> None:
    assert reuse(work) == Pointer(MEDIA)
    assert shelf.renewed == []


@pytest.mark.parametrize("gone", [KEY, MEDIA])
def test_what_points_to_nothing_is_not_there(work: ArtifactStore, shelf: Shelf, gone: str) -> None:
    shelf.delete("outputs", gone)

    assert reuse(work) is None


def test_what_is_used_and_old_is_renewed_the_file_first(work: ArtifactStore, shelf: Shelf) -> None:
    for key in (MEDIA, KEY):
        shelf.age(key, FRESH_SECONDS)

    assert reuse(work)

    assert shelf.renewed == [MEDIA, KEY]


def test_a_file_alone_is_renewed_too(work: ArtifactStore, shelf: Shelf) -> None:
    shelf.age(MEDIA, FRESH_SECONDS)

    assert work.reuse_file(MEDIA)
    assert shelf.renewed == [MEDIA]
    assert not work.reuse_file("work/sound/b.flac")


def test_what_is_deleted_while_it_is_renewed_is_not_there(work: ArtifactStore, shelf: Shelf) -> None:
    shelf.age(MEDIA, FRESH_SECONDS)
    shelf.before = lambda key: shelf.delete("outputs", key)

    assert reuse(work) is None


def test_who_relies_on_what_is_gone_is_told_so(work: ArtifactStore, shelf: Shelf, tmp_path: Path) -> None:
    for key in (KEY, MEDIA):
        shelf.delete("outputs", key)
    uses: tuple[Callable[[], object], ...] = (
        lambda: work.get(KEY, Pointer, soon()),
        lambda: work.get_file(MEDIA, tmp_path / "sound", 100, soon()),
        lambda: work.size(MEDIA),
        lambda: work.publish(MEDIA, "videos/a.flac"),
    )

    for use in uses:
        with pytest.raises(WorkGone, match="sound"):
            use()


def test_what_was_used_and_what_was_made_are_kept_apart(work: ArtifactStore, shelf: Shelf) -> None:
    reuse(work)
    work.put_bytes("work/clip/a.mp4", b"clip", "video/mp4")
    assert work.used == {KEY, MEDIA, "work/clip/a.mp4"}
    assert work.written == {"work/clip/a.mp4"}

    work.discard()

    assert shelf.head("outputs", "work/clip/a.mp4") is None
    assert shelf.head("outputs", MEDIA)
