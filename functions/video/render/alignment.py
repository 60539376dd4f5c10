"""Speech as a voice service returns it, and the words of a script with the times at which they are spoken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from functions.video.render.script_chunks import word_spans
from functions.video.render.sentences import ends_clause, ends_sentence
from functions.video.values import Word

# Measured on English speech with its true times: half the error of times without pauses.
SENTENCE_LETTERS, CLAUSE_LETTERS = 5.0, 3.0
# No blank follows these.
WIDE_SENTENCE_STOPS, WIDE_CLAUSE_STOPS = "\u3002\uff01\uff1f", "\u3001\uff0c\uff1b\uff1a"
HESITATIONS = ("..", "\u2026", "!", "?")  # within a sentence, as in: Well... yes
SHORTEST_WORD = 0.06  # seconds between the starts of two words, so that each can be seen


@dataclass(frozen=True)
class Alignment:
    """When each character of a text is spoken, in seconds from its start; three sequences of one length."""

    characters: tuple[str, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]

    def shift_earlier(self, seconds: float) -> Alignment:
        """The same after that many seconds are cut off the beginning of the sound."""
        return Alignment(
            self.characters,
            tuple(time - seconds for time in self.starts),
            tuple(time - seconds for time in self.ends),
        )


@dataclass(frozen=True)
class Speech:
    """Sound as an MP3 file, and its alignment if there is one."""

    audio: bytes
    alignment: Alignment | None


def estimate_times(text: str, seconds: float, begin: float = 0.0) -> Alignment:
    """An alignment made without any: from `begin` on, each character takes a share of the time by its weight."""
    times = list(accumulate(letter_weights(text), initial=0.0))
    whole = times[-1] or 1.0
    places = [begin + time * seconds / whole for time in times]
    return Alignment(tuple(text), tuple(places[:-1]), tuple(places[1:]))


def letter_weights(text: str) -> list[float]:
    """About how long each character takes to speak, in letters: a pause follows a sentence or a clause."""
    return [_weight(text, at) for at in range(1, len(text) + 1)]


def _weight(text: str, at: int) -> float:
    """The weight of the character before this place."""
    letter, following = text[at - 1], text[at : at + 1]
    if following and letter in WIDE_SENTENCE_STOPS:
        return SENTENCE_LETTERS
    if following and letter in WIDE_CLAUSE_STOPS:
        return CLAUSE_LETTERS
    if letter.isspace() or not following.isspace():  # as within a number, or at the end of the sound
        return 1.0
    if ends_sentence(text, at):
        return SENTENCE_LETTERS
    return CLAUSE_LETTERS if ends_clause(text, at) or text[:at].endswith(HESITATIONS) else 1.0


def align_words(text: str, alignment: Alignment, first: int, offset: float, seconds: float) -> list[Word]:
    """The words of a chunk that begins at character `first` of the script, `offset` seconds into the voice-over, and
    lasts `seconds`.
    """
    words = []
    for begin, after in word_spans(text):
        # Services count a pause as time of the punctuation before it: a word lasts from its first letter to its last.
        letters = [at for at in range(begin, after) if text[at].isalnum()] or [begin, after - 1]
        start, end = alignment.starts[letters[0]], alignment.ends[letters[-1]]
        words.append(
            Word(
                text=text[begin:after],
                start=offset + min(max(start, 0.0), seconds),
                end=offset + min(max(end, start, 0.0), seconds),
                first=first + begin,
                last=first + after,
                ends_sentence=ends_sentence(text, after),
            )
        )
    return words


def join_words(chunks: Sequence[list[Word]], seconds: float) -> tuple[Word, ...]:
    """The words of all chunks, of a voice-over of that length; the last of the script ends a sentence, whatever its
    punctuation."""
    words = _space_out([word for chunk in chunks for word in chunk], seconds)
    return (*words[:-1], replace(words[-1], ends_sentence=True)) if words else ()


def _space_out(words: Sequence[Word], seconds: float) -> list[Word]:
    """The words, each shown for a moment at least: those whose times are one and the same follow each other."""
    gap = min(SHORTEST_WORD, seconds / max(len(words), 1))
    starts: list[float] = []
    for word in words:
        starts.append(max(word.start, starts[-1] + gap) if starts else word.start)
    latest = seconds
    for number in reversed(range(len(words))):
        latest = starts[number] = min(starts[number], latest - gap)
    ends = [*starts[1:], seconds][: len(starts)]
    return [
        replace(word, start=start, end=min(max(word.end, start + gap), following))
        for word, start, following in zip(words, starts, ends, strict=True)
    ]
