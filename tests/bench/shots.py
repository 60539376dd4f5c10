"""What more shots cost, and what 1080p costs: CPU of the same seconds of video.

    python -m tests.bench.shots [--repeats N] [--quick]

Ratios of the CPU of ffmpeg: of one clip for every few seconds over five clips, in 24 and 60 seconds (in 8
with --quick); and of 1080x1920 over 720x1280, both `high`, each from footage of its own size. All are encoded by the
function's own step, the arms in turns in one process, so that a ratio can be trusted on a machine that other work is
on; of each arm the least of all runs counts. Writes out/bench/shots.json.
"""

from __future__ import annotations

import json
import resource
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.render import clip
from functions.video.render.shots import SHORTEST
from functions.video.settings import VideoSettings
from functions.video.values import (
    FPS,
    MOST_CLIPS,
    MOST_SHOTS,
    SHOT_SECONDS,
    Footage,
    Plan,
    Quality,
    Rendition,
    Segment,
    VideoRequest,
    VoiceOver,
)
from layers.core.deadline import Deadline
from tests.bench import form
from tests.support.step_context import step_context
from tests.unit.video.drawn_footage import FileServer, draw, serving

LENGTHS = (24.0, 60.0)  # seconds of video
QUICK_LENGTHS = (8.0,)
SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}
RESOLUTION_SECONDS = 2.5  # of one clip in each
Arm = tuple[Plan, Quality]


def plan_of(seconds: float, clips: int, server: FileServer, size: tuple[int, int] = SIZES["720p"]) -> Plan:
    """A plan of clips of like length in frames of that size, of which each has footage of its own in both sizes."""
    frames = round(seconds * FPS)
    cuts = [round(number * frames / clips) for number in range(clips + 1)]
    files = tuple(Rendition(server.url(f"{name}.mp4"), *each) for name, each in SIZES.items())
    footage = [Footage(f"drawn:{number}", seconds / clips + 1, "", "", "", files) for number in range(clips)]
    segments = tuple(
        Segment(number, cuts[number], cuts[number + 1] - cuts[number], footage[number]) for number in range(clips)
    )
    return Plan(frames, segments, (), *size)


def measure(arm: Arm, server: FileServer) -> float:
    """CPU seconds of ffmpeg for all clips of a plan."""
    plan, quality = arm
    settings = VideoSettings.read({"OUTPUTS_BUCKET": "outputs", "STATE_TABLE": "state", "STATE_MACHINE_ARN": "arn"})
    with tempfile.TemporaryDirectory(prefix="coldswap-bench-") as name:
        storage, scratch = FolderStorage(Path(name) / "buckets"), Path(name) / "step"
        scratch.mkdir()
        context = step_context(
            storage,
            ArtifactStore(storage, "outputs"),
            scratch,
            settings=replace(settings, trusted_origins=frozenset({server.origin}), threads=1),
            request=VideoRequest("", "", captions=False, quality=quality),
            deadline=Deadline.after(600),
        )
        before = _cpu()
        for segment in plan.segments:
            clip.make(segment, plan, VoiceOver("", plan.frames / FPS, (), True), context)
        return _cpu() - before


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(arms: Mapping[str, Arm], server: FileServer, repeats: int) -> dict[str, float]:
    """The least CPU seconds of each arm, over those of the first; they take turns."""
    runs: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(repeats):
        for name, arm in arms.items():
            runs[name].append(measure(arm, server))
    first = min(next(iter(runs.values())))
    return {name: min(each) / first for name, each in runs.items()}


def count_clips(seconds: float) -> list[int]:
    """Five, and one for every four and every three seconds."""
    return [MOST_CLIPS, *(min(MOST_SHOTS, round(seconds / each)) for each in (SHOT_SECONDS, SHORTEST))]


def main() -> None:
    """Measure, print and write."""
    with (
        form.parse_options("shots", __doc__, inputs=Path(), repeats=3, avx2=False) as options,
        tempfile.TemporaryDirectory(prefix="coldswap-bench-") as name,
        serving() as server,
    ):
        lengths = QUICK_LENGTHS if options.quick else LENGTHS
        for size, (width, height) in SIZES.items():
            path, longest = Path(name) / f"{size}.mp4", max(lengths) / MOST_CLIPS + 1
            file = draw(path, "-crf", "20", seconds=longest, rate=FPS, size=f"{width}x{height}")
            server.files[f"{size}.mp4"] = file.read_bytes()
        report: dict[str, dict[str, float]] = {}
        for seconds in lengths:
            arms: dict[str, Arm] = {
                f"{count} clips": (plan_of(seconds, count, server), "standard") for count in count_clips(seconds)
            }
            report[f"{seconds:.0f} s"] = compare(arms, server, options.repeats)
        sizes: dict[str, Arm] = {
            size: (plan_of(RESOLUTION_SECONDS, 1, server, pixels), "high") for size, pixels in SIZES.items()
        }
        report["resolutions"] = compare(sizes, server, options.repeats)
        text = json.dumps(
            {row: {arm: round(ratio, 3) for arm, ratio in ratios.items()} for row, ratios in report.items()}, indent=2
        )
        (options.out / "shots.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
