"""Fixtures of the tests of voice and footage: settings, an artifact store in a folder, and stand-ins for providers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.payments import Payments
from functions.video.providers.pexels import Pexels
from functions.video.settings import VideoSettings
from layers.core.deadline import Deadline
from local.standins.servers import StandIns

SETTINGS = VideoSettings.read({"OUTPUTS_BUCKET": "outputs", "STATE_TABLE": "state", "STATE_MACHINE_ARN": "arn"})


def soon() -> Deadline:
    """A deadline that is late enough for any test."""
    return Deadline.after(120)


@pytest.fixture(scope="module")
def running() -> Iterator[StandIns]:
    """Stand-ins for a module's tests."""
    with StandIns() as standins:
        yield standins


@pytest.fixture
def standins(running: StandIns) -> Iterator[StandIns]:
    """The same stand-ins, with no recorded request and no fault."""
    running.clear()
    running.requests.clear()
    yield running
    running.clear()


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    """Empty buckets."""
    return FolderStorage(tmp_path / "buckets")


@pytest.fixture
def artifacts(storage: FolderStorage) -> ArtifactStore:
    """An empty artifact store."""
    return ArtifactStore(storage, SETTINGS.outputs_bucket)


@pytest.fixture
def payments(dynamodb: Any, table: str) -> Payments:
    """Payments without any request."""
    return Payments(table, lambda: dynamodb)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A step's own folder."""
    path = tmp_path / "step"
    path.mkdir()
    return path


@pytest.fixture
def elevenlabs(standins: StandIns) -> ElevenLabs:
    """The voice service, with the stand-in's key."""
    return ElevenLabs(standins.elevenlabs_url, standins.environment["ELEVENLABS_API_KEY"])


@pytest.fixture
def pexels(standins: StandIns) -> Pexels:
    """The footage service, with the stand-in's key."""
    return Pexels(standins.pexels_url, standins.environment["PEXELS_API_KEY"])
