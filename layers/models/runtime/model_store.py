"""Reads the models bucket: which pack is in use, and its blobs."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ModelsCorrupt, ModelsMissing, StorageFailed
from layers.models.runtime.manifest import MAX_MANIFEST_BYTES, POINTER_KEY, Blob, Manifest, Pointer
from layers.models.runtime.s3_download import Download, client_error, translate_error, transport_errors

MAX_SMALL_READS = 3


@dataclass(frozen=True)
class _Lookup:
    """The pack in use when it was last looked up, and the pointer's ETag."""

    etag: str
    manifest: Manifest


class ModelStore:
    """Reads packs from the models bucket. Safe to use from several threads."""

    def __init__(self, bucket: str, client: Any) -> None:
        """`client`: boto3's S3 client, or another object with its `get_object`.

        Its pool should have room for PARALLEL_RANGE_READS connections.
        """
        self._bucket = bucket
        self._client = client
        self._count_lock = threading.Lock()
        self._anticipated_lock = threading.Lock()
        self._bytes_fetched = 0
        self._latest: _Lookup | None = None
        self._anticipated: dict[str, Download] = {}  # by digest: what nobody has asked for yet

    def current_pack(self, deadline: Deadline) -> Manifest:
        """The manifest in use now. An unchanged pointer costs one request, whose response has no body (304).

        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        deadline.check("looking up the models")
        # No lock is held while S3 is asked. A sandbox may be frozen in the middle of a lookup for a request that was
        # refused; the next request must not wait until that connection turns out to be dead.
        latest = self._latest
        update = self._read_pointer(latest)
        if update is None:
            assert latest is not None  # without a validator S3 always sends the pointer
            return latest.manifest
        pointer, etag = update
        try:
            manifest = self._read_manifest(pointer)
        except ModelsMissing:
            # A publication may have moved the pointer, and removed the old manifest, between the two reads.
            newer = self._read_pointer(latest)
            if newer is None or newer[0] == pointer:
                raise
            pointer, etag = newer
            manifest = self._read_manifest(pointer)
        self._latest = _Lookup(etag, manifest)
        return manifest

    def load(
        self, blob: Blob, deadline: Deadline, pause_at: int | None = None, after: Download | None = None
    ) -> Download:
        """Start to fetch a blob, or take over one that is anticipated; returns at once. The rest as in Download."""
        with self._anticipated_lock:
            download = self._anticipated.pop(blob.sha256, None)
        if download is None or not download.usable:
            return self._fetch(blob, deadline, pause_at, after)
        download.take_over(deadline, pause_at, after)
        return download

    def anticipate(self, blob: Blob, deadline: Deadline, pause_at: int | None = None) -> Download:
        """Start to fetch a blob for whoever calls `load` or `read` for it first, unless that has begun already."""
        with self._anticipated_lock:
            download = self._anticipated.get(blob.sha256)
            if download is None or not download.usable:
                download = self._anticipated[blob.sha256] = self._fetch(blob, deadline, pause_at)
            return download

    def drop_anticipated(self) -> int:
        """Stop fetching what nobody has asked for; return the bytes of it that came in vain."""
        with self._anticipated_lock:
            downloads, self._anticipated = self._anticipated, {}
        for download in downloads.values():
            download.close()
        return sum(download.bytes_fetched for download in downloads.values())

    def read(self, blob: Blob, deadline: Deadline) -> bytes:
        """Read a small blob, whole and verified. Raises what Download.wait raises."""
        download = self.load(blob, deadline)
        try:
            return bytes(download.wait())
        finally:
            download.close()

    @property
    def bytes_fetched(self) -> int:
        """Bytes of blobs fetched so far, whether they were needed or not."""
        return self._bytes_fetched

    def _fetch(
        self, blob: Blob, deadline: Deadline, pause_at: int | None = None, after: Download | None = None
    ) -> Download:
        return Download(self._client, self._bucket, blob, deadline, self._count_bytes, pause_at, after)

    def _count_bytes(self, size: int) -> None:
        with self._count_lock:
            self._bytes_fetched += size

    def _read_pointer(self, latest: _Lookup | None) -> tuple[Pointer, str] | None:
        """The pointer and its ETag; None if it has not changed since that lookup."""
        validator = {"IfNoneMatch": latest.etag} if latest else {}
        try:
            data, etag = self._read_small(POINTER_KEY, validator)
        except ColdswapError:
            raise
        except client_error() as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 304:
                return None
            raise translate_error(error, POINTER_KEY) from error
        return Pointer.parse(data), etag

    def _read_manifest(self, pointer: Pointer) -> Manifest:
        try:
            data, _ = self._read_small(pointer.key, {})
        except ColdswapError:
            raise
        except client_error() as error:
            raise translate_error(error, pointer.key) from error
        if sha256(data).hexdigest() != pointer.digest:
            raise ModelsCorrupt(f"{pointer.key} does not match the digest in its name. Publish the pack again.")
        return Manifest.parse(data)

    def _read_small(self, key: str, validator: dict[str, str]) -> tuple[bytes, str]:
        """An object of at most MAX_MANIFEST_BYTES, and its ETag. Retries if the body breaks off; boto3 does not."""
        why = ""
        for _ in range(MAX_SMALL_READS):
            try:
                response = self._client.get_object(Bucket=self._bucket, Key=key, **validator)
                with response["Body"] as body:
                    data = body.read(MAX_MANIFEST_BYTES + 1)
            except ColdswapError:
                raise
            except OSError as error:
                why = type(error).__name__
            except transport_errors() as error:
                why = type(error).__name__
            else:
                if len(data) > MAX_MANIFEST_BYTES:
                    raise ModelsCorrupt(f"{key} is larger than a manifest can be. Publish the pack again.")
                if len(data) == response["ContentLength"]:
                    return data, str(response.get("ETag", ""))
                why = "the response ended early"
        raise StorageFailed(f"The models bucket did not deliver {key}: {why}. Try again in a moment.")
