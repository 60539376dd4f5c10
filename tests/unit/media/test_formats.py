"""The one table of formats, and the one sniffer."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from layers.media.encode import encode
from layers.media.formats import (
    EXTENSIONS,
    MAX_SIDE_PIXELS,
    MEDIA_TYPES,
    NAMES,
    PICTURE_FORMATS,
    SNIFFED_BYTES,
    PictureFormat,
    describe_other,
    sniff,
    sniff_picture,
)
from layers.media.picture import Picture


@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_every_picture_that_is_encoded_is_sniffed_as_its_format(format: PictureFormat) -> None:
    head = encode(Picture(np.zeros((8, 8, 3), np.uint8), None, "", format), format, 90)[:SNIFFED_BYTES]
    assert (sniff_picture(head), sniff(head)) == (format, MEDIA_TYPES[format])


@pytest.mark.parametrize("table", [EXTENSIONS, MAX_SIDE_PIXELS, MEDIA_TYPES, NAMES])
def test_every_table_has_every_format(table: dict[PictureFormat, object]) -> None:
    assert tuple(table) == PICTURE_FORMATS


@pytest.mark.parametrize(
    ("head", "media_type", "other"),
    [
        (b"\0\0\0\x18ftypisom", "video/mp4", "an MP4 video"),
        (b"\0\0\0\x18ftypqt  ", "video/mp4", "a QuickTime video"),
        (b"\0\0\0\x18ftypavif", None, "an AVIF picture"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", None, "an HEIC picture"),
        (b"\0\0\0\x18ftypheis", None, "an HEIC picture"),
        (b"\0\0\0\x18ftypmsf1", None, "an HEIC picture"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", None, "an AVIF picture"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0mif1\0\0\0\0avif", None, "an HEIC picture"),
        (b"\xff\x0a\xfa\x1f", None, "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", None, "a JPEG XL picture"),
        (b"BM6\0", None, "a BMP picture"),
        (b"II*\0", None, "a TIFF picture"),
        (b"MM\0*", None, "a TIFF picture"),
        (b"%PDF-1.7", None, "a PDF"),
        (b"PK\3\4", None, "a ZIP archive"),
        (b"\n<!doctype html>", None, "a web page"),
        (b"GIF89a", None, "a GIF"),
        (b"  <svg/>", None, "an SVG or another kind of XML"),
        (b"RIFF\0\0\0\0WAVE", None, None),
        (b"\xff\xd8", None, None),
        (b"", None, None),
    ],
)
def test_other_files_are_told_apart(head: bytes, media_type: str | None, other: str | None) -> None:
    assert sniff_picture(head) is None
    assert (sniff(head), describe_other(head)) == (media_type, other)


def test_the_table_costs_no_import() -> None:
    code = "import sys, layers.media.formats; print([name for name in ('numpy', 'cv2') if name in sys.modules])"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
