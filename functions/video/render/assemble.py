"""The clips joined without touching their pictures, the voice at the loudness that the apps play at, and the labels."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from functions.video.artifacts import ArtifactStore
from functions.video.provenance import describe_video
from functions.video.settings import VideoSettings
from functions.video.values import Clip, Plan, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import EncodingFailed
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer
from layers.media.ffmpeg import run, untrusted
from layers.media.xmp_label import label_mp4

VERSION = 4  # of what this module makes: a part of every video's key
LOUDNESS = -14.0  # LUFS (EBU R 128), what YouTube and the short-video apps turn everything down to
TRUE_PEAK = -1.5  # dBTP, so that encoding does not clip
_QUIETEST = -70.0  # LUFS: what is below is silence and stays so


def join(
    plan: Plan,
    clips: Sequence[Clip],
    voice: VoiceOver,
    *,
    work: ArtifactStore,
    folder: Path,
    deadline: Deadline,
    settings: VideoSettings,
) -> str:
    """The key of the finished, labelled and signed MP4 in the work store, made unless it is there.

    Raises EncodingFailed (also where clips are missing), LabelFailed, StorageFull, StorageFailed or OutOfTime.
    """
    ordered = sorted(clips, key=lambda clip: clip.index)
    if [(clip.index, clip.frames) for clip in ordered] != [(each.index, each.frames) for each in plan.segments]:
        raise EncodingFailed("The clips are not those of the plan.")
    key = work.key("video", "mp4", VERSION, plan.frames, [clip.key for clip in ordered], voice.audio_key)
    if work.reuse_file(key):
        return key
    parts = [folder / f"part-{clip.index}.mp4" for clip in ordered]
    track, listed, output = folder / "voice.m4a", folder / "parts.txt", folder / "short.mp4"
    spoken = sound(voice, work=work, folder=folder, deadline=deadline, settings=settings)
    try:
        for clip, part in zip(ordered, parts, strict=True):
            work.get_file(clip.key, part, settings.max_clip_bytes, deadline)
        work.get_file(spoken, track, settings.max_clip_bytes, deadline)
        listed.write_text("".join(f"file {part.name}\n" for part in parts))
        arguments = [
            *("-f", "concat", "-i", str(listed), *untrusted(track), "-map", "0:v", "-map", "1:a", "-c", "copy"),
            *("-map_metadata", "-1", "-movflags", "+faststart", str(output)),
        ]
        run(arguments, deadline=deadline, threads=settings.threads)
        label_mp4(output)
        Signer(partial(signing_chain, settings.signing_key)).video(output, describe_video(ordered))
        work.put_file(key, output, "video/mp4")
    finally:
        for path in (*parts, track, listed, output):
            path.unlink(missing_ok=True)
    return key


def sound(voice: VoiceOver, *, work: ArtifactStore, folder: Path, deadline: Deadline, settings: VideoSettings) -> str:
    """The key of the voice as the video has it (AAC in MP4, stereo, 48 kHz), made unless it is there.

    It needs no clip, so the workflow has it made beside them. Raises EncodingFailed, StorageFull, StorageFailed or
    OutOfTime.
    """
    key = work.key("sound", "m4a", VERSION, voice.audio_key)
    if work.reuse_file(key):
        return key
    flac, output = folder / "voice.flac", folder / "sound.m4a"
    try:
        work.get_file(voice.audio_key, flac, settings.max_clip_bytes, deadline)
        level = normalisation(flac, deadline=deadline, threads=settings.threads)
        # At this rate speech needs no better search than the fast one, which takes a third of the time.
        aac = ["-c:a", "aac", "-aac_coder", "fast", "-b:a", "128k", "-map_metadata", "-1", "-f", "mp4"]
        arguments = [*untrusted(flac), "-vn", "-af", f"{level}aresample=48000", *aac, str(output)]
        run(arguments, deadline=deadline, threads=settings.threads)
        work.put_file(key, output, "audio/mp4")
    finally:
        for path in (flac, output):
            path.unlink(missing_ok=True)
    return key


def normalisation(voice: Path, *, deadline: Deadline, threads: int) -> str:
    """The filters that bring this sound, as two equal channels, to the loudness; each ends with a comma.

    One gain for all of it, and a limiter for the few peaks that would be too high. ffmpeg's loudnorm would level the
    whole, audibly, where a single peak is; and measuring with it costs ten times as much.
    """
    stereo = "aformat=channel_layouts=stereo,"
    arguments = [*untrusted(voice), "-af", f"{stereo}ebur128=peak=true:framelog=quiet", "-f", "null", "-"]
    said = run(arguments, deadline=deadline, threads=threads, loglevel="info").stderr
    loudness, peak = _measured("I", said), _measured("Peak", said)
    if not math.isfinite(loudness) or loudness < _QUIETEST:
        return stereo
    gain = LOUDNESS - loudness
    if peak + gain <= TRUE_PEAK:
        return f"{stereo}volume={gain:.2f}dB,"
    # Peaks between samples are higher than samples: the limiter works at four times the rate, as a meter does.
    ceiling = 10 ** (TRUE_PEAK / 20)
    limiter = f"alimiter=level=false:limit={ceiling:.4f}:attack=2:release=40:latency=true"
    return f"{stereo}volume={gain:.2f}dB,aresample=192000,{limiter},"


def _measured(what: str, said: str) -> float:
    """A value of ebur128's summary: LUFS or dBFS."""
    found = re.findall(rf"^\s+{what}:\s+(\S+) (?:LUFS|dBFS)$", said, re.MULTILINE)
    if not found:
        raise EncodingFailed("The loudness of the voice could not be measured.")
    return float(found[-1])
