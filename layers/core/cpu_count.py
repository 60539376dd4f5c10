"""How many processors there are to work with."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

PROCESSOR_MB = 1769  # of MemorySize, for which Lambda gives the time of one processor (Lambda's developer guide)


def threads(env: Mapping[str, str]) -> int:
    """As many as can be at work at one time: the processors that are seen, but no more than MemorySize has time for.

    Lambda shows two up to 3,008 MB and gives the time of less than two. Threads beyond that wait for each other.
    """
    visible = len(os.sched_getaffinity(0))
    memory = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    return min(visible, math.ceil(int(memory) / PROCESSOR_MB)) if memory else visible
