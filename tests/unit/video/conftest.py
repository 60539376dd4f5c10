"""Fixtures that several modules share."""

from tests.unit.video.fake_stack import world

__all__ = ["world"]
