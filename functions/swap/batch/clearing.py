"""What is left of a batch when its owner deletes it: nothing, after as many steps as it takes."""

from __future__ import annotations

from functions.swap import moving_submission, results
from functions.swap.services import Services
from functions.swap.swap_records import SwapRecord
from layers.core.deadline import Deadline

MARGIN_SECONDS = 20.0  # that are left when a step ends: a meme takes about thirteen requests


def clear(services: Services, name: str, deadline: Deadline) -> bool:
    """Delete the memes of a batch, its report, its pictures and its record; whether all of it is gone.

    Raises StorageFailed.
    """
    batch = services.batches.find(name)
    if batch is None:
        return True
    for page in services.batches.items(batch):
        for item in page:
            if deadline.left() < MARGIN_SECONDS:
                return False
            record = services.records.find(item.id)
            if record is not None:
                delete_item(services, record, deadline)
    for keys in services.storage.list_keys(services.settings.outputs_bucket, batch.folder):
        for key in keys:
            services.storage.delete(services.settings.outputs_bucket, key)
    if batch.caller is not None:
        for keys in services.storage.list_keys(services.settings.uploads_bucket, batch.prefix):
            for key in keys:  # that nothing was made of
                if deadline.left() < MARGIN_SECONDS:
                    return False
                services.storage.delete(services.settings.uploads_bucket, key)
    for key in sorted(batch.inputs):
        services.storage.delete(services.settings.uploads_bucket, key)
    services.records.remember_deletion(name, batch.owner)
    services.batches.remove(name)
    return True


def delete_item(services: Services, record: SwapRecord, deadline: Deadline) -> None:
    """Delete one meme's swap, whether it is over or under way. Raises StorageFailed."""
    if record.caller:
        moving_submission.delete(services, record, deadline)
        return
    # An operator's: the upload stays, and nobody asks later whether there was a swap.
    if record.moving:
        from functions.swap.moving import steps

        services.moving_jobs.stop(record.id)
        steps.discard(record.id, services.context(deadline))
    results.delete_picture(record.id, services.storage, services.settings)
    services.records.remove(record.id)
