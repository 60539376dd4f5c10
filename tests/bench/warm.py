"""A warm request by parts, against commit c4d4461, everything held to AVX2 (hold.py):

    python -m tests.bench.warm [--repeats N] [--quick]

The arms are processes that stay: the function as it is; the same with the native engine of that commit as its swapper;
and the whole function of that commit, on a pack that it has converted itself, which looks for faces once and not ten
times. They swap in turn, with one thread, the one face of a picture of 1080x1080 pixels for a new face and for the
stack's default face, as insightface would (`detail: fast`). Each number is the least of N, of each part and of all. A
tree without that commit, such as a source archive, has the first arm alone. Writes out/bench/warm.json.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from layers.engine import build
from tests.bench import MODELS, PICTURE, RESULT, UPLOADS, form, hold, warm_arm
from tests.bench.bench import FOLDER, WHOLE_MB, conditions, environment, prepare, server

COMMIT = "c4d44616e6b15c78f49805b89aae8bbb606525ae"
ROOT = Path(__file__).resolve().parents[2]
FACE = "face.jpg"  # in the uploads bucket: the same picture under another name, so that it is no default face
ARMS = ("now", "old_engine", "old")
FACES = ("new", "default")
WARM_UPS = 2
PARTS = (*warm_arm.DETECTIONS, *dict.fromkeys(warm_arm.PARTS.values()), "rest", "all")
GOALS = {"new": 0.82, "default": 0.88}  # CPU over the commit's
PUBLISH = """
import sys
from pathlib import Path
from layers.models.publish import publish
from tests.bench.prepare import Folder
files, objects = map(Path, sys.argv[1:])
publish(files, "models", Folder(objects), "standin", dict.fromkeys(("detector", "embedder", "swapper"), "none"))
"""
Costs = dict[str, list[tuple[float, float]]]  # of each repetition, by part


class Arm:
    """A process that swaps on demand."""

    def __init__(self, name: str, tree: Path, environ: Mapping[str, str], old: Path, log: IO[bytes]) -> None:
        """Start it among the files of `tree`; those of the older commit are in `old`. What it logs goes into `log`."""
        uris = [f"s3://{UPLOADS}/{key}" for key in (PICTURE, FACE)]
        self._name = name
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, "-P", warm_arm.__file__, name, *uris, RESULT, str(old)],
            cwd=tree,
            env={**environ, "PYTHONPATH": f"{environ['PYTHONPATH']}{os.pathsep}{tree}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def swap(self, face: str) -> dict[str, tuple[float, float]]:
        """CPU seconds and seconds of one swap, by part. Raises RuntimeError if it fails."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(face + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._log.seek(0)
            raise RuntimeError(f"{self._name} failed:\n{self._log.read().decode()[-4000:]}")
        return {part: (cpu, seconds) for part, (cpu, seconds) in json.loads(answer).items()}

    def close(self) -> None:
        """End it."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def find_reason() -> str:
    """Why the commit's arms cannot run here; "" if they can."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return "this is no git repository"
    command = ["git", "cat-file", "-e", f"{COMMIT}^{{commit}}"]
    if subprocess.run(command, cwd=ROOT, capture_output=True).returncode:
        return f"this repository has no commit {COMMIT[:7]}"
    return ""


def make_old(folder: Path, objects: Path) -> Path:
    """Check the commit out into the folder, compile its engine, and publish a pack of the same networks by its own
    code beside the same pictures; returns the files' folder. The objects are in `folder`."""
    tree = folder / "tree"
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(tree, filter="data")
    environ = {**os.environ, "PYTHONPATH": str(tree)}
    run = partial(subprocess.run, cwd=tree, env=environ, check=True, capture_output=True)
    run([sys.executable, "-m", "layers.engine.build"])
    run([sys.executable, "-c", PUBLISH, str(objects / MODELS / "naive"), str(folder / "objects")])
    shutil.copytree(objects / UPLOADS, folder / "objects" / UPLOADS)
    return tree


