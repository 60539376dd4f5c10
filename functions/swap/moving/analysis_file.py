"""An analysis as bytes, so that one step of a workflow finds people and others swap them and put them back."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.swap.face.looks import PLAN
from functions.swap.moving.values import COVER_SIDE, Analysis, Track, TrackFrame

VERSION = "2026-12b"  # changes with the tracks that the same frames give, and with what the bytes mean
MOST_BYTES = 64 << 20  # unpacked: 32 people in 1,800 frames have 4 MB, or 34 where all of them are half hidden
_ROW = np.dtype(
    [
        *(("number", "<u4"), ("keypoints", "<f4", (5, 2)), ("box", "<f4", 4)),
        *(("score", "<f4"), ("opacity", "<f4"), ("crop_number", "<i4"), ("covered", "u1")),
    ]
)
_COVER = COVER_SIDE * COVER_SIDE // 8  # bytes
_EMBEDDING = 512


def name_analysis(meme: str, models: Mapping[str, str], detection_size: int) -> str:
    """The name of an analysis, in hex, made of its inputs: the meme's digest, and what looked at it."""
    used = {name: models.get(name, "") for name in ("detector", "embedder")}
    inputs = [VERSION, PLAN, meme, used, detection_size]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def to_bytes(analysis: Analysis) -> bytes:
    """Pack an analysis; the same one always gives the same bytes."""
    head = {
        "version": VERSION,
        "size": [analysis.width, analysis.height],
        "distinct": analysis.distinct,
        "seconds": analysis.seconds,
        "tracks": [{"frames": len(track.frames), "thumbnail": track.thumbnail} for track in analysis.tracks],
    }
    rows = [
        np.array(
            [
                (
                    *(frame.number, frame.keypoints, frame.box, frame.score, frame.opacity),
                    *(frame.crop_number, frame.cover is not None),
                )
                for frame in track.frames
            ],
            _ROW,
        )
        for track in analysis.tracks
    ]
    embeddings = [np.asarray(track.embedding, "<f4").tobytes() for track in analysis.tracks]
    covers = [
        np.packbits(frame.cover).tobytes()
        for track in analysis.tracks
        for frame in track.frames
        if frame.cover is not None
    ]
    text = json.dumps(head, separators=(",", ":")).encode() + b"\n"
    return zlib.compress(b"".join([text, *(each.tobytes() for each in rows), *embeddings, *covers]), 6)


def from_bytes(content: bytes) -> Analysis:
    """Unpack an analysis. Raises ValueError if it is not one of this version."""
    try:
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(content, MOST_BYTES)
        text, _, arrays = plain.partition(b"\n")
        head = json.loads(text)
        if head["version"] != VERSION or not unpacker.eof:
            raise ValueError("another version")
        return _read(head, arrays)
    except (zlib.error, ValueError, KeyError, TypeError) as error:
        raise ValueError("This is no analysis of a moving meme that this version can read.") from error


def _read(head: dict[str, Any], arrays: bytes) -> Analysis:
    counts = [int(track["frames"]) for track in head["tracks"]]
    total = sum(counts)
    start = total * _ROW.itemsize
    end = start + len(counts) * _EMBEDDING * 4
    rows = np.frombuffer(arrays, _ROW, total)
    if len(arrays) != end + int((rows["covered"] > 0).sum()) * _COVER:
        raise ValueError("too short")
    embeddings = np.frombuffer(arrays[start:end], "<f4").reshape(len(counts), _EMBEDDING)
    covers = _read_covers(rows, arrays[end:])
    ends = np.cumsum([0, *counts])
    tracks = [
        Track(
            index,
            _read_frames(rows[start:end], covers[start:end]),
            int(track["thumbnail"]),
            embeddings[index].astype(np.float32),
        )
        for index, (track, start, end) in enumerate(zip(head["tracks"], ends[:-1], ends[1:], strict=True))
    ]
    width, height = head["size"]
    return Analysis(int(width), int(height), tuple(head["distinct"]), tuple(head["seconds"]), tuple(tracks))


def _read_covers(rows: np.ndarray[Any, Any], packed: bytes) -> list[NDArray[np.bool_] | None]:
    """What hides the face of each row."""
    bits = np.unpackbits(np.frombuffer(packed, np.uint8)).reshape(-1, COVER_SIDE, COVER_SIDE) > 0
    covers = iter(bits)
    return [next(covers) if row["covered"] else None for row in rows]


def _read_frames(rows: np.ndarray[Any, Any], covers: Sequence[NDArray[np.bool_] | None]) -> tuple[TrackFrame, ...]:
    frames = []
    for row, cover in zip(rows, covers, strict=True):
        x0, y0, x1, y1 = row["box"].tolist()
        keypoints = np.array(row["keypoints"], np.float32)
        score, opacity = float(row["score"]), float(row["opacity"])
        place = (int(row["number"]), keypoints, (x0, y0, x1, y1))
        frames.append(TrackFrame(*place, score, opacity, int(row["crop_number"]), cover))
    return tuple(frames)
