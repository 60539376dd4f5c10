"""Downloads published model files, by what they must be: a download goes on where an earlier one broke off, and counts
only once its SHA-256 is the pinned one.
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
from layers.models.tools.progress import Show, silent

PIECE_BYTES = 1 << 18
MAX_ARCHIVE_BYTES = 400 << 20  # buffalo_l.zip has 289 MB
TIMEOUT_SECONDS = 30.0  # without a byte
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)  # between attempts of which none has brought a byte
STARTS = 5  # from the beginning
NETWORK = (OSError, HTTPException)
_SPAN = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_NOTHING_THERE = re.compile(r"bytes \*/(\d+)")


class FetchFailed(Exception):
    """A file could not be had from any of its places; the message says why from each."""


class _Interrupted(Exception):
    """The network failed in a way that may pass."""


@dataclass(frozen=True)
class DownloadReport:
    """A file that is on the disk now, and verified."""

    path: Path
    size: int
    sha256: str
    downloaded: bool  # or was there already


def download_files(files: Iterable[File], folder: Path, show: Show = silent) -> list[DownloadReport]:
    """The files in that folder, each downloaded unless it is there already.

    What broke off stays as NAME.part and is taken up by the next call. Raises FetchFailed, or OSError for the disk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(files)
    done = []
    for file in wanted:
        path = folder / file.name
        there = path.exists() and path.stat().st_size == file.size and _digest(path) == file.sha256
        if not there:
            _obtain(file, path, show)
        done.append(DownloadReport(path, file.size, file.sha256, downloaded=not there))
    for source in {source for file in wanted for source in file.sources if source.member}:
        _archive(source, folder).unlink(missing_ok=True)
    return done


def _obtain(file: File, path: Path, show: Show) -> None:
    problems = []
    for source in file.sources:
        try:
            if source.member:
                archive = _archive(source, path.parent)
                if not archive.exists():
                    _download(source.url, archive, MAX_ARCHIVE_BYTES, show)
                _extract(archive, source.member, file, path, show)
            else:
                _download(source.url, path, file.size, show, file)
            return
        except FetchFailed as error:
            problems.append(f"{source.url}: {error}")
    raise FetchFailed(f"{file.name} could not be fetched. " + " ".join(problems))


def _archive(source: Source, folder: Path) -> Path:
    return folder / PurePosixPath(urlsplit(source.url).path).name


def _download(url: str, path: Path, limit: int, show: Show, file: File | None = None) -> None:
    """What is at the URL, as that path, verified if it is `file`."""
    part = _Part(path)
    while True:
        _complete(url, part, limit, show)
        if file is None or _digest(part.path) == file.sha256:
            part.finish()
            return
        together, part.put_together = part.put_together, False
        part.clear()
        if not together:
            raise FetchFailed(f"what came is not {file.name}: its SHA-256 is another one.")


class _Part:
    """A file that is being downloaded, and the validator (ETag) of what is at its URL."""

    def __init__(self, path: Path) -> None:
        self._final = path
        self.path = path.with_name(path.name + ".part")
        self._validator = path.with_name(path.name + ".part.etag")
        self._starts = 0
        self.put_together = self.size > 0  # from more than one answer, and so perhaps from two versions

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def validator(self) -> str:
        return self._validator.read_text() if self._validator.exists() else ""

    def begin(self, validator: str) -> IO[bytes]:
        """Empty, for what has this validator. Raises FetchFailed when that has been in vain too often."""
        self._starts += 1
        if self._starts > STARTS:
            raise FetchFailed("the line breaks, and the server does not go on where it broke.")
        self._validator.write_text(validator)
        return self.path.open("wb")

    def go_on(self) -> IO[bytes]:
        """Open at its end."""
        self.put_together = True
        return self.path.open("ab")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def finish(self) -> None:
        self.path.replace(self._final)
        self._validator.unlink(missing_ok=True)


def _complete(url: str, part: _Part, limit: int, show: Show) -> None:
    """Asks until all of it is there; a failure that brought nothing counts, and a further try waits a little."""
    pauses = iter(PAUSES_SECONDS)
    while True:
        before = part.size
        try:
            if _attempt(url, part, limit, show):
                return
            why = "the answer ended early"
        except _Interrupted as error:
            why = str(error)
        if part.size > before:
            pauses = iter(PAUSES_SECONDS)
        pause = next(pauses, None)
        if pause is None:
            kept = f" {part.size} bytes are kept, and the next call goes on there." if part.size else ""
            raise FetchFailed(f"{why}.{kept}")
        time.sleep(pause)


