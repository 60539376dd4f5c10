"""The clips joined without touching their pictures, the voice at the loudness that the apps play at, and the labels."""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from functions.video.artifacts import recipe
from functions.video.context import StepContext
from functions.video.provenance import describe_video
from functions.video.render import music as music_module
from functions.video.render.encoder import encoder_version
from functions.video.render.music import CURVE_RATE, LIFT, MOST_GAIN, UNDER, gain_curve, mix_filters
from functions.video.render.sound_file import fetch_sound
from functions.video.values import Clip, Plan, VoiceOver
from layers.core.errors import EncodingFailed
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer, build_manifest
from layers.media.ffmpeg import escape, run, untrusted_input
from layers.media.xmp_label import label_mp4

VERSION = 2  # raise it with code below, or of the labels, that makes another sound or video
LOUDNESS = -14.0  # LUFS (EBU R 128); YouTube and the short-video apps turn everything down to it
TRUE_PEAK = -1.5  # dBTP, so that encoding does not clip
_SILENCE = -70.0  # LUFS: anything below is silence and stays silent
_GATE = -10.0  # LU below the mean: pauses, which do not count (EBU R 128)
_USUAL, _BURST = 0.75, 8.0  # share of all blocks, and LU above the loudest of those: a burst, which does not count
_STEREO = "aformat=channel_layouts=stereo,"
# Peaks between samples are higher than samples: the limiter works at four times the rate, as a meter does.
_LIMITER = "aresample=192000,alimiter=level=false:limit={ceiling:.4f}:attack=2:release=40:latency=true,"
_QUICK_LIMITER = "alimiter=level=false:limit={ceiling:.4f}:attack=2:release=40:latency=true,"  # for measuring
_CORRECTIONS, _CLOSE_ENOUGH = 2, 0.75  # of the gain at most, and the error in dB after which there is not another
_RESAMPLE = "aresample=48000"
# At this rate speech needs no better search than the fast one, which takes a third of the time.
_AAC = ("-c:a", "aac", "-aac_coder", "fast", "-b:a", "128k", "-map_metadata", "-1", "-f", "mp4")
_STREAMS = ("-map", "0:v", "-map", "1:a", "-c", "copy", "-map_metadata", "-1", "-movflags", "+faststart")


def join(
    plan: Plan, clips: Sequence[Clip], voice: VoiceOver, context: StepContext, sound_key: str | None = None
) -> str:
    """The key of the finished, labelled and signed MP4 in the artifact store, made unless it exists; `sound_key` is
    that of the step that made the sound.

    Raises EncodingFailed (also where clips are missing), LabelFailed, StorageFull, StorageFailed or OutOfTime.
    """
    artifacts, settings, folder = context.artifacts, context.settings, context.folder
    clips = sorted(clips, key=lambda clip: clip.index)
    if [(clip.index, clip.frames) for clip in clips] != [(each.index, each.frames) for each in plan.segments]:
        raise EncodingFailed("The clips do not match the plan.")
    sound_key = sound_key or make_sound(voice, context)
    provenance = describe_video(clips, voice.speaker, own_voice=voice.own, music=bool(context.task.request.music))
    key = artifacts.key(
        "video",
        "mp4",
        [clip.key for clip in clips],
        sound_key,
        build_manifest(provenance),
        settings.signing_key,
        recipe(sys.modules[__name__]),
    )
    if artifacts.reuse_file(key):
        return key
    parts = [folder / f"part-{clip.index}.mp4" for clip in clips]
    track, parts_list, output = folder / "voice.m4a", folder / "parts.txt", folder / "short.mp4"
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
    """The key of the voice as the video has it (AAC in MP4, stereo, 48 kHz), with the request's music, made unless it
    exists.

    It needs no clip, so the workflow makes it beside them. Raises EncodingFailed, StorageFull, StorageFailed or
    OutOfTime, and with music what `fetch_sound` raises, and UnreadableMedia.
    """
    artifacts, settings, deadline, folder = context.artifacts, context.settings, context.deadline, context.folder
    uri = context.task.request.music
    flac, bed, curve, output = (folder / name for name in ("voice.flac", "music", "curve.raw", "sound.m4a"))
    try:
        digest = fetch_sound(uri, bed, context) if uri else None
        inputs = (voice.words, recipe(music_module)) if digest else ()
        key = artifacts.key(
            "sound", "m4a", voice.audio_key, encoder_version(), recipe(sys.modules[__name__]), digest, inputs
        )
        if artifacts.reuse_file(key):
            return key
        artifacts.get_file(voice.audio_key, flac, settings.max_clip_bytes, deadline)
        filters = _loudness_filters(flac, context)
        if digest:
            curve.write_bytes(array("f", (each for each in gain_curve(voice.words, voice.seconds) for _ in "LR")))
            arguments = [*_mix_arguments(flac, bed, curve, filters, context), *_AAC, str(output)]
        else:
            arguments = [*untrusted_input(flac), "-vn", "-af", filters + _RESAMPLE, *_AAC, str(output)]
        run(arguments, deadline=deadline, threads=settings.threads)
        artifacts.put_file(key, output, "audio/mp4")
    finally:
        for path in (flac, bed, curve, output):
            path.unlink(missing_ok=True)
    return key


