"""Faults of DynamoDB and Step Functions as errors of the family."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raises StorageFailed for whatever botocore raises inside."""
    from botocore.exceptions import BotoCoreError, ClientError

    from layers.core.errors import StorageFailed

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StorageFailed("The table of the stack's state, or a workflow, did not answer. Try again.") from error
