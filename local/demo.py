"""`make demo`: the whole stack on this machine swaps faces for all three callers and makes a video; results in out/.

    python -m local.demo [--face PATH] [--meme PATH]

With a picture of one's own it makes one swap with the pack that is published, into out/custom.jpg.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from local import swap_clients, video_client
from local.cloud import KEPT, ROOT, Cloud, CloudFailed
from local.photo_check import looks_photographed
from local.providers import provider_environment
from local.publish_demo_pack import HINT, NAME, publish_demo_pack

if TYPE_CHECKING:
    from local.demo_pack.memes import DemoPicture

OUT = ROOT / "out"
# Each caller's swap: face, meme. All the faces of these memes stand upright, so that the judge can grade each.
GRADED = {
    "http": ("ruby", "works-on-my-machine"),
    "upload": ("ivy", "friday"),
    "workflow": ("walter", "on-mute"),
}
MORE = (("noor", "paged"), ("walter", "the-bill"), ("ruby", "one-request"))  # over HTTP, for the sheet alone
LABELS = {"http": "POST /swap", "upload": "S3 upload", "workflow": "state machine"}


@dataclass
class Run:
    """What a caller saw."""

    face: str
    meme: str
    cold: swap_clients.SwapResponse | None = None
    warm: swap_clients.SwapResponse | None = None
    cos_source: float | None = None
    cos_target: float | None = None
    problems: list[str] = field(default_factory=list)


@dataclass
class Video:
    """The short video: how long it is and took in seconds, its bytes, and what went wrong, if anything."""

    seconds: float = 0.0
    took_s: float = 0.0
    bytes: int = 0
    problem: str | None = None

    def told(self) -> str:
        """One line."""
        return f"video: {self.seconds:.1f} s and {self.bytes / 1e6:.1f} MB, made in {self.took_s:.1f} s"


class Progress:
    """Lines that say what is being done, with the seconds since the start."""

    def __init__(self) -> None:
        self.began = time.monotonic()

    def __call__(self, doing: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {doing}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when every swap succeeded, and the video."""
    parser = argparse.ArgumentParser(prog="make demo", description="Swap faces with the whole stack on this machine.")
    parser.add_argument("--face", type=Path, help="a picture of the face to put in")
    parser.add_argument("--meme", type=Path, help="the picture whose faces are replaced")
    options = parser.parse_args(arguments)
    for path in (options.face, options.meme):
        if path is not None and not path.is_file():
            print(f"There is no picture at {path}.", file=sys.stderr)
            return 2
    OUT.mkdir(exist_ok=True)
    try:
        return custom(options.face, options.meme) if options.face or options.meme else demo()
    except CloudFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def demo() -> int:
    """All three callers, cold and warm, graded, and a short video; writes everything that out/ holds."""
    say = Progress()
    runs = {who: Run(*pair) for who, pair in GRADED.items()}
    with provider_environment(os.environ) as providers, Cloud() as cloud:
        say("drawing faces and memes")
        drawn = pictures(OUT / "pictures")
        say("deploying template.yaml to an emulated AWS")
        cloud.deploy(environment=providers)
        say("publishing the demo pack")
        publish_demo_pack(cloud)
        for who, run in runs.items():
            say(f"{LABELS[who]}: {run.face} into {run.meme}, cold and warm")
            _call(cloud, who, run, drawn)
        say(f"{len(MORE)} more for the contact sheet")
        more = [_extra(cloud, face, meme, drawn) for face, meme in MORE]
        video = _video(cloud, say)
        failed = any(run.problems for run in runs.values()) or None in more or video.problem is not None
        if failed:
            shutil.copy(cloud.log, OUT / "cloud.log")
    say("grading the results with an embedder that took no part")
    for run in runs.values():
        _grade(run, drawn)
    _write(runs, more, drawn, video)
    print("\n" + table(runs) + "\n\n" + video.told() + "\n")
    problems = [f"{LABELS[who]}: {each}" for who, run in runs.items() for each in run.problems]
    problems += [f"video: {video.problem}"] if video.problem else []
    out = os.path.relpath(OUT)
    print("\n".join(problems) or f"Look at {out}/memes.jpg and {out}/short.mp4 ({out}/short.jpg)", flush=True)
    if failed:
        print(f"The log is {os.path.relpath(OUT)}/cloud.log")
    return 1 if problems or failed else 0


def custom(face: Path | None, meme: Path | None) -> int:
    """One swap of the user's own pictures; a drawn one stands in for the one that is not given."""
    say = Progress()
    with Cloud(keep=KEPT) as cloud:
        say("deploying template.yaml to an emulated AWS")
        cloud.deploy()
        pack = publish_demo_pack(cloud)
        drawn = pictures(OUT / "pictures") if face is None or meme is None else {}
        face, meme = face or drawn["ruby"].path, meme or drawn["works-on-my-machine"].path
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
    swapped = sum(each["swapped"] for each in result["faces"])
    say(f"{swapped} of {len(result['faces'])} faces swapped: {os.path.relpath(OUT)}/custom.jpg")
    for note in result["notes"]:
        print(note)
    return 0


def pictures(folder: Path) -> dict[str, DemoPicture]:
    """The demo's faces and memes by their names, drawn into the folder."""
    from local.demo_pack.memes import draw_demo_pictures  # late: it brings OpenCV

    return {each.name: each for each in draw_demo_pictures(folder)}


