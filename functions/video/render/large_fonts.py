"""The typeface of Chinese, Japanese and Korean: too large for the image, it is in the models bucket, and fetched to the
disk of a sandbox when a script needs it.

cjk.txt says which file that is and which letters it has, so that scripts are checked without it; `make fonts` puts the
file into the bucket, as `make deploy` does.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from functions.video.services import Services
from layers.core.deadline import Deadline
from layers.core.errors import FontsMissing, ObjectNotFound, StorageFailed, TooLarge
from layers.core.storage import is_forbidden

_verified: set[Path] = set()  # files whose digest this process has checked
_present: set[tuple[str, str]] = set()  # buckets, and keys that they have


@dataclass(frozen=True)
class LargeFile:
    """A font file as the pinned package has it; `size` in bytes, `letters` are code points."""

    name: str
    digest: str  # SHA-256
    size: int
    letters: frozenset[int]

    @property
    def key(self) -> str:
        """Its key in the models bucket."""
        return f"fonts/shared/{self.digest}"

    @property
    def path(self) -> Path:
        """Where `fetch` puts it."""
        return Path(tempfile.gettempdir(), f"font-{self.digest[:16]}")


@cache
def cjk_file() -> LargeFile:
    """The file with the faces JP, KR, SC, TC and HK, all of which have the same letters."""
    about, *ranges = Path(__file__).with_name("cjk.txt").read_text().splitlines()
    name, digest, size = about.split()
    return LargeFile(name, digest, int(size), frozenset(_read_ranges(" ".join(ranges))))


def _read_ranges(text: str) -> Iterator[int]:
    for span in text.split():
        first, _, last = span.partition("-")
        yield from range(int(first, 16), int(last or first, 16) + 1)


def require(services: Services) -> None:
    """Check that the file is in the models bucket, once for each sandbox. Raises FontsMissing or StorageFailed."""
    file, bucket = cjk_file(), services.settings.models_bucket
    if (bucket, file.key) in _present:
        return
    try:
        head = services.storage.head(bucket, file.key) if bucket else None
    except StorageFailed as error:
        if not is_forbidden(error):
            raise
        head = None  # so S3 answers for what is missing where keys must not be listed
    if head is None or head.size != file.size:
        raise _missing(file)
    _present.add((bucket, file.key))


def fetch(services: Services, deadline: Deadline) -> Path:
    """The file on this sandbox's disk, fetched unless it is there. Its digest is checked before anybody reads it.

    Raises FontsMissing, StorageFailed, StorageFull or OutOfTime.
    """
    file = cjk_file()
    if file.path in _verified and file.path.exists():
        return file.path
    if not (file.path.exists() and _digest(file.path) == file.digest):
        with tempfile.TemporaryDirectory(prefix="font-") as folder:  # one that dies here leaves no half of a file
            part = Path(folder, "part")
            try:
                services.storage.download(services.settings.models_bucket, file.key, part, file.size, deadline)
            except (ObjectNotFound, TooLarge):
                raise _missing(file) from None
            except StorageFailed as error:
                raise (_missing(file) if is_forbidden(error) else error) from None
            if _digest(part) != file.digest:
                raise _missing(file)
            part.replace(file.path)
    _verified.add(file.path)
    return file.path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _missing(file: LargeFile) -> FontsMissing:
    return FontsMissing(
        f"Captions of this script need a typeface that the models bucket does not have as {file.key}. "
        "The operator puts it there by: make fonts"
    )
