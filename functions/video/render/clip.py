"""One slot of the plan as a file: the footage fetched, cropped, captioned and encoded, once."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from functions.video.artifacts import recipe
from functions.video.context import StepContext
from functions.video.render import (
    caption_design,
    caption_drawing,
    caption_text,
    captions,
    clip_files,
    continuation,
    faces,
    font_files,
    framing,
    long_words,
    own_clip,
    own_file,
    picture_format,
    scripts,
    still_picture,
    typesetting,
)
from functions.video.render.clip_files import TIMESCALE, ClipFiles, check_frames, join
from functions.video.render.continuation import Slot, choose_first_piece, find_cut_costs
from functions.video.render.encoder import encoder_version
from functions.video.render.footage_download import choose_rendition, download
from functions.video.render.framing import CENTRE, Centre, find_window, needs_choice
from functions.video.render.own_font import load_own_face
from functions.video.render.picture_format import (
    FORMATS,
    USUAL,
    PictureFormat,
    deinterlace,
    matrix_options,
    read_format,
    to_bt709,
)
from functions.video.render.still_picture import picture_filters, picture_input
from functions.video.render.typesetting import PLAIN, Typesetting, typeset
from functions.video.values import OWN, Clip, Footage, Piece, Plan, Quality, Segment, VoiceOver
from layers.core.errors import (
    ColdswapError,
    InputNotFound,
    MediaTooLarge,
    NoFootage,
    RefusedUrl,
    UnreadableMedia,
    UpstreamFailed,
)
from layers.media.ffmpeg import escape, run, untrusted_input
from layers.media.formats import PICTURE_FORMATS
from layers.media.formats import PictureFormat as StillFormat
from layers.media.mp4 import Index

VERSION = 2  # raise it with code that takes another file of a footage, or other seconds of it
FETCH_SECONDS = 60.0  # for one footage, so that a slow server leaves time for a spare
CODECS = ("avc1", "avc3", "hvc1", "hev1", "vp09", "av01")
# x264's preset and constant rate factor, by the curve in docs/benchmarks.md. The first is what an earlier server had.
_ENCODER: dict[Quality, tuple[str, str]] = {
    "draft": ("ultrafast", "28"),
    "standard": ("superfast", "26"),
    "high": ("veryfast", "20"),
}
# By the shorter side: 720x1280 at 30 frames a second needs level 3.1 of H.264, which allows 14 Mb/s, and 1080x1920
# level 4, which allows 20 (table A-1). Whatever grain would take, no second has more, not even where two clips meet.
_LEVELS = {
    720: ("-level", "3.1", "-maxrate", "10M", "-bufsize", "4M"),
    1080: ("-level", "4", "-maxrate", "20M", "-bufsize", "8M"),
}
_MOST_NEIGHBOURS = 3  # whose footage is tried in place of a segment's own
_HELD = 0.25  # seconds that footage may lack, as its service rounds its length: its last picture stays for them
_MOST_HIDDEN = 20  # times what an edit list shows, where footage begins anew
_AHEAD = 0.25  # seconds of footage read beyond the slot: the last frame's successor decides when it ends
# A time-out; caption files, which no clip shows; limits; and what an error names.
_NOT_IN_KEY = ("FETCH_SECONDS", "_FILE_LINE_WIDTH", "_MOST_BYTES", "_MOST_NAMED")


@dataclass(frozen=True)
class EncoderInput:
    """A file of footage, as far as ffmpeg's arguments depend on it: frames a second (0: unknown), and seconds."""

    path: Path
    fps: float
    seconds: float
    pictures: PictureFormat = USUAL
    still: StillFormat | None = None  # of a file that is one picture
    window: Centre = CENTRE  # which part is shown of a file of another shape


def make(segment: Segment, plan: Plan, voice: VoiceOver, context: StepContext) -> str:
    """The key of the segment's Clip in the artifact store, made unless it exists.

    A spare takes the place of footage that cannot be fetched or read, and goes on where footage is too short. Raises
    NoFootage where no spare is left, and EncodingFailed, StorageFull, StorageFailed or OutOfTime.
    """
    artifacts, deadline = context.artifacts, context.deadline
    subtitles, _ = render_subtitles(segment, plan, voice, context)
    key = _key(segment, plan, subtitles, context)
    if artifacts.reuse(key, Clip, deadline, lambda clip: clip.key):
        return key
    files = ClipFiles(context.folder, segment.index)
    try:
        pieces, bytes_fetched = _make_pieces(segment, plan, voice, files, context)
        join(files, len(pieces), context.deadline)
        check_frames(files.clip, segment.frames)
        media_key = artifacts.key("clip", "mp4", key, [(piece.frames, piece.footage.id) for piece in pieces])
        artifacts.put_file(media_key, files.clip, "video/mp4")
    finally:
        files.remove()
    first, *others = pieces
    artifacts.put(
        key, Clip(media_key, segment.index, segment.frames, first.footage, bytes_fetched, continuation=tuple(others))
    )
    return key


