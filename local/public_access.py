"""Opens a deployed local cloud to a phone or a remote machine: an address, a key that is made anew, and the gateway."""

from __future__ import annotations

import contextlib
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from layers.core.errors import InvalidRequest
from local.cloud import Cloud
from local.gateway import Gateway
from tools.api_keys import ApiKeyStore

KEY_NAME = "make-up"
EVERY_ADDRESS = ("0.0.0.0", "::")


class PublicAddressFailed(Exception):
    """The cloud cannot be reached in this way; the message says why, and what to do."""


@dataclass(frozen=True)
class PublicAccess:
    """How others reach the cloud. `url` has no slash at its end."""

    url: str
    key: str
    host: str
    port: int


def new_secret() -> str:
    """A secret access key for one run, so that nobody else can sign links."""
    return secrets.token_urlsafe(30)


@contextmanager
def publish(cloud: Cloud, host: str, port: int, public_url: str | None) -> Iterator[PublicAccess]:
    """Let others reach the cloud, deployed with AuthMode=key, for the block. Raises PublicAddressFailed."""
    url = check_url(public_url) if public_url else _own_url(host, port)
    try:
        gateway = Gateway(cloud, host, port, url)
    except OSError as error:
        raise PublicAddressFailed(f"Nothing can listen on {host}, port {port}: {error.strerror}.") from None
    with gateway:
        yield PublicAccess(url, _make_key(cloud), host, port)


def check_url(url: str) -> str:
    """The URL without a slash at its end. Raises PublicAddressFailed unless it is a scheme, a host and maybe a port."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/") or parts.query:
        raise PublicAddressFailed(
            f"PUBLIC_URL must be like https://name.example or http://192.168.1.5:4566, not {url}."
        )
    return f"{parts.scheme}://{parts.netloc}"


def _own_url(host: str, port: int) -> str:
    """What reaches this machine at that address, as far as it can tell. Raises PublicAddressFailed."""
    if host in EVERY_ADDRESS:
        host = _outgoing_address()
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _outgoing_address() -> str:
    """This machine's address on its network: where packets to others come from. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737)
        except OSError:
            raise PublicAddressFailed("This machine's address is not known. Name it: PUBLIC_URL=http://…") from None
        return str(probe.getsockname()[0])


def _make_key(cloud: Cloud) -> str:
    """A new API key, whose holder has accepted the terms; the key of an earlier run ends."""
    keys = ApiKeyStore(cloud.client("dynamodb"), cloud.state_table)
    with contextlib.suppress(InvalidRequest):  # there was none
        keys.revoke(KEY_NAME)
    cloud.accept_terms(cloud.pseudonym(f"key:{KEY_NAME}"))
    return keys.make(KEY_NAME, datetime.now(UTC))
