"""What the signed label of a swapped picture says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from layers.media.c2pa_label import GENERATOR, Action, Ingredient, Provenance
from layers.media.xmp_label import SOURCE_TYPE


def choose_source_type(replaced: int, before: str | None) -> str | None:
    """The digital source type of a result: what no model changed keeps the one that its labels claimed `before`."""
    return SOURCE_TYPE if replaced else before


def describe_swap(
    replaced: int,
    total: int,
    pack: str,
    models: Mapping[str, str],
    sources: int = 1,
    before: str | None = None,
) -> Provenance:
    """Describe a picture in which `replaced` of `total` faces were replaced, by the faces of `sources` pictures;
    `models` are names and digests, `before` is the digital source type that the picture's own labels claimed.

    The label says neither where the pictures came from, nor what they were called, nor whom they show.
    """
    meme = Ingredient("meme", "parentOf", "the picture as it was before")
    opened = Action("c2pa.opened", ingredients=["meme"])
    if not replaced:
        opened = replace(opened, source_type=choose_source_type(replaced, before))
        return Provenance([opened, Action("c2pa.transcoded", "No face was replaced.")], [meme])
    names = ["face", *(f"face-{number}" for number in range(2, sources + 1))]
    edited = Action(
        "c2pa.edited",
        f"Faces replaced: {replaced} of {total}.",
        source_type=SOURCE_TYPE,
        ingredients=names,
        by=GENERATOR,
        details={"coldswap.pack": pack, "coldswap.models": dict(models)},
    )
    title = "the picture that shows the other person" if sources == 1 else "a picture that shows another person"
    return Provenance([opened, edited], [meme, *(Ingredient(name, "inputTo", title) for name in names)])
