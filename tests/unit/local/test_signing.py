"""A new signing key for a deployed stack."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest

from layers.core.errors import LabelFailed
from layers.media.c2pa_chain import Chain, derived, made, parse
from layers.media.c2pa_label import Seal, read
from local import signing
from tests.unit.media.test_c2pa_label import SWAP, labelled

SEED = "0123456789abcdefghijklmnopqrstuvwxyz"


class Secrets:
    """Of Secrets Manager, what is used."""

    def __init__(self, held: str) -> None:
        self.held = held

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert SecretId == "arn"
        return {"SecretString": self.held}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:  # noqa: N803 - boto3's names
        assert SecretId == "arn"
        self.held = SecretString


def is_ours(chain: Chain, anchors: str) -> bool:
    signed = Seal(lambda: chain).picture(labelled("png"), "png", SWAP)
    return read(io.BytesIO(signed), "image/png", anchors).state == "trusted"


def test_the_new_chain_signs_and_all_former_ones_stay_known() -> None:
    secrets = Secrets(SEED)
    first, second = (signing.renew(secrets, "arn", made(name)) for name in ("One", "Two"))

    assert parse(secrets.held) == second
    anchors = signing.anchors(secrets, "arn")
    assert all(is_ours(chain, anchors) for chain in (derived(SEED), first, second))
    assert not is_ours(made(), anchors)
    assert anchors.count("BEGIN CERTIFICATE") == 3


def test_the_same_authority_is_kept_once() -> None:
    secrets, chain = Secrets(SEED), made()
    for _ in range(3):
        signing.renew(secrets, "arn", chain)

    assert signing.anchors(secrets, "arn").count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    "chain",
    [replace(made(), key=made().key), replace(made(), anchors=made().anchors), Chain("x", "y", "z")],
    ids=["another's key", "another's authority", "nothing"],
)
def test_what_does_not_sign_changes_nothing(chain: Chain) -> None:
    secrets = Secrets(SEED)

    with pytest.raises(LabelFailed):
        signing.renew(secrets, "arn", chain)
    assert secrets.held == SEED


def test_a_secret_that_was_never_a_key_can_be_replaced() -> None:
    secrets = Secrets("{}")

    assert signing.renew(secrets, "arn", made()).anchors.count("BEGIN CERTIFICATE") == 1
