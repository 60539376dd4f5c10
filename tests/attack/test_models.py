"""Zip and ONNX files that reach outside themselves, or are far more than they say."""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from layers.engine.session import session
from layers.models.tools.catalogue import File, Licence, Source
from layers.models.tools.convert import convert_detector, convert_embedder, convert_swapper
from layers.models.tools.internet_download import FetchFailed, download_files
from layers.models.tools.onnx_file import Unfit, load

GOOD = b"the model " * 1000
MEMBER = "model.onnx"
SECRET = "canary-71c2"


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip; the same name may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that come twice
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def link(name: str, target: str) -> zipfile.ZipInfo:
    """A symbolic link, as Info-ZIP stores one."""
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    info.comment = target.encode()
    return info


def lying(data: bytes, size: int) -> bytes:
    """The zip with another unpacked size for its first member, in both places."""
    out = bytearray(data)
    struct.pack_into("<I", out, 22, size)
    struct.pack_into("<I", out, out.index(b"PK\x01\x02") + 24, size)
    return bytes(out)


def flagged(data: bytes) -> bytes:
    """The zip whose first member calls itself encrypted."""
    out = bytearray(data)
    out[6] |= 1
    out[out.index(b"PK\x01\x02") + 8] |= 1
    return bytes(out)


ESCAPES = [
    "../escaped",
    "../../escaped",
    "a/../../escaped",
    "/tmp/escaped-71c2",
    "//escaped",
    "..\\escaped",
    "C:\\escaped",
    "C:escaped",
    "\\\\host\\share\\escaped",
    "./escaped",
    "~/escaped",
    "a/\x00../escaped",
    "escaped\n",
    "\u2024\u2024/escaped",
    "con",
    "a" * 300,
]
BAD: dict[str, bytes] = {
    "nothing": b"",
    "no-zip": b"PK\x03\x04" + bytes(99),
    "cut": zip_of((MEMBER, GOOD))[:-40],
    "no-member": zip_of(("other", GOOD)),
    "other-bytes": zip_of((MEMBER, GOOD[::-1])),
    "twice": zip_of((MEMBER, GOOD), (MEMBER, GOOD[::-1])),
    "twice-in-folders": zip_of((f"a/{MEMBER}", GOOD[::-1]), (f"b/{MEMBER}", GOOD)),
    "bomb": zip_of((MEMBER, bytes(64 << 20))),
    "bomb-that-lies": lying(zip_of((MEMBER, bytes(64 << 20))), len(GOOD)),
    "longer-than-said": lying(zip_of((MEMBER, GOOD + b"x")), len(GOOD)),
    "shorter-than-said": lying(zip_of((MEMBER, GOOD[:-1])), len(GOOD)),
    "terabytes": lying(zip_of((MEMBER, GOOD)), 0xFFFFFFFF),
    "bzip2": zip_of((MEMBER, GOOD), compression=zipfile.ZIP_BZIP2),
    "lzma": zip_of((MEMBER, GOOD), compression=zipfile.ZIP_LZMA),
    "link": zip_of((link(MEMBER, "/etc/passwd"), b"/etc/passwd")),
    "folder": zip_of((f"{MEMBER}/", b"")),
    "many-members": zip_of(*[(f"{number}", b"") for number in range(5000)]),
    "encrypted": flagged(zip_of((MEMBER, GOOD))),
    "torn-data": zip_of((MEMBER, GOOD)).replace(zip_of((MEMBER, GOOD))[60:64], b"\xff\xff\xff\xff", 1),
}


def file_at(url: str) -> File:
    return File(MEMBER, len(GOOD), sha256(GOOD).hexdigest(), Licence("a", "b", "c"), (Source(url, MEMBER),))


def extracted(data: bytes, folder: Path) -> None:
    """Through the way that a published zip takes, from a file: URL's worth of bytes that lie there already."""
    from layers.models.tools.internet_download import _archive_path

    file = file_at("http://127.0.0.1:9/models.zip")
    archive = _archive_path(file.sources[0], folder)
    archive.write_bytes(data)
    download_files([file], folder)


def around(folder: Path) -> set[Path]:
    """Everything beside the folder and in it."""
    return {path for path in folder.parent.rglob("*") if path != folder}


@pytest.mark.parametrize("name", ESCAPES, ids=lambda name: ascii(name)[1:30])
def test_names_in_a_zip_decide_nothing(name: str, tmp_path: Path) -> None:
    """The member is found by its last part and written where we say; what else is there stays where it is."""
    folder = tmp_path / "here"
    folder.mkdir()

    extracted(zip_of((name, b"escaped"), (f"buffalo/{MEMBER}", GOOD)), folder)

    assert around(folder) == {folder / MEMBER}
    assert not Path("/tmp/escaped-71c2").exists()


