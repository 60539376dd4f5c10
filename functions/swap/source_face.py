"""The faces that are put in: each one's latent, from the cache or computed from its picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from functions.swap.context import SwapContext
from functions.swap.latent_cache import LatentCache, latent_recipe
from functions.swap.picture_loading import FACE, PictureLoader, PictureRole, name_picture
from functions.swap.values import Face, Latent, SwapRequest
from layers.core.errors import NoFaceInSource
from layers.core.telemetry import Phases

if TYPE_CHECKING:
    from functions.swap.face.detect import Detector
    from layers.media.picture import Picture


@dataclass(frozen=True, eq=False)
class SourceFace:
    """A latent, and what decides whether and where it is stored. Each is equal to itself alone."""

    latent: Latent
    digest: str  # of its picture
    role: PictureRole
    is_default: bool
    is_new: bool  # not in the cache yet
    cache: LatentCache

    @property
    def latent_key(self) -> str | None:
        """Where its latent is stored, if it is and should not outlive the result."""
        return None if self.is_default else self.cache.deletable_key(self.digest)

    def store(self) -> None:
        """Put a new latent into the cache, where the settings allow it."""
        if self.is_new:
            self.cache.store(self.digest, self.latent, self.is_default)


class SourceLoader:
    """Loads the source faces of one request, one after another: no two of their pictures are decoded at a time."""

    def __init__(
        self, request: SwapRequest, context: SwapContext, pictures: PictureLoader, phases: Phases, pool: Executor
    ) -> None:
        """Start to read the first picture, in the pool."""
        self._request = request
        self._context = context
        self._pictures = pictures
        self._phases = phases
        self._pool = pool
        self._reads: dict[str, Future[bytes]] = {}
        self._start(request.source_uris(context.settings.default_face)[0])

    def assign(self, faces: list[Face]) -> dict[int, str]:
        """The URI of the picture whose face replaces each of these faces of the meme, by number."""
        default = self._context.settings.default_face
        return {face.index: self._request.source_uri(face.index, default) for face in faces}

    def load(self, uris: Mapping[int, str], detector: Detector) -> dict[int, SourceFace]:
        """The source of each face of the meme, by number; a picture that several share is read and embedded once.

        Raises the errors of reading, decoding and embedding, NoFaceInSource, ContentRefused or SafeguardFailed.
        """
        roles: dict[str, PictureRole] = {}
        for index, uri in uris.items():
            roles.setdefault(uri, self._role(uri, index))
        order = list(roles)
        self._reads = {uri: read for uri, read in self._reads.items() if uri in roles}  # drop what nobody needs
        sources = {
            uri: self._load(uri, roles[uri], detector, following) for uri, following in zip_longest(order, order[1:])
        }
        return {index: sources[uri] for index, uri in uris.items()}

    def _role(self, uri: str, index: int) -> PictureRole:
        common = self._request.face or self._context.settings.default_face
        return FACE if uri == common else PictureRole("face", index)

    def _start(self, uri: str | None) -> None:
        if uri and uri not in self._reads:
            self._reads[uri] = self._pool.submit(self._pictures.read, uri)

    def _load(self, uri: str, role: PictureRole, detector: Detector, following: str | None) -> SourceFace:
        """The largest face of a picture, its latent taken from the cache or computed now.

        The picture that follows is read meanwhile, once the bytes of this one are no longer needed.
        """
        context, digests = self._context, self._context.models.digests
        self._start(uri)
        data = self._reads.pop(uri)
        with self._phases("fetch"), name_picture(role):
            digest = hashlib.sha256(data.result()).hexdigest()
        is_default = uri == context.settings.default_face
        recipe = latent_recipe(digests, context.settings)
        cache = LatentCache(context.storage, context.settings, recipe, self._request.caller)
        with self._phases("latent"):
            latent = cache.find(digest, is_default, context.deadline)
        is_new = latent is None
        if latent is None or self._pictures.has_content_filter:
            picture = self._pictures.decode(data, role)
            del data  # up to 20 MB
            self._start(following)
            self._pictures.filter_content(picture, role)
            latent = latent or compute_latent(picture, role, detector, context, self._phases, recipe)
        self._start(following)
        return SourceFace(latent, digest, role, is_default, is_new, cache)


def compute_latent(
    picture: Picture, role: PictureRole, detector: Detector, context: SwapContext, phases: Phases, recipe: str
) -> Latent:
    """The latent of the largest face of a picture; `recipe` is the digest that it is stored under.

    Raises NoFaceInSource, the errors of loading the models, or OutOfTime.
    """
    from functions.swap.face import align, detect, embed
    from layers.engine.onnx_embedder import normalise, to_latent

    hint, pixels = context.models.manifest.hint, picture.as_seen()
    with phases("detect"):
        faces = detector.find(pixels, context.deadline)
    if not faces:
        raise NoFaceInSource(
            join_hint(f"No face was found in {role.source}. Use one that shows the face clearly.", hint), picture="face"
        )
    face = detect.find_largest(faces)
    if align.rejection_reason(face, picture.width, picture.height):
        raise NoFaceInSource(
            join_hint(f"The face in {role.source} is too small, or cut off by its edge. Use a larger one.", hint),
            picture="face",
        )
    with phases("models"):
        network = context.models.embedder(context.deadline)
        emap = context.models.emap(context.deadline)
    with phases("embed"):
        embedding = embed.embed_face(pixels, face, network)
        return Latent(to_latent(embedding, emap), normalise(embedding), recipe)


def join_hint(sentence: str, hint: str | None) -> str:
    """A sentence with the pack's own hint, if it has one, about which faces it detects."""
    return f"{sentence} {hint}" if hint else sentence
