"""The workflow task."""

from __future__ import annotations

import json
from typing import Any

import pytest

from layers.core.errors import InvalidRequest
from layers.core.ids import new_id
from tests.unit.swap.entry_clients import invoke
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeSwapStack, settings

TASK = {"meme": f"s3://{UPLOADS}/requests/1/meme"}


def test_a_task_gives_the_result_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = FakeSwapStack()

    result = invoke(stack, TASK, monkeypatch)

    assert json.loads(json.dumps(result))["faces"][0]["swapped"] is True
    assert result["key"].startswith("swaps/")
    assert (OUTPUTS, result["key"]) in stack.storage.objects


@pytest.mark.parametrize(
    ("key", "written"),
    [("swaps/mine", "swaps/mine.png"), ("swaps/mine.image", "swaps/mine.image"), ("swaps/a/b", "swaps/a/b.png")],
)
def test_a_task_may_name_its_result(monkeypatch: pytest.MonkeyPatch, key: str, written: str) -> None:
    assert invoke(FakeSwapStack(), {**TASK, "key": key}, monkeypatch)["key"] == written


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"meme": None},
        {**TASK, "key": "swapped/a.png"},
        {**TASK, "key": "swaps/../../x y"},
        {**TASK, "faces": [True]},
        {**TASK, "more": 1},
        {**TASK, "caller": None},
        {**TASK, "caller": "somebody", "key": "swaps/mine"},
        [TASK],
        "text",
        None,
    ],
)
def test_a_wrong_payload_is_an_invalid_request(monkeypatch: pytest.MonkeyPatch, wrong: Any) -> None:
    with pytest.raises(InvalidRequest):
        invoke(FakeSwapStack(), wrong, monkeypatch)


@pytest.mark.parametrize(
    ("payload", "detail"),
    [
        ({}, "meme is missing."),
        ({**TASK, "faces": ["all"]}, "faces[0] must be the number of a face, or an object with index and face."),
        ({**TASK, "key": "swapped/a"}, "key must begin with swaps/ and have nothing but"),
        ({**TASK, "key": "swaps/a\n"}, "key must begin with swaps/ and have nothing but"),
        ({**TASK, "key": "swaps/../a"}, "key must not have . or .. as a segment."),
        (["meme"], "The payload must be a JSON object."),
    ],
)
def test_a_mistake_in_a_payload_is_told_like_one_in_a_body(
    monkeypatch: pytest.MonkeyPatch, payload: Any, detail: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        invoke(FakeSwapStack(), payload, monkeypatch)

    assert caught.value.detail.startswith(detail)


def test_a_swap_that_the_version_before_queued_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """As its POST /swap gave it to the workflow: whole, and with who asked."""
    name = new_id()
    queued = {
        "meme": f"s3://{UPLOADS}/requests/{name}/meme",
        "face": None,
        "faces": "all",
        "format": None,
        "quality": 90,
        "color_match": True,
        "soft_edges": True,
        "badge": False,
        "consent": None,
        "caller": "arn:aws:sts::123456789012:assumed-role/app/ann",
        "key": f"swaps/{name}",
    }
    stack = FakeSwapStack()
    stack.storage.put(UPLOADS, f"requests/{name}/meme", stack.storage.objects[UPLOADS, "requests/1/meme"].data)

    assert invoke(stack, queued, monkeypatch)["key"] == f"swaps/{name}.png"


@pytest.mark.parametrize(("retention", "released"), [("container", 0), ("request", 1)])
def test_models_stay_as_long_as_the_operator_wants(
    monkeypatch: pytest.MonkeyPatch, retention: Any, released: int
) -> None:
    stack = FakeSwapStack(settings=settings(model_retention=retention))

    invoke(stack, TASK, monkeypatch)

    assert stack.models.releases == released
