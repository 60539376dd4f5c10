"""`make fonts`: puts the typeface of Chinese, Japanese and Korean into the stack's models bucket.

    python -m tools.large_fonts [--env NAME | --bucket NAME]
    python -m tools.large_fonts --table

The image of the video function has no room for it. `make deploy` does the same. The file is that of a pinned package;
`--table` writes functions/video/render/cjk.txt anew, which names it, after another version of the package was pinned.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any

from functions.video.render import large_fonts
from functions.video.render.large_fonts import cjk_file

MODULE, FILE = "manimgx_fonts_cjk", "NotoSansCJK-VF.otf.ttc"
TABLE = Path(large_fonts.__file__).with_name("cjk.txt")
COLUMNS = 120


class FontsUnfit(Exception):
    """The package is not installed, or is not the one that cjk.txt names; the message says what to do."""


def package_file() -> Path:
    """The file of the installed package. Raises FontsUnfit."""
    try:
        module = importlib.import_module(MODULE)
    except ModuleNotFoundError:
        raise FontsUnfit(f"The package {MODULE} is not installed: delete .venv-deploy/ready and try again.") from None
    return Path(str(module.__file__)).with_name(FILE)


def publish(s3: Any, bucket: str) -> bool:
    """Put the file into the bucket unless it is there; whether it was put. `s3` is boto3's client.

    Raises FontsUnfit and botocore's errors.
    """
    file = cjk_file()
    try:
        if s3.head_object(Bucket=bucket, Key=file.key)["ContentLength"] == file.size:
            return False
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (403, 404):  # 403 where keys cannot be listed
            raise
    path = package_file()
    if path.stat().st_size != file.size:
        raise FontsUnfit(f"{path} is not the file that {TABLE.name} names. Run python -m tools.large_fonts --table.")
    with path.open("rb") as body:
        # S3 verifies the digest, and refuses other bytes than the key names.
        checksum = base64.b64encode(bytes.fromhex(file.digest)).decode()
        s3.put_object(Bucket=bucket, Key=file.key, Body=body, ContentType="font/collection", ChecksumSHA256=checksum)
    return True


def describe_file(path: Path) -> str:
    """What cjk.txt says of a collection. Raises FontsUnfit where its faces have different letters."""
    from fontTools.ttLib import TTCollection

    with TTCollection(path, lazy=True) as collection:
        letters = [frozenset(font.getBestCmap()) for font in collection.fonts]
    if len(set(letters)) != 1:
        raise FontsUnfit(f"The faces in {path} have different letters, which {TABLE.name} cannot say.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    ranges = fill(" ".join(format_ranges(letters[0])), COLUMNS, break_on_hyphens=False)
    return f"{path.name} {digest} {path.stat().st_size}\n{ranges}\n"


def format_ranges(numbers: Iterable[int]) -> list[str]:
    """The numbers as runs of hexadecimal ones: 20-7e a0."""
    ordered = list(enumerate(sorted(numbers)))
    runs = [[number for _, number in group] for _, group in groupby(ordered, lambda each: each[1] - each[0])]
    return [f"{run[0]:x}" + (f"-{run[-1]:x}" if len(run) > 1 else "") for run in runs]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make fonts", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    parser.add_argument("--bucket", help="a models bucket, whatever stack it belongs to")
    parser.add_argument("--table", action="store_true", help=f"write {TABLE.name}, and publish nothing")
    options = parser.parse_args(arguments)
    try:
        if options.table:
            TABLE.write_text(describe_file(package_file()))
            return 0
        return _publish(options.env, options.bucket)
    except FontsUnfit as error:
        print(error, file=sys.stderr)
        return 1


def _publish(environment: str, bucket: str | None) -> int:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    from tools.stack import read_outputs, read_stack_name

    session = boto3.session.Session()
    try:
        if bucket is None:
            stack_outputs = read_outputs(session.client("cloudformation"), read_stack_name(environment))
            bucket = stack_outputs["ModelsBucketName"]
        was_put = publish(session.client("s3"), bucket)
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{cjk_file().key} is in {bucket}{'' if was_put else ' already'}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
