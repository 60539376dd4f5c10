"""Folders of a user of these tests, and a log that is this test's alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from layers.core import telemetry

ROOT = Path(__file__).resolve().parents[3]
FACE, MEME = ROOT / "examples/face.jpg", ROOT / "examples/meme.jpg"


@pytest.fixture(scope="session")
def cache_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that lasts, so that the demo pack is converted once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def user(tmp_path: Path, cache_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The user's folder for configuration, empty at first; everything else in the process is as before afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache_home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("COLDSWAP_MODELS", raising=False)
    monkeypatch.setattr(telemetry, "_chosen_loggers", [])
    log = logging.getLogger("coldswap")
    handlers, propagate = log.handlers[:], log.propagate
    yield tmp_path / "config/coldswap"
    log.handlers[:], log.propagate = handlers, propagate
