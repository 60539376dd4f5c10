"""The swap itself, whoever asks for it: bytes to picture, faces, crops, swapper, paste, encode, label, S3."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from functions.swap import inputs
from functions.swap.latent_cache import LatentCache, embedder_digest
from functions.swap.provenance import describe_swap
from functions.swap.results import EXTENSIONS
from functions.swap.safeguards.denylist import Comparison, DenylistStore
from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecords
from functions.swap.values import (
    FACES_A_UNIT,
    NO_GATE,
    PAID_AT_ONCE,
    Face,
    FaceReport,
    Latent,
    Skipped,
    Swapped,
    SwapRequest,
    SwapResult,
)
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, FaceRefused, InvalidRequest, NoFaceInMeme, NoFaceInSource
from layers.core.telemetry import Phases, peak_memory_mb
from layers.core.units import MEGAPIXEL
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer
from layers.media.decode import decode  # before OpenCV, for which it sets limits

if TYPE_CHECKING:
    from functions.swap.face.detect import Detector
    from layers.core.storage import Storage
    from layers.media.picture import Picture
    from layers.models.runtime.loaded_models import LoadedModels, PendingSwapper

FACES_AT_ONCE = 4  # go through the swapper together, for each of which it works in 25 MB more

_swaps = itertools.count()


def swap(
    request: SwapRequest,
    *,
    key: str,
    deadline: Deadline,
    settings: Settings,
    storage: Storage,
    models: LoadedModels,
    budget: Budget,
    refusals: DenylistStore,
    ledger: SwapRecords,
    add_extension: bool = False,
) -> Swapped:
    """Replace faces of the meme, and write the labelled result to `key` of the outputs bucket.

    With `add_extension` the format's own is added to the key. The swapper's weights are on their way from the first
    moment, and dropped where they turn out not to be needed. Raises the errors of layers/core/errors.py.
    """
    inputs.check(request, settings)
    work = _Work(
        *(request, settings, storage, models, budget, refusals, ledger, deadline, Phases(), next(_swaps) == 0),
        fetched_before=models.bytes_fetched,
    )
    with work.phases("start"):
        pending = models.start_swapper(deadline)
    pool = ThreadPoolExecutor(5, thread_name_prefix="swap")
    try:
        return work.run(pool, pending, key, add_extension)
    except ColdswapError as error:
        error.extra["bytes_in_vain"] = pending.drop()
        raise
    except BaseException:
        pending.drop()
        raise
    finally:
        # Nobody waits for what is still being fetched; each fetch ends with the deadline at the latest.
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True)
class _Source:
    """The face that is put in."""

    latent: Latent
    digest: str  # of its picture
    is_default: bool
    latents: LatentCache
    new: bool  # not kept from before

    @property
    def kept_at(self) -> str | None:
        """Where its latent is kept, if it is and should not outlive the result."""
        return None if self.is_default else self.latents.kept_at(self.digest)


@dataclass(frozen=True)
class _Work:
    """One request with all that is needed to do it."""

    request: SwapRequest
    settings: Settings
    storage: Storage
    models: LoadedModels
    budget: Budget
    refusals: DenylistStore
    ledger: SwapRecords
    deadline: Deadline
    phases: Phases
    cold_start: bool
    fetched_before: int  # bytes of models, by earlier requests

    def run(self, pool: ThreadPoolExecutor, pending: PendingSwapper, key: str, add_extension: bool) -> Swapped:
        """The whole swap. Whoever calls drops the pending swapper if this fails."""
        meme_bytes = pool.submit(self._read, self.request.meme)
        face_bytes = pool.submit(self._read, self.request.face or self.settings.default_face)
        session = pool.submit(self.models.detector_session, self.deadline)
        refused = pool.submit(self.refusals.now, self.deadline)
        seal = Signer(partial(signing_chain, self.settings.signing_key))
        pool.submit(seal.ready)  # what is wrong with the key comes up again when it is used
        with self.phases("import"):
            from functions.swap.face import align, detect

        meme = self._decoded(meme_bytes, "meme")
        del meme_bytes  # up to 20 MB
        self._spend("megapixels", megapixels(meme.width, meme.height) - PAID_AT_ONCE)
        self._pass_gate(meme, "meme")
        with self.phases("models"):
            detector = detect.Detector(session.result(), self.settings.detection_size)
        with self.phases("detect"):
            faces = detector.find(meme.pixels, self.deadline)
        if not faces:
            raise NoFaceInMeme(self._hinted("No face was found in the meme. Use one whose faces can be seen."))
        obstacles = {face.index: align.rejection_reason(face, meme.width, meme.height) for face in faces}
        reasons = skipped(faces, obstacles, self.request, self.settings.max_faces)
        chosen = [face for face in faces if reasons[face.index] is None]
        self._spend("faces", (len(chosen) - 1) // FACES_A_UNIT)
        in_vain, digests, latent_key, engine = 0, {"meme": meme.digest}, None, None
        if chosen:
            source = self._source(face_bytes, detector)
            digests["face"], latent_key = source.digest, source.kept_at
            if (listed := refused.result()).entries:
                comparison = listed.comparing(self.models.digests["embedder"])
                for face in self._refused(meme, chosen, source.latent, comparison):
                    reasons[face.index] = "refused"
                chosen = [face for face in chosen if reasons[face.index] is None]
            if source.new:  # only now that nobody refuses it
                with self.phases("latent"):
                    source.latents.keep(source.digest, source.latent, source.is_default)
        if chosen:
            engine = self._replace(meme, chosen, source.latent, pending)
        else:
            in_vain = pending.drop()
        if self.request.badge:
            with self.phases("paste"):
                from functions.swap.face.badge import draw_badge

                draw_badge(meme.pixels, meme.alpha, [face.box for face in faces])

        format = self.request.format or meme.format
        content = self._encoded(meme)
        with self.phases("label"):
            told = describe_swap(len(chosen), len(faces), self.models.manifest.pack, self.models.digests)
            content = seal.picture(content, format, told)
        key = f"{key}.{EXTENSIONS[format]}" if add_extension else key
        with self.phases("write"):
            self.deadline.check("writing the result")
            self.storage.write(self.settings.outputs_bucket, key, content, f"image/{format}")
            url = self.storage.presign_get(self.settings.outputs_bucket, key, self.settings.url_seconds)
        notes = [] if chosen else ["No face was replaced; the reason stands with each."]
        if meme.alpha is not None and format == "jpeg":
            notes.append("JPEG knows no transparency: what was transparent is white now.")
        result = SwapResult(
            key=key,
            url=url,
            content_type=f"image/{format}",
            bytes=len(content),
            width=meme.width,
            height=meme.height,
            faces=[_report(face, reasons[face.index]) for face in faces],
            timings_ms=self.phases.timings_ms(),
            peak_memory_mb=peak_memory_mb(),
            models={"pack": self.models.manifest.pack, **self.models.digests},
            engine=engine,
            gate=self.models.digests.get("gate", NO_GATE),
            digests={**digests, "result": hashlib.sha256(content).hexdigest()},
            cold_start=self.cold_start,
            bytes_fetched=self.models.bytes_fetched - self.fetched_before,
            bytes_in_vain=in_vain,
            notes=notes,
        )
        return Swapped(result, latent_key)

    def _spend(self, what: str, amount: int) -> None:
        """Beside what was paid at once; a swap that is tried again has paid."""
        once = f"{self.request.queued}#{what}" if self.request.queued else None
        self.budget.spend(self.request.caller, amount, once)

    def _read(self, uri: str) -> bytes:
        return inputs.read(
            uri,
            self.request.caller,
            settings=self.settings,
            storage=self.storage,
            ledger=self.ledger,
            deadline=self.deadline,
        )

    def _decoded(self, data: Future[bytes], which: str) -> Picture:
        with _about(which):
            with self.phases("fetch"):
                content = data.result()
            with self.phases("decode"):
                return decode(content, self.settings.max_picture_bytes, self.settings.max_picture_pixels)

    def _source(self, data: Future[bytes], detector: Detector) -> _Source:
        """The largest face of the source picture, its latent kept from before or made now."""
        with self.phases("fetch"), _about("face"):
            picture = hashlib.sha256(data.result()).hexdigest()
        is_default = self.request.face in (None, self.settings.default_face)
        latents = LatentCache(self.storage, self.settings, embedder_digest(self.models.digests), self.request.caller)
        with self.phases("latent"):
            known = latents.find(picture, is_default, self.deadline)
        if known and "gate" not in self.models.digests:
            return _Source(known, picture, is_default, latents, new=False)
        source = self._decoded(data, "face")
        self._pass_gate(source, "face")
        made = known or self._embedded(source, detector, latents.embedder)
        return _Source(made, picture, is_default, latents, new=known is None)

    def _pass_gate(self, picture: Picture, which: str) -> None:
        """Where the pack has a classifier. Raises ContentRefused or SafeguardFailed."""
        if "gate" not in self.models.digests:
            return
        with self.phases("gate"), _about(which):
            from functions.swap.safeguards.content_filter import ContentFilter

            ContentFilter(*self.models.gate(self.deadline)).check(picture.pixels, picture.alpha)

    def _refused(self, meme: Picture, faces: list[Face], latent: Latent, comparison: Comparison) -> list[Face]:
        """Those of the faces that are on the do-not-swap list. Raises FaceRefused if the source's is."""
        from functions.swap.face import embed

        if comparison.refuses(latent.embedding):
            raise FaceRefused("The source picture shows someone whose face may not be used here.", picture="face")
        with self.phases("models"):
            embedder = self.models.embedder(self.deadline)
        with self.phases("embed"):
            return [
                face
                for face in faces
                if any(comparison.refuses(seen) for seen in embed.embed_with_flip(meme.pixels, face, embedder))
            ]

    def _embedded(self, source: Picture, detector: Detector, name: str) -> Latent:
        from functions.swap.face import align, detect, embed
        from layers.engine.onnx_embedder import latent, unit

        with self.phases("detect"):
            faces = detector.find(source.pixels, self.deadline)
        if not faces:
            raise NoFaceInSource(self._hinted("No face was found in the source picture. Use one that shows the face."))
        face = detect.find_largest(faces)
        if align.rejection_reason(face, source.width, source.height):
            raise NoFaceInSource(
                self._hinted("The face in the source picture is too small, or cut by its frame. Use a larger one.")
            )
        with self.phases("models"):
            embedder = self.models.embedder(self.deadline)
            emap = self.models.emap(self.deadline)
        with self.phases("embed"):
            embedding = embed.embed_face(source.pixels, face, embedder)
            return Latent(latent(embedding, emap), unit(embedding), name)

    def _replace(self, meme: Picture, faces: list[Face], latent: Latent, pending: PendingSwapper) -> str:
        """In the picture's own memory; what ran the swapper. All crops are taken first, so that neighbours do not see
        each other."""
        import numpy as np

        from functions.swap.face import align, paste

        crops = [align.crop_face(meme.pixels, face.keypoints, align.SWAPPER_SIZE) for face in faces]
        with self.phases("models"):
            swapper = pending.swapper(once=len(crops) <= FACES_AT_ONCE)
        options = {"color_match": self.request.color_match, "soft_edges": self.request.soft_edges}
        for first in range(0, len(crops), FACES_AT_ONCE):
            some = crops[first : first + FACES_AT_ONCE]
            self.deadline.check("swapping faces")
            with self.phases("swap"):
                planes = np.concatenate([align.to_planes(crop) for crop, _ in some])
                swapped = swapper.run(planes, np.repeat(latent.values[None], len(some), 0))
            with self.phases("paste"):
                for (crop, forward), new in zip(some, swapped, strict=True):
                    paste.paste(meme.pixels, crop, align.to_pixels(new[None]), forward, **options)
        return swapper.name

    def _encoded(self, meme: Picture) -> bytes:
        with self.phases("import"):
            from layers.media.encode import encode
            from layers.media.xmp_label import label
        with self.phases("encode"):
            format = self.request.format or meme.format
            return label(encode(meme, format, self.request.quality), format)

    def _hinted(self, sentence: str) -> str:
        hint = self.models.manifest.hint
        return f"{sentence} {hint}" if hint else sentence


