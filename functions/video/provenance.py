"""What the signed labels of a short video and of its poster say."""

from __future__ import annotations

from collections.abc import Sequence

from functions.video.providers.elevenlabs import MODEL, ElevenLabs
from functions.video.values import Clip, Credit
from layers.media.c2pa_label import SYNTHETIC, Action, Ingredient, Provenance
from layers.media.xmp_label import SOURCE_TYPE


def credits(clips: Sequence[Clip]) -> tuple[Credit, ...]:
    """Whom to thank, each footage once, in the order in which it is seen."""
    footage = [clip.footage for clip in sorted(clips, key=lambda clip: clip.index)]
    thanks = [Credit(each.photographer, each.photographer_url, each.page_url) for each in footage]
    return tuple(dict.fromkeys(thanks))


def describe_video(clips: Sequence[Clip]) -> Provenance:
    """Stock footage, with whom to thank for it, under a synthetic voice."""
    footage = [
        Ingredient(
            f"footage-{number}", "componentOf", f"Stock footage by {each.photographer}, {each.source}", each.footage_url
        )
        for number, each in enumerate(credits(clips))
    ]
    voice = Ingredient("voice", "componentOf", "A voice-over that no person spoke")
    return Provenance(
        [
            Action("c2pa.created", source_type=SOURCE_TYPE),
            Action("c2pa.placed", "Stock footage, cut to length.", ingredients=[each.name for each in footage]),
            Action(
                "c2pa.placed",
                "A script, spoken by a synthetic voice.",
                source_type=SYNTHETIC,
                ingredients=[voice.name],
                by={"name": ElevenLabs.name, "version": MODEL},
            ),
        ],
        [*footage, voice],
    )


def describe_poster() -> Provenance:
    """One frame of such a video."""
    video = Ingredient("video", "parentOf", "the short video that this is a frame of")
    frame = Action("c2pa.edited", "One frame was taken.", source_type=SOURCE_TYPE)
    return Provenance([Action("c2pa.opened", ingredients=[video.name]), frame], [video])
