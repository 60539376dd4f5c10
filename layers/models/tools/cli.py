"""Packs of models, from published files to a bucket: fetch, build, publish, verify, list, rollback.

Works on AWS and on the local cloud alike: boto3 reads AWS_ENDPOINT_URL.
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
BUCKET_OUTPUT = "ModelsBucketName"  # of the stack
DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130
OWN = "own"


class CommandRefused(Exception):
    """The command cannot be carried out as given; the message says how it can."""


def main(arguments: Sequence[str] | None = None, catalogue: Catalogue = CATALOGUE) -> int:
    """Run one command; return the exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    from botocore.exceptions import BotoCoreError, ClientError

    from layers.core.errors import ColdswapError
    from layers.models.tools.internet_download import FetchFailed
    from layers.models.tools.onnx_file import Unfit
    from layers.models.tools.publish import Conflict

    options = _make_parser(catalogue).parse_args(arguments)
    try:
        output, lines, succeeded = COMMANDS[options.command](options, catalogue)
    except CommandRefused as error:
        return _fail(options, "refused", str(error), USAGE)
    except ColdswapError as error:
        return _fail(options, error.code, error.detail, FAILED)
    except (FetchFailed, Unfit, Conflict, OSError, BotoCoreError, ClientError) as error:
        return _fail(options, type(error).__name__, str(error), FAILED)
    except KeyboardInterrupt:
        return _fail(
            options, "interrupted", "Interrupted. The next call continues from what was transferred.", INTERRUPTED
        )
    print(json.dumps(output, indent=2) if options.json else "\n".join(lines))
    return DONE if succeeded else FAILED


def _fail(options: argparse.Namespace, kind: str, why: str, status: int) -> int:
    if options.json:
        print(json.dumps({"error": {"kind": kind, "detail": why}}, indent=2))
    else:
        print(why, file=sys.stderr)
    return status


CommandOutput = tuple[Any, list[str], bool]  # as JSON, for people, and whether all is well


def _fetch(options: argparse.Namespace, catalogue: Catalogue) -> CommandOutput:
    from layers.models.tools.internet_download import download_files
    from layers.models.tools.progress import choose_progress

    files = catalogue.files(options.pack)
    licences = {file.licence for file in files.values()}
    for licence in licences:
        print(f"{licence.name}: {licence.gist} {licence.url}", file=sys.stderr)
    if not options.accept_license:
        raise CommandRefused(
            "Nothing was fetched. To accept the licence, add --accept-license (or ACCEPT=1 to make models)."
        )
    reports = download_files(files.values(), options.files, choose_progress(options.json))
    output = [
        {"path": str(report.path), "size": report.size, "sha256": report.sha256, "downloaded": report.downloaded}
        for report in reports
    ]
    lines = [f"{report.path}  {'fetched' if report.downloaded else 'already there'}, verified" for report in reports]
    return output, lines, True


def _build(options: argparse.Namespace, catalogue: Catalogue) -> CommandOutput:
    from layers.models.tools.bundle import PackBundle, convert_files
    from layers.models.tools.convert import convert_gate
    from layers.models.tools.onnx_file import Unfit

    catalogue_paths: dict[ModelName, Path] = {}
    if options.source is None:
        catalogue_paths = {name: options.files / file.name for name, file in catalogue.files(options.pack).items()}
    folder_paths: dict[ModelName, Path] = (
        {name: options.source / f"{name}.onnx" for name in MODEL_NAMES} if options.source else {}
    )
    own_paths: dict[ModelName, Path] = {name: getattr(options, name) for name in MODEL_NAMES if getattr(options, name)}
    paths = {**catalogue_paths, **folder_paths, **own_paths}
    inputs = [*paths.values(), *([options.gate] if options.gate else [])]
    missing = [str(path) for path in inputs if not path.is_file()]
    if missing:
        raise CommandRefused(
            f"There is no {' and no '.join(missing)}. Fetch the pack first, or name your files (--from)."
        )
    models = convert_files({name: paths[name] for name in MODEL_NAMES})
    if options.gate:
        paths["gate"], models["gate"] = options.gate, convert_gate(options.gate, options.gate_threshold)
    licences: dict[str, str] = {}
    for name, model in models.items():
        file = catalogue.by_digest(model.source)
        if file is None and name in catalogue_paths and name not in own_paths:
            raise Unfit(f"{paths[name]} differs from the published file. Fetch it again.")
        if file is None and not options.licence:
            raise CommandRefused(f"{paths[name]} is not in the catalogue. Name its licence with --licence.")
        licences[name] = file.licence.name if file else options.licence
    pack = options.name or (OWN if folder_paths or own_paths else options.pack)
    bundle = PackBundle.assemble(models, pack, licences, options.hint)
    out = options.out or PACKS / pack
    bundle.save(out)
    output = {"folder": str(out), **_describe_pack(bundle.manifest, bundle.pointer.digest)}
    lines = [f"{out}  pack {pack}, digest {bundle.pointer.digest}", *_format_models(output["models"])]
    untested = catalogue.by_digest(models["embedder"].source) is None
    if untested:
        output["note"] = (
            "Only swaps can show whether the swapper was trained with this embedder's embeddings: look at some."
        )
        lines.append(output["note"])
    return output, lines, True


