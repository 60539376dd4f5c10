"""Signatures, against the specification's own reference example and an independent computation."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from functions.video import webhook_signature
from layers.core.errors import KeysMissing

# Published with the specification's reference libraries (standard-webhooks, and Svix before it).
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, STAMP, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_reference_example() -> None:
    assert webhook_signature.sign(SECRET, ID, STAMP, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": str(STAMP),
        "webhook-signature": SIGNATURE,
    }


@pytest.mark.parametrize("changed", ["id", "time", "body", "secret"])
def test_every_part_is_signed(changed: str) -> None:
    other = "whsec_" + base64.b64encode(b"another secret of some length").decode()
    headers = webhook_signature.sign(
        other if changed == "secret" else SECRET,
        ID + "x" if changed == "id" else ID,
        STAMP + 1 if changed == "time" else STAMP,
        BODY + b" " if changed == "body" else BODY,
    )

    assert headers["webhook-signature"] != SIGNATURE


def test_any_body_is_signed_as_it_is() -> None:
    body = "日本語 \u2028".encode()
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, b"m.7." + body, hashlib.sha256)).decode()

    assert webhook_signature.sign(SECRET, "m", 7, body)["webhook-signature"] == f"v1,{expected}"


def test_every_caller_has_a_secret_of_its_own() -> None:
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.digest(key, b"callback:ann", hashlib.sha256)).decode()

    assert webhook_signature.derive_secret(SECRET, "ann") == f"whsec_{expected}"
    assert len({SECRET, *(webhook_signature.derive_secret(SECRET, caller) for caller in ("ann", "bob", ""))}) == 4
    assert webhook_signature.sign(webhook_signature.derive_secret(SECRET, "ann"), ID, STAMP, BODY)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_not base64!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_é"])
def test_a_secret_of_another_kind_is_refused_without_a_word_of_it(secret: str) -> None:
    with pytest.raises(KeysMissing) as refused:
        webhook_signature.decode_secret(secret)

    assert "CALLBACK_SECRET" in refused.value.detail
    assert "MfKQ9" not in str(refused.value)
