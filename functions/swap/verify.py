"""What a picture or a video claims about how it was made, and whether this stack made it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from functions.swap import inputs
from functions.swap.results import check_owner, check_place
from functions.swap.services import SCRATCH
from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecords
from layers.core.budget import Budget
from layers.core.deadline import Deadline
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
from layers.media.picture_header import PNG_SIGNATURE
from layers.media.xmp_label import SOURCE_TYPE, read_label, read_mp4_label

if TYPE_CHECKING:
    from layers.core.storage import Storage

Media = Literal["image/jpeg", "image/png", "image/webp", "video/mp4"]

_STILLS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"hevc", b"hevx", b"mif1", b"msf1")  # brands that are no video
_MOST_PICTURE = 40 * MIB
UNIT_BYTES = 20 * MIB  # of a file that is looked at for one unit of the budget


@dataclass(frozen=True)
class Verdict:
    """`ours`: the signature fits the file and is this stack's. `source_type` is what the XMP label claims."""

    media: Media
    bytes: int
    sha256: str
    ours: bool
    made_with_a_model: bool  # as either label claims
    source_type: str | None
    manifest: ManifestSummary

    @property
    def sentence(self) -> str:
        """The gist for a person."""
        model = "made or changed with a trained model" if self.made_with_a_model else "not said to be made with a model"
        return {
            "trusted": f"This stack made the file, and nobody changed it since. It is {model}.",
            "valid": f"Somebody unknown here ({self.manifest.signer}) signed the file, and nobody changed it since. "
            f"By its labels it is {model}.",
            "invalid": "The file's signed label is broken, or does not belong to it: it proves nothing.",
            "absent": f"The file has no signed label. By its other label it is {model}.",
        }[self.manifest.state]


def verify(
    uri: str,
    caller: str | None,
    *,
    settings: Settings,
    storage: Storage,
    ledger: SwapRecords,
    budget: Budget,
    deadline: Deadline,
) -> Verdict:
    """Of a file on https, of the caller's own in the outputs or uploads bucket, or (a picture) inside a data: URI.

    A unit of the budget has been paid for it before; what is larger than UNIT_BYTES costs more.

    Raises BudgetSpent, the errors of fetching, UnsupportedPicture for another kind of file, StorageFailed or
    LabelFailed where the stack's own key cannot be read.
    """
    anchors = signing_chain(settings.signing_key).anchors
    with scratch_folder(SCRATCH) as folder:
        path = folder / "file"
        try:
            _fetch(path, uri, caller, settings, storage, ledger, deadline)
        except TooLarge as error:
            raise PictureTooLarge(str(error)) from None
        except ObjectNotFound:
            raise InputNotFound("There is nothing at the S3 URI that was given.") from None
        budget.spend(caller, path.stat().st_size // UNIT_BYTES)
        return judge(path, anchors)


def judge(path: Path, anchors: str) -> Verdict:
    """Of a file; `anchors` are the certificates, in PEM, of the authorities that count as ours.

    Raises UnsupportedPicture or PictureTooLarge.
    """
    with path.open("rb") as file:
        media = _media(file.read(32))
        if media != "video/mp4" and path.stat().st_size > _MOST_PICTURE:
            raise PictureTooLarge(f"Pictures of at most {_MOST_PICTURE // MIB} MiB are verified.")
        file.seek(0)
        told = read_manifest(file, media, anchors)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    source_type = _source_type(path, media)
    claimed = {each.get("digitalSourceType") for each in told.actions} | {source_type}
    return Verdict(
        media=media,
        bytes=path.stat().st_size,
        sha256=digest,
        ours=told.state == "trusted",
        made_with_a_model=bool(claimed & {SOURCE_TYPE, SYNTHETIC}),
        source_type=source_type,
        manifest=told,
    )


def _fetch(
    path: Path,
    uri: str,
    caller: str | None,
    settings: Settings,
    storage: Storage,
    ledger: SwapRecords,
    deadline: Deadline,
) -> None:
    from layers.core.storage import open_for_writing, parse_s3_uri

    scheme = uri.partition(":")[0].lower()
    if scheme == "s3" and parse_s3_uri(uri)[0] == settings.outputs_bucket:
        bucket, key = parse_s3_uri(uri)
        check_place(bucket, key, caller, settings)
        check_owner(bucket, key, caller, settings, ledger)
        storage.download(bucket, key, path, settings.max_verified_bytes, deadline)
    elif scheme == "s3" and parse_s3_uri(uri)[0] != settings.uploads_bucket:
        raise RefusedUrl("Only the stack's own buckets of uploads and of results are read.")
    elif scheme in ("s3", "data"):
        path.write_bytes(inputs.read(uri, caller, settings=settings, storage=storage, ledger=ledger, deadline=deadline))
    elif scheme in ("https", "http"):
        from layers.core.http_fetch import fetch_into

        with open_for_writing(path) as file:
            fetch_into(
                file,
                uri,
                limit=settings.max_verified_bytes,
                deadline=deadline.sooner(settings.fetch_seconds),
                accept="image/*, video/*",
                trusted_origins=settings.trusted_origins,
            )
    else:
        raise RefusedUrl("Files are named by https:, s3: or data: URIs, nothing else.")


def _media(head: bytes) -> Media:
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(PNG_SIGNATURE):
        return "image/png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] not in _STILLS:
        return "video/mp4"
    raise UnsupportedPicture("This is none of JPEG, PNG, WebP and MP4, the kinds that are made here.")


def _source_type(path: Path, media: Media) -> str | None:
    """What the XMP label claims; a file too broken to be read claims nothing."""
    try:
        return read_mp4_label(path) if media == "video/mp4" else read_label(path.read_bytes())
    except (ColdswapError, ValueError):
        return None
