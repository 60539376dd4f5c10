"""The unsigned label that says that a picture or video was made with a model: IPTC's digital source type, in XMP.

EU AI Act, Article 50; IPTC Photo Metadata Standard, "Digital Source Type"; where XMP lives in a file: XMP
specification part 3 (JPEG, PNG, MP4) and RFC 9649 (WebP).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from layers.media.formats import PictureFormat
from layers.media.metadata import add_jpeg_segment, add_png_chunk, add_webp_chunk
from layers.media.picture_header import probe
from layers.media.webp_header import webp_chunks

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"

_PACKET = (  # around the source type
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about=""'
    ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    ' xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
    ' Iptc4xmpExt:DigitalSourceType="%s"'
    ' xmp:CreatorTool="Coldswap"/>'
    "</rdf:RDF></x:xmpmeta>"
    '<?xpacket end="r"?>'
)
_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_TRAINED, _COMPOSITE = b"trainedAlgorithmicMedia", b"compositeWithTrainedAlgorithmicMedia"
_JPEG_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_PNG_XMP = b"XML:com.adobe.xmp\0\0\0\0\0"  # keyword, not compressed, no language, no translation
_MP4_XMP = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_MAX_XMP_BYTES = 1 << 20
_MAX_BOXES = 10_000  # of an MP4; a fragmented one has two for each second or so
_SOURCE_TYPE = re.compile(rb"""DigitalSourceType(?:="|='|>)([^"'<]+)""")


def label(data: bytes, format: PictureFormat, source_type: str = SOURCE_TYPE) -> bytes:
    """Put the label into a picture that `encode` returned."""
    packet = build_packet(source_type)
    if format == "jpeg":
        return add_jpeg_segment(data, 0xE1, _JPEG_XMP + packet)
    if format == "png":
        return add_png_chunk(data, b"iTXt", _PNG_XMP + packet)
    return add_webp_chunk(data, b"XMP ", packet)


def build_packet(source_type: str = SOURCE_TYPE) -> bytes:
    """The label as XMP, for any kind of file."""
    return (_PACKET % source_type).encode()


def find_packet_source_type(packet: bytes) -> str | None:
    """The digital source type that a packet of XMP names, or None."""
    match = _SOURCE_TYPE.search(packet)
    return match[1].decode("ascii", "replace") if match else None


def label_mp4(path: Path) -> None:
    """Append the label to an MP4 that ffmpeg made, in place; at the end, so that no offset in the file changes.

    Raises ValueError if it is not an MP4, or its last box has no end.
    """
    with path.open("r+b") as file:
        *_, (_, _, end) = _mp4_boxes(file)
        file.seek(end)
        packet = build_packet()
        file.write(struct.pack(">I4s", 24 + len(packet), b"uuid") + _MP4_XMP + packet)


def read_mp4_label(path: Path) -> str | None:
    """The digital source type that an MP4 claims in its XMP, or None.

    Raises ValueError if it is not an MP4.
    """
    with path.open("rb") as file:
        for kind, at, _ in _mp4_boxes(file):
            file.seek(at)
            if (
                kind == b"uuid"
                and file.read(16) == _MP4_XMP
                and (match := _SOURCE_TYPE.search(file.read(_MAX_XMP_BYTES)))
            ):
                return match[1].decode("ascii", "replace")
    return None


def read_label(data: bytes) -> str | None:
    """The digital source type that a JPEG, PNG or WebP claims in its XMP, or None.

    Raises what `probe` raises.
    """
    format = probe(data).format
    if format == "webp":
        packets = [bytes(body) for kind, body in webp_chunks(data) if kind == b"XMP "]
    elif format == "png":
        start = data.find(b"iTXtXML:com.adobe.xmp\0")
        packets = [data[start : start + int.from_bytes(data[start - 4 : start], "big")]] if start > 0 else []
    else:
        start = data.find(_JPEG_XMP)
        packets = [data[start : start + int.from_bytes(data[start - 2 : start], "big")]] if start > 0 else []
    for packet in packets:
        if match := _SOURCE_TYPE.search(packet):
            return match[1].decode("ascii", "replace")
    return None


def find_source_type(data: bytes) -> str | None:
    """The digital source type by which any label in a picture, XMP or C2PA, says that a trained model made it.

    Looks for the words alone, so what it returns is a claim, of a label that may be anybody's.
    """
    common = _TRAINED[1:]
    at = data.find(common)
    if at < 0:
        return None
    is_composite = data.startswith(_COMPOSITE, max(at - len(_COMPOSITE) + len(common), 0))
    return _TYPES + (_COMPOSITE if is_composite else _TRAINED).decode()


def _mp4_boxes(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte of the body, and the byte after it, of each box at the top level."""
    size, at, count = file.seek(0, 2), 0, 0
    while at < size:
        count += 1
        if count > _MAX_BOXES:
            raise ValueError("an MP4 with far too many boxes")
        file.seek(at)
        head = file.read(16).ljust(16, b"\0")
        length, kind, long = struct.unpack(">I4sQ", head)
        body = 16 if length == 1 else 8
        length = long if length == 1 else length
        if length < body or at + length > size or (at == 0 and kind != b"ftyp"):
            raise ValueError("not an MP4, or its last box has no end")
        yield kind, at + body, at + length
        at += length
    if not size:
        raise ValueError("not an MP4: it is empty")
