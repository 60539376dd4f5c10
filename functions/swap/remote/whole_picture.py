"""A whole still swapped elsewhere: it goes out and comes back, and of what comes back only the faces are used."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np

from functions.swap.face.align import Matrix, crop_with
from functions.swap.remote.attempt import (
    FIRST_PAUSE,
    LOCAL_SECONDS,
    LOCAL_SECONDS_A_FACE,
    LONGEST_PAUSE,
    SHORTEST_ATTEMPT,
    report_failure,
)
from functions.swap.remote.exchange import MOST_ANSWER_BYTES, origin
from functions.swap.remote.interfaces import Failed, Running, Ticket
from functions.swap.remote.replicate import MOST_INPUT_BYTES, Delivered, PictureState, Replicate
from functions.swap.values import Box, RemoteUse
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ObjectNotFound, StorageFailed, TooLarge
from layers.core.http_fetch import fetch
from layers.core.storage import Storage
from layers.media.decode import decode
from layers.media.picture import Pixels

QUALITY = 95  # of the JPEG that goes out
MARGIN = 0.6  # of a face's box on each side, within which a swapper may paint
MOST_DIFFERENCE = 4.0  # levels on average outside of the faces: what encoding twice costs
LEAST_CHANGE = 1.0  # levels on average within a face, where anything was swapped
KEPT_SECONDS = 3000  # of the hour after which Replicate deletes a prediction


@dataclass(frozen=True)
class Still:
    """A meme, and the faces of it that are replaced."""

    pixels: Pixels  # BGR [H, W, 3]
    boxes: Sequence[Box]  # of these faces
    transforms: Sequence[Matrix]  # from the picture to the crop of each
    others: Sequence[Box]  # of the faces that stay, which a swapper there may take all the same
    digest: str  # of the file


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


def swap_picture_elsewhere(
    remote: Replicate,
    still: Still,
    face: Pixels,
    caller: str | None,
    tickets: TicketStore,
    deadline: Deadline,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Pixels, RemoteUse] | Failed:
    """The crops of the still's faces as they are in what comes back, uint8 BGR [N, 128, 128, 3].

    `face` is the picture of the face that is put in, BGR [H, W, 3]. Both go out as pixels alone, without what files say
    beside (places, cameras, names). Nothing is raised for what fails elsewhere, and there is time left to
    do it here, as with `swap_elsewhere`.
    """
    until = Deadline(deadline.at - LOCAL_SECONDS - LOCAL_SECONDS_A_FACE * len(still.boxes))
    if until.left() < SHORTEST_ATTEMPT:
        return report_failure(remote.name, Failed("out_of_time", "There is not enough time to ask."))
    meme, source = _encode(still.pixels), _encode(face)
    if len(meme) + len(source) > MOST_INPUT_BYTES:
        return report_failure(remote.name, Failed("media_too_large", "The pictures are too large to be sent."))
    name = hashlib.sha256(
        "\n".join([remote.version, still.digest, hashlib.sha256(source).hexdigest(), caller or ""]).encode()
    ).hexdigest()
    state = _finish(remote, _data_uri(meme), _data_uri(source), name, tickets, until, sleep)
    if isinstance(state, Failed):
        return report_failure(remote.name, state)
    crops = _take_faces(state.url, still, remote, until)
    if isinstance(crops, Failed):
        return report_failure(remote.name, crops)
    dollars = round(state.seconds * remote.dollars_per_second, 8)
    return crops, RemoteUse(remote.name, round(state.seconds, 4), dollars)


def _finish(
    remote: Replicate,
    meme: str,
    face: str,
    name: str,
    tickets: TicketStore,
    until: Deadline,
    sleep: Callable[[float], None],
) -> Delivered | Failed:
    """Submit, unless it was submitted before, and wait for the end."""
    ticket, state = _start(remote, meme, face, name, tickets, until)
    pause = FIRST_PAUSE
    while not isinstance(state, Delivered):
        wait = pause
        if isinstance(state, Failed):
            if not state.retryable or (ticket is None and state.sent and state.code == "provider_failed"):
                return state
            wait = max(pause, state.retry_after or 0.0)
        if until.left() <= wait:
            break
        sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)
        if ticket:
            state = remote.poll(ticket, until)
        else:
            ticket, state = _start(remote, meme, face, name, tickets, until)
    if isinstance(state, Running):
        if ticket:
            remote.cancel(ticket, Deadline.after(1.0))
        return Failed("out_of_time", "It took too long.")
    return state


def _start(
    remote: Replicate, meme: str, face: str, name: str, tickets: TicketStore, until: Deadline
) -> tuple[Ticket | None, PictureState]:
    if earlier := tickets.find(name, until):
        state = remote.poll(earlier, until)
        if not isinstance(state, Failed) or state.retryable:
            return earlier, state
    ticket, state = remote.submit(meme, face, until)
    if ticket:
        with suppress(StorageFailed):  # without it only a later try would pay again, and an error makes sure of one
            tickets.keep(name, ticket)
    return ticket, state


def _take_faces(url: str, still: Still, remote: Replicate, until: Deadline) -> Pixels | Failed:
    """The faces of the picture at that URL, if it is the same picture but for them."""
    height, width = still.pixels.shape[:2]
    try:
        trusted = frozenset[str]() if url.startswith("https:") else frozenset({origin(url)})  # a test's
        content = fetch(url, limit=MOST_ANSWER_BYTES, deadline=until, accept="image/*", trusted_origins=trusted)
        answer = decode(content, MOST_ANSWER_BYTES, height * width).as_seen()
    except ColdswapError as error:
        return Failed("provider_failed", f"What it made cannot be used ({error.code}).")
    except TooLarge:
        return Failed("provider_failed", "What it made is too large.")
    if answer.shape != still.pixels.shape:
        return Failed("provider_failed", "What it made has another size.")
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


def _slices(box: Box, margin: float, height: int, width: int) -> tuple[slice, slice]:
    x0, y0, x1, y1 = box
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    return (
        slice(max(int(y0 - dy), 0), min(int(y1 + dy) + 1, height)),
        slice(max(int(x0 - dx), 0), min(int(x1 + dx) + 1, width)),
    )


def _encode(pixels: Pixels) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def _data_uri(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
