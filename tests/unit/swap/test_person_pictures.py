"""A face from several pictures of one person: their embeddings are averaged, and each picture is guarded like a source
of its own."""

from __future__ import annotations

import base64
import hashlib
import io
import weakref
from typing import Any

import numpy as np
import pytest

from functions.swap.entry.schemas import SwapBody
from functions.swap.source_embedding import STRANGERS, find_strangers, make_latent
from functions.swap.values import Floats, Latent, SwapRequest
from layers.core.errors import (
    ColdswapError,
    ContentRefused,
    FaceRefused,
    InputNotFound,
    NoFaceInSource,
    PictureTooLarge,
)
from layers.core.ids import new_id
from layers.media.c2pa_label import read_manifest
from layers.media.decode import decode
from layers.media.formats import MEDIA_TYPES
from tests.unit.swap.entry.test_errors import Arrange
from tests.unit.swap.entry.test_http_api import BEN, capture_log, limit_budget, lines
from tests.unit.swap.entry_clients import http, invoke, upload_event
from tests.unit.swap.fake_stack import MODELS, OUTPUTS, UPLOADS, FakeSwapStack, drawing, encode, settings, upload_folder
from tests.unit.swap.safeguards.test_denylist import ONE, OTHER, ScriptedEmbedder, put_denylist
from tests.unit.swap.test_sources import (
    ANN_FACE,
    BEN_FACE,
    CALLERS,
    MEME,
    PEOPLE,
    Swap,
    create_stack,
    digest,
    filter_content,
    latent_of,
    latents,
    person,
    refuse,
    remove,
    show_nobody,
    swap,
    swap_queued,
)

CAT_FACE = f"s3://{UPLOADS}/requests/1/cat"
TWO = [ANN_FACE, BEN_FACE]


@pytest.fixture
def stack() -> FakeSwapStack:
    stack = create_stack()
    stack.storage.put(UPLOADS, "requests/1/cat", person(140))
    return stack


def average(*names: str) -> Floats:
    """The latent that is between those of these people, by a formula other than the code's."""
    total = sum(latent_of(name)[0].astype(np.float64) for name in names)
    return np.asarray(total / np.sqrt((total**2).sum()), np.float32)


@pytest.mark.parametrize("caller", CALLERS)
def test_the_face_put_in_is_between_those_of_the_pictures(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, caller: Swap
) -> None:
    faces = [0, {"index": 2, "face": [BEN_FACE, CAT_FACE]}]

    result = caller(stack, {"meme": MEME, "face": TWO, "faces": faces}, monkeypatch)

    first, second = (latent[0] for latent in stack.models.swapper.latents)
    assert np.allclose(first, average("ann", "ben"), atol=1e-7)
    for another in (latent_of("ann"), latent_of("ben"), second):
        assert not np.allclose(first, another, atol=1e-5)
    cat = hashlib.sha256(person(140)).hexdigest()
    both = [digest("ann"), digest("ben")]
    assert [face["source"] for face in result["faces"]] == [both, None, [digest("ben"), cat]]
    assert result["digests"]["face"] == both
    assert result["notes"] == []


def test_neither_order_nor_repetition_changes_the_face(stack: FakeSwapStack) -> None:
    stack.storage.put(UPLOADS, "requests/1/ann-again", PEOPLE["ann"])
    again = f"s3://{UPLOADS}/requests/1/ann-again"

    for uris in ([ANN_FACE, BEN_FACE, CAT_FACE], [CAT_FACE, ANN_FACE, BEN_FACE, ANN_FACE]):
        swap(stack, [0], face=uris)
    outcome = swap(stack, [0], face=[BEN_FACE, CAT_FACE, ANN_FACE, again])

    assert len({latent.tobytes() for latent in stack.models.swapper.latents}) == 1
    assert outcome.result.digests["face"] == [digest("ben"), hashlib.sha256(person(140)).hexdigest(), digest("ann")]


@pytest.mark.parametrize("uris", [[ANN_FACE], [ANN_FACE, ANN_FACE]])
def test_a_list_of_one_picture_is_that_picture(stack: FakeSwapStack, uris: list[str]) -> None:
    stack.settings = settings(cache_latents=True)
    alone = swap(stack, [0], face=ANN_FACE)

    listed = swap(stack, [0, {"index": 1, "face": [ANN_FACE]}], face=uris)

    assert listed.result.digests["face"] == listed.result.faces[0].source == digest("ann")
    assert listed.latent_keys == alone.latent_keys
    assert stack.models.embedder_loads == 1
    assert len({latent.tobytes() for latent in stack.models.swapper.latents}) == 1


