"""Pictures on their way in: read, decoded, and shown to the content filter."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from functions.swap import inputs
from functions.swap.context import SwapContext
from layers.core.errors import ColdswapError
from layers.core.telemetry import Phases
from layers.media.decode import decode

if TYPE_CHECKING:
    from layers.media.picture import Picture


@dataclass(frozen=True)
class PictureRole:
    """What a picture is for, by which errors name it."""

    field: Literal["meme", "face"]  # of the request
    index: int | None = None  # of the face of the meme that a source of its own replaces

    def __str__(self) -> str:
        return f"the {self.field}" if self.index is None else self.source

    @property
    def source(self) -> str:
        """The name of a source picture in a sentence."""
        return "the source picture" if self.index is None else f"the source picture for face {self.index}"


MEME, FACE = PictureRole("meme"), PictureRole("face")


class PictureLoader:
    """Loads the pictures of one request."""

    def __init__(self, caller: str | None, context: SwapContext, phases: Phases) -> None:
        """`caller`: the pseudonym of who must own what is in the stack's buckets; None for the stack's own."""
        self._caller = caller
        self._context = context
        self._phases = phases

    @property
    def has_content_filter(self) -> bool:
        """Whether the pack has a content filter, which must see every picture."""
        return "gate" in self._context.models.digests

    def read(self, uri: str) -> bytes:
        """The bytes that a URI names. Raises the errors of `inputs.read`."""
        return inputs.read(uri, self._caller, self._context)

    def decode(self, data: Future[bytes], role: PictureRole) -> Picture:
        """Decode a picture that is being read. Raises the errors of reading and decoding, which name the picture."""
        settings = self._context.settings
        with name_picture(role):
            with self._phases("fetch"):
                content = data.result()
            with self._phases("decode"):
                return decode(content, settings.max_picture_bytes, settings.max_picture_pixels)

    def filter_content(self, picture: Picture, role: PictureRole) -> None:
        """Show a picture to the pack's content filter, if it has one. Raises ContentRefused or SafeguardFailed."""
        if not self.has_content_filter:
            return
        with self._phases("gate"), name_picture(role):
            from functions.swap.safeguards.content_filter import ContentFilter

            content_filter = ContentFilter(*self._context.models.gate(self._context.deadline))
            content_filter.check(picture.pixels, picture.alpha)


@contextmanager
def name_picture(role: PictureRole) -> Iterator[None]:
    """Make errors say which of a request's pictures they are about."""
    try:
        yield
    except ColdswapError as error:
        raise type(error)(f"About {role}: {error.detail}", **{**error.extra, "picture": role.field}) from error
