"""How a footage's pictures are stored, by ffmpeg's own report, and the filters that make BT.709 of them.

Names are ffmpeg's; colours are those of ITU-T H.273.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from layers.core.deadline import Deadline
from layers.media.ffmpeg import run, untrusted_input

Colour = Literal["bt709", "bt601", "rgb", "bt2020", "hlg", "pq"]

# "Stream #0:0: Video: hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/arib-std-b67, progressive), 720x1280": what is
# not known is left out.
_REPORT = re.compile(r"Stream #0:\d+.*: Video: .*?, (?P<pixels>[a-z]\w*)(?:\((?P<rest>.*?)\))?, \d+x\d+")
_BT601 = ("smpte170m", "bt470bg", "fcc")
_INTERLACED = ("top first", "bottom first", "top coded first", "bottom coded first")
_NITS = 203  # of white in HDR (ITU-R BT.2408), which becomes white of SDR
# Highlights are compressed from half of white on; below that, everything keeps its brightness and its saturation.
_TONE_MAP = "tonemap=mobius:param=0.5:desat=0"
_WIDE_GAMUT = "zscale=pin=bt2020:min=2020_ncl:tin="
_TO_BT709 = "m=bt709:r=tv"


@dataclass(frozen=True)
class PictureFormat:
    """The colours of a footage, and whether its pictures are pairs of fields."""

    colour: Colour = "bt709"
    interlaced: bool = False


USUAL = PictureFormat()
FORMATS = tuple(
    PictureFormat(colour, interlaced)
    for colour in ("bt709", "bt601", "rgb", "bt2020", "hlg", "pq")
    for interlaced in (False, True)
)


def read_format(path: Path, max_pixels: int, deadline: Deadline) -> PictureFormat:
    """The format of a stranger's file, whose first frame is decoded. Raises UnreadableMedia or OutOfTime."""
    arguments = ["-max_pixels", str(max_pixels), *untrusted_input(path), "-map", "0:v:0", "-frames:v", "1"]
    return parse_report(run([*arguments, "-f", "null", "-"], deadline=deadline, loglevel="info"))


def parse_report(report: str) -> PictureFormat:
    """The format by what ffmpeg says of its input; the usual one where it says nothing."""
    match = _REPORT.search(report)
    if match is None:
        return USUAL
    rest = match["rest"] or ""
    interlaced = any(rest.endswith(order) or f"{order} (" in rest for order in _INTERLACED)
    return PictureFormat(_colour(match["pixels"], set(re.split(r"[,/ ]+", rest))), interlaced)


def _colour(pixels: str, words: set[str]) -> Colour:
    if "arib-std-b67" in words:
        return "hlg"
    if "smpte2084" in words:
        return "pq"
    if pixels.startswith(("gbr", "rgb", "bgr")):
        return "rgb"
    if words & {"bt2020nc", "bt2020c", "bt2020"}:
        return "bt2020"
    return "bt601" if words.intersection(_BT601) and "bt709" not in words else "bt709"


def deinterlace(pictures: PictureFormat) -> list[str]:
    """The filters that make one whole picture of each pair of fields; they come first."""
    return ["bwdif=mode=send_frame"] if pictures.interlaced else []


def matrix_options(pictures: PictureFormat) -> str:
    """What the filter that scales must know of the colours."""
    match pictures.colour:
        case "bt601":
            return ":in_color_matrix=bt601:out_color_matrix=bt709"
        case "rgb":
            return ":out_color_matrix=bt709"
    return ""


def to_bt709(pictures: PictureFormat) -> list[str]:
    """The filters that take pictures of the final size to BT.709, as it is."""
    match pictures.colour:
        case "bt2020":
            return [f"{_WIDE_GAMUT}bt709:p=bt709:t=bt709:{_TO_BT709}"]
        case "hlg" | "pq":
            transfer = {"hlg": "arib-std-b67", "pq": "smpte2084"}[pictures.colour]
            linear = f"{_WIDE_GAMUT}{transfer}:t=linear:npl={_NITS}"
            return [linear, "format=gbrpf32le", "zscale=p=bt709", _TONE_MAP, f"zscale=t=bt709:{_TO_BT709}"]
    return []
