"""Fixtures that several modules share."""

from tests.unit.video.world import world

__all__ = ["world"]