def skipped(
    faces: list[Face], obstacles: Mapping[int, Skipped | None], request: SwapRequest, limit: int
) -> dict[int, Skipped | None]:
    """For each face by its number: None if it is to be swapped, or why not; of more than `limit` the largest are.

    Raises InvalidRequest for a number that no face has.
    """
    by_size = sorted(faces, key=lambda face: (face.box[0] - face.box[2]) * (face.box[3] - face.box[1]))
    numbers = {face.index for face in faces}
    if request.faces == "largest":
        wanted = {by_size[0].index}
    elif request.faces == "all":
        wanted = numbers
    else:
        wanted = set(request.faces)
        if unknown := sorted(wanted - numbers):
            there = f"faces 0 to {len(faces) - 1}" if len(faces) > 1 else "one face, which is number 0"
            raise InvalidRequest(f"The meme has {there}; there is no face {', '.join(map(str, unknown))}.")
    reasons: dict[int, Skipped | None] = {}
    for face in by_size:
        reason: Skipped | None = "not_chosen" if face.index not in wanted else obstacles[face.index]
        if reason is None and limit <= list(reasons.values()).count(None):
            reason = "over_limit"
        reasons[face.index] = reason
    return reasons


def megapixels(width: int, height: int) -> int:
    """What a meme costs a caller's budget: its size in 10^6 pixels, begun ones whole."""
    return -(-width * height // MEGAPIXEL)


def _report(face: Face, reason: Skipped | None) -> FaceReport:
    return FaceReport(face.index, face.box, face.score, reason is None, reason)


@contextmanager
def _about(which: str) -> Iterator[None]:
    """Errors say which of the two pictures they speak of."""
    try:
        yield
    except ColdswapError as error:
        raise type(error)(f"About the {which}: {error.detail}", **{**error.extra, "picture": which}) from error
