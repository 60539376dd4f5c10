"""The clips joined without touching their pictures, the voice at the loudness that the apps play at, and the labels."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from functions.video.artifacts import recipe
from functions.video.context import StepContext
from functions.video.provenance import describe_video
from functions.video.render.encoder import encoder_version
from functions.video.values import Clip, Plan, VoiceOver
from layers.core.errors import EncodingFailed
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer, build_manifest
from layers.media.ffmpeg import run, untrusted_input
from layers.media.xmp_label import label_mp4

VERSION = 1  # raise it with code below, or of the labels, that makes another sound or video
LOUDNESS = -14.0  # LUFS (EBU R 128); YouTube and the short-video apps turn everything down to it
TRUE_PEAK = -1.5  # dBTP, so that encoding does not clip
_SILENCE = -70.0  # LUFS: anything below is silence and stays silent
_STEREO = "aformat=channel_layouts=stereo,"
# Peaks between samples are higher than samples: the limiter works at four times the rate, as a meter does.
_LIMITER = "aresample=192000,alimiter=level=false:limit={ceiling:.4f}:attack=2:release=40:latency=true,"
_RESAMPLE = "aresample=48000"
# At this rate speech needs no better search than the fast one, which takes a third of the time.
_AAC = ("-c:a", "aac", "-aac_coder", "fast", "-b:a", "128k", "-map_metadata", "-1", "-f", "mp4")
_STREAMS = ("-map", "0:v", "-map", "1:a", "-c", "copy", "-map_metadata", "-1", "-movflags", "+faststart")


def join(plan: Plan, clips: Sequence[Clip], voice: VoiceOver, context: StepContext) -> str:
    """The key of the finished, labelled and signed MP4 in the artifact store, made unless it exists.

    Raises EncodingFailed (also where clips are missing), LabelFailed, StorageFull, StorageFailed or OutOfTime.
    """
    artifacts, settings, folder = context.artifacts, context.settings, context.folder
    clips = sorted(clips, key=lambda clip: clip.index)
    if [(clip.index, clip.frames) for clip in clips] != [(each.index, each.frames) for each in plan.segments]:
        raise EncodingFailed("The clips do not match the plan.")
    provenance = describe_video(clips, voice.speaker)
    key = artifacts.key(
        "video",
        "mp4",
        [clip.key for clip in clips],
        _sound_key(voice, context),
        build_manifest(provenance),
        settings.signing_key,
        recipe(sys.modules[__name__]),
    )
    if artifacts.reuse_file(key):
        return key
    parts = [folder / f"part-{clip.index}.mp4" for clip in clips]
    track, parts_list, output = folder / "voice.m4a", folder / "parts.txt", folder / "short.mp4"
    sound_key = make_sound(voice, context)
    try:
        for clip, part in zip(clips, parts, strict=True):
            artifacts.get_file(clip.key, part, settings.max_clip_bytes, context.deadline)
        artifacts.get_file(sound_key, track, settings.max_clip_bytes, context.deadline)
        parts_list.write_text("".join(f"file {part.name}\n" for part in parts))
        inputs = ["-f", "concat", "-i", str(parts_list), *untrusted_input(track)]
        run([*inputs, *_STREAMS, str(output)], deadline=context.deadline, threads=settings.threads)
        label_mp4(output)
        Signer(partial(signing_chain, settings.signing_key)).sign_video(output, provenance)
        artifacts.put_file(key, output, "video/mp4")
    finally:
        for path in (*parts, track, parts_list, output):
            path.unlink(missing_ok=True)
    return key


def make_sound(voice: VoiceOver, context: StepContext) -> str:
    """The key of the voice as the video has it (AAC in MP4, stereo, 48 kHz), made unless it exists.

    It needs no clip, so the workflow makes it beside them. Raises EncodingFailed, StorageFull, StorageFailed or
    OutOfTime.
    """
    artifacts, settings, deadline = context.artifacts, context.settings, context.deadline
    key = _sound_key(voice, context)
    if artifacts.reuse_file(key):
        return key
    flac, output = context.folder / "voice.flac", context.folder / "sound.m4a"
    try:
        artifacts.get_file(voice.audio_key, flac, settings.max_clip_bytes, deadline)
        filters = _loudness_filters(flac, context) + _RESAMPLE
        arguments = [*untrusted_input(flac), "-vn", "-af", filters, *_AAC, str(output)]
        run(arguments, deadline=deadline, threads=settings.threads)
        artifacts.put_file(key, output, "audio/mp4")
    finally:
        for path in (flac, output):
            path.unlink(missing_ok=True)
    return key


def _sound_key(voice: VoiceOver, context: StepContext) -> str:
    return context.artifacts.key("sound", "m4a", voice.audio_key, encoder_version(), recipe(sys.modules[__name__]))


def _loudness_filters(voice: Path, context: StepContext) -> str:
    """The filters that bring this sound, as two equal channels, to LOUDNESS; each ends with a comma.

    They are one gain for all of it, and a limiter for the few peaks that would be too high. ffmpeg's loudnorm would
    audibly level the whole where a single peak is too high; and measuring with it costs ten times as much.
    """
    meter = [*untrusted_input(voice), "-af", f"{_STEREO}ebur128=peak=true:framelog=quiet", "-f", "null", "-"]
    log = run(meter, deadline=context.deadline, threads=context.settings.threads, loglevel="info")
    loudness, peak = _read_meter("I", log), _read_meter("Peak", log)
    if not math.isfinite(loudness) or loudness < _SILENCE:
        return _STEREO
    gain = LOUDNESS - loudness
    limiter = _LIMITER.format(ceiling=10 ** (TRUE_PEAK / 20)) if peak + gain > TRUE_PEAK else ""
    return f"{_STEREO}volume={gain:.2f}dB,{limiter}"


def _read_meter(name: str, log: str) -> float:
    """A value of ebur128's summary: LUFS or dBFS. Raises EncodingFailed."""
    values = re.findall(rf"^\s+{name}:\s+(\S+) (?:LUFS|dBFS)$", log, re.MULTILINE)
    if not values:
        raise EncodingFailed("The loudness of the voice could not be measured.")
    return float(values[-1])
