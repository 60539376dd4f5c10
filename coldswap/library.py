"""Swapping and listing faces, as Python calls it."""

from __future__ import annotations

import base64
import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex

from coldswap.personal import locate_signing_key, remind_of_terms
from coldswap.pictures import (
    ORDERS,
    ColorOrder,
    Picture,
    decode_pixels,
    enumerate_choices,
    is_array,
    list_person_pictures,
    read_picture,
)
from functions.swap.limits import SwapLimits
from functions.swap.moving.job import MovingJob
from functions.swap.values import Detail, FaceChoice, RequestFormat, SwapRequest
from layers.core.errors import InvalidRequest, ModelsCorrupt, MovingMeme
from layers.media.formats import PICTURE_FORMATS

if TYPE_CHECKING:
    from coldswap.workspace import Workspace
    from functions.swap.context import SwapContext
    from layers.media.picture import Pixels

LIMITS = SwapLimits()
DETAILS = ("fast", "balanced")
FORMATS = (*PICTURE_FORMATS, "gif", "mp4")
MOVING_SECONDS = 12 * 3600.0  # that a meme that moves may take: a minute of video has 1,800 frames
MEME = "meme"
FACES = "faces must be all, largest, or a list of numbers of faces."
NOT_FACTS = ("key", "url", "cold_start", "bytes_fetched", "bytes_in_vain")  # they say something of a cloud alone


@dataclass(frozen=True)
class SwappedPicture:
    """A finished swap: the labelled and signed file, and what is to be said about it.

    Of a meme that moves, `faces` are its people, and `facts["people"]` says when each of them is seen.
    """

    content: bytes = field(repr=False)  # the file, in the format of `facts["content_type"]`
    facts: Mapping[str, Any]  # as POST /swap answers: faces, notes, models, digests, engine, width, height, ...
    color_order: ColorOrder = "RGB"

    @property
    def faces(self) -> list[dict[str, Any]]:
        """What became of each face of the meme."""
        return list(self.facts["faces"])

    @property
    def notes(self) -> list[str]:
        """Remarks: what became otherwise than one might expect, and why."""
        return list(self.facts["notes"])

    @property
    def pixels(self) -> Pixels:
        """The picture decoded: uint8 [H, W, 3], or [H, W, 4] with alpha, colours in the call's `color_order`."""
        return decode_pixels(self.content, self.color_order)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file as it is, labels and all. Raises OSError."""
        with open(path, "wb") as file:
            file.write(self.content)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows."""
        return {self.facts["content_type"]: base64.b64encode(self.content).decode()}


def swap(
    face: Picture | Sequence[Picture],
    meme: Picture,
    *,
    faces: str | Iterable[SupportsIndex] = "all",
    format: RequestFormat | Literal["jpg"] | None = None,
    quality: SupportsIndex | None = None,
    color_match: bool = True,
    soft_edges: bool = True,
    detail: Detail = "balanced",
    badge: bool = False,
    models: str | os.PathLike[str] | None = None,
    color_order: ColorOrder = "RGB",
) -> SwappedPicture:
    """Put the face of one picture into another. The options are those of POST /swap (docs/api.md).

    A meme may move: a GIF, animated WebP, APNG, or a video as MP4, MOV or WebM keeps its format (the last two become
    MP4), or becomes an mp4 or webp by `format`. A picture is a path, the bytes of a JPEG, PNG or WebP file, or an
    array, uint8 [H, W, 3] or [H, W, 4], whose colours are in `color_order`: RGB as Pillow, scikit-image and matplotlib
    have them, or BGR as OpenCV has them. `face` may be a list of up to four pictures of one person. `faces` is all,
    largest, or the numbers of `list_faces`. An array counts as a PNG, so give a `format` if the result should be
    another. `models` is the folder of a pack; without it, what `coldswap models get` installed, or else the small
    models for drawings.

    The result is labelled as made with a model, and signed by a key that is made at first use. Raises ColdswapError,
    whose `code` is the API's.
    """
    pictures = list_person_pictures(face)
    chosen = _check_faces(faces)
    _check_options(len(pictures), detail, color_order)
    format = _check_format(format)
    quality = _check_quality(quality)
    for name, value in {"color_match": color_match, "soft_edges": soft_edges, "badge": badge}.items():
        _check_switch(name, value)
    named = {f"face-{number}": picture for number, picture in enumerate(pictures)} | {MEME: meme}
    with _open(named, models, color_order, locate_signing_key) as workspace:
        sources = [workspace.uri(name) for name in named if name != MEME]
        request = SwapRequest(
            workspace.uri(MEME),
            face=sources[0] if len(sources) == 1 else sources,
            faces=chosen,
            format=format,
            quality=quality,
            color_match=color_match,
            soft_edges=soft_edges,
            detail=detail,
            badge=badge,
        )
        content, facts = _run(request, workspace)
        facts["notes"] += _note_photographs(workspace, named)
        return SwappedPicture(content, facts, color_order)


