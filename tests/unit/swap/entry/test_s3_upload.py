"""The upload entry."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from urllib.parse import quote_plus

import pytest

from functions.swap.entry.s3_upload import MOST_NAME_BYTES
from layers.core.errors import (
    ColdswapError,
    InvalidRequest,
    LabelFailed,
    ModelsCorrupt,
    ModelsMissing,
    NoFaceInMeme,
    SafeguardFailed,
    StillRunning,
    StorageFailed,
)
from layers.core.storage import StoredObject
from tests.unit.swap.entry_clients import invoke, upload_event
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, drawing, encoded


@pytest.fixture
def world() -> FakeSwapStack:
    world = FakeSwapStack()
    world.storage.put(UPLOADS, "memes/a.png", encoded(drawing()))
    return world


def outputs(world: FakeSwapStack) -> set[str]:
    return {key for bucket, key in world.storage.objects if bucket == OUTPUTS}


def test_an_upload_gives_a_picture_and_what_is_known_of_it(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke(world, upload_event(), monkeypatch)

    assert outputs(world) == {"swapped/a.png", "swapped/a.png.json"}
    document = world.storage.json("swapped/a.png.json")
    assert document["key"] == "swapped/a.png"
    assert document["faces"][0]["swapped"] is True
    assert "url" not in document
    stored = world.storage.objects[OUTPUTS, "swapped/a.png"]
    assert (stored.content_type, len(stored.data)) == ("image/png", document["bytes"])


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        ("memes/a+b.png", "a b.png"),
        ("memes/gr%C3%BC%C3%9Fe%2B1.png", "grüße+1.png"),
        ("memes/deep/er/a.png", "deep/er/a.png"),
        ("memes/no-extension", "no-extension"),
    ],
)
def test_keys_are_decoded_and_kept(world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, sent: str, name: str) -> None:
    world.storage.put(UPLOADS, f"memes/{name}", encoded(drawing()))

    invoke(world, upload_event(sent), monkeypatch)

    assert outputs(world) == {f"swapped/{name}", f"swapped/{name}.json"}


def test_metadata_overrides_the_default_face(world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    other = drawing(scale=1.6)
    other[:40] = 0
    world.storage.put(UPLOADS, "requests/1/face", encoded(other))
    invoke(world, upload_event(), monkeypatch)
    world.storage.put(UPLOADS, "memes/b.png", encoded(drawing()), face=f"s3://{UPLOADS}/requests/1/face")

    invoke(world, upload_event("memes/b.png"), monkeypatch)

    assert "uploads/requests/1/face" in world.storage.reads
    assert world.models.embedded == 2


@pytest.mark.parametrize("letter", ["-", "\u00e9"])
def test_a_name_that_leaves_no_room_for_an_answer_is_refused_before_any_work(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, letter: str
) -> None:
    longest = letter * (MOST_NAME_BYTES // len(letter.encode()))
    for name in (longest, longest + letter):
        world.storage.put(UPLOADS, f"memes/{name}", encoded(drawing()))

    invoke(world, upload_event(quote_plus(f"memes/{longest}", safe="/")), monkeypatch)
    with pytest.raises(InvalidRequest):
        invoke(world, upload_event(quote_plus(f"memes/{longest}{letter}", safe="/")), monkeypatch)

    assert outputs(world) == {f"swapped/{longest}", f"swapped/{longest}.json"}
    assert max(len(key.encode()) for key in outputs(world)) <= 1024 < len(f"swapped/{longest}{letter}.json".encode())
    assert len(world.models.made.crops) == 1


def test_a_second_delivery_changes_nothing(world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke(world, upload_event(), monkeypatch)
    before = {place: asdict(thing) for place, thing in world.storage.objects.items()}
    world.models.made.colour = (1, 2, 3)

    answer = invoke(world, upload_event(), monkeypatch)

    assert answer == {"outcomes": ["swapped/a.png"]}
    assert {place: asdict(thing) for place, thing in world.storage.objects.items()} == before
    assert len(world.models.made.crops) == 1


def test_another_version_of_the_same_name_is_swapped_anew(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke(world, upload_event(), monkeypatch)
    invoke(world, upload_event(sequencer="0055AED6DCD90281E6"), monkeypatch)

    assert len(world.models.made.crops) == 2


def test_a_failure_is_delivered_once_too(world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    world.models.failure = NoFaceInMeme("No face was found in the meme.")
    invoke(world, upload_event(), monkeypatch)
    world.models.failure = None

    answer = invoke(world, upload_event(), monkeypatch)

    assert answer == {"outcomes": ["failed/a.png.json"]}
    assert outputs(world) == {"failed/a.png.json"}


@pytest.mark.parametrize("kind", [ModelsMissing, ModelsCorrupt, SafeguardFailed, LabelFailed])
def test_an_upload_that_only_the_operator_can_cure_tells_why_and_is_swapped_once_that_is_done(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, kind: type[ColdswapError]
) -> None:
    world.models.failure = kind()
    with pytest.raises(kind):  # which makes it a dead letter in the end
        invoke(world, upload_event(), monkeypatch)
    assert world.storage.json("failed/a.png.json")["code"] == kind.code
    world.models.failure = None

    answer = invoke(world, upload_event(), monkeypatch)

    assert answer == {"outcomes": ["swapped/a.png"]}
    assert outputs(world) == {"swapped/a.png", "swapped/a.png.json"}


def test_an_upload_that_waits_for_the_operator_does_not_hold_up_the_others(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.storage.put(UPLOADS, "memes/b.png", encoded(drawing()))
    world.models.failure = ModelsMissing()
    event = {"Records": upload_event()["Records"] + upload_event("memes/b.png")["Records"]}

    with pytest.raises(ModelsMissing):
        invoke(world, event, monkeypatch)

    assert outputs(world) == {"failed/a.png.json", "failed/b.png.json"}


def test_what_a_retry_can_cure_is_raised_and_cured(world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    world.storage.failures["write", "swapped/"] = StorageFailed("S3 answered 500.")
    with pytest.raises(StorageFailed):
        invoke(world, upload_event(), monkeypatch)
    assert outputs(world) == set()
    world.storage.failures.clear()

    invoke(world, upload_event(), monkeypatch)

    assert outputs(world) == {"swapped/a.png", "swapped/a.png.json"}


def test_one_record_that_has_to_wait_does_not_hold_up_the_others(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.storage.put(UPLOADS, "memes/b.png", encoded(drawing()))
    world.storage.failures["write", "swapped/a"] = StorageFailed("S3 answered 500.")
    event = {"Records": upload_event()["Records"] + upload_event("memes/b.png")["Records"]}

    with pytest.raises(StorageFailed):
        invoke(world, event, monkeypatch)

    assert outputs(world) == {"swapped/b.png", "swapped/b.png.json"}


def test_a_delivery_while_the_first_is_at_work_is_tried_again(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = world.models.start_swapper
    inner: list[Any] = []

    def deliver_again(deadline: Any) -> Any:
        with pytest.raises(StillRunning):
            invoke(world, upload_event(), monkeypatch)
        inner.append(True)
        return start(deadline)

    monkeypatch.setattr(world.models, "start_swapper", deliver_again)

    invoke(world, upload_event(), monkeypatch)

    assert inner == [True]
    assert outputs(world) == {"swapped/a.png", "swapped/a.png.json"}


def test_an_upload_taken_back_before_its_turn_is_reported(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    del world.storage.objects[UPLOADS, "memes/a.png"]

    invoke(world, upload_event(), monkeypatch)

    assert world.storage.json("failed/a.png.json")["code"] == "input_not_found"


def test_a_folder_made_in_the_console_is_nothing(world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke(world, upload_event("memes/folder/"), monkeypatch) == {"outcomes": []}
    assert outputs(world) == set()


def test_s3s_own_test_event_is_nothing(world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke(world, {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": UPLOADS}, monkeypatch) is None


def test_a_result_without_transparency_lost_keeps_its_type(
    world: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.storage.objects[UPLOADS, "memes/a.jpg"] = StoredObject(encoded(drawing(), ".jpg"), "e", "binary/octet-stream")

    invoke(world, upload_event("memes/a.jpg"), monkeypatch)

    assert world.storage.objects[OUTPUTS, "swapped/a.jpg"].content_type == "image/jpeg"
