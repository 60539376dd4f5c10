"""The swap, whoever the caller is: load the meme, find its faces, choose among them, replace them, deliver."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from functions.swap import cost, inputs
from functions.swap.backends.local_engine import LocalEngine
from functions.swap.context import SwapContext
from functions.swap.notes import note_remote, note_swap
from functions.swap.picture_loading import FACE, MEME, PictureLoader  # before OpenCV, for which its imports set limits
from functions.swap.provenance import choose_source_type, describe_swap
from functions.swap.result_link import link_to_result
from functions.swap.safeguards.denylist import Denylist
from functions.swap.safeguards.refusals import check_sources
from functions.swap.source_embedding import join_hint
from functions.swap.source_face import SourceFace, SourceLoader, needs_embedder
from functions.swap.values import NO_GATE, Face, PictureDigests, RemoteUse, SwapOutcome, SwapRequest, SwapResult
from layers.core.errors import ColdswapError, InvalidRequest, NoFaceInMeme
from layers.core.mistakes import describe_mistake
from layers.core.telemetry import Phases, peak_memory_mb
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer
from layers.media.formats import EXTENSIONS, MEDIA_TYPES

if TYPE_CHECKING:
    from functions.swap.backends.interfaces import Failed
    from functions.swap.backends.still_job import Still
    from functions.swap.face.align import Matrix
    from functions.swap.face.face_mask import Neighbour
    from functions.swap.selection import FaceSelection
    from layers.media.formats import PictureFormat
    from layers.media.picture import Picture, Pixels

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
        selection, sources = run.choose_faces(meme, faces)
        engine = run.replace(meme, selection, sources)
        return run.deliver(meme, selection, sources, engine, key=key, add_extension=add_extension)
    except ColdswapError as error:
        error.extra["bytes_in_vain"] = run.drop()
        raise
    except BaseException:
        run.drop()
        raise
    finally:
        run.close()


class SwapRun:
    """One swap in progress: five steps, to be called in this order, and what they share.

    If a step fails, the caller calls `drop`.
    """

    def __init__(self, request: SwapRequest, context: SwapContext) -> None:
        """Start the download of the swapper, unless another backend is asked first.

        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        self._request = request
        self._context = context
        self._phases = Phases()
        self._cold_start = next(_swaps) == 0
        self._bytes_before = context.models.bytes_fetched_before  # by earlier requests
        self._bytes_wasted = 0
        self._drop_lock = threading.Lock()
        self._is_dropped = False
        self._signer = Signer(partial(signing_chain, context.settings.signing_key))
        self._remote_use: RemoteUse | None = None
        self._remote_failure: Failed | None = None
        with self._phases("start"):
            is_first, new_face = not context.remotes, needs_embedder(request, context.settings)
            self.own_engine = LocalEngine(context.models, context.deadline, is_first=is_first, embedder_first=new_face)
        self._pool = ThreadPoolExecutor(5, thread_name_prefix="swap")
        self._pictures = PictureLoader(request.caller, context, self._phases)

    def drop(self) -> int:
        """Stop fetching models; return the bytes of them that were fetched in vain."""
        with self._drop_lock:
            self._is_dropped = True
        return self.own_engine.drop() + self._context.models.drop_anticipated()

    def close(self) -> None:
        """End without waiting for what is still being read: each read ends with the deadline at the latest."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def load_meme(self) -> Picture:
        """Decode the meme, charge for it, and show it to the content filter.

        What the later steps need is read at the same time. Raises the errors of reading and decoding, BudgetSpent,
        ContentRefused or SafeguardFailed.
        """
        request, context, submit = self._request, self._context, self._pool.submit
        data = submit(self._pictures.read, request.meme, self.drop)  # who moves needs no swapper here
        self._sources = SourceLoader(request, context, self._pictures, self._phases, self._pool)
        self._detector_session = submit(context.models.detector_session, context.deadline)
        self._denylist = submit(self._load_denylist)
        submit(self._signer.prepare)  # an error is raised again when the key is used
        with self._phases("import"):
            importlib.import_module("functions.swap.selection")  # and OpenCV with it
        meme = self._pictures.decode(data, MEME)
        del data  # up to 20 MB
        choose_format(request, meme)
        cost.charge_meme(context.budget, request, meme.width, meme.height)
        self._pictures.filter_content(meme, MEME)
        return meme

    def find_faces(self, meme: Picture) -> list[Face]:
        """The faces of the meme, by number. Raises NoFaceInMeme."""
        from functions.swap.face.detect import Detector

        with self._phases("models"):
            self._detector = Detector(self._detector_session.result(), self._context.settings.detection_size)
        with self._phases("detect"):
            faces = self._detector.find(meme.as_seen(), self._context.deadline)
        if not faces:
            hint = self._context.models.manifest.hint
            raise NoFaceInMeme(join_hint("No face was found in the meme. Use one that shows faces clearly.", hint))
        return faces

    def choose_faces(self, meme: Picture, faces: list[Face]) -> tuple[FaceSelection, dict[int, SourceFace]]:
        """Choose the faces to replace, and load what replaces each of them, by number.

        Raises InvalidRequest, BudgetSpent, NoFaceInSource, FaceRefused, ContentRefused or SafeguardFailed.
        """
        from functions.swap.selection import select_faces

        limit = self._context.settings.max_faces
        selection = select_faces(faces, self._request.indices, meme.width, meme.height, limit)
        cost.charge_faces(self._context.budget, self._request, len(selection.chosen))
        if not selection.chosen:
            return selection, {}
        assignment = self._sources.assign(selection.chosen)
        cost.charge_sources(
            self._context.budget, self._request, sum(len(set(uris)) for uris in set(assignment.values()))
        )
        sources = self._sources.load(assignment, self._detector)
        denylist = self._denylist.result()
        if denylist.entries:
            selection = selection.refuse(self._find_denied(meme, selection.chosen, sources, denylist))
        with self._phases("latent"):
            for source in _unique(sources):
                source.store()  # only now that nobody refuses any face
        return selection, sources

    def replace(self, meme: Picture, selection: FaceSelection, sources: Mapping[int, SourceFace]) -> str | None:
        """Replace the chosen faces in the picture's own memory; returns what ran the swapper, None if nothing did.

        All crops are taken before the first face is replaced, so that neighbours do not see each other.
        """
        import numpy as np

        from functions.swap.backends.in_turn import Work, swap_in_turn
        from functions.swap.face.align import SWAPPER_SIZE, crop_face
        from functions.swap.face.face_mask import find_neighbours

        if not selection.chosen:
            self._bytes_wasted = self.drop()
            return None
        request = self._request
        mirror = request.color_match or request.soft_edges or request.detail != "fast"  # or as insightface does it
        crops = []
        for face in selection.chosen:
            crop, forward = crop_face(meme.pixels, face.keypoints, SWAPPER_SIZE, mirror_border=mirror)
            crops.append((crop, forward, find_neighbours(face, selection.faces, selection.chosen)))
        self._bytes_wasted = self._context.models.drop_anticipated()  # for a source that no chosen face has
        work = Work(
            self._context.models.digests["swapper"],
            np.stack([crop for crop, *_ in crops]),
            np.stack([sources[face.index].latent.values for face in selection.chosen]),
            partial(self._offer_still, meme, selection, [forward for _, forward, _ in crops]),
        )
        backends = [*self._context.remotes, self.own_engine]
        swapped = swap_in_turn(backends, work, self._context.deadline, self._phases)
        self._remote_use, self._remote_failure = swapped.use, swapped.failure
        self._paste(meme, crops, swapped.crops)
        return swapped.engine

    def deliver(
        self,
        meme: Picture,
        selection: FaceSelection,
        sources: Mapping[int, SourceFace],
        engine: str | None,
        *,
        key: str,
        add_extension: bool,
    ) -> SwapOutcome:
        """Encode, label, sign and write the picture. Raises LabelFailed, StorageFailed or OutOfTime."""
        models, format = self._context.models, choose_format(self._request, meme)
        source_type = choose_source_type(len(selection.chosen), meme.traits.source_type)
        if self._request.badge and source_type:
            self._draw_badge(meme, selection.faces)
        content = self._sign(self._encode(meme, format, source_type), format, meme, selection, sources)
        key = f"{key}.{EXTENSIONS[format]}" if add_extension else key
        url = self._write(key, content, MEDIA_TYPES[format])
        common = [source.digests for source in _unique(sources) if source.role.index is None]
        digests: dict[str, PictureDigests] = {"meme": meme.digest, **({"face": common[0]} if common else {})}
        result = SwapResult(
            key=key,
            url=url,
            content_type=MEDIA_TYPES[format],
            bytes=len(content),
            width=meme.width,
            height=meme.height,
            faces=selection.report({index: source.digests for index, source in sources.items()}),
            timings_ms=self._phases.timings_ms(),
            peak_memory_mb=peak_memory_mb(),
            models={"pack": models.manifest.pack, **models.digests},
            engine=engine,
            gate=models.digests.get("gate", NO_GATE),
            detail=self._request.detail,
            digests={**digests, "result": hashlib.sha256(content).hexdigest()},
            cold_start=self._cold_start,
            bytes_fetched=models.bytes_fetched - self._bytes_before,
            bytes_in_vain=self._bytes_wasted,
            notes=[
                *note_swap(meme, format, selection, self._context.settings.max_faces, _unique(sources)),
                *note_remote(self._remote_failure),
            ],
            remote=self._remote_use,
        )
        return SwapOutcome(result, frozenset(source.latent_key for source in sources.values() if source.latent_key))

    def _load_denylist(self) -> Denylist:
        denylist = self._context.denylist.load(self._context.deadline)
        with self._drop_lock:  # a swap that fails early ends before this list is here
            if denylist.entries and not self._is_dropped:
                self._context.models.expect_embedder(self._context.deadline)
        return denylist

    def _find_denied(
        self, meme: Picture, faces: list[Face], sources: Mapping[int, SourceFace], denylist: Denylist
    ) -> list[Face]:
        """The faces that are on the do-not-swap list. Raises FaceRefused if a source's is; SafeguardFailed."""
        from functions.swap.face.embed import embed_with_flip

        matcher = denylist.build_matcher(self._context.models.digests["embedder"])
        check_sources(_unique(sources), matcher)
        with self._phases("models"):
            embedder = self._context.models.embedder(self._context.deadline)
        with self._phases("embed"):
            return [face for face in faces if any(map(matcher.matches, embed_with_flip(meme.pixels, face, embedder)))]

    def _offer_still(self, meme: Picture, selection: FaceSelection, transforms: list[Matrix]) -> Still | Failed:
        """The meme as a whole, for a backend that takes no crops."""
        from functions.swap.backends.interfaces import Failed
        from functions.swap.backends.still_job import Still

        uris = {uri for source in self._sources.assign(selection.chosen).values() for uri in source}
        if len(uris) > 1:
            return Failed("invalid_request", "It takes one picture of one face.")
        numbers = {face.index for face in selection.chosen}
        return Still(
            meme.as_seen(),
            [face.box for face in selection.chosen],
            transforms,
            [face.box for face in selection.faces if face.index not in numbers],
            meme.digest,
            self._pictures.decode_bytes(self._pictures.read(uris.pop()), FACE).as_seen(),
            self._request.caller,
        )

    def _paste(self, meme: Picture, crops: list[tuple[Pixels, Matrix, list[Neighbour]]], swapped: Pixels) -> None:
        """Put the swapped crops, uint8 BGR [N, 128, 128, 3], in place of these."""
        from functions.swap.face.paste import paste

        request = self._request
        for (crop, forward, neighbours), output in zip(crops, swapped, strict=True):
            paste(
                meme.pixels,
                crop,
                output,
                forward,
                color_match=request.color_match,
                soft_edges=request.soft_edges,
                detail=request.detail,
                neighbours=neighbours,
                phases=self._phases,
            )

    def _draw_badge(self, meme: Picture, faces: list[Face]) -> None:
        with self._phases("paste"):
            from functions.swap.face.badge import draw_badge

            draw_badge(meme.pixels, meme.alpha, [face.box for face in faces])

    def _encode(self, meme: Picture, format: PictureFormat, source_type: str | None) -> bytes:
        with self._phases("import"):
            from layers.media.encode import encode
            from layers.media.xmp_label import label
        with self._phases("encode"):
            content = encode(meme, format, self._request.quality)
            return label(content, format, source_type) if source_type else content

    def _sign(
        self,
        content: bytes,
        format: PictureFormat,
        meme: Picture,
        selection: FaceSelection,
        sources: Mapping[int, SourceFace],
    ) -> bytes:
        models, chosen = self._context.models, selection.chosen
        number = len({digest for face in chosen for digest in sources[face.index].pictures})
        with self._phases("label"):
            counts, pack, before = (len(chosen), len(selection.faces)), models.manifest.pack, meme.traits.source_type
            provenance = describe_swap(*counts, pack, models.digests, number, before)
            return self._signer.sign_picture(content, format, provenance)

    def _write(self, key: str, content: bytes, content_type: str) -> str:
        """Write the result to the outputs bucket. Returns a link to it."""
        storage, settings = self._context.storage, self._context.settings
        with self._phases("write"):
            self._context.deadline.check("writing the result")
            storage.write(settings.outputs_bucket, key, content, content_type)
            return link_to_result(key, storage, settings)


def choose_format(request: SwapRequest, meme: Picture) -> PictureFormat:
    """The format of a still picture's result. Raises InvalidRequest for one that only a moving meme can have."""
    format = request.format or meme.format
    if format == "gif" or format == "mp4":
        message = "is for memes that move, and this one does not"
        raise InvalidRequest(f"About format: it {message}.", errors=[describe_mistake(("format",), message)])
    return format


def _unique(sources: Mapping[int, SourceFace]) -> list[SourceFace]:
    """The sources of several faces, each once."""
    return list(dict.fromkeys(sources.values()))
