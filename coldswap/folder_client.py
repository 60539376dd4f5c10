"""Reads a pack of models from a folder that is laid out like the models bucket."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from layers.core.errors import ModelsMissing

_RANGE = re.compile(r"bytes=(\d+)-(\d+)")


class FolderClient:
    """What `ModelStore` needs of boto3's S3 client, on a folder. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get_object(self, **arguments: str) -> dict[str, Any]:
        """The object with that `Key`, from the start of `Range` on if there is one, in the form of boto3's response.

        `Bucket` says nothing here; `IfNoneMatch` neither, as reading a small file again costs nothing. Raises
        ModelsMissing if there is no such file, and OSError.
        """
        path = self._folder / arguments["Key"]
        try:
            body = path.open("rb")
        except FileNotFoundError:
            raise ModelsMissing(f"{path} is missing, and the pack is not complete without it.") from None
        size = path.stat().st_size
        span = _RANGE.fullmatch(arguments.get("Range", ""))
        if span is None:
            return {"Body": body, "ContentLength": size}
        start, last = int(span[1]), min(int(span[2]), size - 1)
        body.seek(start)
        return {
            "Body": body,
            "ContentLength": last + 1 - start,
            "ContentRange": f"bytes {start}-{last}/{size}",
        }
