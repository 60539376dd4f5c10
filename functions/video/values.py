"""The values that a video is made from and into.

Times are in seconds, sizes in pixels or bytes, positions in a script in characters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Quality = Literal["draft", "standard", "high"]
Aspect = Literal["9:16", "1:1", "16:9"]
Resolution = Literal["720p", "1080p"]
CaptionLook = Literal["highlight", "boxed", "karaoke", "word", "plain"]
CaptionPosition = Literal["top", "middle", "bottom"]
Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Stage = Literal["queued", "voice-over", "footage", "plan", "clips", "assemble", "publish", "done"]

WIDTH, HEIGHT, FPS = 720, 1280, 30  # of a video, where the request says nothing about it
MOST_CLIPS = 5  # in a video, where one for every few seconds are not more
MOST_SHOTS = 24  # in any video; those of a longer one last longer
SHOT_SECONDS = 4.0  # of one that follows the words
OWN = "own"  # in the place of a footage service's name
SHORTEST_VIDEO_SECONDS = 3.0  # that the short-video apps accept


def frame_size(aspect: Aspect, resolution: Resolution = "720p") -> tuple[int, int]:
    """Width and height in pixels of a video; a resolution is the length of the shorter side."""
    short = {"720p": 720, "1080p": 1080}[resolution]
    across, down = (int(side) for side in aspect.split(":"))
    return short * across // min(across, down), short * down // min(across, down)


@dataclass(frozen=True)
class CaptionStyle:
    """How captions look; colours are RRGGBB in hexadecimal digits."""

    look: CaptionLook = "highlight"
    position: CaptionPosition = "bottom"
    colour: str = "FFFFFF"
    accent: str = "FFDD2B"  # of the spoken word, or of the box behind it
    capitals: bool = False
    font: str | None = None  # a file under fonts/ of the models bucket; None: the operator's choice


@dataclass(frozen=True)
class Scene:
    """A part of a script, and what to show meanwhile: footage of something, or a video or picture of the caller's own;
    where it has neither, what its own sentences are about."""

    text: str
    search_query: str | None = None
    clip: str | None = None  # an https or s3 URI


@dataclass(frozen=True)
class VideoRequest:
    """What to make. The script of scenes is their texts, each a paragraph."""

    script_text: str
    search_query: str | tuple[str, ...] | None = None  # for all, for parts in their order, or found by the sentences
    voice_id: str | None = None  # None: the operator's VOICE_ID
    callback_url: str | None = None
    captions: bool = True
    badge: bool = False  # a small AI mark in every frame
    quality: Quality = "standard"
    scenes: tuple[Scene, ...] = ()
    caption_style: CaptionStyle = CaptionStyle()
    aspect: Aspect = "9:16"
    resolution: Resolution = "720p"
    voice_uri: str | None = None  # a recording of the script, instead of a synthetic voice
    music: str | None = None  # a URI, or a key under music/ of the models bucket

    @property
    def needs_footage(self) -> bool:
        """Whether anything but the caller's own clips is shown."""
        return not self.scenes or any(scene.clip is None for scene in self.scenes)


@dataclass(frozen=True)
class Word:
    """A spoken word with the punctuation that touches it: characters first to last (exclusive) of the script as it is
    spoken, without its markup."""

    text: str
    start: float
    end: float
    first: int
    last: int
    ends_sentence: bool = False


@dataclass(frozen=True)
class VoiceIdentity:
    """The synthetic voice's maker, and all that decides the sound beside voice id and text."""

    service: str
    model: str
    format: str


@dataclass(frozen=True)
class VoiceOver:
    """The script, spoken: a FLAC file (mono, 44,100 Hz, 16 bits) in the artifact store, and the time of each word."""

    audio_key: str
    seconds: float  # exactly samples / 44,100
    words: tuple[Word, ...]
    aligned: bool  # False: the times of some words are estimated, because the voice service gave none or wrong ones
    speaker: VoiceIdentity | None = None  # None: made by 0.1.0, a recording, or an estimate that nobody speaks
    own: bool = False  # a recording of the caller's


