"""The third step: the meme decoded once more, swapped faces pasted, encoded once, labelled, signed and written."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from functions.swap.context import SwapContext
from functions.swap.face.badge import draw_badge
from functions.swap.face.color_match import ColorStatistics
from functions.swap.moving.analysis_file import from_bytes
from functions.swap.moving.compose import Composer, PasteOptions, measure_face
from functions.swap.moving.crop_chunks import CropChunk
from functions.swap.moving.job import MovingJob
from functions.swap.moving.meme_frames import choose_format, join_frame, name_errors, open_meme, split_frame
from functions.swap.moving.plan import MEME_FILE, SwapPlan, require_plan
from functions.swap.moving.report import Delivered, report_swap
from functions.swap.moving.same_canvas import find_crop
from functions.swap.moving.steady_color import average_colors
from functions.swap.moving.swapped_chunk import ChunkFacts, SwappedCrops, read_swapped
from functions.swap.moving.values import Analysis, FaceFrame
from functions.swap.moving.work_files import WorkFiles, gone
from functions.swap.provenance import choose_source_type, describe_swap
from functions.swap.result_link import link_to_result
from functions.swap.values import SwapOutcome
from layers.core.errors import StorageFull
from layers.core.telemetry import Phases
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer
from layers.media.moving.description import Frame, Note, OutputFormat
from layers.media.moving.labels import EXTENSIONS, MEDIA_TYPES, label_moving, read_moving_label
from layers.media.moving.reader import MovingReader
from layers.media.moving.writer import create_writer, own_format
from layers.media.picture import Pixels


class Delivery:
    """The last step of one swap in progress, in a folder of its own."""

    def __init__(self, job: MovingJob, context: SwapContext, folder: Path) -> None:
        self._job, self._context, self._folder = job, context, folder
        self._work = WorkFiles(job.id, context)
        self._phases = Phases()
        self._facts: list[ChunkFacts] = []
        self._swapped = SwappedCrops()

    def run(self, key: str, add_extension: bool) -> SwapOutcome:
        """Do it all. Raises the errors of `steps.compose`."""
        context, request = self._context, self._job.request
        with self._phases("fetch"):
            plan = require_plan(self._work)
            meme = self._folder / "meme"
            self._work.download(MEME_FILE, meme)
            analysis = self._read_analysis(plan)
        with self._phases("paste"):
            colors = average_colors(self._measure_colors(plan, analysis))
        reader = open_meme(meme, context.settings)
        format = choose_format(request.format, reader.picture.kind)
        result = self._folder / f"result.{EXTENSIONS[format]}"
        with self._phases("encode"):
            notes = self._write_frames(plan, analysis, colors, reader, result, format)
        with self._phases("label"):
            self._label(plan, result, format, read_source_type(reader))
        self._job.require()
        with self._phases("write"), result.open("rb") as file:
            key = f"{key}.{EXTENSIONS[format]}" if add_extension else key
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            context.storage.upload(context.settings.outputs_bucket, key, result, MEDIA_TYPES[format])
            url = link_to_result(key, context.storage, context.settings)
        delivered = Delivered(key, url, format, digest, result.stat().st_size, notes)
        outcome = report_swap(request, context, plan, analysis, reader.picture, self._facts, delivered, self._phases)
        return SwapOutcome(outcome, frozenset(plan.latent_keys))

    def _read_analysis(self, plan: SwapPlan) -> Analysis:
        try:
            return from_bytes(self._work.read(plan.analysis))
        except ValueError:
            raise gone(plan.analysis) from None

    def _measure_colors(self, plan: SwapPlan, analysis: Analysis) -> dict[FaceFrame, ColorStatistics]:
        """The colours of all faces. The swapped crops are kept in files meanwhile."""
        statistics: dict[FaceFrame, ColorStatistics] = {}
        for number, chunk in enumerate(plan.chunks):
            self._job.check("compose")
            content = self._work.read(chunk.swapped)
            facts, swapped = read_swapped(content)
            self._facts.append(facts)
            path = self._folder / f"chunk-{number}"
            write_file(path, content)
            self._swapped.add(path, swapped.faces)
            if self._job.request.color_match:
                crops = CropChunk.from_bytes(self._work.read(chunk.crops))
                for key, after, before in zip(crops.faces, swapped.crops, crops.crops, strict=True):
                    statistics[key] = measure_face(analysis, key, after, before)
        return spread_statistics(analysis, statistics)

    def _write_frames(
        self,
        plan: SwapPlan,
        analysis: Analysis,
        colors: Mapping[FaceFrame, ColorStatistics],
        reader: MovingReader,
        path: Path,
        format: OutputFormat,
    ) -> list[Note]:
        """Write the result without its labels. Returns the notes of reader and writer."""
        request, context = self._job.request, self._context
        options = PasteOptions(request.color_match, request.soft_edges, request.detail)
        painter = Painter(analysis, Composer(analysis, plan.chosen, options, colors), self._swapped)
        painter.has_badge = request.badge and bool(plan.chosen)
        threads = context.settings.threads
        with create_writer(
            reader, path, format, deadline=context.deadline, quality=request.quality, threads=threads
        ) as writer:
            for frame in name_errors(reader.frames(context.deadline)):
                self._job.check("compose", frame.number, plan.frames)
                writer.write(frame, painter.paint(frame))
            writer.close()
        return [*reader.notes, *(note for note in writer.notes if note not in reader.notes)]

    def _label(self, plan: SwapPlan, path: Path, format: OutputFormat, before: str | None) -> None:
        """Put both labels into the result. Raises LabelFailed or StorageFull."""
        models, chosen = self._context.models, plan.chosen
        source_type = choose_source_type(len(chosen), before)
        if source_type:
            label_moving(path, format, source_type)
        counts = len(chosen), len(plan.people)
        provenance = describe_swap(*counts, models.manifest.pack, models.digests, plan.pictures, before)
        signer = Signer(partial(signing_chain, self._context.settings.signing_key))
        signer.sign_file(path, MEDIA_TYPES[format], provenance)


class Painter:
    """Paints swapped faces into one frame after the other, in their order."""

    has_badge = False

    def __init__(self, analysis: Analysis, composer: Composer, swapped: SwappedCrops) -> None:
        """`swapped`: the crops of all faces that are replaced."""
        self._analysis, self._composer, self._swapped = analysis, composer, swapped
        self._boxes = [frame.box for track in analysis.tracks for frame in track.frames]
        self._last: tuple[int, Pixels] | None = None

    def paint(self, frame: Frame) -> Pixels:
        """The frame with its faces replaced, in the shape of the reader's; the reader's own where nothing changes."""
        number = self._analysis.distinct[frame.number] if frame.number < len(self._analysis.distinct) else -1
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        swapped = self._take(number)
        pixels = frame.pixels
        if swapped or self.has_badge:
            colors, alpha = split_frame(frame.pixels)
            if colors is frame.pixels:
                colors = colors.copy()
            self._composer.paste_faces(colors, number, swapped)
            if self.has_badge:
                alpha = alpha if alpha is None else alpha.copy()
                draw_badge(colors, alpha, self._boxes)  # one corner for all frames
            pixels = join_frame(colors, alpha, frame.pixels)
        self._last = number, pixels
        return pixels

    def _take(self, number: int) -> dict[int, Pixels]:
        """The swapped crops of a frame, by track."""
        faces = [FaceFrame(number, track.index) for track, _ in self._analysis.faces_at(number)]
        crops = {face.track: self._swapped.read(find_crop(self._analysis, face)) for face in faces}
        return {track: crop for track, crop in crops.items() if crop is not None}


def spread_statistics(
    analysis: Analysis, statistics: Mapping[FaceFrame, ColorStatistics]
) -> dict[FaceFrame, ColorStatistics]:
    """The colours of all faces, from those of the crops that serve them."""
    faces = [FaceFrame(frame.number, track.index) for track in analysis.tracks for frame in track.frames]
    crops = {face: find_crop(analysis, face) for face in faces if analysis.tracks[face.track].at(face.number).opacity}
    return {face: statistics[crop] for face, crop in crops.items() if crop in statistics}


def read_source_type(reader: MovingReader) -> str | None:
    """The digital source type that the meme's own label claims, as far as the file can be read; a WebM has no place for
    one."""
    if reader.picture.kind == "webm":
        return None
    try:
        return read_moving_label(reader.path, own_format(reader.picture.kind))
    except ValueError:  # it is cut off, or older than MP4's first box
        return None


def write_file(path: Path, content: bytes) -> None:
    """Write a temporary file. Raises StorageFull."""
    if shutil.disk_usage(path.parent).free < len(content):
        raise StorageFull("There is no disk space left for temporary files.")
    path.write_bytes(content)
