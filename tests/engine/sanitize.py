"""The engine under sanitizers: `make engine-sanitize`. A machine without a compiler is told so."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from layers.engine.build import build, compiler

DRIVER = Path(__file__).parent / "drive.cpp"
SANITIZERS = {
    "address and undefined behaviour": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "threads": ("-fsanitize=thread",),
}
COMMON = ("-O2", "-g", "-fno-omit-frame-pointer")
OPTIONS = {"ASAN_OPTIONS": "detect_leaks=1", "TSAN_OPTIONS": "halt_on_error=1", "UBSAN_OPTIONS": "print_stacktrace=1"}


def main() -> int:
    """The exit status: that of the first run that finds something."""
    if compiler() is None:
        print("No C++ compiler for x86-64: there is no native engine to test.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for name, flags in SANITIZERS.items():
            began = time.monotonic()
            program = Path(folder) / "drive"
            build(program, (*COMMON, *flags), DRIVER)
            status = subprocess.run([str(program)], env={**os.environ, **OPTIONS}).returncode
            print(f"{name}: {'clean' if not status else 'NOT clean'}, {time.monotonic() - began:.0f} s", flush=True)
            if status:
                return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
