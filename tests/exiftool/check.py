"""What exiftool, which shares no code with us or with c2pa's library, reads in signed files: `make test-exiftool`.

Apart from the other tests, because exiftool is a program of the system (Debian: libimage-exiftool-perl).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from functions.swap.provenance import describe_swap
from functions.video.provenance import describe_video
from layers.core.deadline import Deadline
from layers.media.c2pa_chain import Chain, create_chain
from layers.media.c2pa_label import Signer
from layers.media.encode import encode
from layers.media.ffmpeg import run
from layers.media.formats import PICTURE_FORMATS
from layers.media.moving.labels import MEDIA_TYPES, label_moving
from layers.media.xmp_label import SOURCE_TYPE, label, label_mp4
from tests.unit.media.moving.test_labels import MEMES, make_result
from tests.unit.media.test_c2pa_label import CLIPS, SPEAKER
from tests.unit.media.test_encode import picture

MANIFEST_READ = ("jpeg", "png")  # in WebP and MP4, exiftool 12 reads XMP alone
PRIVATE = ("Thumbnail", "http://", "https://")  # what no manifest of a picture holds but the source type's own name


def read_tags(path: Path) -> dict[str, Any]:
    """Every tag of a file, groups before their names."""
    process = subprocess.run(["exiftool", "-j", "-G3:1", "-struct", path], check=True, capture_output=True, timeout=60)
    (tags,) = json.loads(process.stdout)
    return dict(tags)


def faults(path: Path, manifest: bool) -> list[str]:
    """What exiftool misses in a file, or finds and should not."""
    tags = read_tags(path)
    problems = []
    if tags.get("XMP-iptcExt:DigitalSourceType") != SOURCE_TYPE:
        problems.append("no digital source type in its XMP")
    if any("Warning" in name or "Error" in name for name in tags):
        problems.append(f"warnings: {[value for name, value in tags.items() if 'Warning' in name or 'Error' in name]}")
    if not manifest:
        return problems
    actions: list[dict[str, Any]] = next((value for name, value in tags.items() if name.endswith("CBOR:Actions")), [])
    if [each.get("action") for each in actions] != ["c2pa.opened", "c2pa.edited"]:
        problems.append(f"its manifest tells {actions}")
    elif actions[1].get("digitalSourceType") != SOURCE_TYPE:
        problems.append("the action does not say that a model did it")
    cbor = json.dumps({name: value for name, value in tags.items() if "CBOR" in name or "JUMBF" in name})
    if any(word in cbor.replace(SOURCE_TYPE, "") for word in PRIVATE):
        problems.append("its manifest holds a picture or an address")
    return problems


def samples(folder: Path, chain: Chain) -> dict[Path, bool]:
    """A signed file of each kind, and whether exiftool reads its manifest."""
    seal, provenance = Signer(lambda: chain), describe_swap(2, 3, "demo", {"detector": "d" * 64, "embedder": "e" * 64})
    files = {}
    for format in PICTURE_FORMATS:
        path = folder / f"sample.{format}"
        path.write_bytes(seal.sign_picture(label(encode(picture(120, 160), format, 90), format), format, provenance))
        files[path] = format in MANIFEST_READ
    video = folder / "sample.mp4"
    run(
        ["-f", "lavfi", "-i", "testsrc2=s=180x320:d=1:r=30", "-c:v", "libx264", str(video)], deadline=Deadline.after(60)
    )
    label_mp4(video)
    seal.sign_video(video, describe_video(CLIPS, SPEAKER))
    files[video] = False
    for moving in MEMES:
        path = make_result(folder, moving)
        label_moving(path, moving)
        seal.sign_file(path, MEDIA_TYPES[moving], provenance)
        files[path] = moving == "apng"
    return files


def main() -> int:
    """The exit status."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for path, manifest in samples(Path(folder), create_chain()).items():
            problems = faults(path, manifest)
            print(f"{path.name}: {'; '.join(problems) or 'labelled' + (' and signed' if manifest else '')}")
            wrong += len(problems)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
