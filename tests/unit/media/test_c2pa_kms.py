"""Signing by a key in KMS, which a stand-in of its client holds."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA256

from functions.video.provenance import describe_video
from layers.core import storage
from layers.core.errors import ColdswapError, LabelFailed, StorageFailed
from layers.media.c2pa_chain import Chain, certify, derive_chain, parse
from layers.media.c2pa_label import Signer, read_manifest
from tests.unit.media.test_c2pa_label import CLIPS, SPEAKER, always, sign, verify

ALIAS = "alias/coldswap-signing"
DER, SPKI = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo


class Kms:
    """Of KMS, what a function asks; `failure` is what it answers instead."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.failure: Exception | None = None
        self.keys: list[str] = []

    def sign(self, **arguments: Any) -> dict[str, bytes]:
        if self.failure:
            raise self.failure
        self.keys.append(arguments["KeyId"])
        assert (arguments["MessageType"], arguments["SigningAlgorithm"]) == ("DIGEST", "ECDSA_SHA_256")
        return {"Signature": self.key.sign(arguments["Message"], ec.ECDSA(utils.Prehashed(SHA256())))}

    def chain(self) -> Chain:
        return certify(self.key.public_key().public_bytes(DER, SPKI), ALIAS)


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Kms:
    service = Kms()
    monkeypatch.setattr(storage, "_clients", {"kms": service})
    return service


@pytest.mark.parametrize("format", ["jpeg", "png", "webp"])
def test_a_picture_is_signed_by_the_key_of_that_alias(kms: Kms, format: Any) -> None:
    chain = kms.chain()
    summary = verify(sign(format, chain), format, chain.anchors)
    assert summary.state == "trusted"
    assert summary.problems == []
    assert kms.keys
    assert set(kms.keys) == {ALIAS}


def test_a_video_is_signed_too(kms: Kms, mp4: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    chain = kms.chain()
    shutil.copy(mp4, path)
    Signer(always(chain)).sign_video(path, describe_video(CLIPS, SPEAKER))
    with path.open("rb") as file:
        summary = read_manifest(file, "video/mp4", chain.anchors)
    assert summary.state == "trusted"
    assert kms.keys


def test_a_changed_picture_is_noticed(kms: Kms) -> None:
    chain = kms.chain()
    data = bytearray(sign("jpeg", chain))
    data[-100] ^= 1
    assert verify(bytes(data), "jpeg", chain.anchors).state == "invalid"


def test_another_key_of_the_same_alias_signs_nothing(kms: Kms) -> None:
    chain = kms.chain()
    kms.key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(LabelFailed):
        sign("png", chain)


def test_the_secret_holds_no_private_key_and_is_read_back(kms: Kms) -> None:
    chain = kms.chain()
    assert "PRIVATE" not in chain.dump()
    assert parse(chain.dump()) == chain
    assert "kms_key" not in derive_chain("0123456789abcdefghijklmnopqrstuvwxyz").dump()


def coded(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "arn:aws:kms:eu-west-1:123456789012:key/secret"}}, "Sign")


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (coded("AccessDeniedException"), LabelFailed),
        (coded("DisabledException"), LabelFailed),
        (coded("NotFoundException"), LabelFailed),
        (coded("KMSInvalidStateException"), LabelFailed),
        (coded("InvalidKeyUsageException"), LabelFailed),
        (coded("ThrottlingException"), StorageFailed),
        (coded("KMSInternalException"), StorageFailed),
        (coded("DependencyTimeoutException"), StorageFailed),
        (coded("KeyUnavailableException"), StorageFailed),
        (EndpointConnectionError(endpoint_url="https://kms"), StorageFailed),
        (ReadTimeoutError(endpoint_url="https://kms"), StorageFailed),
    ],
    ids=lambda each: str(each)[:60],
)
def test_what_kms_does_not_sign_is_not_delivered(
    kms: Kms, failure: Exception, kind: type[ColdswapError], caplog: pytest.LogCaptureFixture
) -> None:
    chain = kms.chain()
    kms.failure = failure
    with caplog.at_level(logging.DEBUG), pytest.raises(kind) as caught:
        sign("png", chain)
    assert type(caught.value) is kind
    assert "123456789012" not in caught.value.detail
    kms.failure = None
    assert verify(sign("png", chain), "png", chain.anchors).state == "trusted"


@pytest.mark.parametrize("key", [ec.SECP384R1(), ec.SECP256K1(), None])
def test_only_keys_on_p256_are_certified(key: Any) -> None:
    data = ec.generate_private_key(key).public_key().public_bytes(DER, SPKI) if key else b"no key"
    with pytest.raises(LabelFailed, match="ECC_NIST_P256"):
        certify(data, ALIAS)


def test_the_client_is_made_ahead_only_where_a_key_is_in_kms(monkeypatch: pytest.MonkeyPatch) -> None:
    services: list[str] = []
    monkeypatch.setattr(storage, "client", services.append)
    Signer(always(derive_chain("0123456789abcdefghijklmnopqrstuvwxyz"))).prepare()
    assert services == []
    Signer(always(Kms().chain())).prepare()
    assert services == ["kms"]
