"""Where this process's signing key comes from."""

from __future__ import annotations

import secrets
import threading
from functools import lru_cache
from pathlib import Path

from layers.core.errors import LabelFailed
from layers.core.telemetry import logger
from layers.media.c2pa_chain import MAX_SECRET_BYTES, Chain, parse

FILE = "file:"  # what the location of a key in a file begins with; the path follows

_parse_cached = lru_cache(maxsize=2)(parse)
_seed_lock = threading.Lock()


def signing_chain(location: str) -> Chain:
    """The chain in the secret of that ARN, or in the file of `file:PATH`; without either ("") one of this process's
    own.

    Signatures of the last protect against changes just as well, but nobody can tell later whose they were. Raises
    StorageFailed if the secret cannot be read, LabelFailed if it holds no key or the file cannot be read.
    """
    if not location:
        with _seed_lock:
            return _parse_cached(_make_seed())
    if location.startswith(FILE):
        return _parse_cached(_read_file(Path(location.removeprefix(FILE))))
    from layers.core.secrets import read_secret

    return _parse_cached(read_secret(location))


def _read_file(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(MAX_SECRET_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise LabelFailed(f"The signing key in {path} cannot be read ({type(error).__name__}).") from None


@lru_cache(maxsize=1)
def _make_seed() -> str:
    logger().warning("no signing key is configured: this process signs with a temporary key of its own")
    return secrets.token_hex(32)