@contextmanager
def start_arms(inputs: Path, settings: Mapping[str, str], with_old: bool) -> Iterator[dict[str, Arm]]:
    """The arms by name, with their S3; all absolute."""
    objects = inputs.absolute() / "objects"
    shutil.copyfile(objects / UPLOADS / PICTURE, objects / UPLOADS / FACE)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coldswap-bench-")))
        tree = make_old(folder, objects) if with_old else folder
        arms = {}
        for name in ARMS if with_old else ARMS[:1]:
            s3 = stack.enter_context(server(folder=folder if name == "old" else inputs))
            face = {"DEFAULT_FACE": f"s3://{UPLOADS}/{PICTURE}"}
            environ = {**environment(s3.url, WHOLE_MB), **face, **settings}
            log = stack.enter_context(tempfile.TemporaryFile())
            arms[name] = Arm(name, tree if name == "old" else ROOT, environ, tree, log)
            stack.callback(arms[name].close)
        yield arms


def measure(inputs: Path, repeats: int, with_old: bool) -> dict[str, Any]:
    """The least CPU seconds and seconds of each part by face and arm, and the ratios of all CPU to the older ones."""
    runs: dict[str, dict[str, Costs]] = {face: {} for face in FACES}
    with start_arms(inputs, hold.hold_to_avx2(inputs), with_old) as arms:
        for number in range(WARM_UPS + repeats):
            for face in FACES:
                for name, arm in arms.items():
                    costs = arm.swap(face)
                    if number >= WARM_UPS:
                        kept = runs[face].setdefault(name, {})
                        for part, cost in costs.items():
                            kept.setdefault(part, []).append(cost)
    return {face: compare(arms_runs) for face, arms_runs in runs.items()}


def compare(runs: Mapping[str, Costs]) -> dict[str, Any]:
    """Of each arm the least CPU seconds and seconds, by part, and the function's CPU over the others'."""
    least = {
        name: {
            part: [round(min(each), 4) for each in zip(*costs[part], strict=True)] for part in PARTS if part in costs
        }
        for name, costs in runs.items()
    }
    ours = least[ARMS[0]]["all"][0]
    return {
        "cpu_seconds": {name: {part: cpu for part, (cpu, _) in parts.items()} for name, parts in least.items()},
        "seconds": {name: {part: seconds for part, (_, seconds) in parts.items()} for name, parts in least.items()},
        "cpu_over": {name: round(ours / parts["all"][0], 3) for name, parts in least.items() if name != ARMS[0]},
    }


def make_table(report: Mapping[str, Any]) -> str:
    """The CPU seconds of all arms as a table in Markdown, each face's last column the function as it is."""
    columns = [(face, name) for face in FACES for name in reversed(report[face]["cpu_seconds"])]
    lines = [["", *(f"{face}: {name}" for face, name in columns)], ["---"] * (len(columns) + 1)]
    for part in PARTS:
        costs = [report[face]["cpu_seconds"][name].get(part) for face, name in columns]
        if any(cost is not None for cost in costs):
            lines.append([part, *("" if cost is None else f"{cost:.3f}" for cost in costs)])
    over = [f"{report[face]['cpu_over'][name]:.2f}" if name != ARMS[0] else "1" for face, name in columns]
    lines.append(["now over this", *over])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("warm", __doc__, inputs=FOLDER, repeats=6, avx2=False) as options:
        prepare(options.inputs, options.quick)
        if not options.quick:
            build.build()  # the library that is there may be another commit's
        reason = find_reason()
        report = {**conditions(options.repeats), "held": hold.HOW, "goals": GOALS, "commit": COMMIT}
        report |= {"left_out": reason} if reason else {}
        report |= measure(options.inputs, options.repeats, with_old=not reason)
        (options.out / "warm.json").write_text(json.dumps(report, indent=2) + "\n")
        print(make_table(report))
        print(f"Left out: {reason}." if reason else json.dumps({face: report[face]["cpu_over"] for face in FACES}))


if __name__ == "__main__":
    main()