@dataclass(frozen=True)
class Rendition:
    """One file of a footage; `size` is the footage service's claim, which need not be true."""

    url: str
    width: int
    height: int
    fps: float | None = None
    size: int | None = None


@dataclass(frozen=True)
class Footage:
    """A stock video, and whom to credit for it."""

    id: str  # the service's name, a colon, and its own id: "stock:1234"
    seconds: float
    page_url: str
    photographer: str
    photographer_url: str
    renditions: tuple[Rendition, ...]
    source: str = ""  # the service's name as credits show it; empty in what 0.1.0 searched for
    query: str = ""  # the words that were searched for when it was found
    general: bool = False  # whether those are words that fit any script, since nothing fitted this one's


@dataclass(frozen=True)
class Search:
    """One search for footage, and what came of it."""

    query: str
    orientation: str  # portrait or landscape
    locale: str | None  # the language of the query, such as de-DE; None: not told to the service
    general: bool  # whether the query has nothing to do with the request's
    results: int
    usable: int  # of the results, those that are long and large enough and were not found before


@dataclass(frozen=True)
class Subject:
    """What to show with some of the script's words: footage of one of the queries, the best first, or a file of the
    caller's own."""

    words: int
    queries: tuple[str, ...] = ()
    own: Footage | None = None
    ends_scene: bool = False  # whether other pictures must follow


@dataclass(frozen=True)
class SearchResult:
    """Footage for a search phrase, the best first, without duplicates; `query` is the phrase that gave the first.

    With subjects, which cover the whole script in its order, the footage of all their queries.
    """

    query: str
    footage: tuple[Footage, ...]
    searches: tuple[Search, ...] = ()  # in their order
    subjects: tuple[Subject, ...] = ()


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
    searches: tuple[Search, ...] = ()  # that gave the footage

    @property
    def scene_ends(self) -> tuple[float, ...]:
        """The seconds at which other footage follows, and at which the video ends."""
        return tuple((each.first_frame + each.frames) / self.fps for each in self.segments)


@dataclass(frozen=True)
class Piece:
    """Frames of a clip that show one footage, from its start."""

    frames: int
    footage: Footage


@dataclass(frozen=True)
class Clip:
    """The encoded file for a segment: H.264 in MP4 without sound, exactly `frames` frames, in the artifact store."""

    key: str
    index: int
    frames: int
    footage: Footage  # the segment's own, or the spare that took its place
    bytes_fetched: int
    continuation: tuple[Piece, ...] = ()  # what follows where that footage was too short

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All that it shows, in order."""
        first = self.frames - sum(piece.frames for piece in self.continuation)
        return (Piece(first, self.footage), *self.continuation)


@dataclass(frozen=True)
class Credit:
    """The photographer of a footage, as footage services' terms ask a finished video to name."""

    photographer: str
    photographer_url: str
    footage_url: str
    source: str


@dataclass(frozen=True)
class Shot:
    """What a finished video shows for some seconds, and the words for which that was found."""

    start: float
    seconds: float
    query: str
    general: bool  # whether those words fit any script, since nothing fitted the request's
    footage_url: str
    source: str = ""  # as credits have it


CaptionsTiming = Literal["exact", "estimated"]


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
    captions_timing: CaptionsTiming | None = None  # None: made by 0.1.0
    shots: tuple[Shot, ...] = ()
    searches: tuple[Search, ...] = ()
    captions_left_out: tuple[str, ...] = ()  # visible signs that no typeface has
    voice_service: str | None = None  # by its title; None: a recording, or made by 0.1.0


def list_files(published: PublishedVideo) -> list[str]:
    """The keys of all files of a finished video."""
    keys = (published.video, published.poster, published.srt, published.vtt)
    return [key for key in keys if key is not None]


def file_keys(task_id: str) -> dict[str, str]:
    """The keys of all files that a task's video may have, by their names in `PublishedVideo`."""
    names = {"video": "short.mp4", "poster": "poster.jpg", "srt": "captions.srt", "vtt": "captions.vtt"}
    return {name: f"videos/{task_id}/{file}" for name, file in names.items()}
