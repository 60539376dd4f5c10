"""The voice-over: a script of any length spoken in chunks, joined to the sample, with the time of every word."""

from __future__ import annotations

import hashlib
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from functions.video.artifacts import recipe
from functions.video.context import StepContext
from functions.video.providers.interfaces import Payment, VoiceService
from functions.video.render import alignment as alignment_module
from functions.video.render import alignment_repair, script_chunks, script_markup, sentences
from functions.video.render.alignment import Alignment, align_words, join_words
from functions.video.render.alignment_repair import repair
from functions.video.render.encoder import encoder_version
from functions.video.render.script_chunks import chunk_script
from functions.video.render.script_markup import mask_pauses, speech_text
from functions.video.values import SHORTEST_VIDEO_SECONDS, VoiceOver, Word
from layers.core.errors import ProviderRefused, ScriptTooLong, StorageFailed, UnreadableMedia
from layers.core.units import MIB
from layers.media import ffmpeg

VERSION = 2  # raise it with code below that joins speech in another way
RATE = 44_100  # samples a second, mono, 16 bits
CONTEXT_CHARACTERS = 300  # around a chunk, which its prosody is to fit
PAUSE, LAST_PAUSE = 0.3, 0.45  # seconds of silence after a chunk, and after the script
LEAD = 0.05  # seconds of silence that are left before a chunk; MP3 encoders alone put about as much there
POLL_SECONDS = 2.0  # between two looks at whether another step's request was answered
STORE_WAITS = (1.0, 5.0, 15.0)  # seconds before a broken store gets speech that was paid for again
_SAMPLE_BYTES = 2
_BLOCK = RATE // 100  # samples that are looked at together
_SILENCE = 100  # of 32,767: -50 dB
_MOST_CHUNK_BYTES = 64 * MIB
_NOT_IN_KEY = ("POLL_SECONDS", "STORE_WAITS", "_MOST_CHUNK_BYTES")  # waits, and a limit that only raises an error


@dataclass(frozen=True)
class _Chunk:
    """One request to the voice service: a text, the texts around it, and the voice; and its key in the store."""

    first: int  # character of the script without its markup
    text: str
    before: str
    after: str
    voice_id: str
    key: str

    @property
    def audio_key(self) -> str:
        return self.key.removesuffix("json") + "mp3"

    @property
    def digest(self) -> str:
        return PurePosixPath(self.key).stem


@dataclass(frozen=True)
class _SpokenChunk:
    """A chunk that was paid for, in the artifact store."""

    audio_key: str
    alignment: Alignment | None


@dataclass
class _Track:
    """The voice-over as far as it is joined: samples in a file, and the words in them."""

    file: IO[bytes]
    samples: int = 0
    words: list[list[Word]] = field(default_factory=list)
    aligned: bool = True


@dataclass(frozen=True)
class _Speaker:
    """A step that has chunks spoken, each by one step at a time; the others wait for what that one gets."""

    service: VoiceService
    context: StepContext
    sleep: Callable[[float], None]

    def speak(self, chunk: _Chunk) -> _SpokenChunk:
        """The chunk from the store, or requested now."""
        deadline = self.context.deadline
        while True:
            if spoken_chunk := self._load(chunk):
                return spoken_chunk
            with self.context.services.payments.claim(chunk.digest) as payment:
                if payment is not None:
                    # It may have been stored between the look and the claim.
                    return self._load(chunk) or self._buy(chunk, payment)
            deadline.check("waiting for speech that another video asked for")
            self.sleep(min(POLL_SECONDS, max(0.0, deadline.left())))

    def _load(self, chunk: _Chunk) -> _SpokenChunk | None:
        artifacts = self.context.artifacts
        return artifacts.reuse(chunk.key, _SpokenChunk, self.context.deadline, lambda value: value.audio_key)

    def _buy(self, chunk: _Chunk, payment: Payment) -> _SpokenChunk:
        artifacts, deadline = self.context.artifacts, self.context.deadline
        speech = self.service.speak(
            chunk.text,
            voice_id=chunk.voice_id,
            before=chunk.before,
            after=chunk.after,
            deadline=deadline,
            payment=payment,
        )
        spoken_chunk = _SpokenChunk(chunk.audio_key, speech.alignment)
        for wait in (*STORE_WAITS, None):
            try:
                artifacts.put_bytes(chunk.audio_key, speech.audio, "audio/mpeg")
                artifacts.put(chunk.key, spoken_chunk)
            except StorageFailed:
                # Speech that is lost now would have to be paid for again.
                if wait is None or wait > deadline.left():
                    raise
                self.sleep(wait)
            else:
                break
        return spoken_chunk


