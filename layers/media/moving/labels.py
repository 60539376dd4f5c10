"""The unsigned label in a moving picture that a writer here made: XMP, without reading the whole file.

Where it lives: XMP specification, part 3 (GIF: an application extension; PNG: an iTXt chunk; MP4: a uuid box), and
RFC 9649 (WebP: a chunk that the first one announces). The signed label is `Signer.sign_file`'s.
"""

from __future__ import annotations

import shutil
import struct
from pathlib import Path
from typing import IO

from layers.media.formats import MP4, PNG_SIGNATURE
from layers.media.metadata import frame_webp_chunk
from layers.media.moving.description import OutputFormat
from layers.media.png_header import frame_png_chunk
from layers.media.xmp_label import SOURCE_TYPE, build_packet, find_packet_source_type, label_mp4, read_mp4_label

MEDIA_TYPES: dict[OutputFormat, str] = {"gif": "image/gif", "webp": "image/webp", "apng": "image/png", "mp4": MP4}
EXTENSIONS: dict[OutputFormat, str] = {"gif": "gif", "webp": "webp", "apng": "png", "mp4": "mp4"}

_GIF_HEAD = b"\x21\xff\x0bXMP DataXMP"
# The packet is no sequence of sub-blocks. These bytes lead whoever takes it for one to its end, from anywhere.
_GIF_TAIL = b"\x01" + bytes(range(0xFF, -1, -1)) + b"\0"
_PNG_KEYWORD = b"XML:com.adobe.xmp\0\0\0\0\0"
_PNG_HEAD_BYTES = len(PNG_SIGNATURE) + 25  # with the chunk that is always the first
_WEBP_FLAGS_AT, _WEBP_XMP = 20, 0x04
_SEARCHED_BYTES = (
    1 << 16
)  # before the frames of a GIF, where the signed label may come first, or behind those of others


def label_moving(path: Path, format: OutputFormat, source_type: str = SOURCE_TYPE) -> None:
    """Put the label into a file that a writer made. Raises ValueError if the file is none of those."""
    packet = build_packet(source_type)
    if format == "mp4":
        label_mp4(path)
    elif format == "webp":
        with path.open("r+b") as file:
            _append_webp(file, packet)
    else:  # before the first frame, where all readers look
        with path.open("rb") as file:
            head = file.read(_PNG_HEAD_BYTES)
        if format == "gif":
            _insert(path, _measure_gif_head(head), _GIF_HEAD + packet + _GIF_TAIL)
        elif head.startswith(PNG_SIGNATURE) and len(head) == _PNG_HEAD_BYTES:
            _insert(path, _PNG_HEAD_BYTES, frame_png_chunk(b"iTXt", _PNG_KEYWORD + packet))
        else:
            raise ValueError("not a PNG")


def read_moving_label(path: Path, format: OutputFormat) -> str | None:
    """The digital source type that the label of such a file names, or None."""
    if format == "mp4":
        return read_mp4_label(path)
    head = {"gif": _GIF_HEAD, "apng": b"iTXt" + _PNG_KEYWORD, "webp": b"XMP "}[format]
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _SEARCHED_BYTES) if format == "webp" else 0)
        part = file.read(_SEARCHED_BYTES)
    at = part.rfind(head) if format == "webp" else part.find(head)
    return find_packet_source_type(part[at:]) if at >= 0 else None


def _insert(path: Path, at: int, part: bytes) -> None:
    """Put a part into a file, without reading it whole."""
    changed = path.with_name(f"{path.stem}.labelled{path.suffix}")
    try:
        with path.open("rb") as source, changed.open("wb") as target:
            target.write(source.read(at) + part)
            shutil.copyfileobj(source, target)
        changed.replace(path)
    finally:
        changed.unlink(missing_ok=True)


def _measure_gif_head(head: bytes) -> int:
    """The bytes before the first block of a GIF."""
    if head[:6] != b"GIF89a" or len(head) < 13:
        raise ValueError("not a GIF that may have extensions")
    return 13 + (3 << (head[10] & 7) + 1 if head[10] & 0x80 else 0)


def _append_webp(file: IO[bytes], packet: bytes) -> None:
    head = file.read(_WEBP_FLAGS_AT + 1)
    if head[8:16] != b"WEBPVP8X":
        raise ValueError("not a WebP in the extended format")
    file.seek(0, 2)
    file.write(frame_webp_chunk(b"XMP ", packet))
    size = file.tell()
    file.seek(4)
    file.write(struct.pack("<I", size - 8))
    file.seek(_WEBP_FLAGS_AT)
    file.write(bytes([head[_WEBP_FLAGS_AT] | _WEBP_XMP]))
