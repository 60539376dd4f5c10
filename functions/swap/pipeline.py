"""The swap, whoever the caller is: load the meme, find its faces, choose among them, replace them, deliver."""

from __future__ import annotations

import hashlib
import importlib
import itertools
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from functions.swap import cost, inputs
from functions.swap.context import SwapContext
from functions.swap.latent_cache import LatentCache, latent_recipe
from functions.swap.provenance import describe_swap
from functions.swap.result_link import link_to_result
from functions.swap.safeguards.denylist import Denylist
from functions.swap.source_face import SourceFace, compute_latent, join_hint
from functions.swap.values import NO_GATE, Face, Latent, SwapOutcome, SwapRequest, SwapResult
from layers.core.errors import ColdswapError, FaceRefused, NoFaceInMeme
from layers.core.telemetry import Phases, peak_memory_mb
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer
from layers.media.decode import decode  # before OpenCV, for which it sets limits
from layers.media.formats import EXTENSIONS, MEDIA_TYPES

if TYPE_CHECKING:
    from functions.swap.face.align import Matrix
    from functions.swap.selection import FaceSelection
    from layers.engine.swapper import Swapper
    from layers.media.formats import PictureFormat
    from layers.media.picture import Picture, Pixels

Role = Literal["meme", "face"]  # of a picture in a swap

BATCH_SIZE = 4  # faces that go through the swapper together; each of them takes 25 MB more

_swaps = itertools.count()


def swap(request: SwapRequest, context: SwapContext, *, key: str, add_extension: bool = False) -> SwapOutcome:
    """Replace faces of the meme, and write the labelled result to `key` of the outputs bucket.

    With `add_extension`, the extension of the result's format is appended to the key. The download of the swapper's
    weights starts first, and is dropped once they turn out not to be needed. Raises the errors of
    layers/core/errors.py.
    """
    inputs.check(request, context.settings)
    run = SwapRun(request, context)
    try:
        meme = run.load_meme()
        faces = run.find_faces(meme)
        selection, source = run.choose_faces(meme, faces)
        engine = run.replace(meme, selection, source)
        return run.deliver(meme, selection, source, engine, key=key, add_extension=add_extension)
    except ColdswapError as error:
        error.extra["bytes_in_vain"] = run.pending.drop()
        raise
    except BaseException:
        run.pending.drop()
        raise
    finally:
        run.close()


