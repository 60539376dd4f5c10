"""A local cloud that a phone can reach: only the key and what the stack has signed get through, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from layers.media.xmp_label import SOURCE_TYPE, read_label
from local.cloud import CREDENTIALS, LOOPBACK, Cloud, free_port
from local.public_access import PublicAccess, PublicAddressFailed, new_secret, publish
from local.publish_demo_pack import publish_demo_pack

HOST = "127.0.0.2"  # the emulator listens on 127.0.0.1 alone


@dataclass(frozen=True)
class Phone:
    """Somebody on another machine."""

    access: PublicAccess

    def ask(self, method: str, path: str, key: str | None = None, **options: Any) -> requests.Response:
        """Send a request to the public address, or to a whole URL."""
        url = path if path.startswith("http") else self.access.url + path
        headers = {"x-api-key": key} if key else {}
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, url, timeout=60, allow_redirects=False, headers=headers, **options)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A cloud whose API requires a key."""
    with Cloud(secret=new_secret()) as cloud:
        cloud.deploy({"AuthMode": "key"})
        publish_demo_pack(cloud)
        yield cloud


@pytest.fixture(scope="module")
def phone(cloud: Cloud) -> Iterator[Phone]:
    """A phone that knows the public address."""
    port = free_port()
    with publish(cloud, HOST, port, f"http://{HOST}:{port}/") as access:
        yield Phone(access)


def test_a_phone_uploads_swaps_and_fetches_by_links_of_the_public_address(
    phone: Phone, pictures: dict[str, Path]
) -> None:
    key = phone.access.key
    uris = []
    for name in ("ruby", "works-on-my-machine"):
        form = phone.ask("POST", "/uploads", key).json()
        assert form["url"].startswith(phone.access.url)
        files = {"file": pictures[name].read_bytes()}
        assert phone.ask("POST", form["url"], data=form["fields"], files=files).ok
        uris.append(form["uri"])

    answer = phone.ask("POST", "/swap", key, json={"face": uris[0], "meme": uris[1]})
    link = answer.json()["url"]

    assert answer.status_code == 200, answer.text
    assert link.startswith(f"{phone.access.url}/")
    assert LOOPBACK not in answer.text
    assert read_label(phone.ask("GET", link).content) == SOURCE_TYPE
    assert phone.ask("GET", link[:-1] + ("0" if link[-1] != "0" else "1")).status_code == 403


def test_without_the_key_or_a_signature_nothing_is_reached(phone: Phone, cloud: Cloud) -> None:
    form = phone.ask("POST", "/uploads", phone.access.key).json()
    forged = {**form["fields"], "x-amz-signature": "0" * 64}
    reached = [
        phone.ask("GET", "/openapi.json"),
        phone.ask("GET", "/openapi.json", "ck_" + "n" * 43),
        phone.ask("POST", form["url"], data=forged, files={"file": b"1"}),
        phone.ask("GET", f"/{cloud.bucket('models')}/packs/current.json"),
        phone.ask("PUT", f"/{cloud.bucket('models')}/packs/current.json", data=b"{}"),
        phone.ask("POST", "/2015-03-31/functions", json={"FunctionName": "f"}),
        phone.ask("POST", "/?Action=ListUsers"),
        phone.ask("GET", "/_ministack/health"),
    ]

    assert [each.status_code for each in reached] == [403] * len(reached)
    # The page is open, so this is the stack's own answer, and none of the emulated AWS.
    assert phone.ask("GET", "/?Action=ListUsers").json()["name"] == "Coldswap"


def test_each_start_makes_a_key_of_its_own_and_ends_the_one_before(phone: Phone, cloud: Cloud) -> None:
    port = free_port()
    with publish(cloud, HOST, port, public_url=None) as access:
        assert access.url == f"http://{HOST}:{port}"
        assert Phone(access).ask("GET", "/openapi.json", access.key).status_code == 200
        assert Phone(access).ask("GET", "/openapi.json", phone.access.key).status_code == 403
        with pytest.raises(PublicAddressFailed, match="port"), publish(cloud, HOST, port, None):
            pytest.fail("two gateways listen on one port")


def test_links_cannot_be_signed_with_the_emulator_s_well_known_secret(cloud: Cloud) -> None:
    assert cloud.credentials["AWS_SECRET_ACCESS_KEY"] != CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
