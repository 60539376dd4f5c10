"""A voice-over that the caller recorded: its sound as it is, and times of the script's words, which are estimated."""

from __future__ import annotations

import sys

from functions.video.artifacts import recipe
from functions.video.context import StepContext
from functions.video.render import alignment, sentences
from functions.video.render.alignment import align_words, estimate_times, join_words
from functions.video.render.encoder import encoder_version
from functions.video.render.script_chunks import word_spans
from functions.video.render.script_markup import shown_text
from functions.video.render.sound_file import fetch_sound
from functions.video.render.voice_over import RATE, find_audible, store_flac
from functions.video.values import SHORTEST_VIDEO_SECONDS, VoiceOver
from layers.core.errors import InvalidRequest, ScriptTooLong
from layers.media.ffmpeg import run, untrusted_input

VERSION = 1  # raise it with code below that makes another voice-over of the same recording
_SAMPLE_BYTES = 2


def make(uri: str, context: StepContext) -> str:
    """The key of the VoiceOver of a recording of the task's script in the artifact store, made unless it exists.

    Raises ScriptTooLong, InvalidRequest, UnreadableMedia, and what `fetch_sound`, ffmpeg and the store raise.
    """
    artifacts, folder, most_seconds = context.artifacts, context.folder, context.settings.max_video_seconds
    recording, pcm = folder / "recording", folder / "voice.pcm"
    script = shown_text(context.task.request.script_text)
    try:
        digest = fetch_sound(uri, recording, context)
        modules = (sys.modules[__name__], alignment, sentences)
        key = artifacts.key(
            "voice", "json", "own", digest, script, list(word_spans(script)), encoder_version(), recipe(*modules)
        )
        if artifacts.reuse(key, VoiceOver, context.deadline, lambda voice: voice.audio_key):
            return key
        limit = f"{most_seconds + 1:g}"  # what must fit on the disk; more is refused below
        output = ["-map", "0:a:0", "-vn", "-ac", "1", "-ar", str(RATE), "-t", limit, "-f", "s16le", str(pcm)]
        run([*untrusted_input(recording), *output], deadline=context.deadline)
        seconds = pcm.stat().st_size / _SAMPLE_BYTES / RATE
        if seconds > most_seconds:
            raise ScriptTooLong(f"The recording takes more than {most_seconds:.0f} s.")
        if seconds < SHORTEST_VIDEO_SECONDS:
            raise InvalidRequest(f"The recording takes less than {SHORTEST_VIDEO_SECONDS:.0f} s.")
        with pcm.open("rb") as sound:
            start, end = (sample / RATE for sample in find_audible(sound))
        words = align_words(script, estimate_times(script, end - start, start), 0, 0.0, seconds)
        audio_key = artifacts.key("voice", "flac", key)
        store_flac(audio_key, pcm, context)
        voice = VoiceOver(audio_key, seconds, join_words([words], seconds), aligned=False, own=True)
        artifacts.put(key, voice)
    finally:
        for path in (recording, pcm):
            path.unlink(missing_ok=True)
    return key
