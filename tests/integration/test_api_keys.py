"""With AuthMode=key the local cloud requires a key as API Gateway does; what a key makes belongs to its name alone."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest

from layers.core.api_keys import digest
from layers.core.ids import new_id
from layers.core.terms import VERSION
from local.cloud import REGION, STACK, Cloud
from local.publish_demo_pack import publish_demo_pack
from local.standins.servers import StandIns
from local.swap_clients import data_uri
from tests.support import log_leaks
from tools.account import Account
from tools.api_keys import ApiKeyStore
from tools.check_account import run_checks
from tools.settings import SettingsDocument

NOW = datetime(2026, 11, 28, tzinfo=UTC)
UNKNOWN_KEY = "ck_" + "n" * 43
BUDGET = 2  # megapixels, and seconds of video


class KeyedCloud:
    """A local cloud whose API requires a key. Every test makes keys of its own."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.keys = ApiKeyStore(cloud.client("dynamodb"), cloud.state_table)
        self.issued: list[str] = []
        self._numbers = itertools.count()

    def name(self) -> str:
        """A name that has no key yet."""
        return f"caller-{next(self._numbers)}"

    def key(self, name: str) -> str:
        """A new key for the name, which accepts the terms."""
        key = self.keys.make(name, NOW)
        self.issued.append(key)
        assert self.cloud.request("POST", "/terms", {"version": VERSION}, key=key).status_code == 200
        return key

    def status(self, method: str, path: str, key: str) -> int:
        """Status of the response to a request with that key."""
        return self.cloud.request(method, path, key=key).status_code


@pytest.fixture(scope="module")
def keyed() -> Iterator[KeyedCloud]:
    """The template deployed with AuthMode=key; neither it nor a function may log a key."""
    with StandIns() as standins, Cloud() as cloud:
        standins.fault("elevenlabs.key", times=None)  # videos are requested, and not made
        cloud.deploy({"AuthMode": "key"}, standins.environment)
        SettingsDocument(cloud.client("ssm"), STACK).change(lambda before: replace(before, daily_budget=BUDGET))
        keyed = KeyedCloud(cloud)
        yield keyed
        logs = cloud.log.read_text(errors="replace") + log_leaks.read_logs(cloud)
        assert "an unknown key" in logs, "the authoriser's log was not found"
        for key in (*keyed.issued, UNKNOWN_KEY):
            assert key not in logs
            assert digest(key) not in logs


class CloudSession:
    """boto3's Session for the local cloud."""

    region_name = REGION

    def __init__(self, cloud: Cloud) -> None:
        self.client = cloud.client


def test_the_account_s_checks_say_the_same(keyed: KeyedCloud) -> None:
    """As far as the emulator goes: no time to live, no log groups of ours, no conditions in its simulator of IAM."""
    key = keyed.key(keyed.name())
    account = Account(
        STACK, CloudSession(keyed.cloud), keyed.cloud.api_url, {"x-api-key": key}, pause=lambda seconds: None
    )

    table = {row.number: row for row in run_checks(account)}

    assert {number for number, row in table.items() if row.verdict == "ok"} >= {3, 8, 10}
    assert {number for number, row in table.items() if row.verdict == "deviates"} <= {2, 4, 5, 6, 11}
    assert not [row for row in table.values() if "could not be looked at" in row.detail]


@pytest.mark.parametrize("path", ["/terms", "/task/none", "/openapi.json", "/video/openapi.json"])
def test_without_a_key_that_is_known_nobody_enters(keyed: KeyedCloud, path: str) -> None:
    bare = keyed.cloud.request("GET", path, key="")
    signed = keyed.cloud.request("GET", path)
    wrong = keyed.cloud.request("GET", path, key=UNKNOWN_KEY)

    assert [each.status_code for each in (bare, signed, wrong)] == [403, 403, 403]
    assert bare.json() == signed.json() == wrong.json() == {"message": "Forbidden"}


def test_a_key_enters_by_either_header(keyed: KeyedCloud) -> None:
    key = keyed.key(keyed.name())

    for headers in ({"X-Api-Key": key}, {"Authorization": f"Bearer {key}"}):
        response = keyed.cloud.request("GET", "/terms", headers=headers, key="")
        assert (response.status_code, response.json()["accepted"]) == (200, True)


def test_the_page_alone_needs_no_key(keyed: KeyedCloud) -> None:
    page = keyed.cloud.request("GET", "/", headers={"Accept": "text/html"}, key="")
    (script,) = re.findall(r'src="(page/\w+/main\.js)"', page.text)

    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert keyed.cloud.bucket("uploads") not in page.text
    assert [keyed.status("GET", f"/{path}", "") for path in (script, "page/config")] == [200, 200]
    assert [keyed.status("GET", path, "") for path in ("/pack", "/terms", "/openapi.json")] == [403, 403, 403]


def test_a_revoked_key_ends_at_once_and_what_its_name_has_stays(keyed: KeyedCloud) -> None:
    name = keyed.name()
    key = keyed.key(name)
    assert keyed.status("GET", "/terms", key) == 200

    keyed.keys.revoke(name)
    assert keyed.status("GET", "/terms", key) == 403

    new_key = keyed.keys.make(name, NOW)
    keyed.issued.append(new_key)
    response = keyed.cloud.request("GET", "/terms", key=new_key)
    assert (response.status_code, response.json()["accepted"]) == (200, True), "the name has accepted the terms already"
    assert keyed.status("GET", "/terms", key) == 403


def test_everyone_accepts_the_terms_for_oneself(keyed: KeyedCloud) -> None:
    keyed.key(keyed.name())
    other = keyed.keys.make(keyed.name(), NOW)
    keyed.issued.append(other)

    assert keyed.cloud.request("GET", "/terms", key=other).json()["accepted"] is False
    assert keyed.cloud.request("POST", "/uploads", key=other).json()["code"] == "terms_not_accepted"


def test_everyone_spends_one_s_own_budget(keyed: KeyedCloud) -> None:
    alice, bob = keyed.key(keyed.name()), keyed.key(keyed.name())
    nowhere = {"uri": f"s3://{keyed.cloud.bucket('outputs')}/swaps/{new_id()}.png"}

    def verify(key: str) -> int:
        return keyed.cloud.request("POST", "/verify", nowhere, key=key).status_code

    assert [verify(alice) for _ in range(BUDGET + 1)] == [404] * BUDGET + [429]
    assert verify(bob) == 404


def test_a_task_is_its_key_s_alone(keyed: KeyedCloud) -> None:
    alice, bob = keyed.key(keyed.name()), keyed.key(keyed.name())
    body = {"script_text": "Hello.", "search_query": "sea"}

    response = keyed.cloud.request("POST", "/generate-video", body, key=alice)

    assert response.status_code == 202
    task = f"/task/{response.json()['task_id']}"
    assert [keyed.status(method, task, bob) for method in ("GET", "DELETE")] == [404, 404]
    assert [keyed.status(method, task, alice) for method in ("GET", "DELETE")] == [200, 200]


def test_a_result_is_its_key_s_alone(keyed: KeyedCloud, pictures: dict[str, Path]) -> None:
    publish_demo_pack(keyed.cloud)
    alice, bob = keyed.key(keyed.name()), keyed.key(keyed.name())
    body = {"face": data_uri(pictures["ruby"]), "meme": data_uri(pictures["works-on-my-machine"])}

    response = keyed.cloud.request("POST", "/swap", body, key=alice)

    assert response.status_code == 200
    result = f"/results/{PurePosixPath(response.json()['key']).stem}"
    assert [keyed.status("DELETE", result, key) for key in (bob, alice, alice)] == [404, 200, 410]
