"""Verification: what a picture or a video claims about how it was made, and whether this stack made it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from functions.swap import cost, inputs
from functions.swap.context import SwapContext
from functions.swap.results import check_location, check_owner
from functions.swap.services import SCRATCH
from functions.swap.values import describe
from layers.core.errors import (
    ColdswapError,
    InputNotFound,
    ObjectNotFound,
    PictureTooLarge,
    RefusedUrl,
    TooLarge,
    UnsupportedPicture,
)
from layers.core.scratch_folders import scratch_folder
from layers.core.units import MIB
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import SYNTHETIC, ManifestSummary, read_manifest
from layers.media.formats import MP4, SNIFFED_BYTES, MediaType, sniff
from layers.media.xmp_label import SOURCE_TYPE, read_label, read_mp4_label

MAX_PICTURE_BYTES = 40 * MIB


@dataclass(frozen=True)
class Verdict:
    """What a file claims about how it was made."""

    sentence: str = field(metadata=describe("the verdict for people"))
    ours: bool = field(metadata=describe("whether this stack made the file, and it has not been changed since"))
    made_with_a_model: bool = field(metadata=describe("whether either label claims that a trained model was used"))
    source_type: str | None = field(metadata=describe("IPTC's digital source type, as the XMP label claims"))
    manifest: ManifestSummary
    media: MediaType | Literal["image/gif"]
    bytes: int
    sha256: str


def verify(uri: str, caller: str | None, context: SwapContext) -> Verdict:
    """Verify a file on https, one of the caller's own in the outputs or uploads bucket, or a picture in a data: URI.

    Raises BudgetSpent for a large file, the errors of fetching, UnsupportedPicture for another kind of file,
    PictureTooLarge, StorageFailed, or LabelFailed if the stack's own key cannot be read.
    """
    anchors = signing_chain(context.settings.signing_key).anchors
    with scratch_folder(SCRATCH) as folder:
        path = folder / "file"
        try:
            _fetch(path, uri, caller, context)
        except TooLarge as error:
            raise PictureTooLarge(str(error)) from None
        except ObjectNotFound:
            raise InputNotFound("There is nothing at the given S3 URI.") from None
        cost.charge_file(context.budget, caller, path.stat().st_size)
        return judge(path, anchors)


def judge(path: Path, anchors: str) -> Verdict:
    """Judge a file by its labels; `anchors` are the certificates, in PEM, of the authorities that count as ours.

    Raises UnsupportedPicture or PictureTooLarge.
    """
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES)
        media = "image/gif" if head.startswith(b"GIF8") else sniff(head)
        if media is None:
            raise UnsupportedPicture("Only JPEG, PNG, WebP, GIF and MP4 files can be verified.")
        if media not in (MP4, "image/gif") and path.stat().st_size > MAX_PICTURE_BYTES:
            raise PictureTooLarge(f"A picture of more than {MAX_PICTURE_BYTES // MIB} MiB cannot be verified.")
        file.seek(0)
        manifest = read_manifest(file, media, anchors)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    source_type = _source_type(path, media)
    claims = {each.get("digitalSourceType") for each in manifest.actions} | {source_type}
    made_with_a_model = bool(claims & {SOURCE_TYPE, SYNTHETIC})
    return Verdict(
        sentence=_summarize(manifest, made_with_a_model),
        ours=manifest.state == "trusted",
        made_with_a_model=made_with_a_model,
        source_type=source_type,
        manifest=manifest,
        media=media,
        bytes=path.stat().st_size,
        sha256=digest,
    )


def _summarize(manifest: ManifestSummary, made_with_a_model: bool) -> str:
    """The verdict in one or two sentences."""
    claim = "Its labels do not say that a trained model was used."
    if made_with_a_model:
        claim = "Its labels say that it was made or changed with a trained model."
    return {
        "trusted": f"This stack made the file, and it has not been changed since. {claim}",
        "valid": f"Somebody unknown here ({manifest.signer}) signed the file, and it has not been changed since. "
        f"{claim}",
        "invalid": "The file's signed label is broken, or belongs to another file: it proves nothing.",
        "absent": f"The file has no signed label. {claim}",
    }[manifest.state]


def _fetch(path: Path, uri: str, caller: str | None, context: SwapContext) -> None:
    from layers.core.storage import open_for_writing, parse_s3_uri

    settings = context.settings
    scheme = uri.partition(":")[0].lower()
    if scheme == "s3" and parse_s3_uri(uri)[0] == settings.outputs_bucket:
        bucket, key = parse_s3_uri(uri)
        check_location(bucket, key, caller, settings)
        check_owner(bucket, key, caller, settings, context.records)
        context.storage.download(bucket, key, path, settings.max_verified_bytes, context.deadline)
    elif scheme == "s3" and parse_s3_uri(uri)[0] != settings.uploads_bucket:
        raise RefusedUrl("Only files in the stack's uploads and outputs buckets can be verified.")
    elif scheme in ("s3", "data"):
        path.write_bytes(inputs.read(uri, caller, context))
    elif scheme in ("https", "http"):
        from layers.core.http_fetch import fetch_into

        with open_for_writing(path) as file:
            fetch_into(
                file,
                uri,
                limit=settings.max_verified_bytes,
                deadline=context.deadline.sooner(settings.fetch_seconds),
                accept="image/*, video/*",
                trusted_origins=settings.trusted_origins,
                max_redirects=settings.max_redirects,
            )
    else:
        raise RefusedUrl("A file must be named by an https:, s3: or data: URI.")


def _source_type(path: Path, media: str) -> str | None:
    """The source type that the XMP label claims; None also for a file that is too broken to be read."""
    try:
        if media == "image/gif":
            from layers.media.moving.labels import read_moving_label

            return read_moving_label(path, "gif")
        return read_mp4_label(path) if media == MP4 else read_label(path.read_bytes())
    except (ColdswapError, ValueError):
        return None
