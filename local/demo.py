"""`make demo`: the whole stack on this machine swaps faces, also in memes that move, and makes two videos, into out/.

    python -m local.demo [--face PATH] [--meme PATH] [--gpu]

With a picture of your own it makes one swap, with the published pack, into out/custom.jpg. With --gpu the swapper runs
in the worker for GPUs, beside the local cloud.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from layers.core.deadline import Deadline
from local import moving_demo, swap_clients, video_client
from local.cloud import ROOT, STATE_FOLDER, Cloud, CloudFailed
from local.demo_music import write_music
from local.gpu_worker import create_secret, run_worker
from local.photo_check import looks_photographed
from local.providers import provider_environment
from local.publish_demo_pack import HINT, NAME, publish_demo_pack

if TYPE_CHECKING:
    from local.demo_pack.memes import DemoPicture

OUT = ROOT / "out"
# Face and meme by caller. All the faces of these memes are upright, so that the judge can grade each.
GRADED_SWAPS = {
    "http": ("ruby", "works-on-my-machine"),
    "upload": ("ivy", "friday"),
    "workflow": ("walter", "on-mute"),
}
UNGRADED_SWAPS = (
    ("noor", "paged"),
    ("walter", "the-bill"),
    ("ruby", "one-request"),
)  # over HTTP, for the contact sheet alone
LABELS = {"http": "POST /swap", "upload": "S3 upload", "workflow": "state machine"}


@dataclass
class Run:
    """A swap made by one caller, cold and then warm, how it was graded, and what went wrong."""

    face: str
    meme: str
    cold: swap_clients.SwapResponse | None = None
    warm: swap_clients.SwapResponse | None = None
    cos_source: float | None = None
    cos_target: float | None = None
    problems: list[str] = field(default_factory=list)


@dataclass
class VideoResult:
    """A short video: its length and the time it took, both in seconds, its size, and what went wrong, if anything; and
    the one made after it."""

    name: str
    seconds: float = 0.0
    took_s: float = 0.0
    bytes: int = 0
    problem: str | None = None
    other: VideoResult | None = None

    def describe(self) -> str:
        """One line for the terminal for each."""
        line = f"{self.name}: {self.seconds:.1f} s long, {self.bytes / 1e6:.1f} MB, made in {self.took_s:.1f} s"
        return f"{line}\n{self.other.describe()}" if self.other else line


class Progress:
    """Prints each step with the seconds since the start."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, doing: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {doing}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status is 0 when every swap and both videos succeeded."""
    parser = argparse.ArgumentParser(
        prog="make demo", description="Swap faces and make videos with the whole stack on this machine."
    )
    parser.add_argument("--face", type=Path, help="a picture of the face to put in")
    parser.add_argument("--meme", type=Path, help="the picture whose faces are replaced")
    parser.add_argument("--gpu", action="store_true", help="run the swapper in the worker for GPUs")
    options = parser.parse_args(arguments)
    for path in (options.face, options.meme):
        if path is not None and not path.is_file():
            print(f"There is no picture at {path}.", file=sys.stderr)
            return 2
    OUT.mkdir(exist_ok=True)
    try:
        return custom(options.face, options.meme) if options.face or options.meme else demo(options.gpu)
    except CloudFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def demo(gpu: bool = False) -> int:
    """Swap through all three callers, cold and warm, grade the results, make two videos; writes all of out/.

    With `gpu`, the swapper runs in the worker for GPUs.
    """
    say = Progress()
    runs = {caller: Run(*pair) for caller, pair in GRADED_SWAPS.items()}
    with provider_environment(os.environ) as providers, Cloud() as cloud, ExitStack() as worker:
        say("drawing faces and memes")
        pictures = draw_pictures(OUT / "pictures")
        say("deploying template.yaml to an emulated AWS")
        secret = create_secret(cloud) if gpu else ""
        cloud.deploy({"RemoteSwapper": secret}, environment=providers)
        say("publishing the demo pack")
        publish_demo_pack(cloud)
        if gpu:
            say(f"starting the worker for GPUs, on {worker.enter_context(run_worker(cloud, secret))}")
        for caller, run in runs.items():
            say(f"{LABELS[caller]}: {run.face} into {run.meme}, cold and warm")
            _run_caller(cloud, caller, run, pictures)
            if gpu and run.warm and not str(run.warm.result["engine"]).startswith("worker"):
                run.problems.append(f"{run.warm.result['engine']} ran the swapper, not the worker")
        say(f"{len(UNGRADED_SWAPS)} more swaps for the contact sheet")
        more = [_swap_over_http(cloud, face, meme, pictures) for face, meme in UNGRADED_SWAPS]
        say(f"POST /swap: {' and '.join(moving_demo.FACES)} into two memes that move, while the video is made")
        moving = moving_demo.start_moving(cloud, [pictures[face].path for face in moving_demo.FACES], OUT)
        video = _make_video(cloud, say)
        moving_demo.finish_moving(cloud, moving)
        failed = any(run.problems for run in runs.values()) or None in more or video.problem is not None
        failed = failed or any(swap.problem for swap in moving)
        if failed:
            shutil.copy(cloud.log, OUT / "cloud.log")
    say("grading the results with an independent embedder")
    for run in runs.values():
        _grade(run, pictures)
    _write_outputs(runs, more, pictures, video, moving)
    print("\n" + "\n".join([table(runs), "", video.describe(), *(swap.describe() for swap in moving)]) + "\n")
    problems = [f"{LABELS[caller]}: {each}" for caller, run in runs.items() for each in run.problems]
    problems += [f"video: {video.problem}"] if video.problem else []
    problems += [f"{swap.path.name}: {swap.problem}" for swap in moving if swap.problem]
    out = os.path.relpath(OUT)
    print(
        "\n".join(problems)
        or f"Open {out}/memes.jpg (the swaps), {out}/moving.gif and {out}/moving.mp4 (memes that move), "
        f"{out}/short.mp4 and {out}/names.mp4 (videos, each with its frames).\n"
        "To do the same with the mouse: make up, and open the page that it names.",
        flush=True,
    )
    if failed:
        print(f"The log is in {out}/cloud.log.")
    return 1 if problems or failed else 0


