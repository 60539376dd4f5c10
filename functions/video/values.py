"""The words of a video being made.

Times are in seconds, sizes in pixels or bytes, positions in a script in characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quality = Literal["draft", "standard", "high"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Stage = Literal["queued", "voice-over", "footage", "plan", "clips", "assemble", "publish", "done"]

WIDTH, HEIGHT, FPS = 720, 1280, 30  # of every video; the old server's size
MOST_CLIPS = 5  # the old server's


@dataclass(frozen=True)
class VideoRequest:
    """What to make."""

    script_text: str
    search_query: str
    voice_id: str | None = None  # None: the operator's VOICE_ID
    callback_url: str | None = None
    captions: bool = True
    badge: bool = False  # a small AI mark all the time
    quality: Quality = "standard"


@dataclass(frozen=True)
class Word:
    """A spoken word with the punctuation that touches it: characters first to last (exclusive) of the script."""

    text: str
    start: float
    end: float
    first: int
    last: int
    ends_sentence: bool = False


@dataclass(frozen=True)
class VoiceOver:
    """The script, spoken: a FLAC file (mono, 44,100 Hz, 16 bits) in the work store, and when each word is said."""

    audio_key: str
    seconds: float  # exactly samples / 44,100
    words: tuple[Word, ...]
    aligned: bool  # False: the voice service gave no alignment, so the words are spread by their characters


@dataclass(frozen=True)
class Rendition:
    """One file of a footage; `size` is what the footage service says, which need not be true."""

    url: str
    width: int
    height: int
    fps: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class Footage:
    """A stock video, and whom to thank for it."""

    id: str  # "pexels:1234"
    seconds: float
    page_url: str
    photographer: str
    photographer_url: str
    renditions: tuple[Rendition, ...]


@dataclass(frozen=True)
class SearchResult:
    """What a search gave, the best first, none twice; `query` is the one that found it, maybe a more general one."""

    query: str
    footage: tuple[Footage, ...]


@dataclass(frozen=True)
class Segment:
    """One slot of the plan: frames first_frame to first_frame + frames (exclusive) show this footage from its start."""

    index: int
    first_frame: int
    frames: int
    footage: Footage


@dataclass(frozen=True)
class Plan:
    """The video's frames laid out, without a gap, from 0 to `frames` (exclusive)."""

    frames: int
    segments: tuple[Segment, ...]
    spares: tuple[Footage, ...]  # in the order in which they are tried; none is in a segment
    width: int = WIDTH
    height: int = HEIGHT
    fps: int = FPS


@dataclass(frozen=True)
class Clip:
    """The encoded file for a segment: H.264 in MP4 without sound, exactly `frames` frames, in the work store."""

    key: str
    index: int
    frames: int
    footage: Footage  # the segment's own, or the spare that took its place
    bytes_fetched: int


@dataclass(frozen=True)
class Credit:
    """Whom a finished video thanks for footage, as Pexels' terms ask."""

    photographer: str
    photographer_url: str
    footage_url: str
    source: str = "Pexels"


@dataclass(frozen=True)
class PublishedVideo:
    """Keys of a finished video's files in the outputs bucket."""

    video: str
    poster: str
    srt: str | None
    vtt: str | None
    seconds: float
    size: int  # of the video
    credits: tuple[Credit, ...]


def files(published: PublishedVideo) -> list[str]:
    """The keys of all files of a finished video."""
    keys = (published.video, published.poster, published.srt, published.vtt)
    return [key for key in keys if key is not None]


def file_keys(task_id: str) -> dict[str, str]:
    """The keys of all files that a task's video may have, by their names in `Published`."""
    names = {"video": "short.mp4", "poster": "poster.jpg", "srt": "captions.srt", "vtt": "captions.vtt"}
    return {name: f"videos/{task_id}/{file}" for name, file in names.items()}
