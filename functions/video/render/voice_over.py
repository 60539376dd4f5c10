"""The voice-over: a script of any length spoken in parts, joined to the sample, with the time of every word."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from functions.video.artifacts import ArtifactStore
from functions.video.providers.client import Payment
from functions.video.providers.payments import Payments
from functions.video.render.speech import Alignment, Speech, evenly, joined_words, parts, words
from functions.video.settings import VideoSettings
from functions.video.values import VoiceOver, Word
from layers.core.deadline import Deadline
from layers.core.errors import ProviderRefused, ScriptTooLong, StorageFailed, UnreadableMedia
from layers.core.units import MIB
from layers.media import ffmpeg

RATE = 44_100  # samples a second, mono, 16 bits
# Shorter than any service's limit: what breaks costs less, and every part that was paid for is kept.
LONGEST_PART = 2_500
HINT = 300  # characters around a part that its prosody is to fit
PAUSE, LAST_PAUSE = 0.3, 0.45  # seconds of silence that are left after a part, and after the script
POLL_SECONDS = 2.0  # between two looks at whether another step's request was answered
STORE_WAITS = (1.0, 5.0, 15.0)  # seconds before speech that was paid for is given to a broken store again
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

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        """The text, said; `before` and `after` are what is said around it. Every request is counted by `payment`."""


@dataclass(frozen=True)
class _Part:
    """What one request asks for: a text, what is said around it, and by whom; and its key in the work store."""

    text: str
    before: str
    after: str
    voice_id: str
    key: str

    @property
    def audio_key(self) -> str:
        return self.key.removesuffix("json") + "mp3"

    @property
    def name(self) -> str:
        """The digest of it all."""
        return PurePosixPath(self.key).stem


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
    work: ArtifactStore,
    payments: Payments,
    folder: Path,
    deadline: Deadline,
    settings: VideoSettings,
    sleep: Callable[[float], None] = time.sleep,
) -> str:
    """The work key of a `VoiceOver`, made now or kept from before.

    Raises ScriptTooLong, UnreadableMedia, SpeechNotDelivered, and what the service, the payments and ffmpeg raise.
    """
    if len(text) > settings.max_script_characters:
        raise ScriptTooLong(f"The script has {len(text)} characters; at most {settings.max_script_characters} are.")
    key = work.key("voice", "json", dict(service.identity), voice_id, text, LONGEST_PART, LEAD, PAUSE, LAST_PAUSE)
    spans = cut(text, service.longest)
    if not spans:
        raise ProviderRefused("There is nothing to say in this script.")
    asked = [_part(text, first, last, voice_id, service, work) for first, last in spans]
    for part in asked:
        work.rely_on(part.key, part.audio_key)  # also where the whole is there already
    if work.reuse(key, VoiceOver, deadline, lambda voice: voice.audio_key):
        return key
    found: list[list[Word]] = []
    samples, aligned = 0, True
    sound, piece = folder / "voice.pcm", folder / "part.pcm"
    with sound.open("wb") as whole:
        for number, (first, last) in enumerate(spans):
            spoken = _spoken(
                asked[number], service=service, work=work, payments=payments, deadline=deadline, sleep=sleep
            )
            _decode(spoken, piece, folder, work, deadline, settings)
            said, length = text[first:last], piece.stat().st_size // _SAMPLE
            real = spoken.alignment if spoken.alignment and spoken.alignment.fits(said, length / RATE) else None
            aligned = aligned and real is not None
            with piece.open("rb") as raw:
                start, end = _audible(raw)
                alignment = real or evenly(said, (end - start) / RATE, start / RATE)
                pause = LAST_PAUSE if number == len(spans) - 1 else PAUSE
                start = max(0, start - round(LEAD * RATE))
                end = min(length, end + round(pause * RATE))
                raw.seek(start * _SAMPLE)
                _copy(raw, whole, (end - start) * _SAMPLE)
            piece.unlink()
            found.append(words(said, alignment.earlier(start / RATE), first, samples / RATE, (end - start) / RATE))
            samples += end - start
            if samples > settings.max_video_seconds * RATE:
                raise ScriptTooLong(f"The script takes more than {settings.max_video_seconds:.0f} s to speak.")
    # By its sound, which no service makes twice alike: what is made of this one is never taken for another's.
    with sound.open("rb") as joined:
        audio_key = work.key("voice", "flac", key, hashlib.file_digest(joined, "sha256").hexdigest())
    flac = folder / "voice.flac"
    samples_in = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", str(sound)]
    ffmpeg.run([*samples_in, "-c:a", "flac", "-map_metadata", "-1", str(flac)], deadline=deadline)
    sound.unlink()
    work.put_file(audio_key, flac, "audio/flac")
    flac.unlink()
    # Last, because whoever finds it goes on with all of it.
    work.put(key, VoiceOver(audio_key, samples / RATE, joined_words(found), aligned))
    return key


def _part(text: str, first: int, last: int, voice_id: str, service: VoiceService, work: ArtifactStore) -> _Part:
    spoken, before, after = text[first:last], text[max(0, first - HINT) : first], text[last : last + HINT]
    key = work.key("speech", "json", dict(service.identity), voice_id, spoken, before, after)
    return _Part(spoken, before, after, voice_id, key)


def _spoken(
    part: _Part,
    *,
    service: VoiceService,
    work: ArtifactStore,
    payments: Payments,
    deadline: Deadline,
    sleep: Callable[[float], None],
) -> _Spoken:
    """A part, asked for by one step at a time, however many need it; the others wait for what that one gets."""
    while True:
        if spoken := _load_part(part, work, deadline):
            return spoken
        with payments.claim(part.name) as payment:
            if payment is not None:
                # Between the look and the claim it may have come.
                return _load_part(part, work, deadline) or _buy_part(part, payment, service, work, deadline, sleep)
        deadline.check("waiting for speech that another video asked for")
        sleep(min(POLL_SECONDS, max(0.0, deadline.left())))


def _load_part(part: _Part, work: ArtifactStore, deadline: Deadline) -> _Spoken | None:
    return work.reuse(part.key, _Spoken, deadline, lambda spoken: spoken.audio_key)


def _buy_part(
    part: _Part,
    payment: Payment,
    service: VoiceService,
    work: ArtifactStore,
    deadline: Deadline,
    sleep: Callable[[float], None],
) -> _Spoken:
    """A part that is asked for now, and kept."""
    speech = service.speak(
        part.text, voice_id=part.voice_id, before=part.before, after=part.after, deadline=deadline, payment=payment
    )
    spoken = _Spoken(part.audio_key, speech.alignment)
    for wait in (*STORE_WAITS, None):
        try:
            work.put_bytes(part.audio_key, speech.audio, "audio/mpeg")
            work.put(part.key, spoken)
        except StorageFailed:
            # What is lost now would have to be paid for again.
            if wait is None or wait > deadline.left():
                raise
            sleep(wait)
        else:
            break
    return spoken


def _decode(
    spoken: _Spoken, to: Path, folder: Path, work: ArtifactStore, deadline: Deadline, settings: VideoSettings
) -> None:
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
