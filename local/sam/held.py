"""Holds a container to AVX2, which is all that Lambda's x86 processors promise.

onnxruntime's library and ours ask which registers the system saves (XGETBV); copies of them that get another answer are
mounted over the image's own. What has settings of its own gets those of the benchmarks (tests/bench/hold.py).
"""

from __future__ import annotations

from pathlib import Path

from local.sam.docker_engine import Engine
from tests.bench.hold import SETTINGS, hold_library
from tests.bench.instructions import SWITCH

LIBRARIES = ("onnxruntime/capi/onnxruntime_pybind11_state*.so", "layers/engine/native/libcoldswap.so")
PACKAGES = "/opt/python"  # in the images


def hold_container(engine: Engine, image: str, folder: Path) -> list[str]:
    """Write held copies of the image's libraries into `folder`; the options of `docker run` that use them.

    Raises RuntimeError if a library asks for its instructions in another way.
    """
    options = [f"--env={name}={value}" for name, value in SETTINGS.items() if name != SWITCH]
    container = engine.docker("create", image)
    try:
        for pattern in LIBRARIES:
            parent, _, name = pattern.rpartition("/")
            engine.docker("cp", f"{container}:{PACKAGES}/{parent}", str(folder))
            (library,) = (folder / parent.rpartition("/")[2]).glob(name)
            hold_library(library)
            options.append(f"--volume={library}:{PACKAGES}/{parent}/{library.name}:ro")
    finally:
        engine.docker("rm", container)
    return options
