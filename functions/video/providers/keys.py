"""The keys of the voice and footage services: from the environment, or from where the operator keeps secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from layers.core.errors import ColdswapError, KeysMissing, StorageFailed

NUMBERS = ("PEXELS_REQUESTS_AN_HOUR", "ELEVENLABS_CHARACTERS_A_MONTH")  # the quotas of the keys' plans; not secret
NAMES = ("PEXELS_API_KEY", "PIXABAY_API_KEY", "ELEVENLABS_API_KEY", "VOICE_ID", "CALLBACK_SECRET", *NUMBERS)
CACHE_SECONDS = 300  # a rotated key is in use after this

# Codes of Secrets Manager's GetSecretValue and of Systems Manager's GetParameter (their API references).
_DENIED_CODES = ("AccessDeniedException", "DecryptionFailure", "InvalidKeyId")
_MISSING_CODES = ("ResourceNotFoundException", "ParameterNotFound")


@dataclass(frozen=True)
class ProviderKeys:
    """Secrets by their names, which are never printed."""

    values: Mapping[str, str] = field(repr=False)
    configured: bool = True  # whether the operator gives keys at all, and so wants videos

    def __contains__(self, name: str) -> bool:
        return bool(self.values.get(name))

    def need(self, name: str) -> str:
        """The value. Raises KeysMissing, which names it; no fault of the stack where the operator may leave it out."""
        value = self.values.get(name)
        if not value:
            error: ColdswapError = KeysMissing(
                f"{name} is not set. Put it into the secret that the parameter ProviderKeys names."
            )
            if not self.configured or name == "CALLBACK_SECRET":
                error.fault = None
            raise error
        return value

    def number(self, name: str) -> int:
        """A number that the operator may leave out, which is 0. Raises KeysMissing where it is not a whole number."""
        value = self.values.get(name) or "0"
        if not value.isascii() or not value.isdigit():
            raise KeysMissing(f"{name} must be a whole number.")
        return int(value)

    @property
    def voice_id(self) -> str | None:
        """The operator's choice of a voice for requests that do not choose one."""
        return self.values.get("VOICE_ID") or None


def read_keys(provider_keys: str, env: Mapping[str, str] = os.environ) -> ProviderKeys:
    """The keys of the operator's secret; those of the environment come first.

    `provider_keys` is the ARN of a Secrets Manager secret or of an SSM parameter that holds a JSON object with those
    names, or "". Raises StorageFailed, or KeysMissing where the operator has to mend something.
    """
    secret_values = _read_secret(provider_keys) if provider_keys else {}
    values = secret_values | {name: env[name].strip() for name in NAMES if env.get(name)}
    for name, value in values.items():
        # A value that no header can carry would end in an error that quotes it.
        if not (value.isascii() and value.isprintable()):
            raise KeysMissing(f"{name} contains characters that are not printable ASCII. Paste it again.")
    return ProviderKeys(values, configured=bool(provider_keys or values))


def _read_secret(arn: str) -> dict[str, str]:
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

    service = next(iter(arn.split(":")[2:3]), "")
    if service not in ("secretsmanager", "ssm"):
        raise KeysMissing("ProviderKeys must be the ARN of a Secrets Manager secret or of an SSM parameter.")
    options = {"decrypt": True} if service == "ssm" else {}
    try:
        text = _provider(service).get(arn, max_age=CACHE_SECONDS, **options)
        secret = json.loads(text or "")
    except GetParameterError as error:
        raise _read_error(error.__context__) from error  # powertools keeps only the message
    except ValueError:
        secret = None
    if not isinstance(secret, dict):
        raise KeysMissing(f"The secret that ProviderKeys names must be a JSON object with {', '.join(NAMES)}.")
    return {name: str(secret[name]).strip() for name in NAMES if secret.get(name)}


def _read_error(cause: BaseException | None) -> KeysMissing | StorageFailed:
    """The error where the secret could not be read; one that the operator must mend is not worth another try."""
    response = getattr(cause, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    if code in _DENIED_CODES:
        return KeysMissing(
            "The video function may not read or decrypt the secret that ProviderKeys names. With a KMS key of your "
            "own, its role needs kms:Decrypt (docs/operations.md)."
        )
    if code in _MISSING_CODES:
        return KeysMissing("The secret that ProviderKeys names does not exist.")
    return StorageFailed("The secret that ProviderKeys names could not be read. Try again.")


@cache
def _provider(service: str) -> Any:
    """The process's cache of one service's secrets."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider

    from layers.core.storage import client

    kind = SecretsProvider if service == "secretsmanager" else SSMProvider
    return kind(boto3_client=client(service))