def _publish(options: argparse.Namespace, catalogue: Catalogue) -> CommandOutput:
    from layers.models.tools.bundle import PackBundle
    from layers.models.tools.progress import choose_progress
    from layers.models.tools.publish import upload

    bundle = PackBundle.open(options.built or PACKS / options.pack)
    bucket, s3 = _find_bucket(options), _make_client("s3")
    _refuse_to_drop_gate(options, bundle.manifest, bucket, s3)
    pointer = upload(bundle, bucket, s3, choose_progress(options.json))
    output = {"bucket": bucket, **asdict(pointer)}
    return output, [f"{bucket} has {pointer.pack} in use, digest {pointer.digest}"], True


def _verify(options: argparse.Namespace, catalogue: Catalogue) -> CommandOutput:
    from layers.models.tools.history import choose_pack, list_packs, read_pointer
    from layers.models.tools.progress import choose_progress
    from layers.models.tools.verify import verify_pack

    bucket, s3 = _find_bucket(options), _make_client("s3")
    packs = list_packs(bucket, s3)
    if options.every:
        pointers = [pack.pointer for pack in packs]
    elif options.digest:
        pointers = [choose_pack(packs, options.digest)]
    else:
        current = read_pointer(bucket, s3)
        pointers = [current] if current else []
    if not pointers:
        raise CommandRefused(f"No pack is published in {bucket}.")
    reports = verify_pack(pointers, bucket, s3, choose_progress(options.json))
    faults = [report for report in reports if report.fault]
    lines = [f"{report.pack} {report.digest[:12]}  {report.part}: {report.fault}" for report in faults]
    lines += [
        f"{report.pack} {report.digest[:12]}  {report.part}: {_format_numbers(report.measured)}"
        for report in reports
        if report.measured
    ]
    lines.append(f"{len(reports)} parts checked, {len(faults)} faulty.")
    return {"bucket": bucket, "faults": len(faults), "parts": [asdict(report) for report in reports]}, lines, not faults


def _list(options: argparse.Namespace, catalogue: Catalogue) -> CommandOutput:
    from layers.core.errors import ColdswapError
    from layers.models.tools.history import list_packs, read_manifest

    bucket, s3 = _find_bucket(options), _make_client("s3")
    output, lines = [], []
    for pack in list_packs(bucket, s3):
        entry: dict[str, Any] = {"current": pack.current, "published": pack.at.isoformat(), **asdict(pack.pointer)}
        mark = "*" if pack.current else " "
        lines.append(f"{mark} {pack.at:%Y-%m-%d %H:%M:%S}  {pack.pointer.pack}  {pack.pointer.digest}")
        try:
            entry |= _describe_pack(read_manifest(pack.pointer, bucket, s3), pack.pointer.digest)
            lines += _format_models(entry["models"])
        except ColdswapError as error:
            entry["fault"] = error.detail
            lines.append(f"    {error.detail}")
        output.append(entry)
    return {"bucket": bucket, "packs": output}, lines or [f"No pack is published in {bucket}."], True


def _rollback(options: argparse.Namespace, catalogue: Catalogue) -> CommandOutput:
    from layers.models.tools.history import choose_pack, list_packs, read_manifest, rollback

    bucket, s3 = _find_bucket(options), _make_client("s3")
    target = choose_pack(list_packs(bucket, s3), options.digest)
    _refuse_to_drop_gate(options, read_manifest(target, bucket, s3), bucket, s3)
    pointer = rollback(bucket, s3, target.digest)
    return {"bucket": bucket, **asdict(pointer)}, [f"{bucket} has {pointer.pack} in use, digest {pointer.digest}"], True


