"""A short video made in three ways from the same clips:

    python -m tests.bench.video [--repeats N] [--quick]

Ours is compared with the pipeline of an earlier server, both without captions (in `old` each clip is cut to its slot
before it is converted, in `old_whole` it is not: that server's document leaves it open), and with what moviepy programs
do, both with captions; see video_peers.py. Every run is a fresh process, everything is fetched from stand-ins on this
machine, arms alternate, medians are reported, and the worst of the peaks. `wall_parallel` is the workflow's longest
chain (the voice, its slowest clip, the assembly and what the state machine itself takes) over all our steps one after
another, each of them alone on the machine; `wall_parallel_old` is the same chain over the old pipeline. Writes
out/bench/video.json.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.video.values import Plan
from local import video_client
from local.cloud import ROOT, Cloud
from local.standins import stock_footage as drawing
from local.standins.servers import StandIns
from tests.bench import form
from tests.bench.video_arm import Ours, VideoJob, as_job
from tests.support.video_client import VideoClient

SCRIPT = (
    "The sea is older than every map of it. Each wave that breaks on this shore set out days ago, from a storm that "
    "nobody on this beach will ever see. At night the water keeps the warmth of the day, and the city behind it keeps "
    "the light. Above both, the sky turns slowly, and stars that have long burned out are still arriving. Stand here "
    "for a while. Nothing will happen, and you will remember it for years."
)
QUERY = "sea night nature"


@dataclass(frozen=True)
class Film:
    """The video to make: its clips, and the short sides of the renditions that `old` and `peers` fetch, by name."""

    script: str
    clips: int
    short_sides: Mapping[str, int]
    workflow: tuple[str, str]  # script and query of the video by which the workflow's own time is measured
    executions: int  # of it, after a first that does all the work

    @property
    def short_sides_drawn(self) -> tuple[int, ...]:
        """Short sides of the renditions that an arm fetches: ours takes the smallest that covers the frame."""
        return (720, *self.short_sides.values())


FULL = Film(SCRIPT, 5, {"1080": 1080, "2160": 2160}, (video_client.SCRIPT, video_client.QUERY), 5)
LINE = "The sea is older than every map of it."
QUICK = Film(LINE, 1, {"1080": 720, "2160": 720}, (LINE, QUERY), 1)


def rendition_url(plan: Plan, index: int, short_side: int) -> str:
    """URL of a clip's footage in that size, or else in the largest smaller one."""
    fitting = [each for each in plan.segments[index].footage.renditions if min(each.width, each.height) <= short_side]
    return max(fitting, key=lambda each: each.width * each.height).url


