"""Runs a command for as long as the process that started it lives.

    python supervisor.py FOLDER COMMAND...

Standard input is a pipe whose other end the starter holds: when it closes, for whatever reason (a normal end, an
exception, SIGKILL), the command and all its descendants are ended and FOLDER is removed, unless it is "-".
It runs in a session of its own, so that Ctrl-C reaches the starter alone, which then ends things in order.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys

GRACE_SECONDS = 10.0  # for the command to save its state


def main(folder: str, command: list[str]) -> int:
    """Run the command; its exit status, or 0 if it was ended because its starter ended."""
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    while child.poll() is None and not _is_closed(sys.stdin.fileno()):
        pass
    status = child.poll() or 0
    _signal(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    _signal(child.pid, signal.SIGKILL)
    child.wait()
    if folder != "-":
        shutil.rmtree(folder, ignore_errors=True)
    return status


def _is_closed(pipe: int) -> bool:
    readable, _, _ = select.select([pipe], [], [], 0.5)
    return bool(readable) and not os.read(pipe, 1)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: a group of zombies (kill(2))
        os.killpg(group, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
