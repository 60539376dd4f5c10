"""Several faces to put in: each chosen face of the meme may have a source of its own."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from functions.swap.entry.schemas import SwapBody
from functions.swap.safeguards.denylist import KEY
from functions.swap.values import SwapRequest
from layers.core.deadline import Deadline
from layers.core.errors import (
    BudgetSpent,
    ColdswapError,
    ContentRefused,
    FaceRefused,
    InputNotFound,
    InvalidRequest,
    NoFaceInSource,
    StorageFailed,
)
from layers.core.ids import new_id
from layers.media.c2pa_label import read_manifest
from layers.media.formats import MEDIA_TYPES
from tests.unit.swap.entry.test_errors import Arrange
from tests.unit.swap.entry.test_http_api import BEN, capture_log, execution_input, limit_budget, lines
from tests.unit.swap.entry_clients import http, invoke
from tests.unit.swap.fake_stack import (
    MODELS,
    OUTPUTS,
    UPLOADS,
    FakeSwapStack,
    drawing,
    encode,
    settings,
    upload_folder,
)
from tests.unit.swap.networks import FixedClassifier
from tests.unit.swap.safeguards.test_denylist import ONE, OTHER, ScriptedEmbedder, put_denylist

MEME = f"s3://{UPLOADS}/requests/1/meme"
ANN_FACE, BEN_FACE = (f"s3://{UPLOADS}/requests/1/{name}" for name in ("ann", "ben"))
BOTH = [{"index": 0, "face": ANN_FACE}, {"index": 2, "face": BEN_FACE}]


def person(level: int) -> bytes:
    """A source picture that the toy embedder tells apart from others by its ground."""
    pixels = drawing()
    pixels[(pixels == (150, 170, 190)).all(2)] = level
    return encode(pixels)


PEOPLE = {"ann": person(60), "ben": person(220), "meme": encode(drawing(3, width=900))}


def create_stack(**changed: Any) -> FakeSwapStack:
    """A stack with the pictures of these people, and a meme with three faces."""
    stack = FakeSwapStack(settings=settings(**changed))
    for name, data in PEOPLE.items():
        stack.storage.put(UPLOADS, f"requests/1/{name}", data)
    return stack


@pytest.fixture
def stack() -> FakeSwapStack:
    return create_stack()


def digest(name: str) -> str:
    return hashlib.sha256(PEOPLE[name]).hexdigest()


def swap_by_http(stack: FakeSwapStack, body: dict[str, Any], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return dict(http(stack, patch, body=body).body)


def swap_queued(stack: FakeSwapStack, body: dict[str, Any], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    name = http(stack, patch, body=body, prefer="respond-async").body["id"]
    invoke(stack, execution_input(stack, name), patch)
    return dict(http(stack, patch, "GET", f"/swap/{name}").body["result"])


def swap_by_task(stack: FakeSwapStack, body: dict[str, Any], patch: pytest.MonkeyPatch) -> dict[str, Any]:
    return dict(invoke(stack, body, patch))


Swap = Callable[[FakeSwapStack, dict[str, Any], pytest.MonkeyPatch], dict[str, Any]]
CALLERS = [swap_by_http, swap_queued, swap_by_task]


def swap(stack: FakeSwapStack, faces: Any, **more: Any) -> Any:
    """Do a swap of the stack's own."""
    request = SwapRequest(MEME, faces=faces, **more)
    return stack.services.swap(request, key="swaps/1.png", deadline=Deadline.after(60))


def latents(stack: FakeSwapStack) -> list[str]:
    return [key for bucket, key in stack.storage.objects if bucket == MODELS and key.startswith("latents/")]


@cache
def latent_of(name: str | None) -> Any:
    """The latent of one source, from a swap of that one alone; None: the default face."""
    alone = create_stack()
    swap(alone, [0], face=f"s3://{UPLOADS}/requests/1/{name}" if name else None)
    return alone.models.swapper.latents[0]


@pytest.mark.parametrize("caller", CALLERS)
def test_each_face_gets_its_own_source_and_a_number_alone_the_request_s(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, caller: Swap
) -> None:
    default = hashlib.sha256(stack.storage.objects[MODELS, "faces/default.png"].data).hexdigest()

    result = caller(stack, {"meme": MEME, "faces": [BOTH[1], 1, BOTH[0]]}, monkeypatch)

    assert [face["source"] for face in result["faces"]] == [digest("ann"), default, digest("ben")]
    assert result["digests"]["face"] == default
    expected = [latent_of("ann"), latent_of(None), latent_of("ben")]
    assert np.array_equal(stack.models.swapper.latents, expected)
    assert not np.array_equal(expected[0], expected[2])


