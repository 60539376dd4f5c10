"""Work done once, however often it is asked for: powertools' idempotency with our errors and our words."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from layers.core.errors import IdempotencyConflict, StillRunning, StorageFailed

KEPT_SECONDS = 24 * 3600  # how long a result is known by its key

Result = dict[str, Any]


class Idempotency:
    """Remembers results in a DynamoDB table (key `id`, time to live `expiration`); an empty name remembers nothing."""

    def __init__(self, table: str, persistence: Any = None) -> None:
        """`persistence`, where given, is the powertools layer to use instead of the table's."""
        self._table = table
        self._persistence = persistence

    def do(self, key: tuple[str, ...], content: str, work: Callable[[], Result], context: Any) -> Result:
        """What `work` gives, or gave before for the same key; `content` is all that the result depends on.

        A failure is not remembered. Raises IdempotencyConflict for the same key with other content, StillRunning
        while another invocation is at it, StorageFailed when the table does not answer.
        """
        if not self._table and self._persistence is None:
            return work()
        from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function
        from aws_lambda_powertools.utilities.idempotency import exceptions as failures

        config = IdempotencyConfig(
            event_key_jmespath="key",
            payload_validation_jmespath="content",
            raise_on_no_idempotency_key=True,
            expires_after_seconds=KEPT_SECONDS,
            hash_function="sha256",
        )
        config.register_lambda_context(context)

        def run(*, asked: dict[str, Any]) -> Result:
            return work()

        remembered = idempotent_function(
            run, data_keyword_argument="asked", persistence_store=self._layer(), config=config, key_prefix="swap"
        )
        digest = hashlib.sha256(content.encode()).hexdigest()
        try:
            result: Result = remembered(asked={"key": list(key), "content": digest})
            return result
        except failures.IdempotencyAlreadyInProgressError:
            raise StillRunning("This very request is being worked on. Ask again in a few seconds.") from None
        except failures.IdempotencyValidationError:
            raise IdempotencyConflict(
                "This Idempotency-Key was used before with another request. Use a new one."
            ) from None
        except (failures.IdempotencyPersistenceLayerError, failures.IdempotencyInconsistentStateError) as error:
            raise StorageFailed("The table that remembers requests did not answer. Try again.") from error

    def _layer(self) -> Any:
        if self._persistence is None:
            from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer

            from layers.core.storage import client

            self._persistence = DynamoDBPersistenceLayer(table_name=self._table, boto3_client=client("dynamodb"))
        return self._persistence
