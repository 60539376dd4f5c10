"""Moved to tools.redrive."""

from local.moved import run

run("tools.redrive", __name__)
