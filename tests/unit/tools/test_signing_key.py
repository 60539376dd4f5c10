"""A new signing key for a deployed stack."""

from __future__ import annotations

import io
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from layers.core import storage
from layers.core.errors import LabelFailed, StorageFailed
from layers.media.c2pa_chain import Chain, create_chain, derive_chain, parse
from layers.media.c2pa_label import Signer, read_manifest
from tests.unit.media.test_c2pa_kms import ALIAS, DER, SPKI, Kms, coded
from tests.unit.media.test_c2pa_label import SWAP, labelled
from tools import signing_key

SEED = "0123456789abcdefghijklmnopqrstuvwxyz"


class Secrets:
    """Of Secrets Manager, what is used."""

    def __init__(self, secret: str) -> None:
        self.secret = secret

    def get_secret_value(self, *, SecretId: str) -> dict[str, Any]:
        assert SecretId == "arn"
        return {"SecretString": self.secret}

    def put_secret_value(self, *, SecretId: str, SecretString: str) -> None:
        assert SecretId == "arn"
        self.secret = SecretString


def is_ours(chain: Chain, anchors: str) -> bool:
    signed = Signer(lambda: chain).sign_picture(labelled("png"), "png", SWAP)
    return read_manifest(io.BytesIO(signed), "image/png", anchors).state == "trusted"


def test_the_new_chain_signs_and_all_former_ones_stay_known() -> None:
    secrets = Secrets(SEED)
    first, second = (signing_key.renew(secrets, "arn", create_chain(name)) for name in ("One", "Two"))

    assert parse(secrets.secret) == second
    anchors = signing_key.read_anchors(secrets, "arn")
    assert all(is_ours(chain, anchors) for chain in (derive_chain(SEED), first, second))
    assert not is_ours(create_chain(), anchors)
    assert anchors.count("BEGIN CERTIFICATE") == 3


def test_what_a_leaked_key_signed_can_be_disowned() -> None:
    secrets = Secrets(SEED)

    renewed = signing_key.renew(secrets, "arn", create_chain(), forget=True)

    assert is_ours(renewed, renewed.anchors)
    assert not is_ours(derive_chain(SEED), signing_key.read_anchors(secrets, "arn"))


def test_the_same_authority_is_kept_once() -> None:
    secrets, chain = Secrets(SEED), create_chain()
    for _ in range(3):
        signing_key.renew(secrets, "arn", chain)

    assert signing_key.read_anchors(secrets, "arn").count("BEGIN CERTIFICATE") == 2


@pytest.mark.parametrize(
    "chain",
    [
        replace(create_chain(), key=create_chain().key),
        replace(create_chain(), anchors=create_chain().anchors),
        Chain("x", "y", "z"),
    ],
    ids=["another's key", "another's authority", "nothing"],
)
def test_what_does_not_sign_changes_nothing(chain: Chain) -> None:
    secrets = Secrets(SEED)

    with pytest.raises(LabelFailed):
        signing_key.renew(secrets, "arn", chain)
    assert secrets.secret == SEED


def test_a_secret_that_was_never_a_key_can_be_replaced() -> None:
    secrets = Secrets("{}")

    assert signing_key.renew(secrets, "arn", create_chain()).anchors.count("BEGIN CERTIFICATE") == 1


class Describing(Kms):
    """KMS as an operator asks it; `known` is what it says of the key."""

    exceptions = SimpleNamespace(
        NotFoundException=type("NotFoundException", (Exception,), {}),
        UnsupportedOperationException=type("UnsupportedOperationException", (Exception,), {}),
    )

    def __init__(self, **description: str) -> None:
        super().__init__()
        self.description = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", **description}

    def get_public_key(self, **request: str) -> dict[str, Any]:
        assert request == {"KeyId": ALIAS}
        if self.failure:
            raise self.failure
        return {**self.description, "PublicKey": self.key.public_key().public_bytes(DER, SPKI)}


def test_a_key_in_kms_takes_the_place_of_the_one_in_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    kms, secrets = Describing(), Secrets(SEED)
    monkeypatch.setattr(storage, "_clients", {"kms": kms})

    whole = signing_key.renew(secrets, "arn", signing_key.certify_kms_key(kms, "coldswap", "Someone"))

    assert "PRIVATE" not in secrets.secret
    assert parse(secrets.secret).kms_key == ALIAS
    assert all(is_ours(chain, whole.anchors) for chain in (derive_chain(SEED), whole))
    back = signing_key.renew(secrets, "arn", create_chain())
    assert parse(secrets.secret).kms_key == ""
    assert is_ours(back, whole.anchors) is False
    assert is_ours(whole, back.anchors)


@pytest.mark.parametrize(
    ("kms", "why"),
    [
        (Describing(KeySpec="RSA_2048"), "RSA_2048"),
        (Describing(KeyUsage="KEY_AGREEMENT"), "KEY_AGREEMENT"),
        (Describing(KeySpec="ECC_SECG_P256K1"), "P256K1"),
    ],
)
def test_a_key_of_another_kind_is_refused(kms: Describing, why: str) -> None:
    with pytest.raises(LabelFailed, match=why):
        signing_key.certify_kms_key(kms, "coldswap")


@pytest.mark.parametrize("kind", ["NotFoundException", "UnsupportedOperationException"])
def test_a_key_that_is_not_there_or_signs_nothing_is_refused(kind: str) -> None:
    kms = Describing()
    kms.failure = getattr(Describing.exceptions, kind)()
    with pytest.raises(LabelFailed, match="alias/coldswap-signing"):
        signing_key.certify_kms_key(kms, "coldswap")


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_a_key_that_does_not_sign_now_changes_nothing(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kms, secrets = Describing(), Secrets(SEED)
    monkeypatch.setattr(storage, "_clients", {"kms": kms})
    chain = signing_key.certify_kms_key(kms, "coldswap")
    kms.failure = coded(code)

    with pytest.raises((LabelFailed, StorageFailed)):
        signing_key.renew(secrets, "arn", chain)
    assert secrets.secret == SEED
