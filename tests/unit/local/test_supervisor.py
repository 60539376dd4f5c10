"""However the starter ends, what it started ends too."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from local import supervisor

# A process with a child of its own; it writes both ids once both run, and ends only when it is ended.
FAMILY = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; print(flush=True); signal.pause()"], stdout=-1)
child.stdout.readline()
with open(sys.argv[1], "w") as ids:
    ids.write(f"{os.getpid()} {child.pid}")
import signal
signal.pause()
"""
# The starter: starts a supervisor with the family in it, and waits for ever. A shell that runs the tests in the
# background has its jobs ignore SIGINT, which would reach down to here.
STARTER = """
import signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
supervised = subprocess.Popen([sys.executable, *sys.argv[1:]], stdin=subprocess.PIPE, start_new_session=True)
print(supervised.pid, flush=True)
supervised.wait()
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "ids"
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_the_family_ends_with_its_starter_and_the_folder_goes(tmp_path: Path, pipe: Path, number: int) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").touch()
    command = [supervisor.__file__, str(folder), sys.executable, "-c", FAMILY, str(pipe)]
    with subprocess.Popen(
        [sys.executable, "-c", STARTER, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as starter:
        assert starter.stdout
        processes = [int(starter.stdout.readline()), *map(int, pipe.read_text().split())]
        pidfds = [os.pidfd_open(each) for each in processes]
        starter.send_signal(number)
        starter.wait()

    for each in pidfds:
        assert select.select([each], [], [], 20)[0], "it still runs"
        os.close(each)
    assert not folder.exists()


def test_the_starter_learns_how_the_command_ended() -> None:
    command = [sys.executable, supervisor.__file__, "-", sys.executable, "-c", "raise SystemExit(7)"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as supervised:
        assert supervised.wait(20) == 7


def test_closing_the_pipe_lets_the_command_save_its_state(tmp_path: Path) -> None:
    state_file, ready = tmp_path / "saved", tmp_path / "ready"
    os.mkfifo(ready)
    script = (
        "import signal, sys, pathlib\n"
        "def save(*_):\n    pathlib.Path(sys.argv[1]).write_text('all'); raise SystemExit(0)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "pathlib.Path(sys.argv[2]).write_text('ready')\n"
        "signal.pause()\n"
    )
    command = [sys.executable, supervisor.__file__, "-", sys.executable, "-c", script, str(state_file), str(ready)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as supervised:
        ready.read_text()
        assert supervised.stdin
        supervised.stdin.close()
        supervised.wait(20)

    assert state_file.read_text() == "all"
