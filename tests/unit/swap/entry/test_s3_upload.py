"""The upload entry."""

from __future__ import annotations

import socket
from dataclasses import asdict
from typing import Any
from urllib.parse import quote_plus

import pytest

from functions.swap.entry.s3_upload import MAX_NAME_BYTES
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
    UpstreamFailed,
)
from layers.core.storage import StoredObject
from tests.unit.swap.entry_clients import invoke, upload_event
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, drawing, encode


@pytest.fixture
def stack() -> FakeSwapStack:
    stack = FakeSwapStack()
    stack.storage.put(UPLOADS, "memes/a.png", encode(drawing()))
    return stack


def outputs(stack: FakeSwapStack) -> set[str]:
    return {key for bucket, key in stack.storage.objects if bucket == OUTPUTS}


def test_an_upload_gives_a_picture_and_what_is_known_of_it(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke(stack, upload_event(), monkeypatch)

    assert outputs(stack) == {"swapped/a.png", "swapped/a.png.json"}
    document = stack.storage.json("swapped/a.png.json")
    assert document["key"] == "swapped/a.png"
    assert document["faces"][0]["swapped"] is True
    assert "url" not in document
    stored = stack.storage.objects[OUTPUTS, "swapped/a.png"]
    assert (stored.content_type, len(stored.data)) == ("image/png", document["bytes"])


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("memes/a+b.png", "a b.png"),
        ("memes/gr%C3%BC%C3%9Fe%2B1.png", "grüße+1.png"),
        ("memes/deep/er/a.png", "deep/er/a.png"),
        ("memes/no-extension", "no-extension"),
    ],
)
def test_keys_are_decoded_and_kept(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, key: str, name: str) -> None:
    stack.storage.put(UPLOADS, f"memes/{name}", encode(drawing()))

    invoke(stack, upload_event(key), monkeypatch)

    assert outputs(stack) == {f"swapped/{name}", f"swapped/{name}.json"}


