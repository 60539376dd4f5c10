"""The signed label: a C2PA manifest in the finished file, and what such a manifest says.

C2PA Technical Specification 2.2, by c2pa-python. The order is pixels, encode, XMP, C2PA: whatever changes the file
after it is signed breaks the signature. Nothing is fetched: no time stamp, no revocation list, no manifest that a file
only names by URL. The library takes 0.07 s and 20 MB, so the first call imports it.
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
from layers.media.formats import MEDIA_TYPES, MP4, PictureFormat

if TYPE_CHECKING:
    from layers.media.c2pa_chain import Chain

SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
GENERATOR = {"name": "Coldswap", "version": "1"}
MANIFEST_ROOM = 1 << 20  # bytes; a manifest has a few thousand

Relation = Literal["parentOf", "componentOf", "inputTo"]
State = Literal["absent", "invalid", "valid", "trusted"]

# No thumbnails: by default the library embeds one of each ingredient, and those are private.
_SETTINGS: dict[str, Any] = {
    "version": 1,
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_after_sign": True},
    "builder": {
        "thumbnail": {"enabled": False},
        # These the signer asserts itself; without this they count as gathered from elsewhere.
        "created_assertion_labels": ["c2pa.actions", "c2pa.ingredient"],
    },
}
_MAX_ITEMS = 50  # of each kind (actions, ingredients, problems) in a summary, since the manifest may be a stranger's
_MAX_CHARS = 300  # of each text in a summary


@dataclass(frozen=True)
class Ingredient:
    """Something that went into a file, described but never embedded; `url` is the page that credits its maker."""

    name: str
    relation: Relation
    title: str
    url: str | None = None


@dataclass(frozen=True)
class Action:
    """Something that was done to a file, by C2PA's name for it (`c2pa.edited`), with the ingredients of these names."""

    what: str
    description: str | None = None
    source_type: str | None = None
    ingredients: Sequence[str] = ()
    by: dict[str, str] | None = None  # name and version of the software that did it
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """How a file came to be: the first action says how it began."""

    actions: Sequence[Action]
    ingredients: Sequence[Ingredient] = ()


class Signer:
    """Signs finished files. A file whose signing raises LabelFailed or StorageFailed must not be delivered."""

    def __init__(self, chain: Callable[[], Chain]) -> None:
        """`chain` returns the key to sign with, or raises LabelFailed or StorageFailed."""
        self._chain = chain

    def prepare(self) -> None:
        """Fetch the key and import the library, while there is other work to wait for."""
        if self._chain().kms_key:
            c2pa_kms.prepare()
        import c2pa  # noqa: F401 - for its cost alone

    def sign_picture(self, data: bytes, format: PictureFormat, provenance: Provenance) -> bytes:
        """Return the picture, signed."""
        target = io.BytesIO()
        self._sign(MEDIA_TYPES[format], io.BytesIO(data), target, provenance)
        return target.getvalue()

    def sign_video(self, path: Path, provenance: Provenance) -> None:
        """Sign an MP4 in place. Raises StorageFull if the disk has no room for a copy."""
        self.sign_file(path, MP4, provenance)

    def sign_file(self, path: Path, media_type: str, provenance: Provenance) -> None:
        """Sign a file in place. Raises StorageFull if the disk has no room for a copy."""
        if shutil.disk_usage(path.parent).free < path.stat().st_size + MANIFEST_ROOM:
            raise StorageFull("There is no disk space left for temporary files.")
        signed_path = path.with_name(f"{path.stem}.signed{path.suffix}")
        try:
            with path.open("rb") as source, signed_path.open("w+b") as target:
                self._sign(media_type, source, target, provenance)
            signed_path.replace(path)
        finally:
            signed_path.unlink(missing_ok=True)

    def _sign(self, media_type: str, source: IO[bytes], target: IO[bytes], provenance: Provenance) -> None:
        import c2pa

        chain = self._chain()
        kms_errors: list[ColdswapError] = []  # which the library would hide behind one of its own
        try:
            with (
                c2pa.Context.from_dict(_SETTINGS) as context,
                _create_signer(chain, kms_errors) as signer,
                c2pa.Builder.from_json(json.dumps(build_manifest(provenance)), context) as builder,
            ):
                builder.sign(signer, media_type, source, target)
        except c2pa.C2paError as error:
            if kms_errors:
                raise kms_errors[0] from None
            # The message may quote the file, but never the key.
            raise LabelFailed(f"The result could not be signed ({error!s:.200}), so it is not delivered.") from None


def _create_signer(chain: Chain, kms_errors: list[ColdswapError]) -> Any:
    """Make a c2pa.Signer with the chain's own key, or one that calls KMS and adds what that raises to `kms_errors`."""
    import c2pa

    algorithm = c2pa.C2paSigningAlg.ES256
    if not chain.kms_key:
        info = c2pa.C2paSignerInfo(algorithm, chain.certificates.encode(), chain.key.encode(), None)
        return c2pa.Signer.from_info(info)

    def sign(data: bytes) -> bytes:
        try:
            return c2pa_kms.sign(chain.kms_key, data)
        except ColdswapError as error:
            kms_errors.append(error)
            return b""  # to the library, a failure

    return c2pa.Signer.from_callback(sign, algorithm, chain.certificates, None)


