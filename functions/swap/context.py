"""What a swap or a verification works with, made once per request and handed on whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecords
from layers.core.budget import Budget
from layers.core.deadline import Deadline

if TYPE_CHECKING:
    from functions.swap.backends.interfaces import Backend
    from layers.core.storage import Storage
    from layers.models.runtime.loaded_models import LoadedModels


@dataclass(frozen=True)
class SwapContext:
    """Settings, everything outside this process that a request touches, and how long it may take."""

    settings: Settings
    storage: Storage
    models: LoadedModels
    budget: Budget
    denylist: DenylistStore
    records: SwapRecords
    deadline: Deadline
    remotes: tuple[Backend, ...] = ()  # that are asked to run the swapper, in turn, before the stack's own engine
