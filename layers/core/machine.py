"""What the operating system tells about this process, on Linux and elsewhere: processors, and the most memory held."""

from __future__ import annotations

import os
import sys


def visible_processors() -> int:
    """How many processors this process may use: of a container's or a cgroup's set on Linux, all of them elsewhere."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def peak_memory_mb() -> float:
    """The most memory this process has held, in MB of 10^6 bytes.

    On Linux it is VmHWM (proc_pid_status(5)): getrusage's number there begins with what the parent had held.
    """
    try:
        with open("/proc/self/status") as status:
            lines = status.readlines()
    except FileNotFoundError:
        return _largest_mb(of_children=False)
    kib = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return round(kib * 1024 / 1e6, 1)


def children_peak_memory_mb() -> float:
    """The most memory that any one ended child of this process has held, in MB of 10^6 bytes."""
    return _largest_mb(of_children=True)


def _largest_mb(of_children: bool) -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux and the BSDs (getrusage(2))
    return round(usage.ru_maxrss * unit / 1e6, 1)
