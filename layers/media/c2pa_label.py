"""The signed label: a C2PA manifest in the finished file, and what such a manifest says.

C2PA Technical Specification 2.2, by c2pa-python. The order is pixels, encode, XMP, C2PA: whatever changes the file
after it is signed breaks the signature. Nothing is asked of a network: no time-stamp authority, no revocation, no
manifest that a file only names by URL. The library costs 0.07 s and 20 MB, so it comes with the first call.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

from layers.core.errors import ColdswapError, LabelFailed, StorageFull
from layers.media import c2pa_kms

if TYPE_CHECKING:  # numpy comes with it, which the video function does without
    from layers.media.c2pa_chain import Chain
    from layers.media.picture import Format

SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GENERATOR = {"name": "Coldswap", "version": "1"}
ROOM = 1 << 20  # bytes; a manifest has a few thousand

Part = Literal["parentOf", "componentOf", "inputTo"]
State = Literal["absent", "invalid", "valid", "trusted"]

# No picture but the result's own: by default the library embeds a small one of each thing that went in.
_SETTINGS: dict[str, Any] = {
    "version": 1,
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
    "builder": {
        "thumbnail": {"enabled": False},
        # What the signer says itself; without this it would only pass on what others said.
        "created_assertion_labels": ["c2pa.actions", "c2pa.ingredient"],
    },
}
_MOST_TOLD = 50  # actions, ingredients and problems of a stranger's manifest that are passed on
_LONGEST_TOLD = 300  # characters


@dataclass(frozen=True)
class Ingredient:
    """A thing that went in, by what it was and never by its bytes; `url` is where its maker is to be thanked."""

    name: str
    relation: Part
    title: str
    url: str | None = None


@dataclass(frozen=True)
class Action:
    """Something that was done, in C2PA's words for it (`c2pa.edited`), to or with the ingredients of these names."""

    what: str
    description: str | None = None
    source_type: str | None = None
    ingredients: Sequence[str] = ()
    by: dict[str, str] | None = None  # name and version of what did it
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """How a file came to be: the first action says how it began."""

    actions: Sequence[Action]
    ingredients: Sequence[Ingredient] = ()


class Signer:
    """Signs finished files. What cannot be signed raises LabelFailed or StorageFailed and must not be delivered."""

    def __init__(self, chain: Callable[[], Chain]) -> None:
        """`chain` gives the key to sign with, and raises LabelFailed or StorageFailed."""
        self._chain = chain

    def ready(self) -> None:
        """Fetch the key and import the library, while there is other work to wait for."""
        if self._chain().kms_key:
            c2pa_kms.ready()
        import c2pa  # noqa: F401 - for its cost alone

    def picture(self, data: bytes, format: Format, story: Provenance) -> bytes:
        """The same picture, signed."""
        signed = io.BytesIO()
        self._sign(f"image/{format}", io.BytesIO(data), signed, story)
        return signed.getvalue()

    def video(self, path: Path, story: Provenance) -> None:
        """Sign an MP4 in place. Raises StorageFull where there is no room for a second one beside it."""
        if shutil.disk_usage(path.parent).free < path.stat().st_size + ROOM:
            raise StorageFull("The disk has no room left for work files.")
        signed = path.with_name(f"{path.stem}.signed{path.suffix}")
        try:
            with path.open("rb") as source, signed.open("w+b") as target:
                self._sign("video/mp4", source, target, story)
            signed.replace(path)
        finally:
            signed.unlink(missing_ok=True)

    def _sign(self, media: str, source: IO[bytes], target: IO[bytes], story: Provenance) -> None:
        import c2pa

        chain = self._chain()
        refused: list[ColdswapError] = []  # by KMS: the library would tell no more than that there was something
        try:
            with (
                c2pa.Context.from_dict(_SETTINGS) as context,
                _signer(chain, refused) as signer,
                c2pa.Builder.from_json(json.dumps(manifest(story)), context) as builder,
            ):
                builder.sign(signer, media, source, target)
        except c2pa.C2paError as error:
            if refused:
                raise refused[0] from None
            # Its message may quote the file, never the key.
            raise LabelFailed(f"The result could not be signed ({error!s:.200}), so it is not delivered.") from None