def _make_pieces(
    segment: Segment, plan: Plan, voice: VoiceOver, files: ClipFiles, context: StepContext
) -> tuple[list[Piece], int]:
    """Encode the segment with the first footage that can be used, and where that is too short, with spares that go on;
    only when none is left does one begin anew. Also how many bytes that took."""
    cut_costs = find_cut_costs(voice.words)
    waiting, pieces, rest, total = candidates(segment, plan), list[Piece](), segment, 0
    last_error: ColdswapError | None = None
    last_id = ""
    while rest.frames and waiting:
        context.deadline.check("making a clip")
        footage = waiting.pop(0)
        is_spare_left = any(each in plan.spares for each in waiting)
        try:
            source, bytes_fetched = _fetch(footage, rest, plan, files.source, context)
            slot = Slot(rest.first_frame, rest.frames, replace(footage, seconds=source.seconds))
            frames = choose_first_piece(slot, cut_costs) if is_spare_left else rest.frames
            _encode(source, replace(rest, frames=frames), plan, voice, files, files.part(len(pieces)), context)
        except (InputNotFound, RefusedUrl, UpstreamFailed, UnreadableMedia, MediaTooLarge) as error:
            last_error, last_id = error, footage.id
            if not waiting and pieces:  # to see something of it twice is better than no video
                waiting = [pieces[-1].footage] if footage != pieces[-1].footage else []
            continue
        pieces.append(Piece(frames, footage))
        total += bytes_fetched
        rest = replace(rest, first_frame=rest.first_frame + frames, frames=rest.frames - frames)
        if rest.frames:
            waiting = [each for each in waiting if each in plan.spares]
    if rest.frames:
        if segment.footage.source == OWN and last_error:
            raise last_error
        reason = f" The last was the file of {last_id}: {last_error.detail}" if last_error else ""
        raise NoFootage(f"None of the footage that was found could be used.{reason}") from last_error
    return pieces, total


def _key(segment: Segment, plan: Plan, subtitles: str, context: StepContext) -> str:
    """The clip's key: the texts for ffmpeg are in it, for footage of every kind."""
    settings, quality = context.settings, context.task.request.quality
    marker = "captions" if subtitles else None
    inputs = [
        arguments(EncoderInput(Path("source"), fps, seconds, pictures), segment, plan, marker, quality)
        for fps, seconds, pictures in product((0.0, 1e9), (0.0, segment.frames / plan.fps, 1e9), FORMATS)
    ]
    if segment.footage.source == OWN:
        stills = (EncoderInput(Path("source"), 0.0, 0.0, still=kind) for kind in PICTURE_FORMATS)
        inputs += [arguments(still, segment, plan, marker, quality) for still in stills]
    modules = (
        caption_design,
        caption_drawing,
        caption_text,
        captions,
        faces,
        font_files,
        long_words,
        scripts,
        typesetting,
    )
    look = (subtitles, font_files.roboto_digest(), recipe(*modules, without=_NOT_IN_KEY))
    return context.artifacts.key(
        "clip",
        "json",
        segment,
        plan,
        inputs,
        look if subtitles else None,
        encoder_version(),
        (settings.max_clip_pixels, settings.max_clip_bytes),  # of the footage for which no spare is taken
        recipe(
            sys.modules[__name__],
            clip_files,
            continuation,
            framing,
            picture_format,
            still_picture,
            without=_NOT_IN_KEY,
        ),
    )


