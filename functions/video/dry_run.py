"""What a video would be, without a word spoken: the voice-over is estimated, the footage really searched for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functions.video.artifacts import ArtifactStore
from functions.video.providers.elevenlabs import LONGEST
from functions.video.render.footage import FootageService, find
from functions.video.render.plan import lay_out
from functions.video.render.speech import evenly, spoken, words
from functions.video.render.voice_over import cut
from functions.video.settings import VideoSettings
from functions.video.values import SearchResult, VideoRequest, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import InvalidRequest, ScriptTooLong

# Of the caller's budget, in seconds of video, for a plan whose footage is really searched for: a search is up to six
# requests of the 200 that Pexels grants all callers together in an hour.
DRY_RUN_SECONDS = 5


def estimate(
    request: VideoRequest,
    *,
    service: FootageService,
    work: ArtifactStore,
    settings: VideoSettings,
    deadline: Deadline,
    spend: Callable[[int], None],
) -> dict[str, Any]:
    """The plan as JSON; the video after it finds the same footage without another search.

    `spend` takes from the caller's budget. Raises ScriptTooLong, InvalidRequest, NoFootage, and what `spend`, the store
    and the footage service raise.
    """
    script = request.script_text
    seconds = spoken(script)
    if seconds > settings.max_video_seconds:
        raise ScriptTooLong(
            f"The script takes about {seconds:.0f} s to speak; at most {settings.max_video_seconds:.0f} s."
        )
    said = tuple(words(script, evenly(script, seconds), 0, 0.0, seconds))
    if not said:
        raise InvalidRequest("There is nothing to say in this script.")
    key = find(
        request.search_query,
        service=service,
        work=work,
        deadline=deadline,
        settings=settings,
        charge=lambda: spend(DRY_RUN_SECONDS),
    )
    footage = work.get(key, SearchResult, deadline)
    plan = lay_out(VoiceOver("", seconds, said, aligned=False), footage)
    return {
        "seconds": round(plan.frames / plan.fps, 2),
        "characters": len(script),
        "voice_requests": len(cut(script, LONGEST)),
        "query": footage.query,
        "segments": [
            {
                "start": round(each.first_frame / plan.fps, 2),
                "seconds": round(each.frames / plan.fps, 2),
                "footage_url": each.footage.page_url,
                "photographer": each.footage.photographer,
                "photographer_url": each.footage.photographer_url,
            }
            for each in plan.segments
        ],
    }