@pytest.mark.parametrize(
    ("face", "field"),
    [
        ([], "face"),
        ([ANN_FACE] * 5, "face"),
        ([ANN_FACE, ""], "face[1]"),
        ([ANN_FACE, None], "face[1]"),
        ([[ANN_FACE]], "face[0]"),
        ("", "face"),
        (7, "face"),
        ({"0": ANN_FACE}, "face"),
    ],
)
def test_what_is_wrong_with_a_list_is_reported_once_and_by_field(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, face: Any, field: str
) -> None:
    common = http(stack, monkeypatch, body={"meme": MEME, "face": face})
    own = http(stack, monkeypatch, body={"meme": MEME, "faces": [{"index": 0, "face": face}]})

    assert [common.body["code"], own.body["code"]] == ["invalid_request"] * 2
    assert [error["field"] for error in common.body["errors"]] == [field]
    assert [error["field"] for error in own.body["errors"]] == [f"faces[0].{field}"]


def test_four_pictures_are_accepted_and_their_schemes_may_be_in_capitals() -> None:
    body = SwapBody.model_validate({"meme": MEME, "face": ["HTTPS://example.com/A", *TWO, CAT_FACE]})

    assert body.request().face == ["https://example.com/A", *TWO, CAT_FACE]


def test_an_upload_names_one_picture_and_no_list(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.storage.put(UPLOADS, "memes/a.png", PEOPLE["meme"], face=f'["{ANN_FACE}", "{BEN_FACE}"]')

    assert invoke(stack, upload_event(), monkeypatch) == {"outcomes": ["failed/a.png.json"]}
    assert stack.storage.json("failed/a.png.json")["code"] == "refused_url"


@pytest.mark.parametrize(
    ("arrange", "kind"),
    [(refuse, FaceRefused), (filter_content, ContentRefused), (remove, InputNotFound), (show_nobody, NoFaceInSource)],
)
def test_one_bad_picture_stops_the_swap_is_named_and_leaves_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, arrange: Arrange, kind: type[ColdswapError]
) -> None:
    stack.settings = settings(cache_latents=True)
    arrange(stack, monkeypatch)

    alone = http(stack, monkeypatch, body={"meme": MEME, "face": TWO, "faces": [2]})
    arrange(stack, monkeypatch)
    response = http(stack, monkeypatch, body={"meme": MEME, "faces": [{"index": 2, "face": TWO}]})

    assert (response.status, response.body["code"], response.body["picture"]) == (kind.status, kind.code, "face")
    assert "face[1]" in response.body["detail"]
    pointers = [mistake["pointer"] for each in (alone, response) for mistake in each.body["errors"]]
    assert pointers == ["/face/1", "/faces/0/face/1"]
    assert latents(stack) == []
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]


def test_the_average_must_pass_the_list_too(stack: FakeSwapStack) -> None:
    put_denylist(stack, (ONE + OTHER) / np.float32(np.sqrt(2)), threshold=0.9)
    ScriptedEmbedder(stack, ONE, OTHER)

    with pytest.raises(FaceRefused, match=r"^The average of the source pictures shows"):
        swap(stack, [0], face=TWO)


def test_a_kept_average_is_compared_picture_by_picture_with_a_list_that_has_grown(stack: FakeSwapStack) -> None:
    stack.settings = settings(cache_latents=True)
    ScriptedEmbedder(stack, ONE, OTHER)
    swap(stack, [0], face=TWO)
    put_denylist(stack, OTHER, threshold=0.9)
    ScriptedEmbedder(stack)

    with pytest.raises(FaceRefused, match=r"^The source picture face\[0\] shows"):
        swap(stack, [0], face=TWO[::-1])


def test_a_kept_average_serves_the_same_pictures_in_any_order_and_no_others(stack: FakeSwapStack) -> None:
    stack.settings = settings(cache_latents=True)
    kept = swap(stack, [0], face=TWO)
    assert stack.models.embedder_loads == 2

    again = swap(stack, [0], face=TWO[::-1])
    assert stack.models.embedder_loads == 2
    swap(stack, [0], face=ANN_FACE)
    assert stack.models.embedder_loads == 3
    swap(stack, [0], face=[*TWO, CAT_FACE])
    assert stack.models.embedder_loads == 6

    (key,) = kept.latent_keys
    assert again.latent_keys == kept.latent_keys
    both = hashlib.sha256("\n".join(sorted([digest("ann"), digest("ben")])).encode()).hexdigest()
    assert key.endswith(f"/{both}.json")
    assert len(latents(stack)) == 3
    first, second = stack.models.swapper.latents[:2]
    assert first.tobytes() == second.tobytes()