class SwapRun:
    """One swap in progress: five steps, to be called in this order, and what they share.

    If a step fails, the caller drops `pending`.
    """

    def __init__(self, request: SwapRequest, context: SwapContext) -> None:
        """Start the download of the swapper. Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime."""
        self._request = request
        self._context = context
        self._phases = Phases()
        self._cold_start = next(_swaps) == 0
        self._bytes_before = context.models.bytes_fetched  # by earlier requests
        self._bytes_wasted = 0
        self._signer = Signer(partial(signing_chain, context.settings.signing_key))
        with self._phases("start"):
            self.pending = context.models.start_swapper(context.deadline)
        self._pool = ThreadPoolExecutor(5, thread_name_prefix="swap")

    def close(self) -> None:
        """End without waiting for what is still being read: each read ends with the deadline at the latest."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def load_meme(self) -> Picture:
        """Decode the meme, charge for it, and show it to the content filter.

        What the later steps need is read at the same time. Raises the errors of reading and decoding, BudgetSpent,
        ContentRefused or SafeguardFailed.
        """
        request, context, submit = self._request, self._context, self._pool.submit
        data = submit(self._read, request.meme)
        self._face = submit(self._read, request.face or context.settings.default_face)
        self._detector_session = submit(context.models.detector_session, context.deadline)
        self._denylist = submit(context.denylist.load, context.deadline)
        submit(self._signer.prepare)  # an error is raised again when the key is used
        with self._phases("import"):
            importlib.import_module("functions.swap.selection")  # and OpenCV with it
        meme = self._decode(data, "meme")
        del data  # up to 20 MB
        cost.charge_meme(context.budget, request, meme.width, meme.height)
        self._filter_content(meme, "meme")
        return meme

    def find_faces(self, meme: Picture) -> list[Face]:
        """The faces of the meme, from left to right. Raises NoFaceInMeme."""
        from functions.swap.face.detect import Detector

        with self._phases("models"):
            self._detector = Detector(self._detector_session.result(), self._context.settings.detection_size)
        with self._phases("detect"):
            faces = self._detector.find(meme.pixels, self._context.deadline)
        if not faces:
            hint = self._context.models.manifest.hint
            raise NoFaceInMeme(join_hint("No face was found in the meme. Use one that shows faces clearly.", hint))
        return faces

    def choose_faces(self, meme: Picture, faces: list[Face]) -> tuple[FaceSelection, SourceFace | None]:
        """Choose the faces to replace, and load the face to put in; None if none is chosen.

        Raises InvalidRequest, BudgetSpent, NoFaceInSource, FaceRefused, ContentRefused or SafeguardFailed.
        """
        from functions.swap.selection import select_faces

        limit = self._context.settings.max_faces
        selection = select_faces(faces, self._request.faces, meme.width, meme.height, limit)
        cost.charge_faces(self._context.budget, self._request, len(selection.chosen))
        if not selection.chosen:
            return selection, None
        source = self._load_source()
        denylist = self._denylist.result()
        if denylist.entries:
            selection = selection.refuse(self._find_denied(meme, selection.chosen, source.latent, denylist))
        with self._phases("latent"):
            source.store()  # only now that nobody refuses the face
        return selection, source

    def replace(self, meme: Picture, selection: FaceSelection, source: SourceFace | None) -> str | None:
        """Replace the chosen faces in the picture's own memory; returns what ran the swapper, None if nothing did.

        All crops are taken before the first face is replaced, so that neighbours do not see each other.
        """
        from functions.swap.face.align import SWAPPER_SIZE, crop_face

        if source is None or not selection.chosen:
            self._bytes_wasted = self.pending.drop()
            return None
        crops = [crop_face(meme.pixels, face.keypoints, SWAPPER_SIZE) for face in selection.chosen]
        with self._phases("models"):
            swapper = self.pending.swapper(once=len(crops) <= BATCH_SIZE)
        for first in range(0, len(crops), BATCH_SIZE):
            self._context.deadline.check("swapping faces")
            self._replace_batch(meme, crops[first : first + BATCH_SIZE], source.latent, swapper)
        return swapper.name

    def deliver(
        self,
        meme: Picture,
        selection: FaceSelection,
        source: SourceFace | None,
        engine: str | None,
        *,
        key: str,
        add_extension: bool,
    ) -> SwapOutcome:
        """Encode, label, sign and write the picture. Raises LabelFailed, StorageFailed or OutOfTime."""
        models, format = self._context.models, self._request.format or meme.format
        if self._request.badge:
            self._draw_badge(meme, selection.faces)
        content = self._sign(self._encode(meme, format), format, selection)
        key = f"{key}.{EXTENSIONS[format]}" if add_extension else key
        url = self._write(key, content, MEDIA_TYPES[format])
        source_digest = {"face": source.digest} if source else {}
        result = SwapResult(
            key=key,
            url=url,
            content_type=MEDIA_TYPES[format],
            bytes=len(content),
            width=meme.width,
            height=meme.height,
            faces=selection.report(),
            timings_ms=self._phases.timings_ms(),
            peak_memory_mb=peak_memory_mb(),
            models={"pack": models.manifest.pack, **models.digests},
            engine=engine,
            gate=models.digests.get("gate", NO_GATE),
            digests={"meme": meme.digest, **source_digest, "result": hashlib.sha256(content).hexdigest()},
            cold_start=self._cold_start,
            bytes_fetched=models.bytes_fetched - self._bytes_before,
            bytes_in_vain=self._bytes_wasted,
            notes=_notes(meme, format, selection),
        )
        return SwapOutcome(result, source.latent_key if source else None)

    def _read(self, uri: str) -> bytes:
        return inputs.read(uri, self._request.caller, self._context)

    def _decode(self, data: Future[bytes], role: Role) -> Picture:
        settings = self._context.settings
        with _name_picture(role):
            with self._phases("fetch"):
                content = data.result()
            with self._phases("decode"):
                return decode(content, settings.max_picture_bytes, settings.max_picture_pixels)

    def _filter_content(self, picture: Picture, role: Role) -> None:
        """Show a picture to the pack's content filter, if it has one. Raises ContentRefused or SafeguardFailed."""
        if "gate" not in self._context.models.digests:
            return
        with self._phases("gate"), _name_picture(role):
            from functions.swap.safeguards.content_filter import ContentFilter

            content_filter = ContentFilter(*self._context.models.gate(self._context.deadline))
            content_filter.check(picture.pixels, picture.alpha)

    def _load_source(self) -> SourceFace:
        """The largest face of the source picture, its latent taken from the cache or computed now."""
        request, context, digests = self._request, self._context, self._context.models.digests
        with self._phases("fetch"), _name_picture("face"):
            digest = hashlib.sha256(self._face.result()).hexdigest()
        is_default = request.face in (None, context.settings.default_face)
        cache = LatentCache(context.storage, context.settings, latent_recipe(digests, context.settings), request.caller)
        with self._phases("latent"):
            latent = cache.find(digest, is_default, context.deadline)
        is_new = latent is None
        if latent is None or "gate" in digests:
            picture = self._decode(self._face, "face")
            self._filter_content(picture, "face")
            latent = latent or compute_latent(picture, self._detector, context, self._phases, cache.recipe)
        return SourceFace(latent, digest, is_default, is_new, cache)

    def _find_denied(self, meme: Picture, faces: list[Face], latent: Latent, denylist: Denylist) -> list[Face]:
        """The faces that are on the do-not-swap list. Raises FaceRefused if the source's is; SafeguardFailed."""
        from functions.swap.face.embed import embed_with_flip

        matcher = denylist.build_matcher(self._context.models.digests["embedder"])
        if matcher.matches(latent.embedding):
            raise FaceRefused("The source picture shows a person whose face may not be used here.", picture="face")
        with self._phases("models"):
            embedder = self._context.models.embedder(self._context.deadline)
        with self._phases("embed"):
            return [face for face in faces if any(map(matcher.matches, embed_with_flip(meme.pixels, face, embedder)))]

    def _replace_batch(
        self, meme: Picture, crops: list[tuple[Pixels, Matrix]], latent: Latent, swapper: Swapper
    ) -> None:
        import numpy as np

        from functions.swap.face import align
        from functions.swap.face.paste import paste

        request = self._request
        with self._phases("swap"):
            planes = np.concatenate([align.to_planes(crop) for crop, _ in crops])
            swapped = swapper.run(planes, np.repeat(latent.values[None], len(crops), 0))
        with self._phases("paste"):
            for (crop, forward), output in zip(crops, swapped, strict=True):
                face = align.to_pixels(output[None])
                paste(meme.pixels, crop, face, forward, color_match=request.color_match, soft_edges=request.soft_edges)

    def _draw_badge(self, meme: Picture, faces: list[Face]) -> None:
        with self._phases("paste"):
            from functions.swap.face.badge import draw_badge

            draw_badge(meme.pixels, meme.alpha, [face.box for face in faces])

    def _encode(self, meme: Picture, format: PictureFormat) -> bytes:
        with self._phases("import"):
            from layers.media.encode import encode
            from layers.media.xmp_label import label
        with self._phases("encode"):
            return label(encode(meme, format, self._request.quality), format)

    def _sign(self, content: bytes, format: PictureFormat, selection: FaceSelection) -> bytes:
        models = self._context.models
        with self._phases("label"):
            provenance = describe_swap(
                len(selection.chosen), len(selection.faces), models.manifest.pack, models.digests
            )
            return self._signer.sign_picture(content, format, provenance)

    def _write(self, key: str, content: bytes, content_type: str) -> str:
        """Write the result to the outputs bucket. Returns a link to it."""
        storage, settings = self._context.storage, self._context.settings
        with self._phases("write"):
            self._context.deadline.check("writing the result")
            storage.write(settings.outputs_bucket, key, content, content_type)
            return link_to_result(key, storage, settings)


def _notes(meme: Picture, format: PictureFormat, selection: FaceSelection) -> list[str]:
    """Remarks for the caller."""
    notes = [] if selection.chosen else ["No face was replaced; see the reason given for each face."]
    if meme.alpha is not None and format == "jpeg":
        notes.append("JPEG has no transparency: transparent areas are now white.")
    return notes


@contextmanager
def _name_picture(role: Role) -> Iterator[None]:
    """Make errors say which of the two pictures they are about."""
    try:
        yield
    except ColdswapError as error:
        raise type(error)(f"About the {role}: {error.detail}", **{**error.extra, "picture": role}) from error
