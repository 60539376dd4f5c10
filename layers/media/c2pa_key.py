"""Where this process's signing key comes from."""

from __future__ import annotations

import secrets
import threading
from functools import lru_cache

from layers.core.telemetry import logger
from layers.media.c2pa_chain import Chain, parse

_parse_cached = lru_cache(maxsize=2)(parse)
_seed_lock = threading.Lock()


def signing_chain(arn: str) -> Chain:
    """The chain in the secret of that ARN; without an ARN ("") a chain of this process's own.

    Signatures of the latter protect against changes just as well, but nobody can tell later whose they were. Raises
    StorageFailed if the secret cannot be read, LabelFailed if it holds no key.
    """
    if not arn:
        with _seed_lock:
            return _parse_cached(_make_seed())
    from layers.core.secrets import read_secret

    return _parse_cached(read_secret(arn))


@lru_cache(maxsize=1)
def _make_seed() -> str:
    logger().warning("no signing key is configured: this process signs with a temporary key of its own")
    return secrets.token_hex(32)
