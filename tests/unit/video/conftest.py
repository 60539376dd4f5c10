"""Fixtures that several modules share."""

from tests.unit.video.fake_stack import stack

__all__ = ["stack"]
