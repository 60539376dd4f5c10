"""Where this process's signing key comes from."""

from __future__ import annotations

import secrets
import threading
from functools import lru_cache

from layers.core.telemetry import logger
from layers.media.c2pa_chain import Chain, parse

_parsed = lru_cache(maxsize=2)(parse)
_making = threading.Lock()


def signing_chain(arn: str) -> Chain:
    """The chain in the secret of that ARN; without one ("") a chain of this process's own.

    The latter's signatures are as good against changes, but nobody can tell later whose they were. Raises StorageFailed
    where the secret cannot be read, LabelFailed where it holds no key.
    """
    if not arn:
        with _making:
            return _parsed(_own_seed())
    from layers.core.secrets import read_secret

    return _parsed(read_secret(arn))


@lru_cache(maxsize=1)
def _own_seed() -> str:
    logger().warning("no signing key is configured: this process signs with one that it made up and nobody keeps")
    return secrets.token_hex(32)