def test_a_kept_average_without_its_pictures_embeddings_is_made_again(stack: FakeSwapStack) -> None:
    stack.settings = settings(cache_latents=True)
    (key,) = swap(stack, [0], face=TWO).latent_keys
    (alone,) = swap(stack, [0], face=ANN_FACE).latent_keys
    stack.storage.objects[MODELS, key] = stack.storage.objects[MODELS, alone]

    swap(stack, [0], face=TWO)

    assert stack.models.embedder_loads == 5


def test_an_average_with_the_default_face_is_not_kept_as_the_default_face_is(stack: FakeSwapStack) -> None:
    swap(stack, [0], face=[stack.settings.default_face, ANN_FACE])

    assert latents(stack) == []


def test_each_further_picture_costs_a_unit(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 5)

    def ask(face: Any) -> int:
        return http(stack, monkeypatch, body={"meme": MEME, "face": face, "faces": [0]}).status

    assert [ask([*TWO, CAT_FACE]), ask([ANN_FACE, ANN_FACE])] == [200, 200], "three units, then one"
    assert [ask(TWO), ask(ANN_FACE)] == [429, 429], "the last one was spent before the faces were chosen"
    assert stack.models.embedder_loads == 4


def test_the_pictures_together_may_be_as_large_as_one(stack: FakeSwapStack) -> None:
    sizes = {name: len(data) for name, data in PEOPLE.items()}
    stack.settings = settings(max_picture_bytes=max(sizes["meme"], sizes["ann"] + sizes["ben"]))
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing()))

    swap(stack, [0], face=TWO)
    with pytest.raises(PictureTooLarge, match=r"About face\[2\]: .*together larger than"):
        swap(stack, [0], face=[*TWO, CAT_FACE, f"s3://{UPLOADS}/requests/1/none"])

    assert f"{UPLOADS}/requests/1/none" not in stack.storage.reads
    stack.settings = settings(max_picture_bytes=sizes["ann"] - 1)
    with pytest.raises(PictureTooLarge) as caught:
        swap(stack, [0], face=TWO)
    assert "together" not in str(caught.value), "the first is too large by itself"


