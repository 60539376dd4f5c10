"""`make key`: API keys of a deployed stack whose AuthMode is key.

`python -m tools.api_keys --make NAME|--revoke NAME|--list`. A key is shown once, when it is created: the stack
stores its digest. A name has one key at a time, and whoever holds it acts as that name: terms, budget, results and
tasks belong to the name, and stay when its key is revoked and a new one is created.
"""

from __future__ import annotations

import argparse
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from layers.core.api_keys import KEY_BYTES, NAME_PATTERN, NAMES, PREFIX, digest, key_id, name_id
from layers.core.errors import ColdswapError, InvalidRequest
from tools.stack import find_state_table, read_deployed_parameters, read_outputs, read_stack_name


@dataclass(frozen=True)
class ApiKeySummary:
    """The public facts about a key."""

    name: str
    created: str  # RFC 3339


class ApiKeyStore:
    """The keys in a stack's state table; the two items of each are written and removed in one transaction."""

    def __init__(self, dynamodb: Any, table: str) -> None:
        """`dynamodb`: boto3's client."""
        self._dynamodb = dynamodb
        self._table = table

    def make(self, name: str, now: datetime) -> str:
        """Create a key for a name that has none. Raises InvalidRequest if it has one, and botocore's errors."""
        if not NAME_PATTERN.fullmatch(name):
            raise InvalidRequest("A name must have 1 to 64 of the characters A-Z a-z 0-9 . _ -")
        key = PREFIX + secrets.token_urlsafe(KEY_BYTES)
        created = {"S": now.isoformat(timespec="seconds")}
        items = (
            {"id": {"S": name_id(name)}, "digest": {"S": digest(key)}, "created": created},
            {"id": {"S": key_id(digest(key))}, "name": {"S": name}, "created": created},
        )
        try:
            self._dynamodb.transact_write_items(
                TransactItems=[
                    {"Put": {"TableName": self._table, "Item": item, "ConditionExpression": "attribute_not_exists(id)"}}
                    for item in items
                ]
            )
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            if not _refused_by_condition(error):
                raise
            raise InvalidRequest(f"{name} already has a key. Revoke it first (make key REVOKE={name}).") from None
        return key

    def revoke(self, name: str) -> None:
        """Revoke the name's key: the next request with it is refused.

        Raises InvalidRequest if there is none, and botocore's errors.
        """
        answer = self._dynamodb.get_item(TableName=self._table, Key={"id": {"S": name_id(name)}}, ConsistentRead=True)
        if "Item" not in answer:
            raise InvalidRequest(f"{name} has no key. make key LIST=1 shows who has one.")
        ended = answer["Item"]["digest"]
        try:
            self._dynamodb.transact_write_items(
                TransactItems=[
                    {"Delete": {"TableName": self._table, "Key": {"id": {"S": key_id(ended["S"])}}}},
                    {
                        "Delete": {
                            "TableName": self._table,
                            "Key": {"id": {"S": name_id(name)}},
                            "ConditionExpression": "digest = :digest",
                            "ExpressionAttributeValues": {":digest": ended},
                        }
                    },
                ]
            )
        except self._dynamodb.exceptions.TransactionCanceledException as error:
            if not _refused_by_condition(error):
                raise
            raise InvalidRequest(
                f"Somebody else changed the key of {name} at the same time. Check (make key LIST=1), then try again."
            ) from None

    def list(self) -> list[ApiKeySummary]:
        """Who has a key, sorted by name. Raises botocore's errors."""
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._table,
            FilterExpression="begins_with(id, :names)",
            ExpressionAttributeValues={":names": {"S": NAMES}},
            ConsistentRead=True,
        )
        keys = [
            ApiKeySummary(item["id"]["S"].removeprefix(NAMES), item["created"]["S"])
            for page in pages
            for item in page["Items"]
        ]
        return sorted(keys, key=lambda each: each.name)


def _refused_by_condition(error: Any) -> bool:
    """Whether a transaction was cancelled by a condition of ours, and not for a conflict or for want of capacity."""
    return any(reason.get("Code") == "ConditionalCheckFailed" for reason in error.response["CancellationReasons"])


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status. Only a new key goes to stdout, everything else to stderr."""
    options = _parser().parse_args(arguments)
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    session, stack = boto3.session.Session(), read_stack_name(options.env)
    try:
        formation = session.client("cloudformation")
        keys = ApiKeyStore(session.client("dynamodb"), find_state_table(formation, stack))
        if options.list:
            for each in keys.list():
                print(f"{each.created}  {each.name}")
        elif options.revoke is not None:
            keys.revoke(options.revoke)
            print(f"The key of {options.revoke} is revoked: requests with it are refused from now on.", file=sys.stderr)
        else:
            key = keys.make(options.make, datetime.now(UTC))
            print(key)
            print(
                f"This is the key of {options.make}. It will not be shown again: the stack stores only its digest. "
                "Send it as the header x-api-key, or as a Bearer token.",
                file=sys.stderr,
            )
            if (mode := read_deployed_parameters(formation, stack).get("AuthMode")) != "key":
                print(f"Keys are not in use yet: the AuthMode of {stack} is {mode}.", file=sys.stderr)
            elif page := read_outputs(formation, stack).get("PageUrl"):
                print(
                    f"In a browser, this link signs in, so it is as secret as the key: {page}#key={key}",
                    file=sys.stderr,
                )
    except ColdswapError as error:
        print(error.detail, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make key", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--make", metavar="NAME", help="create a key for a name that has none")
    what.add_argument("--revoke", metavar="NAME", help="revoke the key of a name")
    what.add_argument("--list", action="store_true", help="list who has a key, and since when")
    return parser


if __name__ == "__main__":
    sys.exit(main())