@pytest.mark.parametrize("name", [f"../../{MEMBER}", f"/{MEMBER}", f"..\\..\\/{MEMBER}"])
def test_a_member_whose_own_name_climbs_is_written_where_we_say(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()

    extracted(zip_of((name, GOOD)), folder)

    assert around(folder) == {folder / MEMBER}


@pytest.mark.parametrize("name", BAD)
def test_a_zip_that_is_not_what_it_says_leaves_nothing(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()

    with pytest.raises(FetchFailed):
        extracted(BAD[name], folder)

    assert {path for path in around(folder) if path.name == MEMBER or path.stat().st_size > len(GOOD)} == set()


def model(
    change: Callable[[Any], None] = lambda _: None,
    nodes: list[Any] | None = None,
    values: dict[str, Any] | None = None,
) -> bytes:
    """A network that adds a weight, changed."""
    graph = helper.make_graph(
        nodes or [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, 4, 4])],
        [numpy_helper.from_array(value, name) for name, value in (values or {"w": np.ones(1, np.float32)}).items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    change(proto)
    return bytes(proto.SerializeToString())


def outside(location: str, **more: str) -> Callable[[Any], None]:
    """The weight lies in another file."""

    def change(proto: Any) -> None:
        tensor = proto.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in {"location": location, **more}.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value

    return change


def branch(proto: Any) -> None:
    inner = helper.make_graph([helper.make_node("Identity", ["w"], ["z"])], "h", [], [])
    proto.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))


def function(proto: Any) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    proto.functions.append(helper.make_function("evil", "f", ["a"], ["b"], [node], [helper.make_opsetid("", 17)]))


def sparse(proto: Any) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [1 << 40]))


def constant_outside(proto: Any) -> None:
    tensor = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    proto.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=tensor))
    proto.graph.node[1].input[1] = "c"


LOCATIONS = [
    "/etc/passwd",
    "../canary",
    "canary",
    "./canary",
    "a/../canary",
    "/proc/self/environ",
    "/proc/self/mem",
    "/dev/zero",
    "/dev/stdin",
    "file:///etc/passwd",
    "\\\\host\\share\\a",
    "C:\\a",
    "",
    "canary\0.bin",
    "*/_ORT_MEM_ADDR_/*",
]
CROOKED: dict[str, bytes] = {
    **{f"outside {location!a}": model(outside(location)) for location in LOCATIONS},
    "outside-with-offset": model(outside("canary", offset="9223372036854775807", length="-1")),
    "outside-constant": model(constant_outside),
    "branch": model(branch),
    "function": model(function),
    "sparse": model(sparse),
    "foreign-operator": model(nodes=[helper.make_node("Evil", ["x"], ["y"], domain="com.evil")]),
    "microsoft-operator": model(nodes=[helper.make_node("Gelu", ["x"], ["y"], domain="com.microsoft")]),
    "python-operator": model(
        nodes=[helper.make_node("PyOp", ["x"], ["y"], domain="ai.onnx.contrib", code="import os")]
    ),
    "empty": b"",
    "zeros": bytes(1000),
    "noise": np.random.default_rng(0).bytes(5000),
    "zip": zip_of((MEMBER, GOOD)),
    "cut": model()[:-30],
    "length-of-gigabytes": b"\x3a\xff\xff\xff\xff\x07" + bytes(9),
    "deep-groups": b"\x0b" * 100_000,
    "deep-messages": b"\x3a\x7f" * 10_000,
}


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A file beside the model, and one above."""
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (folder / "canary", tmp_path / "canary"):
        path.write_bytes((SECRET * 10).encode())
    return folder


@pytest.mark.parametrize("name", CROOKED)
def test_a_file_that_reaches_outside_is_no_model(name: str, canary: Path) -> None:
    path = canary / "model.onnx"
    path.write_bytes(CROOKED[name])

    checks: list[Callable[[Path], Any]] = [convert_detector, convert_embedder, convert_swapper]
    if name != "empty":  # which is a network of nothing
        checks.append(load)
    for check in checks:
        with pytest.raises(Unfit) as raised:
            check(path)
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize("name", [name for name in CROOKED if name.startswith("outside")])
def test_the_runtime_itself_reads_no_other_file(name: str, canary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models come to it as bytes; should one ever get past the checks of publishing, it still reads nothing."""
    monkeypatch.chdir(canary)

    with pytest.raises(Exception, match=r".") as raised:
        session(CROOKED[name], 1)
    assert SECRET not in str(raised.value)
    assert "root:" not in str(raised.value)


@pytest.mark.parametrize(
    "dims",
    [[1 << 40], [1 << 31, 1 << 31], [-1], [1 << 62, 4], [0x7FFFFFFFFFFFFFFF]],
    ids=str,
)
def test_a_weight_that_claims_to_be_enormous_is_not_made(dims: list[int], canary: Path) -> None:
    def change(proto: Any) -> None:
        del proto.graph.initializer[0].dims[:]
        proto.graph.initializer[0].dims.extend(dims)

    path = canary / "model.onnx"
    path.write_bytes(model(change))
    for lower in (convert_detector, convert_embedder, convert_swapper):
        with pytest.raises(Unfit):
            lower(path)


def test_a_link_in_place_of_a_model_is_read_as_what_it_leads_to(canary: Path) -> None:
    """It is the operator's own disk; what is no model is refused all the same."""
    os.symlink("/etc/passwd", canary / "detector.onnx")

    with pytest.raises(Unfit):
        load(canary / "detector.onnx")


def test_the_checks_let_a_plain_model_through(canary: Path) -> None:
    path = canary / "model.onnx"
    path.write_bytes(model())

    assert isinstance(load(path), onnx.ModelProto)
