"""The request in JSON."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from functions.video.render.own_file import check_uri
from functions.video.render.script_markup import has_words
from functions.video.render.sound_file import MUSIC
from functions.video.settings import VideoSettings
from functions.video.values import (
    MOST_SHOTS,
    Aspect,
    CaptionLook,
    CaptionPosition,
    CaptionStyle,
    Quality,
    Resolution,
    Scene,
    VideoRequest,
)
from layers.core.errors import ScriptTooLong
from layers.core.http_fetch import check_url
from layers.core.mistakes import match
from layers.core.request_body import RequestBody

LAYOUT = "\n\r\t"  # control characters that a script may contain


def _speakable(text: str) -> str:
    """The text, which a voice can speak: not blank, no control characters, no halves of surrogate pairs."""
    if not text.strip():
        raise ValueError("must not be blank")
    if any(unicodedata.category(letter) in ("Cc", "Cs") and letter not in LAYOUT for letter in text):
        raise ValueError("must not contain control characters")
    return text


def _script(text: str) -> str:
    """The text, which has words. Blanks that cannot be seen, punctuation and markup would cost a paid request."""
    if not has_words(_speakable(text)):
        raise ValueError("has no word to speak: it needs a letter or a digit")
    return text


def _one_line(text: str) -> str:
    if any(letter in LAYOUT for letter in text):
        raise ValueError("must be one line")
    return _speakable(text).strip()


VOICE_ID = r"^[A-Za-z0-9]{1,64}$"
VoiceId = Annotated[
    str,
    Field(json_schema_extra={"pattern": VOICE_ID}),
    AfterValidator(match(VOICE_ID, "must have 1 to 64 letters and digits, and nothing else")),
]


Script = Annotated[str, AfterValidator(_script)]
Query = Annotated[str, AfterValidator(_one_line), Field(max_length=200)]
Queries = Annotated[
    Annotated[Query, Tag("one")] | Annotated[list[Query], Field(min_length=1, max_length=MOST_SHOTS), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]
PARAGRAPH = "\n\n"  # between the texts of two scenes


class SceneBody(RequestBody):
    """A part of the script, and what to show meanwhile."""

    text: Annotated[Script, Field(description="what the voice says")]
    search_query: Annotated[
        Query | None, Field(description="what the footage shows; by default, what each sentence is about")
    ] = None
    clip: Annotated[
        str | None,
        Field(description="a video or picture of your own instead of footage: an https URL, or the uri of an upload"),
    ] = None

    @model_validator(mode="after")
    def _has_one_picture(self) -> Self:
        if self.search_query is not None and self.clip is not None:
            raise ValueError("must have search_query or clip, not both")
        return self


_COLOUR = r"^#[0-9A-Fa-f]{6}$"
Colour = Annotated[
    str,
    Field(json_schema_extra={"pattern": _COLOUR}),
    AfterValidator(match(_COLOUR, "must be a colour such as #FFDD2B")),
]
_FONT = r"^\w[\w. -]{0,120}\.(?i:ttf|otf|ttc)$"


class CaptionsBody(RequestBody):
    """How captions look."""

    look: Annotated[
        CaptionLook,
        Field(
            description="what happens to the spoken word: highlight colours it, boxed puts a box behind it, karaoke "
            "fills it, word shows it alone, and plain does nothing"
        ),
    ] = "highlight"
    position: Annotated[CaptionPosition, Field(description="within what apps leave free")] = "bottom"
    colour: Annotated[Colour, Field(description="of the letters")] = "#FFFFFF"
    accent: Annotated[Colour, Field(description="of the spoken word, or of its box")] = "#FFDD2B"
    capitals: Annotated[bool, Field(strict=True, description="set all letters as capitals")] = False
    font: Annotated[
        str | None,
        Field(description="a typeface of the operator's: the name of its file"),
        AfterValidator(lambda name: name and match(_FONT, "must be the name of a .ttf, .otf or .ttc file")(name)),
    ] = None

    def style(self) -> CaptionStyle:
        """The style for the workflow."""
        values = self.model_dump()
        return CaptionStyle(**{**values, "colour": self.colour[1:].upper(), "accent": self.accent[1:].upper()})


def _kind_of_captions(value: Any) -> str:
    return "style" if isinstance(value, (dict, CaptionsBody)) else "switch"


Captions = Annotated[
    Annotated[bool, Field(strict=True), Tag("switch")] | Annotated[CaptionsBody, Tag("style")],
    Discriminator(_kind_of_captions),
]


class VoiceBody(RequestBody):
    """Who speaks: a voice of the voice service, or a recording of the script."""

    id: Annotated[VoiceId | None, Field(description="a voice of the voice service")] = None
    uri: Annotated[
        str | None, Field(description="a recording of the script: an https URL, or the uri of an upload")
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.id is None) == (self.uri is None):
            raise ValueError("must have either id or uri")
        return self


_MUSIC_NAME = r"^\w[\w. -]{0,120}$"


class MusicBody(RequestBody):
    """Music under the voice, which is quiet while somebody speaks."""

    uri: Annotated[str | None, Field(description="an https URL, or the uri of an upload")] = None
    name: Annotated[
        str | None,
        Field(description="the name of one of the operator's files"),
        AfterValidator(lambda name: name and match(_MUSIC_NAME, "must be the name of a file")(name)),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.uri is None) == (self.name is None):
            raise ValueError("must have either uri or name")
        return self

    @property
    def address(self) -> str:
        """The URI, or the key of the operator's file."""
        return self.uri or f"{MUSIC}{self.name}"


