"""Making, ending and listing API keys, on a real table of the local cloud."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest

from layers.core.api_keys import digest
from layers.core.errors import InvalidRequest
from tools import api_keys as keys
from tools.api_keys import ApiKeyStore, ApiKeySummary

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 11, 28, 9, 30, 15, 5, tzinfo=UTC)
CREATED = "2026-11-28T09:30:15+00:00"


def stored(dynamodb: Any, table: str) -> dict[str, dict[str, Any]]:
    """The table's items by id."""
    return {item["id"]["S"]: item for item in dynamodb.scan(TableName=table)["Items"]}


def test_the_table_has_a_key_s_digest_and_not_the_key(dynamodb: Any, table: str) -> None:
    key = ApiKeyStore(dynamodb, table).make("alice", NOW)

    items = stored(dynamodb, table)
    assert items == {
        f"key#{digest(key)}": {"id": {"S": f"key#{digest(key)}"}, "name": {"S": "alice"}, "created": {"S": CREATED}},
        "keyname#alice": {"id": {"S": "keyname#alice"}, "digest": {"S": digest(key)}, "created": {"S": CREATED}},
    }
    assert key not in str(items)


def test_a_name_has_one_key_until_it_is_revoked(dynamodb: Any, table: str) -> None:
    api_keys = ApiKeyStore(dynamodb, table)
    api_keys.make("alice", NOW)
    before = stored(dynamodb, table)

    with pytest.raises(InvalidRequest, match="make key REVOKE=alice"):
        api_keys.make("alice", NOW)
    assert stored(dynamodb, table) == before

    api_keys.revoke("alice")
    assert stored(dynamodb, table) == {}
    api_keys.make("alice", NOW)


def test_a_name_that_has_no_key_cannot_be_revoked(dynamodb: Any, table: str) -> None:
    api_keys = ApiKeyStore(dynamodb, table)
    api_keys.make("alice", NOW)

    with pytest.raises(InvalidRequest, match="bob has no key"):
        api_keys.revoke("bob")
    assert api_keys.list() == [ApiKeySummary("alice", CREATED)]


def test_a_key_made_anew_while_its_former_one_is_being_revoked_stays_revocable(dynamodb: Any, table: str) -> None:
    api_keys = ApiKeyStore(dynamodb, table)
    api_keys.make("alice", NOW)

    class Interrupted:
        """Somebody else rotates the key between the reading and the writing."""

        exceptions = dynamodb.exceptions

        def get_item(self, **request: Any) -> Any:
            answer = dynamodb.get_item(**request)
            api_keys.revoke("alice")
            api_keys.make("alice", NOW)
            return answer

        def transact_write_items(self, **request: Any) -> Any:
            return dynamodb.transact_write_items(**request)

    with pytest.raises(InvalidRequest, match="try again"):
        ApiKeyStore(Interrupted(), table).revoke("alice")

    api_keys.revoke("alice")
    assert stored(dynamodb, table) == {}


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "älice", "a/b", "alice\n", "key#x"])
def test_a_name_is_short_and_plain(dynamodb: Any, table: str, name: str) -> None:
    with pytest.raises(InvalidRequest, match="1 to 64"):
        ApiKeyStore(dynamodb, table).make(name, NOW)
    assert stored(dynamodb, table) == {}


def test_names_are_listed_with_their_dates_and_nothing_of_their_keys(dynamodb: Any, table: str) -> None:
    api_keys = ApiKeyStore(dynamodb, table)
    new_keys = [api_keys.make(name, NOW) for name in ("bob", "alice.smith-2_x", "Z" * 64)]
    dynamodb.put_item(TableName=table, Item={"id": {"S": "terms#alice"}})

    listed = api_keys.list()

    assert listed == [ApiKeySummary(name, CREATED) for name in ("Z" * 64, "alice.smith-2_x", "bob")]
    assert not any(key in str(listed) or digest(key) in str(listed) for key in new_keys)


class Formation:
    """Of CloudFormation, what is asked; the stack's AuthMode is `auth_mode`."""

    def __init__(self, table: str, auth_mode: str) -> None:
        self._table = table
        self._auth_mode = auth_mode

    def describe_stack_resource(self, **request: str) -> dict[str, Any]:
        assert request == {"StackName": "coldswap-staging", "LogicalResourceId": "StateTable"}
        return {"StackResourceDetail": {"PhysicalResourceId": self._table}}

    def describe_stacks(self, **request: str) -> dict[str, Any]:
        assert request == {"StackName": "coldswap-staging"}
        outputs = [{"OutputKey": "PageUrl", "OutputValue": "https://api.example/"}]
        parameters = [{"ParameterKey": "AuthMode", "ParameterValue": self._auth_mode}]
        return {"Stacks": [{"Parameters": parameters, "Outputs": outputs}]}


@pytest.fixture
def auth_mode() -> str:
    """Of the stack that the command line speaks of."""
    return "key"


@pytest.fixture
def command_line(dynamodb: Any, table: str, auth_mode: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`python -m tools.api_keys` for the stack of staging."""

    class Session:
        def client(self, service: str) -> Any:
            return {"dynamodb": dynamodb, "cloudformation": Formation(table, auth_mode)}[service]

    monkeypatch.setattr(boto3.session, "Session", Session)
    return lambda *arguments: keys.main(["--env", "staging", *arguments])


def test_a_key_is_shown_once_and_alone_on_stdout(command_line: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line("--make", "alice") == 0

    shown = capsys.readouterr()
    (key,) = shown.out.splitlines()
    assert key.startswith("ck_")
    assert "not be shown again" in shown.err
    assert "Keys are not in use yet" not in shown.err
    (link,) = [line for line in shown.err.splitlines() if key in line]
    assert link.endswith(f" https://api.example/#key={key}")  # behind the #, which no server is told

    assert command_line("--list") == 0
    listed = capsys.readouterr()
    assert listed.out.endswith("  alice\n")
    assert key not in listed.out + listed.err


def test_the_command_line_revokes_and_says_what_cannot_be_done(
    command_line: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line("--make=-x") == 0
    assert command_line("--make=-x") == 1
    assert "Revoke it first" in capsys.readouterr().err

    assert command_line("--revoke=-x") == 0
    assert command_line("--revoke=-x") == 1
    assert "-x has no key" in capsys.readouterr().err


@pytest.mark.parametrize("auth_mode", ["iam"])
def test_it_says_where_the_stack_does_not_ask_for_keys(command_line: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line("--make", "alice") == 0

    shown = capsys.readouterr().err
    assert "the AuthMode of coldswap-staging is iam" in shown
    assert "api.example" not in shown


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        (["NAME=alice"], "--env default --make='alice'"),
        (["REVOKE=alice", "ENV=staging"], "--env staging --revoke='alice'"),
        (["LIST=1"], "--env default --list"),
    ],
)
def test_make_key_passes_on_what_it_is_given(variables: list[str], options: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/ready", "key", *variables],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"-m tools.api_keys {options}\n" in done.stdout
