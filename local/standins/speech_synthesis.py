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
WORDS_A_MINUTE = 162
TAIL = RATE // 5  # samples of silence at the end, as the real service leaves some
_PAUSE = b"_"  # espeak-ng's phonemes of silence begin so

# From espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS = 2, 1
_BY_CHARACTER, _UTF8 = 1, 1
_END_OF_LIST, _WORD, _END, _PHONEME = 0, 1, 5, 7
_SPEED, _PITCH, _RANGE = 1, 3, 4

# The scripts that are spoken by another voice than English, by the beginning of their characters' Unicode names.
_LANGUAGES = {
    "CJK": "cmn", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "CYRILLIC": "ru", "GREEK": "el",
    "ARABIC": "ar", "HEBREW": "he", "DEVANAGARI": "hi", "BENGALI": "bn", "TAMIL": "ta", "THAI": "th",
}  # fmt: skip


class SpeechFailed(Exception):
    """espeak-ng or ffmpeg could not make the sound."""


@dataclass(frozen=True)
class CharacterTimes:
    """When each character of a text is heard, in seconds; a pause belongs to the punctuation and blanks in it."""

    characters: tuple[str, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]


@dataclass(frozen=True)
class Spoken:
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
class _Heard:
    """A word's first character, and the samples between which it sounds."""

    first: int
    start: int
    end: int | None = None


class _Engine:
    """espeak-ng keeps its state in globals: one text at a time."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), _PHONEME_EVENTS
        )
        if rate != RATE:
            raise SpeechFailed(f"espeak-ng did not start ({rate}).")
        self._callback = _Callback(self._take)  # the library keeps no reference of its own
        self._library.espeak_SetSynthCallback(self._callback)
        self._lock = threading.Lock()
        self._pcm = bytearray()
        self._heard: list[_Heard] = []

    def speak(self, text: str, timbre: Timbre, speed: float) -> tuple[bytes, list[_Heard]]:
        """The sound, and when its words begin and end. Raises SpeechFailed."""
        with self._lock:
            self._pcm, self._heard = bytearray(), []
            language = _language(text) or timbre.accent
            voice = f"{language}+{timbre.variant}" if timbre.variant else language
            if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
                raise SpeechFailed(f"espeak-ng has no voice {voice}.")
            self._library.espeak_SetParameter(_SPEED, round(WORDS_A_MINUTE * speed), 0)
            self._library.espeak_SetParameter(_PITCH, timbre.pitch, 0)
            self._library.espeak_SetParameter(_RANGE, 58, 0)
            data = text.encode()
            if self._library.espeak_Synth(data, len(data) + 1, 0, _BY_CHARACTER, 0, _UTF8, None, None) != 0:
                raise SpeechFailed("espeak-ng could not speak the text.")
            return bytes(self._pcm), self._heard

    def _take(self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if wave and count > 0:
            self._pcm += ctypes.string_at(wave, count * 2)
        index = 0
        while (event := events[index]).type != _END_OF_LIST:
            index += 1
            sounding = self._heard[-1] if self._heard and self._heard[-1].end is None else None
            if event.type == _WORD:
                if sounding:
                    sounding.end = event.sample
                self._heard.append(_Heard(event.text_position - 1, event.sample))
            elif sounding and (event.type == _END or (event.type == _PHONEME and event.name.startswith(_PAUSE))):
                sounding.end = event.sample
        return 0


_starting = threading.Lock()


def _engine() -> _Engine:
    """The process's one: a cache alone would let two first requests start it side by side, and the library crash."""
    with _starting:
        return _started()


@cache
def _started() -> _Engine:
    return _Engine()


def speak(text: str, timbre: Timbre | None = None, *, speed: float = 1.0) -> Spoken:
    """Speaks a text of any language that espeak-ng knows. Raises SpeechFailed."""
    # What espeak-ng would read as a command or an end is a blank to it, so that positions stay the text's own.
    plain = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    pcm, heard = _engine().speak(plain, timbre or Timbre(), speed)
    return Spoken(pcm + bytes(2 * TAIL), _align(text, heard, len(pcm) // 2))


def _align(text: str, heard: list[_Heard], samples: int) -> CharacterTimes:
    anchors = _in_order(heard, len(text), samples)
    starts: list[float] = []
    ends: list[float] = []
    for anchor, following in zip(anchors, [*anchors[1:], _Heard(len(text), samples, samples)], strict=True):
        piece = text[anchor.first : following.first]
        spoken = len(re.sub(r"[\W_]+\Z", "", piece)) or len(piece)
        end = min(max(anchor.end or following.start, anchor.start), following.start)
        _spread(starts, ends, spoken, anchor.start, end)
        _spread(starts, ends, len(piece) - spoken, end, following.start)
        if spoken == len(piece):
            ends[-1] = following.start / RATE
    return CharacterTimes(tuple(text), tuple(starts), tuple(ends))


def _in_order(heard: list[_Heard], characters: int, samples: int) -> list[_Heard]:
    """Words whose characters and times both go forward, the first of them from the text's first character."""
    kept: list[_Heard] = []
    for word in heard:
        if word.first < characters and (not kept or (word.first > kept[-1].first and word.start >= kept[-1].start)):
            kept.append(word)
    if not kept or kept[0].first > 0:
        kept.insert(0, _Heard(0, 0, kept[0].start if kept else samples))
    return kept if characters else []


def _spread(starts: list[float], ends: list[float], count: int, start: int, end: int) -> None:
    for index in range(count):
        starts.append((start + (end - start) * index / count) / RATE)
        ends.append((start + (end - start) * (index + 1) / count) / RATE)


def _language(text: str) -> str | None:
    counted: dict[str, int] = {}
    for character in text:
        name = unicodedata.name(character, "").partition(" ")[0]
        if language := _LANGUAGES.get(name):
            counted[language] = counted.get(language, 0) + 1
    letters = sum(character.isalpha() for character in text)
    if "ja" in counted:  # kana stands among Chinese characters
        return "ja"
    best = max(counted, key=lambda language: counted[language], default=None)
    return best if best and counted[best] * 2 > letters else None


def encode(spoken: Spoken, output_format: str) -> bytes:
    """The sound in one of ElevenLabs' formats (mp3_44100_128, pcm_16000 …). Raises SpeechFailed, or ValueError."""
    known = re.fullmatch(r"(mp3)_(\d+)_(\d+)|(pcm)_(\d+)", output_format)
    if not known:
        raise ValueError(output_format)
    rate = known[2] or known[5]
    as_mp3 = ["-codec:a", "libmp3lame", "-b:a", f"{known[3]}k", "-f", "mp3"]
    # A little warmth and level: the synthesiser's raw sound is thin.
    tone = "highpass=f=70,equalizer=f=220:t=q:w=1:g=2,equalizer=f=4200:t=q:w=1.2:g=-3,volume=1.5,alimiter=limit=0.9"
    return _ffmpeg(
        ["-f", "s16le", "-ar", str(RATE), "-ac", "1", "-i", "pipe:0", "-af", f"aresample={rate},{tone}"]
        + (as_mp3 if known[1] else ["-codec:a", "pcm_s16le", "-f", "s16le"])
        + ["pipe:1"],
        spoken.pcm,
    )


def _ffmpeg(arguments: list[str], data: bytes) -> bytes:
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", "error", *arguments]
    ran = subprocess.run(command, input=data, capture_output=True, check=False, timeout=120)
    if ran.returncode != 0:
        raise SpeechFailed(ran.stderr.decode(errors="replace")[-500:])
    return ran.stdout
