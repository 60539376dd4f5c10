"""Signed messages as Standard Webhooks 1.0 has them (github.com/standard-webhooks/standard-webhooks, spec)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from layers.core.errors import KeysMissing

PREFIX = "whsec_"


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; its id stays the same over retries, `timestamp` is of the attempt (epoch, s).

    Raises KeysMissing for a secret that is not `whsec_` and base64.
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(decode_secret(secret), signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def derive_secret(secret: str, caller: str) -> str:
    """The secret that one caller's messages are signed with, made of the operator's.

    Who verifies messages can also forge them, so nobody knows another's. Raises KeysMissing like `headers`.
    """
    digest = hmac.new(decode_secret(secret), f"callback:{caller}".encode(), hashlib.sha256).digest()
    return PREFIX + base64.b64encode(digest).decode()


def decode_secret(secret: str) -> bytes:
    """The bytes of a secret, without a word of it in any error."""
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not secret.startswith(PREFIX) or not found:
        raise KeysMissing("CALLBACK_SECRET must be whsec_ and then base64 (Standard Webhooks).")
    return found
