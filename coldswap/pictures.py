"""Pictures as a caller has them: a path, the bytes of a file, or an array of pixels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from layers.core.errors import InputNotFound, InvalidRequest, PictureTooLarge, UnreadablePicture
from layers.core.units import MIB

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from layers.media.picture import Pixels

Path = str | os.PathLike[str]
Picture = Any  # Path | bytes | bytearray | memoryview | NDArray[np.uint8]: NumPy is imported late
ColorOrder = Literal["RGB", "BGR"]
ORDERS = ("RGB", "BGR")


def enumerate_choices(choices: Sequence[str]) -> str:
    """The choices as a sentence names them: `a, b or c`."""
    return " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))


def list_person_pictures(face: Picture | Sequence[Picture]) -> list[Picture]:
    """The pictures of one person: a list of them, or a single one."""
    return list(face) if isinstance(face, list | tuple) else [face]


def read_picture(picture: Picture, limit: int, order: ColorOrder, moving_limit: int = 0) -> bytes:
    """The bytes of a picture's file; an array of pixels becomes a PNG, which loses nothing.

    An array is uint8 [H, W, 3] or [H, W, 4], with its colours in that order and alpha last. Raises InputNotFound,
    UnreadablePicture, PictureTooLarge for a file of more than `limit` bytes (`moving_limit` if it moves), or
    InvalidRequest.
    """
    if isinstance(picture, str | os.PathLike):
        return _read_file(picture, limit, moving_limit)
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if is_array(picture):
        return _encode_pixels(picture, order)
    raise InvalidRequest(f"A picture is a path, bytes or an array of pixels, not {type(picture).__name__}.")


def is_array(picture: Picture) -> bool:
    """Whether a picture has pixels rather than a file: NumPy's arrays and what turns into them."""
    is_file = isinstance(picture, str | os.PathLike | bytes | bytearray | memoryview)
    return not is_file and (hasattr(picture, "__array__") or hasattr(picture, "__array_interface__"))


def decode_pixels(content: bytes, order: ColorOrder) -> Pixels:
    """A finished picture as uint8 [H, W, 3], or [H, W, 4] with alpha, its colours in that order."""
    import cv2
    import numpy as np

    data = np.frombuffer(content, np.uint8)
    pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 4 or pixels.dtype != np.uint8:
        pixels = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return _turn_colors(np.asarray(pixels, np.uint8), order)


def _read_file(path: Path, limit: int, moving_limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(limit + 1)
            if len(content) > limit and moving_limit > limit and _may_move(content):
                limit = moving_limit
                content += file.read(limit + 1 - len(content))
    except FileNotFoundError:
        advice = " Download it first: only files are read." if "://" in os.fspath(path) else ""
        raise InputNotFound(f"There is no file {os.fspath(path)}.{advice}") from None
    except OSError as error:
        raise UnreadablePicture(f"{os.fspath(path)} cannot be read: {error.strerror}.") from None
    if len(content) > limit:
        raise PictureTooLarge(f"{os.fspath(path)} is larger than {limit // MIB} MiB.")
    return content


def _may_move(content: bytes) -> bool:
    from layers.media.moving.kinds import sniff_moving

    return sniff_moving(content) is not None


def _encode_pixels(picture: Any, order: ColorOrder) -> bytes:
    import cv2
    import numpy as np

    pixels: NDArray[Any] = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or not pixels.size:
        raise InvalidRequest(
            f"An array of pixels is uint8 [H, W, 3] or [H, W, 4], not {pixels.dtype} {list(pixels.shape)}."
        )
    colors = _turn_colors(pixels, order)
    done, png = cv2.imencode(".png", colors, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not done:
        raise InvalidRequest(f"An array of {pixels.shape[1]}x{pixels.shape[0]} pixels cannot be used.")
    return png.tobytes()


def _turn_colors(pixels: Pixels, order: ColorOrder) -> Pixels:
    """Turn OpenCV's BGR, with alpha last if there is one, into that order; or that order into BGR."""
    import numpy as np

    if order == "BGR":
        return np.ascontiguousarray(pixels)
    return np.ascontiguousarray(np.concatenate([pixels[:, :, 2::-1], pixels[:, :, 3:]], axis=2))