def _refuse_to_drop_gate(options: argparse.Namespace, manifest: Manifest, bucket: str, s3: Any) -> None:
    """Raise CommandRefused if the pack in use has a content filter and the new one lacks it, unless that is wanted."""
    from layers.core.errors import ColdswapError
    from layers.models.tools.history import read_manifest, read_pointer

    if "gate" in manifest.models or options.without_gate:
        return
    try:
        pointer = read_pointer(bucket, s3)
        has_gate = pointer is not None and "gate" in read_manifest(pointer, bucket, s3).models
    except ColdswapError:
        return  # a pack that cannot be read filters nothing
    if has_gate:
        raise CommandRefused(
            "The pack in use has a content filter, and this one has none. Build it with --gate, or add --without-gate."
        )


COMMANDS = {
    "fetch": _fetch,
    "build": _build,
    "publish": _publish,
    "verify": _verify,
    "list": _list,
    "rollback": _rollback,
}


def _describe_pack(manifest: Any, digest: str) -> dict[str, Any]:
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


def _format_models(models: Mapping[str, Any]) -> list[str]:
    return [
        f"    {name:9} {model['bytes'] / 1e6:7.1f} MB  {_format_numbers(model['parity'])}  ({model['licence']})"
        for name, model in models.items()
    ]


def _format_numbers(numbers: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in numbers.items())


def _find_bucket(options: argparse.Namespace) -> str:
    if options.bucket:
        return str(options.bucket)
    (stack,) = _make_client("cloudformation").describe_stacks(StackName=options.stack)["Stacks"]
    buckets = [output["OutputValue"] for output in stack.get("Outputs", []) if output["OutputKey"] == BUCKET_OUTPUT]
    if not buckets:
        raise CommandRefused(f"The stack {options.stack} has no output {BUCKET_OUTPUT}. Name the bucket with --bucket.")
    return str(buckets[0])


def _make_client(service: str) -> Any:
    from layers.core.storage import client

    return client(service)


def _make_parser(catalogue: Catalogue) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, without progress bars")
    files = argparse.ArgumentParser(add_help=False)
    files.add_argument("--pack", choices=sorted(catalogue.packs), default="default", help="default: %(default)s")
    files.add_argument("--files", type=Path, default=FILES, help="folder for the fetched files (%(default)s)")
    bucket = argparse.ArgumentParser(add_help=False)
    bucket.add_argument("--bucket", help="the models bucket")
    bucket.add_argument("--stack", default=STACK, help="or the stack that owns it (%(default)s)")
    gate = argparse.ArgumentParser(add_help=False)
    gate.add_argument("--without-gate", action="store_true", help="even if the pack in use has a content filter")

    parser = argparse.ArgumentParser(prog="python -m layers.models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch = commands.add_parser("fetch", parents=[common, files], help="download and verify the files of a pack")
    fetch.add_argument(
        "--accept-license", "--accept-licence", action="store_true", help="accept the models' licence, which is shown"
    )

    build = commands.add_parser("build", parents=[common, files], help="convert files into a pack, and measure it")
    build.add_argument(
        "--from", dest="source", type=Path, help="folder with detector.onnx, embedder.onnx, swapper.onnx"
    )
    for name in MODEL_NAMES:
        build.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"use this {name} instead")
    build.add_argument(
        "--gate", type=Path, metavar="FILE", help="a classifier for the content filter (docs/responsible-use.md)"
    )
    build.add_argument("--gate-threshold", type=float, default=0.5, help="the probability to refuse from (%(default)s)")
    build.add_argument("--licence", "--license", help="the licence of files that are not in the catalogue")
    build.add_argument("--name", help="the pack's name")
    build.add_argument("--hint", help="a sentence for people in whose picture no face is found")
    build.add_argument("--out", type=Path, help=f"folder for the pack ({PACKS}/NAME)")

    publish = commands.add_parser("publish", parents=[common, bucket, gate], help="make a built pack the one in use")
    publish.add_argument("--pack", default="default", help="the pack's name (%(default)s)")
    publish.add_argument("--built", type=Path, help=f"or its folder ({PACKS}/NAME)")

    verify = commands.add_parser("verify", parents=[common, bucket], help="read every blob, run every golden vector")
    verify.add_argument("digest", nargs="?", help="a pack's digest, or how it begins; default: the pack in use")
    verify.add_argument("--all", dest="every", action="store_true", help="verify every pack that was published")
    commands.add_parser("list", parents=[common, bucket], help="the packs of a bucket, the newest first")
    rollback = commands.add_parser(
        "rollback", parents=[common, bucket, gate], help="make an earlier pack the one in use"
    )
    rollback.add_argument("digest", nargs="?", help="the pack's digest, or how it begins; default: the pack before")
    return parser