def _mix_arguments(flac: Path, bed: Path, curve: Path, voice_filters: str, context: StepContext) -> list[str]:
    """ffmpeg's arguments, except for the output's, for the voice with music that begins anew where it is too short."""
    loudness, _peak = _measure(bed, f"atrim=end={context.settings.max_video_seconds:g},", context)
    gain = min(MOST_GAIN, LOUDNESS - UNDER + LIFT - loudness) if loudness > _SILENCE else 0.0
    limiter = _LIMITER.format(ceiling=10 ** (TRUE_PEAK / 20))
    curve_input = ["-f", "f32le", "-ar", str(CURVE_RATE), "-ac", "2", "-i", str(curve)]
    graph = mix_filters(voice_filters, gain, limiter, _RESAMPLE)
    inputs = [*untrusted_input(flac), "-stream_loop", "-1", *untrusted_input(bed), *curve_input]
    return [*inputs, "-filter_complex", graph, "-map", "[out]", "-vn"]


def _loudness_filters(voice: Path, context: StepContext) -> str:
    """The filters that bring this sound, as two equal channels, to LOUDNESS; each ends with a comma.

    They are one gain for all of it, and a limiter for the few peaks that would be too high. ffmpeg's loudnorm would
    audibly level the whole where a single peak is too high; and measuring with it costs ten times as much.
    """
    loudness, peak = _measure(voice, "", context)
    if loudness < _SILENCE:
        return _STEREO
    gain = LOUDNESS - loudness
    if peak + gain <= TRUE_PEAK:
        return f"{_STEREO}volume={gain:.2f}dB,"
    ceiling = 10 ** (TRUE_PEAK / 20)
    # What the limiter takes away is not heard, so the loudness that counts is the one after it.
    for _ in range(_CORRECTIONS):
        loudness, _peak = _measure(voice, f"volume={gain:.2f}dB,{_QUICK_LIMITER.format(ceiling=ceiling)}", context)
        error = LOUDNESS - loudness
        gain += error
        if abs(error) < _CLOSE_ENOUGH:
            break
    return f"{_STEREO}volume={gain:.2f}dB,{_LIMITER.format(ceiling=ceiling)}"


def _measure(voice: Path, filters: str, context: StepContext) -> tuple[float, float]:
    """Loudness of the speech in LUFS, and true peak in dBFS, after those filters; with filters the peak is 0."""
    peak = "" if filters else "peak=true:"
    blocks = context.folder / "loudness.txt"
    meter = f"ebur128={peak}metadata=1:framelog=quiet,ametadata=print:key=lavfi.r128.M:file={escape(blocks)}"
    arguments = [*untrusted_input(voice), "-vn", "-af", f"{_STEREO}{filters}{meter}", "-f", "null", "-"]
    try:
        log = run(arguments, deadline=context.deadline, threads=context.settings.threads, loglevel="info")
        values = [
            float(line.rpartition("=")[2]) for line in blocks.read_text().splitlines() if line.startswith("lavfi")
        ]
    finally:
        blocks.unlink(missing_ok=True)
    return _speech_loudness(values), _read_peak(log) if peak else 0.0


def _speech_loudness(blocks: Sequence[float]) -> float:
    """Loudness in LUFS of overlapping blocks of 0.4 s (EBU R 128, with its two gates), without bursts; -inf of silence.

    A burst is what is far louder than nearly all the rest. The relative gate would take the speech beside it for
    silence.
    """
    audible = sorted(each for each in blocks if each > _SILENCE)
    if not audible:
        return -math.inf
    usual = audible[int(_USUAL * (len(audible) - 1))]
    speech = [each for each in audible if each <= usual + _BURST]
    gate = _mean_loudness(speech) + _GATE
    return _mean_loudness([each for each in speech if each >= gate])


def _mean_loudness(blocks: Sequence[float]) -> float:
    return 10 * math.log10(math.fsum(10 ** (each / 10) for each in blocks) / len(blocks))


def _read_peak(log: str) -> float:
    """The true peak of ebur128's summary in dBFS. Raises EncodingFailed."""
    values = re.findall(r"^\s+Peak:\s+(\S+) dBFS$", log, re.MULTILINE)
    if not values:
        raise EncodingFailed("The loudness of the voice could not be measured.")
    return float(values[-1])
