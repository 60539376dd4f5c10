"""A finished swap as its callers get it in JSON, whether it was made by HTTP, an upload or a workflow task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from functions.swap.values import Measurements

_MEASUREMENTS = tuple(field.name for field in fields(Measurements))


def arrange_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result, also one that an earlier version stored: what callers look for comes first, numbers have no more digits
    than they mean, and measurements stand under one name, and under their own as before."""
    measurements = {name: _round(result[name]) for name in _MEASUREMENTS if name in result}
    first = {"url": result["url"]} if "url" in result else {}
    others = {name: value for name, value in result.items() if name not in ("url", "faces", *measurements)}
    if others.get("remote") is None:
        others.pop("remote", None)
    faces = [round_face(face) for face in result["faces"]]
    if "people" in others:
        others["people"] = [round_face(person) for person in others["people"]]
    return {**first, "faces": faces, **others, "measurements": measurements, **measurements}


def round_face(face: Mapping[str, Any]) -> dict[str, Any]:
    """The face with its box to a tenth of a pixel and its score to a thousandth."""
    return {**face, "box": [round(side, 1) for side in face["box"]], "score": round(face["score"], 3)}


def _round(value: Any) -> Any:
    return round(value, 1) if isinstance(value, float) else value
