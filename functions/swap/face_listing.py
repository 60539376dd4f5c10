"""The faces of a picture, without a swap: what is in it, and what a swap could replace.

Neither the swapper nor the embedder is loaded. Without an embedding nobody can be compared with the do-not-swap list,
and a listing should not tell who is on it: that a face is refused is seen in a swap, where it is paid for and logged.
"""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from functions.swap.context import SwapContext
from functions.swap.notes import note_faces
from functions.swap.picture_loading import MEME, PictureLoader
from functions.swap.source_embedding import join_hint
from functions.swap.values import Face, FaceListing, Floats, ListedFace
from layers.core.telemetry import Phases, emit, logger, memory_percent, peak_memory_mb

if TYPE_CHECKING:
    from layers.media.picture import Picture

PREVIEW_SIDE, PREVIEW_QUALITY = 960, 80  # pixels; of a JPEG
SIDES_PER_EYES = 160  # a picture's longer side, in distances between the eyes of the smallest face that is looked at


def list_faces(meme: str, caller: str | None, context: SwapContext, with_preview: bool = False) -> FaceListing:
    """The faces of the picture at that URI, by the numbers that a swap gives them; if asked for, with a small picture.

    Raises the errors of reading and decoding, ContentRefused, SafeguardFailed, ModelsMissing, ModelsCorrupt,
    StorageFailed or OutOfTime.
    """
    phases = Phases()
    bytes_before = context.models.bytes_fetched
    with phases("start"):
        context.models.refresh(context.deadline)
    pool = ThreadPoolExecutor(2, thread_name_prefix="faces")
    try:
        picture, faces = _find_faces(meme, PictureLoader(caller, context, phases), context, phases, pool)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # each read ends with the deadline at the latest
    listing = _describe(picture, faces, context, phases)
    if with_preview:
        listing = replace(listing, preview=draw_preview(picture))
    _record(listing, picture.digest, caller, context, context.models.bytes_fetched - bytes_before)
    return listing


def _find_faces(
    meme: str, pictures: PictureLoader, context: SwapContext, phases: Phases, pool: ThreadPoolExecutor
) -> tuple[Picture, list[Face]]:
    """Load the picture, show it to the content filter, and find its faces."""
    data = pool.submit(pictures.read, meme)
    session = pool.submit(context.models.detector_session, context.deadline)
    with phases("import"):
        detect = importlib.import_module("functions.swap.face.detect")  # and OpenCV with it
    picture = pictures.decode(data, MEME)
    del data  # up to 20 MB
    pictures.filter_content(picture, MEME)
    with phases("models"):
        detector = detect.Detector(session.result(), context.settings.detection_size)
    with phases("detect"):
        return picture, detector.find(picture.as_seen(), context.deadline)


def _describe(picture: Picture, faces: list[Face], context: SwapContext, phases: Phases) -> FaceListing:
    from functions.swap.face.align import MIN_EYES, rejection_reason
    from functions.swap.face.looks import is_sliver

    reasons = [rejection_reason(face, picture.width, picture.height) for face in faces]
    listed = [
        ListedFace(face.index, face.box, face.score, measure_eyes(face.keypoints), reason is None, reason)
        for face, reason in zip(faces, reasons, strict=True)
    ]
    smallest = max(picture.width, picture.height) / SIDES_PER_EYES
    notes = note_faces(listed, context.settings.max_faces, smallest if smallest > MIN_EYES else 0.0)
    if is_sliver(picture.height, picture.width, context.settings.detection_size):
        notes.insert(0, "The picture is too thin to be looked at.")
    elif not faces:
        sentence = "No face was found in the picture. Use one that shows faces clearly."
        notes.insert(0, join_hint(sentence, context.models.manifest.hint))
    return FaceListing(picture.width, picture.height, listed, phases.timings_ms(), notes)


def draw_preview(picture: Picture) -> str:
    """The picture as a small JPEG in a data: URI, for whoever cannot fetch it."""
    import base64

    import cv2

    scale = min(1.0, PREVIEW_SIDE / max(picture.width, picture.height))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    small = cv2.resize(picture.as_seen(), size, interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_QUALITY])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"


def measure_eyes(keypoints: Floats) -> float:
    """Pixels between the eyes, to a tenth, if a face with these keypoints [5, 2] looked into the camera: the distance
    in the template, scaled as the aligned crop is. It counts for a face in profile too, whose eyes are close."""
    import numpy as np

    from functions.swap.face.align import EMBEDDER_SIZE, EYES, alignment_matrix

    scale = float(np.hypot(*alignment_matrix(keypoints, EMBEDDER_SIZE)[:, 0]))
    return round(EYES / scale, 1) if scale else 0.0


def _record(listing: FaceListing, digest: str, caller: str | None, context: SwapContext, bytes_fetched: int) -> None:
    """Send the metric of memory, and write the audit line: who had which picture looked at, by which models."""
    used = {name: value for name, value in context.models.digests.items() if name in ("detector", "gate")}
    emit(memory_percent(peak_memory_mb()))
    audit = {"digests": {"meme": digest}, "models": used, "caller": caller}
    measurements = {
        "faces": len(listing.faces),
        "timings_ms": listing.timings_ms,
        "bytes_fetched": bytes_fetched,
        "peak_memory_mb": peak_memory_mb(),
    }
    logger().info("faces listed", extra={**audit, **measurements})
