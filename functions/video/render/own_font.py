"""A typeface of the operator's own: the file under fonts/ of the models bucket that the setting caption_font names."""

from __future__ import annotations

import hashlib
import io
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from functions.video.render.faces import Face
from functions.video.render.font_files import write_face
from functions.video.services import Services
from layers.core.deadline import Deadline
from layers.core.errors import FontUnusable, InvalidRequest, ObjectNotFound, StorageFailed, TooLarge
from layers.core.storage import is_forbidden
from layers.core.units import MIB

if TYPE_CHECKING:
    from fontTools.ttLib import TTFont

NAME = "Own"
MOST_BYTES = 20 * MIB
_FOLDER = "fonts/"
_SIGNATURES = ("\x00\x01\x00\x00", "true", "OTTO", "ttcf")  # OpenType 1.9, "organization of an OpenType font"
_COLLECTION = "ttcf"
# Of OS/2's fsType: what its maker does not allow, with what is done here.
_FORBIDDEN = {0x0002: "to be embedded", 0x0100: "to be cut to some letters", 0x0200: "to be embedded as outlines"}
_TALLEST = (1.3, 0.6)  # ascent and descent of a line in ems, whatever the file says

_latest: dict[tuple[str, str], OwnFace] = {}  # by key and entity tag; one at most


@dataclass(frozen=True)
class OwnFace(Face):
    """A typeface whose file is in memory."""

    data: bytes = field(default=b"", repr=False)

    def open(self) -> TTFont:
        """The font, whose tables are read when they are needed."""
        from fontTools.ttLib import TTFont

        return TTFont(io.BytesIO(self.data), fontNumber=self.number, lazy=True)

    @property
    def source(self) -> list[str | int]:
        """The digest of its file."""
        return [hashlib.sha256(self.data).hexdigest(), self.number]


def load_own_face(services: Services, deadline: Deadline, choice: str | None = None) -> OwnFace | None:
    """The operator's typeface, or another of theirs that a request names by its file; None where there is none. It is
    kept while the file stays the same.

    Raises FontUnusable, InvalidRequest (no file of that name), StorageFailed, SafeguardFailed or OutOfTime.
    """
    settings = services.settings
    name = choice or settings.operator_settings().caption_font
    if not name:
        return None
    key = _FOLDER + name
    try:
        head = services.storage.head(settings.models_bucket, key)
    except StorageFailed as error:
        if not is_forbidden(error):
            raise
        head = None  # so S3 answers for what is missing where keys must not be listed
    if head is None and choice:
        raise InvalidRequest(f"This stack has no typeface {choice!r} for captions.")
    if head is None:
        raise FontUnusable(f"There is no file {key} in the models bucket, which the setting caption_font names.")
    identity = (key, head.etag)
    if identity not in _latest:
        try:
            data = services.storage.read(settings.models_bucket, key, MOST_BYTES, deadline).data
        except ObjectNotFound:
            raise FontUnusable(f"The file {key} was deleted from the models bucket.") from None
        except TooLarge:
            raise FontUnusable(f"The file {key} is larger than {MOST_BYTES // MIB} MiB.") from None
        face = read_own_face(data, name)
        _latest.clear()
        _latest[identity] = face
    return _latest[identity]


def read_own_face(data: bytes, name: str) -> OwnFace:
    """Check a font file and cut a letter from it, as is done for each video. Raises FontUnusable.

    What is drawn is never the file itself, but what fontTools understood of it and wrote anew.
    """
    signature = data[:4].decode("latin-1")
    if signature not in _SIGNATURES:
        raise FontUnusable(f"{name} is no TrueType or OpenType font (.ttf, .otf or .ttc).")
    face = OwnFace(NAME, "", "", name, 0 if signature == _COLLECTION else -1, data=data)
    try:
        with face.open() as font:
            forbidden = [what for bit, what in _FORBIDDEN.items() if font["OS/2"].fsType & bit]
            letters = [chr(code) for code in font.getBestCmap() or () if chr(code).isalpha()]
            line = (font["hhea"].ascent / font["head"].unitsPerEm, -font["hhea"].descent / font["head"].unitsPerEm)
        if not forbidden and letters:
            with tempfile.TemporaryDirectory() as folder:
                write_face(face, letters[0], NAME, line, Path(folder) / NAME)
    except Exception as error:  # fontTools has no errors of its own for most of what can be wrong
        raise FontUnusable(f"{name} cannot be read as a font ({type(error).__name__}).") from None
    if forbidden:
        raise FontUnusable(f"The maker of {name} does not allow it {forbidden[0]} (OS/2 fsType).")
    if not letters:
        raise FontUnusable(f"{name} has no letters.")
    return replace(face, line=(min(line[0], _TALLEST[0]), min(line[1], _TALLEST[1])))
