"""Measures swaps on AWS: `make bench-lambda` says what that would cost, and YES=1 does it.

A copy of the stack's swap function is measured, and deleted in the end, also when this is interrupted; the stack stays
as it is. Each turn makes one sandbox by size and face, for a cold swap and some warm ones; a new face is one that was
never seen, the default face is the stack's. Seconds are those of Lambda's own report; the caller's round trip is given
apart.
Writes out/bench/lambda.json, without pictures and links, and prints a table.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tools.function_copy import CopyRefused, copy_function
from tools.sample_summary import format_table, summarise
from tools.stack import ROOT, read_deployed_parameters, read_outputs, read_stack_name
from tools.swap_costs import dollars, gigabyte_seconds
from tools.swap_samples import LATENTS, Face, Kind, MeasurementStopped, Pictures, Sample, Sampler, SwapFailed

OUT = ROOT / "out/bench/lambda.json"
MOST_COLD, MOST_WARM, MOST_SIZES = 50, 200, 6  # of a run; and warm swaps of a size and a face
SMALLEST_MB, LARGEST_MB = 512, 10_240  # of MemorySize in template.yaml
MOST_BYTES = 4 << 20  # of both pictures; in base64 they have to fit into Lambda's 6 MB for a request
# Of one swap up to 3,008 MB, for the estimate: more than any of docs/benchmarks.md. Beyond, memory costs and no longer
# helps.
GB_SECONDS: Mapping[Kind, float] = {"cold": 18.0, "warm": 8.0}
FULL_MB = 3008
SECONDS: Mapping[Kind, float] = {
    "cold": 45.0,
    "warm": 5.0,
}  # of one swap, for the estimate; a new configuration is slow
TIMEOUT_SECONDS = 120.0  # of the function in template.yaml
CLIENT_SECONDS = 150.0  # longer
FACES: dict[Face, str] = {"new": "a new face", "default": "the default face"}


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    sizes: Sequence[int]
    faces: Sequence[Face]
    cold: int  # swaps of each size and face
    warm: int

    @property
    def pairs(self) -> list[tuple[int, Face]]:
        """Sizes and faces, in the order of one turn."""
        return [(size, face) for size in self.sizes for face in self.faces]

    def warm_in_turn(self, turn: int) -> int:
        """How many warm swaps follow the cold one: the warm ones are spread over all sandboxes."""
        return self.warm * (turn + 1) // self.cold - self.warm * turn // self.cold

    @property
    def most_dollars(self) -> float:
        """More than the run costs, also if the last swap of every size and face runs into the timeout."""
        gb_s = self.cold * GB_SECONDS["cold"] + self.warm * GB_SECONDS["warm"]
        whole = sum(gb_s * max(1.0, size / FULL_MB) + gigabyte_seconds(size, TIMEOUT_SECONDS) for size, _ in self.pairs)
        return dollars(whole, (self.cold + self.warm) * len(self.pairs))

    def describe(self) -> str:
        """What it is, and at most costs."""
        sizes, faces = ", ".join(map(str, self.sizes)), " and ".join(FACES[face] for face in self.faces)
        minutes = len(self.pairs) * (self.cold * SECONDS["cold"] + self.warm * SECONDS["warm"]) / 60
        return (
            f"{self.cold} cold and {self.warm} warm swaps with {faces} at {sizes} MB each: "
            f"at most {self.most_dollars:.2f} dollars, about {minutes:.0f} minutes."
        )


@dataclass
class Measurement:
    """What was measured so far, as it is written."""

    samples: list[Sample] = field(default_factory=list)
    errors: dict[tuple[int, Face], str] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    complete: bool = False

    def describe(self, region: str) -> dict[str, Any]:
        """The file's content."""
        return {
            "measured": {"date": date.today().isoformat(), "region": region, "complete": self.complete},
            "rows": summarise(self.samples),
            "errors": [{"memory_mb": size, "face": face, "error": text} for (size, face), text in self.errors.items()],
            "dropped": self.dropped,
        }

    def write(self, region: str, out: Path) -> None:
        """Write the file, unless no swap was measured, and print the table."""
        if not self.samples:
            return
        report = self.describe(region)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2) + "\n")
        print(format_table(report["rows"]))


def measure(sampler: Sampler, plan: Plan, measurement: Measurement) -> None:
    """Take every sample; a size and face whose swap fails is left out from then on.

    Raises MeasurementStopped and botocore's errors.
    """
    # The first start of a new copy is slower than others, and a default face's latent has to be in its bucket.
    _prepare(sampler.sample(max(plan.sizes), plan.faces[-1], 0))
    measurement.dropped.clear()
    for turn in range(plan.cold):
        for size, face in plan.pairs:
            if (size, face) in measurement.errors:
                continue
            try:
                for sample in sampler.sample(size, face, plan.warm_in_turn(turn)):
                    measurement.samples.append(sample)
            except SwapFailed as error:
                measurement.errors[size, face] = str(error)
                print(f"{size} MB, {FACES[face]}: {error}", flush=True)
        print(f"turn {turn + 1} of {plan.cold}: {len(measurement.samples)} swaps", flush=True)


