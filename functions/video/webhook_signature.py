"""Signatures of messages by Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks, spec)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from layers.core.errors import KeysMissing

PREFIX = "whsec_"


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message. Its id is the same for every attempt; `timestamp` is the attempt's (epoch, s).

    Raises KeysMissing for a secret that is not `whsec_` and base64.
    """
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(decode_secret(secret), content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def derive_secret(secret: str, caller: str) -> str:
    """The secret that signs one caller's messages, derived from the operator's.

    Whoever can verify messages can also forge them, so no caller knows another's. Raises KeysMissing like `sign`.
    """
    digest = hmac.new(decode_secret(secret), f"callback:{caller}".encode(), hashlib.sha256).digest()
    return PREFIX + base64.b64encode(digest).decode()


def decode_secret(secret: str) -> bytes:
    """The bytes of a secret. Raises KeysMissing, without quoting the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not key:
        raise KeysMissing("CALLBACK_SECRET must be whsec_ followed by base64 (Standard Webhooks).")
    return key
