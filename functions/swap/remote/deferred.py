"""The stack's own engine where another is asked first: nothing of it is fetched before it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from layers.core.deadline import Deadline

if TYPE_CHECKING:
    from layers.engine.swapper import Swapper
    from layers.models.runtime.loaded_models import LoadedModels, PendingSwapper


class DeferredSwapper:
    """A pending swapper whose download starts with the first call for it."""

    def __init__(self, models: LoadedModels, deadline: Deadline) -> None:
        """Look up the pack. Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime."""
        models.refresh(deadline)
        self._models = models
        self._deadline = deadline
        self._pending: PendingSwapper | None = None

    def swapper(self, once: bool = False) -> Swapper:
        """The swapper, as PendingSwapper gives it. Raises the same."""
        if self._pending is None:
            self._pending = self._models.start_swapper(self._deadline)
        return self._pending.swapper(once)

    def drop(self) -> int:
        """Stop fetching; return the bytes that were wasted."""
        return self._pending.drop() if self._pending else 0