def _prepare(samples: Iterable[Sample]) -> None:
    try:
        for _ in samples:
            pass
    except SwapFailed as error:
        raise MeasurementStopped(
            f"The first swap failed: {error}. Try other pictures (FACE=me.jpg MEME=meme.jpg), or look at the log."
        ) from error


def read_jpeg(path: Path) -> bytes:
    """A picture's bytes. Raises ValueError for what is no JPEG, and OSError."""
    data = path.read_bytes()
    if not data.startswith(b"\xff\xd8\xff"):
        raise ValueError(f"{path} is no JPEG.")
    return data


def read_pictures(face: Path, meme: Path) -> Pictures:
    """Both pictures. Raises ValueError for others than JPEGs and for those that are too large together, and OSError."""
    pictures = Pictures(read_jpeg(meme), read_jpeg(face))
    if len(pictures.meme) + len(pictures.face) > MOST_BYTES:
        raise ValueError(f"The pictures have more than {MOST_BYTES >> 20} MiB together. Make them smaller.")
    return pictures


def run(session: Any, stack: str, plan: Plan, pictures: Pictures, measurement: Measurement) -> None:
    """Measure on a copy of the stack's function, and delete it and its results. `session` is boto3's.

    Raises MeasurementStopped, CopyRefused and botocore's errors.
    """
    from botocore.config import Config

    once = Config(read_timeout=CLIENT_SECONDS, retries={"total_max_attempts": 1})
    invoker, functions = session.client("lambda", config=once), session.client("lambda")
    outputs = read_outputs(session.client("cloudformation"), stack)
    with copy_function(functions, outputs["SwapFunctionName"], f"{stack}-bench", plan.sizes[0]) as copy:
        sampler = Sampler(invoker, copy, pictures, measurement.dropped)
        try:
            measure(sampler, plan, measurement)
            measurement.complete = True
        finally:
            delete_results(session.client("s3"), outputs, sampler)


def delete_results(s3: Any, outputs: Mapping[str, str], sampler: Sampler) -> None:
    """Delete the result, and the latents of new faces, which the setting `cache_latents` would keep for a day.

    `s3` is boto3's client. Raises botocore's errors.
    """
    models = outputs["ModelsBucketName"]
    recipes = s3.list_objects_v2(Bucket=models, Prefix=LATENTS, Delimiter="/").get("CommonPrefixes", [])
    for recipe in recipes:
        for digest in sampler.pictures.digests:
            s3.delete_object(Bucket=models, Key=f"{recipe['Prefix']}{digest}.json")
    for key in sampler.result_keys:
        s3.delete_object(Bucket=outputs["OutputsBucketName"], Key=key)


def make_plan(parameters: Mapping[str, str], sizes: Sequence[int], cold: int, warm: int) -> Plan:
    """The plan for a stack with these parameters; without sizes, its own. Raises ValueError beyond the bounds."""
    sizes = list(dict.fromkeys(sizes)) or [int(parameters["MemorySize"])]
    if not all(SMALLEST_MB <= size <= LARGEST_MB for size in sizes) or len(sizes) > MOST_SIZES:
        raise ValueError(f"At most {MOST_SIZES} sizes can be measured, from {SMALLEST_MB} to {LARGEST_MB} MB.")
    if not (1 <= cold <= MOST_COLD and 0 <= warm <= MOST_WARM):
        raise ValueError(f"COLD must be from 1 to {MOST_COLD}, and WARM from 0 to {MOST_WARM}.")
    faces: list[Face] = ["new", "default"] if parameters.get("DefaultFace") else ["new"]
    return Plan(sizes, faces, cold, warm)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 1 if the measurement is not complete, or something of it may be left on AWS."""
    parser = argparse.ArgumentParser(prog="make bench-lambda", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    parser.add_argument("--sizes", type=int, nargs="*", default=[], help="of memory in MB; by default the stack's own")
    parser.add_argument("--cold", type=int, default=10, help="cold swaps of each size and face")
    parser.add_argument("--warm", type=int, default=40, help="warm swaps of each size and face")
    parser.add_argument("--face", type=Path, default=ROOT / "examples/face.jpg")
    parser.add_argument("--meme", type=Path, default=ROOT / "examples/meme.jpg")
    parser.add_argument("--yes", action="store_true", help="spend the money; without this, only say how much")
    options = parser.parse_args(arguments)
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    session, stack = boto3.session.Session(), read_stack_name(options.env)
    measurement, status = Measurement(), 1
    try:
        parameters = read_deployed_parameters(session.client("cloudformation"), stack)
        plan = make_plan(parameters, options.sizes, options.cold, options.warm)
        pictures = read_pictures(options.face, options.meme)
        print(plan.describe() if options.yes else f"{plan.describe()}\nTo measure, add YES=1.", flush=True)
        if not options.yes:
            return 0
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the copy is deleted
        run(session, stack, plan, pictures, measurement)
        status = 1 if measurement.errors else 0
    except (MeasurementStopped, CopyRefused, ValueError, OSError, BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
    finally:
        measurement.write(session.region_name, OUT)
    return status


if __name__ == "__main__":
    sys.exit(main())
