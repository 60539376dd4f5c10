"""Packs of models, from published files to a bucket: fetch, build, publish, verify, list, rollback.

The same against AWS and the local cloud: boto3 reads AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from layers.models.runtime.manifest import MODEL_NAMES, Manifest, ModelName
from layers.models.tools.catalogue import CATALOGUE, Catalogue

FILES, PACKS = Path("build/models"), Path("build/packs")
STACK = "coldswap"
OUTPUT = "ModelsBucketName"  # of the stack
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
OWN = "own"


class CommandRefused(Exception):
    """The command cannot be done as it was given; the message says how it can."""


def main(arguments: Sequence[str] | None = None, catalogue: Catalogue = CATALOGUE) -> int:
    """Runs one command; the exit status: 0 done, 1 failed, 2 given wrongly, 130 interrupted."""
    from botocore.exceptions import BotoCoreError, ClientError

    from layers.core.errors import ColdswapError
    from layers.models.tools.internet_download import FetchFailed
    from layers.models.tools.onnx_file import Unfit
    from layers.models.tools.publish import Conflict

    given = _parser(catalogue).parse_args(arguments)
    try:
        said, lines, fine = COMMANDS[given.command](given, catalogue)
    except CommandRefused as error:
        return _fail(given, "refused", str(error), USAGE)
    except ColdswapError as error:
        return _fail(given, error.code, error.detail, FAILED)
    except (FetchFailed, Unfit, Conflict, OSError, BotoCoreError, ClientError) as error:
        return _fail(given, type(error).__name__, str(error), FAILED)
    except KeyboardInterrupt:
        return _fail(
            given, "interrupted", "Interrupted. What was fetched or uploaded so far need not be again.", INTERRUPTED
        )
    print(json.dumps(said, indent=2) if given.json else "\n".join(lines))
    return DONE if fine else FAILED


def _fail(given: argparse.Namespace, kind: str, why: str, status: int) -> int:
    if given.json:
        print(json.dumps({"error": {"kind": kind, "detail": why}}, indent=2))
    else:
        print(why, file=sys.stderr)
    return status


Said = tuple[Any, list[str], bool]  # as JSON, for people, and whether all is well


def _fetch(given: argparse.Namespace, catalogue: Catalogue) -> Said:
    from layers.models.tools.internet_download import download_files
    from layers.models.tools.progress import shown

    files = catalogue.files(given.pack)
    licences = {file.licence for file in files.values()}
    for licence in licences:
        print(f"{licence.name}: {licence.gist} {licence.url}", file=sys.stderr)
    if not given.accept_license:
        raise CommandRefused("Nothing was fetched. To accept, add --accept-license (or ACCEPT=1 to make models).")
    got = download_files(files.values(), given.files, shown(given.json))
    said = [
        {"path": str(each.path), "size": each.size, "sha256": each.sha256, "downloaded": each.downloaded}
        for each in got
    ]
    return said, [f"{each.path}  {'fetched' if each.downloaded else 'was there'}, verified" for each in got], True


def _build(given: argparse.Namespace, catalogue: Catalogue) -> Said:
    from layers.models.tools.bundle import PackBundle, lower_files
    from layers.models.tools.convert import convert_gate
    from layers.models.tools.onnx_file import Unfit

    pinned: dict[ModelName, Path] = {}
    if given.source is None:
        pinned = {name: given.files / file.name for name, file in catalogue.files(given.pack).items()}
    folder: dict[ModelName, Path] = (
        {name: given.source / f"{name}.onnx" for name in MODEL_NAMES} if given.source else {}
    )
    own: dict[ModelName, Path] = {name: getattr(given, name) for name in MODEL_NAMES if getattr(given, name)}
    paths = {**pinned, **folder, **own}
    wanted = [*paths.values(), *([given.gate] if given.gate else [])]
    absent = [str(path) for path in wanted if not path.is_file()]
    if absent:
        raise CommandRefused(
            f"There is no {' and no '.join(absent)}. Fetch the pack first, or say where the files are."
        )
    lowered = lower_files({name: paths[name] for name in MODEL_NAMES})
    if given.gate:
        paths["gate"], lowered["gate"] = given.gate, convert_gate(given.gate, given.gate_threshold)
    licences: dict[str, str] = {}
    for name, model in lowered.items():
        known = catalogue.by_digest(model.source)
        if known is None and name in pinned and name not in own:
            raise Unfit(f"{paths[name]} is not the file that was published. Fetch it again.")
        if known is None and not given.licence:
            raise CommandRefused(
                f"{paths[name]} is no file that is known here: say with --licence what may be done with it."
            )
        licences[name] = known.licence.name if known else given.licence
    pack = given.name or (OWN if folder or own else given.pack)
    built = PackBundle.of(lowered, pack, licences, given.hint)
    out = given.out or PACKS / pack
    built.save(out)
    said = {"folder": str(out), **_described(built.manifest, built.pointer.digest)}
    lines = [f"{out}  pack {pack}, digest {built.pointer.digest}", *_model_lines(said["models"])]
    unsure = catalogue.by_digest(lowered["embedder"].source) is None
    if unsure:
        said["note"] = (
            "Whether this embedder's embeddings are those that the swapper was trained with, only swaps show."
        )
        lines.append(said["note"])
    return said, lines, True


def _publish(given: argparse.Namespace, catalogue: Catalogue) -> Said:
    from layers.models.tools.bundle import PackBundle
    from layers.models.tools.progress import shown
    from layers.models.tools.publish import upload

    built = PackBundle.open(given.built or PACKS / given.pack)
    bucket, s3 = _bucket(given), _client("s3")
    _keep_gate(given, built.manifest, bucket, s3)
    pointer = upload(built, bucket, s3, shown(given.json))
    said = {"bucket": bucket, **asdict(pointer)}
    return said, [f"{bucket} has {pointer.pack} in use, digest {pointer.digest}"], True


def _verify(given: argparse.Namespace, catalogue: Catalogue) -> Said:
    from layers.models.tools import history
    from layers.models.tools.progress import shown
    from layers.models.tools.verify import verify_pack

    bucket, s3 = _bucket(given), _client("s3")
    packs = history.history(bucket, s3)
    if given.every:
        chosen = [each.pointer for each in packs]
    elif given.digest:
        chosen = [history.choose(packs, given.digest)]
    else:
        now = history.current(bucket, s3)
        chosen = [now] if now else []
    if not chosen:
        raise CommandRefused(f"No pack is published in {bucket}.")
    found = verify_pack(chosen, bucket, s3, shown(given.json))
    faults = [each for each in found if each.fault]
    lines = [f"{each.pack} {each.digest[:12]}  {each.part}: {each.fault}" for each in faults]
    lines += [
        f"{each.pack} {each.digest[:12]}  {each.part}: {_numbers(each.measured)}" for each in found if each.measured
    ]
    lines.append(f"{len(found)} parts looked at, {len(faults)} at fault.")
    return {"bucket": bucket, "faults": len(faults), "parts": [asdict(each) for each in found]}, lines, not faults


def _list(given: argparse.Namespace, catalogue: Catalogue) -> Said:
    from layers.core.errors import ColdswapError
    from layers.models.tools import history

    bucket, s3 = _bucket(given), _client("s3")
    said, lines = [], []
    for each in history.history(bucket, s3):
        about: dict[str, Any] = {"current": each.current, "published": each.at.isoformat(), **asdict(each.pointer)}
        mark = "*" if each.current else " "
        lines.append(f"{mark} {each.at:%Y-%m-%d %H:%M:%S}  {each.pointer.pack}  {each.pointer.digest}")
        try:
            about |= _described(history.manifest(each.pointer, bucket, s3), each.pointer.digest)
            lines += _model_lines(about["models"])
        except ColdswapError as error:
            about["fault"] = error.detail
            lines.append(f"    {error.detail}")
        said.append(about)
    return {"bucket": bucket, "packs": said}, lines or [f"No pack is published in {bucket}."], True


def _rollback(given: argparse.Namespace, catalogue: Catalogue) -> Said:
    from layers.models.tools.history import choose, history, manifest, rollback

    bucket, s3 = _bucket(given), _client("s3")
    wanted = choose(history(bucket, s3), given.digest)
    _keep_gate(given, manifest(wanted, bucket, s3), bucket, s3)
    pointer = rollback(bucket, s3, wanted.digest)
    return {"bucket": bucket, **asdict(pointer)}, [f"{bucket} has {pointer.pack} in use, digest {pointer.digest}"], True


def _keep_gate(given: argparse.Namespace, new: Manifest, bucket: str, s3: Any) -> None:
    """Nobody takes a content gate away by forgetting it. Raises Refused."""
    from layers.core.errors import ColdswapError
    from layers.models.tools.history import current, manifest

    if "gate" in new.models or given.without_gate:
        return
    try:
        now = current(bucket, s3)
        guarded = now is not None and "gate" in manifest(now, bucket, s3).models
    except ColdswapError:
        return  # what is there guards nothing, for it cannot be used
    if guarded:
        raise CommandRefused(
            "The pack in use has a content gate, and this one has none. Build it with --gate, or add --without-gate."
        )


COMMANDS = {
    "fetch": _fetch,
    "build": _build,
    "publish": _publish,
    "verify": _verify,
    "list": _list,
    "rollback": _rollback,
}


def _described(manifest: Any, digest: str) -> dict[str, Any]:
    models = {
        name: {
            "licence": model.licence,
            "bytes": sum(blob.size for blob in model.blobs),
            "source": model.source,
            "parity": model.parity,
        }
        for name, model in manifest.models.items()
    }
    return {"pack": manifest.pack, "digest": digest, "models": models}


def _model_lines(models: Mapping[str, Any]) -> list[str]:
    return [
        f"    {name:9} {model['bytes'] / 1e6:7.1f} MB  {_numbers(model['parity'])}  ({model['licence']})"
        for name, model in models.items()
    ]


def _numbers(measured: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in measured.items())


def _bucket(given: argparse.Namespace) -> str:
    if given.bucket:
        return str(given.bucket)
    (stack,) = _client("cloudformation").describe_stacks(StackName=given.stack)["Stacks"]
    found = [each["OutputValue"] for each in stack.get("Outputs", []) if each["OutputKey"] == OUTPUT]
    if not found:
        raise CommandRefused(f"The stack {given.stack} has no output {OUTPUT}. Name the bucket with --bucket.")
    return str(found[0])


def _client(service: str) -> Any:
    from layers.core.storage import client

    return client(service)


def _parser(catalogue: Catalogue) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="say it as JSON, without progress bars")
    files = argparse.ArgumentParser(add_help=False)
    files.add_argument("--pack", choices=sorted(catalogue.packs), default="default", help="default: %(default)s")
    files.add_argument("--files", type=Path, default=FILES, help="folder of fetched files (%(default)s)")
    bucket = argparse.ArgumentParser(add_help=False)
    bucket.add_argument("--bucket", help="the models bucket")
    bucket.add_argument("--stack", default=STACK, help="or the stack whose bucket it is (%(default)s)")
    gate = argparse.ArgumentParser(add_help=False)
    gate.add_argument("--without-gate", action="store_true", help="though the pack in use has a content gate")

    parser = argparse.ArgumentParser(prog="python -m layers.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", parents=[common, files], help="download the files of a pack, verified")
    fetch.add_argument(
        "--accept-license", "--accept-licence", action="store_true", help="of the models, which is shown"
    )

    build = commands.add_parser("build", parents=[common, files], help="turn files into a pack, and measure it")
    build.add_argument(
        "--from", dest="source", type=Path, help="folder with detector.onnx, embedder.onnx, swapper.onnx"
    )
    for name in MODEL_NAMES:
        build.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"this {name} instead")
    build.add_argument(
        "--gate", type=Path, metavar="FILE", help="a classifier that refuses pictures (docs/responsible-use.md)"
    )
    build.add_argument("--gate-threshold", type=float, default=0.5, help="probability from which on (%(default)s)")
    build.add_argument("--licence", "--license", help="of files of one's own")
    build.add_argument("--name", help="of the pack")
    build.add_argument("--hint", help="a sentence for people in whose picture no face is found")
    build.add_argument("--out", type=Path, help=f"folder of the pack ({PACKS}/NAME)")

    publish = commands.add_parser("publish", parents=[common, bucket, gate], help="make a built pack the one in use")
    publish.add_argument("--pack", default="default", help="its name (%(default)s)")
    publish.add_argument("--built", type=Path, help=f"or its folder ({PACKS}/NAME)")

    verify = commands.add_parser("verify", parents=[common, bucket], help="read every blob, run every golden vector")
    verify.add_argument("digest", nargs="?", help="of a pack, or its beginning; without it, the one in use")
    verify.add_argument("--all", dest="every", action="store_true", help="every pack that was published")
    commands.add_parser("list", parents=[common, bucket], help="the packs of a bucket, the newest first")
    rollback = commands.add_parser(
        "rollback", parents=[common, bucket, gate], help="make an earlier pack the one in use"
    )
    rollback.add_argument("digest", nargs="?", help="of the pack, or its beginning; without it, the one before")
    return parser
