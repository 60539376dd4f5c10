"""What `analyse` hands on to the steps after it, as JSON: which chunks there are, and who is replaced by whom."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from functions.swap.context import SwapContext
from functions.swap.moving.analysis_file import name_analysis
from functions.swap.moving.outcome import AnalysisSummary
from functions.swap.moving.work_files import WorkFiles, gone
from functions.swap.values import Floats, PictureDigests, SkipReason, SwapRequest

PLAN, MEME_FILE = "plan.json", "meme"  # names of work files
VERSION = "2026-11"  # changes with what the steps make of the same request
_OF_NO_PICTURE = ("caller", "queued", "consent")  # fields of a request that change nothing in its result


@dataclass(frozen=True)
class PersonPlan:
    """What becomes of one person."""

    reason: SkipReason | None  # why the person is not replaced; None: is replaced
    source: int | None = None  # which of the plan's latents is put in
    digests: PictureDigests | None = None  # of that source's pictures


@dataclass(frozen=True)
class ChunkPlan:
    """One chunk, by the names of its work files."""

    crops: str
    swapped: str
    face_frames: int


@dataclass(frozen=True)
class SwapPlan:
    """What was decided about a moving meme."""

    recipe: str  # `make_recipe`
    meme: str  # digest
    analysis: str  # name of a work file, as in all that follows
    latents: str
    frames: int
    people: list[PersonPlan]  # by index
    chunks: list[ChunkPlan]
    common: PictureDigests | None  # of the request's own `face`, if it is put in
    latent_keys: list[str]  # in the models bucket, to be deleted with the result
    pictures: int  # of sources
    notes: list[str]
    timings_ms: dict[str, float]
    bytes_fetched: int
    cold_start: bool
    cost: int

    @property
    def chosen(self) -> list[int]:
        """The people who are replaced."""
        return [index for index, person in enumerate(self.people) if person.reason is None]

    @property
    def face_frames(self) -> int:
        """How often the swapper runs."""
        return sum(chunk.face_frames for chunk in self.chunks)

    @property
    def files(self) -> list[str]:
        """All work files that belong to the plan, itself last."""
        chunks = [name for chunk in self.chunks for name in (chunk.crops, chunk.swapped)]
        return [*chunks, self.latents, self.analysis, PLAN]

    def summarize(self) -> AnalysisSummary:
        """The plan in numbers."""
        return AnalysisSummary(self.frames, self.face_frames, len(self.chunks), len(self.people), self.cost)

    def to_bytes(self) -> bytes:
        """The plan as JSON."""
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def from_bytes(content: bytes) -> SwapPlan:
        """Read what `to_bytes` wrote."""
        fields: dict[str, Any] = json.loads(content)
        people = [PersonPlan(**person) for person in fields.pop("people")]
        chunks = [ChunkPlan(**chunk) for chunk in fields.pop("chunks")]
        return SwapPlan(people=people, chunks=chunks, **fields)


def make_recipe(request: SwapRequest, context: SwapContext) -> str:
    """SHA-256, in hex, of all that decides about a swap before the meme is fetched."""
    fields = {name: value for name, value in asdict(request).items() if name not in _OF_NO_PICTURE}
    analysis = name_analysis("", context.models.digests, context.settings.detection_size)
    inputs = [VERSION, fields, analysis, context.models.digests]
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def find_plan(work: WorkFiles) -> SwapPlan | None:
    """The plan of a swap, if there is one that this version can read; its chunks may be incomplete."""
    content = work.find(PLAN)
    try:
        return SwapPlan.from_bytes(content) if content is not None else None
    except (ValueError, TypeError, KeyError):
        return None


def require_plan(work: WorkFiles) -> SwapPlan:
    """The plan of a swap that was analysed. Raises WorkGone."""
    plan = find_plan(work)
    if plan is None:
        raise gone(PLAN)
    return plan


def is_complete(plan: SwapPlan, work: WorkFiles) -> bool:
    """Whether all files were written: the last chunk of crops is the last of them."""
    return work.exists(plan.chunks[-1].crops if plan.chunks else plan.analysis)


def latents_to_bytes(latents: list[Floats]) -> bytes:
    """Latents, float32 [512] each, as bytes."""
    return b"".join(np.asarray(latent, "<f4").tobytes() for latent in latents)


def read_latents(content: bytes) -> Floats:
    """What `latents_to_bytes` wrote, float32 [N, 512]."""
    return np.frombuffer(content, "<f4").reshape(-1, 512).astype(np.float32)


def compute_digest(content: bytes) -> str:
    """SHA-256, in hex."""
    return hashlib.sha256(content).hexdigest()
