"""The typeface that a deployment puts into the models bucket, and the table that stands for it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from functions.video.render.large_fonts import _read_ranges, cjk_file
from tests.unit.tools.aws import Client, refusal
from tools import large_fonts
from tools.large_fonts import FontsUnfit, format_ranges


class Bucket(Client):
    """A client of S3 with one bucket: sizes of its objects, what was put, and how it answers for what is missing."""

    def __init__(self, status: int = 404, **sizes: int) -> None:
        self.sizes, self.status = sizes, status
        self.put: list[dict[str, Any]] = []

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        if Key not in self.sizes:
            raise refusal(str(self.status), status=self.status)
        return {"ContentLength": self.sizes[Key]}

    def put_object(self, Body: BinaryIO, **call: Any) -> None:
        self.put.append(call | {"bytes": len(Body.read())})


@pytest.mark.parametrize("bucket", [Bucket(), Bucket(status=403), Bucket(**{cjk_file().key: 1000})])
def test_what_is_missing_or_cut_off_is_put_and_s3_checks_it(bucket: Bucket) -> None:
    assert large_fonts.publish(bucket, "models")

    (call,) = bucket.put
    assert (call["Bucket"], call["Key"], call["bytes"]) == ("models", cjk_file().key, cjk_file().size)
    assert base64.b64decode(call["ChecksumSHA256"]).hex() == cjk_file().digest == cjk_file().key.rpartition("/")[2]


def test_what_is_there_is_left() -> None:
    bucket = Bucket(**{cjk_file().key: cjk_file().size})

    assert not large_fonts.publish(bucket, "models")
    assert bucket.put == []


def test_whether_it_is_there_has_to_be_known() -> None:
    with pytest.raises(Exception, match="503"):
        large_fonts.publish(Bucket(status=503), "models")


def test_a_file_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.ttc").write_bytes(b"another file")
    monkeypatch.setattr(large_fonts, "package_file", lambda: tmp_path / "other.ttc")
    bucket = Bucket()

    with pytest.raises(FontsUnfit, match="--table"):
        large_fonts.publish(bucket, "models")
    assert bucket.put == []


def test_a_package_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_fonts, "MODULE", "no_such_package")

    with pytest.raises(FontsUnfit, match="not installed"):
        large_fonts.package_file()


def test_ranges_are_read_as_they_were_written() -> None:
    numbers = [32, 33, 34, 160, 0x3042, 0x20000, 0x20001]

    assert format_ranges(reversed(numbers)) == ["20-22", "a0", "3042", "20000-20001"]
    assert list(_read_ranges(" ".join(format_ranges(numbers)))) == numbers
