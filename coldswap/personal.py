"""What a person has on their own machine: a key to sign with, and terms of use that they have seen."""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from coldswap.user_folders import config_folder
from layers.core.errors import LabelFailed
from layers.core.terms import TEXT, VERSION
from layers.media.c2pa_chain import create_chain, parse
from layers.media.c2pa_key import FILE

KEY_NAME, TERMS_NAME = "signing-key.json", "terms.json"
PRIVATE, PRIVATE_FOLDER = 0o600, 0o700  # modes: nobody else may read them
TERMS_PAGE = "docs/responsible-use.md"


def signing_key_path() -> Path:
    """The file with the key by which this user's results are signed."""
    return config_folder() / KEY_NAME


def locate_signing_key() -> str:
    """The location of the user's key, as `signing_chain` takes it; made now if there is none. Raises LabelFailed."""
    path = signing_key_path()
    try:
        if not path.exists():
            _write_once(path, create_chain().dump())
    except OSError as error:
        raise LabelFailed(f"No signing key can be written to {path}: {error.strerror}.") from None
    read_anchors()
    return f"{FILE}{path}"


def read_anchors() -> str:
    """The certificates, in PEM, of the authority behind the user's key; empty without a key. Raises LabelFailed."""
    path = signing_key_path()
    try:
        return parse(path.read_text()).anchors if path.is_file() else ""
    except (OSError, ValueError):
        raise LabelFailed(f"The signing key in {path} cannot be read.") from None
    except LabelFailed:  # its advice is for a stack
        raise LabelFailed(
            f"The signing key in {path} is damaged. Put a copy of it back, or delete it: the next swap makes another, "
            "which does not know what the former one signed."
        ) from None


def remind_of_terms(log: logging.Logger) -> None:
    """Show the terms of use, the first time and after each change; whoever goes on accepts them.

    That they were shown is recorded. Where it cannot be recorded they are shown every time.
    """
    path = config_folder() / TERMS_NAME
    with suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(path.read_text())["version"] == VERSION:
            return
    log.warning("By using Coldswap you agree (%s):\n%s", TERMS_PAGE, "\n".join(f"- {sentence}" for sentence in TEXT))
    with suppress(OSError):
        path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        path.write_text(json.dumps({"version": VERSION, "shown": int(time.time())}))


def _write_once(path: Path, text: str) -> None:
    """Write a private file, whole, unless another process was first."""
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE), "w") as file:
            file.write(text)
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)