def render_subtitles(segment: Segment, plan: Plan, voice: VoiceOver, context: StepContext) -> tuple[str, Typesetting]:
    """Captions and badge as ASS, empty where the request wants neither; and the faces of the whole video."""
    request = context.task.request
    if not (request.captions or request.badge):
        return "", PLAIN
    words = voice.words if request.captions else ()
    own = load_own_face(context.services, context.deadline, request.caption_style.font)
    design = caption_design.design_for(request.caption_style, plan.width, plan.height)
    look = typeset((word.text for word in caption_drawing.fit_design(words, design)), own)
    first, frames = segment.first_frame, segment.frames
    return caption_drawing.render_ass(words, first, frames, request.badge, plan.scene_ends, look, design), look


def candidates(segment: Segment, plan: Plan) -> list[Footage]:
    """The segment's own footage, then spares, of which no two segments of a plan share one: those of the same query
    before those of queries that no segment shows, and those that fill it before the others; where none is left for it,
    footage of its neighbours, because to see it twice is better than no video. A caller's own clip has no substitute.
    """
    if segment.footage.source == OWN:
        return [segment.footage]
    stock = [each for each in plan.segments if each.footage.source != OWN]
    shown = {each.footage.query for each in stock}
    alike = [each.index for each in stock if each.footage.query == segment.footage.query]
    same = [each for each in plan.spares if each.query == segment.footage.query]
    rest = [each for each in plan.spares if each.query not in shown]
    spares = [
        footage
        for group in (same[alike.index(segment.index) :: len(alike)], rest[segment.index :: len(plan.segments)])
        for footage in sorted(group, key=lambda each: each.seconds * plan.fps < segment.frames)
    ]
    others = sorted(stock, key=lambda each: abs(each.index - segment.index))
    return [segment.footage, *(spares or [each.footage for each in others[1 : 1 + _MOST_NEIGHBOURS]])]


def arguments(
    source: EncoderInput, segment: Segment, plan: Plan, captions_filter: str | None, quality: Quality
) -> list[str]:
    """ffmpeg's arguments, except for the output: one decode, one encode, exactly the segment's frames.

    All clips are alike in whatever a container or a decoder notices, so that they join by copying.
    """
    if source.still:
        return _still_arguments(source, source.still, segment, plan, captions_filter, quality)
    seconds, width, height = segment.frames / plan.fps, plan.width, plan.height
    scale = f"scale={width}:{height}:flags=bicubic:out_range=tv{matrix_options(source.pictures)},setsar=1"
    rate = f"fps={plan.fps}"
    is_looped = source.seconds < seconds - _HELD
    step = f"{1.5 / source.fps if source.fps else 0.1:.4f}"  # seconds between two pictures at most
    filters = [
        # ffmpeg begins anew only after what an edit list hides, which would stop the picture for as long.
        *([f"setpts='if(isnan(PREV_INPTS),PTS,PREV_OUTPTS+min(PTS-PREV_INPTS,{step}/TB))'"] if is_looped else []),
        *deinterlace(source.pictures),
        # Cropping first scales only what is seen.
        f"crop='min(iw,ih*{width}/{height}/sar)':'min(ih,iw*sar*{height}/{width})'"
        f":'(iw-ow)*{source.window[0]:.3f}':'(ih-oh)*{source.window[1]:.3f}'",
        # Frames are dropped before the scaling, and repeated after it.
        *((rate, scale) if source.fps > plan.fps else (scale, rate)),
        *to_bt709(source.pictures),
        *([f"tpad=stop_mode=clone:stop_duration={2 * _HELD}"] if source.seconds < seconds + _AHEAD else []),
        "format=yuv420p",
    ]
    return [
        # Footage that is too short begins anew; of longer footage no more is read than was fetched.
        *(["-stream_loop", "-1"] if is_looped else []),
        *("-t", f"{seconds * (_MOST_HIDDEN if is_looped else 1) + _AHEAD:.3f}"),
        *untrusted_input(source.path),
        *_output_arguments(filters, segment, plan, captions_filter, quality),
    ]


def _still_arguments(
    source: EncoderInput, kind: StillFormat, segment: Segment, plan: Plan, captions_filter: str | None, quality: Quality
) -> list[str]:
    """The same for a picture: every other one comes nearer, the others go away."""
    zooms_in = segment.index % 2 == 0
    filters = picture_filters(plan.width, plan.height, segment.frames, source.window, zooms_in=zooms_in)
    return [
        *picture_input(source.path, kind, plan.fps),
        *_output_arguments(filters, segment, plan, captions_filter, quality),
    ]


