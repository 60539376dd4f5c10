"""Compiles the native engine: `python -m layers.engine.build`. Needs a C++17 compiler for x86-64, and nothing else.

Without the library everything works through onnxruntime, more slowly.
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
# Each instruction set has its own file; the processor is asked at run time which it has.
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = (*AVX2, "-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq")
# GCC 12 believes that its own header for halves reads something unset.
FILES = {"engine.cpp": (), "kernels_avx2.cpp": AVX2, "kernels_avx512.cpp": (*AVX512, "-Wno-maybe-uninitialized")}


def compiler() -> str | None:
    """CXX, or the first compiler that is installed; None where there is none, or the machine is not an x86-64 one."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    return os.environ.get("CXX") or next((name for name in COMPILERS if shutil.which(name)), None)


def build(target: Path = LIBRARY, extra: Sequence[str] = (), program: Path | None = None) -> None:
    """Compiles into a shared library, or with `program` (a C++ file with a main) into an executable.

    `target` appears whole or not at all. Raises subprocess.CalledProcessError, or RuntimeError without a compiler.
    """
    found = compiler()
    if found is None:
        raise RuntimeError("no C++ compiler for x86-64 was found (c++, g++ or clang++)")
    files = dict[Path, tuple[str, ...]]({SOURCES / name: flags for name, flags in FILES.items()})
    if program is not None:
        files[program] = ("-I", str(SOURCES))
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        objects = [str(Path(folder) / f"{number}.o") for number in range(len(files))]
        working = [
            subprocess.Popen([found, *FLAGS, *flags, *extra, "-c", str(source), "-o", to])
            for (source, flags), to in zip(files.items(), objects, strict=True)
        ]
        for each in working:
            if each.wait():
                raise subprocess.CalledProcessError(each.returncode, each.args)
        made = Path(folder) / "made"
        kind = [] if program is not None else ["-shared"]
        subprocess.run([found, *kind, *extra, *objects, "-o", str(made), "-lpthread"], check=True)
        made.replace(target)


def main() -> None:
    """Builds the library; with --if-possible a machine without a compiler is told so, and that is all."""
    parser = argparse.ArgumentParser(prog="python -m layers.engine.build", description=__doc__)
    parser.add_argument("--if-possible", action="store_true")
    if parser.parse_args().if_possible and compiler() is None:
        print("No C++ compiler for x86-64: the swapper runs on onnxruntime.", file=sys.stderr)
        return
    build()


if __name__ == "__main__":
    main()
