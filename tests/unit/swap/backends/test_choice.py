"""What the operator's secret says, and that nothing of it is ever quoted."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from functions.swap.backends import choice
from functions.swap.backends.choice import Misconfigured, choose_remotes, parse_remote
from functions.swap.backends.interfaces import Backend
from functions.swap.backends.replicate import Replicate
from functions.swap.backends.whole_still import WholeStills
from functions.swap.backends.worker import Worker
from layers.core.errors import StorageFailed
from tests.unit.swap.fake_stack import OUTPUTS, MemoryStorage

VERSION = "somebody/face-swap:" + "ab" * 32


def choose(secret: str) -> tuple[Backend, ...]:
    return choose_remotes(secret, cast(Any, MemoryStorage()), OUTPUTS)


def test_a_worker_is_named_by_its_url() -> None:
    text = json.dumps({"url": "https://gpu.example", "token": " sesame\n".strip(), "dollars_per_second": 0.0002})
    assert parse_remote(text) == Worker("https://gpu.example", "sesame", 0.0002)
    assert "sesame" not in repr(parse_remote(text))


def test_replicate_is_named_by_a_version_of_a_model() -> None:
    remote = parse_remote(json.dumps({"replicate": VERSION, "token": "r8_x", "meme_field": "destination_image"}))
    assert remote == Replicate(VERSION, "r8_x", 0.0, "destination_image", "swap_image")


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"token": "sesame"},
        {"url": "https://gpu.example", "replicate": VERSION, "token": "sesame"},
        {"url": "gpu.example", "token": "sesame"},
        {"url": "file:///etc/passwd", "token": "sesame"},
        {"url": 7, "token": "sesame"},
        {"url": "https://gpu.example:99999", "token": "sesame"},
        {"url": "https://gpu.example:sesame", "token": ""},
        {"url": "https://[sesame", "token": ""},
        {"url": "https://gpu.example", "token": "sesame\n"},
        {"url": "https://gpu.example", "token": 7},
        {"url": "https://gpu.example", "token": "sesame", "dollars_per_second": "cheap"},
        {"url": "https://gpu.example", "token": "sesame", "dollars_per_second": -1},
        {"url": "https://gpu.example", "token": "sesame", "colour": "red"},
        {"replicate": "latest", "token": "sesame"},
        {"replicate": VERSION},
        {"replicate": VERSION, "token": "sesame", "face_field": "__class__ "},
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_without_being_quoted(document: object) -> None:
    with pytest.raises(Misconfigured) as refused:
        parse_remote(json.dumps(document) if document is not None else "sesame")
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("document", "kind"),
    [({"url": "https://gpu.example"}, Worker), ({"replicate": VERSION, "token": "r8_x"}, WholeStills)],
)
def test_what_a_secret_names_is_asked(
    monkeypatch: pytest.MonkeyPatch, document: dict[str, str], kind: type[Backend]
) -> None:
    monkeypatch.setattr(choice, "read_secret", lambda _: json.dumps(document))
    assert [type(backend) for backend in choose("arn")] == [kind]


def test_without_a_secret_there_is_none() -> None:
    assert choose("") == ()


def test_a_secret_that_cannot_be_used_leaves_the_work_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "read_secret", lambda _: '{"token": "sesame"}')
    assert choose("arn") == ()

    def refuse(_: str) -> str:
        raise StorageFailed("A secret of the stack could not be read. Try again.")

    monkeypatch.setattr(choice, "read_secret", refuse)
    assert choose("arn") == ()
    assert caplog.text.count("no swapper elsewhere") == 2
    assert "sesame" not in caplog.text
