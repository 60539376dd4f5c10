"""What a request wants shown with which words: queries, scenes, or what the script's own sentences are about."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from functions.video.render.filmable import find_terms
from functions.video.render.query_locale import guess_locale
from functions.video.render.script_chunks import word_spans
from functions.video.render.script_markup import shown_text
from functions.video.render.sentences import ends_sentence
from functions.video.values import OWN, Footage, Rendition, Scene, Subject, VideoRequest

VERSION = 1  # raise it with code below that wants other things shown
_WHOLE_SCENE = 1e6  # seconds: how long an own clip lasts is known when it is fetched, and it fills its scene anyway

Sentence = tuple[str, int]  # with the number of its words


def list_subjects(request: VideoRequest) -> tuple[Subject, ...]:
    """The subjects of the whole script, in its order; empty where one query is for all of it."""
    if request.scenes:
        return _list_scenes(request.scenes)
    if isinstance(request.search_query, str):
        return ()
    sentences = split_sentences(shown_text(request.script_text))
    if request.search_query is None:
        return _find_subjects(sentences)
    return _spread(request.search_query, sentences)


def split_sentences(text: str) -> list[Sentence]:
    """The sentences of a text without markup."""
    sentences: list[Sentence] = []
    first, count, last = 0, 0, 0
    for begin, last in word_spans(text):
        first, count = (first, count + 1) if count else (begin, 1)
        if ends_sentence(text, last):
            sentences.append((text[first:last], count))
            count = 0
    return [*sentences, (text[first:last], count)] if count else sentences


def _find_subjects(sentences: Sequence[Sentence]) -> tuple[Subject, ...]:
    text = " ".join(sentence for sentence, _ in sentences)
    terms = find_terms([sentence for sentence, _ in sentences], english=guess_locale(text) is None)
    return tuple(Subject(count, each) for (_, count), each in zip(sentences, terms, strict=True))


def _spread(queries: Sequence[str], sentences: Sequence[Sentence]) -> tuple[Subject, ...]:
    """Queries spread over sentences by characters, in their order; over words where there are fewer sentences."""
    if len(sentences) < len(queries):
        sentences = [(word, 1) for sentence, _ in sentences for word in _split_words(sentence)]
    if len(sentences) == len(queries):
        return tuple(Subject(count, (query,)) for query, (_, count) in zip(queries, sentences, strict=True))
    whole = sum(len(sentence) for sentence, _ in sentences)
    words = [0] * len(queries)
    position = 0.0
    for sentence, count in sentences:
        middle = position + len(sentence) / 2
        words[min(int(middle / whole * len(queries)), len(queries) - 1)] += count
        position += len(sentence)
    return tuple(Subject(count, (query,)) for query, count in zip(queries, words, strict=True) if count)


def _split_words(sentence: str) -> list[str]:
    return [sentence[first:last] for first, last in word_spans(sentence)]


def _list_scenes(scenes: Sequence[Scene]) -> tuple[Subject, ...]:
    texts = [split_sentences(shown_text(scene.text)) for scene in scenes]
    # Terms are found with the whole script in view, because that has the topic.
    terms = iter(_find_subjects([sentence for sentences in texts for sentence in sentences]))
    subjects: list[Subject] = []
    for number, (scene, sentences) in enumerate(zip(scenes, texts, strict=True), 1):
        own_terms = [next(terms) for _ in sentences]
        words = sum(count for _, count in sentences)
        if scene.clip is not None:
            subjects.append(Subject(words, own=_own_footage(scene.clip, number), ends_scene=True))
        elif scene.search_query is not None:
            subjects.append(Subject(words, (scene.search_query,), ends_scene=True))
        else:
            last = own_terms[-1]
            subjects += [*own_terms[:-1], Subject(last.words, last.queries, ends_scene=True)]
    return tuple(subjects)


def _own_footage(uri: str, number: int) -> Footage:
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return Footage(
        id=f"{OWN}:{number}:{digest}",
        seconds=_WHOLE_SCENE,
        page_url=uri,
        photographer="",
        photographer_url="",
        renditions=(Rendition(uri, 0, 0),),
        source=OWN,
    )
