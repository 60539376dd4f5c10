"""The artifact store: which artifacts count as existing, how long they stay, and what happens when one is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import FRESH_SECONDS, ArtifactStore
from layers.core.errors import WorkGone
from layers.core.storage import Head
from tests.unit.video.fixtures import soon

NOW = 1_800_000_000
KEY, MEDIA = "work/sound/a.json", "work/sound/a.flac"


@dataclass(frozen=True)
class Pointer:
    """A value that points to a file of sound."""

    audio_key: str


class RecordingStorage(FolderStorage):
    """Records which objects were renewed, in order."""

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
        """Let the object look as old as that."""
        os.utime(self.root / "outputs" / key, (NOW - seconds, NOW - seconds))


@pytest.fixture
def storage(tmp_path: Path) -> RecordingStorage:
    return RecordingStorage(tmp_path)


@pytest.fixture
def artifacts(storage: RecordingStorage) -> ArtifactStore:
    """A store with a file of sound and a value that points to it, just written."""
    artifacts = ArtifactStore(storage, "outputs", lambda: NOW)
    artifacts.put_bytes(MEDIA, b"sound", "audio/flac")
    artifacts.put(KEY, Pointer(MEDIA))
    for key in (MEDIA, KEY):
        storage.age(key, 0)
    return artifacts.track("ann")


def reuse(artifacts: ArtifactStore) -> Pointer | None:
    return artifacts.reuse(KEY, Pointer, soon(), lambda pointer: pointer.audio_key)


def test_what_points_to_a_file_that_is_there_is_used_again(artifacts: ArtifactStore, storage: RecordingStorage) -> None:
    assert reuse(artifacts) == Pointer(MEDIA)
    assert storage.renewed == []


@pytest.mark.parametrize("gone", [KEY, MEDIA])
def test_what_points_to_nothing_is_not_there(artifacts: ArtifactStore, storage: RecordingStorage, gone: str) -> None:
    storage.delete("outputs", gone)

    assert reuse(artifacts) is None


def test_what_is_used_and_old_is_renewed_the_file_first(artifacts: ArtifactStore, storage: RecordingStorage) -> None:
    for key in (MEDIA, KEY):
        storage.age(key, FRESH_SECONDS)

    assert reuse(artifacts)

    assert storage.renewed == [MEDIA, KEY]


def test_a_file_alone_is_renewed_too(artifacts: ArtifactStore, storage: RecordingStorage) -> None:
    storage.age(MEDIA, FRESH_SECONDS)

    assert artifacts.reuse_file(MEDIA)
    assert storage.renewed == [MEDIA]
    assert not artifacts.reuse_file("work/sound/b.flac")


def test_what_is_deleted_while_it_is_renewed_is_not_there(artifacts: ArtifactStore, storage: RecordingStorage) -> None:
    storage.age(MEDIA, FRESH_SECONDS)
    storage.before = lambda key: storage.delete("outputs", key)

    assert reuse(artifacts) is None


def test_who_relies_on_what_is_gone_is_told_so(
    artifacts: ArtifactStore, storage: RecordingStorage, tmp_path: Path
) -> None:
    for key in (KEY, MEDIA):
        storage.delete("outputs", key)
    uses: tuple[Callable[[], object], ...] = (
        lambda: artifacts.get(KEY, Pointer, soon()),
        lambda: artifacts.get_file(MEDIA, tmp_path / "sound", 100, soon()),
        lambda: artifacts.size(MEDIA),
        lambda: artifacts.publish(MEDIA, "videos/a.flac"),
    )

    for use in uses:
        with pytest.raises(WorkGone, match="sound"):
            use()


def test_what_was_used_and_what_was_made_are_kept_apart(artifacts: ArtifactStore, storage: RecordingStorage) -> None:
    reuse(artifacts)
    artifacts.put_bytes("work/clip/a.mp4", b"clip", "video/mp4")
    assert artifacts.used == {KEY, MEDIA, "work/clip/a.mp4"}
    assert artifacts.written == {"work/clip/a.mp4"}

    artifacts.discard()

    assert storage.head("outputs", "work/clip/a.mp4") is None
    assert storage.head("outputs", MEDIA)
