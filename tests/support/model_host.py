"""A stand-in for the servers that publish real models: their paths, redirects and range requests, and their faults."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from hashlib import file_digest
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from layers.models.runtime.manifest import ModelName
from layers.models.tools.catalogue import CATALOGUE, Catalogue, File, Licence, Source
from local.standins.http_server import TRANSPORT, Fault, Faults, RecordedRequest, Request, Response, Service

STORE = "/store/"  # where both redirect to, as GitHub's releases and Hugging Face do
FAULTS: dict[str, str] = {
    "no_range": "answers a range with the whole file",
    "elsewhere": "answers a range with another one",
    "garbage": "another file of the same size",
    "republished": "the same bytes, but with another ETag",
    "larger": "one byte more than there is",
    "missing": "404",
}
LICENCE = Licence("Stand-in, no rights reserved", "Random numbers: do with them what you like.", "https://example.com/")


class ModelHost:
    """One server with the files of a folder, under every host's paths; a context manager.

    `catalogue` is the product's own, with these files' sizes and digests, and this server's URLs.
    """

    def __init__(self, folder: Path) -> None:
        """`folder` holds zips, and files that are published as they are."""
        self._folder = folder
        self.requests: list[RecordedRequest] = []
        self._faults = Faults()
        self._service = Service("upstream", self._respond, self._faults, self.requests)

    def __enter__(self) -> Self:
        self._service.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._faults.clear()
        self._service.__exit__()

    @property
    def url(self) -> str:
        """The server's base URL."""
        return self._service.url

    def fault(self, kind: str, *, times: int | None = 1, match: str = STORE, **how: Any) -> Fault:
        """Inject a fault, one of FAULTS or of http_server.TRANSPORT, for paths that contain `match`."""
        if kind not in {*FAULTS, *TRANSPORT}:
            raise ValueError(f"There is no fault {kind!r}.")
        return self._faults.add(Fault(f"upstream.{kind}", times, match, how))

    def clear(self) -> None:
        """End all faults; held requests continue."""
        self._faults.clear()

    def requests_for(self, name: str) -> list[RecordedRequest]:
        """Requests whose response was this file, or a part of it."""
        return [record for record in self.requests if record.path == STORE + name]

    def catalogue(self, files: Mapping[str, Path]) -> Catalogue:
        """`files` by the name of the published file: what stands for it here, wherever the server has it."""

        def local_file(file: File) -> File:
            path = files[file.name]
            with path.open("rb") as stream:
                digest = file_digest(stream, "sha256").hexdigest()
            sources = tuple(Source(self.url + urlsplit(source.url).path, source.member) for source in file.sources)
            return replace(file, size=path.stat().st_size, sha256=digest, licence=LICENCE, sources=sources)

        packs: dict[str, dict[ModelName, File]] = {
            pack: {model: local_file(file) for model, file in models.items()}
            for pack, models in CATALOGUE.packs.items()
            if all(file.name in files for file in models.values())
        }
        return Catalogue(packs)

    def _respond(self, request: Request, fault: Fault | None) -> Response:
        name = request.path.rpartition("/")[2]
        path = self._folder / name
        kind = fault.kind if fault else ""
        if kind == "missing" or not path.is_file():
            return Response(404)
        if not request.path.startswith(STORE):
            return Response(302, {"Location": f"{self.url}{STORE}{name}"})
        size = path.stat().st_size
        etag = f'"{name}-{size}{"-again" if kind == "republished" else ""}"'
        headers = {"ETag": etag, "Accept-Ranges": "bytes"}
        if kind in ("garbage", "larger"):
            return Response(200, headers, bytes(size + (kind == "larger")))
        byte_range = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
        same = request.headers.get("if-range", etag) == etag
        if not byte_range or not same or kind == "no_range":
            return Response(200, headers, file=path, length=size)
        start = int(byte_range[1])
        if start >= size:
            return Response(416, {"Content-Range": f"bytes */{size}"})
        start -= min(start, 100) if kind == "elsewhere" else 0
        span = {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
        return Response(206, headers | span, file=path, offset=start, length=size - start)


def zip_files(path: Path, members: Mapping[str, Path], pack: bool = True) -> Path:
    """A zip of these files by their names in it; `pack` deflates them."""
    method = zipfile.ZIP_DEFLATED if pack else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        for name, member in members.items():
            archive.write(member, name)
    return path
