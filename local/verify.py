"""Moved to tools.verify."""

from local.moved import run

run("tools.verify", __name__)
