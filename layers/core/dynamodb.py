"""Translates errors of DynamoDB and Step Functions into ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise StorageFailed for whatever botocore raises inside."""
    from botocore.exceptions import BotoCoreError, ClientError

    from layers.core.errors import StorageFailed

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StorageFailed("The state table or a workflow did not respond. Try again.") from error
