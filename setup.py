"""Builds what pip installs: one package, `coldswap`, with the parts of functions/, layers/ and local/ that it needs
inside it.

In the repository these are packages of their own, which nobody wants at the top of site-packages. So they are copied
beneath `coldswap`, and their imports say so: `layers.core` becomes `coldswap.layers.core`. The native engine is
compiled where a compiler is, and left out where none is: onnxruntime then does its work.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
PACKAGE = "coldswap"
INSIDE = ("functions", "layers", "local")  # packages that move beneath it
SHIPPED = (
    "functions/__init__.py",
    "functions/swap/**/*.py",
    "layers/**/*.py",
    "layers/engine/native/*.cpp",
    "layers/engine/native/*.h",
    "layers/engine/native/*.inc",
    "local/__init__.py",
    "local/photo_check.py",
    "local/demo_pack/__init__.py",
    "local/demo_pack/CARD.md",
    "local/demo_pack/detector.onnx",
    "local/demo_pack/embedder.onnx",
    "local/demo_pack/swapper.onnx",
)
LEFT_OUT = ("functions/swap/entry", "functions/swap/app.py", "functions/swap/warm_up.py")  # Lambda's entry points
KEPT = ("functions/swap/entry/__init__.py", "functions/swap/entry/swap_answer.py")  # of those: the form of an answer

_NAMES = "|".join(INSIDE)
_IMPORT = re.compile(rf"^(\s*(?:from|import) )({_NAMES})(?=[. ])", re.MULTILINE)
_MODULE_NAME = re.compile(rf"""(?<=["'])({_NAMES})(?=(?:\.\w+)+["'])""")
_COMMAND = re.compile(rf"(?<=python -m )({_NAMES})(?=\.)")


def move_imports(source: str) -> str:
    """A module's source as it is beneath the package. Raises ValueError if an import of a moved package is left."""
    source = _IMPORT.sub(rf"\1{PACKAGE}.\2", source)
    for pattern in (_MODULE_NAME, _COMMAND):
        source = pattern.sub(rf"{PACKAGE}.\1", source)
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        if left := [name for name in names if name.partition(".")[0] in INSIDE]:
            raise ValueError(f"the import of {left[0]} was not moved")
    return source


def list_shipped() -> list[Path]:
    """The files that move beneath the package, relative to the repository."""
    paths = [path.relative_to(ROOT) for pattern in SHIPPED for path in sorted(ROOT.glob(pattern))]
    left_out = [path for path in paths if any(path.is_relative_to(each) for each in LEFT_OUT)]
    return [path for path in paths if path not in left_out or path.as_posix() in KEPT]


def load_engine_build() -> ModuleType:
    """layers/engine/build.py, which imports nothing but the standard library."""
    spec = importlib.util.spec_from_file_location("engine_build", ROOT / "layers/engine/build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildPackage(build_py):
    """Copies the package, and beneath it what it needs."""

    def run(self) -> None:
        """Called by setuptools."""
        if self.editable_mode:
            sys.exit("An editable installation cannot move imports. In a checkout, use: python -m coldswap")
        target = Path(self.build_lib, PACKAGE)
        shutil.rmtree(target, ignore_errors=True)  # what an earlier build left would be shipped
        super().run()
        for path in list_shipped():
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, target / path)
        for path in target.rglob("*.py"):
            path.write_text(move_imports(path.read_text(encoding="utf-8")), encoding="utf-8")
        engine = load_engine_build()
        try:
            engine.build(target / engine.LIBRARY.relative_to(ROOT))
        except (RuntimeError, OSError, subprocess.CalledProcessError) as error:
            self.warn(f"the native engine was not compiled, so swaps will run on onnxruntime: {error}")


class PlatformDistribution(Distribution):
    """A distribution with code for this platform alone, where the native engine is compiled."""

    def has_ext_modules(self) -> bool:
        """Asked by setuptools."""
        return load_engine_build().compiler() is not None


class AnyPythonWheel(bdist_wheel):
    """A wheel for any Python 3: the engine is no extension module, and is loaded by ctypes."""

    def get_tag(self) -> tuple[str, str, str]:
        """Asked by setuptools."""
        return ("py3", "none", super().get_tag()[2])


setup(distclass=PlatformDistribution, cmdclass={"build_py": BuildPackage, "bdist_wheel": AnyPythonWheel})
