"""Idempotency: powertools' implementation with this project's errors and messages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from layers.core.errors import IdempotencyConflict, StillRunning, StorageFailed

RETENTION_SECONDS = 24 * 3600  # how long a result is found by its key

Result = dict[str, Any]


class Idempotency:
    """Stores results in a DynamoDB table (key `id`, time to live `expiration`); an empty table name stores nothing."""

    def __init__(self, table: str, persistence: Any = None) -> None:
        """`persistence`: a powertools persistence layer to use instead of the table."""
        self._table = table
        self._persistence = persistence

    def run(self, key: tuple[str, ...], content: str, work: Callable[[], Result], context: Any) -> Result:
        """The result of `work`, or the one stored for the same key; `content` is all that the result depends on.

        A failure is not stored. `context` is the Lambda context. Raises IdempotencyConflict for the same key with
        other content, StillRunning while another invocation works on it, and StorageFailed if the table does not
        respond.
        """
        if not self._table and self._persistence is None:
            return work()
        from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
        from aws_lambda_powertools.utilities.idempotency import exceptions as failures

        config = IdempotencyConfig(
            event_key_jmespath="key",
            payload_validation_jmespath="content",
            raise_on_no_idempotency_key=True,
            expires_after_seconds=RETENTION_SECONDS,
            hash_function="sha256",
        )
        config.register_lambda_context(context)

        def run(*, request: dict[str, Any]) -> Result:
            return work()

        run_once = idempotent_function(
            run, data_keyword_argument="request", persistence_store=self._layer(), config=config, key_prefix="swap"
        )
        digest = hashlib.sha256(content.encode()).hexdigest()
        try:
            result: Result = run_once(request={"key": list(key), "content": digest})
            return result
        except failures.IdempotencyAlreadyInProgressError:
            raise StillRunning("The same request is still being processed. Try again in a few seconds.") from None
        except failures.IdempotencyValidationError:
            raise IdempotencyConflict(
                "This Idempotency-Key was already used with a different request. Use a new key."
            ) from None
        except (failures.IdempotencyPersistenceLayerError, failures.IdempotencyInconsistentStateError) as error:
            raise StorageFailed("The idempotency table did not respond. Try again.") from error

    def _layer(self) -> Any:
        if self._persistence is None:
            from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer

            from layers.core.storage import client

            self._persistence = DynamoDBPersistenceLayer(table_name=self._table, boto3_client=client("dynamodb"))
        return self._persistence
