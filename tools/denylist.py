"""The do-not-swap list of a stack: `python -m tools.denylist add NAME PICTURE…`, `remove NAME`, `list`, `threshold N`.

You choose NAME: a number or a ticket is better than a person's name. The functions use a changed list from their next
request on. The bucket is given with --bucket, or looked up by the stack (--stack); boto3 reads AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from functions.swap.safeguards.denylist import KEY, MAX_BYTES, THRESHOLD, DeniedFace, Denylist
from functions.swap.settings import Settings
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, InvalidRequest, NoFaceInSource

SECONDS = 120.0  # for the models, and for each change
CHANGED = (409, 412)  # S3's status if a condition does not hold


class DenylistFile:
    """The document in a models bucket, with optimistic locking."""

    def __init__(self, s3: Any, bucket: str) -> None:
        """`s3`: boto3's client."""
        self._s3 = s3
        self._bucket = bucket

    def read(self) -> tuple[Denylist, dict[str, str]]:
        """The list, and the condition that it has not changed since, as arguments of put_object.

        Raises SafeguardFailed if it is damaged, and botocore's errors.
        """
        try:
            answer = self._s3.get_object(Bucket=self._bucket, Key=KEY)
        except self._s3.exceptions.NoSuchKey:
            return Denylist(), {"IfNoneMatch": "*"}
        with answer["Body"] as body:
            return Denylist.parse(body.read()), {"IfMatch": answer["ETag"]}

    def change(self, how: Callable[[Denylist], Denylist]) -> Denylist:
        """Write what `how` makes of the list, starting anew if somebody else has changed it meanwhile."""
        from botocore.exceptions import ClientError

        within = Deadline.after(SECONDS)
        while True:
            within.check("changing the list")
            before, condition = self.read()
            after = how(before)
            written = after.dump()
            if len(written) > MAX_BYTES:
                raise InvalidRequest("The list would be too long for the functions to read.")
            try:
                self._s3.put_object(
                    Bucket=self._bucket, Key=KEY, Body=written, ContentType="application/json", **condition
                )
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") not in CHANGED:
                    raise
            else:
                return after


class Embedding:
    """Computes embeddings of faces with the pack that a bucket has in use."""

    def __init__(self, s3: Any, bucket: str) -> None:
        """Raises ModelsMissing, ModelsCorrupt or StorageFailed."""
        from layers.models.runtime.loaded_models import LoadedModels
        from layers.models.runtime.model_store import ModelStore

        self._models = LoadedModels(ModelStore(bucket, s3), threads=0)
        self._models.refresh(Deadline.after(SECONDS))

    @property
    def name(self) -> str:
        """The embedder's digest."""
        return self._models.digests["embedder"]

    def of(self, path: Path) -> Any:
        """float32 [512], the unit embedding of the only face in a picture.

        Raises OSError, the errors of `decode`, NoFaceInSource, or InvalidRequest if there are several faces.
        """
        from layers.engine.onnx_embedder import normalise
        from layers.media.decode import decode

        picture = decode(path.read_bytes(), Settings.max_picture_bytes, Settings.max_picture_pixels)
        from functions.swap.face import (
            align,
            detect,
            embed,  # after `decode`, which sets limits for OpenCV
        )

        within = Deadline.after(SECONDS)
        detector = detect.Detector(self._models.detector_session(within), Settings.detection_size)
        pixels = picture.as_seen()
        faces = detector.find(pixels, within)
        if len(faces) > 1:
            raise InvalidRequest(f"{path} shows {len(faces)} faces. Crop the picture to the one that you mean.")
        if not faces or align.rejection_reason(faces[0], picture.width, picture.height):
            raise NoFaceInSource(f"No face was found in {path}, or it is too small or cut off by the edge.")
        return normalise(embed.embed_face(pixels, faces[0], self._models.embedder(within)))


def add(
    listed: DenylistFile, embedding: Embedding, person: str, pictures: Sequence[Path], threshold: float | None = None
) -> Denylist:
    """Add the face in each picture to the list under that name."""
    today = datetime.now(UTC).date().isoformat()
    new = tuple(DeniedFace(person, embedding.name, embedding.of(path), today) for path in pictures)
    return listed.change(lambda now: Denylist((*now.entries, *new), now.threshold if threshold is None else threshold))


def remove(listed: DenylistFile, person: str) -> Denylist:
    """Remove everything under that name from the list. Raises InvalidRequest if there is nothing."""

    def without(now: Denylist) -> Denylist:
        left = tuple(entry for entry in now.entries if entry.person != person)
        if len(left) == len(now.entries):
            raise InvalidRequest(f"{person} is not on the list.")
        return replace(now, entries=left)

    return listed.change(without)


def summarize(now: Denylist, embedder: str | None) -> dict[str, Any]:
    """A summary of the list without embeddings."""
    people: dict[str, dict[str, Any]] = {}
    for entry in now.entries:
        summary = people.setdefault(entry.person, {"faces": 0, "added": entry.added})
        summary["faces"] += 1
    stale = now.people_without(embedder) if embedder else []
    return {"threshold": now.threshold, "people": people, "to_be_added_again": stale}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 done, 1 failed, 3 if the list stops every swap until faces are added again."""
    options = _parser().parse_args(arguments)
    from botocore.exceptions import BotoCoreError, ClientError

    from layers.core.storage import client

    try:
        bucket = options.bucket or _bucket(options.stack)
        s3 = client("s3")
        listed = DenylistFile(s3, bucket)
        embedding = Embedding(s3, bucket) if options.command in ("add", "list") else None
        if options.command == "add" and embedding:
            now = add(listed, embedding, options.person, options.pictures, options.threshold)
        elif options.command == "remove":
            now = remove(listed, options.person)
        elif options.command == "threshold":
            now = listed.change(lambda before: replace(before, threshold=options.value))
        else:
            now, _ = listed.read()
    except ColdswapError as error:
        print(error.detail, file=sys.stderr)
        return 1
    except (OSError, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    summary = summarize(now, embedding.name if embedding else None)
    print(json.dumps(summary, indent=2))
    if summary["to_be_added_again"]:
        print(
            "Nothing is swapped until these faces are added again, because the pack has another embedder.",
            file=sys.stderr,
        )
        return 3
    return 0


def _bucket(stack: str) -> str:
    import boto3

    from tools.stack import read_outputs

    return str(read_outputs(boto3.client("cloudformation"), stack)["ModelsBucketName"])


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("a number between 0 and 1")
    return value


def _parser() -> argparse.ArgumentParser:
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--bucket", help="the models bucket")
    where.add_argument("--stack", default="coldswap", help="or the stack whose bucket it is (%(default)s)")
    parser = argparse.ArgumentParser(prog="python -m tools.denylist", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    adding = commands.add_parser("add", parents=[where], help="add the faces of a person, one in each picture")
    adding.add_argument("person", metavar="NAME")
    adding.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE")
    adding.add_argument("--threshold", type=_share, help=f"threshold of the whole list ({THRESHOLD} by default)")
    removing = commands.add_parser("remove", parents=[where], help="remove all faces under a name")
    removing.add_argument("person", metavar="NAME")
    commands.add_parser("list", parents=[where], help="show who is on the list, without embeddings")
    threshold = commands.add_parser("threshold", parents=[where], help="set the cosine from which a face is refused")
    threshold.add_argument("value", type=_share)
    return parser


if __name__ == "__main__":
    sys.exit(main())