def run(arm: str, job: dict[str, Any], standins: StandIns) -> dict[str, float]:
    """Run one fresh process; its cost, where `bytes` are those of footage files."""
    with tempfile.TemporaryDirectory() as folder:
        bucket = Path(job.get("bucket") or folder) / "bucket"
        job_file, cost_file = Path(folder) / "job.json", Path(folder) / "cost.json"
        job_file.write_text(as_job(**{**job, "bucket": str(bucket)}))
        before = sum(record.bytes_sent for record in standins.requests_to("files"))
        command = [sys.executable, "-m", "tests.bench.video_arm", arm, str(job_file), str(cost_file)]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if result.returncode:
            raise RuntimeError(f"the {arm} arm failed:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
        cost: dict[str, float] = json.loads(cost_file.read_text())
        return cost | {"bytes": sum(record.bytes_sent for record in standins.requests_to("files")) - before}


def lay_out(job: dict[str, Any], film: Film) -> Plan:
    """Make the plan that all arms follow, and draw its files beforehand."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Ours(VideoJob(**{**job, "bucket": folder}), Path(folder))
        plan = ours.plan()
        result = ours.search_result()
    if len(plan.segments) != film.clips:
        raise RuntimeError(f"the plan has {len(plan.segments)} clips of {len(result.footage)} footages")
    for segment in plan.segments:
        scene = next(each for each in drawing.SCENES if f"pexels:{each.id}" == segment.footage.id)
        for each in scene.renditions:
            if min(each.width, each.height) in film.short_sides_drawn:
                drawing.rendition_file(scene, each)
    return plan


def steps(job: dict[str, Any], standins: StandIns, clips: int, repeats: int) -> dict[str, dict[str, float]]:
    """Measure each of our steps in a process of its own, in the workflow's order, after those before it."""
    names = ["voice", "footage", "plan", *(f"clip:{index}" for index in range(clips)), "sound", "assemble"]
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as bucket:
            for name in names:
                runs[name].append(run(f"step:{name}", {**job, "bucket": bucket}, standins))
    return {
        name: {
            "seconds": statistics.median(each["seconds"] for each in costs),
            "cpu_s": statistics.median(each["cpu_s"] for each in costs),
            "peak_mb": max(each["peak_mb"] for each in costs),
        }
        for name, costs in runs.items()
    }


def orchestration(standins: StandIns, film: Film) -> float:
    """Measure seconds of the state machine and the function's entries alone: an execution on the local cloud whose
    steps have nothing left to do, because the same video was made before.
    """
    with Cloud() as cloud:
        cloud.deploy(environment=standins.environment)
        client, times = VideoClient(cloud, standins), []
        for _ in range(1 + film.executions):
            execution = client.wait_for_execution(client.start(*film.workflow, captions=False))
            if execution["status"] != "SUCCEEDED":
                raise RuntimeError(f"the workflow ended with {execution.get('error')}: {execution.get('cause')}")
            times.append((execution["stopDate"] - execution["startDate"]).total_seconds())
    return float(statistics.median(times[1:]))


def measure(repeats: int, film: Film) -> dict[str, Any]:
    """Measure all arms; costs and ratios."""
    with StandIns() as standins:
        job: dict[str, Any] = {
            "script": film.script,
            "query": QUERY,
            "voice_id": standins.environment["VOICE_ID"],
            "environment": standins.environment,
            "slots": {},
        }
        plan = lay_out({**job, "bucket": ""}, film)
        job["slots"] = {
            name: [(rendition_url(plan, segment.index, side), segment.frames / plan.fps) for segment in plan.segments]
            for name, side in film.short_sides.items()
        }
        arms = {"old": "old", "old_whole": "old_whole", "ours": "ours", "peers": "peers", "ours_captions": "ours"}
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
        for number in range(repeats):
            for name, arm in arms.items():
                if name == "peers" and number:
                    continue  # a minute of CPU each, and a hundredth of the difference
                print(f"run {number + 1} of {repeats}: {name}", flush=True)
                runs[name].append(run(arm, {**job, "captions": name == "ours_captions"}, standins))
        cost = {
            name: {what: statistics.median(each[what] for each in costs) for what in costs[0]}
            for name, costs in runs.items()
        }
        print("each step alone", flush=True)
        alone = steps({**job, "captions": True}, standins, film.clips, repeats)
        print("the workflow itself", flush=True)
        overhead = orchestration(standins, film)
    # The sound is made in parallel with the clips.
    slowest = max(each["seconds"] for name, each in alone.items() if name.startswith(("clip", "sound")))
    chain = alone["voice"]["seconds"] + slowest + alone["assemble"]["seconds"] + overhead
    serial = sum(each["seconds"] for each in alone.values())
    ours, old, whole, peers, with_captions = (
        cost[name] for name in ("ours", "old", "old_whole", "peers", "ours_captions")
    )
    return {
        "seconds_of_video": plan.frames / plan.fps,
        "clips": len(plan.segments),
        "ratios": {
            "cpu": round(ours["cpu_s"] / old["cpu_s"], 3),
            "cpu_old_whole": round(ours["cpu_s"] / whole["cpu_s"], 3),
            "bytes": round(ours["bytes"] / old["bytes"], 3),
            "wall_parallel": round(chain / serial, 3),
            "wall_parallel_old": round(chain / old["seconds"], 3),
            "cpu_peers": round(with_captions["cpu_s"] / peers["cpu_s"], 3),
            "bytes_peers": round(with_captions["bytes"] / peers["bytes"], 3),
        },
        "peak_step_mb": round(max(each["peak_mb"] for each in alone.values()), 1),
        "orchestration_s": round(overhead, 3),
        "arms": {name: {what: round(value, 3) for what, value in each.items()} for name, each in cost.items()},
        "steps": {name: {what: round(value, 3) for what, value in each.items()} for name, each in alone.items()},
    }


def main() -> None:
    """Measure, print and write."""
    # Its footage is kept where that of the demo is; ffmpeg is the same in every arm, so there is nothing to hold.
    with form.parse_options("video", __doc__, inputs=drawing.FOLDER, repeats=3, avx2=False) as options:
        report = measure(options.repeats, QUICK if options.quick else FULL)
        (options.out / "video.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"\na video of {report['seconds_of_video']:.0f} s from {report['clips']} clips")
    for name, each in report["arms"].items():
        size = f"{each['bytes'] / 1e6:6.1f} MB fetched, {each['size'] / 1e6:5.1f} MB made"
        print(f"{name:14} {each['cpu_s']:7.2f} CPU s  {each['seconds']:7.2f} s  {size}  peak {each['peak_mb']:.0f} MB")
    for name, each in report["steps"].items():
        print(f"  {name:12} {each['cpu_s']:7.2f} CPU s  {each['seconds']:7.2f} s  peak {each['peak_mb']:.0f} MB")
    print("over the naive arms: " + ", ".join(f"{name} {value}" for name, value in report["ratios"].items()))
    print(f"largest peak of a step: {report['peak_step_mb']} MB")


if __name__ == "__main__":
    main()
