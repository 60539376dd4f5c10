"""The first step: what is in a moving meme, who of it is replaced by whom, and the crops for the swapper."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from functions.swap import cost, inputs
from functions.swap.context import SwapContext
from functions.swap.moving.analysis_file import name_analysis, to_bytes
from functions.swap.moving.choice import find_denied, select_people
from functions.swap.moving.crop_chunks import choose_size, fill_chunks, list_faces, name_chunk, plan_chunks
from functions.swap.moving.job import MovingJob
from functions.swap.moving.meme_frames import choose_format, name_errors, open_meme, show_frame, split_frame
from functions.swap.moving.people import MovingPeople, find_people
from functions.swap.moving.plan import (
    MEME_FILE,
    PLAN,
    ChunkPlan,
    PersonPlan,
    SwapPlan,
    compute_digest,
    latents_to_bytes,
    make_recipe,
)
from functions.swap.moving.store import PatchStore
from functions.swap.moving.values import FaceFrame, Frame
from functions.swap.moving.work_files import WorkFiles
from functions.swap.notes import note_selection, note_strangers
from functions.swap.picture_loading import MEME, PictureLoader, name_picture
from functions.swap.safeguards.refusals import check_sources
from functions.swap.source_embedding import join_hint
from functions.swap.source_face import SourceFace, SourceLoader
from layers.core.errors import NoFaceInMeme
from layers.core.telemetry import Phases
from layers.media.moving.kinds import ANIMATIONS

if TYPE_CHECKING:
    from functions.swap.face.detect import Detector
    from functions.swap.safeguards.content_filter import ContentFilter
    from functions.swap.selection import FaceSelection
    from layers.engine.embedder import Embedder
    from layers.media.moving.reader import MovingReader

FILTER_SECONDS = 0.5  # of play, of which the content filter sees one frame

_runs = itertools.count()


class MemeAnalysis:
    """The look at one meme that a swap and a listing share."""

    def __init__(self, job: MovingJob, context: SwapContext, path: Path, store: PatchStore) -> None:
        """`path`: where the meme's file is put; `store` gets what the frames show of faces."""
        self._job, self._context, self._path, self._store = job, context, path, store
        self.work = WorkFiles(job.id, context)
        self.phases = Phases()
        self.notes: list[str] = []
        self.cost = 0
        self.frames = 0

    def open(self) -> MovingReader:
        """Fetch and probe the meme, and charge for its frames. Raises the errors of reading, and BudgetSpent."""
        request, context = self._job.request, self._context
        with self.phases("fetch"), name_picture(MEME):
            self._fetch()
        reader = open_meme(self._path, context.settings)
        picture = reader.picture
        self.cost += cost.charge_frames(context.budget, request, picture.frames, picture.width, picture.height)
        return reader

    def _fetch(self) -> None:
        """Fetch the meme; not from its URL again if a try that was killed has kept it."""
        uri = self._job.request.meme
        if inputs.is_url(uri) and self.work.comes_from(MEME_FILE, uri):
            self.work.download(MEME_FILE, self._path)
        else:
            inputs.read_moving(uri, self._path, self._job.request.caller, self._context)

    def keep_meme(self) -> None:
        """Copy the meme to the work files."""
        uri = self._job.request.meme
        self.work.upload(MEME_FILE, self._path, uri if inputs.is_url(uri) else "")

    def digest_meme(self) -> str:
        """SHA-256 of the meme, in hex."""
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def make_detector(self) -> Detector:
        """The detector of the pack in use. Raises the errors of loading it."""
        from functions.swap.face.detect import Detector

        with self.phases("models"):
            session = self._context.models.detector_session(self._context.deadline)
        return Detector(session, self._context.settings.detection_size)

    def find_people(self, reader: MovingReader, detector: Detector) -> MovingPeople:
        """Follow the faces through all frames, which the content filter sees too.

        Raises UnreadablePicture, ContentRefused, SafeguardFailed, OutOfTime, or NotFound if the swap was deleted.
        """
        frames = self._show_frames(reader)
        with self.phases("detect"):
            return find_people(frames, detector, self.load_embedder, self._store, self._context.deadline)

    def load_embedder(self) -> Embedder:
        """The embedder of the pack in use. Raises the errors of loading it."""
        return self._context.models.embedder(self._context.deadline)

    def _show_frames(self, reader: MovingReader) -> Iterator[Frame]:
        """The frames as the tracker sees them."""
        content_filter = self._load_filter()
        total, filtered, due = reader.picture.frames, 0, 0.0
        is_animation = reader.picture.kind in ANIMATIONS
        for frame in name_errors(reader.frames(self._context.deadline)):
            self.frames += 1
            self._job.check("analyse", self.frames, total)
            seconds = float(frame.start)
            if content_filter and seconds >= due:
                with name_picture(MEME):
                    content_filter.check(*split_frame(frame.pixels))
                filtered, due = filtered + 1, seconds + FILTER_SECONDS
            pixels = show_frame(frame.pixels)
            # No frame of a video comes back exactly, except beside itself.
            digest = hashlib.sha256(np.ascontiguousarray(pixels).data).digest() if is_animation else b""
            yield Frame(pixels, seconds, frame.is_repeat, digest)
        if content_filter:
            self.notes.append(f"The content filter saw {filtered} of {self.frames} frames, two for each second.")

    def _load_filter(self) -> ContentFilter | None:
        if "gate" not in self._context.models.digests:
            return None
        from functions.swap.safeguards.content_filter import ContentFilter

        return ContentFilter(*self._context.models.gate(self._context.deadline))


