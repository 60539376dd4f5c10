"""Fixtures that several modules share."""

from tests.unit.video.world import dynamodb, table, world

__all__ = ["dynamodb", "table", "world"]
