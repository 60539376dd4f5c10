"""Packs in the deployed stack: published, checked and rolled back by the commands, under traffic."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from layers.core import storage
from layers.models.tools.catalogue import CATALOGUE, Catalogue
from layers.models.tools.cli import main
from local.cloud import CREDENTIALS, REGION, ROOT, STACK, Cloud
from local.swap_clients import wait_for
from tests.support import model_standins
from tests.support.swap_client import SwapClients

MEME = "works-on-my-machine"
SWITCHES = 6


@dataclass(frozen=True)
class Commands:
    """`python -m layers.models`, for the deployed stack."""

    capture: pytest.CaptureFixture[str]
    catalogue: Catalogue = CATALOGUE

    def __call__(self, *arguments: str | Path) -> Any:
        """What a command says, which must succeed."""
        status, said = self.run(*arguments)
        assert status == 0, said
        return said

    def run(self, *arguments: str | Path) -> tuple[int, Any]:
        """A command's exit status, and what it says."""
        status = main([*map(str, arguments), "--json"], self.catalogue)
        return status, json.loads(self.capture.readouterr().out)


@pytest.fixture
def commands(
    stack: SwapClients, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Commands:
    address(stack.cloud, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return Commands(capsys)


def address(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets boto3, and so the commands, speak to this cloud."""
    for name, value in {**CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": cloud.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "_clients", {})


@dataclass(frozen=True)
class Answer:
    """What a swap says of its models, and what it made."""

    models: tuple[tuple[str, str], ...]  # the pack's name, and the digest of each model
    picture: str  # SHA-256 of the pixels: the label has a date


def ask(cloud: Cloud, request: dict[str, str]) -> Answer:
    """Swaps the largest face."""
    answer = cloud.request("POST", "/swap", {"faces": "largest", "format": "png", **request})
    assert answer.status_code == 200, answer.text
    result = answer.json()
    body = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=result["key"])["Body"].read()
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return Answer(tuple(sorted(result["models"].items())), hashlib.sha256(pixels.tobytes()).hexdigest())


class Traffic:
    """Clients that ask for the same swap again and again, until the block ends."""

    def __init__(self, cloud: Cloud, request: dict[str, str], clients: int = 2) -> None:
        self.answers: list[Answer] = []
        self._over = threading.Event()
        self._failed: list[BaseException] = []
        self._cloud, self._request = cloud, request
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise self._failed[0]

    def pass_by(self, count: int = 1) -> None:
        """Returns after so many further answers."""
        upto = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= upto or self._failed or None)

    def _ask(self) -> None:
        try:
            while not self._over.is_set():
                self.answers.append(ask(self._cloud, self._request))
        except BaseException as error:
            self._failed.append(error)


@pytest.fixture
def two_packs(commands: Commands, pointer: dict[str, Any]) -> tuple[str, str]:
    """Digests of two published packs that have no swapper in common; the second is in use."""
    digests = []
    demo = ROOT / "local/demo_pack"
    other = model_standins.inswapper(Path("other.onnx"), "fp16-weights", width=32)
    for name, options in (("one", ()), ("two", ("--swapper", other))):
        commands("build", "--from", demo, "--licence", "MIT", "--name", name, *options)
        digests.append(str(commands("publish", "--pack", name, "--stack", STACK)["digest"]))
    return digests[0], digests[1]


def test_packs_are_listed_checked_and_chosen_by_the_stack_s_name(
    commands: Commands, two_packs: tuple[str, str], stack: SwapClients
) -> None:
    one, two = two_packs
    packs = {each["digest"]: each for each in commands("list")["packs"]}
    assert (packs[one]["current"], packs[two]["current"]) == (False, True)
    assert packs[two]["models"]["swapper"]["parity"]["psnr_db"] > 80
    assert commands("verify", "--all")["faults"] == 0
    assert commands("rollback", one[:16])["digest"] == one
    assert commands("list", "--bucket", stack.cloud.bucket("models"))["bucket"] == stack.cloud.bucket("models")


def test_no_request_sees_a_mixed_pack(
    commands: Commands, two_packs: tuple[str, str], stack: SwapClients, drawn: dict[str, Path]
) -> None:
    request = {"meme": stack.put(drawn[MEME].read_bytes())}
    expected = set()
    for digest in two_packs:
        commands("rollback", digest)
        expected.add(ask(stack.cloud, request))
    assert len({answer.picture for answer in expected}) == 2
    assert len({answer.models for answer in expected}) == 2

    with Traffic(stack.cloud, request) as traffic:
        for turn in range(SWITCHES):
            commands("rollback", two_packs[turn % 2])
            traffic.pass_by(3)

    assert set(traffic.answers) == expected
