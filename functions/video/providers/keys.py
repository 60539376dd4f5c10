"""The keys of the voice and footage services: from the environment, or from where the operator keeps secrets."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from layers.core.errors import ColdswapError, KeysMissing, StorageFailed

NUMBERS = ("PEXELS_REQUESTS_AN_HOUR", "ELEVENLABS_CHARACTERS_A_MONTH")  # what the keys' plans give; no secrets
NAMES = ("PEXELS_API_KEY", "ELEVENLABS_API_KEY", "VOICE_ID", "CALLBACK_SECRET", *NUMBERS)
DEFAULT_VOICE = "JBFqnCBsd6RMkjVDRZzb"  # "George", of the examples in ElevenLabs' documentation
KEPT_SECONDS = 300  # a rotated key is in use after this

# Codes of Secrets Manager's GetSecretValue and of Systems Manager's GetParameter (their API references).
_DENIED = ("AccessDeniedException", "DecryptionFailure", "InvalidKeyId")
_ABSENT = ("ResourceNotFoundException", "ParameterNotFound")


@dataclass(frozen=True)
class ProviderKeys:
    """Secrets by their names; none of them is ever printed."""

    values: Mapping[str, str] = field(repr=False)
    configured: bool = True  # whether the operator gives keys at all, and so wants videos

    def need(self, name: str) -> str:
        """The value. Raises KeysMissing naming what the operator has to set; a refusal where it may be left out."""
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
        """A number that the operator may have told; 0 if not. Raises KeysMissing where it is no number."""
        value = self.values.get(name) or "0"
        if not value.isascii() or not value.isdigit():
            raise KeysMissing(f"{name} must be a whole number.")
        return int(value)

    @property
    def voice_id(self) -> str:
        """The voice of requests that name none."""
        return self.values.get("VOICE_ID") or DEFAULT_VOICE


def read_keys(provider_keys: str, env: Mapping[str, str] = os.environ) -> ProviderKeys:
    """What the environment holds goes before what the secret holds.

    `provider_keys` is the ARN of a Secrets Manager secret or of an SSM parameter that holds a JSON object with those
    names, or "". Raises StorageFailed, or KeysMissing where the operator has to mend something.
    """
    stored = _stored(provider_keys) if provider_keys else {}
    found = stored | {name: env[name].strip() for name in NAMES if env.get(name)}
    for name, value in found.items():
        # What a header cannot carry would end in an error that quotes it.
        if not (value.isascii() and value.isprintable()):
            raise KeysMissing(f"{name} contains characters that are not printable ASCII. Paste it again.")
    return ProviderKeys(found, configured=bool(provider_keys or found))


def _stored(arn: str) -> dict[str, str]:
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

    service = next(iter(arn.split(":")[2:3]), "")
    if service not in ("secretsmanager", "ssm"):
        raise KeysMissing("ProviderKeys must be the ARN of a Secrets Manager secret or of an SSM parameter.")
    decrypted = {"decrypt": True} if service == "ssm" else {}
    try:
        said = _provider(service).get(arn, max_age=KEPT_SECONDS, **decrypted)
        found = json.loads(said or "")
    except GetParameterError as error:
        raise _unread(error.__context__) from error  # powertools keeps the message alone
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise KeysMissing(f"The secret that ProviderKeys names must be a JSON object with {', '.join(NAMES)}.")
    return {name: str(found[name]).strip() for name in NAMES if found.get(name)}


def _unread(cause: BaseException | None) -> KeysMissing | StorageFailed:
    """What to tell where the store gave nothing; only what the operator need not mend may be tried again."""
    response = getattr(cause, "response", None) or {}
    code = response.get("Error", {}).get("Code")
    if code in _DENIED:
        return KeysMissing(
            "The secret that ProviderKeys names may not be read or decrypted. Under a KMS key of your own the video "
            "function's role needs kms:Decrypt (docs/operations.md)."
        )
    if code in _ABSENT:
        return KeysMissing("The secret that ProviderKeys names is not there.")
    return StorageFailed("The secret that ProviderKeys names could not be read. Try again.")


@cache
def _provider(service: str) -> Any:
    """The process's cache of one service's secrets."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider, SSMProvider

    from layers.core.storage import client

    kind = SecretsProvider if service == "secretsmanager" else SSMProvider
    return kind(boto3_client=client(service))
