"""API keys: their form, and the items of the state table that hold them. Of a key only its digest is stored.

Two items belong together: `key#DIGEST` says whose key it is, `keyname#NAME` says which digest to delete when the key of
that name is revoked.
"""

from __future__ import annotations

import hashlib
import re

PREFIX = "ck_"  # tells scanners for leaked secrets, and people, what they are looking at
KEY_BYTES = 32  # of randomness; 43 characters in url-safe base64
KEY_PATTERN = re.compile(PREFIX + "[A-Za-z0-9_-]{43}")
NAME_PATTERN = re.compile("[A-Za-z0-9._-]{1,64}")

DIGESTS = "key#"
NAMES = "keyname#"


def digest(key: str) -> str:
    """SHA-256 in hex. A key is 256 random bits, which nobody can guess, so it needs no slow hash and no salt."""
    return hashlib.sha256(key.encode()).hexdigest()


def key_id(key_digest: str) -> str:
    """The id of the item that says whose key this is."""
    return DIGESTS + key_digest


def name_id(name: str) -> str:
    """The id of the item that says which key a name has."""
    return NAMES + name