def custom(face: Path | None, meme: Path | None) -> int:
    """Swap the user's own pictures once; a drawn picture replaces the one that is missing."""
    say = Progress()
    with Cloud(keep=STATE_FOLDER) as cloud:
        say("deploying template.yaml to an emulated AWS")
        cloud.deploy()
        pack = publish_demo_pack(cloud)
        pictures = draw_pictures(OUT / "pictures") if face is None or meme is None else {}
        face, meme = face or pictures["ruby"].path, meme or pictures["works-on-my-machine"].path
        for picture in (face, meme):
            if pack == NAME and looks_photographed(picture):
                print(f"\n{picture} looks like a photograph. {HINT}", file=sys.stderr)
                return 1
        say(f"swapping with the pack {pack!r}")
        try:
            request = {"face": swap_clients.upload_form(cloud, face), "meme": swap_clients.upload_form(cloud, meme)}
            result = swap_clients.post(cloud, {**request, "format": "jpeg"})
        except swap_clients.CallFailed as error:
            print(f"\n{error} ({error.code})", file=sys.stderr)
            return 1
        (OUT / "custom.jpg").write_bytes(swap_clients.download(result["url"]))
    count, total = sum(each["swapped"] for each in result["faces"]), len(result["faces"])
    say(f"{count} of {total} face{'s' * (total != 1)} swapped: {os.path.relpath(OUT)}/custom.jpg")
    for note in result["notes"]:
        print(note)
    return 0


def draw_pictures(folder: Path) -> dict[str, DemoPicture]:
    """Draw the demo's faces and memes into the folder; the files by name."""
    from local.demo_pack.memes import draw_demo_pictures  # late: it imports OpenCV

    return {each.name: each for each in draw_demo_pictures(folder)}


def _run_caller(cloud: Cloud, caller: str, run: Run, pictures: dict[str, DemoPicture]) -> None:
    face, meme = pictures[run.face].path, pictures[run.meme].path
    cloud.force_cold_start()
    try:
        run.cold = swap_clients.CALLERS[caller](cloud, face, meme)
        run.warm = swap_clients.CALLERS[caller](cloud, face, meme)
    except swap_clients.CallFailed as error:
        run.problems.append(f"{error} ({error.code})")
        return
    (OUT / f"{caller}.jpg").write_bytes(run.warm.picture)
    count = sum(each["swapped"] for each in run.warm.result["faces"])
    if count != pictures[run.meme].faces:
        run.problems.append(f"{count} of {pictures[run.meme].faces} faces were swapped")


def _swap_over_http(
    cloud: Cloud, face: str, meme: str, pictures: dict[str, DemoPicture]
) -> swap_clients.SwapResponse | None:
    try:
        return swap_clients.http(cloud, pictures[face].path, pictures[meme].path)
    except swap_clients.CallFailed as error:
        print(f"{meme}: {error} ({error.code})", file=sys.stderr)
        return None


def _grade(run: Run, pictures: dict[str, DemoPicture]) -> None:
    """Add mean cosines of the result's faces: to the source, and to the faces that were there before."""
    if run.warm is None:
        return
    from local.demo_pack.judge import Judge

    files = [pictures[run.face].path.read_bytes(), pictures[run.meme].path.read_bytes(), run.warm.picture]
    grades = Judge.load().grade(*files)
    if grades is None:
        run.problems.append("no face was found in the result")
        return
    run.cos_source, run.cos_target = grades
    if run.cos_source <= run.cos_target:
        cosines = f"cosine {run.cos_target:.2f} against {run.cos_source:.2f}"
        run.problems.append(f"the result looks more like the target than the source ({cosines})")


