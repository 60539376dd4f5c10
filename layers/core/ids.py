"""Ids of requests and their results: version 7 UUIDs (RFC 9562), whose first 48 bits are their time of creation."""

from __future__ import annotations

import os
import re
import time
import uuid
from datetime import UTC, datetime


def new_id() -> str:
    """Make a new, unique id."""
    stamp = time.time_ns() // 1_000_000
    value = stamp << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))


_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def is_id(text: str) -> bool:
    """Whether this could be an id; nothing else is worth looking up, or safe to put into a key."""
    return _ID.fullmatch(text) is not None


def creation_time(name: str) -> float | None:
    """When the id was made, in seconds of the epoch; None for anything but one of these UUIDs."""
    try:
        value = uuid.UUID(name)
    except ValueError:
        return None
    return (value.int >> 80) / 1000 if value.version == 7 and str(value) == name else None


def time_sort_key(moment: float, name: str) -> str:
    """The sort key of the state table's index of results: the time in UTC to the millisecond (ISO 8601), then the id,
    because two results may have the same time. `moment` is in seconds of the epoch."""
    return f"{datetime.fromtimestamp(moment, UTC).isoformat(timespec='milliseconds')}#{name}"
