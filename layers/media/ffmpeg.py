"""ffmpeg as a program that cannot outlive its task, ask a question, or be led astray by the file it reads.

The program comes with the imageio-ffmpeg package: ffmpeg with libx264, libass and aac, without ffprobe.
"""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from layers.core.deadline import Deadline
from layers.core.errors import EncodingFailed, OutOfTime, StorageFull, UnreadableMedia

# Demuxers and decoders of what the services deliver and of what the steps make. A name is not a promise: without these
# lists a playlist called .mp4 reads its neighbours, and a rare codec's decoder meets a stranger's bytes.
FORMATS = ("mov", "matroska", "mp3", "flac", "wav")
CODECS = ("h264", "hevc", "vp9", "libdav1d", "av1", "aac", "mp3float", "mp3", "flac", "opus", "vorbis", "pcm_s16le")

_STDERR = 16_384  # bytes kept, the last ones
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


@dataclass(frozen=True)
class FfmpegResult:
    """What a run cost, and what it said: the last 16 KiB of stderr."""

    cpu_seconds: float  # user and system
    peak_mb: float  # resident, of 10^6 bytes; not below what this process held when it started ffmpeg (getrusage(2))
    seconds: float
    stderr: str


def run(arguments: Sequence[str], *, deadline: Deadline, threads: int = 1, loglevel: str = "error") -> FfmpegResult:
    """Run ffmpeg with these arguments, the last of which is its one output, and wait for its end.

    Decoder of the first input, filters and encoder get `threads` threads each. Whatever ends the wait (the deadline,
    an exception, this process being killed) also ends ffmpeg and all that it started. Raises UnreadableMedia where an
    input is to blame, StorageFull, OutOfTime, or EncodingFailed.
    """
    deadline.check("starting ffmpeg")
    count = str(threads)
    command = [
        *(program(), "-nostdin", "-hide_banner", "-loglevel", loglevel, "-y"),
        *("-filter_threads", count, "-threads", count),
        *arguments[:-1],
        *("-threads", count, arguments[-1]),
    ]
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=_die_with(os.getpid()),
        env=_environment(),
    )
    late = threading.Event()

    def stop() -> None:
        late.set()
        _kill(process.pid)

    timer = threading.Timer(max(0.0, deadline.left()), stop)
    timer.daemon = True
    timer.start()
    try:
        stderr = _tail(process)
        # Wait without reaping: until then the process id cannot belong to anyone else, so the timer's kill is safe.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    finally:
        timer.cancel()
        timer.join()
        status, usage = _reap(process)
    if late.is_set():
        raise OutOfTime("Time ran out while ffmpeg was at work.")
    if status:
        raise _failure(status, stderr)
    cpu = usage.ru_utime + usage.ru_stime
    return FfmpegResult(cpu, usage.ru_maxrss * 1024 / 1e6, time.monotonic() - began, stderr)


def untrusted(path: Path) -> list[str]:
    """The arguments that read a stranger's file as an input: as a file, of a known kind, and nothing beside it."""
    return [
        *("-protocol_whitelist", "file", "-format_whitelist", ",".join(FORMATS), "-codec_whitelist", ",".join(CODECS)),
        *("-i", f"file:{path}"),
    ]


def escape(value: object) -> str:
    """A value as an option of a filter: safe from the filter's own parser, then from the graph's."""
    once = re.sub(r"[\\':]", r"\\\g<0>", str(value))
    return re.sub(r"[\\'\[\],;]", r"\\\g<0>", once)


@cache
def program() -> str:
    """Path of the ffmpeg program."""
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


def _environment() -> dict[str, str]:
    """Nothing of the caller's secrets; a home that can be written, for the cache of fontconfig."""
    ours = {"PATH": os.defpath, "HOME": tempfile.gettempdir(), "LC_ALL": "C.UTF-8"}
    return ours | {name: os.environ[name] for name in ("FONTCONFIG_FILE", "FONTCONFIG_PATH") if name in os.environ}


@cache
def _prctl() -> Callable[..., int]:
    function: Callable[..., int] = ctypes.CDLL(None).prctl
    return function


def _die_with(parent: int) -> Callable[[], None] | None:
    """Run in the child before ffmpeg: killed when the parent dies, which may already have happened."""
    if sys.platform != "linux":
        return None
    prctl = _prctl()

    def arrange() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def _tail(process: subprocess.Popen[bytes]) -> str:
    """The end of what ffmpeg says, read until it closes stderr."""
    assert process.stderr is not None
    kept = b""
    with process.stderr as pipe:
        while piece := os.read(pipe.fileno(), _STDERR):
            kept = (kept + piece)[-_STDERR:]
    return kept.decode(errors="replace")


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def _reap(process: subprocess.Popen[bytes]) -> tuple[int, resource.struct_rusage]:
    """End the whole group, whatever is left of it; the exit status, and what was used."""
    _kill(process.pid)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage


def _failure(status: int, stderr: str) -> Exception:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    last = lines[-1][:300] if lines else f"exit status {status}"
    if any(sign in stderr for sign in _DISK_FULL):
        return StorageFull("The disk has no room left for work files.")
    if any(sign in stderr for sign in _BAD_INPUT):
        return UnreadableMedia(f"ffmpeg cannot read a media file: {last}")
    return EncodingFailed(f"ffmpeg failed: {last}")