def make(
    voice_id: str, service: VoiceService, context: StepContext, sleep: Callable[[float], None] = time.sleep
) -> str:
    """The key of the VoiceOver of the task's script in the artifact store, made unless it exists.

    Raises ScriptTooLong, UnreadableMedia, SpeechNotDelivered, and what the service, the payments and ffmpeg raise.
    """
    artifacts, most_characters = context.artifacts, context.settings.max_script_characters
    if (characters := len(context.task.request.script_text)) > most_characters:
        raise ScriptTooLong(f"The script has {characters} characters; the limit is {most_characters}.")
    script = speech_text(context.task.request.script_text, pauses=service.obeys_breaks)
    spans = chunk_script(mask_pauses(script), service.longest_request)
    if not spans:
        raise ProviderRefused("The script has no words to speak.")
    chunks = [_chunk(script, first, last, voice_id, service, context) for first, last in spans]
    key = _key(script, chunks, context)
    for chunk in chunks:
        artifacts.rely_on(chunk.key, chunk.audio_key)  # also where the voice-over exists already
    if artifacts.reuse(key, VoiceOver, context.deadline, lambda voice: voice.audio_key):
        return key
    pcm = context.folder / "voice.pcm"
    speaker = _Speaker(service, context, sleep)
    with pcm.open("wb") as file:
        track = _Track(file)
        for chunk in chunks:
            _append(track, chunk, speaker.speak(chunk), LAST_PAUSE if chunk is chunks[-1] else PAUSE, context)
        _add_silence(track, round(SHORTEST_VIDEO_SECONDS * RATE) - track.samples)
    # By its sound, which no service makes twice alike: what is made of this one is never taken for another's.
    with pcm.open("rb") as sound:
        audio_key = artifacts.key("voice", "flac", key, hashlib.file_digest(sound, "sha256").hexdigest())
    store_flac(audio_key, pcm, context)
    # Last, because whoever finds it relies on all the rest.
    seconds = track.samples / RATE
    voice = VoiceOver(audio_key, seconds, join_words(track.words, seconds), track.aligned, service.identity)
    artifacts.put(key, voice)
    return key


def _key(script: str, chunks: Sequence[_Chunk], context: StepContext) -> str:
    """The voice-over's key; voice and service are in the chunks' own. A model decides, too, where words end."""
    makers = (alignment_module, alignment_repair, script_chunks, script_markup, sentences)
    modules = (sys.modules[__name__], *makers)
    return context.artifacts.key(
        "voice",
        "json",
        script,
        [chunk.key for chunk in chunks],
        list(script_chunks.word_spans(mask_pauses(script))),
        encoder_version(),
        recipe(*modules, without=_NOT_IN_KEY),
    )


def _chunk(script: str, first: int, last: int, voice_id: str, service: VoiceService, context: StepContext) -> _Chunk:
    """A chunk under a key of what its request holds and no more: nothing else may make anybody pay again."""
    text, before = script[first:last], script[max(0, first - CONTEXT_CHARACTERS) : first]
    after = script[last : last + CONTEXT_CHARACTERS]
    key = context.artifacts.key("speech", "json", service.identity, voice_id, text, before, after)
    return _Chunk(first, text, before, after, voice_id, key)


def _append(track: _Track, chunk: _Chunk, speech: _SpokenChunk, pause: float, context: StepContext) -> None:
    """Add a chunk's sound, with a pause in place of the silence after it, and its words. Raises ScriptTooLong."""
    pcm, most_seconds = context.folder / "chunk.pcm", context.settings.max_video_seconds
    _decode(speech, pcm, context)
    length = pcm.stat().st_size // _SAMPLE_BYTES
    offset, text = track.samples, mask_pauses(chunk.text)
    with pcm.open("rb") as sound:
        start, end = find_audible(sound)
        alignment, aligned = repair(speech.alignment, text, start / RATE, end / RATE, chunk.text)
        start, end = max(0, start - round(LEAD * RATE)), end + round(pause * RATE)
        sound.seek(start * _SAMPLE_BYTES)
        _copy(sound, track.file, (min(length, end) - start) * _SAMPLE_BYTES)
    pcm.unlink()
    track.samples += min(length, end) - start
    _add_silence(track, end - length)
    track.aligned = track.aligned and aligned
    alignment = alignment.shift_earlier(start / RATE)
    track.words.append(align_words(text, alignment, chunk.first, offset / RATE, (end - start) / RATE))
    if track.samples > most_seconds * RATE:
        raise ScriptTooLong(f"The script takes more than {most_seconds:.0f} s to speak.")


def _add_silence(track: _Track, samples: int) -> None:
    """Add that many silent samples; none where the number is not positive."""
    if samples > 0:
        track.file.write(bytes(samples * _SAMPLE_BYTES))
        track.samples += samples


def _decode(speech: _SpokenChunk, pcm: Path, context: StepContext) -> None:
    """Write a chunk's sound as plain samples."""
    mp3 = context.folder / "chunk.mp3"
    context.artifacts.get_file(speech.audio_key, mp3, _MOST_CHUNK_BYTES, context.deadline)
    longest = f"{context.settings.max_video_seconds + 1:g}"  # what must fit on the disk; more is refused later
    output = ["-map", "0:a:0", "-ac", "1", "-ar", str(RATE), "-t", longest, "-f", "s16le", str(pcm)]
    ffmpeg.run([*ffmpeg.untrusted_input(mp3), *output], deadline=context.deadline)
    mp3.unlink()


def store_flac(key: str, pcm: Path, context: StepContext) -> None:
    """Store the samples as FLAC; their file is removed."""
    flac = context.folder / "voice.flac"
    samples = ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", str(pcm)]
    ffmpeg.run([*samples, "-c:a", "flac", "-map_metadata", "-1", str(flac)], deadline=context.deadline)
    pcm.unlink()
    context.artifacts.put_file(key, flac, "audio/flac")
    flac.unlink()


def find_audible(sound: IO[bytes]) -> tuple[int, int]:
    """The first audible sample, and the one after the last, to a hundredth of a second."""
    audible: list[int] = []
    position = 0
    while data := sound.read(_BLOCK * _SAMPLE_BYTES):
        block = array("h", data)
        if max(block) > _SILENCE or min(block) < -_SILENCE:
            audible = [*audible[:1], position + len(block)] if audible else [position, position + len(block)]
        position += len(block)
    if not audible:
        raise UnreadableMedia("The speech is only silence.")
    return audible[0], audible[1]


def _copy(source: IO[bytes], target: IO[bytes], count: int) -> None:
    while count > 0 and (data := source.read(min(count, MIB))):
        target.write(data)
        count -= len(data)
