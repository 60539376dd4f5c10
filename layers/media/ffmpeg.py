"""Runs ffmpeg so that it cannot outlive its task, ask questions, or be misled by the file it reads.

The program comes with the imageio-ffmpeg package: ffmpeg with libx264, libass and aac, without ffprobe.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from io import BufferedReader, BufferedWriter
from pathlib import Path

from layers.core.deadline import Deadline
from layers.core.errors import EncodingFailed, OutOfTime, StorageFull, UnreadableMedia

# Demuxers and decoders for what the services deliver and what the steps make. A file's name promises nothing: without
# these lists a playlist called .mp4 would read other files, and a rare codec's decoder would get a stranger's bytes.
DEMUXERS = ("mov", "matroska", "mp3", "flac", "wav")
DECODERS = ("h264", "hevc", "vp9", "libdav1d", "av1", "aac", "mp3float", "mp3", "flac", "opus", "vorbis", "pcm_s16le")

_STDERR_BYTES = 16_384  # bytes kept, the last ones
_PR_SET_PDEATHSIG = 1  # prctl(2)
_DISK_FULL = ("No space left on device", "Disk quota exceeded", "File too large")
_BAD_INPUT = (
    "Error opening input",
    "Invalid data found when processing input",
    "moov atom not found",
    "matches no streams",
    "does not contain any stream",
    "Decoder not found",
    "No decoder could be found",
    "not on whitelist",
    "Error while opening decoder",
)


def run(arguments: Sequence[str], *, deadline: Deadline, threads: int = 1, loglevel: str = "error") -> str:
    """Run ffmpeg with these arguments, the last of which is its one output, and wait; return the end of its stderr.

    The decoder of the first input, the filters and the encoder get `threads` threads each. Whatever ends the wait (the
    deadline, an exception, this process being killed) also ends ffmpeg and all that it started. Raises UnreadableMedia
    if an input is to blame, StorageFull, OutOfTime, or EncodingFailed.
    """
    with Process(arguments, deadline=deadline, threads=threads, loglevel=loglevel) as process:
        return process.wait()


class Process:
    """ffmpeg at work as in `run`, with pipes that the caller writes and reads; leaving the context ends it."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        deadline: Deadline,
        threads: int = 1,
        loglevel: str = "error",
        writes: bool = False,
        reads: bool = False,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """`writes` and `reads`: whether the caller uses `stdin` and `stdout`, which are no pipes otherwise."""
        deadline.check("starting ffmpeg")
        thread_count = str(threads)
        command = [
            *(program(), *(() if writes else ("-nostdin",)), "-hide_banner", "-loglevel", loglevel, "-y"),
            *("-filter_threads", thread_count, "-threads", thread_count),
            *arguments[:-1],
            *("-threads", thread_count, arguments[-1]),
        ]
        self._deadline = deadline
        self._expired = threading.Event()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if writes else subprocess.DEVNULL,
            stdout=subprocess.PIPE if reads else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=_kill_with(os.getpid()),
            env=_environment(),
            pass_fds=pass_fds,
        )
        self._stderr = ""
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        self._timer = threading.Timer(max(0.0, deadline.left()), self._expire)
        self._timer.daemon = True
        self._timer.start()

    @property
    def stdin(self) -> BufferedWriter:
        """What ffmpeg reads."""
        assert isinstance(self._process.stdin, BufferedWriter)
        return self._process.stdin

    @property
    def stdout(self) -> BufferedReader:
        """What ffmpeg writes."""
        assert isinstance(self._process.stdout, BufferedReader)
        return self._process.stdout

    def wait(self) -> str:
        """Wait until ffmpeg has ended by itself; return the end of its stderr. Raises as `run` does."""
        self._reader.join()
        _wait_for_exit(self._process)
        status = self._end()
        if self._expired.is_set():
            raise OutOfTime(f"Time ran out while ffmpeg was running. {self._deadline.advice}")
        if status:
            raise _failure(status, self._stderr)
        return self._stderr

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not yet written has nowhere to go
                    pipe.close()

    def _read_stderr(self) -> None:
        self._stderr = _read_tail(self._process)

    def _expire(self) -> None:
        self._expired.set()
        _kill(self._process)

    def _end(self) -> int:
        """Kill what is left of it; return its exit status."""
        self._timer.cancel()
        self._timer.join()
        if self._process.returncode is None:
            _reap(self._process)
        self._reader.join()
        return int(self._process.returncode)


def untrusted_input(
    path: Path, demuxers: Sequence[str] = DEMUXERS, decoders: Sequence[str] = DECODERS, options: Sequence[str] = ()
) -> list[str]:
    """The arguments that make a stranger's file an input: only that file, only as one of these formats."""
    return [
        *("-protocol_whitelist", "file"),
        *("-format_whitelist", ",".join(demuxers), "-codec_whitelist", ",".join(decoders)),
        *options,
        *("-i", f"file:{path}"),
    ]


def escape(value: object) -> str:
    """Escape an option's value for the parser of its filter, then for that of the filter graph."""
    for_filter = re.sub(r"[\\':]", r"\\\g<0>", str(value))
    return re.sub(r"[\\'\[\],;]", r"\\\g<0>", for_filter)


@cache
def program() -> str:
    """The path of the ffmpeg program."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _environment() -> dict[str, str]:
    """An environment without this process's secrets, whose home is writable for fontconfig's cache."""
    ours = {"PATH": os.defpath, "HOME": tempfile.gettempdir(), "LC_ALL": "C.UTF-8"}
    return ours | {name: os.environ[name] for name in ("FONTCONFIG_FILE", "FONTCONFIG_PATH") if name in os.environ}


@cache
def _prctl() -> Callable[..., int] | None:
    function: Callable[..., int] | None = getattr(ctypes.CDLL(None), "prctl", None)  # Linux alone has it
    return function


def _kill_with(parent: int) -> Callable[[], None] | None:
    """Make a function for the child to run before ffmpeg: the kernel kills it when the parent dies."""
    prctl = _prctl()
    if prctl is None:
        return None

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died already
            os._exit(1)

    return arrange


def _read_tail(process: subprocess.Popen[bytes]) -> str:
    """Read stderr until ffmpeg closes it, and return the last _STDERR_BYTES of it."""
    assert process.stderr is not None
    tail = b""
    with process.stderr as pipe:
        while piece := os.read(pipe.fileno(), _STDERR_BYTES):
            tail = (tail + piece)[-_STDERR_BYTES:]
    return tail.decode(errors="replace")


def _wait_for_exit(process: subprocess.Popen[bytes]) -> None:
    """Wait without reaping: until then the process id cannot belong to anyone else, so the timer's kill is safe.

    macOS has no waitid before Python 3.13. There the process is reaped, and nothing is killed afterwards.
    """
    if hasattr(os, "waitid"):
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started, unless it has been reaped."""
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses for a group of zombies (kill(2))
            os.killpg(process.pid, signal.SIGKILL)


def _reap(process: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the process group; return ffmpeg's exit status."""
    _kill(process)
    return process.wait()


def _failure(status: int, stderr: str) -> Exception:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else f"exit status {status}"
    if any(sign in stderr for sign in _DISK_FULL):
        return StorageFull("There is no disk space left for temporary files.")
    if any(sign in stderr for sign in _BAD_INPUT):
        return UnreadableMedia(f"ffmpeg cannot read a media file: {last}")
    return EncodingFailed(f"ffmpeg failed: {last}")
