"""Moved to tools.denylist."""

from local.moved import run

run("tools.denylist", __name__)