def test_latents_follow_their_faces_from_batch_to_batch(stack: FakeSwapStack) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(9, width=2000, height=200, scale=0.6)))
    faces: Any = [*range(8), {"index": 8, "face": BEN_FACE}]

    swap(stack, faces, face=ANN_FACE)

    assert np.array_equal(stack.models.swapper.latents, [latent_of("ann")] * 8 + [latent_of("ben")])


def test_one_face_for_all_is_what_it_was(stack: FakeSwapStack) -> None:
    outcome = swap(stack, [0, 2], face=ANN_FACE)

    assert [face.source for face in outcome.result.faces] == [digest("ann"), None, digest("ann")]
    assert outcome.result.digests["face"] == digest("ann")


def test_a_source_named_more_than_once_is_read_and_embedded_once(stack: FakeSwapStack) -> None:
    faces: Any = [{"index": 0, "face": ANN_FACE}, {"index": 1, "face": ANN_FACE}, {"index": 2, "face": BEN_FACE}]

    outcome = swap(stack, faces, face=BEN_FACE)

    reads = [name for name in stack.storage.reads if name.startswith(UPLOADS)]
    assert sorted(reads) == [f"{UPLOADS}/requests/1/{name}" for name in ("ann", "ben", "meme")]
    assert stack.models.embedder_loads == 2
    assert outcome.result.digests["face"] == digest("ben")


def test_where_every_face_has_its_own_source_no_other_is_needed_or_read(stack: FakeSwapStack) -> None:
    stack.settings = settings(default_face="")

    outcome = swap(stack, BOTH)

    assert "face" not in outcome.result.digests
    assert f"{MODELS}/faces/default.png" not in stack.storage.reads
    with pytest.raises(InvalidRequest, match="names no face"):
        swap(stack, [*BOTH, 1])


def test_the_source_of_a_face_that_cannot_be_swapped_is_not_needed(stack: FakeSwapStack) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(scale=0.33)))

    outcome = swap(stack, [{"index": 0, "face": ANN_FACE}])

    assert [(face.reason, face.source) for face in outcome.result.faces] == [("too_small", None)]
    assert stack.models.embedder_loads == 0


@pytest.mark.parametrize(
    ("faces", "field"),
    [
        ([{"index": 0}], "faces[0].face"),
        ([{"face": ANN_FACE}], "faces[0].index"),
        ([{"index": -1, "face": ANN_FACE}], "faces[0].index"),
        ([{"index": True, "face": ANN_FACE}], "faces[0].index"),
        ([{"index": 0, "face": ""}], "faces[0].face"),
        ([{"index": 0, "face": None}], "faces[0].face"),
        ([{"index": 0, "face": ANN_FACE, "quality": 3}], "faces[0].quality"),
        ([1, {"index": 0, "face": ANN_FACE}, {"index": 0, "face": BEN_FACE}], "faces"),
        ([{"index": 1, "face": ANN_FACE}, 1], "faces"),
        ([{"index": index, "face": ANN_FACE} for index in range(9)], "faces"),
        ({"index": 0, "face": ANN_FACE}, "faces"),
        ([[0]], "faces[0]"),
    ],
)
def test_what_is_wrong_with_a_choice_is_reported_once_and_by_field(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, faces: Any, field: str
) -> None:
    body = {"meme": MEME, "faces": faces}

    response = http(stack, monkeypatch, body=body)

    assert (response.status, response.body["code"]) == (400, "invalid_request")
    assert [error["field"] for error in response.body["errors"]] == [field]
    with pytest.raises(InvalidRequest, match=f"^{re.escape(field)} "):
        invoke(stack, body, monkeypatch)


def test_eight_sources_and_numbers_beside_them_are_accepted() -> None:
    choices = [{"index": index, "face": ANN_FACE} for index in range(8)]

    assert SwapBody.model_validate({"meme": MEME, "faces": [*choices, *range(8, 32)]}).request().faces[:8] == choices
    assert SwapBody.model_validate({"meme": MEME, "faces": [1, 1]}).request().faces == [1, 1]


