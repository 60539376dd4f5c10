"""Compiles the native engine: `python -m layers.engine.build`. Needs a C++17 compiler for x86-64, and nothing else.

Without the engine everything runs on onnxruntime, more slowly.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCES = Path(__file__).parent / "native"
LIBRARY = SOURCES / "libcoldswap.so"
COMPILERS = ("c++", "g++", "clang++")
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra")
# Each instruction set has a file of its own; at run time the engine picks the best that the processor has.
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = (*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq")
# GCC 12 wrongly warns that its own header for half floats reads something uninitialised.
FILES = {
    "direct_layer.cpp": (),
    "embedder.cpp": (),
    "engine.cpp": (),
    "layers.cpp": (),
    "pass.cpp": (),
    "self_test.cpp": (),
    "swapper.cpp": (),
    "winograd_layer.cpp": (),
    "kernels_avx2.cpp": AVX2,
    "kernels_avx512.cpp": (*AVX512, "-Wno-maybe-uninitialized"),
}


def is_supported() -> bool:
    """Whether the engine's instructions are those of this machine's processor."""
    return platform.machine() in ("x86_64", "AMD64")


def compiler() -> str | None:
    """CXX, or the first compiler that is installed; None without one, or on a machine that is not x86-64."""
    if not is_supported():
        return None
    return os.environ.get("CXX") or next((name for name in COMPILERS if shutil.which(name)), None)


def build(target: Path = LIBRARY, extra: Sequence[str] = (), program: Path | None = None) -> None:
    """Compile into a shared library, or with `program` (a C++ file with a main) into an executable.

    `target` appears whole or not at all. Raises subprocess.CalledProcessError, or RuntimeError without a compiler.
    """
    cxx = compiler()
    if cxx is None:
        raise RuntimeError("no C++ compiler for x86-64 was found (c++, g++ or clang++)")
    files = dict[Path, tuple[str, ...]]({SOURCES / name: flags for name, flags in FILES.items()})
    if program is not None:
        files[program] = ("-I", str(SOURCES))
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects = [str(Path(folder) / f"{number}.o") for number in range(len(files))]
        compilers = [
            subprocess.Popen([cxx, *FLAGS, *flags, *extra, "-c", str(source), "-o", to])
            for (source, flags), to in zip(files.items(), objects, strict=True)
        ]
        for process in compilers:
            if process.wait():
                raise subprocess.CalledProcessError(process.returncode, process.args)
        output = Path(folder) / "output"
        kind = [] if program is not None else ["-shared"]
        subprocess.run([cxx, *kind, *extra, *objects, "-o", str(output), "-lpthread"], check=True)
        output.replace(target)


def main() -> None:
    """Build the library; with --if-possible a machine without a compiler only gets a message."""
    parser = argparse.ArgumentParser(prog="python -m layers.engine.build", description=__doc__)
    parser.add_argument("--if-possible", action="store_true")
    if parser.parse_args().if_possible and compiler() is None:
        lack = "There is no C++ compiler" if is_supported() else f"The engine is for x86-64, not {platform.machine()}"
        print(f"{lack}, so swaps will run on onnxruntime: with the same results, more slowly.", file=sys.stderr)
        return
    build()


if __name__ == "__main__":
    main()
