"""Downloads published model files: a download continues where an earlier one broke off, and counts only if its SHA-256
is the pinned one.
"""

from __future__ import annotations

import re
import shutil
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import file_digest, sha256
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.parse import urlsplit

from layers.models.tools.catalogue import File, Source
from layers.models.tools.progress import Show, show_nothing

PIECE_BYTES = 1 << 18
MAX_ARCHIVE_BYTES = 400 << 20  # buffalo_l.zip has 289 MB
TIMEOUT_SECONDS = 30.0  # without a byte
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)  # between attempts that brought no byte
MAX_STARTS = 5  # of one download from its beginning
NETWORK_ERRORS = (OSError, HTTPException)
_SPAN = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")


class FetchFailed(Exception):
    """A file could not be downloaded from any of its sources; the message gives the reason for each."""


class _Interrupted(Exception):
    """The network failed in a way that a retry may cure."""


@dataclass(frozen=True)
class DownloadReport:
    """A file that is on the disk, and verified."""

    path: Path
    size: int
    sha256: str
    downloaded: bool  # False: it was there already


def download_files(files: Iterable[File], folder: Path, show: Show = show_nothing) -> list[DownloadReport]:
    """Download the files into that folder, unless they are there already.

    What breaks off stays as NAME.part, and the next call continues it. Raises FetchFailed, or OSError for the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    all_files = list(files)
    reports = []
    for file in all_files:
        path = folder / file.name
        is_present = path.exists() and path.stat().st_size == file.size and _digest(path) == file.sha256
        if not is_present:
            _download_file(file, path, show)
        reports.append(DownloadReport(path, file.size, file.sha256, downloaded=not is_present))
    for source in {source for file in all_files for source in file.sources if source.member}:
        _archive_path(source, folder).unlink(missing_ok=True)
    return reports


def _download_file(file: File, path: Path, show: Show) -> None:
    problems = []
    for source in file.sources:
        try:
            if source.member:
                archive = _archive_path(source, path.parent)
                if not archive.exists():
                    _download_url(source.url, archive, MAX_ARCHIVE_BYTES, show)
                _extract(archive, source.member, file, path, show)
            else:
                _download_url(source.url, path, file.size, show, file)
            return
        except FetchFailed as error:
            problems.append(f"{source.url}: {error}")
    raise FetchFailed(f"{file.name} could not be fetched. " + " ".join(problems))


def _archive_path(source: Source, folder: Path) -> Path:
    return folder / PurePosixPath(urlsplit(source.url).path).name


def _download_url(url: str, path: Path, limit: int, show: Show, file: File | None = None) -> None:
    """Download a URL to that path; with `file`, verify that it is that file."""
    part = _PartialFile(path)
    while True:
        _complete(url, part, limit, show)
        if file is None or _digest(part.path) == file.sha256:
            part.finish()
            return
        spanned, part.spans_responses = part.spans_responses, False
        part.clear()
        if not spanned:
            raise FetchFailed(f"the response is not {file.name}: its SHA-256 differs.")


class _PartialFile:
    """A file that is being downloaded, and the validator (ETag) that its URL had."""

    def __init__(self, path: Path) -> None:
        self._final = path
        self.path = path.with_name(path.name + ".part")
        self._validator = path.with_name(path.name + ".part.etag")
        self._starts = 0
        self.spans_responses = self.size > 0  # it came in several responses, and so perhaps from two versions

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str:
        return self._validator.read_text() if self._validator.exists() else ""

    def begin(self, validator: str) -> IO[bytes]:
        """Open it empty, for a resource with this validator. Raises FetchFailed after MAX_STARTS starts."""
        self._starts += 1
        if self._starts > MAX_STARTS:
            raise FetchFailed("the connection keeps breaking, and the server cannot continue where it broke.")
        self._validator.write_text(validator)
        return self.path.open("wb")

    def append(self) -> IO[bytes]:
        """Open it at its end."""
        self.spans_responses = True
        return self.path.open("ab")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def finish(self) -> None:
        self.path.replace(self._final)
        self._validator.unlink(missing_ok=True)


def _complete(url: str, part: _PartialFile, limit: int, show: Show) -> None:
    """Download until the part is complete; a try that brought nothing counts, and the next one waits a little."""
    pauses = iter(PAUSES_SECONDS)
    while True:
        before = part.size
        try:
            if _attempt(url, part, limit, show):
                return
            why = "the response ended early"
        except _Interrupted as error:
            why = str(error)
        if part.size > before:
            pauses = iter(PAUSES_SECONDS)
        pause = next(pauses, None)
        if pause is None:
            note = f" {part.size} bytes are kept, and the next call continues there." if part.size else ""
            raise FetchFailed(f"{why}.{note}")
        time.sleep(pause)


def _attempt(url: str, part: _PartialFile, limit: int, show: Show) -> bool:
    """Send one request, and add its body to the part; return whether the part is complete."""
    headers = {"User-Agent": "coldswap", "Accept-Encoding": "identity"}
    begin = part.size
    if begin:
        headers["Range"] = f"bytes={begin}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        return _judge_status(error, part)
    except NETWORK_ERRORS as error:
        raise _Interrupted(_reason(error)) from error
    with response:
        start, total = _parse_span(response)
        if start not in (0, begin):
            part.clear()
            return False
        if (total or 0) > limit:
            part.clear()
            raise FetchFailed(f"it has {total} bytes, more than the {limit} expected.")
        etag = response.headers.get("ETag", "")
        _check_room(part, (total or limit) - start)
        with part.append() if start else part.begin("" if etag.startswith("W/") else etag) as file:
            size = start
            while piece := _read(response):
                size += len(piece)
                if size > limit:
                    break
                file.write(piece)
                show(part.path.stem, size, total or 0)
    if size > limit:
        part.clear()
        raise FetchFailed(f"it has more than the {limit} bytes expected.")
    return size == total if total is not None else True


def _judge_status(error: urllib.error.HTTPError, part: _PartialFile) -> bool:
    """Return True if the server says that nothing follows the part, as when it is complete; otherwise raise."""
    if error.code == 416:
        match = _UNSATISFIED.fullmatch(error.headers.get("Content-Range", ""))
        if match and int(match[1]) == part.size:
            return True
        part.clear()
    elif error.code < 500 and error.code != 429:
        raise FetchFailed(f"the server responded with status {error.code}.") from error
    raise _Interrupted(f"the server responded with status {error.code}") from error


def _read(response: Any) -> bytes:
    try:
        return bytes(response.read1(PIECE_BYTES))  # what has arrived, so that a connection that stalls loses none of it
    except NETWORK_ERRORS as error:
        raise _Interrupted(_reason(error)) from error


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "")) or type(error).__name__


def _parse_span(response: Any) -> tuple[int, int | None]:
    """Where the body begins, and the size of the whole, if the server says so."""
    if response.status == 206:
        span = _SPAN.fullmatch(response.headers.get("Content-Range", ""))
        if not span:
            return -1, None
        return int(span[1]), None if span[2] == "*" else int(span[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _check_room(part: _PartialFile, size: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if free < size:
        raise FetchFailed(f"the disk has {free >> 20} MiB left, and {size >> 20} MiB are needed.")


def _extract(archive: Path, member: str, file: File, path: Path, show: Show) -> None:
    """Extract one member to that path. No name in the archive is used as a path; a bad archive is removed."""
    out = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(archive) as archive_file:
            info = _find_member(archive_file, member, file.size)
            digest, size = sha256(), 0
            with archive_file.open(info) as source, out.open("wb") as target:
                while piece := source.read(PIECE_BYTES):
                    size += len(piece)
                    if size > file.size:
                        raise FetchFailed(f"{member} is larger than the zip says.")
                    digest.update(piece)
                    target.write(piece)
                    show(path.name, size, file.size)
        if digest.hexdigest() != file.sha256:
            raise FetchFailed(f"{member} in the zip is another file: its SHA-256 differs.")
        out.replace(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        archive.unlink(missing_ok=True)
        raise FetchFailed(f"the zip cannot be read: {error}.") from error
    except FetchFailed:
        archive.unlink(missing_ok=True)
        raise
    finally:
        out.unlink(missing_ok=True)


def _find_member(archive: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    members = [info for info in archive.infolist() if PurePosixPath(info.filename).name == name]
    if len(members) != 1:
        raise FetchFailed(f"the zip has {len(members)} files called {name}.")
    if members[0].flag_bits & 1 or members[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FetchFailed(f"{name} in the zip is encrypted, or compressed in an unsupported way.")
    if members[0].file_size != size:
        raise FetchFailed(f"{name} in the zip has {members[0].file_size} bytes, not {size}.")
    return members[0]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
