"""Fetches one blob from S3 into memory in parallel range reads, and verifies each chunk before it may be used."""

from __future__ import annotations

import importlib
import mmap
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ModelsCorrupt, ModelsMissing, StorageFailed
from layers.models.runtime.manifest import Blob

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

PARALLEL_RANGE_READS = 16  # Lambda's network is at full speed with 16 to 24 streams (Brooker et al., ATC 2023)
LAST_CHUNKS = 2  # the slowest of a download do not hold up the one after it
PIECE_BYTES = 256 << 10  # read at once; between two pieces a download can be cancelled
BACKOFF_SECONDS = (0.05, 0.2, 0.8, 2.0)  # before each further try of a range
THROTTLING_CODES = {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "Throttling", "ThrottlingException"}


class DownloadCancelled(Exception):
    """The download was cancelled while somebody waited for it."""


class Download:
    """The bytes of a blob, arriving in order of use.

    `buffer` is anonymous memory of the blob's whole size; only `wait` says how much of it may be read. Once the
    download is cancelled, has failed or is out of time, its threads end within PIECE_BYTES.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        blob: Blob,
        deadline: Deadline,
        count_bytes: Callable[[int], None],
        pause_at: int | None = None,
        after: Download | None = None,
    ) -> None:
        """Start to fetch. `count_bytes` is called with the size of every piece, from several threads.

        Until `resume`, no chunk is fetched that ends beyond `pause_at` bytes, so that other weights have room. No chunk
        is begun while all but the last of `after`, which is needed sooner, are still to come.
        """
        self.blob = blob
        # Private, since madvise gives back no page of a shared mapping, which is Python's default.
        self.buffer = mmap.mmap(-1, blob.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.bytes_fetched = 0
        self._client = client
        self._bucket = bucket
        self._deadline = deadline
        self._count_bytes = count_bytes
        self._state = threading.Condition()
        self._chunk_is_verified = [False] * len(blob.chunks)
        self._prefix = 0  # how many chunks from the start are verified without a gap
        self._next = 0  # the first chunk that no thread has taken
        self._limit = blob.size if pause_at is None else pause_at  # chunks that end beyond this byte wait
        self._after = after
        self._followers: list[Download] = []
        self._stop = threading.Event()
        self._error: ColdswapError | None = None
        self._closed = False
        self.window: int | None = None
        self._ahead = 0  # in a window: bytes from the first that is still needed to the last that may be fetched
        self._released_bytes = 0  # bytes from the start, given back to the system
        if after is not None:
            after._followers.append(self)
        self._start()

    def wait(self, upto: int | None = None) -> memoryview:
        """Wait until the first `upto` bytes (None: all) are verified, and return them.

        Raises ModelsMissing, ModelsCorrupt, StorageFailed, or OutOfTime at the download's deadline.
        """
        size = self.blob.size if upto is None else upto
        if size <= self._released_bytes:
            raise RuntimeError(f"{self.blob.name} has passed through its window")
        chunks = -(-size // self.blob.chunk_bytes)
        with self._state:
            while self._prefix < chunks:
                if self._error:
                    raise self._error
                if self._stop.is_set():
                    raise DownloadCancelled(self.blob.name)
                left = self._deadline.check("fetching the models")
                self._state.wait(left)
            return memoryview(self.buffer)[:size]

    def memory(self) -> memoryview:
        """The whole buffer; only `wait` says how much of it may be read."""
        return memoryview(self.buffer)

    @property
    def complete(self) -> bool:
        """Whether every byte is here and verified."""
        return self._prefix == len(self.blob.chunks) and not self._released_bytes

    @property
    def usable(self) -> bool:
        """Whether waiting for it can still succeed."""
        return self.complete or not (self._error or self._stop.is_set() or self._deadline.left() <= 0)

    def take_over(self, deadline: Deadline, pause_at: int | None, after: Download | None) -> None:
        """Go on as if it had been started with these."""
        if after is not None:
            after._followers.append(self)
        with self._state:
            self._deadline, self._after = deadline, after
            self._limit = self.blob.size if pause_at is None else pause_at
            self._state.notify_all()

    @property
    def leaves_room(self) -> bool:
        """Whether it no longer needs the line for itself: LAST_CHUNKS or fewer are to come, or it has ended."""
        return self._stop.is_set() or self._chunk_is_verified.count(False) <= LAST_CHUNKS

    def shrink(self, size: int, deadline: Deadline) -> None:
        """Give back what lies beyond about `size` bytes of a complete download; `resume` fetches it again."""
        with self._state:
            if not self.complete or self._active_threads or self._closed:
                return
            keep = size // self.blob.chunk_bytes
            begin = -(-keep * self.blob.chunk_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
            if begin >= self.blob.size:
                return
            self._prefix = self._next = keep
            self._chunk_is_verified[keep:] = [False] * (len(self._chunk_is_verified) - keep)
            self._limit, self._deadline = size, deadline
            self.buffer.madvise(mmap.MADV_DONTNEED, begin, self.blob.size - begin)
            self._start()

    def resume(self, window: int | None = None) -> None:
        """Fetch the rest too: all of it, or in a window, where up to `window` bytes are needed at one time.

        In a window each byte comes once: what has been released is not fetched again.
        """
        with self._state:
            self.window = None if window is None or self.complete else window
            # The last byte that is needed comes with its whole chunk; two more chunks are fetched meanwhile.
            self._ahead = self.blob.size if self.window is None else self.window + 3 * self.blob.chunk_bytes
            self._limit = min(self.blob.size, self._ahead)
            self._state.notify_all()

    def release(self, upto: int) -> None:
        """Say that the first `upto` bytes are not needed again. In a window their pages go back to the system."""
        with self._state:
            upto = min(upto, self.blob.size)
            if self.window is None or upto <= self._released_bytes or self._closed:
                return
            begin, end = (at // mmap.PAGESIZE * mmap.PAGESIZE for at in (self._released_bytes, upto))
            if end > begin:
                self.buffer.madvise(mmap.MADV_DONTNEED, begin, end - begin)
            self._released_bytes = upto
            self._limit = min(self.blob.size, upto + self._ahead)
            self._state.notify_all()

    def cancel(self) -> None:
        """Stop fetching. What has been verified stays readable."""
        with self._state:
            self._stop.set()
            self._state.notify_all()
        self._tell_followers()

    def close(self) -> None:
        """Stop fetching, and give the memory back. The buffer must not be read again: it holds zeros."""
        self.cancel()
        with self._state:
            if self._closed:
                return
            self._closed = True
            if not self._active_threads:
                self._free()

    def _start(self) -> None:
        self._active_threads = min(PARALLEL_RANGE_READS, len(self.blob.chunks))
        self.threads = [
            threading.Thread(target=self._work, name=self.blob.name, daemon=True) for _ in range(self._active_threads)
        ]
        for thread in self.threads:
            thread.start()

    def _free(self) -> None:
        # Arrays may still point into the mapping, so it is emptied rather than unmapped.
        self.buffer.madvise(mmap.MADV_DONTNEED)

    def _work(self) -> None:
        try:
            for index in self._take_chunks():
                self._fetch_chunk(index)
                with self._state:
                    self._chunk_is_verified[index] = True
                    while self._prefix < len(self._chunk_is_verified) and self._chunk_is_verified[self._prefix]:
                        self._prefix += 1
                    self._state.notify_all()
                self._tell_followers()
        except DownloadCancelled:
            pass
        except ColdswapError as error:
            self._fail(error)
        except Exception as error:  # whatever it is, the waiting side must get to know it
            self._fail(StorageFailed(f"Fetching the models failed: {type(error).__name__}."))
        finally:
            with self._state:
                self._active_threads -= 1
                if self._closed and not self._active_threads:
                    self._free()

    def _fail(self, error: ColdswapError) -> None:
        with self._state:
            self._error = self._error or error
            self._stop.set()
            self._state.notify_all()
        self._tell_followers()

    def _tell_followers(self) -> None:
        """Let who waits for the line look again; called without this download's lock, since it takes theirs."""
        if self.leaves_room:
            for follower in self._followers:
                with follower._state:
                    follower._state.notify_all()

    def _take_chunks(self) -> Iterator[int]:
        """Take chunks for this thread to fetch, one after another, as soon as each may be fetched."""
        while True:
            with self._state:
                while self._must_wait():
                    if self._stop.is_set():
                        return
                    self._state.wait(self._deadline.check("fetching the models"))
                index, self._next = self._next, self._next + 1
            if index >= len(self._chunk_is_verified) or self._stop.is_set():
                return
            yield index

    def _must_wait(self) -> bool:
        """Whether there is a next chunk that may not be fetched yet."""
        if self._next >= len(self._chunk_is_verified):
            return False
        if self._after is not None and self._after.leaves_room:
            self._after = None
        return self._after is not None or self._chunk_end(self._next) > self._limit

    def _chunk_end(self, index: int) -> int:
        return min((index + 1) * self.blob.chunk_bytes, self.blob.size)

    def _fetch_chunk(self, index: int) -> None:
        start = index * self.blob.chunk_bytes
        view = memoryview(self.buffer)[start : self._chunk_end(index)]
        for _ in range(2):  # a wrong chunk is fetched once more: the network may have damaged it
            self._fill(view, start)
            if sha256(view).hexdigest() == self.blob.chunks[index]:
                return
        raise ModelsCorrupt(f"{self.blob.key} in the models bucket is damaged. Publish the pack again.")

    def _fill(self, view: memoryview, start: int) -> None:
        """Fill the view from `start` on; a range that breaks off is continued where it broke."""
        offset = 0
        for pause in (*BACKOFF_SECONDS, None):
            try:
                for size in self._read_pieces(view[offset:], start + offset):
                    offset += size
                if offset == len(view):
                    return
                why = "a response ended early"
            except (ColdswapError, DownloadCancelled):
                raise
            except OSError as error:
                why = type(error).__name__
            except client_error() as error:
                why = self._retry_reason(error)
            except transport_errors() as error:
                why = type(error).__name__
            if pause is not None and self._stop.wait(min(pause, max(self._deadline.left(), 0))):
                raise DownloadCancelled(self.blob.name)
        raise StorageFailed(f"The models bucket did not deliver {self.blob.key}: {why}. Try again in a moment.")

    def _read_pieces(self, view: memoryview, start: int) -> Iterator[int]:
        """Fill the view by one range read, and yield the size of each piece."""
        self._check_active()
        end = start + len(view)
        response = self._client.get_object(Bucket=self._bucket, Key=self.blob.key, Range=f"bytes={start}-{end - 1}")
        with response["Body"] as body:
            span = response.get("ContentRange", "")
            if span != f"bytes {start}-{end - 1}/{self.blob.size}":
                raise ModelsCorrupt(
                    f"The size of {self.blob.key} is not what its manifest states. Publish the pack again."
                )
            offset = 0
            while offset < len(view):
                self._check_active()
                size = body.readinto(view[offset : offset + PIECE_BYTES])
                if not size:
                    return
                offset += size
                with self._state:
                    self.bytes_fetched += size
                self._count_bytes(size)
                yield size

    def _check_active(self) -> None:
        if self._stop.is_set():
            raise DownloadCancelled(self.blob.name)
        self._deadline.check("fetching the models")

    def _retry_reason(self, error: ClientError) -> str:
        """Why S3 refused, if a retry may help; otherwise raises."""
        response = error.response
        code = response.get("Error", {}).get("Code", "")
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 416:
            raise ModelsCorrupt(
                f"{self.blob.key} is shorter than its manifest states. Publish the pack again."
            ) from error
        if status >= 500 or code in THROTTLING_CODES:
            return code or str(status)
        raise translate_error(error, self.blob.key) from error


def client_error() -> Any:
    """What boto3 raises when S3 refuses. Imported when something has gone wrong: a pack in a folder needs no boto3.

    The package comes before its module: another thread may be importing it, and Python would see a deadlock.
    """
    importlib.import_module("botocore")
    from botocore.exceptions import ClientError

    return ClientError


def transport_errors() -> Any:
    """What boto3 raises when S3 does not answer, beside OSError; imported late as well."""
    for package in ("botocore", "urllib3"):
        importlib.import_module(package)
    from botocore.exceptions import BotoCoreError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, HTTPError


def translate_error(error: ClientError, key: str) -> ColdswapError:
    """Our error for one of S3's. Without the right to list a bucket, S3 responds 403 for a key that does not exist."""
    response = error.response
    code = str(response.get("Error", {}).get("Code", ""))
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status in (403, 404):
        return ModelsMissing(
            f"{key} is not in the models bucket, or may not be read ({code}). Publish a pack: make models."
        )
    return StorageFailed(f"The models bucket did not deliver {key}: {code or status}. Try again in a moment.")