class SwapAnalysis:
    """The first step of one swap in progress."""

    def __init__(self, job: MovingJob, context: SwapContext, path: Path, store: PatchStore) -> None:
        self._job, self._context, self._path = job, context, path
        self._look = MemeAnalysis(job, context, path, store)
        self._work = self._look.work
        self._is_cold = next(_runs) == 0
        self._bytes_before = context.models.bytes_fetched

    def run(self, pool: ThreadPoolExecutor) -> SwapPlan:
        """Do it all, and write the work files, the plan first and the last chunk last."""
        job, context, look = self._job, self._context, self._look
        denylist = pool.submit(context.denylist.load, context.deadline)
        pictures = PictureLoader(job.request.caller, context, look.phases)
        loader = SourceLoader(job.request, context, pictures, look.phases, pool)
        reader = look.open()
        choose_format(job.request.format, reader.picture.kind)
        upload = pool.submit(look.keep_meme)
        detector = look.make_detector()
        people = look.find_people(reader, detector)
        if not people.analysis.tracks:
            hint = context.models.manifest.hint
            raise NoFaceInMeme(join_hint("No face was found in the meme. Use one that shows faces clearly.", hint))
        selection = self._choose(people)
        sources = self._load_sources(selection, loader, detector)
        if sources and (entries := denylist.result()).entries:
            matcher = entries.build_matcher(context.models.digests["embedder"])
            check_sources(dict.fromkeys(sources.values()), matcher)
            with look.phases("embed"):
                embedder = look.load_embedder()
                denied = find_denied(people, selection.chosen, matcher, embedder, lambda: job.check("analyse"))
            selection = selection.refuse(denied)
        for source in dict.fromkeys(sources.values()):
            source.store()  # only now that nobody refuses any face
        upload.result()
        return self._write(people, selection, sources)

    def _choose(self, people: MovingPeople) -> FaceSelection:
        """Choose who is replaced, and charge for it."""
        request, context = self._job.request, self._context
        limits = context.settings.max_faces, context.settings.max_face_frames
        selection = select_people(people.analysis, request.indices, *limits)
        count = len(list_faces(people.analysis, (face.index for face in selection.chosen)))
        self._look.cost += cost.charge_face_frames(context.budget, request, count)
        return selection

    def _load_sources(
        self, selection: FaceSelection, loader: SourceLoader, detector: Detector
    ) -> dict[int, SourceFace]:
        """What replaces each person, by index."""
        if not selection.chosen:
            return {}
        assignment = loader.assign(selection.chosen)
        number = sum(len(set(uris)) for uris in set(assignment.values()))
        cost.charge_sources(self._context.budget, self._job.request, number)
        self._look.cost += number - 1
        return loader.load(assignment, detector)

    def _write(self, people: MovingPeople, selection: FaceSelection, sources: dict[int, SourceFace]) -> SwapPlan:
        work = self._work
        used = list(dict.fromkeys(sources[face.index] for face in selection.chosen))
        latents = latents_to_bytes([source.latent.values for source in used])
        faces = plan_faces(people, selection)
        plan = self._plan(people, selection, sources, used, compute_digest(latents), faces)
        work.write(PLAN, plan.to_bytes())
        work.write(plan.analysis, to_bytes(people.analysis))
        work.write(plan.latents, latents)
        crops = people.cut_crops(face.index for face in selection.chosen)
        for chunk, filled in zip(plan.chunks, fill_chunks(crops, faces), strict=True):
            self._job.check("analyse", self._look.frames, self._look.frames)
            work.write(chunk.crops, filled.to_bytes())
        return plan

    def _plan(
        self,
        people: MovingPeople,
        selection: FaceSelection,
        sources: dict[int, SourceFace],
        used: list[SourceFace],
        latents: str,
        faces: list[tuple[FaceFrame, ...]],
    ) -> SwapPlan:
        """The plan of a swap of these faces, chunk by chunk, by the sources in use; `latents`: their digest."""
        look, context = self._look, self._context
        digests = context.models.digests
        meme = look.digest_meme()
        analysis = name_analysis(meme, digests, context.settings.detection_size)
        persons = [plan_person(selection, sources, used, index) for index in range(len(selection.faces))]
        decided = [latents, digests["swapper"], str([person.source for person in persons])]
        chunks = [
            ChunkPlan(
                f"crops/{name_chunk(analysis, chunk)}", f"swapped/{name_chunk(analysis, chunk, decided)}", len(chunk)
            )
            for chunk in faces
        ]
        limit = (
            f"at most {context.settings.max_faces} people, and {context.settings.max_face_frames} faces in all frames"
        )
        notes = [*look.notes, *note_selection(selection, f"{limit} together, are swapped")]
        common = [source.digests for source in used if source.role.index is None]
        return SwapPlan(
            recipe=make_recipe(self._job.request, context),
            meme=meme,
            analysis=f"analysis/{analysis}",
            latents=f"latents/{latents}",
            frames=look.frames,
            people=persons,
            chunks=chunks,
            common=common[0] if common else None,
            latent_keys=sorted({source.latent_key for source in sources.values() if source.latent_key}),
            pictures=len({digest for source in used for digest in source.pictures}),
            notes=notes + [note for source in used for note in note_strangers(source)],
            timings_ms=look.phases.timings_ms(),
            bytes_fetched=context.models.bytes_fetched - self._bytes_before,
            cold_start=self._is_cold,
            cost=look.cost,
        )


def plan_faces(people: MovingPeople, selection: FaceSelection) -> list[tuple[FaceFrame, ...]]:
    """The faces that are replaced, in chunks."""
    faces = list_faces(people.analysis, (face.index for face in selection.chosen))
    return plan_chunks(faces, choose_size(len(faces)))


def plan_person(
    selection: FaceSelection, sources: dict[int, SourceFace], used: list[SourceFace], index: int
) -> PersonPlan:
    """What becomes of the person with that index."""
    reason = selection.reasons[index]
    if reason is not None:
        return PersonPlan(reason)
    return PersonPlan(None, used.index(sources[index]), sources[index].digests)