def list_faces(
    picture: Picture, *, models: str | os.PathLike[str] | None = None, color_order: ColorOrder = "RGB"
) -> dict[str, Any]:
    """The faces of a picture, by the numbers that `swap` takes: what POST /faces answers (docs/api.md).

    A picture that moves has `people` in place of `faces`, with the times at which each is seen.

    The arguments are as in `swap`. Raises ColdswapError.
    """
    _check_choice("color_order", color_order, ORDERS)
    with _open({MEME: picture}, models, color_order) as workspace:
        from functions.swap import face_listing
        from functions.swap.entry.swap_answer import round_face

        try:
            listing = asdict(face_listing.list_faces(workspace.uri(MEME), None, workspace.context))
            listing["faces"] = [round_face(face) for face in listing["faces"]]
        except MovingMeme:
            from functions.swap.moving import steps

            job = MovingJob(MEME, SwapRequest(workspace.uri(MEME)))
            listing = asdict(steps.list_people(job, _allow_time(workspace)))
        listing["notes"] += _note_photographs(workspace, [MEME])
        return listing


def _run(request: SwapRequest, workspace: Workspace) -> tuple[bytes, dict[str, Any]]:
    """The result's file, and its facts."""
    from functions.swap import pipeline
    from functions.swap.entry.swap_answer import arrange_result

    try:
        result = pipeline.swap(request, workspace.context, key="result").result
    except MovingMeme:
        from functions.swap.moving import steps

        result = steps.swap_moving(MovingJob(MEME, request), _allow_time(workspace), key="result").result
    facts = arrange_result({name: value for name, value in asdict(result).items() if name not in NOT_FACTS})
    return workspace.read_result(result.key), facts


def _allow_time(workspace: Workspace) -> SwapContext:
    """The context of a meme that moves, which takes as long as it takes."""
    from layers.core.deadline import Deadline

    return replace(workspace.context, deadline=Deadline.after(MOVING_SECONDS))


@contextmanager
def _open(
    pictures: Mapping[str, Picture],
    models: str | os.PathLike[str] | None,
    order: ColorOrder,
    locate_key: Callable[[], str] = str,
) -> Iterator[Workspace]:
    """A workspace with these pictures in it; without `locate_key` nothing can be signed there."""
    from coldswap.packs import choose_pack
    from coldswap.workspace import log, open_workspace

    contents = {
        name: read_picture(picture, LIMITS.max_picture_bytes, order, LIMITS.max_moving_bytes if name == MEME else 0)
        for name, picture in pictures.items()
    }
    # An array's size is bounded in pixels alone: the limit in bytes is for files.
    arrays = [len(contents[name]) for name, picture in pictures.items() if is_array(picture)]
    remind_of_terms(log)
    pack = choose_pack(models)
    try:
        with open_workspace(pack, max([LIMITS.max_picture_bytes, *arrays]), locate_key()) as workspace:
            for name, content in contents.items():
                workspace.put(name, content)
            yield workspace
    except ModelsCorrupt as error:  # its advice is for a bucket
        raise ModelsCorrupt(f"The models in {pack} are damaged. Delete that folder, and get them again.") from error


def _note_photographs(workspace: Workspace, names: Iterable[str]) -> list[str]:
    """A remark if these pictures seem to be photographs, and the models are for drawings."""
    from coldswap.packs import ADVICE, is_demo
    from local.photo_check import looks_photographed

    if not is_demo(workspace.context.models.manifest.pack):
        return []
    if not any(looks_photographed(workspace.picture_path(name)) for name in names):
        return []
    return [f"This looks like a photograph, and the models in use are made for drawn faces. {ADVICE}"]


def _check_faces(faces: str | Iterable[SupportsIndex]) -> FaceChoice:
    if isinstance(faces, str):
        if faces == "all":
            return "all"
        if faces == "largest":
            return "largest"
        raise InvalidRequest(FACES)
    try:
        chosen = list(faces)
        numbers = [operator.index(each) for each in chosen]
    except TypeError:  # no list, or not of whole numbers
        raise InvalidRequest(FACES) from None
    if not numbers or min(numbers) < 0 or any(isinstance(each, bool) for each in chosen):
        raise InvalidRequest(FACES)
    return [*numbers]


def _check_options(pictures: int, detail: str, color_order: str) -> None:
    """Raise InvalidRequest for what the API would refuse too."""
    if not 1 <= pictures <= LIMITS.max_person_pictures:
        raise InvalidRequest(f"face must be one picture, or up to {LIMITS.max_person_pictures} of one person.")
    _check_choice("detail", detail, DETAILS)
    _check_choice("color_order", color_order, ORDERS)


def _check_format(format: RequestFormat | Literal["jpg"] | None) -> RequestFormat | None:
    """The format by its one name."""
    if format is None:
        return None
    if format == "jpg":
        return "jpeg"
    _check_choice("format", format, FORMATS)
    return format


def _check_quality(quality: SupportsIndex | None) -> int | None:
    """The quality as an int."""
    if quality is None:
        return None
    if not isinstance(quality, SupportsIndex) or not 1 <= operator.index(quality) <= 100:
        raise InvalidRequest("quality must be a whole number from 1 to 100.")
    return operator.index(quality)


def _check_switch(name: str, value: bool) -> None:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name} must be True or False.")


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise InvalidRequest(f"{name} must be {enumerate_choices(choices)}.")
