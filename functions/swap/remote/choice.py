"""Which remote swapper the operator has chosen, if any: a secret says who, where, and with which token."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from functions.swap.remote.interfaces import RemoteSwapper
from functions.swap.remote.worker import Worker
from layers.core.errors import StorageFailed
from layers.core.secrets import read_secret
from layers.core.telemetry import logger

FIELDS = {"url", "token", "dollars_per_second"}


class Misconfigured(Exception):
    """The operator has to mend the secret; the message quotes nothing of it."""


def choose_remote(secret: str) -> RemoteSwapper | None:
    """The remote swapper of that secret's ARN; None for "", and where the secret cannot be used: the stack's own engine
    then does the work, and the operator hears of it.

    The secret is {"url": "https://…", "token": "…", "dollars_per_second": 0.0002}.
    """
    if not secret:
        return None
    try:
        return parse_remote(read_secret(secret))
    except (Misconfigured, StorageFailed) as error:
        logger().error("no swapper elsewhere", extra={"detail": str(error)})
        return None


def parse_remote(text: str) -> RemoteSwapper:
    """The remote swapper that such a text describes. Raises Misconfigured."""
    try:
        document: Any = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict) or not set(document) <= FIELDS or "url" not in document:
        raise _refuse(f"must be a JSON object with url, and perhaps {', '.join(sorted(FIELDS - {'url'}))}")
    url, token, price = document["url"], document.get("token", ""), document.get("dollars_per_second", 0.0)
    if not isinstance(url, str) or urlsplit(url).scheme not in ("https", "http") or not urlsplit(url).hostname:
        raise _refuse("must have a URL in url")
    if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
        raise _refuse("must have a token of printable ASCII")
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 1:
        raise _refuse("must have a price below 1 in dollars_per_second")
    return Worker(url, token.strip(), float(price))


def _refuse(why: str) -> Misconfigured:
    return Misconfigured(f"The secret that the parameter RemoteSwapper names {why}.")
