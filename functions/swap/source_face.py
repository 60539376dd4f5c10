"""The faces that are put in: each one's latent, from the cache or computed from a person's pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from functions.swap.context import SwapContext
from functions.swap.latent_cache import LatentCache, latent_recipe
from functions.swap.picture_loading import FACE, PictureLoader, PictureRole, name_picture
from functions.swap.source_embedding import embed_source, make_latent
from functions.swap.values import Face, Floats, Latent, PictureDigests, Source, SwapRequest
from layers.core.errors import ColdswapError
from layers.core.telemetry import Phases

if TYPE_CHECKING:
    from functions.swap.face.detect import Detector
    from functions.swap.settings import Settings


@dataclass(frozen=True, eq=False)
class SourceFace:
    """A latent, and what decides whether and where it is stored. Each is equal to itself alone."""

    latent: Latent
    pictures: Mapping[str, PictureRole]  # by digest, in the request's order
    role: PictureRole  # of all of them together
    is_default: bool
    is_new: bool  # not in the cache yet
    cache: LatentCache

    @property
    def digests(self) -> PictureDigests:
        """The digest of its picture, or a list of the digests of its pictures."""
        digests = list(self.pictures)
        return digests if len(digests) > 1 else digests[0]

    @property
    def embeddings(self) -> dict[str, Floats]:
        """The unit embedding of its picture, or of each of its pictures and of their average; by what an error calls
        them."""
        parts = {self.pictures[digest].source: embedding for digest, embedding in self.latent.parts.items()}
        whole = f"the average of the source pictures{self.role.replaced}" if parts else self.role.source
        return {**parts, whole: self.latent.embedding}

    def list_mistakes(self, name: str, message: str) -> dict[str, Any]:
        """The member `errors` of an error about what `embeddings` calls so."""
        roles = {role.source: role for role in self.pictures.values()}
        return roles.get(name, self.role).list_mistakes(message)

    @property
    def latent_key(self) -> str | None:
        """Where its latent is stored, if it is and should not outlive the result."""
        return None if self.is_default else self.cache.deletable_key(self.pictures)

    def store(self) -> None:
        """Put a new latent into the cache, where the settings allow it."""
        if self.is_new:
            self.cache.store(self.pictures, self.latent, self.is_default)


def needs_embedder(request: SwapRequest, settings: Settings) -> bool:
    """Whether it is certain, before any picture has been read, that no face that is put in has a latent yet."""
    if (settings.default_face,) in request.sources(settings.default_face):
        return False
    try:
        return not settings.cache_latents
    except ColdswapError:
        return False  # raised again when a latent is looked for


class SourceLoader:
    """Loads the source faces of one request, one after another: no two of their pictures are decoded at a time."""

    def __init__(
        self, request: SwapRequest, context: SwapContext, pictures: PictureLoader, phases: Phases, pool: Executor
    ) -> None:
        """Start to read the pictures of the first source, in the pool."""
        self._request = request
        self._context = context
        self._pictures = pictures
        self._phases = phases
        self._pool = pool
        self._default = context.settings.default_face
        self._reads: dict[Source, Future[dict[int, bytes | ColdswapError]]] = {}
        self._start(request.sources(self._default)[0])

    def assign(self, faces: list[Face]) -> dict[int, Source]:
        """The source whose face replaces each of these faces of the meme, by number."""
        return {face.index: self._request.source(face.index, self._default) for face in faces}

    def load(self, assignment: Mapping[int, Source], detector: Detector) -> dict[int, SourceFace]:
        """The source face of each face of the meme, by number; one that several share is read and embedded once.

        Raises the errors of reading, decoding and embedding, NoFaceInSource, ContentRefused or SafeguardFailed.
        """
        roles: dict[Source, PictureRole] = {}
        for index, source in assignment.items():
            roles.setdefault(source, self._role(source, index))
        order = list(roles)
        self._reads = {source: read for source, read in self._reads.items() if source in roles}  # what somebody needs
        faces = {
            source: self._load(source, roles[source], detector, following)
            for source, following in zip_longest(order, order[1:])
        }
        return {index: faces[source] for index, source in assignment.items()}

    def _role(self, source: Source, index: int) -> PictureRole:
        if source == self._request.common_source(self._default):
            return FACE if self._request.face else replace(FACE, is_default=True)
        return PictureRole("face", index, position=list(self._request.indices).index(index))

    def _start(self, source: Source | None) -> None:
        if source and source not in self._reads:
            self._reads[source] = self._pool.submit(self._pictures.read_together, source)

    def _load(self, source: Source, role: PictureRole, detector: Detector, following: Source | None) -> SourceFace:
        """The face of a source, its latent taken from the cache or computed now.

        The source that follows is read meanwhile, once the bytes of this one are no longer needed.
        """
        context = self._context
        self._start(source)
        contents = self._receive(source, role)
        pictures = {digest: part for digest, (part, _) in contents.items()}
        is_default = source == (self._default,)
        recipe = latent_recipe(context.models.digests, context.settings)
        cache = LatentCache(context.storage, context.settings, recipe, self._request.caller)
        with self._phases("latent"):
            latent = cache.find(pictures, is_default, context.deadline)
        is_new = latent is None
        embeddings: dict[str, Floats] = {}
        for digest, part in pictures.items():
            if is_new or self._pictures.has_content_filter:
                picture = self._pictures.decode_bytes(contents.pop(digest)[1], part)
                if not contents:
                    self._start(following)
                self._pictures.filter_content(picture, part)
                if is_new:
                    embeddings[digest] = embed_source(picture, part, detector, context, self._phases)
                del picture  # before the next one is decoded
        contents.clear()
        self._start(following)
        if latent is None:
            with self._phases("models"):
                emap = context.models.emap(context.deadline)
            latent = make_latent(embeddings, emap, recipe)
        return SourceFace(latent, pictures, role, is_default, is_new, cache)

    def _receive(self, source: Source, role: PictureRole) -> dict[str, tuple[PictureRole, bytes]]:
        """What each picture of a source is called and its bytes, by digest; raises the errors of reading them."""
        contents: dict[str, tuple[PictureRole, bytes]] = {}
        with self._phases("fetch"):
            results = self._reads.pop(source).result()
            for number, content in results.items():
                part = role.of_picture(number) if len(source) > 1 else role
                with name_picture(part):
                    if isinstance(content, ColdswapError):
                        raise content
                contents.setdefault(hashlib.sha256(content).hexdigest(), (part, content))
        return contents
