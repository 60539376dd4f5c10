"""The manifest is believed only where all of it fits together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.core.errors import ModelsCorrupt
from layers.models.runtime.manifest import CHUNK_BYTES, Blob, Contract, Manifest, Model, Pointer, Tensor


def _manifest() -> Manifest:
    contract = Contract((Tensor("input", "float32", ("batch", 3)),), (Tensor("output", "float32", (1, 512)),))
    blobs = (Blob.describe("model.onnx", b"graph"), Blob.describe("weights", bytes(CHUNK_BYTES + 1)))
    model = Model("onnx", "MIT", contract, Blob.describe("golden", b"x"), blobs)
    return Manifest("toy", {"detector": model, "embedder": model, "swapper": model}, "Only drawn faces.")


def test_what_is_written_is_read_back() -> None:
    manifest = _manifest()
    assert Manifest.parse(manifest.dump()) == manifest
    assert manifest.dump() == _manifest().dump()


def test_a_model_tells_its_source_and_its_parity() -> None:
    plain = _manifest().models["swapper"]
    measured_model = replace(plain, source="ab" * 32, parity={"psnr_db": 136.0, "file_psnr_db": 84.9})
    manifest = Manifest("toy", {**_manifest().models, "swapper": measured_model})
    assert Manifest.parse(manifest.dump()) == manifest
    assert b'"parity"' not in _manifest().dump()  # as packs of before have it
    assert measured_model.digest == plain.digest


def test_a_description_for_the_native_engine_makes_no_other_model_of_it() -> None:
    plain = _manifest().models["embedder"]
    described = replace(plain, blobs=(*plain.blobs, Blob.describe("native", b"how it is run")))
    retrained = replace(plain, blobs=(plain.blobs[0], Blob.describe("weights", b"others")))
    assert described.digest == plain.digest != retrained.digest


def test_fields_of_later_versions_do_no_harm() -> None:
    tree = json.loads(_manifest().dump())
    tree["later"] = tree["models"]["swapper"]["later"] = tree["models"]["swapper"]["blobs"][0]["later"] = {"x": 1}
    assert Manifest.parse(json.dumps(tree).encode()) == _manifest()


def test_a_blob_knows_its_chunks() -> None:
    blob = _manifest().models["swapper"].blob("weights")
    assert len(blob.chunks) == 2
    assert blob.chunks[0] != blob.chunks[1]
    with pytest.raises(ModelsCorrupt, match="emap"):
        _manifest().models["swapper"].blob("emap")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda tree: tree.update(format=2),
        lambda tree: tree.pop("pack"),
        lambda tree: tree.update(pack="../elsewhere"),
        lambda tree: tree.update(hint=7),
        lambda tree: tree["models"].pop("embedder"),
        lambda tree: tree["models"].update(landmarks={}),
        lambda tree: tree["models"]["swapper"].update(kind="pickle"),
        lambda tree: tree["models"]["swapper"].pop("licence"),
        lambda tree: tree["models"]["swapper"]["golden"].update(sha256="zz"),
        lambda tree: tree["models"]["swapper"]["blobs"][0].update(size=0),
        lambda tree: tree["models"]["swapper"]["blobs"][0].update(size=True),
        lambda tree: tree["models"]["swapper"]["blobs"][0].update(size=1 << 50),
        lambda tree: tree["models"]["swapper"]["blobs"][0].update(chunk_bytes=-1),
        lambda tree: tree["models"]["swapper"]["blobs"][1]["chunks"].pop(),
        lambda tree: tree["models"]["swapper"]["contract"]["inputs"][0].update(shape=[1.5]),
        lambda tree: tree["models"]["swapper"].update(blobs={}),
        lambda tree: tree["models"]["swapper"].update(source="the internet"),
        lambda tree: tree["models"]["swapper"].update(parity=[]),
        lambda tree: tree["models"]["swapper"].update(parity={"psnr_db": "high"}),
        lambda tree: tree["models"]["swapper"].update(parity={"psnr_db": 10**400}),
        lambda tree: tree["models"]["swapper"].update(parity={"psnr_db": float("nan")}),
    ],
)
def test_anything_that_does_not_fit_is_refused(spoil: Callable[[Any], Any]) -> None:
    tree = json.loads(_manifest().dump())
    spoil(tree)
    with pytest.raises(ModelsCorrupt):
        Manifest.parse(json.dumps(tree).encode())


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(repr).map(str.encode)
)
def test_rubbish_is_refused_as_corrupt(data: bytes) -> None:
    with pytest.raises(ModelsCorrupt):
        Manifest.parse(data)
    with pytest.raises(ModelsCorrupt):
        Pointer.parse(data)


def test_deep_nesting_is_refused_as_corrupt() -> None:
    with pytest.raises(ModelsCorrupt):
        Manifest.parse(b"[" * 200_000)