def _signer(chain: Chain, refused: list[ColdswapError]) -> Any:
    """A c2pa.Signer with the chain's own key, or one that asks KMS and keeps what it refuses."""
    import c2pa

    algorithm = c2pa.C2paSigningAlg.ES256
    if not chain.kms_key:
        known = c2pa.C2paSignerInfo(algorithm, chain.certificates.encode(), chain.key.encode(), None)
        return c2pa.Signer.from_info(known)

    def sign(data: bytes) -> bytes:
        try:
            return c2pa_kms.sign(chain.kms_key, data)
        except ColdswapError as error:
            refused.append(error)
            return b""  # to the library, a failure

    return c2pa.Signer.from_callback(sign, algorithm, chain.certificates, None)


def manifest(story: Provenance) -> dict[str, Any]:
    """What c2pa-python builds a manifest from."""
    return {
        "claim_generator_info": [GENERATOR],
        "ingredients": [_ingredient(each) for each in story.ingredients],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": [_action(each) for each in story.actions]}}],
    }


def _ingredient(said: Ingredient) -> dict[str, Any]:
    url = {"informational_URI": said.url} if said.url else {}
    return {"label": said.name, "relationship": said.relation, "title": said.title, **url}


def _action(said: Action) -> dict[str, Any]:
    named = {"ingredientIds": list(said.ingredients)} if said.ingredients else {}
    told: dict[str, Any] = {
        "action": said.what,
        "description": said.description,
        "digitalSourceType": said.source_type,
        "softwareAgent": said.by,
        "parameters": {**named, **said.details} or None,
    }
    return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class ManifestSummary:
    """What a file's manifest says, in its own words, shortened.

    `state`: no manifest; one that does not fit the file, or is broken; one that fits and was signed by a stranger; one
    signed by us. Only of the last two is the rest more than a rumour, and only of the last is its signer known.
    """

    state: State
    signer: str | None = None
    generator: str | None = None
    actions: list[dict[str, Any]] = field(default_factory=list)
    ingredients: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_manifest(file: IO[bytes], media: str, anchors: str) -> ManifestSummary:
    """What the file of that media type tells; `anchors` are the certificates of our authorities, in PEM."""
    import c2pa

    trust = {"trust_anchors": anchors} if anchors else {}
    checks = {**_SETTINGS["verify"], "verify_trust": bool(anchors)}
    try:
        with (
            c2pa.Context.from_dict({**_SETTINGS, "verify": checks, "trust": trust}) as context,
            c2pa.Reader(media, file, context=context) as reader,
        ):
            state = str(reader.get_validation_state()).lower()
            active: dict[str, Any] = reader.get_active_manifest() or {}
            results: dict[str, Any] = reader.get_validation_results() or {}
    except c2pa.C2paError as error:
        if "ManifestNotFound" in str(error) or "no JUMBF" in str(error):
            return ManifestSummary("absent")
        return ManifestSummary("invalid", problems=[_short(error)])
    if not active:
        return ManifestSummary("absent")
    known: dict[str, State] = {"valid": "valid", "trusted": "trusted"}
    failures = [str(each.get("code")) for each in (results.get("activeManifest") or {}).get("failure", [])]
    signature = active.get("signature_info") or {}
    signer = [str(signature[part]) for part in ("issuer", "common_name") if signature.get(part)]
    return ManifestSummary(
        state=known.get(state, "invalid"),
        signer=_short(", ".join(signer)) or None,
        generator=next((_short(each.get("name")) for each in active.get("claim_generator_info") or []), None),
        actions=[_told_action(each) for each in _actions(active)[:_MOST_TOLD]],
        ingredients=[
            {name: _short(each[name]) for name in ("title", "relationship", "informational_URI") if each.get(name)}
            for each in (active.get("ingredients") or [])[:_MOST_TOLD]
        ],
        problems=[_short(code) for code in failures[:_MOST_TOLD]],
    )


def _actions(active: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in active.get("assertions") or []:
        if str(each.get("label", "")).startswith("c2pa.actions"):
            with contextlib.suppress(AttributeError, TypeError):
                found += [action for action in each["data"].get("actions", []) if isinstance(action, dict)]
    return found


def _told_action(said: dict[str, Any]) -> dict[str, Any]:
    told = {name: _short(said[name]) for name in ("action", "description", "digitalSourceType") if said.get(name)}
    agent = said.get("softwareAgent")
    if agent:
        told["softwareAgent"] = _short(agent.get("name") if isinstance(agent, dict) else agent)
    details = {
        name: value for name, value in (said.get("parameters") or {}).items() if str(name).startswith("coldswap.")
    }
    return {**told, **({"parameters": details} if len(json.dumps(details)) < 4000 and details else {})}


def _short(value: object) -> str:
    return f"{value!s:.{_LONGEST_TOLD}}"
