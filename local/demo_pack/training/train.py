"""The whole recipe: `python -m local.demo_pack.training.train [BUILD_FOLDER] [PACK_FOLDER]`.

Draws the pictures, trains the four networks, exports and measures them. It takes a night on two cores and 9 GB of disk.
A finished stage is not repeated, and an interrupted one resumes from its checkpoint. Seeds are fixed; the order of sums
is not, so a second run gives the same quality, not the same bits.
"""

import argparse
import subprocess
import sys
from pathlib import Path

STAGES = (
    ("train_embedder", "embedder"),
    ("train_embedder", "judge"),
    ("train_detector",),
    ("train_swapper",),
)


def run(module: str, *arguments: str) -> None:
    """Run a module of the pack in a process of its own, so that its threads and memory end with it."""
    subprocess.run([sys.executable, "-m", f"local.demo_pack.training.{module}", *arguments], check=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path, nargs="?", default=Path("build/demo_pack"))
    parser.add_argument("pack", type=Path, nargs="?", default=Path(__file__).parents[1])
    options = parser.parse_args()
    options.build.mkdir(parents=True, exist_ok=True)
    for module, *names in STAGES:
        run(module, *names, str(options.build))
    run("export", str(options.build), str(options.pack))
    run("measure", str(options.pack))


if __name__ == "__main__":
    main()
