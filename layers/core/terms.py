"""The terms of use, and which callers have accepted them. The stack's operator accepts them by deploying it
(template.yaml, AcceptTerms)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import InvalidRequest, TermsNotAccepted

VERSION = "2026-11-23"
"""A new version asks everybody to accept again."""

TEXT = (
    "I use a person's face or name only with that person's consent, or on another ground in law that I can show.",
    "I make nothing sexual of anybody, nothing that harasses or deceives, and nothing with the face of a child that "
    "the child's guardians have not agreed to.",
    "I leave the labels on what is made here, and say that a model made it wherever I publish it.",
    "I delete what a person who is shown asks me to delete.",
)

MAX_REMEMBERED = 10_000  # callers whose acceptance one sandbox remembers


class Terms:
    """Items `terms#CALLER` of a DynamoDB table, one per caller; a caller is a pseudonym.

    The stack's own principals (uploads, workflows) have no caller: its operator has accepted for them.
    """

    def __init__(self, table: str, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` returns the DynamoDB client when first needed; without a table nobody has to accept."""
        self._table = table
        self._client = client
        self._now = now
        self._accepted: set[str] = set()

    def require(self, caller: str | None) -> None:
        """Raise TermsNotAccepted, which says what to do, unless the caller has accepted; or StorageFailed."""
        if not self.has_accepted(caller):
            raise TermsNotAccepted(
                "Read the terms of use (GET /terms) and accept them once: POST /terms with "
                f'{{"version": "{VERSION}"}}.',
                version=VERSION,
            )

    def has_accepted(self, caller: str | None) -> bool:
        """Whether this caller has accepted the current version, or need not. Raises StorageFailed."""
        if caller is None or not self._table:
            return True
        if caller not in self._accepted:
            with translate_errors():
                response = self._client().get_item(TableName=self._table, Key={"id": {"S": f"terms#{caller}"}})
            if response.get("Item", {}).get("version", {}).get("S") != VERSION:
                return False
            self._remember(caller)
        return True

    def accept(self, caller: str | None, version: str) -> None:
        """Record who accepted which version and when. Raises InvalidRequest for another version; or StorageFailed."""
        if version != VERSION:
            raise InvalidRequest(
                f"The current version of the terms is {VERSION}. Read them (GET /terms), then accept that version."
            )
        if caller is None or not self._table:
            return
        item = {
            "id": {"S": f"terms#{caller}"},
            "version": {"S": version},
            "accepted": {"N": str(int(self._now()))},
        }
        with translate_errors():
            self._client().put_item(TableName=self._table, Item=item)
        self._remember(caller)

    def _remember(self, caller: str) -> None:
        if len(self._accepted) < MAX_REMEMBERED:
            self._accepted.add(caller)
