"""Ends a waitress server from another thread than its own, for which it has no way."""

from __future__ import annotations

from typing import Any


def stop(server: Any) -> None:
    """Wait for the requests that are being answered, then close the server in its own loop, which ends thereby."""
    server.task_dispatcher.shutdown()
    server.trigger.pull_trigger(server.close)
