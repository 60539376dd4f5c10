"""What the signed label of a swapped picture says."""

from __future__ import annotations

from collections.abc import Mapping

from layers.media.c2pa_label import GENERATOR, Action, Ingredient, Provenance
from layers.media.xmp_label import SOURCE_TYPE


def describe_swap(replaced: int, total: int, pack: str, models: Mapping[str, str]) -> Provenance:
    """Describe a picture in which `replaced` of `total` faces were replaced; `models` are names and digests.

    The label says neither where the pictures came from, nor what they were called, nor whom they show.
    """
    meme = Ingredient("meme", "parentOf", "the picture as it was before")
    opened = Action("c2pa.opened", ingredients=["meme"])
    if not replaced:
        return Provenance([opened, Action("c2pa.transcoded", "No face was replaced.")], [meme])
    edited = Action(
        "c2pa.edited",
        f"Faces replaced: {replaced} of {total}.",
        source_type=SOURCE_TYPE,
        ingredients=["face"],
        by=GENERATOR,
        details={"coldswap.pack": pack, "coldswap.models": dict(models)},
    )
    return Provenance(
        [opened, edited], [meme, Ingredient("face", "inputTo", "the picture that shows the other person")]
    )
