"""The check, before anything is spent, that captions can be drawn."""

from __future__ import annotations

from functions.video.render import font_files
from functions.video.render.caption_design import set_capitals
from functions.video.render.own_font import load_own_face
from functions.video.render.typesetting import check
from functions.video.services import Services
from functions.video.values import VideoRequest
from layers.core.deadline import Deadline


def check_letters(request: VideoRequest, text: str, services: Services, deadline: Deadline) -> tuple[str, ...]:
    """Check that captions can show every letter of a text; return the signs that are left out.

    Raises UnsupportedScript, FontsMissing, InvalidRequest where the request names a typeface that is not there, and
    what `load_own_face` raises.
    """
    style = request.caption_style
    own = load_own_face(services, deadline, style.font)
    text = set_capitals(text) if style.capitals else text
    left_out = check(text, own)
    font_files.require(text, own, services)
    return left_out
