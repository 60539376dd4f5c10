"""Packs in the deployed stack: published, verified and rolled back by the commands, under traffic."""

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
from tests.support.swap_client import SwapClient

MEME = "works-on-my-machine"
SWITCHES = 6


@dataclass(frozen=True)
class Commands:
    """`python -m layers.models`, for the deployed stack."""

    capture: pytest.CaptureFixture[str]
    catalogue: Catalogue = CATALOGUE

    def __call__(self, *arguments: str | Path) -> Any:
        """Run a command that must succeed; its output."""
        status, output = self.run(*arguments)
        assert status == 0, output
        return output

    def run(self, *arguments: str | Path) -> tuple[int, Any]:
        """Run a command; its exit status and output."""
        status = main([*map(str, arguments), "--json"], self.catalogue)
        return status, json.loads(self.capture.readouterr().out)


@pytest.fixture
def commands(
    stack: SwapClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Commands:
    use_cloud(stack.cloud, monkeypatch)
    monkeypatch.chdir(tmp_path)
    return Commands(capsys)


def use_cloud(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let boto3, and so the commands, use this cloud."""
    for name, value in {**CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": cloud.endpoint}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(storage, "_clients", {})


@dataclass(frozen=True)
class SwapFingerprint:
    """A swap's models and pixels, to compare swaps."""

    models: tuple[tuple[str, str], ...]  # the pack's name, and the digest of each model
    picture: str  # SHA-256 of the pixels: the label has a date


def swap_largest_face(cloud: Cloud, request: dict[str, str]) -> SwapFingerprint:
    """Swap the largest face."""
    response = cloud.request("POST", "/swap", {"faces": "largest", "format": "png", **request})
    assert response.status_code == 200, response.text
    result = response.json()
    body = cloud.client("s3").get_object(Bucket=cloud.bucket("outputs"), Key=result["key"])["Body"].read()
    pixels = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    return SwapFingerprint(tuple(sorted(result["models"].items())), hashlib.sha256(pixels.tobytes()).hexdigest())


class Traffic:
    """Clients that repeat the same swap until the block ends."""

    def __init__(self, cloud: Cloud, request: dict[str, str], clients: int = 2) -> None:
        self.answers: list[SwapFingerprint] = []
        self._over = threading.Event()
        self._failures: list[BaseException] = []
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
        if self._failures:
            raise self._failures[0]

    def wait_for_answers(self, count: int = 1) -> None:
        """Return after `count` further swaps."""
        target = len(self.answers) + count
        wait_for(lambda: len(self.answers) >= target or self._failures or None)

    def _ask(self) -> None:
        try:
            while not self._over.is_set():
                self.answers.append(swap_largest_face(self._cloud, self._request))
        except BaseException as error:
            self._failures.append(error)


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
    commands: Commands, two_packs: tuple[str, str], stack: SwapClient
) -> None:
    one, two = two_packs
    packs = {each["digest"]: each for each in commands("list")["packs"]}
    assert (packs[one]["current"], packs[two]["current"]) == (False, True)
    assert packs[two]["models"]["swapper"]["parity"]["psnr_db"] > 80
    assert commands("verify", "--all")["faults"] == 0
    assert commands("rollback", one[:16])["digest"] == one
    assert commands("list", "--bucket", stack.cloud.bucket("models"))["bucket"] == stack.cloud.bucket("models")


def test_no_request_sees_a_mixed_pack(
    commands: Commands, two_packs: tuple[str, str], stack: SwapClient, pictures: dict[str, Path]
) -> None:
    request = {"meme": stack.upload(pictures[MEME].read_bytes())}
    expected = set()
    for digest in two_packs:
        commands("rollback", digest)
        expected.add(swap_largest_face(stack.cloud, request))
    assert len({answer.picture for answer in expected}) == 2
    assert len({answer.models for answer in expected}) == 2

    with Traffic(stack.cloud, request) as traffic:
        for turn in range(SWITCHES):
            commands("rollback", two_packs[turn % 2])
            traffic.wait_for_answers(3)

    assert set(traffic.answers) == expected