def _output_arguments(
    filters: list[str], segment: Segment, plan: Plan, captions_filter: str | None, quality: Quality
) -> list[str]:
    preset, crf = _ENCODER[quality]
    level = _LEVELS[720 if min(plan.width, plan.height) <= 720 else 1080]
    ends = [
        *([captions_filter] if captions_filter else []),
        # What states no colours has these: stock footage of this size does, and players assume it.
        "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
    ]
    return [
        *("-map", "0:v:0", "-an", "-vf", ",".join([*filters, *ends]), "-frames:v", str(segment.frames)),
        *("-c:v", "libx264", "-preset", preset, "-crf", crf, *level),
        *("-video_track_timescale", TIMESCALE, "-map_metadata", "-1", "-f", "mp4"),
    ]


def _fetch(
    footage: Footage, segment: Segment, plan: Plan, path: Path, context: StepContext
) -> tuple[EncoderInput, int]:
    """Fetch the smallest rendition that covers the frame, and check it before any decoder sees it; also how many bytes
    that took."""
    settings = context.settings
    if footage.source == OWN:
        size = own_file.fetch(footage.renditions[0].url, path, settings.max_clip_bytes, context, "clip")
        if still := own_clip.read_still(path, settings.max_picture_pixels):
            kind, shape = still
            source = picture_input(path, kind, plan.fps)
            window = _find_window(source, path, shape, segment, plan, settings.max_picture_pixels, context)
            return EncoderInput(path, 0.0, segment.frames / plan.fps, still=kind, window=window), size
        return _check_source(path, own_clip.read_video_index(path, size), segment, plan, context), size
    result = download(
        choose_rendition(footage, plan.width, plan.height).url,
        path,
        segment.frames / plan.fps,
        limit=settings.max_clip_bytes,
        deadline=context.deadline.sooner(FETCH_SECONDS),
        trusted_origins=settings.trusted_origins,
    )
    return _check_source(path, result.index, segment, plan, context), result.bytes_fetched


def _check_source(path: Path, index: Index, segment: Segment, plan: Plan, context: StepContext) -> EncoderInput:
    """A video as an input, before a decoder sees it. Raises UnreadableMedia, MediaTooLarge or OutOfTime."""
    settings = context.settings
    if index.codec not in CODECS:
        raise UnreadableMedia(f"The footage has a codec that is not supported: {index.codec!r}.")
    if index.width * index.height > settings.max_clip_pixels:
        raise MediaTooLarge(f"The footage is too large: {index.width}x{index.height} pixels.")
    pictures = read_format(path, settings.max_clip_pixels, context.deadline)
    shape = index.width / index.height
    window = _find_window(untrusted_input(path), path, shape, segment, plan, settings.max_clip_pixels, context)
    return EncoderInput(path, index.fps or 0.0, index.seconds, pictures, window=window)


def _find_window(
    source: list[str],
    path: Path,
    shape: float,
    segment: Segment,
    plan: Plan,
    max_pixels: int,
    context: StepContext,
) -> Centre:
    """Which part of footage of that shape (width to height) is shown."""
    frame_shape = plan.width / plan.height
    if not needs_choice(shape, frame_shape):
        return CENTRE
    shares = (min(1.0, frame_shape / shape), min(1.0, shape / frame_shape))
    seconds = segment.frames / plan.fps
    return find_window(source, seconds, path.with_suffix(".gray"), shares, max_pixels, context.deadline)


def _encode(
    source: EncoderInput,
    piece: Segment,
    plan: Plan,
    voice: VoiceOver,
    files: ClipFiles,
    output: Path,
    context: StepContext,
) -> None:
    """Encode a segment, or a piece of one. Raises UnreadableMedia, EncodingFailed, StorageFull or OutOfTime."""
    captions_filter = None
    subtitles, look = render_subtitles(piece, plan, voice, context)
    if subtitles:
        files.subtitles.write_text(subtitles, encoding="utf-8")
        fonts = files.fonts if files.fonts.exists() else font_files.make(look, files.fonts, context)
        captions_filter = f"ass=filename={escape(files.subtitles)}:fontsdir={escape(fonts)}"
    settings, quality = context.settings, context.task.request.quality
    command = [
        *("-max_pixels", str(settings.max_picture_pixels if source.still else settings.max_clip_pixels)),
        *arguments(source, piece, plan, captions_filter, quality),
        str(output),
    ]
    run(command, deadline=context.deadline, threads=settings.threads)
    check_frames(output, piece.frames)
