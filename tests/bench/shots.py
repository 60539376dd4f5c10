"""What more shots cost: CPU of the same seconds of video in five clips, and in one for every few seconds.

    python -m tests.bench.shots [--seconds S]

Both are encoded by the function's own step from the same drawn footage in 720x1280, one after the other in one process,
so that a ratio can be trusted on a machine that other work is on. Prints the CPU seconds of ffmpeg and the ratio.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from dataclasses import replace
from pathlib import Path

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.render import clip
from functions.video.settings import VideoSettings
from functions.video.values import (
    FPS,
    MOST_CLIPS,
    MOST_SHOTS,
    SHOT_SECONDS,
    Footage,
    Plan,
    Rendition,
    Segment,
    VideoRequest,
    VoiceOver,
)
from layers.core.deadline import Deadline
from tests.support.step_context import step_context
from tests.unit.video.drawn_footage import FileServer, draw, serving

SECONDS = 24.0
LONGEST = 15.0  # seconds of the footage


def plan_of(seconds: float, clips: int, server: FileServer) -> Plan:
    """A plan of clips of like length, of which each has footage of its own."""
    frames = round(seconds * FPS)
    cuts = [round(number * frames / clips) for number in range(clips + 1)]
    files = (Rendition(server.url("sea.mp4"), 720, 1280),)
    footage = [Footage(f"sea:{number}", LONGEST, "", "", "", files) for number in range(clips)]
    segments = tuple(
        Segment(
            number,
            cuts[number],
            cuts[number + 1] - cuts[number],
            footage[number],
        )
        for number in range(clips)
    )
    return Plan(frames, segments, ())


def measure(plan: Plan, server: FileServer, folder: Path) -> float:
    """CPU seconds of ffmpeg for all clips of a plan."""
    settings = VideoSettings.read({"OUTPUTS_BUCKET": "outputs", "STATE_TABLE": "state", "STATE_MACHINE_ARN": "arn"})
    storage = FolderStorage(folder / f"{len(plan.segments)}")
    context = step_context(
        storage,
        ArtifactStore(storage, "outputs"),
        folder,
        settings=replace(settings, trusted_origins=frozenset({server.origin}), threads=1),
        request=VideoRequest("", "", captions=False),
        deadline=Deadline.after(600),
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for segment in plan.segments:
        clip.make(segment, plan, VoiceOver("", plan.frames / FPS, (), True), context)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description="what more shots cost")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as name, serving() as server:
        folder = Path(name)
        drawing = draw(folder / "sea.mp4", "-crf", "20", seconds=LONGEST, rate=30)
        server.files["sea.mp4"] = drawing.read_bytes()
        (folder / "step").mkdir()
        counts = (MOST_CLIPS, min(MOST_SHOTS, round(seconds / SHOT_SECONDS)), min(MOST_SHOTS, round(seconds / 3)))
        costs = {
            count: measure(plan_of(seconds, count, server), server, folder / "step") for count in dict.fromkeys(counts)
        }
    for count, cost in costs.items():
        print(f"{count} clips: {cost:.2f} CPU s, {cost / costs[MOST_CLIPS]:.2f} times that of {MOST_CLIPS}")


if __name__ == "__main__":
    main()