def test_a_number_that_no_face_has_is_refused_before_its_source_is_embedded(stack: FakeSwapStack) -> None:
    with pytest.raises(InvalidRequest, match="no face 7") as caught:
        swap(stack, [0, {"index": 7, "face": ANN_FACE}])

    assert [mistake["field"] for mistake in caught.value.extra["errors"]] == ["faces[1]"]

    assert stack.models.embedder_loads == 0


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("file:///etc/passwd", "refused_url"),
        ("data:,x", "invalid_request"),
        (f"s3://{MODELS}/{KEY}", "refused_url"),
        (f"s3://{UPLOADS}/requests/another/upload", "refused_url"),
        (f"https://example.com/?{'a' * 5000}", "refused_url"),
    ],
)
def test_a_source_that_could_never_be_fetched_costs_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str, uri: str, code: str
) -> None:
    limit_budget(stack, dynamodb, table, 1)
    body = {"meme": MEME, "faces": [{"index": 0, "face": uri}]}

    refusals = [http(stack, monkeypatch, body=body, prefer=prefer) for prefer in ("", "respond-async")]

    assert [refusal.body["code"] for refusal in refusals] == [code, code]
    assert all(refusal.body["detail"].startswith("About faces[0].face: ") for refusal in refusals)
    assert http(stack, monkeypatch, body={"meme": MEME}).status == 200


