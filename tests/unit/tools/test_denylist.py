"""The do-not-swap list as an operator keeps it, and as the demo pack's own models see it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from functions.swap.safeguards.denylist import KEY, THRESHOLD, Denylist
from layers.core import storage
from layers.core.errors import InvalidRequest, NoFaceInSource
from layers.media.picture import Pixels
from layers.models.tools.publish import publish
from local.demo_pack.training.measure import portrait
from tests.support.faulty_s3 import Fault, FaultyS3
from tests.unit.models import toys
from tests.unit.swap.test_pipeline_with_demo_pack import PACK
from tools.denylist import DenylistFile, Embedding, main, remove

DEMO_THRESHOLD = 0.6  # as docs/responsible-use.md advises for drawn faces
LIKE, UNLIKE = 6, 12  # people listed, and others


@cache
def _published() -> dict[str, bytes]:
    licences: Any = dict.fromkeys(("detector", "embedder", "swapper"), "MIT")
    with FaultyS3() as server:
        publish(PACK, "models", server.client(), "demo", licences)
        return {key: bytes(data) for key, data in server.objects.items()}


@dataclass(frozen=True)
class FakeModelsBucket:
    s3: FaultyS3
    folder: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str | Path) -> tuple[int, Any, str]:
        """Exit status, what it said as JSON if anything, and standard error."""
        command, *rest = (str(each) for each in arguments)
        status = main([command, "--bucket", "models", *rest])
        out, err = self.capture.readouterr()
        return status, json.loads(out) if out else None, err

    def picture(self, person: int, moment: int, change: Callable[[Pixels], Any] | None = None) -> Path:
        """A drawn portrait of somebody of the reserve, in a file."""
        pixels, _ = portrait(person, moment)
        path = self.folder / f"{person}-{moment}.png"
        cv2.imwrite(str(path), pixels if change is None else np.asarray(change(pixels), np.uint8))
        return path

    def listed(self) -> Denylist:
        return Denylist.parse(bytes(self.s3.objects[f"models/{KEY}"]))


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[FakeModelsBucket]:
    monkeypatch.setattr(storage, "_clients", {})
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with FaultyS3() as s3:
        monkeypatch.setenv("AWS_ENDPOINT_URL", s3.url)
        s3.objects.update(_published())
        yield FakeModelsBucket(s3, tmp_path, capsys)


def test_somebody_is_listed_shown_without_embeddings_and_taken_off(world: FakeModelsBucket) -> None:
    assert world.run("list")[1] == {"threshold": THRESHOLD, "people": {}, "to_be_added_again": []}

    status, summary, _ = world.run("add", "t-17", world.picture(1, 1), world.picture(1, 2))
    assert status == 0
    assert summary["people"]["t-17"]["faces"] == 2
    assert world.run("add", "t-18", world.picture(2, 1), "--threshold", "0.5")[0] == 0
    assert set(world.run("list")[1]["people"]) == {"t-17", "t-18"}
    assert world.run("threshold", "0.4")[1]["threshold"] == 0.4
    assert len(world.listed().entries) == 3
    assert "values" not in json.dumps(world.run("list")[1])

    assert set(world.run("remove", "t-17")[1]["people"]) == {"t-18"}
    status, _, err = world.run("remove", "t-17")
    assert (status, "t-17 is not on the list" in err) == (1, True)
    assert world.run("remove", "t-18")[1]["people"] == {}
    assert world.listed().threshold == 0.4


@pytest.mark.parametrize("what", ["no-file", "no-picture", "no-face", "two-faces"])
def test_what_cannot_be_added_changes_nothing(world: FakeModelsBucket, what: str) -> None:
    world.run("add", "t-17", world.picture(1, 1))
    before = world.s3.objects[f"models/{KEY}"]
    pictures = {
        "no-file": world.folder / "none.png",
        "no-picture": Path(__file__),
        "no-face": world.picture(3, 1, lambda pixels: pixels * 0),
        "two-faces": world.picture(4, 1, lambda pixels: np.hstack([pixels, pixels])),
    }
    status, summary, err = world.run("add", "t-18", world.picture(2, 1), pictures[what])
    assert (status, summary) == (1, None)
    assert err
    assert world.s3.objects[f"models/{KEY}"] == before


@pytest.mark.parametrize("value", ["7", "0", "1", "-0.1", "nan", "much"])
def test_a_threshold_is_a_cosine_that_refuses_some_and_lets_some_through(world: FakeModelsBucket, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        world.run("threshold", "--", value)
    assert ended.value.code == 2


def test_two_operators_do_not_lose_each_others_people(world: FakeModelsBucket) -> None:
    world.run("add", "t-1", world.picture(1, 1))
    theirs = replaced = world.s3.objects[f"models/{KEY}"]

    def other() -> None:
        """Somebody else's change, between this one's reading and writing."""
        nonlocal replaced
        faces = Denylist.parse(bytes(theirs))
        renamed = Denylist((*faces.entries, type(faces.entries[0])("t-2", "e", faces.entries[0].values, "")))
        replaced = world.s3.objects[f"models/{KEY}"] = renamed.dump()

    listed = DenylistFile(world.s3.client(), "models")
    calls: list[int] = []

    def how(now: Denylist) -> Denylist:
        if not calls:
            other()
        calls.append(len(now.entries))
        return Denylist(now.entries, 0.6)

    listed.change(how)

    assert calls == [1, 2]
    assert [entry.person for entry in world.listed().entries] == ["t-1", "t-2"]
    assert world.listed().threshold == 0.6


def test_a_damaged_list_is_neither_changed_nor_shown(world: FakeModelsBucket) -> None:
    world.s3.objects[f"models/{KEY}"] = b"{}"
    for command in (("list",), ("remove", "t-1"), ("add", "t-1", world.picture(1, 1)), ("threshold", "0.5")):
        status, summary, err = world.run(*command)
        assert (status, summary) == (1, None)
        assert "damaged" in err
    assert world.s3.objects[f"models/{KEY}"] == b"{}"


def test_a_store_that_fails_is_told(world: FakeModelsBucket) -> None:
    world.s3.fail(KEY, *[Fault(status=403, code="AccessDenied")] * 10)
    status, _, err = world.run("remove", "t-1")
    assert status == 1
    assert "AccessDenied" in err


def test_another_embedder_asks_for_the_faces_again(world: FakeModelsBucket) -> None:
    world.run("add", "t-17", world.picture(1, 1))
    publish({**toys.models()}, "models", world.s3.client(), "toys", dict.fromkeys(toys.models(), "MIT"))

    status, summary, err = world.run("list")

    assert status == 3
    assert summary["to_be_added_again"] == ["t-17"]
    assert "Nothing is swapped" in err


def test_nobody_is_taken_off_by_a_name_that_is_not_there(world: FakeModelsBucket) -> None:
    with pytest.raises(InvalidRequest):
        remove(DenylistFile(world.s3.client(), "models"), "nobody")


def mirrored(pixels: Pixels) -> Any:
    return pixels[:, ::-1]


def blurred(pixels: Pixels) -> Any:
    return cv2.GaussianBlur(pixels, (0, 0), 3)


def small(pixels: Pixels) -> Any:
    return cv2.resize(pixels, (160, 160), interpolation=cv2.INTER_AREA)


def grey(pixels: Pixels) -> Any:
    return cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)


def noisy(pixels: Pixels) -> Any:
    noise = np.random.default_rng(0).normal(0, 6, pixels.shape)
    return np.clip(pixels + noise, 0, 255)


def compressed(pixels: Pixels) -> Any:
    return cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 15])[1], cv2.IMREAD_COLOR)


def tinted(pixels: Pixels) -> Any:
    return np.clip(pixels * np.array([0.8, 1.0, 1.2]), 0, 255)


def framed(pixels: Pixels) -> Any:
    return cv2.copyMakeBorder(pixels, 200, 200, 200, 200, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def lying(pixels: Pixels) -> Any:
    return np.rot90(pixels)


def upside_down(pixels: Pixels) -> Any:
    return np.rot90(pixels, 2)


def slanted(pixels: Pixels) -> Any:
    side = len(pixels)
    turn = cv2.getRotationMatrix2D((side / 2, side / 2), 135, 0.8)
    return cv2.warpAffine(pixels, turn, (side, side), borderValue=(110, 110, 110))


def squeezed(pixels: Pixels) -> Any:
    return cv2.resize(pixels, None, fx=0.75, fy=1)


def tight(pixels: Pixels) -> Any:
    side = len(pixels)
    return pixels[side * 2 // 10 : side * 8 // 10, side * 2 // 10 : side * 8 // 10]


DISGUISES = [mirrored, blurred, small, noisy, compressed, tinted, framed]
TURNED_AND_CUT = [lying, upside_down, slanted, squeezed, tight]


def test_listed_people_are_known_in_another_moment_and_disguised_and_others_are_not(world: FakeModelsBucket) -> None:
    embedding = Embedding(world.s3.client(), "models")
    people = range(700, 700 + LIKE)
    world.run("add", "all", *(world.picture(person, 1) for person in people))
    world.run("threshold", str(DEMO_THRESHOLD))
    comparison = world.listed().build_matcher(embedding.name)

    def refused(person: int, moment: int, change: Callable[[Pixels], Any] | None = None) -> bool | None:
        """None if no face is found, so that nothing can be swapped."""
        try:
            return comparison.matches(embedding.of(world.picture(person, moment, change)))
        except NoFaceInSource:
            return None

    for disguise in (None, *DISGUISES):
        summary = [refused(person, 2, disguise) for person in people]
        assert summary.count(False) <= 1, disguise
        assert summary.count(True) >= LIKE - 2, disguise
    for disguise in TURNED_AND_CUT:
        assert [refused(person, 2, disguise) for person in people[:3]] == [True] * 3, disguise
    assert [refused(person, 2) for person in range(800, 800 + UNLIKE)].count(True) <= 1
