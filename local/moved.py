"""Commands that moved to tools/: `python -m local.NAME` still works, and says where the command is now."""

from __future__ import annotations

import runpy
import sys


def run(module: str, name: str) -> None:
    """Run a command of tools/ in place of the module that was started; nothing where a module is only imported."""
    if name == "__main__":
        print(f"This command has moved: python -m {module}", file=sys.stderr)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
