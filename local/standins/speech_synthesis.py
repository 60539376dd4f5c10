"""Speech by espeak-ng, with the time of every character, as ElevenLabs gives it."""

from __future__ import annotations

import ctypes
import re
import subprocess
import threading
import unicodedata
from dataclasses import dataclass
from functools import cache

RATE = 22_050  # samples a second, espeak-ng's own
WORDS_PER_MINUTE = 162
TAIL = RATE // 5  # samples of silence at the end, as the real service leaves some
_PAUSE = b"_"  # espeak-ng's phonemes of silence begin so

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1
_BY_CHARACTER, _UTF8 = 1, 1
_END_OF_LIST, _WORD, _END, _PHONEME = 0, 1, 5, 7
_SPEED, _PITCH, _RANGE = 1, 3, 4

# espeak-ng's voices for scripts other than Latin, by the first word of their characters' Unicode names.
_LANGUAGES = {
    "CJK": "cmn", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CYRILLIC": "ru", "GREEK": "el",
    "ARABIC": "ar", "HEBREW": "he", "DEVANAGARI": "hi", "BENGALI": "bn", "TAMIL": "ta", "THAI": "th",
}  # fmt: skip


class SpeechFailed(Exception):
    """espeak-ng or ffmpeg failed."""


@dataclass(frozen=True)
class CharacterTimes:
    """When each character of a text sounds, in seconds; a pause belongs to the punctuation and blanks in it."""

    characters: tuple[str, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]


@dataclass(frozen=True)
class SynthesizedSpeech:
    """Mono sound, signed 16 bits little-endian at RATE, and its alignment."""

    pcm: bytes
    alignment: CharacterTimes

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / RATE


@dataclass(frozen=True)
class Timbre:
    """A voice: espeak-ng's variant of a language, and its pitch (0 to 100)."""

    variant: str = ""
    pitch: int = 46
    accent: str = "en-us"


class _Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # from 1, in characters
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass
class _WordTiming:
    """A word's first character, and the samples at which it starts and ends."""

    first: int
    start: int
    end: int | None = None


class _EspeakEngine:
    """espeak-ng, which keeps its state in globals: one text at a time."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _PHONEME_EVENTS
        )
        if rate != RATE:
            raise SpeechFailed(f"espeak-ng did not start ({rate}).")
        self._callback = _Callback(self._collect)  # the library keeps no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)
        self._lock = threading.Lock()
        self._pcm = bytearray()
        self._words: list[_WordTiming] = []

    def speak(self, text: str, timbre: Timbre, speed: float) -> tuple[bytes, list[_WordTiming]]:
        """Speak a text; the sound, and when its words start and end. Raises SpeechFailed."""
        with self._lock:
            self._pcm, self._words = bytearray(), []
            language = _detect_language(text) or timbre.accent
            voice = f"{language}+{timbre.variant}" if timbre.variant else language
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise SpeechFailed(f"espeak-ng has no voice {voice}.")
            self._library.espeak_SetParameter(_SPEED, round(WORDS_PER_MINUTE * speed), 0)
            self._library.espeak_SetParameter(_PITCH, timbre.pitch, 0)
            self._library.espeak_SetParameter(_RANGE, 58, 0)
            data = text.encode()
            if self._library.espeak_Synth(data, len(data) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None) != 0:
                raise SpeechFailed("espeak-ng could not speak the text.")
            return bytes(self._pcm), self._words

    def _collect(self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if wave and count > 0:
            self._pcm += ctypes.string_at(wave, count * 2)
        index = 0
        while (event := events[index]).type != _END_OF_LIST:
            index += 1
            current = self._words[-1] if self._words and self._words[-1].end is None else None
            if event.type == _WORD:
                if current:
                    current.end = event.sample
                self._words.append(_WordTiming(event.text_position - 1, event.sample))
            elif current and (event.type == _END or (event.type == _PHONEME and event.name.startswith(_PAUSE))):
                current.end = event.sample
        return 0


_start_lock = threading.Lock()


def _get_engine() -> _EspeakEngine:
    """The process's only engine. A cache alone would let two first requests start it at once, and the library crash."""
    with _start_lock:
        return _load_engine()


