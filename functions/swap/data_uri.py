"""Pictures inside their URI: data: URIs (RFC 2397), as browsers take them (WHATWG Fetch, "data: URL processor")."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

from layers.core.errors import InvalidRequest, PictureTooLarge
from layers.core.units import MIB

_PICTURE = re.compile(r"image/[a-z0-9.+-]{1,64}")
_ANY = "application/octet-stream"  # what libraries write that do not know the type, which is recognised anyway
_MAX_HEAD = 1000  # characters before the comma
_EXAMPLE = "Begin it with data:image/png;base64 and a comma."


def is_data_uri(uri: str) -> bool:
    """Whether the picture is inside its URI."""
    return uri[:5].lower() == "data:"


def check_data_uri(uri: str) -> None:
    """Reject a data: URI that cannot hold a picture. Raises InvalidRequest."""
    _parse_head(uri)


def decode_data_uri(uri: str, limit: int) -> tuple[bytes, str]:
    """The bytes and the media type of a data: URI; `limit` in bytes. Raises InvalidRequest or PictureTooLarge."""
    start, media_type = _parse_head(uri)
    text = uri[start:]
    if "%" in text:
        text = unquote(text)
    # Spaces, line breaks and missing padding do not matter; - and _ stand for + and / in another alphabet (RFC 4648).
    text = "".join(text.split()).translate({ord("-"): "+", ord("_"): "/"})
    text = text[:-2] + text[-2:].rstrip("=")
    if len(text) * 3 // 4 > limit:
        raise PictureTooLarge(f"The picture is larger than {limit // MIB} MiB.")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True), media_type
    except (binascii.Error, ValueError):
        raise InvalidRequest("The picture inside a data: URI is not valid base64.") from None


def _parse_head(uri: str) -> tuple[int, str]:
    """Where the data begins, and their media type."""
    comma = uri.find(",", 0, _MAX_HEAD)
    if comma < 0:
        raise InvalidRequest(f"The data: URI has no comma before its picture. {_EXAMPLE}")
    media_type, *parameters = (part.strip().lower() for part in uri[len("data:") : comma].split(";"))
    if "base64" not in parameters:
        raise InvalidRequest(f"The data: URI does not say that its picture is in base64. {_EXAMPLE}")
    if media_type not in ("", _ANY) and not _PICTURE.fullmatch(media_type):
        raise InvalidRequest(f"The data: URI does not name a kind of picture. {_EXAMPLE}")
    return comma + 1, media_type or _ANY
