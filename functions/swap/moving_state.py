"""How far the swap of a moving meme is: what its record has beside that of a still's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Stage = Literal["queued", "analysing", "swapping", "composing"]
DOLLARS_PER_GB_SECOND = 0.0000166667  # of Lambda, x86, us-east-1 (aws.amazon.com/lambda/pricing)

Item = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class UploadedObject:
    """The upload that a swap is of, and the object that lay there when it was queued."""

    name: str  # what follows memes/ in its key
    state: str  # a digest that changes whenever the object is replaced
    facts: Mapping[str, str]  # that tell the uploader which object an outcome is of


@dataclass(frozen=True)
class MovingState:
    """The state of a moving meme's swap."""

    stage: Stage = "queued"
    done: int = 0  # frames of this stage
    total: int = 0
    face_frames: int = 0  # to be swapped; known once the meme is analysed
    swapped: int = 0  # face-frames in finished chunks
    compute_ms: int = 0  # that steps have taken, side by side or not
    key: str = ""  # of the result in the outputs bucket; "" for the usual one
    upload: UploadedObject | None = None


@dataclass(frozen=True)
class Progress:
    """How much of a stage is done."""

    done: int
    total: int
    unit: Literal["frames", "face_frames"] = "frames"


@dataclass(frozen=True)
class ComputeCost:
    """What a moving meme has cost so far, without requests and storage."""

    gb_seconds: float
    dollars: float = 0.0


def parse_state(item: Item) -> MovingState | None:
    """The state in an item of the table; None of a still's."""
    if "stage" not in item:
        return None

    def number(name: str) -> int:
        return int(item[name]["N"]) if name in item else 0

    stage: Any = item["stage"]["S"]
    upload = json.loads(item["upload"]["S"]) if "upload" in item else None
    return MovingState(
        stage=stage,
        done=number("done"),
        total=number("total"),
        face_frames=number("face_frames"),
        swapped=sum(int(chunk.partition(":")[2]) for chunk in item.get("chunks", {}).get("SS", [])),
        compute_ms=number("compute_ms"),
        key=item["target"]["S"] if "target" in item else "",
        upload=UploadedObject(**upload) if upload else None,
    )


def measure_progress(state: MovingState) -> Progress:
    """How much of its stage is done."""
    if state.stage == "swapping":
        return Progress(state.swapped, state.face_frames, "face_frames")
    return Progress(state.done, state.total)


def reckon_cost(state: MovingState, memory_mb: int) -> ComputeCost:
    """The cost of the steps that have ended, where the function has that much memory."""
    gb_seconds = state.compute_ms / 1000 * memory_mb / 1024
    return ComputeCost(round(gb_seconds, 2), round(gb_seconds * DOLLARS_PER_GB_SECOND, 7))
