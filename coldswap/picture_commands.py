"""The commands for pictures: swap, faces and verify."""

from __future__ import annotations

import argparse
import errno
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from coldswap.exit_status import DONE, FAILED, MEANING, USAGE, CommandFailed
from coldswap.pictures import enumerate_choices
from functions.swap.values import RequestFormat
from layers.core.errors import InputNotFound, InvalidRequest
from layers.core.units import MIB
from layers.media.formats import EXTENSIONS, PICTURE_FORMATS

NOT_WRITTEN = "not_written"  # code of an error that the API does not know
FORMATS = (*PICTURE_FORMATS, "gif", "mp4")  # the last two of memes that move
STREAM = "-"  # in place of a path: stdin or stdout


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands to a group of subparsers; `common` has the options of all."""
    models = argparse.ArgumentParser(add_help=False)
    models.add_argument("--models", metavar="FOLDER", help="a pack of models other than the installed one")
    swap = commands.add_parser("swap", parents=[common, models], help="put a face into a picture", epilog=MEANING)
    _add_swap_arguments(swap)
    swap.set_defaults(run=_swap)
    faces = commands.add_parser("faces", parents=[common, models], help="list the faces of a picture", epilog=MEANING)
    faces.add_argument("meme", help="a picture; - is stdin")
    faces.set_defaults(run=_list_faces)
    verify = commands.add_parser("verify", parents=[common], help="tell what a file's labels say, and if they are true")
    verify.add_argument("file", help="a JPEG, PNG, WebP or MP4; - is stdin")
    verify.set_defaults(run=_verify)


def _add_swap_arguments(swap: argparse.ArgumentParser) -> None:
    swap.add_argument("face", help="the picture of the face to put in; - is stdin")
    swap.add_argument("meme", help="the picture, GIF or video whose faces are replaced; - is stdin")
    swap.add_argument("-o", "--out", required=True, help="the result; its extension decides the format; - is stdout")
    swap.add_argument("--faces", default="all", help="all, largest, or numbers from coldswap faces, such as 0,2")
    swap.add_argument("--format", choices=(*FORMATS, "jpg"), help="the result's format, whatever its name")
    swap.add_argument("--quality", type=int, metavar="1-100", help="of a JPEG or WebP (a JPEG meme's own, or 90)")
    swap.add_argument("--detail", choices=("fast", "balanced"), default="balanced", help="default: %(default)s")
    swap.add_argument(
        "--no-color-match", dest="color_match", action="store_false", help="keep the skin tone of the new face"
    )
    swap.add_argument("--badge", action="store_true", help="draw a small AI badge in a corner")


def _swap(options: argparse.Namespace) -> int:
    from coldswap.library import swap

    if options.out == STREAM and options.json:
        raise InvalidRequest("With --json, stdout is taken: give --out a name.")
    if options.face == options.meme == STREAM:
        raise InvalidRequest("Only one of the two pictures can come from stdin.")
    if options.out != STREAM:
        _check_out(Path(options.out))
    result = swap(
        _open_input(options.face),
        _open_input(options.meme),
        faces=_parse_faces(options.faces),
        format=options.format or _format_of(options.out),
        quality=options.quality,
        color_match=options.color_match,
        detail=options.detail,
        badge=options.badge,
        models=options.models,
    )
    if options.out == STREAM:
        sys.stdout.buffer.write(result.content)
        sys.stdout.buffer.flush()
    else:
        _write_whole(Path(options.out), result.content)
    replaced, count = sum(face["swapped"] for face in result.faces), len(result.faces)
    line = f"{options.out}: {replaced} of {count} face{'s' * (count != 1)} replaced"
    if options.out != STREAM:
        print(json.dumps(result.facts, indent=2) if options.json else line)
    for note in [*result.notes, *advise_on_engine(result.facts["engine"])]:
        print(note, file=sys.stderr)
    return DONE


def _list_faces(options: argparse.Namespace) -> int:
    from coldswap.library import list_faces

    listing = list_faces(_open_input(options.meme), models=options.models)
    if options.json:
        print(json.dumps(listing, indent=2))
    else:
        for face in listing.get("people", listing.get("faces", [])):
            x0, y0, x1, y1 = map(round, face["box"])
            verdict = "can be swapped" if face["swappable"] else face["reason"].replace("_", " ")
            times = "".join(f"  {span['start']:.2f}-{span['end']:.2f} s" for span in face.get("times", []))
            print(f"{face['index']}  from {x0},{y0} to {x1},{y1}  score {face['score']:.2f}  {verdict}{times}")
        for note in listing["notes"]:
            print(note, file=sys.stderr)
    return DONE


def _verify(options: argparse.Namespace) -> int:
    from dataclasses import asdict, replace

    from coldswap.personal import read_anchors
    from functions.swap.verify import judge

    with _as_file(options.file) as path:
        try:
            verdict = judge(path, read_anchors())
        except FileNotFoundError:
            raise InputNotFound(f"There is no file {path}.") from None
        except OSError as error:
            raise InputNotFound(f"{path} cannot be read: {error.strerror}.") from None
    sentence = verdict.sentence.replace("This stack made the file", "Your key signed the file")
    if options.json:
        print(json.dumps(asdict(replace(verdict, sentence=sentence)), indent=2))
    else:
        print("".join(letter if letter.isprintable() else "?" for letter in sentence))
    return DONE if verdict.manifest.state in ("valid", "trusted") else FAILED


@contextmanager
def _as_file(path: str) -> Iterator[Path]:
    """The path of a file; of one with what comes from stdin, at most one byte more than a file to verify may have."""
    from functions.swap.settings import Settings

    if path != STREAM:
        yield Path(path)
        return
    with tempfile.NamedTemporaryFile(prefix="coldswap-") as file:
        rest = Settings.max_verified_bytes + 1
        while rest and (block := sys.stdin.buffer.read(min(rest, MIB))):
            file.write(block)
            rest -= len(block)
        file.flush()
        yield Path(file.name)


def _open_input(path: str) -> str | bytes:
    """A path as it is; for stdin what comes from there, at most one byte more than a picture may have."""
    from coldswap.library import LIMITS

    return sys.stdin.buffer.read(LIMITS.max_picture_bytes + 1) if path == STREAM else path


def _parse_faces(text: str) -> Any:
    if text in ("all", "largest"):
        return text
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise InvalidRequest("--faces must be all, largest, or numbers with commas between them.") from None


def _format_of(out: str) -> RequestFormat | None:
    """The format that a file's extension names; None if it names none, or for stdout."""
    extension = Path(out).suffix.lower().removeprefix(".")
    names: dict[str, RequestFormat] = {extension: format for format, extension in EXTENSIONS.items()}
    names |= {"jpeg": "jpeg", "gif": "gif", "mp4": "mp4", "apng": "png"}
    if extension in names:
        return names[extension]
    if extension and out != STREAM:
        choices = enumerate_choices([f".{each}" for each in (*EXTENSIONS.values(), "gif", "mp4")])
        raise InvalidRequest(f"A result can be {choices}, not .{extension}.")
    return None


def _check_out(path: Path) -> None:
    """Refuse a result that could not be written, before it is made."""
    if not path.name or path.is_dir():
        raise _not_written(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    if not path.parent.is_dir():
        raise CommandFailed(f"There is no folder {path.parent} for {path.name}.", NOT_WRITTEN, USAGE)


def _write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there as a whole or not at all."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise _not_written(path, error) from None
    finally:
        part.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> CommandFailed:
    status = USAGE if isinstance(error, IsADirectoryError) else FAILED
    return CommandFailed(f"{path} cannot be written: {error.strerror}.", NOT_WRITTEN, status)


def advise_on_engine(engine: str | None) -> list[str]:
    """What to do where the native engine has not been compiled."""
    from layers.engine import build

    if engine != "onnxruntime" or build.LIBRARY.exists():
        return []
    if build.compiler() is None:
        return ["onnxruntime ran the swap, slowly: the faster engine needs a C++ compiler and an x86-64 processor."]
    return [
        "onnxruntime ran the swap, slowly: the faster engine has not been compiled. To compile it: "
        f"{sys.executable} -m {build.__name__}"
    ]
