"""Signing by a key that never leaves AWS KMS (ECC_NIST_P256, SIGN_VERIFY)."""

from __future__ import annotations

import hashlib

from layers.core.errors import LabelFailed, StorageFailed

# What an operator must mend: no retry cures it (API reference of AWS KMS, Sign, "Errors").
_LASTING = (
    "AccessDeniedException",
    "DisabledException",
    "InvalidGrantTokenException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotFoundException",
    "ValidationException",
)


def ready() -> None:
    """Make the client, while there is other work to wait for."""
    from layers.core.storage import client

    client("kms")


def sign(key: str, data: bytes) -> bytes:
    """ECDSA on P-256 of the data's SHA-256, in DER, by the key of that alias or ARN.

    Raises LabelFailed where the key is not there, not usable or not ours to use; else StorageFailed.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from layers.core.storage import client

    digest = hashlib.sha256(data).digest()
    try:
        answer = client("kms").sign(KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _LASTING:
            raise LabelFailed(f"The signing key in KMS cannot be used ({code}), so nothing is delivered.") from None
        raise StorageFailed("KMS did not sign. Try again in a moment.") from error
    except BotoCoreError as error:
        raise StorageFailed("KMS did not answer. Try again in a moment.") from error
    return bytes(answer["Signature"])