def test_a_face_whose_name_is_not_ascii_is_found(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.storage.put(UPLOADS, "requests/1/J\u00fcrgen", encode(drawing(scale=1.6)))
    encoded = f"=?UTF-8?Q?s3://{UPLOADS}/requests/1/J=C3=BCrgen?="  # as S3 returns it
    stack.storage.put(UPLOADS, "memes/a.png", encode(drawing()), face=encoded)

    invoke(stack, upload_event(), monkeypatch)

    assert outputs(stack) == {"swapped/a.png", "swapped/a.png.json"}


def test_metadata_overrides_the_default_face(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    other = drawing(scale=1.6)
    other[:40] = 0
    stack.storage.put(UPLOADS, "requests/1/face", encode(other))
    invoke(stack, upload_event(), monkeypatch)
    stack.storage.put(UPLOADS, "memes/b.png", encode(drawing()), face=f"s3://{UPLOADS}/requests/1/face")

    invoke(stack, upload_event("memes/b.png"), monkeypatch)

    assert "uploads/requests/1/face" in stack.storage.reads
    assert stack.models.embedder_loads == 2


@pytest.mark.parametrize("letter", ["-", "\u00e9"])
def test_a_name_that_leaves_no_room_for_an_answer_is_refused_before_any_work(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, letter: str
) -> None:
    longest = letter * (MAX_NAME_BYTES // len(letter.encode()))
    for name in (longest, longest + letter):
        stack.storage.put(UPLOADS, f"memes/{name}", encode(drawing()))

    invoke(stack, upload_event(quote_plus(f"memes/{longest}", safe="/")), monkeypatch)
    with pytest.raises(InvalidRequest):
        invoke(stack, upload_event(quote_plus(f"memes/{longest}{letter}", safe="/")), monkeypatch)

    assert outputs(stack) == {f"swapped/{longest}", f"swapped/{longest}.json"}
    assert max(len(key.encode()) for key in outputs(stack)) <= 1024 < len(f"swapped/{longest}{letter}.json".encode())
    assert len(stack.models.swapper.crops) == 1


def test_a_second_delivery_changes_nothing(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke(stack, upload_event(), monkeypatch)
    before = {place: asdict(stored) for place, stored in stack.storage.objects.items()}
    stack.models.swapper.colour = (1, 2, 3)

    outcome = invoke(stack, upload_event(), monkeypatch)

    assert outcome == {"outcomes": ["swapped/a.png"]}
    assert {place: asdict(stored) for place, stored in stack.storage.objects.items()} == before
    assert len(stack.models.swapper.crops) == 1


def test_another_version_of_the_same_name_is_swapped_anew(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    invoke(stack, upload_event(), monkeypatch)
    stack.storage.put(UPLOADS, "memes/a.png", encode(drawing()))
    invoke(stack, upload_event(sequencer="0055AED6DCD90281E6"), monkeypatch)

    assert len(stack.models.swapper.crops) == 2, "the same bytes, uploaded once more"


def test_a_failure_is_delivered_once_too(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.models.failure = NoFaceInMeme("No face was found in the meme.")
    invoke(stack, upload_event(), monkeypatch)
    stack.models.failure = None

    outcome = invoke(stack, upload_event(), monkeypatch)

    assert outcome == {"outcomes": ["failed/a.png.json"]}
    assert outputs(stack) == {"failed/a.png.json"}


@pytest.mark.parametrize("kind", [ModelsMissing, ModelsCorrupt, SafeguardFailed, LabelFailed])
def test_an_upload_that_only_the_operator_can_cure_tells_why_and_is_swapped_once_that_is_done(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, kind: type[ColdswapError]
) -> None:
    stack.models.failure = kind()
    with pytest.raises(kind):  # which makes it a dead letter in the end
        invoke(stack, upload_event(), monkeypatch)
    assert stack.storage.json("failed/a.png.json")["code"] == kind.code
    stack.models.failure = None

    outcome = invoke(stack, upload_event(), monkeypatch)

    assert outcome == {"outcomes": ["swapped/a.png"]}
    assert outputs(stack) == {"swapped/a.png", "swapped/a.png.json"}


def test_an_upload_that_waits_for_the_operator_does_not_hold_up_the_others(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.storage.put(UPLOADS, "memes/b.png", encode(drawing()))
    stack.models.failure = ModelsMissing()
    event = {"Records": upload_event()["Records"] + upload_event("memes/b.png")["Records"]}

    with pytest.raises(ModelsMissing):
        invoke(stack, event, monkeypatch)

    assert outputs(stack) == {"failed/a.png.json", "failed/b.png.json"}


def test_what_a_retry_can_cure_is_raised_and_cured(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.storage.failures["write", "swapped/"] = StorageFailed("S3 answered 500.")
    with pytest.raises(StorageFailed):
        invoke(stack, upload_event(), monkeypatch)
    assert outputs(stack) == {"failed/a.png.json"}
    stack.storage.failures.clear()

    invoke(stack, upload_event(), monkeypatch)

    assert outputs(stack) == {"swapped/a.png", "swapped/a.png.json"}


def test_a_face_at_a_host_that_does_not_exist_is_told_from_the_first_try_to_the_last(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    stack.storage.put(UPLOADS, "memes/a.png", encode(drawing()), face="https://nowhere.example/me.png")

    for will_be_retried in (True, True, False):
        with pytest.raises(UpstreamFailed):
            invoke(stack, upload_event(), monkeypatch)
        problem = stack.storage.json("failed/a.png.json")
        assert (problem["code"], problem["will_be_retried"]) == ("upstream_failed", will_be_retried)
        assert "nowhere.example" in problem["detail"]


def test_one_record_that_has_to_wait_does_not_hold_up_the_others(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.storage.put(UPLOADS, "memes/b.png", encode(drawing()))
    stack.storage.failures["write", "swapped/a"] = StorageFailed("S3 answered 500.")
    event = {"Records": upload_event()["Records"] + upload_event("memes/b.png")["Records"]}

    with pytest.raises(StorageFailed):
        invoke(stack, event, monkeypatch)

    assert outputs(stack) == {"failed/a.png.json", "swapped/b.png", "swapped/b.png.json"}


def test_a_delivery_while_the_first_is_at_work_is_tried_again(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = stack.models.start_swapper
    inner: list[Any] = []

    def deliver_again(deadline: Any, **named: Any) -> Any:
        with pytest.raises(StillRunning):
            invoke(stack, upload_event(), monkeypatch)
        inner.append(True)
        return start(deadline, **named)

    monkeypatch.setattr(stack.models, "start_swapper", deliver_again)

    invoke(stack, upload_event(), monkeypatch)

    assert inner == [True]
    assert outputs(stack) == {"swapped/a.png", "swapped/a.png.json"}


def test_an_upload_taken_back_before_its_turn_is_reported(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    del stack.storage.objects[UPLOADS, "memes/a.png"]

    invoke(stack, upload_event(), monkeypatch)

    assert stack.storage.json("failed/a.png.json")["code"] == "input_not_found"


def test_a_folder_made_in_the_console_is_nothing(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke(stack, upload_event("memes/folder/"), monkeypatch) == {"outcomes": []}
    assert outputs(stack) == set()


def test_s3s_own_test_event_is_nothing(stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert invoke(stack, {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": UPLOADS}, monkeypatch) is None


def test_a_result_without_transparency_lost_keeps_its_type(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack.storage.objects[UPLOADS, "memes/a.jpg"] = StoredObject(encode(drawing(), ".jpg"), "e", "binary/octet-stream")

    invoke(stack, upload_event("memes/a.jpg"), monkeypatch)

    assert stack.storage.objects[OUTPUTS, "swapped/a.jpg"].content_type == "image/jpeg"
