"""Which backends are asked, in turn: what the operator's secret names, if anything, and the stack's own engine."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from functions.swap.backends.interfaces import Backend
from functions.swap.backends.replicate import Replicate
from functions.swap.backends.worker import Worker
from layers.core.errors import StorageFailed
from layers.core.secrets import read_secret
from layers.core.telemetry import logger

if TYPE_CHECKING:
    from layers.core.storage import Storage

FIELDS = {"url", "replicate", "token", "dollars_per_second", "meme_field", "face_field"}
VERSION = re.compile(r"(?:[\w.-]+/[\w.-]+:)?[0-9a-f]{64}")
NAME = re.compile(r"[a-z_]{1,40}")


class Misconfigured(Exception):
    """The operator has to mend the secret; the message quotes nothing of it."""


def choose_remotes(secret: str, storage: Storage, bucket: str) -> tuple[Backend, ...]:
    """The backends elsewhere that the secret of that ARN names; none for "", and where it cannot be used: the stack's
    own engine then does the work, and the operator hears of it.

    The secret is {"url": "https://…", "token": "…", "dollars_per_second": 0.0002} for a worker, and has `replicate`, a
    version of a model, instead of `url` for Replicate, whose tickets are kept in that bucket.
    """
    if not secret:
        return ()
    try:
        remote = parse_remote(read_secret(secret))
    except (Misconfigured, StorageFailed) as error:
        logger().error("no swapper elsewhere", extra={"detail": str(error)})
        return ()
    if isinstance(remote, Worker):
        return (remote,)
    from functions.swap.backends.whole_still import TicketStore, WholeStills

    return (WholeStills(remote, TicketStore(storage, bucket)),)


def parse_remote(text: str) -> Worker | Replicate:
    """The worker, or the model at Replicate, that such a text describes. Raises Misconfigured."""
    try:
        document: Any = json.loads(text)
    except ValueError:
        document = None
    if (
        not isinstance(document, dict)
        or not set(document) <= FIELDS
        or ("url" in document) == ("replicate" in document)
    ):
        raise _refuse("must be a JSON object with url or replicate, and with what docs/gpu.md names beside")
    token, price = document.get("token", ""), document.get("dollars_per_second", 0.0)
    if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
        raise _refuse("must have a token of printable ASCII")
    if isinstance(price, bool) or not isinstance(price, int | float) or not 0 <= price < 1:
        raise _refuse("must have a price below 1 in dollars_per_second")
    if "url" in document:
        return _parse_worker(document, token.strip(), float(price))
    return _parse_replicate(document, token.strip(), float(price))


def _parse_worker(document: dict[str, Any], token: str, price: float) -> Worker:
    url = document["url"]
    if not isinstance(url, str) or not _is_web_address(url):
        raise _refuse("must have a URL in url")
    return Worker(url, token, price)


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("https", "http") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of a port that is none, or of an IPv6 address without its end
        return False


def _parse_replicate(document: dict[str, Any], token: str, price: float) -> Replicate:
    version = document["replicate"]
    names = [document.get(name, usual) for name, usual in (("meme_field", "input_image"), ("face_field", "swap_image"))]
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        raise _refuse("must have OWNER/NAME:VERSION in replicate, with a version of 64 hexadecimal digits")
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise _refuse("must have names of inputs in meme_field and face_field")
    if not token:
        raise _refuse("must have a token")
    return Replicate(version, token, price, *names)


def _refuse(why: str) -> Misconfigured:
    return Misconfigured(f"The secret that the parameter RemoteSwapper names {why}.")