@cache
def _load_engine() -> _EspeakEngine:
    return _EspeakEngine()


def speak(text: str, timbre: Timbre | None = None, *, speed: float = 1.0) -> SynthesizedSpeech:
    """Speak a text in any language of espeak-ng. Raises SpeechFailed."""
    # Control characters, which espeak-ng takes for commands or an end, become blanks, so that positions stay the same.
    plain = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    pcm, words = _get_engine().speak(plain, timbre or Timbre(), speed)
    return SynthesizedSpeech(pcm + bytes(2 * TAIL), _align(text, words, len(pcm) // 2))


def _align(text: str, words: list[_WordTiming], samples: int) -> CharacterTimes:
    anchors = _sort_words(words, len(text), samples)
    starts: list[float] = []
    ends: list[float] = []
    for anchor, following in zip(anchors, [*anchors[1:], _WordTiming(len(text), samples, samples)], strict=True):
        text_part = text[anchor.first : following.first]
        voiced = len(re.sub(r"[\W_]+\Z", "", text_part)) or len(text_part)
        end = min(max(anchor.end or following.start, anchor.start), following.start)
        _append_times(starts, ends, voiced, anchor.start, end)
        _append_times(starts, ends, len(text_part) - voiced, end, following.start)
        if voiced == len(text_part):
            ends[-1] = following.start / RATE
    return CharacterTimes(tuple(text), tuple(starts), tuple(ends))


def _sort_words(words: list[_WordTiming], characters: int, samples: int) -> list[_WordTiming]:
    """Words in an order in which characters and times both increase; the first starts at the first character."""
    ordered: list[_WordTiming] = []
    for word in words:
        if word.first < characters and (
            not ordered or (word.first > ordered[-1].first and word.start >= ordered[-1].start)
        ):
            ordered.append(word)
    if not ordered or ordered[0].first > 0:
        ordered.insert(0, _WordTiming(0, 0, ordered[0].start if ordered else samples))
    return ordered if characters else []


def _append_times(starts: list[float], ends: list[float], count: int, start: int, end: int) -> None:
    for index in range(count):
        starts.append((start + (end - start) * index / count) / RATE)
        ends.append((start + (end - start) * (index + 1) / count) / RATE)


def _detect_language(text: str) -> str | None:
    counts: dict[str, int] = {}
    for character in text:
        name = unicodedata.name(character, "").partition(" ")[0]
        if language := _LANGUAGES.get(name):
            counts[language] = counts.get(language, 0) + 1
    letters = sum(character.isalpha() for character in text)
    if "ja" in counts:  # Japanese mixes kana with Chinese characters
        return "ja"
    best = max(counts, key=lambda language: counts[language], default=None)
    return best if best and counts[best] * 2 > letters else None


def encode(speech: SynthesizedSpeech, output_format: str) -> bytes:
    """Encode the sound in a format of ElevenLabs (mp3_44100_128, pcm_16000 …). Raises SpeechFailed or ValueError."""
    match = re.fullmatch(r"(mp3)_(\d+)_(\d+)|(pcm)_(\d+)", output_format)
    if not match:
        raise ValueError(output_format)
    rate = match[2] or match[5]
    as_mp3 = ["-codec:a", "libmp3lame", "-b:a", f"{match[3]}k", "-f", "mp3"]
    # Some warmth and level: the synthesiser's raw sound is thin.
    tone = "highpass=f=70,equalizer=f=220:t=q:w=1:g=2,equalizer=f=4200:t=q:w=1.2:g=-3,volume=1.5,alimiter=limit=0.9"
    return _ffmpeg(
        ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0", "-af", f"aresample={rate},{tone}"]
        + (as_mp3 if match[1] else ["-codec:a", "pcm_s16le", "-f", "s16le"])
        + ["pipe:1"],
        speech.pcm,
    )


def _ffmpeg(arguments: list[str], data: bytes) -> bytes:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", *arguments]
    result = subprocess.run(command, input=data, capture_output=True, check=False, timeout=120)
    if result.returncode != 0:
        raise SpeechFailed(result.stderr.decode(errors="replace")[-500:])
    return result.stdout
