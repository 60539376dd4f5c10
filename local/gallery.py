"""`make gallery`: a contact sheet of faces in memes, by whatever pack is published on this machine, in out/gallery.jpg.

    python -m local.gallery [--faces FOLDER] [--memes FOLDER]

Each meme gets the next face, in the order of the files' names. Without a folder it takes the demo's own pictures.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functions.swap.limits import SwapLimits
from layers.core.errors import ColdswapError
from local import swap_clients
from local.cloud import STATE_FOLDER, Cloud, CloudFailed
from local.demo import GRADED_SWAPS, OUT, UNGRADED_SWAPS, Progress, draw_pictures
from local.photo_check import looks_photographed
from local.publish_demo_pack import HINT, NAME, publish_demo_pack

if TYPE_CHECKING:
    from local.contact_sheet import Card

SHEET, RESULTS = OUT / "gallery.jpg", OUT / "gallery"
MOST_MEMES = 24  # on one sheet
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class GalleryFailed(Exception):
    """No sheet can be made of these folders; the message says why."""


@dataclass(frozen=True)
class Pair:
    """The picture of a face, and a meme to put it into."""

    face: Path
    meme: Path


def main(arguments: list[str] | None = None) -> int:
    """Run the command; the exit status is 0 when any swap succeeded, 2 if a folder or a face is wrong."""
    parser = argparse.ArgumentParser(prog="python -m local.gallery", description=__doc__.partition(":")[2].strip())
    parser.add_argument("--faces", type=Path, help="a folder of pictures of faces to put in")
    parser.add_argument("--memes", type=Path, help="a folder of pictures whose faces are replaced")
    options = parser.parse_args(arguments)
    try:
        pairs = choose_pairs(options.faces, options.memes)
        check_pictures(dict.fromkeys(each.face for each in pairs))
        return make_gallery(pairs)
    except GalleryFailed as error:
        print(error, file=sys.stderr)
        return 2
    except CloudFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def choose_pairs(faces: Path | None, memes: Path | None) -> list[Pair]:
    """The pairs of these folders; the demo's own pictures for a folder that is missing. Raises GalleryFailed."""
    drawn = {} if faces and memes else draw_pictures(OUT / "pictures")
    if faces is None and memes is None:
        names = (*GRADED_SWAPS.values(), *UNGRADED_SWAPS)
        return [Pair(drawn[face].path, drawn[meme].path) for face, meme in names]
    sources = list_pictures(faces or OUT / "pictures/faces")
    targets = list_pictures(memes or OUT / "pictures/memes")
    if len(targets) > MOST_MEMES:
        print(f"There are {len(targets)} memes; the sheet has the first {MOST_MEMES}.")
    return pair_up(sources, targets[:MOST_MEMES])


def list_pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, by name; those in folders within it are left out. Raises GalleryFailed."""
    if not folder.is_dir():
        raise GalleryFailed(f"There is no folder at {folder}.")
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise GalleryFailed(f"The folder {folder} cannot be read: {error.strerror}.") from None
    if not files:
        raise GalleryFailed(f"There is no picture in {folder}. Put JPEG, PNG or WebP files there.")
    return files


def pair_up(faces: Sequence[Path], memes: Sequence[Path]) -> list[Pair]:
    """Each meme with the next face; the faces begin again when they are through."""
    return [Pair(face, meme) for face, meme in zip(itertools.cycle(faces), memes, strict=False)]


def check_pictures(paths: Iterable[Path]) -> None:
    """Raises GalleryFailed for the first file that is no picture which a swap takes."""
    from layers.media.decode import decode  # late: it imports OpenCV

    limits = SwapLimits()
    for path in paths:
        try:
            if path.stat().st_size > limits.max_picture_bytes:
                raise GalleryFailed(f"{path} is larger than {limits.max_picture_bytes >> 20} MiB. Make it smaller.")
            decode(path.read_bytes(), limits.max_picture_bytes, limits.max_picture_pixels)
        except OSError as error:
            raise GalleryFailed(f"{path} cannot be read: {error.strerror}.") from None
        except ColdswapError as error:
            raise GalleryFailed(f"{path} cannot be used. {error.detail}") from None


def skip_unusable(pairs: Sequence[Pair], pack: str) -> list[Pair]:
    """The pairs whose memes this pack can swap; prints why for the others."""
    usable = []
    for each in pairs:
        try:
            check_pictures([each.meme])
            check_kind([each.meme], pack)
        except GalleryFailed as error:
            print(f"{error} It was left out.", file=sys.stderr)
        else:
            usable.append(each)
    return usable


@contextmanager
def running_cloud(say: Progress) -> Iterator[tuple[Cloud, str]]:
    """The stack on this machine with the buckets of `make up`, and the name of the pack in use."""
    with Cloud(keep=STATE_FOLDER) as cloud:
        say("deploying template.yaml to an emulated AWS")
        cloud.deploy()
        yield cloud, publish_demo_pack(cloud)


def make_gallery(pairs: list[Pair]) -> int:
    """Swap each pair that can be swapped and draw the sheet. Returns 0 if any was, else 1. Raises GalleryFailed."""
    from local.contact_sheet import draw_contact_sheet

    say = Progress()
    SHEET.unlink(missing_ok=True)
    shutil.rmtree(RESULTS, ignore_errors=True)
    RESULTS.mkdir(parents=True)
    with running_cloud(say) as (cloud, pack):
        check_kind(dict.fromkeys(each.face for each in pairs), pack)
        usable = skip_unusable(pairs, pack)
        say(f"swapping {len(usable)} times with the pack {pack!r}")
        cards = [card for number, each in enumerate(usable) if (card := swap_pair(cloud, pack, number, each))]
    if cards:
        draw_contact_sheet(cards).save(SHEET, quality=90)
        say(f"{len(cards)} of {len(pairs)} swaps succeeded: {os.path.relpath(SHEET)}")
    return 0 if cards else 1


def check_kind(paths: Iterable[Path], pack: str) -> None:
    """Raises GalleryFailed for a photograph where only the demo pack is published."""
    for path in paths:
        if pack == NAME and looks_photographed(path):
            raise GalleryFailed(f"{path} looks like a photograph. {HINT}")


def swap_pair(cloud: Cloud, pack: str, number: int, each: Pair) -> Card | None:
    """Swap a pair and keep the result; prints why if that fails."""
    from local.contact_sheet import Card

    try:
        request = {name: swap_clients.upload_form(cloud, getattr(each, name)) for name in ("face", "meme")}
        result: dict[str, Any] = swap_clients.post(cloud, {**request, "format": "jpeg"})
        picture = swap_clients.download(result["url"])
    except swap_clients.CallFailed as error:
        print(f"{each.face.name} into {each.meme.name}: {error} ({error.code})", file=sys.stderr)
        return None
    path = RESULTS / f"{number + 1:02}-{each.meme.stem}.jpg"
    path.write_bytes(picture)
    count = sum(face["swapped"] for face in result["faces"])
    return Card(each.face, each.meme, path, each.meme.stem, f"{pack} · {count} face{'s' * (count != 1)}")


if __name__ == "__main__":
    sys.exit(main())
