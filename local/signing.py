"""Moved to tools.signing_key."""

from local.moved import run

run("tools.signing_key", __name__)
