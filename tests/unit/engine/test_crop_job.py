"""Crops travel as JSON without a level lost, and what is not a job is refused before it is decoded."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from layers.engine.crop_job import MOST_CROPS, CropJob, read_crops, write_crops


def job(count: int = 2, seed: int = 0) -> CropJob:
    random = np.random.default_rng(seed)
    crops = random.integers(0, 256, (count, 128, 128, 3)).astype(np.uint8)
    return CropJob("f" * 64, crops, random.normal(size=(count, 512)).astype(np.float32))


@pytest.mark.parametrize("count", [1, MOST_CROPS])
def test_a_job_arrives_as_it_was_sent(count: int) -> None:
    sent = job(count)
    arrived = CropJob.from_input(json.loads(json.dumps(sent.to_input())))
    assert arrived.swapper == sent.swapper
    np.testing.assert_array_equal(arrived.crops, sent.crops)
    np.testing.assert_array_equal(arrived.latents, sent.latents)
    assert arrived.id == sent.id


def test_an_id_is_made_of_everything_that_decides_about_the_result() -> None:
    one = job()
    latents = one.latents.copy()
    latents[1, 511] += 1e-3
    crops = one.crops.copy()
    crops[0, 0, 0, 0] ^= 1
    others = [replace(one, swapper="e" * 64), replace(one, latents=latents), replace(one, crops=crops)]
    assert len({one.id, *(other.id for other in others)}) == 4
    assert job().id == one.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, "input must be an object"),
        ({"swapper": None}, "input.swapper"),
        ({"crops": None}, "input.crops"),
        ({"crops": "data:application/octet-stream;base64,"}, "1 to 64 crops"),
        ({"crops": write_crops(np.zeros((MOST_CROPS + 1, 128, 128, 3), np.uint8))}, "1 to 64 crops"),
        ({"crops": write_crops(np.zeros((2, 128, 128, 3), np.uint8))[:-4]}, "input.crops"),
        ({"crops": write_crops(np.zeros((2, 128, 128, 3), np.uint8))[:-1] + "!"}, "input.crops"),
        ({"crops": "https://example.com/crops"}, "1 to 64 crops"),
        ({"latents": "data:application/octet-stream;base64,AAAA"}, "input.latents"),
        ({"latents": 7}, "input.latents"),
    ],
)
def test_what_is_no_job_is_refused_by_field(change: dict[str, Any] | None, message: str) -> None:
    document = None if change is None else {**job().to_input(), **change}
    with pytest.raises(ValueError, match=message):
        CropJob.from_input(document)


def test_a_latent_that_is_no_number_is_refused() -> None:
    sent = job()
    sent.latents[0, 0] = np.nan
    with pytest.raises(ValueError, match="finite"):
        CropJob.from_input(sent.to_input())


def test_an_answer_must_have_as_many_crops_as_were_sent() -> None:
    answer = write_crops(np.zeros((2, 128, 128, 3), np.uint8))
    assert read_crops(answer, "output", 2).shape == (2, 128, 128, 3)
    with pytest.raises(ValueError, match="output"):
        read_crops(answer, "output", 3)
