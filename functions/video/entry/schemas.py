"""The request in JSON."""

from __future__ import annotations

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, Field

from functions.video.render.script_markup import has_words
from functions.video.settings import VideoSettings
from functions.video.values import Quality, VideoRequest
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


class VideoBody(RequestBody):
    """What to say, and what to show meanwhile."""

    script_text: Annotated[str, AfterValidator(_script), Field(description="what the voice says, in any language")]
    search_query: Annotated[
        str, AfterValidator(_one_line), Field(max_length=200, description="what the stock footage shows")
    ]
    voice_id: Annotated[
        VoiceId | None, Field(description="a voice of the voice service; by default the operator's choice")
    ] = None
    callback_url: Annotated[
        str | None,
        Field(description="an https URL that gets a signed POST (Standard Webhooks) when the task succeeds or fails"),
    ] = None
    captions: Annotated[bool, Field(strict=True, description="draw the spoken words into the picture")] = True
    badge: Annotated[bool, Field(strict=True, description="show a small AI mark in every frame")] = False
    quality: Annotated[Quality, Field(description="draft is the fastest, high the best looking")] = "standard"
    dry_run: Annotated[bool, Field(strict=True, description="answer with the plan, and spend nothing on speech")] = (
        False
    )

    def request(self, settings: VideoSettings) -> VideoRequest:
        """The request for the workflow. Raises ScriptTooLong or RefusedUrl."""
        if len(self.script_text) > settings.max_script_characters:
            limit = settings.max_script_characters
            raise ScriptTooLong(f"The script has {len(self.script_text)} characters; the limit is {limit}.")
        if self.callback_url is not None:
            check_url(self.callback_url, settings.trusted_origins)
        return VideoRequest(**self.model_dump(exclude={"dry_run"}))
