"""Keys of intermediate files: whatever changes a result changes its key, and nothing makes anybody pay again."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest

from coldswap.folder_storage import FolderStorage
from functions.video import provenance
from functions.video.artifacts import ArtifactStore, constants, recipe
from functions.video.context import StepContext
from functions.video.render import (
    alignment,
    alignment_repair,
    assemble,
    caption_design,
    caption_drawing,
    caption_text,
    captions,
    clip,
    clip_files,
    continuation,
    encoder,
    faces,
    filmable,
    font_files,
    footage,
    framing,
    large_fonts,
    long_words,
    music,
    own_clip,
    own_file,
    own_font,
    phrases,
    picture_format,
    poster,
    script_chunks,
    script_markup,
    scripts,
    search_cache,
    sentences,
    sound_file,
    still_picture,
    typesetting,
)
from functions.video.render import footage_download as download
from functions.video.render import voice_over as voice
from functions.video.settings import VideoSettings
from functions.video.values import (
    CaptionStyle,
    Clip,
    Footage,
    Plan,
    Rendition,
    Segment,
    VideoRequest,
    VoiceIdentity,
    VoiceOver,
)
from layers.core.deadline import Deadline
from tests.support.step_context import step_context
from tests.unit.video.fixtures import SETTINGS, soon
from tests.unit.video.scripts import SCRIPT, voice_over

T = TypeVar("T")

SPEAKER = VoiceIdentity("fake", "m1", "mp3")
SEA = Footage("fake:1", 9.0, "https://p.example/1", "Ann", "", (Rendition("https://f.example/1", 720, 1280),), "Fake")
PLAN = Plan(60, (Segment(0, 0, 60, SEA),), ())
CLIP = Clip("work/clip/1.mp4", 0, 60, SEA, 1000)
VOICE = replace(voice_over(), speaker=SPEAKER)
REQUEST = VideoRequest(SCRIPT, "sea", badge=True)


class CompleteStore(ArtifactStore):
    """A store in which everything exists already, so that a step returns its key at once."""

    def reuse_file(self, key: str) -> bool:
        return True

    def reuse(self, key: str, kind: type[T], deadline: Deadline, media: Callable[[T], str] | None = None) -> T | None:
        return kind.__new__(kind)


class FakeProvider:
    """A voice and footage service that gets no request."""

    name, longest_request, identity, obeys_breaks = "fake", 1000, SPEAKER, True

    def speak(self, text: str, **_: Any) -> Any:
        raise AssertionError("everything exists already")

    def search(self, query: str, **_: Any) -> Any:
        raise AssertionError("everything exists already")


PROVIDER = FakeProvider()


@dataclass(frozen=True)
class Inputs:
    """The inputs of all steps."""

    request: VideoRequest = REQUEST
    settings: VideoSettings = SETTINGS
    service: FakeProvider = PROVIDER
    voice_id: str = "v"
    plan: Plan = PLAN
    clip: Clip = CLIP
    voice: VoiceOver = VOICE
    video_key: str = "work/video/1.mp4"


INPUTS = Inputs()


def context_of(inputs: Inputs) -> StepContext:
    folder = Path("nothing-is-written")
    storage = FolderStorage(folder)
    return step_context(
        storage,
        CompleteStore(storage, "outputs"),
        folder,
        settings=inputs.settings,
        request=inputs.request,
        deadline=soon(),
    )


STEPS: dict[str, tuple[ModuleType, Callable[[Inputs, StepContext], str]]] = {
    "voice": (voice, lambda each, context: voice.make(each.voice_id, each.service, context)),
    "footage": (footage, lambda each, context: footage.find(each.request, each.service, context)),
    "clip": (clip, lambda each, context: clip.make(each.plan.segments[0], each.plan, each.voice, context)),
    "sound": (assemble, lambda each, context: assemble.make_sound(each.voice, context)),
    "video": (assemble, lambda each, context: assemble.join(each.plan, [each.clip], each.voice, context)),
    "poster": (poster, lambda each, context: poster.make(each.video_key, each.plan, context)),
}


def key_of(step: str, inputs: Inputs = INPUTS) -> str:
    return STEPS[step][1](inputs, context_of(inputs))


def modules_of(module: ModuleType) -> set[ModuleType]:
    """The module, and those that it imports of the modules that make things, directly or not."""
    names = {
        str(getattr(value, "__module__", None) or getattr(value, "__name__", "")) for value in vars(module).values()
    }
    makers = {name for name in names if name.startswith(("functions.video.render.", "functions.video.provenance"))}
    imported = {sys.modules[name] for name in makers if name != module.__name__}
    return {module}.union(*(modules_of(each) for each in imported))


# Constants that change nothing in a result, and why.
HARMLESS: dict[tuple[str, ModuleType], dict[str, str]] = {
    **{
        ("footage", module): dict.fromkeys(constants(module), "what is to be shown when is in the key itself")
        for module in (filmable, phrases, script_chunks, script_markup, scripts, sentences)
    },
    ("voice", voice): {
        "POLL_SECONDS": "a wait",
        "STORE_WAITS": "waits",
        "_MOST_CHUNK_BYTES": "a limit that only raises an error",
    },
    ("voice", phrases): dict.fromkeys(constants(phrases), "where words begin and end is in the key itself"),
    ("voice", scripts): dict.fromkeys(constants(scripts), "where words begin and end is in the key itself"),
    ("clip", clip): {"FETCH_SECONDS": "a time-out"},
    ("clip", font_files): {"_MOST_BYTES": "a limit that only raises an error"},
    ("clip", own_font): dict.fromkeys(constants(own_font), "what it reads is in the captions, by its digest"),
    ("clip", typesetting): {"_MOST_NAMED": "only in an error"},
    ("clip", captions): {"_FILE_LINE_WIDTH": "only caption files have it, which are written anew for every video"},
    ("clip", own_file): dict.fromkeys(constants(own_file), "how a file is fetched; its pictures are the same"),
    ("sound", own_file): dict.fromkeys(constants(own_file), "how a file is fetched; its digest is in the key"),
    ("video", own_file): dict.fromkeys(constants(own_file), "how a file is fetched; its digest is in the key"),
    ("footage", search_cache): dict.fromkeys(constants(search_cache), "how long a service is not asked again"),
    ("clip", own_clip): dict.fromkeys(constants(own_clip), "limits that only raise errors"),
    ("clip", download): dict.fromkeys(constants(download), "how bytes are fetched; the pictures are the same"),
    ("sound", sound_file): dict.fromkeys(constants(sound_file), "how a file is fetched; its digest is in the key"),
    ("video", sound_file): dict.fromkeys(constants(sound_file), "how a file is fetched; its digest is in the key"),
    ("sound", music): dict.fromkeys(constants(music), "in the key where the request has music, see below"),
    ("video", music): dict.fromkeys(constants(music), "in the key where the request has music, see below"),
    ("sound", provenance): dict.fromkeys(constants(provenance), "sound alone has no label"),
    ("video", provenance): {
        "OWN": "the label's own text is in the key",
        "_OWN_VOICE": "in the key where the voice is a recording, see below",
    },
    ("poster", provenance): {
        "OWN": "a poster names no footage",
        **dict.fromkeys(("SYNTHETIC", "_OWN_VOICE"), "a picture has no voice"),
    },
}


def walk() -> Iterator[Any]:
    """Every constant of every module of every step."""
    for step, (module, _) in STEPS.items():
        for each in sorted(modules_of(module), key=lambda each: each.__name__):
            for name in constants(each):
                yield pytest.param(step, each, name, id=f"{step}-{each.__name__.rpartition('.')[2]}-{name}")


def alter(value: Any) -> Any:
    """Another value of the same shape."""
    match value:
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case tuple():
            return (alter(value[0]), *value[1:])
        case dict():
            return {name: alter(each) for name, each in value.items()}
        case caption_design.Area():
            return replace(value, left=value.left + 1)
        case caption_design.Design() | CaptionStyle():
            first = fields(value)[0].name
            return replace(value, **{first: alter(getattr(value, first))})
        case faces.Face() | picture_format.PictureFormat() | typesetting.Style() | typesetting.Typesetting():
            first = fields(value)[0].name
            return replace(value, **{first: alter(getattr(value, first))})
        case re.Pattern():
            return re.compile(value.pattern + "|zzz", value.flags)
    raise TypeError(f"how to alter {value!r}?")


@pytest.mark.parametrize(("step", "module", "name"), list(walk()))
def test_a_key_changes_with_every_constant_that_changes_the_result(
    step: str, module: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key_of(step)

    monkeypatch.setattr(module, name, alter(getattr(module, name)))

    assert (key_of(step) == before) == (name in HARMLESS.get((step, module), {}))


def test_the_walk_finds_the_modules_of_a_step() -> None:
    words = {script_chunks, script_markup, sentences, phrases, scripts}
    assert modules_of(voice) == {voice, alignment, alignment_repair, encoder, *words}
    letters = {faces, font_files, large_fonts, own_font, scripts, typesetting}
    pieces = {
        clip,
        clip_files,
        continuation,
        download,
        encoder,
        framing,
        own_clip,
        own_file,
        picture_format,
        still_picture,
    }
    words = {captions, caption_design, caption_drawing, caption_text, long_words}
    assert modules_of(clip) == {*words, *pieces, *letters, own_clip, own_file}
    assert modules_of(assemble) == {assemble, provenance, encoder, music, own_file, sound_file}
    assert modules_of(poster) == {poster, provenance, encoder}
    assert "_LINE_WIDTH" in constants(captions)
    assert "FPS" in constants(captions), "what a module imports is its own, too"


def with_times(voice: VoiceOver) -> VoiceOver:
    first, *others = voice.words
    return replace(voice, words=(replace(first, start=first.start + 0.05), *others))


OTHER_PAGE = replace(SEA, page_url="https://p.example/2")


@pytest.mark.parametrize(
    ("step", "change"),
    [
        ("voice", {"request": replace(REQUEST, script_text=f" {SCRIPT}")}),
        ("voice", {"voice_id": "other"}),
        ("footage", {"request": replace(REQUEST, search_query="sky")}),
        ("footage", {"request": replace(REQUEST, script_text="Das Meer ist nicht nur blau, und es ist tief.")}),
        ("footage", {"request": replace(REQUEST, aspect="16:9")}),
        ("footage", {"settings": replace(SETTINGS, max_clip_pixels=1)}),
        ("footage", {"settings": replace(SETTINGS, max_clip_bytes=1)}),
        ("clip", {"request": replace(REQUEST, captions=False)}),
        ("clip", {"request": replace(REQUEST, badge=False)}),
        ("clip", {"request": replace(REQUEST, quality="high")}),
        ("clip", {"request": replace(REQUEST, caption_style=CaptionStyle("boxed"))}),
        ("clip", {"plan": replace(PLAN, width=1080, height=1920)}),
        ("clip", {"voice": with_times(VOICE)}),
        ("clip", {"plan": replace(PLAN, spares=(OTHER_PAGE,))}),
        ("clip", {"settings": replace(SETTINGS, max_clip_pixels=1)}),
        ("clip", {"settings": replace(SETTINGS, max_clip_bytes=1)}),
        ("sound", {"voice": replace(VOICE, audio_key="work/voice/2.flac")}),
        ("video", {"voice": replace(VOICE, audio_key="work/voice/2.flac")}),
        ("video", {"voice": replace(VOICE, speaker=replace(SPEAKER, model="m2"))}),
        ("video", {"voice": replace(VOICE, own=True)}),
        ("video", {"clip": replace(CLIP, key="work/clip/2.mp4")}),
        ("video", {"clip": replace(CLIP, footage=OTHER_PAGE)}),
        ("video", {"settings": replace(SETTINGS, signing_key="arn")}),
        ("poster", {"video_key": "work/video/2.mp4"}),
        ("poster", {"plan": replace(PLAN, frames=90)}),
        ("poster", {"settings": replace(SETTINGS, signing_key="arn")}),
    ],
)
def test_a_key_changes_with_every_input(step: str, change: dict[str, Any]) -> None:
    assert key_of(step, replace(INPUTS, **change)) != key_of(step)


def test_a_key_changes_with_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {step: key_of(step) for step in ("voice", "footage")}
    for name, value in (("identity", replace(SPEAKER, format="wav")), ("longest_request", 20)):
        with monkeypatch.context() as patch:
            patch.setattr(FakeProvider, name, value)
            assert key_of("voice") != before["voice"]
    monkeypatch.setattr(FakeProvider, "name", "other")

    assert key_of("footage") != before["footage"]


@pytest.mark.parametrize("step", ["voice", "clip", "sound", "video", "poster"])
def test_another_ffmpeg_makes_things_anew(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key_of(step)

    monkeypatch.setattr(encoder, "program", lambda: "/opt/ffmpeg-v0")

    assert key_of(step) != before


def test_other_font_files_make_captioned_clips_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Inputs(request=replace(REQUEST, captions=False, badge=False))
    before, bare_before = key_of("clip"), key_of("clip", bare)
    (tmp_path / "Roboto-Black.ttf").write_bytes(b"another font")

    monkeypatch.setattr(faces.Face, "path", tmp_path / "Roboto-Black.ttf")

    assert key_of("clip") != before
    assert key_of("clip", bare) == bare_before


def test_a_clip_without_captions_does_not_depend_on_the_words() -> None:
    bare = Inputs(request=replace(REQUEST, captions=False))

    assert key_of("clip", replace(bare, voice=with_times(VOICE))) == key_of("clip", bare)


def speech_keys() -> set[str]:
    context = context_of(INPUTS)
    STEPS["voice"][1](INPUTS, context)
    return {key for key in context.artifacts.used if key.startswith("work/speech/") and key.endswith(".json")}


@pytest.mark.parametrize("module", [voice, alignment, alignment_repair, script_chunks, sentences])
def test_no_change_in_joining_speech_pays_for_it_again(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = speech_keys()
    for name, value in constants(module).items():
        with monkeypatch.context() as patch:
            patch.setattr(module, name, alter(value))
            assert speech_keys() == before, name


def test_speech_that_an_earlier_version_paid_for_is_found() -> None:
    """Its key: the service's identity as a mapping, the voice, the text, and the texts around it."""
    identity = {"service": "fake", "model": "m1", "format": "mp3"}

    assert speech_keys() == {
        ArtifactStore(FolderStorage(Path()), "").key("speech", "json", identity, "v", SCRIPT, "", "")
    }


def test_a_constant_that_has_no_form_in_a_key_is_noticed() -> None:
    module = ModuleType("made_up")
    vars(module)["STRANGE"] = object()

    with pytest.raises(TypeError, match="object cannot be part of a key"):
        ArtifactStore(FolderStorage(Path()), "").key("clip", "json", recipe(module))
    assert recipe(module, without=("STRANGE",)) == {"made_up": {}}
