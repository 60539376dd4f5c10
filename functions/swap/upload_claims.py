"""Who is at work on an upload, and what the last work on it was: one item of the state table for each key.

S3 tells of an upload at least once, in any order, and Lambda runs several such events side by side. So each key is
worked on by one invocation at a time, which looks at the object that lies there by then, whatever its event said. What
it did is remembered beside the claim, so that a late or repeated event changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import StillRunning

TRY_SECONDS = 2 * 3600  # how long tries are counted; Lambda gives an event up after an hour (template.yaml)


@dataclass(frozen=True)
class UploadEvent:
    """That an object was created, as S3 tells it."""

    bucket: str
    key: str
    sequencer: str = ""  # hexadecimal; orders the events of one key
    etag: str = ""
    version: str = ""  # "" where the bucket has no versions

    @property
    def id(self) -> str:
        """A digest that tells it from every other event."""
        return _digest(self.bucket, self.key, self.sequencer, self.etag, self.version)


@dataclass(frozen=True)
class UploadClaim:
    """The right to work on one key, and what the last work on it was ("" where there was none)."""

    id: str
    holder: str
    sequencer: str = ""  # of the latest event that was worked on
    state: str = ""  # of the object that was worked on
    outcome: str = ""  # key of its result or problem
    follows_kill: bool = False  # whether the holder before was killed

    def covers(self, event: UploadEvent) -> bool:
        """Whether the last work came after this event, and so saw its object or a later one."""
        return bool(event.sequencer and self.sequencer) and not is_later(event.sequencer, self.sequencer)


def is_later(sequencer: str, other: str) -> bool:
    """Whether an event of a key happened after another.

    Sequencers differ in length; the shorter one is padded with zeros on the right (Amazon S3's user guide, "Event
    message structure").
    """
    length = max(len(sequencer), len(other))
    return sequencer.upper().ljust(length, "0") > other.upper().ljust(length, "0")


class UploadClaims:
    """Items `upload#DIGEST` and `tries#DIGEST`. Every method raises StorageFailed if the table does not respond.

    Without a table everybody gets every claim, and nothing is remembered.
    """

    def __init__(
        self, table: str, client: Callable[[], Any], retention_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        """`client` returns the DynamoDB client when first needed; `retention_seconds`: how long work is remembered."""
        self._table = table
        self._client = client
        self._retention_seconds = retention_seconds
        self._now = now

    def take(self, event: UploadEvent, seconds: float) -> UploadClaim:
        """Claim the key for that many seconds, after which this invocation has ended for certain.

        Raises StillRunning while another invocation has it.
        """
        now, holder = self._now(), str(uuid.uuid4())
        claim_id = f"upload#{_digest(event.bucket, event.key)}"
        sets = {"holder": holder, "held_until": now + seconds, "expiration": int(now) + self._retention_seconds}
        previous = self._update(
            claim_id, sets, (), "attribute_not_exists(#holder) OR #held_until < :now", {":now": now}
        )
        if previous is None:
            raise StillRunning("Another event of this upload is being worked on.")
        remembered = {name: previous[name]["S"] for name in ("sequencer", "state", "outcome") if name in previous}
        return UploadClaim(claim_id, holder, **remembered, follows_kill="holder" in previous)

    def settle(self, claim: UploadClaim, event: UploadEvent, state: str, outcome: str) -> None:
        """Remember what was done, and give the claim back. Raises StillRunning if it had lapsed."""
        sequencer = event.sequencer if is_later(event.sequencer, claim.sequencer) else claim.sequencer
        sets = {"sequencer": sequencer, "state": state, "outcome": outcome}
        if self._give_back(claim, sets, ()) is None:
            raise StillRunning("The work on this upload took longer than its claim.")

    def release(self, claim: UploadClaim) -> None:
        """Give the claim back after work that failed; the next event starts anew."""
        self._give_back(claim, {}, ("state",))

    def count_try(self, event: UploadEvent) -> int:
        """Count a try of the event that failed; how many have."""
        if not self._table:
            return 1
        with translate_errors():
            response = self._client().update_item(
                TableName=self._table,
                Key={"id": {"S": f"tries#{event.id}"}},
                UpdateExpression="ADD #tries :one SET #expiration = :expiration",
                ExpressionAttributeNames={"#tries": "tries", "#expiration": "expiration"},
                ExpressionAttributeValues={
                    ":one": {"N": "1"},
                    ":expiration": {"N": str(int(self._now()) + TRY_SECONDS)},
                },
                ReturnValues="UPDATED_NEW",
            )
        return int(response["Attributes"]["tries"]["N"])

    def forget_tries(self, event: UploadEvent) -> None:
        """Start counting anew: the event may be sent again by hand."""
        if self._table:
            with translate_errors():
                self._client().delete_item(TableName=self._table, Key={"id": {"S": f"tries#{event.id}"}})

    def _give_back(
        self, claim: UploadClaim, sets: Mapping[str, Any], removes: tuple[str, ...]
    ) -> Mapping[str, Any] | None:
        removes = ("holder", "held_until", *removes)
        return self._update(claim.id, sets, removes, "#holder = :own", {":own": claim.holder})

    def _update(
        self,
        claim_id: str,
        sets: Mapping[str, Any],
        removes: tuple[str, ...],
        condition: str,
        values: Mapping[str, Any],
    ) -> Mapping[str, Any] | None:
        """Update a claim; its attributes as they were before. None if the condition does not hold."""
        if not self._table:
            return {}
        change = "SET " + ", ".join(f"#{name} = :{name}" for name in sets) if sets else ""
        change += " REMOVE " + ", ".join(f"#{name}" for name in removes) if removes else ""
        names = {*sets, *removes, *(name for name in ("holder", "held_until") if f"#{name}" in condition)}
        bound = {**{f":{name}": value for name, value in sets.items()}, **values}
        with translate_errors():
            client = self._client()
            try:
                response = client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": claim_id}},
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{name}": name for name in names},
                    ExpressionAttributeValues={name: _attribute(value) for name, value in bound.items()},
                    ReturnValues="ALL_OLD",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        attributes: Mapping[str, Any] = response.get("Attributes", {})
        return attributes


def _attribute(value: Any) -> dict[str, str]:
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
