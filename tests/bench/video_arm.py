"""One way of making the same video, or one step of ours, in a process of its own. video.py runs it:

    python -m tests.bench.video_arm ARM JOB.json COST.json

ARM is old, old_whole, peers, ours, or step:NAME. The measurement starts after the imports, as in a warm server
or sandbox: CPU seconds of this process and of the ffmpeg it starts, wall-clock seconds, and the sum
of the peak memory of this process and of its largest ffmpeg, although the peaks may not coincide.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.interfaces import Payment
from functions.video.providers.payments import Payments
from functions.video.providers.pexels import Pexels
from functions.video.render import assemble, caption_drawing, clip, footage, plan, voice_over
from functions.video.render.faces import FACES
from functions.video.settings import VideoSettings
from functions.video.values import Clip, Plan, SearchResult, VideoRequest, VoiceOver
from layers.core.deadline import Deadline
from layers.core.telemetry import peak_memory_mb
from tests.bench import video_peers
from tests.support.step_context import step_context

SECONDS = 600.0


@dataclass(frozen=True)
class VideoJob:
    """The video to make, and where the services are."""

    script: str
    query: str
    voice_id: str
    environment: dict[str, str]
    bucket: str  # a folder that outlives the process
    slots: dict[str, list[tuple[str, float]]]  # by rendition: the plan's clips as URL and seconds
    captions: bool = False


class Uncounted(Payments):
    """Payments that allow every request and count nothing."""

    def __init__(self) -> None:
        super().__init__("", lambda: None)

    @contextmanager
    def claim(self, part: str) -> Iterator[Payment]:
        yield self

    def spend(self) -> None:
        """Nothing is counted."""

    def refund(self) -> None:
        """Nothing is counted."""


class Ours:
    """The steps of the workflow, called as the function calls them, with every argument by name."""

    def __init__(self, job: VideoJob, folder: Path) -> None:
        self.job = job
        self.folder = folder
        self.settings = VideoSettings.read(
            {
                "OUTPUTS_BUCKET": "outputs",
                "STATE_TABLE": "state",
                "STATE_MACHINE_ARN": "arn",
                "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",  # as in template.yaml
                **job.environment,
            }
        )
        self.deadline = Deadline.after(SECONDS)
        storage = FolderStorage(Path(job.bucket))
        self.context: StepContext = step_context(
            storage,
            ArtifactStore(storage, "outputs"),
            folder,
            settings=self.settings,
            # No other arm shows a badge, and the old one's settings are those of a draft.
            request=VideoRequest(job.script, job.query, captions=job.captions, quality="draft"),
            deadline=self.deadline,
            payments=Uncounted(),
        )

    def voice(self) -> str:
        service = ElevenLabs(self.settings.elevenlabs_url, self.job.environment["ELEVENLABS_API_KEY"])
        return voice_over.make(self.job.voice_id, service, self.context)

    def footage(self) -> str:
        service = Pexels(self.settings.pexels_url, self.job.environment["PEXELS_API_KEY"])
        return footage.find(self.context.task.request, service, self.context)

    def search_result(self) -> SearchResult:
        return self.context.read(self.footage(), SearchResult)

    def plan(self) -> Plan:
        return plan.lay_out(self.voice_over(), self.search_result())

    def voice_over(self) -> VoiceOver:
        return self.context.read(self.voice(), VoiceOver)

    def clip(self, index: int) -> Clip:
        whole = self.plan()
        key = clip.make(whole.segments[index], whole, self.voice_over(), self.context)
        return self.context.read(key, Clip)

    def sound(self) -> str:
        return assemble.make_sound(self.voice_over(), self.context)

    def assemble(self) -> str:
        whole = self.plan()
        clips = [self.clip(index) for index in range(len(whole.segments))]
        return assemble.join(whole, clips, self.voice_over(), self.context)

    def film(self) -> Path:
        """Make the whole video; its path."""
        return Path(self.job.bucket) / "outputs" / self.assemble()


def run(arm: str, job: VideoJob, folder: Path) -> Path | None:
    """Run an arm; the finished video, if it makes one."""
    ours = Ours(job, folder)
    if arm.startswith("ours"):
        return ours.film()
    if arm.startswith("step:"):
        name, _, index = arm.removeprefix("step:").partition(":")
        step: Callable[..., Any] = getattr(ours, name)
        step(*([int(index)] if index else []))
        return None
    speech = folder / "speech.mp3"
    service = ElevenLabs(ours.settings.elevenlabs_url, job.environment["ELEVENLABS_API_KEY"])
    free = Uncounted()
    speech_response = service.speak(
        job.script, voice_id=job.voice_id, before="", after="", deadline=ours.deadline, payment=free
    )
    speech.write_bytes(speech_response.audio)
    if arm.startswith("old"):
        return video_peers.old(_slots(job, "1080"), speech, folder, cut=arm == "old")
    ass = folder / "captions.ass"
    laid = ours.plan()
    ass.write_text(caption_drawing.render_ass(ours.voice_over().words, 0, laid.frames))
    return video_peers.peers(_slots(job, "2160"), speech, ass, FACES["Roboto"].path.parent, folder)


def _slots(job: VideoJob, rendition: str) -> list[video_peers.Slot]:
    return [video_peers.Slot(url, seconds) for url, seconds in job.slots[rendition]]


def main(arm: str, job_path: str, cost_path: str) -> None:
    """Run the arm and write what it cost."""
    values = json.loads(Path(job_path).read_text())
    job = VideoJob(**values)
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), _cpu()
        film = run(arm, job, Path(folder))
        cost = {
            "seconds": time.perf_counter() - began,
            "cpu_s": _cpu() - cpu,
            "peak_mb": peak_memory_mb() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6,
            "size": film.stat().st_size if film else 0,
        }
    Path(cost_path).write_text(json.dumps(cost))


def _cpu() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def as_job(**values: Any) -> str:
    """A job as JSON."""
    return json.dumps(asdict(VideoJob(**values)))


if __name__ == "__main__":
    main(*sys.argv[1:])
