"""Footage from a stranger's server: only the bytes that the first seconds need, where that pays.

A file with its index at the front and a server that answers range requests (RFC 9110, section 14) give the wanted
seconds in two requests. The rest of the file stays a hole, which costs no disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from layers.core.deadline import Deadline
from layers.core.errors import MediaTooLarge, UpstreamFailed
from layers.core.http_fetch import PIECE, HttpResponse, open_url
from layers.core.storage import open_for_writing
from layers.media.mp4 import Index, read_index

HEAD = 1 << 18  # bytes asked for first: enough for the index of about five minutes
WORTH_IT = 1 << 19  # bytes that must be saved for another request
_MORE = 1 << 16  # bytes read at once of an index that is not at the front
_MOST_REQUESTS = 6
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(frozen=True)
class DownloadResult:
    """What a file is, and how many bytes of it were fetched."""

    index: Index
    bytes_fetched: int


@dataclass
class _Transfer:
    """One file on its way, and the limits on it."""

    url: str
    file: IO[bytes]
    limit: int
    deadline: Deadline
    trusted_origins: frozenset[str]
    fetched: int = 0
    requests: int = 0

    def take(self, answer: HttpResponse, at: int, count: int) -> None:
        """That many bytes of the answer to that place in the file."""
        if self.fetched + count > self.limit:
            raise MediaTooLarge(f"The footage at {answer.host} has more than {self.limit} bytes to fetch.")
        self.file.seek(at)
        while count:
            piece = answer.read(min(PIECE, count))
            if not piece:
                raise UpstreamFailed(f"{answer.host} sent less than it said.")
            self.file.write(piece)
            count -= len(piece)
            self.fetched += len(piece)

    def range(self, at: int, count: int, size: int) -> None:
        """These bytes of a file of that size. Raises _NoRanges where the server does not answer so."""
        self.requests += 1
        if self.requests > _MOST_REQUESTS:
            raise _NoRanges
        if self.fetched + count > self.limit:
            raise MediaTooLarge(f"The footage has more than {self.limit} bytes to fetch.")
        headers = {"Range": f"bytes={at}-{at + count - 1}"}
        with open_url(
            self.url, deadline=self.deadline, trusted_origins=self.trusted_origins, headers=headers
        ) as answer:
            if answer.status != 206 or _content_range(answer) != (at, at + count, size):
                raise _NoRanges
            self.take(answer, at, count)


class _NoRanges(Exception):
    """The server does not give parts of a file, or not rightly."""


class _NotYet(Exception):
    """The index needs bytes up to this one, which have not come yet."""

    def __init__(self, end: int) -> None:
        self.end = end


def download(
    url: str, path: Path, seconds: float, *, limit: int, deadline: Deadline, trusted_origins: frozenset[str]
) -> DownloadResult:
    """Into the file what its first `seconds` need, at most `limit` bytes fetched.

    Raises RefusedUrl, UpstreamFailed, UnreadableMedia, MediaTooLarge or StorageFull.
    """
    with open_for_writing(path) as file:
        transfer = _Transfer(url, file, limit, deadline, trusted_origins)
        try:
            index = _open(transfer, path, seconds, {"Range": f"bytes=0-{HEAD - 1}"})
        except _NoRanges:
            index = _open(transfer, path, seconds, {})
    return DownloadResult(index, transfer.fetched)


def _open(transfer: _Transfer, path: Path, seconds: float, headers: Mapping[str, str]) -> Index:
    transfer.requests += 1
    with open_url(
        transfer.url, deadline=transfer.deadline, trusted_origins=transfer.trusted_origins, headers=headers
    ) as answer:
        if answer.status == 200:
            return _whole(transfer, answer, path, seconds)
        if answer.status != 206:
            raise UpstreamFailed(f"{answer.host} answered with status {answer.status}.")
        begin, end, size = _content_range(answer)
        if begin != 0 or not headers or end != min(HEAD, size):
            raise _NoRanges
        transfer.take(answer, 0, end)
    return _parts(transfer, path, seconds, end, size)


def _content_range(answer: HttpResponse) -> tuple[int, int, int]:
    """First byte, the one after the last, and the size of the whole file."""
    said = _CONTENT_RANGE.fullmatch(answer.header("Content-Range") or "")
    if not said:
        raise _NoRanges
    return int(said[1]), int(said[2]) + 1, int(said[3])


def _parts(transfer: _Transfer, path: Path, seconds: float, head: int, size: int) -> Index:
    """The rest of a file of which the first `head` bytes are here: what is needed, or all where that pays no more."""
    here = [(0, head)]

    def read(at: int, count: int) -> bytes:
        if not any(first <= at and at + count <= after for first, after in here):
            more = min(max(count, _MORE), size - at)
            transfer.range(at, more, size)
            here.append((at, at + more))
        return _read(transfer.file, path, at, count)

    index = read_index(read, size)
    # To its whole size, so that ffmpeg finds everything at its place.
    transfer.file.truncate(size)
    window = index.window(seconds) or (head, size)
    first, after = max(window[0], head), window[1]
    if after > size or (size - head) - (after - first) < WORTH_IT:
        first, after = head, size
    if after > first:
        transfer.range(first, after - first, size)
    return index


def _whole(transfer: _Transfer, answer: HttpResponse, path: Path, seconds: float) -> Index:
    """A file that comes from its start to its end, left as soon as there is enough of it."""
    # Where the server does not say, more than is allowed: an end that is never reached.
    size = answer.promised if answer.promised is not None else transfer.limit + 1

    def read(at: int, count: int) -> bytes:
        if at + count > here:
            raise _NotYet(at + count)
        return _read(transfer.file, path, at, count)

    # After a server broke its word on ranges the file begins anew.
    transfer.file.truncate(0)
    here, enough, index = 0, min(HEAD, size), None
    while True:
        try:
            ended = _until(transfer, answer, here, enough)
            here = transfer.file.seek(0, 2)
            size = here if ended else size
            if index is None:
                index = read_index(read, size)
                window = index.window(seconds)
                enough = window[1] if window and size - window[1] >= WORTH_IT else size
            if ended or here >= enough:
                transfer.file.truncate(max(here, answer.promised or 0))
                return index
        except _NotYet as need:
            enough = min(max(need.end, 2 * here), size)


def _until(transfer: _Transfer, answer: HttpResponse, here: int, enough: int) -> bool:
    """Append until the file has `enough` bytes; whether the answer ended before."""
    transfer.file.seek(here)
    while here < enough:
        piece = answer.read(min(PIECE, enough - here))
        if not piece:
            return True
        transfer.file.write(piece)
        here += len(piece)
        transfer.fetched += len(piece)
        if transfer.fetched > transfer.limit:
            raise MediaTooLarge(f"The footage at {answer.host} has more than {transfer.limit} bytes to fetch.")
    return False


def _read(file: IO[bytes], path: Path, at: int, count: int) -> bytes:
    file.flush()
    with path.open("rb") as reader:
        reader.seek(at)
        return reader.read(count)
