"""Pictures on their way in: read, decoded, and shown to the content filter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from functions.swap import inputs
from functions.swap.context import SwapContext
from functions.swap.meme_sink import refuse_moving
from functions.swap.settings import Settings
from layers.core.errors import ColdswapError, MovingMeme, PictureTooLarge, UnsupportedPicture
from layers.core.mistakes import describe_mistake
from layers.core.telemetry import Phases
from layers.core.units import MIB
from layers.media.decode import decode

if TYPE_CHECKING:
    from layers.media.moving.description import Limits
    from layers.media.picture import Picture


@dataclass(frozen=True)
class PictureRole:
    """What a picture is for, by which errors name it."""

    field: Literal["meme", "face"]  # of the request
    index: int | None = None  # of the face of the meme that a source of its own replaces
    number: int | None = None  # in a list of pictures of one person, from 0
    position: int | None = None  # in the request's `faces`, of what has that index
    is_default: bool = False  # the stack's own face, which the request does not name

    @property
    def path(self) -> inputs.Field:
        """Where the request names the picture; empty for the stack's default face."""
        if self.is_default:
            return ()
        path: inputs.Field = (self.field,) if self.position is None else ("faces", self.position, self.field)
        return path if self.number is None else (*path, self.number)

    def list_mistakes(self, message: str) -> dict[str, Any]:
        """The member `errors` of an error about the picture, for those that a caller can put right."""
        return {"errors": [describe_mistake(self.path, message)]} if self.path else {}

    @property
    def source(self) -> str:
        """The name of a source picture in a sentence."""
        which = "" if self.number is None else f" face[{self.number}]"
        return f"the source picture{which}{self.replaced}"

    @property
    def replaced(self) -> str:
        """The words for the face of the meme that it replaces, none if it may be any."""
        return "" if self.index is None else f" for face {self.index}"

    def of_picture(self, number: int) -> PictureRole:
        """The role of one of a person's pictures, by its number in the list."""
        return replace(self, number=number)


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

    def read(self, uri: str, on_move: Callable[[], object] = lambda: None) -> bytes:
        """The bytes that a URI names. Raises the errors of `inputs.read_meme`, as whose `on_move` is called."""
        return inputs.read_meme(uri, self._caller, self._context, on_move)

    def read_together(self, uris: Sequence[str]) -> dict[int, bytes | ColdswapError]:
        """The bytes of pictures that together may be as large as one, by their numbers in the list, each URI once.

        They are read one after another. The first that cannot be read has its error, and none that follow are read.
        """
        contents: dict[int, bytes | ColdswapError] = {}
        limit = remaining = self._context.settings.max_picture_bytes
        for number, uri in enumerate(uris):
            if uri in uris[:number]:
                continue
            try:
                content = inputs.read(uri, self._caller, self._context, remaining)
            except PictureTooLarge as error:
                detail = f"The pictures of one person are together larger than {limit // MIB} MiB. Use smaller ones."
                return {**contents, number: error if remaining == limit else PictureTooLarge(detail)}
            except ColdswapError as error:
                return {**contents, number: error}
            contents[number] = content
            remaining -= len(content)
        return contents

    def decode(self, data: Future[bytes], role: PictureRole) -> Picture:
        """Decode a picture that is being read. Raises the errors of reading and decoding, which name the picture."""
        with self._phases("fetch"), name_picture(role):
            content = data.result()
        return self.decode_bytes(content, role)

    def decode_bytes(self, content: bytes, role: PictureRole) -> Picture:
        """Decode a picture. Raises the errors of decoding, which name the picture."""
        settings = self._context.settings
        with self._phases("decode"), name_picture(role):
            if is_animation(content):
                return decode_animation(content, role, settings)
            return decode(content, settings.max_picture_bytes, settings.max_picture_pixels)

    def filter_content(self, picture: Picture, role: PictureRole) -> None:
        """Show a picture to the pack's content filter, if it has one. Raises ContentRefused or SafeguardFailed."""
        if not self.has_content_filter:
            return
        with self._phases("gate"), name_picture(role):
            from functions.swap.safeguards.content_filter import ContentFilter

            content_filter = ContentFilter(*self._context.models.gate(self._context.deadline))
            content_filter.check(picture.pixels, picture.alpha)


def is_animation(content: bytes) -> bool:
    """Whether a file has the form of one that moves: some have a single frame."""
    from layers.media.moving.kinds import sniff_moving

    return sniff_moving(content) is not None


def moving_limits(settings: Settings) -> Limits:
    """What a moving meme may cost."""
    from layers.media.moving.description import Limits

    return Limits(
        seconds=settings.max_moving_seconds,
        pixels=settings.max_moving_pixels,
        frames=settings.max_moving_frames,
        bytes=settings.max_moving_bytes,
        total_pixels=settings.max_moving_frames * settings.max_moving_pixels,
    )


def decode_animation(content: bytes, role: PictureRole, settings: Settings) -> Picture:
    """Decode an animation of one frame as the still picture that it is: a GIF counts as a PNG from here on.

    Raises MovingMeme for a meme that moves, UnsupportedPicture for a source that does, and the errors of reading.
    """
    from layers.media.moving.still import decode_one_frame, describe

    limits = moving_limits(settings)
    still_limits = replace(limits, pixels=settings.max_picture_pixels)
    description = describe(content, still_limits)
    if description.is_still:
        return decode_one_frame(content, still_limits)
    limits.check_canvas(description.width, description.height)
    if role.field == "face":
        raise UnsupportedPicture("It moves. Send a JPEG, PNG or WebP that shows the face, or one of its frames.")
    raise refuse_moving(settings.moving_machine_arn, content)


@contextmanager
def name_picture(role: PictureRole) -> Iterator[None]:
    """Make errors say which of a request's pictures they are about."""
    try:
        yield
    except MovingMeme:
        raise  # nothing is wrong with the picture
    except ColdswapError as error:
        error.extra["picture"] = role.field
        raise inputs.name_error(error, role.path) from error
