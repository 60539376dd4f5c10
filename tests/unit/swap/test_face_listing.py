"""POST /faces: what is in a picture, without a swap."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from functions.swap.face.detect import Detector
from functions.swap.safeguards.denylist import KEY
from functions.swap.values import Face, FaceListing, ListedFace
from layers.core.errors import AtCapacity, ColdswapError, FaceRefused, LabelFailed, NoFaceInMeme, NoFaceInSource
from layers.core.ids import new_id
from layers.core.terms import Terms
from tests.unit.swap.entry.test_errors import CASES, Arrange, damaged_list, denied_face, refusing_filter
from tests.unit.swap.entry.test_http_api import ANN, BEN, COMMON, capture_log, limit_budget, lines
from tests.unit.swap.entry_clients import HttpResult, http
from tests.unit.swap.face_fixtures import keypoints_at
from tests.unit.swap.fake_stack import (
    MODELS,
    OUTPUTS,
    UPLOADS,
    FakeContext,
    FakeSwapStack,
    FixedPseudonyms,
    decode,
    drawing,
    encode,
    settings,
    upload_folder,
)

MEME = f"s3://{UPLOADS}/requests/1/meme"


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def list_faces(stack: FakeSwapStack, patch: pytest.MonkeyPatch, meme: str = MEME, **more: Any) -> HttpResult:
    return http(stack, patch, path="/faces", body={"meme": meme}, **more)


def put_meme(stack: FakeSwapStack, pixels: Any) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", encode(pixels))


def test_faces_have_the_numbers_and_boxes_that_a_swap_gives_them(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_meme(stack, drawing(3, width=900))

    listing = list_faces(stack, monkeypatch)
    swapped = http(stack, monkeypatch, body={"meme": MEME}).body

    assert listing.status == 200
    assert (listing.body["width"], listing.body["height"]) == (900, 400)
    for name in ("index", "box", "score"):
        assert [face[name] for face in listing.body["faces"]] == [face[name] for face in swapped["faces"]]
    assert [(face["swappable"], face["reason"]) for face in listing.body["faces"]] == [(True, None)] * 3
    assert listing.body["notes"] == []


@pytest.mark.parametrize(("width", "shown"), [(480, (480, 400)), (1920, (960, 200))])
def test_a_small_picture_comes_with_the_list_if_it_is_asked_for(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, width: int, shown: tuple[int, int]
) -> None:
    put_meme(stack, drawing(1, width=width))

    plain = list_faces(stack, monkeypatch).body
    preview = http(stack, monkeypatch, path="/faces", body={"meme": MEME, "preview": True}).body["preview"]

    assert plain["preview"] is None
    beginning, _, data = preview.partition(",")
    pixels = decode(base64.b64decode(data))
    assert beginning == "data:image/jpeg;base64"
    assert (pixels.shape[1], pixels.shape[0]) == shown
    assert abs(pixels[5, 5].astype(int) - (150, 170, 190)).max() < 6  # the drawing's ground, BGR


@pytest.mark.parametrize("scale", [0.6, 1.0, 2.0])
def test_the_size_is_the_distance_between_the_eyes(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    put_meme(stack, drawing(scale=scale))
    left, right = keypoints_at(300, 200, scale, 0)[:2]

    (face,) = list_faces(stack, monkeypatch).body["faces"]

    assert face["size"] == pytest.approx(np.linalg.norm(right - left), abs=2)  # marks are drawn on whole pixels


def face_with(x: float, scale: float) -> Face:
    """A face at that column of the picture, with that many pixels for a pixel of the template."""
    keypoints = keypoints_at(x, 200, scale, 0)
    return Face(0, (x - 56 * scale, 200 - 56 * scale, x + 56 * scale, 200 + 56 * scale), keypoints, 0.9)


@pytest.mark.parametrize(
    ("face", "reason", "notes"),
    [
        (face_with(300, 1.2), None, []),
        (
            face_with(300, 0.3),
            "too_small",
            ["1 face cannot be swapped: too small, with less than about 12 pixels between the eyes."],
        ),
        (face_with(-8, 1.2), "cut_by_frame", ["1 face cannot be swapped: cut off by the edge of the picture."]),
    ],
)
def test_what_cannot_be_swapped_has_the_reason_that_a_swap_reports(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, face: Face, reason: str | None, notes: list[str]
) -> None:
    monkeypatch.setattr(Detector, "find", lambda detector, pixels, deadline: [face])

    body = list_faces(stack, monkeypatch).body
    (report,) = http(stack, monkeypatch, body={"meme": MEME}).body["faces"]

    assert [(each["swappable"], each["reason"]) for each in body["faces"]] == [(reason is None, reason)]
    assert report["reason"] == reason
    assert body["notes"] == notes


def test_a_picture_without_faces_has_an_empty_list_and_a_note(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.models.manifest.hint = "This pack knows drawn faces only."
    put_meme(stack, drawing(0))

    listing = list_faces(stack, monkeypatch)

    assert (listing.status, listing.body["faces"]) == (200, [])
    assert listing.body["notes"] == [
        "No face was found in the picture. Use one that shows faces clearly. This pack knows drawn faces only."
    ]


def test_a_picture_that_is_too_thin_to_be_looked_at_has_a_note_that_says_so(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_meme(stack, np.zeros((2, 9000, 3), np.uint8))

    body = list_faces(stack, monkeypatch).body

    assert (body["faces"], body["notes"][0]) == ([], "The picture is too thin to be looked at.")


def test_more_faces_than_a_swap_replaces_are_all_listed(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.settings = settings(max_faces=2)
    put_meme(stack, drawing(3, width=900))

    body = list_faces(stack, monkeypatch).body

    assert [face["swappable"] for face in body["faces"]] == [True] * 3
    assert body["notes"] == ["3 faces can be swapped, but at most 2 in one request: choose by number."]


def test_a_large_picture_has_a_note_about_faces_that_may_have_been_missed(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_meme(stack, drawing(width=3200, height=600, scale=4))

    (note,) = list_faces(stack, monkeypatch).body["notes"]

    assert note.startswith("Faces with less than 20 pixels between the eyes may have been missed")


@pytest.mark.parametrize("arrange", [damaged_list, denied_face])
def test_it_loads_neither_swapper_nor_embedder_nor_the_denylist_and_stores_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, arrange: Arrange
) -> None:
    arrange(stack, monkeypatch)
    before = set(stack.storage.objects)

    listing = list_faces(stack, monkeypatch)

    assert listing.status == 200
    assert "refused" not in str(listing.body)
    assert stack.storage.reads == [f"{UPLOADS}/requests/1/meme"]
    assert KEY not in stack.storage.reads
    assert (stack.models.pending, stack.models.embedder_loads, stack.models.bytes_fetched) == ([], 0, 0)
    assert set(stack.storage.objects) == before
    assert stack.records.items == {}


def test_it_costs_one_unit_however_large_the_picture_and_however_many_its_faces(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 2)
    put_meme(stack, drawing(9, width=2000, height=1600, scale=0.6))  # 3.2 megapixels

    assert [list_faces(stack, monkeypatch).status for _ in range(3)] == [200, 200, 429]


def test_what_could_never_be_fetched_costs_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 1)

    statuses = [list_faces(stack, monkeypatch, meme).status for meme in ("file:///etc/passwd", "data:,x", MEME)]

    assert statuses == [422, 400, 200]


def test_who_has_not_accepted_the_terms_learns_nothing(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    stack.terms = Terms(table, lambda: dynamodb)

    rejection = list_faces(stack, monkeypatch, COMMON["meme"], authorizer=ANN)

    assert (rejection.status, rejection.body["code"]) == (403, "terms_not_accepted")
    assert stack.storage.reads == []


def test_a_caller_with_its_share_of_the_sandboxes_is_turned_away_and_not_charged(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, dynamodb: Any, table: str
) -> None:
    limit_budget(stack, dynamodb, table, 1)

    def turn_away(caller: str | None, name: str) -> None:
        raise AtCapacity(retry_after=2)

    with monkeypatch.context() as patch:
        patch.setattr(stack.sandboxes, "enter", turn_away)
        rejection = list_faces(stack, patch)

    assert (rejection.status, rejection.body["code"]) == (503, "at_capacity")
    assert list_faces(stack, monkeypatch).status == 200


def test_the_content_filter_sees_the_picture_first(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    refusing_filter(stack, monkeypatch)

    rejection = list_faces(stack, monkeypatch)

    assert (rejection.status, rejection.body["code"], rejection.body["picture"]) == (403, "content_refused", "meme")


def test_only_pictures_of_the_caller_s_own_are_looked_at(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    name = new_id()
    stack.records.add(name, FixedPseudonyms().caller("iam:AIDAANN"), frozenset(), {}, frozenset())
    stack.storage.put(OUTPUTS, f"swaps/{name}.png", encode(drawing()))
    upload = f"{upload_folder(ANN)}1/upload"
    stack.storage.put(UPLOADS, upload, encode(drawing()))
    own = (f"s3://{OUTPUTS}/swaps/{name}.png", f"s3://{UPLOADS}/{upload}")

    assert [list_faces(stack, monkeypatch, uri, authorizer=ANN).status for uri in own] == [200, 200]
    assert [list_faces(stack, monkeypatch, uri, authorizer=BEN).body["code"] for uri in own] == [
        "input_not_found",
        "refused_url",
    ]
    assert list_faces(stack, monkeypatch, f"s3://{MODELS}/{KEY}", authorizer=ANN).body["code"] == "refused_url"


# What happens only once there is something to put in or to deliver.
ONLY_SWAPS = (NoFaceInMeme, NoFaceInSource, FaceRefused, LabelFailed)
ARRANGEMENTS = [
    (name, kind, arrange)
    for name, kind, arrange in CASES
    if not issubclass(kind, ONLY_SWAPS)
    and name not in ("damaged-list", "storage-write", "unreadable-signing-key", "no-face-at-all")
]


@pytest.mark.parametrize(
    ("kind", "arrange"), [case[1:] for case in ARRANGEMENTS], ids=[case[0] for case in ARRANGEMENTS]
)
def test_errors_are_those_of_a_swap(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, kind: type[ColdswapError], arrange: Arrange
) -> None:
    request = arrange(stack, monkeypatch)
    meme = str(request.get("face") or request["meme"])  # what is wrong with a face is wrong with a meme too
    swap_error = http(stack, monkeypatch, body={"meme": meme})
    swap_error.body.pop("bytes_in_vain", None)  # of the swapper

    error = list_faces(stack, monkeypatch, meme)

    assert (error.status, error.body) == (swap_error.status, swap_error.body)
    assert (error.status, error.body["code"]) == (kind.status, kind.code)


@pytest.mark.parametrize("body", [{}, {"meme": 3}, {"meme": ""}, {"meme": MEME, "faces": "all"}, [], None])
def test_a_body_that_is_not_as_described_is_refused(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, body: Any
) -> None:
    rejection = http(stack, monkeypatch, path="/faces", body=body)

    assert (rejection.status, rejection.body["code"]) == (400, "invalid_request")
    assert rejection.body["errors"]


def test_time_that_is_over_is_reported(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    rejection = list_faces(stack, monkeypatch, context=FakeContext(left=lambda: 0))

    assert (rejection.status, rejection.body["code"]) == (504, "out_of_time")


def test_the_documented_answer_is_the_listing_with_its_timings(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = list_faces(stack, monkeypatch)

    TypeAdapter(FaceListing).validate_python(listing.body)
    assert {field.name for field in fields(FaceListing)} == set(listing.body)
    assert {field.name for field in fields(ListedFace)} == set(listing.body["faces"][0])
    timing = dict(part.split(";dur=") for part in listing.headers["server-timing"].split(", "))
    assert {name: float(value) for name, value in timing.items()} == listing.body["timings_ms"]
    assert {"fetch", "decode", "detect"} <= timing.keys()


def test_one_line_of_the_log_has_who_looked_at_what_and_no_address(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = capture_log(monkeypatch)
    upload = f"{upload_folder(ANN)}1/upload"
    stack.storage.put(UPLOADS, upload, encode(drawing()))

    list_faces(stack, monkeypatch, f"s3://{UPLOADS}/{upload}", authorizer=ANN)

    (line,) = [each for each in lines(log, "req-1") if each["message"] == "faces listed"]
    assert line["digests"] == {"meme": hashlib.sha256(encode(drawing())).hexdigest()}
    assert line["caller"] == FixedPseudonyms().caller("iam:AIDAANN")
    assert line["models"] == {"detector": "d" * 64}
    assert (line["faces"], line["bytes_fetched"]) == (1, 0)
    assert upload not in log.getvalue()


@pytest.mark.parametrize(("retention", "released"), [("container", 0), ("request", 1)])
def test_models_are_released_where_the_operator_wants_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, retention: Any, released: int
) -> None:
    stack.settings = settings(model_retention=retention)

    list_faces(stack, monkeypatch)

    assert stack.models.releases == released
