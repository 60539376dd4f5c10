"""The voice-over: a script of any length spoken in parts, joined to the sample, with the time of every word."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from functions.video.settings import VideoSettings
from functions.video.speech import Alignment, Speech, evenly, joined_words, parts, words
from functions.video.values import VoiceOver, Word
from functions.video.work import Work
from layers.core.deadline import Deadline
from layers.core.errors import ProviderRefused, ScriptTooLong, UnreadableMedia
from layers.core.settings import MIB
from layers.media import ffmpeg

RATE = 44_100  # samples a second, mono, 16 bits
# Shorter than any service's limit: what breaks costs less, and every part that was paid for is kept.
LONGEST_PART = 2_500
HINT = 300  # characters around a part that its prosody is to fit
PAUSE, LAST_PAUSE = 0.3, 0.45  # seconds of silence that are left after a part, and after the script
LEAD = 0.05  # seconds of silence that are left before a part; MP3 encoders alone put about as much there
_SAMPLE = 2  # bytes
_BLOCK = RATE // 100  # samples that are looked at together
_SILENCE = 100  # of 32,767: -50 dB
_MOST_PART = 64 * MIB


class VoiceService(Protocol):
    """Who speaks."""

    name: str
    longest: int  # characters of one request

    @property
    def identity(self) -> Mapping[str, str]:
        """All that decides the sound beside voice and text."""

    def speak(self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline) -> Speech:
        """The text, said; `before` and `after` are what is said around it."""


@dataclass(frozen=True)
class _Spoken:
    """A part that was paid for, in the work store."""

    audio_key: str
    alignment: Alignment | None


def cut(text: str, longest: int) -> list[tuple[int, int]]:
    """First and last (exclusive) character of each part that is asked for by itself."""
    return parts(text, min(longest, LONGEST_PART))


def voice_over(
    text: str,
    voice_id: str,
    *,
    service: VoiceService,
    work: Work,
    folder: Path,
    deadline: Deadline,
    settings: VideoSettings,
) -> str:
    """The work key of a `VoiceOver`, made now or kept from before.

    Raises ScriptTooLong, UnreadableMedia, and what the service and ffmpeg raise.
    """
    if len(text) > settings.max_script_characters:
        raise ScriptTooLong(f"The script has {len(text)} characters; at most {settings.max_script_characters} are.")
    key = work.key("voice", "json", dict(service.identity), voice_id, text, LONGEST_PART, LEAD, PAUSE, LAST_PAUSE)
    if work.exists(key):
        return key
    spans = cut(text, service.longest)
    if not spans:
        raise ProviderRefused("There is nothing to say in this script.")
    found: list[list[Word]] = []
    samples, aligned = 0, True
    sound, piece = folder / "voice.pcm", folder / "part.pcm"
    with sound.open("wb") as whole:
        for number, (first, last) in enumerate(spans):
            spoken = _spoken(text, first, last, voice_id, service=service, work=work, deadline=deadline)
            _decode(spoken, piece, folder, work, deadline, settings)
            said, length = text[first:last], piece.stat().st_size // _SAMPLE
            real = spoken.alignment if spoken.alignment and spoken.alignment.fits(said, length / RATE) else None
            aligned = aligned and real is not None
            with piece.open("rb") as part:
                start, end = _audible(part)
                alignment = real or evenly(said, (end - start) / RATE, start / RATE)
                pause = LAST_PAUSE if number == len(spans) - 1 else PAUSE
                start = max(0, start - round(LEAD * RATE))
                end = min(length, end + round(pause * RATE))
                part.seek(start * _SAMPLE)
                _copy(part, whole, (end - start) * _SAMPLE)
            piece.unlink()
            found.append(words(said, alignment.earlier(start / RATE), first, samples / RATE, (end - start) / RATE))
            samples += end - start
            if samples > settings.max_video_seconds * RATE:
                raise ScriptTooLong(f"The script takes more than {settings.max_video_seconds:.0f} s to speak.")
    audio_key = key.removesuffix("json") + "flac"
    flac = folder / "voice.flac"
    raw = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", str(sound)]
    ffmpeg.run([*raw, "-c:a", "flac", "-map_metadata", "-1", str(flac)], deadline=deadline)
    sound.unlink()
    work.put_file(audio_key, flac, "audio/flac")
    flac.unlink()
    # Last, because whoever finds it goes on with all of it.
    work.put(key, VoiceOver(audio_key, samples / RATE, joined_words(found), aligned))
    return key


def _spoken(
    text: str, first: int, last: int, voice_id: str, *, service: VoiceService, work: Work, deadline: Deadline
) -> _Spoken:
    """A part, asked for at most once however often this is tried."""
    said, before, after = text[first:last], text[max(0, first - HINT) : first], text[last : last + HINT]
    key = work.key("speech", "json", dict(service.identity), voice_id, said, before, after)
    if work.exists(key):
        return work.get(key, _Spoken, deadline)
    speech = service.speak(said, voice_id=voice_id, before=before, after=after, deadline=deadline)
    audio_key = key.removesuffix("json") + "mp3"
    work.put_bytes(audio_key, speech.audio, "audio/mpeg")
    spoken = _Spoken(audio_key, speech.alignment)
    work.put(key, spoken)
    return spoken


def _decode(spoken: _Spoken, to: Path, folder: Path, work: Work, deadline: Deadline, settings: VideoSettings) -> None:
    """A part's sound as plain samples."""
    mp3 = folder / "part.mp3"
    work.get_file(spoken.audio_key, mp3, _MOST_PART, deadline)
    longest = f"{settings.max_video_seconds + 1:g}"  # of what must fit on the disk; more than it is refused later
    shape = ["-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-t", longest, "-f", "s16le"]
    ffmpeg.run([*ffmpeg.untrusted(mp3), *shape, str(to)], deadline=deadline)
    mp3.unlink()


def _audible(sound: Any) -> tuple[int, int]:
    """The first sample that is heard, and the one after the last, to a hundredth of a second."""
    heard: list[int] = []
    position = 0
    while piece := sound.read(_BLOCK * _SAMPLE):
        block = array("h", piece)
        if max(block) > _SILENCE or min(block) < -_SILENCE:
            heard = [*heard[:1], position + len(block)] if heard else [position, position + len(block)]
        position += len(block)
    if not heard:
        raise UnreadableMedia("The voice service's sound is empty.")
    return heard[0], heard[1]


def _copy(source: Any, to: Any, count: int) -> None:
    while count > 0 and (piece := source.read(min(count, MIB))):
        to.write(piece)
        count -= len(piece)
