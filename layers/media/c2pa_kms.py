"""Signing by a key that never leaves AWS KMS (ECC_NIST_P256, SIGN_VERIFY)."""

from __future__ import annotations

import hashlib

from layers.core.errors import LabelFailed, StorageFailed

# The operator must fix these; a retry cannot help (API reference of AWS KMS, Sign, "Errors").
_PERMANENT = (
    "AccessDeniedException",
    "DisabledException",
    "InvalidGrantTokenException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "NotFoundException",
    "ValidationException",
)


def prepare() -> None:
    """Make the client ahead of time, while there is other work to wait for."""
    from layers.core.storage import client

    client("kms")


def sign(key: str, data: bytes) -> bytes:
    """Sign the data's SHA-256 by ECDSA on P-256 with the key of that alias or ARN; the signature in DER.

    Raises LabelFailed if the key does not exist or may not be used for this; otherwise StorageFailed.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    from layers.core.storage import client

    digest = hashlib.sha256(data).digest()
    try:
        response = client("kms").sign(KeyId=key, Message=digest, MessageType="DIGEST", SigningAlgorithm="ECDSA_SHA_256")
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in _PERMANENT:
            raise LabelFailed(f"The signing key in KMS cannot be used ({code}), so no result is delivered.") from None
        raise StorageFailed("KMS did not sign. Try again in a moment.") from error
    except BotoCoreError as error:
        raise StorageFailed("KMS did not respond. Try again in a moment.") from error
    return bytes(response["Signature"])