def _make_video(cloud: Cloud, say: Progress) -> VideoResult:
    """Make two short videos: one of a script and a query alone, and one with music and boxed words."""
    music = write_music(OUT / "music.mp3", Deadline.after(60))
    cloud.client("s3").put_object(Bucket=cloud.bucket("models"), Key=f"music/{music.name}", Body=music.read_bytes())
    first = {"script_text": video_client.SCRIPT, "search_query": video_client.QUERY}
    second = {**video_client.NAMES, "music": {"name": music.name}}
    video = _make_short(cloud, "short", first, say)
    video.other = _make_short(cloud, "names", second, say)
    video.problem = video.problem or video.other.problem
    return video


def _make_short(cloud: Cloud, name: str, request: dict[str, Any], say: Progress) -> VideoResult:
    """Make a short video over HTTP, and fetch it with its poster and captions; a contact sheet of its frames."""
    began = time.monotonic()
    try:
        task = video_client.make_video(cloud, request, say, name)
        seconds = time.monotonic() - began
        files = {"video": f"{name}.mp4", "poster": f"{name}-poster.jpg", "srt": f"{name}.srt", "vtt": f"{name}.vtt"}
        for file, path in files.items():
            video_client.download_file(cloud, task, file, OUT / path)
        video_client.write_contact_sheet(OUT / f"{name}.mp4", task["seconds"], OUT / f"{name}.jpg")
    except swap_clients.CallFailed as error:
        return VideoResult(name, problem=f"{error} ({error.code})")
    return VideoResult(name, task["seconds"], seconds, (OUT / f"{name}.mp4").stat().st_size)


def _write_outputs(
    runs: dict[str, Run],
    more: list[swap_clients.SwapResponse | None],
    pictures: dict[str, DemoPicture],
    video: VideoResult,
    moving: list[moving_demo.MovingSwap],
) -> None:
    from local.contact_sheet import Card, draw_contact_sheet

    cards = []
    for caller, run in runs.items():
        if run.warm is not None:
            note = f"{LABELS[caller]} · {_faces(run.warm)} · {run.warm.seconds * 1000:.0f} ms"
            cards.append(Card(pictures[run.face].path, pictures[run.meme].path, OUT / f"{caller}.jpg", run.meme, note))
    for (face, meme), response in zip(UNGRADED_SWAPS, more, strict=True):
        if response is not None:
            path = OUT / "pictures" / "results" / f"{meme}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(response.picture)
            note = f"{LABELS['http']} · {_faces(response)} · {response.seconds * 1000:.0f} ms"
            cards.append(Card(pictures[face].path, pictures[meme].path, path, meme, note))
    draw_contact_sheet(cards, moving_demo.draw_strip(moving)).save(OUT / "memes.jpg", quality=90)
    report = {
        "callers": {caller: summary(run) for caller, run in runs.items()},
        "video": asdict(video),
        "moving": {swap.path.name: swap.report() for swap in moving},
    }
    (OUT / "demo.json").write_text(json.dumps(report, indent=2) + "\n")


def summary(run: Run) -> dict[str, Any]:
    """A caller's part of demo.json: times in milliseconds as the caller measured them, memory in MB."""
    responses = [response for response in (run.cold, run.warm) if response is not None]
    return {
        "ok": not run.problems,
        "cos_source": run.cos_source,
        "cos_target": run.cos_target,
        "cold_ms": round(run.cold.seconds * 1000, 1) if run.cold else None,
        "warm_ms": round(run.warm.seconds * 1000, 1) if run.warm else None,
        "peak_mb": max((response.result["peak_memory_mb"] for response in responses), default=None),
        "problems": run.problems,
    }


def table(runs: dict[str, Run]) -> str:
    """One line for each swap: caller, pictures, faces, cold or warm, milliseconds in all and by phase, peak memory."""
    rows = [("caller", "swap", "faces", "start", "ms", "slowest phases (ms)", "peak MB")]
    for caller, run in runs.items():
        for response in (run.cold, run.warm):
            if response is None:
                continue
            result = response.result
            phases = sorted(result["timings_ms"].items(), key=lambda phase: -phase[1])[:4]
            rows.append(
                (
                    LABELS[caller],
                    f"{run.face} into {run.meme}",
                    str(len(result["faces"])),
                    "cold" if result["cold_start"] else "warm",
                    f"{response.seconds * 1000:.0f}",
                    ", ".join(f"{name} {spent:.0f}" for name, spent in phases),
                    f"{result['peak_memory_mb']:.0f}",
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _faces(response: swap_clients.SwapResponse) -> str:
    count = len(response.result["faces"])
    return f"{count} face{'s' if count > 1 else ''}"


if __name__ == "__main__":
    sys.exit(main())
