"""Secrets of AWS Secrets Manager. Nothing here logs or quotes one."""

from __future__ import annotations

from functools import cache
from typing import Any

from layers.core.errors import StorageFailed

CACHE_SECONDS = 300  # a changed secret is in use after this time


def read_secret(arn: str) -> str:
    """The text of a secret, at most CACHE_SECONDS old. Raises StorageFailed."""
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

    try:
        return str(_provider().get(arn, max_age=CACHE_SECONDS) or "")
    except GetParameterError as error:
        raise StorageFailed("A secret of the stack could not be read. Try again.") from error


@cache
def _provider() -> Any:
    """The process's cache."""
    from aws_lambda_powertools.utilities.parameters import SecretsProvider

    from layers.core.storage import client

    return SecretsProvider(boto3_client=client("secretsmanager"))
