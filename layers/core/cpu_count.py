"""How many processors a sandbox can use."""

from __future__ import annotations

import math
from collections.abc import Mapping

from layers.core.machine import visible_processors

VCPU_MB = 1769  # the MemorySize at which Lambda allots the time of one processor (Lambda's developer guide)


def thread_count(env: Mapping[str, str]) -> int:
    """The threads that can run at one time: one per visible processor, but no more than MemorySize allots time for.

    Up to 3,008 MB Lambda shows two processors and allots the time of less than two; more threads would only wait for
    each other.
    """
    visible = visible_processors()
    memory = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
    return min(visible, math.ceil(int(memory) / VCPU_MB)) if memory else visible
