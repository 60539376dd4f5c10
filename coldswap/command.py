"""Puts a face into the faces of a picture, on this machine, without any cloud."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from coldswap import model_commands, picture_commands
from coldswap.exit_status import FAILED, INTERRUPTED, MEANING, USAGE, CommandFailed, choose_status
from coldswap.version import VERSION
from layers.core.errors import ColdswapError, InvalidRequest


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = make_parser().parse_args(arguments)
    _say_on_stderr()
    try:
        status: int = options.run(options)
    except ColdswapError as error:
        return _fail(error.detail, error.code, choose_status(error))
    except CommandFailed as error:
        return _fail(str(error), error.code, error.status)
    except KeyboardInterrupt:
        return _fail("Interrupted.", "interrupted", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read stdout is gone, and Python would complain about it at its end
        return FAILED
    except OSError as error:
        return _fail(f"{error.filename or 'A file'} cannot be used: {error.strerror}.", "system_error", FAILED)
    return status


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; `run` of what it returns carries a command out."""
    parser = argparse.ArgumentParser(prog="coldswap", description=__doc__, epilog=MEANING)
    parser.add_argument("--version", action="version", version=VERSION)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print facts as JSON")
    picture_commands.add_commands(commands, common)
    model_commands.add_commands(commands, common)
    serve = commands.add_parser("serve", help="run the whole stack on this machine: make up, in a checkout")
    serve.add_argument("variables", nargs="*", metavar="NAME=VALUE", help="what make up takes, such as HOST=0.0.0.0")
    serve.set_defaults(run=_serve)
    return parser


def _serve(options: argparse.Namespace) -> int:
    root = Path(__file__).resolve().parent.parent
    if not ((root / "Makefile").is_file() and (root / "local/up.py").is_file()):
        raise CommandFailed(
            "The whole stack runs from a checkout of the repository, which has the emulated cloud and its "
            "requirements: clone it, and run make up there.",
            "no_checkout",
            USAGE,
        )
    wrong = [each for each in options.variables if "=" not in each]
    if wrong:
        raise InvalidRequest(f"{wrong[0]} is not of the form NAME=VALUE.")
    try:
        os.execvp("make", ["make", "--no-print-directory", "-C", str(root), "up", *options.variables])
    except FileNotFoundError:
        raise CommandFailed(
            "make is missing. Install it (on Debian and Ubuntu: apt install make).", "no_make", USAGE
        ) from None


def _say_on_stderr() -> None:
    log = logging.getLogger("coldswap")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(message)s"))
        log.addHandler(handler)
        log.propagate = False


def _fail(sentence: str, code: str, status: int) -> int:
    print(f"coldswap: {sentence} ({code})", file=sys.stderr)
    return status
