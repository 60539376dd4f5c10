"""Models are asked for before a request is read, those of a new face before its picture; what is in vain is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.swap.pipeline import SwapRun
from functions.swap.values import SwapRequest
from layers.core.deadline import Deadline
from layers.core.errors import NoFaceInMeme
from tests.unit.swap.entry_clients import http, invoke
from tests.unit.swap.fake_stack import UPLOADS, FakePendingSwapper, FakeSwapStack, drawing, encode, settings
from tests.unit.swap.safeguards.test_denylist import ONE, put_denylist

MEME, FACE = f"s3://{UPLOADS}/requests/1/meme", f"s3://{UPLOADS}/requests/1/face"


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def swap(stack: FakeSwapStack, request: SwapRequest) -> Any:
    return stack.services.swap(request, key="swaps/1", deadline=Deadline.after(60)).result


@pytest.mark.parametrize(
    ("method", "path", "headers", "anticipated"),
    [
        ("POST", "/swap", {}, ["swap"]),
        ("POST", "/swap", {"prefer": "respond-async"}, []),
        ("POST", "/faces", {}, []),
        ("GET", "/swap/1", {}, []),
        ("GET", "/terms", {}, []),
    ],
)
def test_only_a_swap_that_is_made_at_once_has_its_models_asked_for(
    stack: FakeSwapStack,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    headers: dict[str, Any],
    anticipated: list[str],
) -> None:
    http(stack, monkeypatch, method, path, {"meme": 1}, **headers)  # refused, where it has a body
    assert stack.models.anticipated == anticipated


def test_boto3_is_imported_before_a_request_has_threads_which_may_not_do_it_together(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects: list[int] = []
    start = stack.models.start_swapper

    def start_and_note(deadline: Deadline, **named: Any) -> Any:
        connects.append(stack.storage.connects)
        return start(deadline, **named)

    monkeypatch.setattr(stack.models, "start_swapper", start_and_note)
    assert http(stack, monkeypatch, body={"meme": MEME}).status in (200, 404)
    assert connects == [1]


@pytest.mark.parametrize(
    ("event", "anticipated"),
    [
        ({"meme": MEME, "face": MEME}, True),
        ({"swap": "an-id"}, True),
        ({"step": "begin"}, False),
        ({"detail-type": "Step Functions Execution Status Change", "detail": {}}, False),
        ("text", False),
    ],
)
def test_so_has_a_task_of_a_workflow(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, event: Any, anticipated: bool
) -> None:
    monkeypatch.setattr("functions.swap.app._dispatch", lambda *_: {})
    invoke(stack, event, monkeypatch)
    assert stack.models.anticipated == (["swap"] if anticipated else [])


def test_with_another_engine_asked_first_nothing_is_anticipated(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.swap.app._dispatch", lambda *_: {})
    stack.settings = replace(stack.settings, remote_swapper="arn:secret")
    invoke(stack, {"meme": MEME}, monkeypatch)
    assert stack.models.anticipated == []


def test_what_a_refused_request_had_fetched_is_in_the_log(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stack.models.bytes_anticipated = 77
    assert http(stack, monkeypatch, body={"meme": 1}).status == 400
    assert [vars(record)["bytes_in_vain"] for record in caplog.records if "bytes_in_vain" in vars(record)] == [77]
    assert stack.models.bytes_anticipated == 0


@pytest.mark.parametrize(
    ("face", "keeps_latents", "anticipated"), [(FACE, False, ["embedder"]), (FACE, True, []), (None, False, [])]
)
def test_the_embedder_comes_first_where_the_face_cannot_have_a_latent(
    stack: FakeSwapStack, face: str | None, keeps_latents: bool, anticipated: list[str]
) -> None:
    stack.settings = settings(cache_latents=keeps_latents)
    stack.storage.put(UPLOADS, "requests/1/face", encode(drawing()))
    swap(stack, SwapRequest(MEME, face))
    assert stack.models.anticipated == anticipated


def test_what_came_of_the_embedder_in_vain_is_counted_with_the_swapper(stack: FakeSwapStack) -> None:
    stack.storage.put(UPLOADS, "requests/1/meme", encode(drawing(0)))
    stack.models.bytes_anticipated = 77
    with pytest.raises(NoFaceInMeme) as caught:
        swap(stack, SwapRequest(MEME))
    assert caught.value.extra["bytes_in_vain"] == 1000 + 77


def test_so_is_what_no_chosen_face_needed(stack: FakeSwapStack) -> None:
    stack.models.bytes_anticipated = 77
    assert swap(stack, SwapRequest(MEME)).bytes_in_vain == 77


@pytest.mark.parametrize(("is_over", "anticipated"), [(False, ["embedder"]), (True, [])])
def test_a_do_not_swap_list_asks_for_the_embedder_unless_the_swap_is_over_when_it_comes(
    stack: FakeSwapStack, is_over: bool, anticipated: list[str]
) -> None:
    put_denylist(stack, ONE)
    run = SwapRun(SwapRequest(MEME), stack.services.context(Deadline.after(60)))
    if is_over:
        run.drop()
    run._load_denylist()
    run.close()
    assert stack.models.anticipated == anticipated


def test_what_came_before_the_request_was_read_counts_as_fetched_for_it(stack: FakeSwapStack) -> None:
    stack.models.bytes_fetched, stack.models.bytes_anticipated = 5000 + 77, 77
    assert swap(stack, SwapRequest(MEME)).bytes_fetched == 77 + FakePendingSwapper.size
