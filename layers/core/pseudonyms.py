"""Pseudonyms and ids that are always the same for the same input, and that nobody outside the stack can compute.

They are derived from a secret of the stack's own, which the first function that needs it puts into the state table. It
costs nothing there, and rotating other keys does not change it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import uuid
from collections.abc import Callable
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.identity import ANONYMOUS

ITEM = "secret#pseudonyms"
_SECRET_BYTES = 32
_DIGITS = 32  # hexadecimal, of a caller's pseudonym: 128 bits


class Pseudonyms:
    """Derives names by HMAC-SHA256 (RFC 2104). Every method raises StorageFailed if the table does not respond."""

    def __init__(self, table: str, client: Callable[[], Any]) -> None:
        """`client` returns the DynamoDB client when first needed; without a table names live as long as the process."""
        self._table = table
        self._client = client
        self._secret = b""
        self._lock = threading.Lock()

    def caller(self, identity: str) -> str:
        """The pseudonym of a caller, as tables, keys and logs have it."""
        if identity == ANONYMOUS:
            return ANONYMOUS  # nobody's identity
        return self._digest("caller", identity).hex()[:_DIGITS]

    def id(self, *parts: str) -> str:
        """A version 8 UUID (RFC 9562) derived from these parts in this order."""
        value = int.from_bytes(self._digest("id", *parts)[:16], "big")
        value = value & ~(0xF << 76) | 0x8 << 76
        return str(uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62))

    def _digest(self, *parts: str) -> bytes:
        return hmac.digest(self._key(), json.dumps(parts).encode(), hashlib.sha256)

    def _key(self) -> bytes:
        with self._lock:
            if not self._secret:
                self._secret = self._read_or_create_secret() if self._table else secrets.token_bytes(_SECRET_BYTES)
            return self._secret

    def _read_or_create_secret(self) -> bytes:
        """The table's secret, created by whoever comes first."""
        key = {"id": {"S": ITEM}}
        with translate_errors():
            client = self._client()
            item = client.get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
            if item is None:
                fresh = {**key, "secret": {"B": secrets.token_bytes(_SECRET_BYTES)}}
                try:
                    client.put_item(TableName=self._table, Item=fresh, ConditionExpression="attribute_not_exists(id)")
                    item = fresh
                except client.exceptions.ConditionalCheckFailedException:
                    item = client.get_item(TableName=self._table, Key=key, ConsistentRead=True)["Item"]
        return bytes(item["secret"]["B"])