def test_no_two_source_pictures_are_decoded_at_a_time(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures: list[Any] = []
    counts: list[int] = []

    def count(*arguments: Any) -> Any:
        picture = decode(*arguments)
        pictures.append(weakref.ref(picture))
        counts.append(sum(each() is not None for each in pictures))
        return picture

    monkeypatch.setattr("functions.swap.picture_loading.decode", count)

    swap(stack, [0, {"index": 1, "face": CAT_FACE}, {"index": 2, "face": [CAT_FACE, *TWO]}], face=TWO)

    assert counts == [1, 2, 2, 2, 2, 2, 2], "the meme, and one more"


def test_another_s_result_is_no_picture_of_a_list(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name, meme = new_id(), f"{upload_folder(BEN)}1/upload"
    stack.records.add(name, "ann", frozenset(), {}, frozenset())
    stack.storage.put(OUTPUTS, f"swaps/{name}.png", PEOPLE["ann"])
    stack.storage.put(UPLOADS, meme, PEOPLE["meme"])
    uri = f"s3://{UPLOADS}/{meme}"

    response = http(
        stack, monkeypatch, body={"meme": uri, "face": [uri, f"s3://{OUTPUTS}/swaps/{name}.png"]}, authorizer=BEN
    )

    assert (response.status, response.body["code"]) == (404, "input_not_found")


@pytest.mark.parametrize("prefer", ["", "respond-async"])
def test_a_picture_that_could_never_be_fetched_costs_nothing(
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    dynamodb: Any,
    table: str,
    prefer: str,
) -> None:
    limit_budget(stack, dynamodb, table, 1)
    body = {"meme": MEME, "face": [ANN_FACE, "file:///etc/passwd"]}

    assert http(stack, monkeypatch, body=body, prefer=prefer).body["code"] == "refused_url"
    assert http(stack, monkeypatch, body={"meme": MEME, "face": ANN_FACE}).status == 200


def test_pictures_inside_a_queued_list_are_stored_as_uploads_and_deleted_with_the_result(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.settings = settings(cache_latents=True)
    before = set(stack.storage.objects)
    ann, ben, meme = (
        "data:image/png;base64," + base64.b64encode(PEOPLE[name]).decode() for name in ("ann", "ben", "meme")
    )
    body = {"meme": meme, "face": [ann, ben], "faces": [0, {"index": 1, "face": [ben, CAT_FACE]}]}

    name = http(stack, monkeypatch, body=body, prefer="respond-async").body["id"]

    uploads = {key for bucket, key in stack.storage.objects if bucket == UPLOADS and name in key}
    assert uploads == {f"{upload_folder()}{name}/{file}" for file in ("meme", "face_0", "face_1")}
    record = stack.records.items[name]
    assert record.inputs == {*uploads, "requests/1/cat"}
    assert "base64" not in str(record.request)
    result = swap_queued(stack, {"meme": MEME, "face": TWO, "faces": [0]}, monkeypatch)
    http(stack, monkeypatch, "DELETE", f"/results/{result['key'][6:-4]}")
    http(stack, monkeypatch, "DELETE", f"/results/{name}")
    assert set(stack.storage.objects) <= before


def test_an_idempotency_key_remembers_the_pictures(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(face: Any) -> tuple[int, str | None]:
        response = http(stack, monkeypatch, body={"meme": MEME, "face": face}, idempotency_key="k")
        return response.status, response.body.get("code") or response.body["key"]

    first = ask(TWO)

    assert ask(TWO) == first
    assert ask([ANN_FACE, CAT_FACE]) == (422, "idempotency_conflict")


def test_label_and_audit_line_have_every_picture_once(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    log = capture_log(monkeypatch)

    body = {"meme": MEME, "face": TWO, "faces": [0, {"index": 1, "face": ANN_FACE}]}
    key = http(stack, monkeypatch, body=body).body["key"]

    manifest = read_manifest(io.BytesIO(stack.storage.objects[OUTPUTS, key].data), MEDIA_TYPES["png"], "")
    assert sorted(each["relationship"] for each in manifest.ingredients) == ["inputTo", "inputTo", "parentOf"]
    (line,) = [each for each in lines(log, "req-1") if each["message"] == "swapped"]
    assert line["sources"] == sorted([digest("ann"), digest("ben")])


def test_pictures_of_different_people_are_swapped_with_a_note(stack: FakeSwapStack) -> None:
    ScriptedEmbedder(stack, ONE, ONE + np.float32(0.01) * OTHER, OTHER)

    outcome = swap(stack, [{"index": 1, "face": [ANN_FACE, CAT_FACE, BEN_FACE]}])

    assert [face.swapped for face in outcome.result.faces] == [False, True, False]
    (note,) = outcome.result.notes
    assert note.startswith(
        "The source pictures face[0] and face[2] for face 1 may show different people (cosine similarity 0.00)."
    )


@pytest.mark.parametrize(("similarity", "noted"), [(STRANGERS - 0.01, True), (STRANGERS + 0.01, False)])
def test_the_least_similar_pair_decides_whether_people_are_different(similarity: float, noted: bool) -> None:
    other = similarity * ONE + np.sqrt(1 - similarity**2) * OTHER

    strangers = find_strangers(make_latent({"a": ONE, "b": other * 3}, np.eye(512, dtype=np.float32), "r"))

    assert (strangers is not None) == noted
    if strangers is not None:
        assert strangers.digests == ("a", "b")
        assert strangers.similarity == pytest.approx(similarity, abs=1e-6)


def test_a_single_picture_has_no_strangers() -> None:
    assert find_strangers(Latent(ONE, ONE, "r")) is None


def test_pictures_that_cancel_each_other_give_no_face() -> None:
    with pytest.raises(NoFaceInSource, match="different people"):
        make_latent({"a": ONE, "b": -ONE}, np.eye(512, dtype=np.float32), "r")


def test_a_request_names_all_its_pictures() -> None:
    request = SwapRequest("m", face=["a", "b"], faces=[{"index": 1, "face": ["b", "c"]}, 2])

    assert request.pictures == ["m", "a", "b", "b", "c"]
    assert request.sources("d") == [("a", "b"), ("b", "c")]
    assert SwapRequest("m", faces=[{"index": 1, "face": "c"}, 2]).sources("d") == [("d",), ("c",)]
    assert SwapRequest("m", faces=[2]).sources("") == [()]
