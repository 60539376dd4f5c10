"""The plan of a video without a spoken word: the voice-over is estimated, the footage really searched for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from functions.video.context import CallerContext
from functions.video.cost import dry_run_seconds, estimate_seconds, video_seconds
from functions.video.providers.interfaces import FootageService, VoiceTraits
from functions.video.render import footage
from functions.video.render.alignment import align_words, estimate_times, join_words
from functions.video.render.caption_letters import check_letters
from functions.video.render.plan import lay_out
from functions.video.render.script_chunks import chunk_script
from functions.video.render.script_markup import mask_pauses, speech_text
from functions.video.render.shots import find_queries
from functions.video.values import (
    FPS,
    SHORTEST_VIDEO_SECONDS,
    SearchResult,
    Segment,
    VideoRequest,
    VoiceOver,
    Word,
)
from layers.core.errors import InvalidRequest, ScriptTooLong


def estimate(
    request: VideoRequest,
    service: FootageService | None,
    voice: VoiceTraits,
    context: CallerContext,
    spend: Callable[[int], None],
) -> dict[str, Any]:
    """The plan as JSON; the video after it uses the same footage without another search.

    `voice` is what the voice service can do and costs; `spend` takes seconds of video from the caller's budget. Raises
    ScriptTooLong, InvalidRequest, NoFootage, and what `spend`, the store and the footage service raise.
    """
    text, most_seconds = speech_text(request.script_text, pauses=voice.obeys_breaks), context.settings.max_video_seconds
    script = mask_pauses(text)
    seconds = max(estimate_seconds(" ".join(script.split())), SHORTEST_VIDEO_SECONDS)
    if seconds > most_seconds:
        raise ScriptTooLong(f"The script takes about {seconds:.0f} s to speak; the limit is {most_seconds:.0f} s.")
    words = join_words([align_words(script, estimate_times(script, seconds), 0, 0.0, seconds)], seconds)
    if not words:
        raise InvalidRequest("The script has no words to speak.")
    key = footage.find(request, service, context, charge=lambda searches: spend(dry_run_seconds(searches)))
    result = context.artifacts.get(key, SearchResult, context.deadline)
    left_out = check_letters(request, script, context.services, context.deadline) if request.captions else ()
    speech = VoiceOver("", seconds, words, aligned=False)
    plan = lay_out(speech, result)
    return {
        "seconds": round(plan.frames / plan.fps, 2),
        "characters": len(text),
        **_speech_cost(request, voice, text, script),
        "budget_seconds": video_seconds(request.script_text),
        "query": result.query,
        "captions_left_out": list(left_out),
        "segments": [
            {
                "start": round(each.first_frame / plan.fps, 2),
                "seconds": round(each.frames / plan.fps, 2),
                "text": " ".join(word.text for word in words if each.first_frame <= _middle(word) < _end(each)),
                "terms": list(find_queries(speech, result.subjects, plan.frames, each)),
                "query": each.footage.query,
                "general": each.footage.general,
                "footage_url": each.footage.page_url,
                "photographer": each.footage.photographer,
                "photographer_url": each.footage.photographer_url,
                "source": each.footage.source,
            }
            for each in plan.segments
        ],
        "searches": [asdict(each) for each in plan.searches],
    }


def _speech_cost(request: VideoRequest, voice: VoiceTraits, text: str, script: str) -> dict[str, Any]:
    if request.voice_uri:
        return {"voice_service": None, "voice_usd": 0.0, "voice_requests": 0}
    requests = len(chunk_script(script, voice.longest_request))
    return {"voice_service": voice.title, "voice_usd": voice.price(len(text)), "voice_requests": requests}


def _middle(word: Word) -> float:
    """The frame in the middle of a word, which may be shown across a cut."""
    return (word.start + word.end) / 2 * FPS


def _end(segment: Segment) -> int:
    return segment.first_frame + segment.frames