def refuse(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    """Put Ben, whom the embedder sees after Ann, on the list."""
    put_denylist(stack, ONE)
    ScriptedEmbedder(stack, OTHER, ONE)
    return {}


def filter_content(stack: FakeSwapStack, patch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Refuse the lightest picture."""
    stack.models.digests["gate"] = "9" * 64

    class Classifier(FixedClassifier):
        def run(self, names: Any, feed: Any) -> Any:
            (planes,) = feed.values()
            return [np.array([[float(planes.mean() > 0.8)]], np.float32)]

    stack.models.classifier = Classifier(0.0)
    return {}


def remove(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    stack.storage.delete(UPLOADS, "requests/1/ben")
    return {}


def show_nobody(stack: FakeSwapStack, _: pytest.MonkeyPatch) -> dict[str, Any]:
    stack.storage.put(UPLOADS, "requests/1/ben", encode(drawing(0)))
    return {}


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(
    ("arrange", "kind"),
    [(refuse, FaceRefused), (filter_content, ContentRefused), (remove, InputNotFound), (show_nobody, NoFaceInSource)],
)
def test_one_bad_source_stops_the_swap_is_named_and_leaves_nothing(
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    caller: Swap,
    arrange: Arrange,
    kind: type[ColdswapError],
) -> None:
    stack.settings = settings(cache_latents=True)
    arrange(stack, monkeypatch)
    body = {"meme": MEME, "faces": BOTH}

    if caller is swap_by_http:
        response = http(stack, monkeypatch, body=body)
        assert (response.status, response.body["code"], response.body["picture"]) == (kind.status, kind.code, "face")
        assert [mistake["pointer"] for mistake in response.body["errors"]] == ["/faces/1/face"]
        detail = response.body["detail"]
    else:
        with pytest.raises(kind) as caught:
            caller(stack, body, monkeypatch)
        detail = str(caught.value)

    assert "source picture for face 2" in detail or detail.startswith("About faces[1].face: ")
    assert latents(stack) == []
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]


def test_another_s_result_is_no_source(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name, meme = new_id(), f"{upload_folder(BEN)}1/upload"
    stack.records.add(name, "ann", frozenset(), {}, frozenset())
    stack.storage.put(OUTPUTS, f"swaps/{name}.png", PEOPLE["ann"])
    stack.storage.put(UPLOADS, meme, PEOPLE["meme"])
    faces = [{"index": 1, "face": f"s3://{OUTPUTS}/swaps/{name}.png"}]

    response = http(stack, monkeypatch, body={"meme": f"s3://{UPLOADS}/{meme}", "faces": faces}, authorizer=BEN)

    assert (response.status, response.body["code"]) == (404, "input_not_found")


def test_each_further_source_costs_a_unit(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 4)
    shared = [{**each, "face": ANN_FACE} for each in BOTH]

    def ask(faces: Any) -> int:
        return http(stack, monkeypatch, body={"meme": MEME, "face": ANN_FACE, "faces": faces}).status

    assert [ask(shared), ask([*BOTH, 1])] == [200, 200], "one unit, then two: Ben is a further one"
    assert ask(BOTH) == 429, "one is left"
    assert stack.models.embedder_loads == 3


def test_a_queued_swap_that_is_tried_again_pays_once_for_its_sources(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 3)
    name = http(stack, monkeypatch, body={"meme": MEME, "faces": BOTH}, prefer="respond-async").body["id"]
    stack.storage.failures["write", "swaps/"] = StorageFailed()
    for _ in range(2):
        with pytest.raises(StorageFailed):
            invoke(stack, execution_input(stack, name), monkeypatch)
    stack.storage.failures.clear()
    invoke(stack, execution_input(stack, name), monkeypatch)

    assert http(stack, monkeypatch, path="/uploads").status == 201, "two of three units are spent"
    with pytest.raises(BudgetSpent):
        swap(stack, BOTH, caller="1")


def test_pictures_inside_a_queued_choice_are_stored_once_as_uploads_and_deleted_with_the_result(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(stack.storage.objects)
    inside = "data:image/png;base64," + base64.b64encode(PEOPLE["ann"]).decode()
    meme = "data:image/png;base64," + base64.b64encode(PEOPLE["meme"]).decode()
    faces = [{"index": 0, "face": inside}, 1, {"index": 2, "face": inside}]

    name = http(stack, monkeypatch, body={"meme": meme, "faces": faces}, prefer="respond-async").body["id"]

    uploads = {key for bucket, key in stack.storage.objects if bucket == UPLOADS and name in key}
    assert uploads == {f"{upload_folder()}{name}/{file}" for file in ("meme", "face-0")}
    record = stack.records.items[name]
    assert record.inputs == uploads
    assert "base64" not in str(record.request)
    invoke(stack, execution_input(stack, name), monkeypatch)
    result = http(stack, monkeypatch, "GET", f"/swap/{name}").body["result"]
    assert [face["source"] for face in result["faces"]][::2] == [digest("ann")] * 2
    http(stack, monkeypatch, "DELETE", f"/results/{name}")
    kept = {key for _, key in set(stack.storage.objects) - before}
    assert all(key.startswith("latents/default/") for key in kept)


@pytest.mark.parametrize("caller", [swap_by_http, swap_queued])
def test_a_result_is_deleted_with_all_its_latents_and_uploads_but_not_the_default_face_s(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, caller: Swap
) -> None:
    stack.settings = settings(cache_latents=True)
    key = caller(stack, {"meme": MEME, "faces": [*BOTH, 1]}, monkeypatch)["key"]
    assert len(latents(stack)) == 3

    http(stack, monkeypatch, "DELETE", f"/results/{key[6:-4]}")

    (rest,) = latents(stack)
    assert rest.startswith("latents/default/")
    assert [key for bucket, key in stack.storage.objects if bucket == UPLOADS] == []


def test_a_stored_latent_serves_the_face_that_it_belongs_to(stack: FakeSwapStack) -> None:
    stack.settings = settings(cache_latents=True)
    swap(stack, BOTH)
    swapped: Any = [{"index": 0, "face": BEN_FACE}, {"index": 2, "face": ANN_FACE}]

    swap(stack, swapped)

    assert stack.models.embedder_loads == 2
    first, second, third, fourth = (latent.tobytes() for latent in stack.models.swapper.latents)
    assert (first, second) == (fourth, third)


def test_an_idempotency_key_remembers_the_sources(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(faces: Any) -> tuple[int, str | None]:
        response = http(stack, monkeypatch, body={"meme": MEME, "faces": faces}, idempotency_key="k")
        return response.status, response.body.get("code") or response.body["key"]

    first = ask(BOTH)

    assert ask(BOTH) == first
    assert ask([BOTH[0], {"index": 2, "face": ANN_FACE}]) == (422, "idempotency_conflict")


@pytest.mark.parametrize(("faces", "sources"), [(BOTH, 2), ([BOTH[0]], 1), ([*BOTH, 1], 3), ([0, 1, 2], 1)])
def test_the_signed_label_has_every_source_as_an_ingredient(stack: FakeSwapStack, faces: Any, sources: int) -> None:
    swap(stack, faces)

    data = stack.storage.objects[OUTPUTS, "swaps/1.png"].data
    manifest = read_manifest(io.BytesIO(data), MEDIA_TYPES["png"], "")
    relations = [each["relationship"] for each in manifest.ingredients]
    assert sorted(relations) == ["inputTo"] * sources + ["parentOf"]


def test_the_audit_line_has_the_digest_of_every_source(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    log = capture_log(monkeypatch)

    http(stack, monkeypatch, body={"meme": MEME, "faces": BOTH})

    (line,) = [each for each in lines(log, "req-1") if each["message"] == "swapped"]
    assert line["sources"] == sorted([digest("ann"), digest("ben")])
    assert "requests/1" not in log.getvalue()
