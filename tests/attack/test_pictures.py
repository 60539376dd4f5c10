"""Bombs in every format, each decoded as a request's picture would be, where memory and time are watched."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from layers.core.errors import PictureTooLarge, UnreadablePicture, UnsupportedPicture
from tests.attack.bombs import BOMBS, many_scans

ROOT = Path(__file__).resolve().parents[2]
KINDS = {kind.__name__ for kind in (PictureTooLarge, UnreadablePicture, UnsupportedPicture)}
MEGABYTES = 250.0  # a picture of 40 megapixels may cost 120, and its file 20; nothing here is one
SECONDS = 5.0  # of a processor
# What is odd and yet a picture, of 64 by 64 pixels and no more.
HARMLESS = {
    *("png-text-of-megabytes", "png-international-text", "png-profile-of-megabytes", "png-many-profiles"),
    *("png-many-chunks", "png-exif-loop", "png-and-html", "png-bad-interlace", "png-pixels-too-many"),
    *("jpeg-many-segments", "jpeg-fill", "jpeg-profile-parts", "jpeg-exif-loop", "jpeg-exif-far", "jpeg-many-exif"),
    *("jpeg-restarts", "jpeg-and-zip", "jpeg-twice", "webp-many-chunks", "webp-many-exif", "jpeg-arithmetic"),
    *("jpeg-no-end", "webp-two-frames"),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """By name: the error or the size, seconds, and how far memory rose while the picture was decoded."""
    folder = tmp_path_factory.mktemp("bombs")
    for name, make in BOMBS.items():
        (folder / name).write_bytes(make())
    process = subprocess.run(
        [sys.executable, "-m", "tests.attack.test_pictures", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    results: dict[str, Any] = json.loads(process.stdout)
    return results


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_costs_anything(name: str, outcomes: dict[str, Any]) -> None:
    what, size, seconds, megabytes = outcomes[name]

    assert what in KINDS or (name in HARMLESS and what == "decoded"), what
    assert size <= 64 * 64
    assert seconds < SECONDS
    assert megabytes < MEGABYTES


@pytest.mark.full
def test_the_most_that_a_small_file_within_the_limits_can_cost() -> None:
    """A progressive JPEG of 36 megapixels and 217 KB, with as many scans as are taken."""
    from layers.media.decode import decode

    data, cpu = many_scans(88, 6000), time.process_time()

    assert decode(data, 20 << 20, 40_000_000).width == 6000
    assert time.process_time() - cpu < 10


def _highest(reset: bool = False) -> float:
    """The most memory held, in MB, since it was last forgotten (proc_pid_clear_refs(5))."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def _decode_all(folder: Path) -> dict[str, Any]:
    from layers.core.errors import ColdswapError
    from layers.core.units import MEGAPIXEL, MIB
    from layers.media.decode import decode

    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    results = {}
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        before, cpu, size = _highest(reset=True), time.process_time(), 0
        try:
            picture = decode(data, 20 * MIB, 40 * MEGAPIXEL)
            what, size = "decoded", picture.width * picture.height
        except ColdswapError as error:
            what = type(error).__name__
        results[path.name] = (what, size, time.process_time() - cpu, _highest() - before)
    return results


if __name__ == "__main__":
    print(json.dumps(_decode_all(Path(sys.argv[1]))))
