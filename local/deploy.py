"""Moved to tools.deploy."""

from local.moved import run

run("tools.deploy", __name__)
