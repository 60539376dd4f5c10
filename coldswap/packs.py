"""The models on this machine: the small ones for drawings, which are always here, or those that the user has got."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coldswap.pictures import enumerate_choices
from coldswap.user_folders import cache_folder
from layers.core.errors import InputNotFound, InvalidRequest, ModelsMissing
from layers.models.runtime.manifest import FORMAT, MODEL_NAMES, POINTER_KEY, ModelName
from layers.models.tools.bundle import PackBundle, convert_files
from layers.models.tools.catalogue import Catalogue, Licence
from layers.models.tools.internet_download import download_files
from local import demo_pack

if TYPE_CHECKING:
    from layers.models.tools.progress import Show

VARIABLE = "COLDSWAP_MODELS"  # names the folder of a pack, if it is another than the user's
ADVICE = "For photographs: coldswap models get --accept."
HINT = f"The demo pack recognises drawn faces only. {ADVICE}"
OWN = "own"  # name of a pack of the user's own files


@dataclass(frozen=True)
class ModelFiles:
    """The file of each model, the licences to be named in the pack, and those that have to be accepted before."""

    paths: Mapping[ModelName, Path]
    licences: Mapping[str, str]
    to_accept: tuple[Licence, ...]


def installed_pack() -> Path:
    """Where `coldswap models get` puts a pack."""
    return cache_folder() / "models"


def choose_pack(folder: str | os.PathLike[str] | None = None) -> Path:
    """The folder of the pack to use: this one, that of COLDSWAP_MODELS, the installed one, or the demo pack.

    The demo pack is converted when it is first needed, which takes a second. Raises ModelsMissing if there is no pack
    in a folder that was named.
    """
    named = folder or os.environ.get(VARIABLE)
    if named:
        if not (Path(named) / POINTER_KEY).is_file():
            raise ModelsMissing(f"There is no pack of models in {os.fspath(named)}: it has no {POINTER_KEY}.")
        return Path(named).absolute()
    return installed_pack() if (installed_pack() / POINTER_KEY).is_file() else prepare_demo_pack()


def is_demo(name: str) -> bool:
    """Whether a pack of that name recognises drawings only."""
    return name == demo_pack.NAME


def prepare_demo_pack() -> Path:
    """The folder of the demo pack, converted unless that was done before."""
    source = Path(demo_pack.__file__).parent
    paths: dict[ModelName, Path] = {name: source / f"{name}.onnx" for name in MODEL_NAMES}
    digest = hashlib.sha256(f"{FORMAT} {HINT}".encode())
    for path in paths.values():
        digest.update(path.read_bytes())
    target = cache_folder() / f"demo-{digest.hexdigest()[:16]}"
    if not (target / POINTER_KEY).is_file():
        licences: dict[str, str] = dict.fromkeys(paths, demo_pack.LICENCE)
        install(PackBundle.assemble(convert_files(paths), demo_pack.NAME, licences, HINT), target)
    return target


def find_files(folder: Path, catalogue: Catalogue, licence: str) -> ModelFiles:
    """The files of models in a folder: detector.onnx, embedder.onnx and swapper.onnx, or by the catalogue's names.

    `licence` is that of files which are not in the catalogue. Raises InputNotFound for a missing file, and
    InvalidRequest for a missing licence.
    """
    if not folder.is_dir():
        raise InputNotFound(f"There is no folder {folder}.")
    paths: dict[ModelName, Path] = {}
    for name in MODEL_NAMES:
        names = [f"{name}.onnx", *dict.fromkeys(files[name].name for files in catalogue.packs.values())]
        path = next((folder / each for each in names if (folder / each).is_file()), None)
        if path is None:
            raise InputNotFound(f"The {name} is missing: there is no {enumerate_choices(names)} in {folder}.")
        paths[name] = path
    files = {name: catalogue.by_digest(_digest(path)) for name, path in paths.items()}
    unknown = [str(paths[name]) for name, file in files.items() if file is None]
    if unknown and not licence:
        raise InvalidRequest(f"{unknown[0]} is not in the catalogue. Name its licence: --licence TEXT.")
    to_accept = tuple(dict.fromkeys(file.licence for file in files.values() if file))
    return ModelFiles(paths, {name: file.licence.name if file else licence for name, file in files.items()}, to_accept)


def list_published(pack: str, catalogue: Catalogue) -> ModelFiles:
    """The files that `download` will have fetched for that pack of the catalogue."""
    files = catalogue.files(pack)
    folder = _downloads()
    return ModelFiles(
        {name: folder / file.name for name, file in files.items()},
        {name: file.licence.name for name, file in files.items()},
        tuple(dict.fromkeys(file.licence for file in files.values())),
    )


def download(pack: str, catalogue: Catalogue, show: Show) -> None:
    """Download the files of that pack, each verified. Raises FetchFailed, or OSError for the disk."""
    download_files(catalogue.files(pack).values(), _downloads(), show)


def forget_downloads() -> None:
    """Delete what was downloaded: the pack that was made of it is all that a swap needs."""
    shutil.rmtree(_downloads(), ignore_errors=True)


def build(files: ModelFiles, name: str) -> PackBundle:
    """Convert the files into a pack, and measure it. Raises Unfit for a network that is not one of the family."""
    return PackBundle.assemble(convert_files(files.paths), name, files.licences)


def open_built(folder: Path) -> PackBundle | None:
    """The pack in that folder, if it is one that was built before (build/packs/NAME). Raises ModelsCorrupt."""
    return PackBundle.open(folder) if (folder / POINTER_KEY).is_file() else None


def list_licences(bundle: PackBundle, catalogue: Catalogue) -> tuple[Licence, ...]:
    """The licences of published files among those of a pack."""
    names = {model.licence for model in bundle.manifest.models.values()}
    published = (file.licence for files in catalogue.packs.values() for file in files.values())
    return tuple(dict.fromkeys(licence for licence in published if licence.name in names))


def install(bundle: PackBundle, target: Path) -> None:
    """Put a pack into a folder, in place of what is there. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        new, old = Path(scratch, "new"), Path(scratch, "old")
        bundle.save(new)
        with suppress(FileNotFoundError):
            target.rename(old)
        new.rename(target)


def _downloads() -> Path:
    return cache_folder() / "downloads"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
