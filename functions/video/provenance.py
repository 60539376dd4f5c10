"""The signed labels of a short video and of its poster: how they were made, and from what."""

from __future__ import annotations

from collections.abc import Sequence

from functions.video.values import OWN, Clip, Credit, Footage, VoiceIdentity
from layers.media.c2pa_label import SYNTHETIC, Action, Ingredient, Provenance
from layers.media.xmp_label import SOURCE_TYPE

_OWN_VOICE = "A voice-over that was given as a recording"


def list_credits(clips: Sequence[Clip]) -> tuple[Credit, ...]:
    """Whom to credit, each footage once, in the order of appearance."""
    pieces = [piece.footage for clip in sorted(clips, key=lambda clip: clip.index) for piece in clip.pieces]
    footage = [each for each in pieces if each.source != OWN]
    credits = [Credit(each.photographer, each.photographer_url, each.page_url, _source(each)) for each in footage]
    return tuple(dict.fromkeys(credits))


def describe_video(
    clips: Sequence[Clip], speaker: VoiceIdentity | None, *, own_voice: bool = False, music: bool = False
) -> Provenance:
    """Stock footage, with its credits, and a voice: a synthetic one, of which `speaker` is None where it is not known
    who spoke, or a recording of the caller's; and music that the caller chose."""
    footage = [
        Ingredient(
            f"footage-{number}", "componentOf", f"Stock footage by {each.photographer}, {each.source}", each.footage_url
        )
        for number, each in enumerate(list_credits(clips))
    ]
    has_own = any(piece.footage.source == OWN for clip in clips for piece in clip.pieces)
    if has_own:
        footage.append(Ingredient("own-clips", "componentOf", "Clips of the requester's own"))
    voice = Ingredient("voice", "componentOf", _OWN_VOICE if own_voice else "A voice-over that no person spoke")
    tunes = [Ingredient("music", "componentOf", "Music")] if music else []
    speech = Action(
        "c2pa.placed",
        "A script, spoken by a synthetic voice.",
        source_type=SYNTHETIC,
        ingredients=[voice.name],
        by={"name": speaker.service, "version": speaker.model} if speaker else None,
    )
    pictures = f"{'Clips' if has_own else 'Stock footage'}, cut to length."
    return Provenance(
        [
            Action("c2pa.created", source_type=SOURCE_TYPE),
            Action("c2pa.placed", pictures, ingredients=[each.name for each in footage]),
            Action("c2pa.placed", f"{_OWN_VOICE}.", ingredients=[voice.name]) if own_voice else speech,
            *[Action("c2pa.placed", "Music under the voice.", ingredients=[each.name]) for each in tunes],
        ],
        [*footage, voice, *tunes],
    )


def describe_poster() -> Provenance:
    """One frame of such a video."""
    video = Ingredient("video", "parentOf", "the short video that this is a frame of")
    frame = Action("c2pa.edited", "One frame was taken.", source_type=SOURCE_TYPE)
    return Provenance([Action("c2pa.opened", ingredients=[video.name]), frame], [video])


def _source(footage: Footage) -> str:
    """The name of the footage's service; what 0.1.0 searched for has it in the id alone."""
    return footage.source or footage.id.partition(":")[0].title()
