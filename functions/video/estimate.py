"""What a video would be, without a word spoken: the voice-over is estimated, the footage really searched for."""

from __future__ import annotations

from typing import Any

from functions.video.elevenlabs import LONGEST
from functions.video.footage import FootageService, look
from functions.video.plan import lay_out
from functions.video.settings import VideoSettings
from functions.video.speech import evenly, spoken, words
from functions.video.values import VideoRequest, VoiceOver
from functions.video.voice import cut
from layers.core.deadline import Deadline
from layers.core.errors import InvalidRequest, ScriptTooLong


def estimate(
    request: VideoRequest, *, service: FootageService, settings: VideoSettings, deadline: Deadline
) -> dict[str, Any]:
    """The plan as JSON. Raises ScriptTooLong, InvalidRequest, NoFootage, and what the footage service raises."""
    script = request.script_text
    seconds = spoken(script)
    if seconds > settings.max_video_seconds:
        raise ScriptTooLong(
            f"The script takes about {seconds:.0f} s to speak; at most {settings.max_video_seconds:.0f} s."
        )
    said = tuple(words(script, evenly(script, seconds), 0, 0.0, seconds))
    if not said:
        raise InvalidRequest("There is nothing to say in this script.")
    found = look(request.search_query, service=service, deadline=deadline, settings=settings)
    plan = lay_out(VoiceOver("", seconds, said, aligned=False), found)
    return {
        "seconds": round(plan.frames / plan.fps, 2),
        "characters": len(script),
        "voice_requests": len(cut(script, LONGEST)),
        "query": found.query,
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