def _attempt(url: str, part: _Part, limit: int, show: Show) -> bool:
    """One request, whose body is added to the part; whether it is complete then."""
    headers = {"User-Agent": "coldswap", "Accept-Encoding": "identity"}
    begin = part.size
    if begin:
        headers["Range"] = f"bytes={begin}-"
        if part.validator:
            headers["If-Range"] = part.validator
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        return _refused(error, part)
    except NETWORK as error:
        raise _Interrupted(_why(error)) from error
    with answer:
        start, total = _span(answer)
        if start not in (0, begin):
            part.clear()
            return False
        if (total or 0) > limit:
            part.clear()
            raise FetchFailed(f"it has {total} bytes, more than the {limit} expected.")
        etag = answer.headers.get("ETag", "")
        _room(part, (total or limit) - start)
        with part.go_on() if start else part.begin("" if etag.startswith("W/") else etag) as file:
            done = start
            while piece := _read(answer):
                done += len(piece)
                if done > limit:
                    break
                file.write(piece)
                show(part.path.stem, done, total or 0)
    if done > limit:
        part.clear()
        raise FetchFailed(f"it has more than the {limit} bytes expected.")
    return done == total if total is not None else True


def _refused(error: urllib.error.HTTPError, part: _Part) -> bool:
    """Whether nothing is missing, where the server says that there is nothing beyond the part."""
    if error.code == 416:
        whole = _NOTHING_THERE.fullmatch(error.headers.get("Content-Range", ""))
        if whole and int(whole[1]) == part.size:
            return True
        part.clear()
    elif error.code < 500 and error.code != 429:
        raise FetchFailed(f"the server answered {error.code}.") from error
    raise _Interrupted(f"the server answered {error.code}") from error


def _read(answer: Any) -> bytes:
    try:
        return bytes(answer.read1(PIECE_BYTES))  # what is there: a line that stalls loses nothing of it
    except NETWORK as error:
        raise _Interrupted(_why(error)) from error


def _why(error: Exception) -> str:
    return str(getattr(error, "reason", "")) or type(error).__name__


def _span(answer: Any) -> tuple[int, int | None]:
    """Where the body begins, and how much there is in all, if the server says so."""
    if answer.status == 206:
        span = _SPAN.fullmatch(answer.headers.get("Content-Range", ""))
        if not span:
            return -1, None
        return int(span[1]), None if span[2] == "*" else int(span[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdecimal() else None


def _room(part: _Part, size: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if free < size:
        raise FetchFailed(f"the disk has {free >> 20} MiB left, and {size >> 20} MiB are to come.")


def _extract(archive: Path, member: str, file: File, path: Path, show: Show) -> None:
    """The one member as that path. No name that the archive gives is used; an archive without it is removed."""
    out = path.with_name(path.name + ".part")
    try:
        with zipfile.ZipFile(archive) as opened:
            info = _member(opened, member, file.size)
            digest, done = sha256(), 0
            with opened.open(info) as packed, out.open("wb") as unpacked:
                while piece := packed.read(PIECE_BYTES):
                    done += len(piece)
                    if done > file.size:
                        raise FetchFailed(f"{member} is larger than the zip says.")
                    digest.update(piece)
                    unpacked.write(piece)
                    show(path.name, done, file.size)
        if digest.hexdigest() != file.sha256:
            raise FetchFailed(f"{member} in the zip is another file: its SHA-256 is not the pinned one.")
        out.replace(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        archive.unlink(missing_ok=True)
        raise FetchFailed(f"the zip cannot be read: {error}.") from error
    except FetchFailed:
        archive.unlink(missing_ok=True)
        raise
    finally:
        out.unlink(missing_ok=True)


def _member(opened: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    found = [info for info in opened.infolist() if PurePosixPath(info.filename).name == name]
    if len(found) != 1:
        raise FetchFailed(f"the zip has {len(found)} files called {name}.")
    if found[0].flag_bits & 1 or found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FetchFailed(f"{name} in the zip is encrypted, or packed in a way that is not read here.")
    if found[0].file_size != size:
        raise FetchFailed(f"{name} in the zip has {found[0].file_size} bytes, not {size}.")
    return found[0]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
