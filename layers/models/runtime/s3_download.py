"""One blob on its way from S3 into memory, in parallel range reads, each chunk verified before it counts."""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ModelsCorrupt, ModelsMissing, StorageFailed
from layers.models.runtime.manifest import Blob

PIECE_BYTES = 256 << 10  # read at once: between two of them a download can be cancelled
BACKOFF_SECONDS = (0.05, 0.2, 0.8, 2.0)  # before each further try of a range
THROTTLED = {"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "Throttling", "ThrottlingException"}


class DownloadCancelled(Exception):
    """Somebody no longer wants these bytes."""


class Download:
    """The bytes of a blob, arriving in order of use.

    `buffer` is anonymous memory of the blob's whole size; only `wait` says which of it may be read. Threads end within
    a piece of PIECE_BYTES once the download is cancelled, has failed or is out of time.
    """

    def __init__(
        self,
        client: Any,
        bucket: str,
        blob: Blob,
        deadline: Deadline,
        connections: int,
        count: Callable[[int], None],
        held_at: int | None = None,
    ) -> None:
        """Starts to fetch. `count` is told of every piece's bytes, from several threads.

        Until let go, no chunk is started on that ends beyond `held_at` bytes, so that other weights have room.
        """
        self.blob = blob
        # Private, since madvise gives back no page of a shared mapping, which is Python's default.
        self.buffer = mmap.mmap(-1, blob.size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.bytes_fetched = 0
        self._client = client
        self._bucket = bucket
        self._deadline = deadline
        self._count = count
        self._state = threading.Condition()
        self._verified = [False] * len(blob.chunks)
        self._prefix = 0  # chunks verified without a gap from the start
        self._next = 0  # the chunk that no thread has taken yet
        self._limit = blob.size if held_at is None else held_at  # bytes that may be fetched for now
        self._stopped = threading.Event()
        self._error: ColdswapError | None = None
        self._closed = False
        self.window: int | None = None
        self._ahead = 0  # in a window: bytes from the first that is still wanted to the last that may be fetched
        self._released = 0  # bytes from the start that have gone back to the system
        self._connections = connections
        self._start()

    def wait(self, upto: int | None = None) -> memoryview:
        """The first `upto` bytes (None: all), as soon as they are verified.

        Raises ModelsMissing, ModelsCorrupt, StorageFailed, or OutOfTime at the download's deadline.
        """
        size = self.blob.size if upto is None else upto
        if size <= self._released:
            raise RuntimeError(f"{self.blob.name} has gone through its window")
        chunks = -(-size // self.blob.chunk_bytes)
        with self._state:
            while self._prefix < chunks:
                if self._error:
                    raise self._error
                if self._stopped.is_set():
                    raise DownloadCancelled(self.blob.name)
                left = self._deadline.check("fetching the models")
                self._state.wait(left)
            return memoryview(self.buffer)[:size]

    def memory(self) -> memoryview:
        """All of it; only `wait` says how much may be read."""
        return memoryview(self.buffer)

    @property
    def complete(self) -> bool:
        """Whether every byte is here and verified."""
        return self._prefix == len(self.blob.chunks) and not self._released

    @property
    def usable(self) -> bool:
        """Whether waiting for it can still succeed."""
        return self.complete or not (self._error or self._stopped.is_set() or self._deadline.left() <= 0)

    def shrink(self, size: int, deadline: Deadline) -> None:
        """Give back what lies beyond about `size` bytes of a complete download; it is fetched again once let go."""
        with self._state:
            if not self.complete or self._working or self._closed:
                return
            keep = size // self.blob.chunk_bytes
            begin = -(-keep * self.blob.chunk_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
            if begin >= self.blob.size:
                return
            self._prefix = self._next = keep
            self._verified[keep:] = [False] * (len(self._verified) - keep)
            self._limit, self._deadline = size, deadline
            self.buffer.madvise(mmap.MADV_DONTNEED, begin, self.blob.size - begin)
            self._start()

    def let_go(self, window: int | None = None) -> None:
        """Fetch the rest too: all, or in a window, so that up to `window` bytes may be wanted at one time.

        In a window each byte is there once: what has been released is not fetched again.
        """
        with self._state:
            self.window = None if window is None or self.complete else window
            # The last byte that is wanted comes with the whole of its chunk; two more are on their way meanwhile.
            self._ahead = self.blob.size if self.window is None else self.window + 3 * self.blob.chunk_bytes
            self._limit = min(self.blob.size, self._ahead)
            self._state.notify_all()

    def release(self, upto: int) -> None:
        """The first `upto` bytes are not wanted again. In a window their pages go back to the system."""
        with self._state:
            upto = min(upto, self.blob.size)
            if self.window is None or upto <= self._released or self._closed:
                return
            begin, end = (at // mmap.PAGESIZE * mmap.PAGESIZE for at in (self._released, upto))
            if end > begin:
                self.buffer.madvise(mmap.MADV_DONTNEED, begin, end - begin)
            self._released = upto
            self._limit = min(self.blob.size, upto + self._ahead)
            self._state.notify_all()

    def cancel(self) -> None:
        """Stop fetching. What is verified stays readable."""
        with self._state:
            self._stopped.set()
            self._state.notify_all()

    def close(self) -> None:
        """Stop fetching and give the memory back. The buffer must not be read again: it would be zeros."""
        self.cancel()
        with self._state:
            if self._closed:
                return
            self._closed = True
            if not self._working:
                self._free()

    def _start(self) -> None:
        self._working = min(self._connections, len(self.blob.chunks))
        self.threads = [
            threading.Thread(target=self._work, name=self.blob.name, daemon=True) for _ in range(self._working)
        ]
        for thread in self.threads:
            thread.start()

    def _free(self) -> None:
        # Arrays may still point into the mapping, so it is emptied rather than unmapped.
        self.buffer.madvise(mmap.MADV_DONTNEED)

    def _work(self) -> None:
        try:
            for index in self._chunks():
                self._chunk(index)
                with self._state:
                    self._verified[index] = True
                    while self._prefix < len(self._verified) and self._verified[self._prefix]:
                        self._prefix += 1
                    self._state.notify_all()
        except DownloadCancelled:
            pass
        except ColdswapError as error:
            self._fail(error)
        except Exception as error:  # of whatever kind, the waiting side must hear of it
            self._fail(StorageFailed(f"Fetching the models failed: {type(error).__name__}."))
        finally:
            with self._state:
                self._working -= 1
                if self._closed and not self._working:
                    self._free()

    def _fail(self, error: ColdswapError) -> None:
        with self._state:
            self._error = self._error or error
            self._stopped.set()
            self._state.notify_all()

    def _chunks(self) -> Iterator[int]:
        """The chunks that this thread is to fetch, each as it becomes this thread's turn."""
        while True:
            with self._state:
                while self._next < len(self._verified) and self._end(self._next) > self._limit:
                    if self._stopped.is_set():
                        return
                    self._state.wait(self._deadline.check("fetching the models"))
                index, self._next = self._next, self._next + 1
            if index >= len(self._verified) or self._stopped.is_set():
                return
            yield index

    def _end(self, index: int) -> int:
        return min((index + 1) * self.blob.chunk_bytes, self.blob.size)

    def _chunk(self, index: int) -> None:
        start = index * self.blob.chunk_bytes
        view = memoryview(self.buffer)[start : self._end(index)]
        for _ in range(2):  # a wrong chunk once more: the fault may have been on the way
            self._fill(view, start)
            if sha256(view).hexdigest() == self.blob.chunks[index]:
                return
        raise ModelsCorrupt(f"{self.blob.key} in the models bucket is damaged. Publish the pack again.")

    def _fill(self, view: memoryview, start: int) -> None:
        """Reads the bytes of the blob from `start` on; a range that breaks off is taken up where it broke."""
        done = 0
        for pause in (*BACKOFF_SECONDS, None):
            try:
                for size in self._pieces(view[done:], start + done):
                    done += size
                if done == len(view):
                    return
                why = "an answer ended early"
            except ClientError as error:
                why = self._judge(error)
            except (BotoCoreError, HTTPError, OSError) as error:
                why = type(error).__name__
            if pause is not None and self._stopped.wait(min(pause, max(self._deadline.left(), 0))):
                raise DownloadCancelled(self.blob.name)
        raise StorageFailed(f"The models bucket did not deliver {self.blob.key}: {why}. Try again in a moment.")

    def _pieces(self, view: memoryview, start: int) -> Iterator[int]:
        """Fills the view from one range read and yields how many bytes each step brought."""
        self._go_on()
        end = start + len(view)
        answer = self._client.get_object(Bucket=self._bucket, Key=self.blob.key, Range=f"bytes={start}-{end - 1}")
        with answer["Body"] as body:
            span = answer.get("ContentRange", "")
            if span != f"bytes {start}-{end - 1}/{self.blob.size}":
                raise ModelsCorrupt(f"{self.blob.key} has not the size that the manifest says. Publish the pack again.")
            done = 0
            while done < len(view):
                self._go_on()
                size = body.readinto(view[done : done + PIECE_BYTES])
                if not size:
                    return
                done += size
                with self._state:
                    self.bytes_fetched += size
                self._count(size)
                yield size

    def _go_on(self) -> None:
        if self._stopped.is_set():
            raise DownloadCancelled(self.blob.name)
        self._deadline.check("fetching the models")

    def _judge(self, error: ClientError) -> str:
        """Why S3 refused, where another try may help; raises where none can."""
        reply = error.response
        code = reply.get("Error", {}).get("Code", "")
        status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 416:
            raise ModelsCorrupt(
                f"{self.blob.key} is shorter than the manifest says. Publish the pack again."
            ) from error
        if status >= 500 or code in THROTTLED:
            return code or str(status)
        raise missing_or_failed(error, self.blob.key) from error


def missing_or_failed(error: ClientError, key: str) -> ColdswapError:
    """What a refusal by S3 means. Without the right to list a bucket, S3 says 403 for a key that does not exist."""
    reply = error.response
    code = str(reply.get("Error", {}).get("Code", ""))
    status = reply.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status in (403, 404):
        return ModelsMissing(
            f"{key} is not in the models bucket, or may not be read from there ({code}). Publish a pack: make models."
        )
    return StorageFailed(f"The models bucket did not deliver {key}: {code or status}. Try again in a moment.")
