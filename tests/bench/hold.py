"""Holds a benchmark's processes to AVX2, since Lambda's x86 processors have no AVX-512 (option --avx2).

onnxruntime has no setting for it, so its library is copied with one instruction replaced: where the original asks which
registers the system saves (XGETBV of register 0; Intel's manual, volume 1, chapter 13), the copy answers "x87, SSE and
AVX". Every check for AVX-512 or AMX needs more than that, so MLAS takes its AVX2 kernels. NumPy, OpenCV, OpenBLAS and
the C library are held by their own settings, the native engine by its own argument (instructions.py).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from tests.bench.instructions import SWITCH

HOW = "held to AVX2 by a copy of onnxruntime's library in which XGETBV answers 7"
# xor ecx, ecx; xgetbv → xor ecx, ecx; lea eax, [rcx + 7]. Code that reads register 0 clears ECX first.
XGETBV_CODE, REPLACEMENT_CODE = bytes.fromhex("31c9 0f01d0"), bytes.fromhex("31c9 8d4107")
SETTINGS = {
    SWITCH: "avx2",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_ICL,AVX512_SPR",
    "OPENCV_CPU_DISABLE": "AVX512-SKX",
    "OPENBLAS_CORETYPE": "Haswell",
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW,-AVX512CD,-AVX512DQ",
}


def hold_to_avx2(folder: Path) -> dict[str, str]:
    """Copy onnxruntime without AVX-512 into `folder`; the environment that holds a new process to AVX2.

    Raises RuntimeError where onnxruntime detects the processor in another way.
    """
    original, copy = Path(onnxruntime.__file__).parent, folder.absolute() / "avx2" / "onnxruntime"
    shutil.rmtree(copy, ignore_errors=True)
    (copy / "capi").mkdir(parents=True)
    for path in (*original.iterdir(), *(original / "capi").iterdir()):
        if path.name not in ("capi", "__pycache__"):
            (copy / path.relative_to(original)).symlink_to(path)
    (library,) = (copy / "capi").glob("onnxruntime_pybind11_state*.so")
    hold_library(library)
    return SETTINGS | {"PYTHONPATH": str(copy.parent)}


def hold_library(library: Path) -> None:
    """Replace a library's file, or the link to it, by a copy without AVX-512.

    Raises RuntimeError where it detects the processor in another way.
    """
    code = library.read_bytes()
    if XGETBV_CODE not in code:
        raise RuntimeError(f"{library.name} cannot be held to AVX2: it has no XGETBV")
    library.unlink()
    library.write_bytes(code.replace(XGETBV_CODE, REPLACEMENT_CODE))


def best_instructions() -> str:
    """This machine's best instruction set for which the native engine has kernels: avx512 or avx2."""
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    return "avx512" if {"avx512f", "avx512vl", "avx512bw", "avx512dq"} <= set(flags) else "avx2"


def onnxruntime_block() -> int:
    """Channels that onnxruntime's convolutions process at a time in this process: 16 with AVX-512, 8 without.

    It pads a layer's channels to whole blocks, which shows in the optimised graph of a layer with 24.
    """
    channels, shape = 24, [1, 24, 8, 8]
    weights = numpy_helper.from_array(np.ones((channels, channels, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [weights],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that the graph is this machine's alone
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/optimised.onnx"
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        padded = onnx.load(options.optimized_model_filepath).graph.initializer[0].dims[0]
    return 16 if padded % 16 == 0 else 8
