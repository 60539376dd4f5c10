"""Footage from a stranger's server: the smallest file that suffices, and of it only the bytes for the first seconds.

A file with its index at the front and a server that answers range requests (RFC 9110, section 14) give those
seconds in two requests. The rest of the file stays a hole, which costs no disk.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from functions.video.values import HEIGHT, WIDTH, Footage, Rendition
from layers.core.deadline import Deadline
from layers.core.errors import MediaTooLarge, UpstreamFailed
from layers.core.http_fetch import PIECE_BYTES, open_url
from layers.core.storage import open_for_writing
from layers.media.mp4 import Index, read_index

if TYPE_CHECKING:
    from layers.core.http_transport import HttpResponse

HEAD_BYTES = 1 << 18  # requested first: enough for the index of about five minutes
WORTHWHILE_BYTES = 1 << 19  # that another request must save
_INDEX_BYTES = 1 << 16  # read at once of an index that is not at the front
_MOST_REQUESTS = 6
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})")


@dataclass(frozen=True)
class DownloadResult:
    """The index of a file, and how many bytes of the file were fetched."""

    index: Index
    bytes_fetched: int


@dataclass
class _Transfer:
    """One file being fetched, and the limits on it."""

    url: str
    file: IO[bytes]
    limit: int
    deadline: Deadline
    trusted_origins: frozenset[str]
    bytes_fetched: int = 0
    requests: int = 0

    def write(self, response: HttpResponse, at: int, count: int) -> None:
        """Write that many bytes of the response to that place in the file. Raises MediaTooLarge or UpstreamFailed."""
        if self.bytes_fetched + count > self.limit:
            raise MediaTooLarge(f"More than {self.limit} bytes of the footage at {response.host} are needed.")
        self.file.seek(at)
        while count:
            data = response.read(min(PIECE_BYTES, count))
            if not data:
                raise UpstreamFailed(f"{response.host} sent less than it announced.")
            self.file.write(data)
            count -= len(data)
            self.bytes_fetched += len(data)

    def fetch_range(self, at: int, count: int, size: int) -> None:
        """Fetch these bytes of a file of that size. Raises _NoRanges where the server does not answer with them."""
        self.requests += 1
        if self.requests > _MOST_REQUESTS:
            raise _NoRanges
        if self.bytes_fetched + count > self.limit:
            raise MediaTooLarge(f"More than {self.limit} bytes of the footage are needed.")
        headers = {"Range": f"bytes={at}-{at + count - 1}"}
        with open_url(
            self.url, deadline=self.deadline, trusted_origins=self.trusted_origins, headers=headers
        ) as response:
            if response.status != 206 or _content_range(response) != (at, at + count, size):
                raise _NoRanges
            self.write(response, at, count)


class _NoRanges(Exception):
    """The server does not serve ranges of a file, or not correctly."""


class _NotYet(Exception):
    """The index needs bytes up to this one, which have not arrived yet."""

    def __init__(self, end: int) -> None:
        self.end = end


def choose_rendition(footage: Footage, width: int = WIDTH, height: int = HEIGHT) -> Rendition:
    """The rendition with the fewest pixels that covers the frame; where none does, the one with the most."""
    covering = [each for each in footage.renditions if each.width >= width and each.height >= height]
    if covering:
        return min(covering, key=lambda each: (each.width * each.height, each.size or 0))
    return max(footage.renditions, key=lambda each: each.width * each.height)


def download(
    url: str, path: Path, seconds: float, *, limit: int, deadline: Deadline, trusted_origins: frozenset[str]
) -> DownloadResult:
    """Fetch into the file what its first `seconds` need, at most `limit` bytes.

    Raises RefusedUrl, UpstreamFailed, UnreadableMedia, MediaTooLarge or StorageFull.
    """
    with open_for_writing(path) as file:
        transfer = _Transfer(url, file, limit, deadline, trusted_origins)
        try:
            index = _start(transfer, path, seconds, {"Range": f"bytes=0-{HEAD_BYTES - 1}"})
        except _NoRanges:
            index = _start(transfer, path, seconds, {})
    return DownloadResult(index, transfer.bytes_fetched)


def _start(transfer: _Transfer, path: Path, seconds: float, headers: Mapping[str, str]) -> Index:
    transfer.requests += 1
    with open_url(
        transfer.url, deadline=transfer.deadline, trusted_origins=transfer.trusted_origins, headers=headers
    ) as response:
        if response.status == 200:
            return _fetch_in_order(transfer, response, path, seconds)
        if response.status == 403:
            raise UpstreamFailed(
                f"{response.host} refuses the file (status 403), which says nothing about the footage service's key."
            )
        if response.status != 206:
            raise UpstreamFailed(f"{response.host} answered with status {response.status}.")
        begin, end, size = _content_range(response)
        if begin != 0 or not headers or end != min(HEAD_BYTES, size):
            raise _NoRanges
        transfer.write(response, 0, end)
    return _fetch_rest_by_range(transfer, path, seconds, end, size)


def _content_range(response: HttpResponse) -> tuple[int, int, int]:
    """First byte, the one after the last, and the size of the whole file."""
    match = _CONTENT_RANGE.fullmatch(response.header("Content-Range") or "")
    if not match:
        raise _NoRanges
    return int(match[1]), int(match[2]) + 1, int(match[3])


def _fetch_rest_by_range(transfer: _Transfer, path: Path, seconds: float, head: int, size: int) -> Index:
    """Fetch the rest of a file after its first `head` bytes: what is needed, or all where ranges save too little."""
    byte_ranges = [(0, head)]

    def read(at: int, count: int) -> bytes:
        if not any(first <= at and at + count <= after for first, after in byte_ranges):
            more = min(max(count, _INDEX_BYTES), size - at)
            transfer.fetch_range(at, more, size)
            byte_ranges.append((at, at + more))
        return _read(transfer.file, path, at, count)

    index = read_index(read, size)
    # To its whole size, so that ffmpeg finds everything at its place.
    transfer.file.truncate(size)
    window = index.window(seconds) or (head, size)
    first, after = max(window[0], head), window[1]
    if after > size or (size - head) - (after - first) < WORTHWHILE_BYTES:
        first, after = head, size
    if after > first:
        transfer.fetch_range(first, after - first, size)
    return index


def _fetch_in_order(transfer: _Transfer, response: HttpResponse, path: Path, seconds: float) -> Index:
    """Fetch a file from its start on, until there is enough of it."""
    # Where the server does not announce the size, more than is allowed: an end that is never reached.
    size = response.content_length if response.content_length is not None else transfer.limit + 1

    def read(at: int, count: int) -> bytes:
        if at + count > length:
            raise _NotYet(at + count)
        return _read(transfer.file, path, at, count)

    # Where a server turned out not to serve ranges, the file begins anew.
    transfer.file.truncate(0)
    length, enough, index = 0, min(HEAD_BYTES, size), None
    while True:
        try:
            response_ended = _append(transfer, response, length, enough)
            length = transfer.file.seek(0, 2)
            size = length if response_ended else size
            if index is None:
                index = read_index(read, size)
                window = index.window(seconds)
                enough = window[1] if window and size - window[1] >= WORTHWHILE_BYTES else size
            if response_ended or length >= enough:
                transfer.file.truncate(max(length, response.content_length or 0))
                return index
        except _NotYet as need:
            enough = min(max(need.end, 2 * length), size)


def _append(transfer: _Transfer, response: HttpResponse, length: int, enough: int) -> bool:
    """Append to a file of which that many bytes arrived until it has `enough`; whether the response ended before."""
    transfer.file.seek(length)
    while length < enough:
        data = response.read(min(PIECE_BYTES, enough - length))
        if not data:
            return True
        transfer.file.write(data)
        length += len(data)
        transfer.bytes_fetched += len(data)
        if transfer.bytes_fetched > transfer.limit:
            raise MediaTooLarge(f"More than {transfer.limit} bytes of the footage at {response.host} are needed.")
    return False


def _read(file: IO[bytes], path: Path, at: int, count: int) -> bytes:
    file.flush()
    with path.open("rb") as reader:
        reader.seek(at)
        return reader.read(count)
