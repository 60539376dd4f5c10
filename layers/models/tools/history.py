"""The packs that were published to a bucket, and the way back to one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

from layers.core.errors import ModelsCorrupt, ModelsMissing
from layers.models.runtime.manifest import POINTER_KEY, Manifest, Pointer
from layers.models.tools.bundle import list_blobs
from layers.models.tools.publish import find_absent, pointer_condition, set_pointer

PREFIX = "packs/"


@dataclass(frozen=True)
class PublishedPack:
    """A pack in the bucket."""

    pointer: Pointer
    at: datetime  # when it was last published
    current: bool


def list_packs(bucket: str, client: Any) -> list[PublishedPack]:
    """Every pack in the bucket, newest first. Raises ModelsCorrupt for an invalid pointer, and botocore's errors."""
    pointer_in_use = read_pointer(bucket, client)
    packs = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        for entry in page.get("Contents", []):
            pack, _, name = entry["Key"].removeprefix(PREFIX).partition("/")
            pointer = Pointer(pack, name.removesuffix(".json"))
            if pointer.key == entry["Key"]:
                packs.append(PublishedPack(pointer, entry["LastModified"], pointer == pointer_in_use))
    return sorted(packs, key=lambda each: (each.at, each.pointer.key), reverse=True)


def read_pointer(bucket: str, client: Any) -> Pointer | None:
    """The pointer to the pack in use, or None. Raises ModelsCorrupt, and botocore's errors."""
    try:
        return Pointer.parse(_read(bucket, POINTER_KEY, client))
    except ModelsMissing:
        return None


def read_manifest(pointer: Pointer, bucket: str, client: Any) -> Manifest:
    """The manifest that the pointer points to. Raises ModelsMissing, ModelsCorrupt, and botocore's errors."""
    data = _read(bucket, pointer.key, client)
    if sha256(data).hexdigest() != pointer.digest:
        raise ModelsCorrupt(f"{pointer.key} does not match the digest in its name.")
    return Manifest.parse(data)


def choose_pack(packs: list[PublishedPack], digest: str | None) -> Pointer:
    """The pack whose digest begins with `digest`; without it, the pack that was published before the one in use.

    `packs` is what `list_packs` returned. Raises ModelsMissing.
    """
    if digest:
        matches = [each.pointer for each in packs if each.pointer.digest.startswith(digest)]
        if len(matches) != 1:
            raise ModelsMissing(f"{len(matches)} packs in the bucket have a digest that begins with {digest}.")
        return matches[0]
    positions = [position for position, each in enumerate(packs) if each.current]
    earlier = packs[positions[0] + 1 :] if positions else []
    if not earlier:
        raise ModelsMissing("No pack was published to the bucket before the one in use.")
    return earlier[0].pointer


def rollback(bucket: str, client: Any, digest: str | None = None) -> Pointer:
    """Make an earlier pack the one in use, chosen as by `choose_pack`.

    Raises ModelsMissing if a part of it is gone, ModelsCorrupt, Conflict, and botocore's errors.
    """
    condition = pointer_condition(bucket, client)
    pointer = choose_pack(list_packs(bucket, client), digest)
    missing = find_absent(list_blobs(read_manifest(pointer, bucket, client)), bucket, client)
    if missing:
        names = ", ".join(sorted(blob.key for blob in missing))
        raise ModelsMissing(
            f"{pointer.pack} {pointer.digest[:12]} is no longer complete: {names} missing. Publish it again."
        )
    set_pointer(pointer, bucket, client, condition)
    return pointer


def _read(bucket: str, key: str, client: Any) -> bytes:
    try:
        with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
            return bytes(body.read())
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 404):
            raise ModelsMissing(f"{key} is not in {bucket}, or may not be read from there.") from error
        raise
