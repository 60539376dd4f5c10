"""What a caller wants to have: JSON or the picture itself, by the request's Accept header (RFC 9110, 12.5.1)."""

from __future__ import annotations

from functions.swap.entry.multipart import parse_value
from layers.media.formats import MEDIA_TYPES, PICTURE_FORMATS, PictureFormat

_JSON = "application/json"
_ALIASES = {"image/jpg": "image/jpeg"}  # the first is no media type, and often written
_MAX_RANGES = 100  # that are looked at

Ranges = dict[str, float]  # weights by media range


def prefers_picture(accept: str) -> bool:
    """Whether a picture in one of our formats is wanted more than JSON; on a tie, and without a header, it is not."""
    ranges = _parse(accept)
    return max(_weigh(each, ranges) for each in MEDIA_TYPES.values()) > _weigh(_JSON, ranges)


def prefers(media_type: str, accept: str, over: str) -> bool:
    """Whether the first media type is wanted more than the other; on a tie, and without a header, it is not."""
    ranges = _parse(accept)
    return _weigh(media_type, ranges) > _weigh(over, ranges)


def choose_format(accept: str) -> PictureFormat | None:
    """The picture format that is wanted most; None where the meme's own is as good as any."""
    ranges = _parse(accept)
    weights = {format: _weigh(MEDIA_TYPES[format], ranges) for format in PICTURE_FORMATS}
    best = [format for format in weights if weights[format] == max(weights.values())]
    if len(best) == len(weights):
        return None
    order = list(ranges)
    return min(
        best, key=lambda format: order.index(MEDIA_TYPES[format]) if MEDIA_TYPES[format] in order else len(order)
    )


def _parse(accept: str) -> Ranges:
    """The media ranges in their order, without those that cannot be read."""
    ranges: Ranges = {}
    for each in accept.split(",")[:_MAX_RANGES]:
        try:
            media_range, parameters = parse_value(each.strip())
            weight = float(parameters.get("q", "1"))
        except ValueError:
            continue
        if media_range and 0 <= weight <= 1:
            ranges.setdefault(_ALIASES.get(media_range, media_range), weight)
    return ranges


def _weigh(media_type: str, ranges: Ranges) -> float:
    """The weight of a media type: that of the most specific range which has it."""
    kind = media_type.partition("/")[0]
    return next((ranges[each] for each in (media_type, f"{kind}/*", "*/*") if each in ranges), 0.0)
