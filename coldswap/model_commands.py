"""The commands for models: show and get."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coldswap.exit_status import DONE, CommandFailed
from layers.core.errors import InvalidRequest
from layers.models.tools.catalogue import CATALOGUE, Catalogue, Licence

if TYPE_CHECKING:
    from layers.models.tools.bundle import PackBundle


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to a group of subparsers; `common` has the options of all."""
    models = commands.add_parser("models", help="models for photographs")
    actions = models.add_subparsers(required=True, metavar="COMMAND")
    show = actions.add_parser("show", parents=[common], help="show the models in use, and their licences")
    show.set_defaults(run=_show_models)
    get = actions.add_parser("get", parents=[common], help="download the published models, or take files of yours")
    get.add_argument("--accept", action="store_true", help="accept the models' licence, which is shown")
    get.add_argument("--pack", choices=("default", "large"), default="default", help="default: %(default)s")
    get.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="FOLDER",
        help="instead of downloading, take detector.onnx, embedder.onnx and swapper.onnx, the files by their published "
        "names, or a pack that make models has built",
    )
    get.add_argument("--licence", "--license", default="", metavar="TEXT", help="of files that are not published ones")
    get.set_defaults(run=_get_models)


def _show_models(options: argparse.Namespace) -> int:
    from coldswap import packs

    folder = packs.choose_pack()
    bundle = packs.open_built(folder)
    assert bundle is not None  # or choose_pack would have raised
    manifest = bundle.manifest
    if options.json:
        licences = {name: model.licence for name, model in manifest.models.items()}
        print(json.dumps({"pack": manifest.pack, "folder": str(folder), "licences": licences}, indent=2))
    else:
        print(f"{manifest.pack}  {folder}")
        for name, model in manifest.models.items():
            print(f"    {name:9} {sum(blob.size for blob in model.blobs) / 1e6:7.1f} MB  ({model.licence})")
        if packs.is_demo(manifest.pack):
            print(packs.HINT)
    return DONE


def _get_models(options: argparse.Namespace) -> int:
    from coldswap import packs
    from layers.models.tools.internet_download import FetchFailed
    from layers.models.tools.onnx_file import Unfit

    built = packs.open_built(options.source) if options.source else None
    try:
        if built is not None:
            _require_accepted(packs.list_licences(built, CATALOGUE), options)
        else:
            built = _build_pack(options, CATALOGUE)
        packs.install(built, packs.installed_pack())
    except (FetchFailed, Unfit) as error:
        raise CommandFailed(str(error), "models_not_installed") from error
    packs.forget_downloads()
    return _show_models(options)


def _build_pack(options: argparse.Namespace, catalogue: Catalogue) -> PackBundle:
    """The pack that the options ask for, of files that are here or of published ones, which are fetched."""
    from coldswap import packs
    from layers.models.tools.progress import choose_progress

    if options.source:
        files = packs.find_files(options.source, catalogue, options.licence)
    else:
        files = packs.list_published(options.pack, catalogue)
    _require_accepted(files.to_accept, options)
    if not options.source:
        packs.download(options.pack, catalogue, choose_progress(options.json))
    if sys.stderr.isatty():
        print("Converting and measuring the models; this takes a minute …", file=sys.stderr)
    return packs.build(files, packs.OWN if options.source else options.pack)


def _require_accepted(licences: Sequence[Licence], options: argparse.Namespace) -> None:
    """Show the gist of these licences; raise InvalidRequest unless they are accepted."""
    for licence in licences:
        print(f"{licence.name}: {licence.gist} {licence.url}", file=sys.stderr)
    if licences and not options.accept:
        raise InvalidRequest("Nothing was installed. To accept the licence, add --accept.")
