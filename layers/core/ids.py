"""Names of swaps and videos: version 7 UUIDs (RFC 9562), whose first 48 bits are a time."""

from __future__ import annotations

import os
import re
import time
import uuid
from datetime import UTC, datetime


def new_id() -> str:
    """A name nothing else has."""
    stamp = time.time_ns() // 1_000_000
    value = stamp << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def is_id(text: str) -> bool:
    """Whether it could be one: what else is asked for need not be looked for, and fits into no key."""
    return _ID.fullmatch(text) is not None


def made_at(name: str) -> float | None:
    """When the name was made, in seconds of the epoch; None where this is no such name."""
    try:
        value = uuid.UUID(name)
    except ValueError:
        return None
    return (value.int >> 80) / 1000 if value.version == 7 and str(value) == name else None


def by_time(moment: float, name: str) -> str:
    """What the state table's index of results sorts by: the second of the epoch to the millisecond, then the id, since
    two may be of one moment."""
    return f"{datetime.fromtimestamp(moment, UTC).isoformat(timespec='milliseconds')}#{name}"
