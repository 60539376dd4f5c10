"""`from coldswap import swap`: what goes in, what comes out, and that no cloud is needed."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from coldswap import ColdswapError, list_faces, swap
from coldswap.personal import remind_of_terms
from functions.swap.verify import judge
from layers.media.c2pa_chain import parse
from layers.media.picture import Pixels
from tests.support.plain_gifs import write_gif
from tests.unit.coldswap.conftest import FACE, MEME, ROOT

ALONE = """
import json, socket, sys

class Blocked:
    names = {"boto3", "botocore", "aws_lambda_powertools", "pydantic", "requests", "urllib3", "insightface", "onnx"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names - allowed:
            raise ModuleNotFoundError(f"{name} is not here", name=name)

def refuse(*_):
    raise OSError("there is no network")

allowed = {"onnx"}  # the demo pack is converted when it is first needed
sys.meta_path.insert(0, Blocked())
socket.socket.connect = refuse
from coldswap import swap
result = swap(*sys.argv[1:3])
print(json.dumps(result.facts))
"""


def pixels_of(path: Path) -> Pixels:
    """A file's pixels, RGB, by another reader than the library's."""
    return np.asarray(Image.open(path).convert("RGB"), np.uint8)


def test_a_swap_needs_no_variable_no_network_and_nothing_of_aws(user: Path, cache_home: Path) -> None:
    own = {"PATH": os.environ["PATH"], "HOME": str(user), "XDG_CACHE_HOME": str(cache_home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", ALONE, str(FACE), str(MEME)]

    process = subprocess.run(command, env=own, capture_output=True, text=True, check=True)

    facts = json.loads(process.stdout)  # and nothing else
    assert [face["swapped"] for face in facts["faces"]] == [True]
    assert (facts["content_type"], facts["width"], facts["models"]["pack"]) == ("image/jpeg", 720, "demo")
    assert {"url", "key"}.isdisjoint(facts)


def test_arrays_have_the_color_order_that_is_named() -> None:
    meme = pixels_of(MEME)
    rgb = swap(pixels_of(FACE), meme)
    bgr = swap(FACE, meme[:, :, ::-1], color_order="BGR")

    assert np.array_equal(bgr.pixels[:, :, ::-1], rgb.pixels)
    assert np.array_equal(np.asarray(Image.open(BytesIO(rgb.content)).convert("RGB")), rgb.pixels)
    changed = np.abs(rgb.pixels.astype(int) - meme).max(axis=2)
    assert 0.01 < (changed > 8).mean() < 0.2  # a face's share of the picture


def test_an_array_with_alpha_keeps_it() -> None:
    meme = np.dstack([pixels_of(MEME), np.full((720, 720), 255, np.uint8)])
    meme[:40, :40, 3] = 0

    pixels = swap(FACE, meme).pixels

    assert pixels.shape == (720, 720, 4)
    assert np.array_equal(pixels[:, :, 3], meme[:, :, 3])


def test_options_are_those_of_the_api(tmp_path: Path) -> None:
    result = swap([FACE, FACE], MEME, faces=[0], format="webp", quality=40, detail="fast", badge=True)

    result.save(tmp_path / "out.webp")
    assert result.content.startswith(b"RIFF")
    assert (tmp_path / "out.webp").read_bytes() == result.content
    assert result.facts["detail"] == "fast"
    assert result.faces[0]["index"] == 0
    assert result._repr_mimebundle_().keys() == {"image/webp"}


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ({"face": "no-such.jpg"}, "input_not_found", "There is no file no-such.jpg."),
        ({"face": str(ROOT)}, "unreadable_picture", "cannot be read"),
        ({"face": b"no picture"}, "unsupported_picture", "About face"),
        ({"meme": bytes(20 * 2**20 + 1)}, "picture_too_large", "About meme"),
        ({"meme": 7}, "invalid_request", "not int"),
        ({"meme": np.zeros((8, 8), np.uint8)}, "invalid_request", "not uint8 [8, 8]"),
        ({"meme": np.zeros((8, 8, 3))}, "invalid_request", "not float64 [8, 8, 3]"),
        ({"meme": np.zeros((64, 64, 3), np.uint8)}, "no_face_in_meme", "coldswap models get --accept"),
        ({"face": []}, "invalid_request", "up to 4 of one person"),
        ({"face": [FACE] * 5}, "invalid_request", "up to 4 of one person"),
        ({"faces": "smallest"}, "invalid_request", "all, largest, or a list"),
        ({"faces": [9]}, "invalid_request", "there is no face 9"),
        ({"faces": 0}, "invalid_request", "all, largest, or a list"),
        ({"faces": None}, "invalid_request", "all, largest, or a list"),
        ({"faces": [True]}, "invalid_request", "all, largest, or a list"),
        ({"format": "bmp"}, "invalid_request", "format must be jpeg, png, webp, gif or mp4."),
        ({"format": "gif"}, "invalid_request", "About format: it is for memes that move, and this one does not."),
        ({"quality": 0}, "invalid_request", "from 1 to 100"),
        ({"quality": "90"}, "invalid_request", "a whole number from 1 to 100"),
        ({"quality": 90.5}, "invalid_request", "a whole number from 1 to 100"),
        ({"badge": "no"}, "invalid_request", "badge must be True or False."),
        ({"color_order": "GBR"}, "invalid_request", "RGB or BGR"),
        ({"models": ROOT}, "models_missing", "There is no pack of models"),
    ],
)
def test_errors_are_the_apis(arguments: dict[str, Any], code: str, sentence: str) -> None:
    with pytest.raises(ColdswapError) as raised:
        swap(**{"face": FACE, "meme": MEME, **arguments})

    assert raised.value.code == code
    assert sentence in raised.value.detail


def test_numbers_of_numpy_and_the_other_name_of_jpeg_are_taken() -> None:
    result = swap(FACE, pixels_of(MEME), faces=np.array([0]), format="jpg", quality=np.int64(80), detail="fast")

    assert result.content.startswith(b"\xff\xd8\xff")
    assert result.faces[0]["swapped"]
    assert len(repr(result)) < 5000  # the file is not in it


def test_facts_have_the_form_of_the_apis_answer() -> None:
    facts = swap(FACE, MEME, detail="fast").facts
    (face,) = facts["faces"]

    assert next(iter(facts)) == "faces"
    assert face["box"] == [round(side, 1) for side in face["box"]] == list_faces(MEME)["faces"][0]["box"]
    assert face["score"] == round(face["score"], 3)
    assert facts["measurements"] == {name: facts[name] for name in ("timings_ms", "peak_memory_mb")}


def test_a_list_of_faces_needs_no_key(user: Path) -> None:
    list_faces(MEME)

    assert [each.name for each in user.iterdir()] == ["terms.json"]


def test_a_damaged_key_is_named(user: Path) -> None:
    user.mkdir(parents=True)
    path = user / "signing-key.json"
    path.write_text("{")

    with pytest.raises(ColdswapError, match="delete it: the next swap makes another") as raised:
        swap(FACE, MEME)

    assert raised.value.code == "label_failed"
    assert str(path) in raised.value.detail


def test_faces_are_listed_by_the_numbers_that_a_swap_takes() -> None:
    listing = list_faces(MEME)

    (face,) = listing["faces"]
    assert (face["index"], face["swappable"], listing["width"], listing["notes"]) == (0, True, 720, [])


def test_a_meme_that_moves_is_swapped_frame_by_frame(user: Path, tmp_path: Path) -> None:
    small = Image.open(FACE).convert("RGB").resize((96, 96), Image.Resampling.BOX)
    drawing = np.asarray(small, np.uint8)[:, :, ::-1] & np.uint8(0xC0)
    meme = write_gif([np.roll(drawing, shift, axis=1) for shift in (0, 2, 2, 4)], delay=7)

    result = swap(FACE, meme)
    result.save(tmp_path / "out.gif")
    listing = list_faces(meme)

    with Image.open(tmp_path / "out.gif") as picture:
        assert (picture.format, picture.info["duration"], picture.info["loop"]) == ("GIF", 70, 0)
    assert [each["times"] for each in result.facts["people"]] == [[{"start": 0.0, "end": 0.21}]]
    assert [face["swapped"] for face in result.faces] == [True]
    assert [each["index"] for each in listing["people"]] == [0]
    verdict = judge(tmp_path / "out.gif", parse((user / "signing-key.json").read_text()).anchors)
    assert (verdict.media, verdict.ours, verdict.made_with_a_model) == ("image/gif", True, True)


def test_the_key_is_made_once_is_private_and_signs_what_is_made(user: Path, tmp_path: Path) -> None:
    results = [swap(FACE, MEME, detail="fast"), swap(FACE.read_bytes(), MEME.read_bytes(), detail="fast")]

    path = user / "signing-key.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in user.iterdir() if "key" in each.name] == [path.name]
    for number, result in enumerate(results):
        result.save(tmp_path / f"{number}.jpg")
        verdict = judge(tmp_path / f"{number}.jpg", parse(path.read_text()).anchors)
        assert verdict.ours
        assert verdict.made_with_a_model


def test_the_terms_are_shown_once(user: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("coldswap")
    for _ in range(2):
        remind_of_terms(log)

    (reminder,) = [each.getMessage() for each in caplog.records]
    assert "only with that person's consent" in reminder
    assert json.loads((user / "terms.json").read_text())["version"]

    (user / "terms.json").write_text('{"version": "an earlier one"}')
    remind_of_terms(log)
    assert len(caplog.records) == 2


def test_a_grainy_meme_is_told_to_need_other_models() -> None:
    grain = np.random.default_rng(3).normal(0, 9, (720, 720, 3))
    meme = np.clip(pixels_of(MEME) + grain, 0, 255).astype(np.uint8)

    assert "coldswap models get --accept" in "".join(list_faces(meme)["notes"])
