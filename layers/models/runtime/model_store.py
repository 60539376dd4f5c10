"""The models bucket: which pack is in use, and its bytes."""

from __future__ import annotations

import threading
from hashlib import sha256
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt, ModelsMissing, StorageFailed
from layers.models.runtime.manifest import MAX_MANIFEST_BYTES, POINTER_KEY, Blob, Manifest, Pointer
from layers.models.runtime.s3_download import Download, missing_or_failed

SMALL_TRIES = 3
CONNECTIONS = 16  # Lambda's network is at full speed with 16 to 24 streams (Brooker et al., ATC 2023)


class ModelStore:
    """Reads packs from the models bucket. Safe to use from several threads."""

    def __init__(self, bucket: str, client: Any) -> None:
        """`client`: boto3's S3 client; its pool should have room for CONNECTIONS connections."""
        self._bucket = bucket
        self._client = client
        self._lock = threading.Lock()
        self._counting = threading.Lock()
        self._fetched = 0
        self._etag = ""
        self._pointer: Pointer | None = None
        self._manifest: Manifest | None = None

    def pack(self, deadline: Deadline) -> Manifest:
        """The manifest in use now. An unchanged pointer costs one request without a body (304 Not Modified).

        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        with self._lock:
            deadline.check("looking up the models")
            moved = self._read_pointer()
            if moved is None and self._manifest is not None:
                return self._manifest
            pointer, etag = moved or (self._pointer, self._etag)
            assert pointer is not None  # no validator was sent, so S3 sent the pointer
            try:
                manifest = self._read_manifest(pointer)
            except ModelsMissing:
                # A publish may have moved the pointer, and cleared the old manifest away, between the two reads.
                again = self._read_pointer()
                if again is None or again[0] == pointer:
                    raise
                pointer, etag = again
                manifest = self._read_manifest(pointer)
            self._pointer, self._etag, self._manifest = pointer, etag, manifest
            return manifest

    def load(self, blob: Blob, deadline: Deadline, held_at: int | None = None) -> Download:
        """Starts to fetch a blob; returns at once. `held_at` as in Download."""
        return Download(self._client, self._bucket, blob, deadline, CONNECTIONS, self._count, held_at)

    def read(self, blob: Blob, deadline: Deadline) -> bytes:
        """A small blob, whole and verified. Raises as Download.wait does."""
        download = self.load(blob, deadline)
        try:
            return bytes(download.wait())
        finally:
            download.close()

    @property
    def bytes_fetched(self) -> int:
        """Of blobs, from the start, whether they were of use or not."""
        return self._fetched

    def _count(self, size: int) -> None:
        with self._counting:
            self._fetched += size

    def _read_pointer(self) -> tuple[Pointer, str] | None:
        """The pointer and its ETag, or None where it is still the one that was read last."""
        validator = {"IfNoneMatch": self._etag} if self._manifest else {}
        try:
            data, etag = self._small(POINTER_KEY, validator)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 304:
                return None
            raise missing_or_failed(error, POINTER_KEY) from error
        return Pointer.parse(data), etag

    def _read_manifest(self, pointer: Pointer) -> Manifest:
        try:
            data, _ = self._small(pointer.key, {})
        except ClientError as error:
            raise missing_or_failed(error, pointer.key) from error
        if sha256(data).hexdigest() != pointer.digest:
            raise ModelsCorrupt(f"{pointer.key} is not what its name says. Publish the pack again.")
        return Manifest.parse(data)

    def _small(self, key: str, validator: dict[str, str]) -> tuple[bytes, str]:
        """An object of at most MAX_MANIFEST_BYTES, and its ETag. A broken answer boto3 would not repeat."""
        why = ""
        for _ in range(SMALL_TRIES):
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=key, **validator)
                with answer["Body"] as body:
                    data = body.read(MAX_MANIFEST_BYTES + 1)
            except (BotoCoreError, HTTPError, OSError) as error:
                why = type(error).__name__
            else:
                if len(data) > MAX_MANIFEST_BYTES:
                    raise ModelsCorrupt(f"{key} is larger than a manifest can be. Publish the pack again.")
                if len(data) == answer["ContentLength"]:
                    return data, str(answer.get("ETag", ""))
                why = "the answer ended early"
        raise StorageFailed(f"The models bucket did not deliver {key}: {why}. Try again in a moment.")