class VideoBody(RequestBody):
    """What to say, and what to show meanwhile."""

    script_text: Annotated[
        Script | None, Field(description="what the voice says, in any language; either this or scenes")
    ] = None
    search_query: Annotated[
        Queries | None,
        Field(
            description="what the stock footage shows: one query for all, or several in the script's order; "
            "by default, what each sentence is about"
        ),
    ] = None
    scenes: Annotated[
        list[SceneBody] | None,
        Field(
            min_length=1,
            max_length=MOST_SHOTS,
            description="the script in parts, each with footage or a clip of your own; instead of script_text",
        ),
    ] = None
    voice_id: Annotated[
        VoiceId | None, Field(description="a voice of the voice service; by default the operator's choice")
    ] = None
    voice: Annotated[
        VoiceBody | None, Field(description="a voice (id, as voice_id), or a recording of the script (uri)")
    ] = None
    music: Annotated[MusicBody | None, Field(description="music under the voice")] = None
    callback_url: Annotated[
        str | None,
        Field(description="an https URL that gets a signed POST (Standard Webhooks) when the task succeeds or fails"),
    ] = None
    captions: Annotated[Captions, Field(description="whether to draw the spoken words into the picture, or how")] = True
    badge: Annotated[bool, Field(strict=True, description="show a small AI mark in every frame")] = False
    quality: Annotated[Quality, Field(description="draft is the fastest, high the best looking")] = "standard"
    aspect: Annotated[Aspect, Field(description="width to height")] = "9:16"
    resolution: Annotated[Resolution, Field(description="of the shorter side")] = "720p"
    dry_run: Annotated[bool, Field(strict=True, description="answer with the plan, and spend nothing on speech")] = (
        False
    )

    @model_validator(mode="after")
    def _has_one_script_and_voice(self) -> Self:
        if (self.script_text is None) == (self.scenes is None):
            raise ValueError("must have either script_text or scenes")
        if self.scenes is not None and self.search_query is not None:
            raise ValueError("must not have search_query beside scenes, which have their own")
        if self.voice and self.voice_id:
            raise ValueError("must have either voice or voice_id")
        return self

    def request(self, caller: str, settings: VideoSettings) -> VideoRequest:
        """The request for the workflow. Raises ScriptTooLong, InvalidRequest or RefusedUrl."""
        scenes = tuple(Scene(each.text, each.search_query, each.clip) for each in self.scenes or ())
        script = self.script_text or PARAGRAPH.join(scene.text.strip() for scene in scenes)
        if len(script) > settings.max_script_characters:
            limit = settings.max_script_characters
            raise ScriptTooLong(f"The script has {len(script)} characters; the limit is {limit}.")
        if self.callback_url is not None:
            check_url(self.callback_url, settings.trusted_origins)
        files = {f"scenes[{number}].clip": scene.clip for number, scene in enumerate(scenes)}
        files |= {f"{name}.uri": each.uri for name, each in (("voice", self.voice), ("music", self.music)) if each}
        for field, uri in files.items():
            if uri is not None:
                check_uri(uri, field, caller, settings)
        query: Any = self.search_query
        style = self.captions.style() if isinstance(self.captions, CaptionsBody) else CaptionStyle()
        groups: dict[str, Any] = {
            "script_text": script,
            "search_query": tuple(query) if isinstance(query, list) else query,
            "scenes": scenes,
            "voice_id": self.voice.id if self.voice else self.voice_id,
            "voice_uri": self.voice.uri if self.voice else None,
            "music": self.music.address if self.music else None,
            "captions": self.captions is not False,
            "caption_style": style,
        }
        return VideoRequest(**self.model_dump(exclude={"dry_run", "voice", *groups}), **groups)
