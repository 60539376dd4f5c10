"""What the signed label of a swapped picture says."""

from __future__ import annotations

from collections.abc import Mapping

from layers.media.c2pa_label import GENERATOR, Action, Ingredient, Provenance
from layers.media.xmp_label import SOURCE_TYPE


def describe_swap(swapped: int, found: int, pack: str, models: Mapping[str, str]) -> Provenance:
    """Of a picture in which `swapped` of the `found` faces were replaced by the models with these digests.

    Neither where the pictures came from nor what they were called is told, and nothing of whom they show.
    """
    meme = Ingredient("meme", "parentOf", "the picture as it was before")
    opened = Action("c2pa.opened", ingredients=["meme"])
    if not swapped:
        return Provenance([opened, Action("c2pa.transcoded", "No face was replaced.")], [meme])
    edited = Action(
        "c2pa.edited",
        f"Faces replaced: {swapped} of {found}.",
        source_type=SOURCE_TYPE,
        ingredients=["face"],
        by=GENERATOR,
        details={"coldswap.pack": pack, "coldswap.models": dict(models)},
    )
    return Provenance(
        [opened, edited], [meme, Ingredient("face", "inputTo", "the picture that shows the other person")]
    )