def _call(cloud: Cloud, who: str, run: Run, drawn: dict[str, DemoPicture]) -> None:
    face, meme = drawn[run.face].path, drawn[run.meme].path
    cloud.chill()
    try:
        run.cold = swap_clients.CALLERS[who](cloud, face, meme)
        run.warm = swap_clients.CALLERS[who](cloud, face, meme)
    except swap_clients.CallFailed as error:
        run.problems.append(f"{error} ({error.code})")
        return
    (OUT / f"{who}.jpg").write_bytes(run.warm.picture)
    swapped = sum(each["swapped"] for each in run.warm.result["faces"])
    if swapped != drawn[run.meme].faces:
        run.problems.append(f"{swapped} of {drawn[run.meme].faces} faces were swapped")


def _extra(cloud: Cloud, face: str, meme: str, drawn: dict[str, DemoPicture]) -> swap_clients.SwapResponse | None:
    try:
        return swap_clients.http(cloud, drawn[face].path, drawn[meme].path)
    except swap_clients.CallFailed as error:
        print(f"{meme}: {error} ({error.code})", file=sys.stderr)
        return None


def _grade(run: Run, drawn: dict[str, DemoPicture]) -> None:
    """Mean cosines of the faces of the result: to the source, and to the faces that were there before."""
    if run.warm is None:
        return
    from local.demo_pack.judge import Judge

    files = [drawn[run.face].path.read_bytes(), drawn[run.meme].path.read_bytes(), run.warm.picture]
    grades = Judge.load().grade(*files)
    if grades is None:
        run.problems.append("no face is found in the result any more")
        return
    run.cos_source, run.cos_target = grades
    if run.cos_source <= run.cos_target:
        said = f"{run.cos_target:.2f}) than to the source ({run.cos_source:.2f})"
        run.problems.append(f"the result is nearer to the target ({said}")


def _video(cloud: Cloud, say: Progress) -> Video:
    """A short video over HTTP, fetched with its poster and captions, and a sheet of its frames."""
    began = time.monotonic()
    try:
        task = video_client.make(cloud, {"script_text": video_client.SCRIPT, "search_query": video_client.QUERY}, say)
        made = time.monotonic() - began
        files = {"video": "short.mp4", "poster": "poster.jpg", "srt": "short.srt", "vtt": "short.vtt"}
        for file, name in files.items():
            video_client.fetch(cloud, task, file, OUT / name)
        video_client.contact_sheet(OUT / "short.mp4", task["seconds"], OUT / "short.jpg")
    except swap_clients.CallFailed as error:
        return Video(problem=f"{error} ({error.code})")
    return Video(task["seconds"], made, (OUT / "short.mp4").stat().st_size)


def _write(
    runs: dict[str, Run], more: list[swap_clients.SwapResponse | None], drawn: dict[str, DemoPicture], video: Video
) -> None:
    from local.contact_sheet import Card, sheet

    cards = []
    for who, run in runs.items():
        if run.warm is not None:
            note = f"{LABELS[who]} · {_faces(run.warm)} · {run.warm.seconds * 1000:.0f} ms"
            cards.append(Card(drawn[run.face].path, drawn[run.meme].path, OUT / f"{who}.jpg", run.meme, note))
    for (face, meme), answer in zip(MORE, more, strict=True):
        if answer is not None:
            path = OUT / "pictures" / "results" / f"{meme}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(answer.picture)
            note = f"{LABELS['http']} · {_faces(answer)} · {answer.seconds * 1000:.0f} ms"
            cards.append(Card(drawn[face].path, drawn[meme].path, path, meme, note))
    sheet(cards).save(OUT / "memes.jpg", quality=90)
    report = {"callers": {who: summary(run) for who, run in runs.items()}, "video": asdict(video)}
    (OUT / "demo.json").write_text(json.dumps(report, indent=2) + "\n")


def summary(run: Run) -> dict[str, Any]:
    """A caller's part of demo.json: times in milliseconds as the caller saw them, memory in MB."""
    answers = [answer for answer in (run.cold, run.warm) if answer is not None]
    return {
        "ok": not run.problems,
        "cos_source": run.cos_source,
        "cos_target": run.cos_target,
        "cold_ms": round(run.cold.seconds * 1000, 1) if run.cold else None,
        "warm_ms": round(run.warm.seconds * 1000, 1) if run.warm else None,
        "peak_mb": max((answer.result["peak_memory_mb"] for answer in answers), default=None),
        "problems": run.problems,
    }


def table(runs: dict[str, Run]) -> str:
    """One line for each call: who, faces, cold or warm, milliseconds by phase, peak memory."""
    rows = [("who", "swap", "faces", "", "ms", "of which", "peak MB")]
    for who, run in runs.items():
        for answer in (run.cold, run.warm):
            if answer is None:
                continue
            result = answer.result
            phases = sorted(result["timings_ms"].items(), key=lambda phase: -phase[1])[:4]
            rows.append(
                (
                    LABELS[who],
                    f"{run.face} into {run.meme}",
                    str(len(result["faces"])),
                    "cold" if result["cold_start"] else "warm",
                    f"{answer.seconds * 1000:.0f}",
                    ", ".join(f"{name} {spent:.0f}" for name, spent in phases),
                    f"{result['peak_memory_mb']:.0f}",
                )
            )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def _faces(answer: swap_clients.SwapResponse) -> str:
    count = len(answer.result["faces"])
    return f"{count} face{'s' if count > 1 else ''}"


if __name__ == "__main__":
    sys.exit(main())