def build_manifest(provenance: Provenance) -> dict[str, Any]:
    """The definition from which c2pa-python builds the manifest."""
    actions = [_action_json(action) for action in provenance.actions]
    return {
        "claim_generator_info": [GENERATOR],
        "ingredients": [_ingredient_json(ingredient) for ingredient in provenance.ingredients],
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}],
    }


def _ingredient_json(ingredient: Ingredient) -> dict[str, Any]:
    url = {"informational_URI": ingredient.url} if ingredient.url else {}
    return {"label": ingredient.name, "relationship": ingredient.relation, "title": ingredient.title, **url}


def _action_json(action: Action) -> dict[str, Any]:
    ingredients = {"ingredientIds": list(action.ingredients)} if action.ingredients else {}
    fields: dict[str, Any] = {
        "action": action.what,
        "description": action.description,
        "digitalSourceType": action.source_type,
        "softwareAgent": action.by,
        "parameters": {**ingredients, **action.details} or None,
    }
    return {name: value for name, value in fields.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ManifestSummary:
    """A summary of the signed label (C2PA), in its own words.

    Without a `state` of "valid" or "trusted" the rest proves nothing; only if it is "trusted" is the signer verified.
    """

    state: State = field(
        metadata={
            "description": "absent: there is no signed label; invalid: it is broken or another file's; valid: somebody "
            "else signed it; trusted: this stack did"
        }
    )
    signer: str | None = None
    generator: str | None = None
    actions: list[dict[str, Any]]
    ingredients: list[dict[str, Any]]
    problems: list[str]


def read_manifest(file: IO[bytes], media_type: str, anchors: str) -> ManifestSummary:
    """Read and verify the manifest of a file; `anchors` are the certificates of our authorities, in PEM."""
    import c2pa

    trust = {"trust_anchors": anchors} if anchors else {}
    verify = {**_SETTINGS["verify"], "verify_trust": bool(anchors)}
    try:
        with (
            c2pa.Context.from_dict({**_SETTINGS, "verify": verify, "trust": trust}) as context,
            c2pa.Reader(media_type, file, context=context) as reader,
        ):
            validation = str(reader.get_validation_state()).lower()
            active: dict[str, Any] = reader.get_active_manifest() or {}
            results: dict[str, Any] = reader.get_validation_results() or {}
    except c2pa.C2paError as error:
        if "ManifestNotFound" in str(error) or "no JUMBF" in str(error):
            return _no_summary("absent")
        return _no_summary("invalid", _shorten(error))
    if not active:
        return _no_summary("absent")
    states: dict[str, State] = {"valid": "valid", "trusted": "trusted"}
    failures = [str(item.get("code")) for item in (results.get("activeManifest") or {}).get("failure", [])]
    signature = active.get("signature_info") or {}
    signer = [str(signature[part]) for part in ("issuer", "common_name") if signature.get(part)]
    return ManifestSummary(
        state=states.get(validation, "invalid"),
        signer=_shorten(", ".join(signer)) or None,
        generator=next((_shorten(item.get("name")) for item in active.get("claim_generator_info") or []), None),
        actions=[_summarize_action(item) for item in _find_actions(active)[:_MAX_ITEMS]],
        ingredients=[
            {name: _shorten(item[name]) for name in ("title", "relationship", "informational_URI") if item.get(name)}
            for item in (active.get("ingredients") or [])[:_MAX_ITEMS]
        ],
        problems=[_shorten(code) for code in failures[:_MAX_ITEMS]],
    )


def _no_summary(state: State, *problems: str) -> ManifestSummary:
    return ManifestSummary(state=state, actions=[], ingredients=[], problems=list(problems))


def _find_actions(active: dict[str, Any]) -> list[dict[str, Any]]:
    actions: list[dict[str, Any]] = []
    for assertion in active.get("assertions") or []:
        if str(assertion.get("label", "")).startswith("c2pa.actions"):
            with contextlib.suppress(AttributeError, TypeError):
                actions += [action for action in assertion["data"].get("actions", []) if isinstance(action, dict)]
    return actions


def _summarize_action(action: dict[str, Any]) -> dict[str, Any]:
    texts = ("action", "description", "digitalSourceType")
    summary = {name: _shorten(action[name]) for name in texts if action.get(name)}
    agent = action.get("softwareAgent")
    if agent:
        summary["softwareAgent"] = _shorten(agent.get("name") if isinstance(agent, dict) else agent)
    details = {
        name: value for name, value in (action.get("parameters") or {}).items() if str(name).startswith("coldswap.")
    }
    return {**summary, **({"parameters": details} if len(json.dumps(details)) < 4000 and details else {})}


def _shorten(value: object) -> str:
    return f"{value!s:.{_MAX_CHARS}}"
