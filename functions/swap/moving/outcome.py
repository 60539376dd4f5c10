"""What the steps of a moving meme's swap return."""

from __future__ import annotations

from dataclasses import dataclass, field

from functions.swap.values import FaceReport, ListedFace, SwapResult, describe


@dataclass(frozen=True)
class AnalysisSummary:
    """Who is in a moving meme, in numbers: what a state machine goes on with."""

    frames: int
    face_frames: int  # that are swapped: faces, each counted once for every frame that shows it
    chunks: int  # of crops; they are numbered from 0, and each is one `swap_chunk`
    people: int
    cost: int  # units of the budget that the swap was charged beyond the first


@dataclass(frozen=True)
class ChunkSummary:
    """A chunk whose crops are swapped."""

    face_frames: int
    seconds: float  # that it took; 0 if it was there already


@dataclass(frozen=True)
class TimeSpan:
    """A time in which a person is seen without a break."""

    start: float = field(metadata=describe("seconds from the beginning"))
    end: float = field(metadata=describe("seconds from the beginning, where the last frame appears"))


@dataclass(frozen=True, kw_only=True)
class PersonReport(FaceReport):
    """What became of one person; the box is that of the thumbnail."""

    times: list[TimeSpan]
    thumbnail: float = field(metadata=describe("seconds from the beginning to the frame that shows the person best"))


@dataclass(frozen=True, kw_only=True)
class ListedPerson(ListedFace):
    """One person of a moving meme in which nothing was swapped; the box is that of the thumbnail."""

    times: list[TimeSpan]
    thumbnail: float = field(metadata=describe("seconds from the beginning to the frame that shows the person best"))


@dataclass(frozen=True, kw_only=True)
class MovingResult(SwapResult):
    """A finished swap of a moving meme: `faces` has one entry for each person, `people` the same with times."""

    format: str = field(metadata=describe("gif, webp, apng or mp4"))
    frames: int
    face_frames: int = field(metadata=describe("faces that were swapped, each counted once for every frame"))
    seconds: float = field(metadata=describe("how long one play lasts"))
    people: list[PersonReport]


@dataclass(frozen=True, kw_only=True)
class PeopleListing:
    """The people of a moving meme."""

    width: int
    height: int
    frames: int
    seconds: float
    people: list[ListedPerson]
    timings_ms: dict[str, float] = field(metadata=describe("milliseconds by phase"))
    notes: list[str]
