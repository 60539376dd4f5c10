"""A whole still swapped elsewhere: it goes out and comes back, and of what comes back only the faces are used."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import numpy as np

from functions.swap.backends.exchange import MOST_ANSWER_BYTES, origin
from functions.swap.backends.interfaces import Capabilities, Done, Failed, Running, State, Ticket
from functions.swap.backends.replicate import MOST_INPUT_BYTES, Delivered, PictureState, Replicate
from functions.swap.backends.still_job import Still, StillJob
from functions.swap.values import Box
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ObjectNotFound, StorageFailed, TooLarge
from layers.core.http_fetch import fetch
from layers.core.storage import Storage
from layers.engine.crop_job import MOST_CROPS, CropJob
from layers.media.decode import decode
from layers.media.picture import Pixels

MARGIN = 0.6  # of a face's box on each side, within which a swapper may paint
MOST_DIFFERENCE = 4.0  # levels on average outside of the faces: what encoding twice costs
LEAST_CHANGE = 1.0  # levels on average within a face, where anything was swapped
KEPT_SECONDS = 3000  # of the hour after which Replicate deletes a prediction

# Its POST is not idempotent; what makes sure that nothing is paid for twice is the ticket, by what was asked for.
STILL_CAPABILITIES = Capabilities(MOST_CROPS, repeats=False, whole_stills=True, side_by_side=1)


class TicketStore:
    """The ids of predictions, by what they were asked for, in the outputs bucket: what was paid for is not again."""

    def __init__(self, storage: Storage, bucket: str, now: Callable[[], float] = time.time) -> None:
        self._storage, self._bucket, self._now = storage, bucket, now

    def find(self, name: str, deadline: Deadline) -> Ticket | None:
        """The ticket of that name, if it may still be of use."""
        try:
            content = self._storage.read(self._bucket, self._key(name), 1 << 10, deadline).data
            document = json.loads(content)
            is_fresh = 0 <= self._now() - float(document["at"]) < KEPT_SECONDS
            return Ticket(str(document["id"])) if is_fresh else None
        except (ColdswapError, ObjectNotFound, TooLarge, LookupError, ValueError, TypeError):
            return None

    def keep(self, name: str, ticket: Ticket) -> None:
        """Keep a ticket. Raises StorageFailed."""
        content = json.dumps({"id": ticket.id, "at": self._now()}).encode()
        self._storage.write(self._bucket, self._key(name), content, "application/json")

    @staticmethod
    def _key(name: str) -> str:
        return f"work/swaps/tickets/{name}.json"


class WholeStills:
    """A model at Replicate as a backend, with the tickets of what was asked of it."""

    capabilities = STILL_CAPABILITIES

    def __init__(self, remote: Replicate, tickets: TicketStore) -> None:
        self._remote = remote
        self._tickets = tickets

    @property
    def name(self) -> str:
        """What it is called in results and logs."""
        return self._remote.name

    @property
    def dollars_per_second(self) -> float:
        """The operator's price of a second of it."""
        return self._remote.dollars_per_second

    def prepare(self, crops: int) -> None:
        """Nothing: a model there is started by its first prediction."""

    def submit(self, job: CropJob, deadline: Deadline) -> tuple[Ticket | None, State]:
        """Send a still, unless it was sent before: then its ticket is asked for."""
        if not isinstance(job, StillJob):
            return None, Failed("invalid_request", "It takes whole stills.")
        meme, face = job.still.jpegs
        if len(meme) + len(face) > MOST_INPUT_BYTES:
            return None, Failed("media_too_large", "The pictures are too large to be sent.")
        name = job.still.name(self._remote.version)
        if earlier := self._tickets.find(name, deadline):
            state = self._remote.poll(earlier, deadline)
            if not isinstance(state, Failed) or state.retryable:
                return earlier, self._fetch(state, job.still, deadline)
        ticket, state = self._remote.submit(_data_uri(meme), _data_uri(face), deadline)
        if ticket:
            with suppress(StorageFailed):  # without it only a later try would pay again, an error makes sure of one
                self._tickets.keep(name, ticket)
        elif isinstance(state, Running):
            state = Failed("provider_failed", "It gave no id to ask for.")
        elif isinstance(state, Failed) and state.sent and state.code != "rate_limited":
            state = replace(state, retryable=False)  # it may be under way, and each POST costs
        return ticket, self._fetch(state, job.still, deadline)

    def poll(self, ticket: Ticket, job: CropJob, deadline: Deadline) -> State:
        """How far it is."""
        if not isinstance(job, StillJob):
            return Failed("invalid_request", "It takes whole stills.")
        return self._fetch(self._remote.poll(ticket, deadline), job.still, deadline)

    def cancel(self, ticket: Ticket, deadline: Deadline) -> None:
        """Say that nobody wants it any more; it may be too late."""
        self._remote.cancel(ticket, deadline)

    def verify(self, job: CropJob, answer: Pixels) -> Pixels | Failed:
        """The faces of a picture [H, W, 3], if it is the still but for them."""
        from functions.swap.face.align import crop_with

        if not isinstance(job, StillJob):
            return Failed("invalid_request", "It takes whole stills.")
        still = job.still
        if answer.shape != still.pixels.shape:
            return Failed("provider_failed", "What it made has another size.")
        height, width = answer.shape[:2]
        difference = np.abs(answer.astype(np.int16) - still.pixels).mean(axis=2)
        outside = np.ones((height, width), bool)
        for box in (*still.boxes, *still.others):
            outside[_slices(box, MARGIN, height, width)] = False
        if outside.any() and difference[outside].mean() > MOST_DIFFERENCE:
            return Failed("provider_failed", "What it made differs outside of the faces.")
        for box in still.boxes:
            inside = _slices(box, 0.0, height, width)
            if difference[inside].mean() < LEAST_CHANGE or answer[inside].std() < 1:
                return Failed("provider_failed", "What it made has not replaced every face.")
        return np.stack([crop_with(answer, transform, mirror_border=True) for transform in still.transforms])

    def _fetch(self, state: PictureState, still: Still, deadline: Deadline) -> State:
        """The state, with the picture where there is one."""
        if not isinstance(state, Delivered):
            return state
        try:
            trusted = frozenset[str]() if state.url.startswith("https:") else frozenset({origin(state.url)})  # a test's
            content = fetch(
                state.url, limit=MOST_ANSWER_BYTES, deadline=deadline, accept="image/*", trusted_origins=trusted
            )
            height, width = still.pixels.shape[:2]
            picture = decode(content, MOST_ANSWER_BYTES, height * width).as_seen()
        except ColdswapError as error:
            return Failed("provider_failed", f"What it made cannot be used ({error.code}).")
        except TooLarge:
            return Failed("provider_failed", "What it made is too large.")
        return Done(picture, self._remote.name, state.seconds)


def _slices(box: Box, margin: float, height: int, width: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    return (
        slice(max(int(y0 - dy), 0), min(int(y1 + dy) + 1, height)),
        slice(max(int(x0 - dx), 0), min(int(x1 + dx) + 1, width)),
    )


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
