"""One slot of the plan as a file: the footage fetched, cropped, captioned and encoded, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from functions.video.artifacts import ArtifactStore
from functions.video.render import captions as captioning
from functions.video.render.footage import smallest_sufficient
from functions.video.render.footage_download import download
from functions.video.settings import VideoSettings
from functions.video.values import Clip, Footage, Plan, Quality, Segment, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import MediaTooLarge, NoFootage, RefusedUrl, UnreadableMedia, UpstreamFailed
from layers.media.ffmpeg import escape, run, untrusted
from layers.media.mp4 import Index, read_index

VERSION = 1  # of what this module makes: a part of every clip's key
FETCH_SECONDS = 60.0  # for one footage, so that a slow server leaves time for a spare
CODECS = ("avc1", "avc3", "hvc1", "hev1", "vp09", "av01")
# x264's preset and constant rate factor.
_ENCODER: dict[Quality, tuple[str, str]] = {
    "draft": ("ultrafast", "32"),
    "standard": ("ultrafast", "28"),
    "high": ("veryfast", "23"),
}
_AHEAD = 0.25  # seconds of footage read beyond the slot: the last frame's successor decides when it ends


def make(
    segment: Segment,
    plan: Plan,
    voice: VoiceOver,
    *,
    captions: bool,
    badge: bool,
    quality: Quality,
    work: ArtifactStore,
    folder: Path,
    deadline: Deadline,
    settings: VideoSettings,
) -> str:
    """The key of the segment's Clip in the work store, made unless it is there.

    Where a footage cannot be fetched or read, a spare takes its place. Raises NoFootage where none is left, and
    EncodingFailed, StorageFull, StorageFailed or OutOfTime.
    """
    words = [(word.text, word.start, word.end, word.first, word.last) for word in voice.words] if captions else None
    key = work.key("clip", "json", VERSION, segment, plan, words, badge, quality)
    if work.reuse(key, Clip, deadline, lambda clip: clip.key):
        return key
    files = _Files(folder, segment.index)
    last: Exception | None = None
    for footage in candidates(segment, plan):
        deadline.check("making a clip")
        try:
            index, fetched = _fetch(footage, segment, plan, files.source, deadline, settings)
            drawn = captions or badge
            if drawn:
                said = captioning.ass(voice.words if captions else (), segment.first_frame, segment.frames, badge)
                files.subtitles.write_text(said, encoding="utf-8")
            told = arguments(files.source, index, segment, plan, files.subtitles if drawn else None, quality)
            limits = ["-max_pixels", str(settings.max_clip_pixels)]
            run([*limits, *told, str(files.clip)], deadline=deadline, threads=settings.threads)
            check_made(files.clip, segment.frames)
            media = work.key("clip", "mp4", key, footage.id)
            work.put_file(media, files.clip, "video/mp4")
        except (RefusedUrl, UpstreamFailed, UnreadableMedia, MediaTooLarge) as error:
            last = error
            continue
        finally:
            files.remove()
        work.put(key, Clip(media, segment.index, segment.frames, footage, fetched))
        return key
    raise NoFootage("None of the footage that was found could be used.") from last


def candidates(segment: Segment, plan: Plan) -> Iterator[Footage]:
    """The segment's own footage, then spares: no two segments of a plan share one."""
    yield segment.footage
    yield from plan.spares[segment.index :: len(plan.segments)]


def arguments(
    source: Path, index: Index, segment: Segment, plan: Plan, subtitles: Path | None, quality: Quality
) -> list[str]:
    """What ffmpeg is told, but for the output: one decode, one encode, exactly the segment's frames.

    All clips are alike in whatever a container or a decoder notices, so that they join by copying.
    """
    seconds, width, height = segment.frames / plan.fps, plan.width, plan.height
    scale = f"scale={width}:{height}:flags=bicubic:out_range=tv,setsar=1"
    rate = f"fps={plan.fps}"
    filters = [
        # Cropping first scales only what is seen.
        f"crop='min(iw,ih*{width}/{height}/sar)':'min(ih,iw*sar*{height}/{width})'",
        # Frames are dropped before the scaling, and repeated after it.
        *((rate, scale) if (index.fps or 0) > plan.fps else (scale, rate)),
        "format=yuv420p",
        *([f"ass=filename={escape(subtitles)}:fontsdir={escape(captioning.fonts())}"] if subtitles else []),
        # What stock footage of this size has, and what players take it for where it does not say.
        "setparams=range=tv:colorspace=bt709:color_primaries=bt709:color_trc=bt709",
    ]
    preset, crf = _ENCODER[quality]
    return [
        # Too short a footage begins anew; of a longer one no more is read than was fetched.
        *(["-stream_loop", "-1"] if index.seconds < seconds + _AHEAD else []),
        *("-t", f"{seconds + _AHEAD:.3f}"),
        *untrusted(source),
        *("-map", "0:v:0", "-an", "-vf", ",".join(filters), "-frames:v", str(segment.frames)),
        *("-c:v", "libx264", "-preset", preset, "-crf", crf),
        *("-video_track_timescale", "15360", "-map_metadata", "-1", "-f", "mp4"),
    ]


@dataclass(frozen=True)
class _Files:
    """Temporary files of one segment; gone as soon as they have served."""

    folder: Path
    index: int

    @property
    def source(self) -> Path:
        return self.folder / f"{self.index}.source"

    @property
    def subtitles(self) -> Path:
        return self.folder / f"{self.index}.ass"

    @property
    def clip(self) -> Path:
        return self.folder / f"{self.index}.mp4"

    def remove(self) -> None:
        for path in (self.source, self.subtitles, self.clip):
            path.unlink(missing_ok=True)


def _fetch(
    footage: Footage, segment: Segment, plan: Plan, path: Path, deadline: Deadline, settings: VideoSettings
) -> tuple[Index, int]:
    """The smallest rendition that covers the frame, checked before any decoder sees it, and how many bytes it took."""
    rendition = smallest_sufficient(footage, plan.width, plan.height)
    got = download(
        rendition.url,
        path,
        segment.frames / plan.fps,
        limit=settings.max_clip_bytes,
        deadline=deadline.sooner(FETCH_SECONDS),
        trusted_origins=settings.trusted_origins,
    )
    index = got.index
    if index.codec not in CODECS:
        raise UnreadableMedia(f"The footage has a codec that is not decoded here: {index.codec!r}.")
    if index.width * index.height > settings.max_clip_pixels:
        raise MediaTooLarge(f"The footage has frames of {index.width}x{index.height} pixels.")
    return index, got.bytes_fetched


def check_made(path: Path, frames: int) -> None:
    """A footage that ends in rubbish gives too few frames, and ffmpeg calls it a success."""
    with path.open("rb") as file:

        def read(at: int, count: int) -> bytes:
            file.seek(at)
            return file.read(count)

        made = read_index(read, path.stat().st_size).frames
    if made != frames:
        raise UnreadableMedia(f"The footage gave {made} frames where {frames} are needed.")
