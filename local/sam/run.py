"""`sam local` on built images: one invocation, or a server until the end of a block."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local import supervisor
from local.cloud import LOOPBACK, Cloud, free_port
from local.sam.build import SAM, environment, functions, runnable
from local.sam.docker_engine import Engine
from tools.template import Template

START_SECONDS = 60.0
INVOKE_SECONDS = 300.0


class SamFailed(Exception):
    """`sam local` did not start; the message is what it said last."""


@dataclass(frozen=True)
class Invoked:
    """What one invocation answered (JSON), how long it took with the container's start (seconds), and the log."""

    answer: Any
    seconds: float
    log: str

    @property
    def error(self) -> str | None:
        """The error's type, if it is one."""
        return self.answer.get("errorType") if isinstance(self.answer, dict) else None


@dataclass(frozen=True)
class Stack:
    """The built images, run as functions of a local cloud; `folder` is for files that come and go."""

    engine: Engine
    template: Template
    folder: Path

    @staticmethod
    def of(engine: Engine, built: Template, cloud: Cloud, folder: Path) -> Stack:
        """With the environment that each function has in the cloud."""
        return Stack(engine, runnable(built, {name: variables(cloud, name) for name in functions(built)}), folder)

    def with_properties(self, function: str, **properties: Any) -> Stack:
        """The same with other properties of a function, MemorySize (MB) or Timeout (seconds) for instance."""
        template = copy.deepcopy(self.template)
        template["Resources"][function]["Properties"].update(properties)
        return replace(self, template=template)

    def invoke(self, function: str, event: Any) -> Invoked:
        """`sam local invoke` of a fresh container."""
        file = self.folder / "event.json"
        file.write_text(json.dumps(event))
        began = time.monotonic()
        done = subprocess.run(
            self._command("invoke", function, "--event", str(file)),
            **self._how(),
            capture_output=True,
            text=True,
            timeout=INVOKE_SECONDS,
        )
        spent = time.monotonic() - began
        lines = done.stdout.strip().splitlines()
        try:
            return Invoked(json.loads(lines[-1]), spent, done.stderr)
        except (IndexError, ValueError):
            raise SamFailed(f"{done.stdout[-1000:]}{done.stderr[-3000:]}") from None

    @contextmanager
    def api(self) -> Iterator[str]:
        """`sam local start-api`, and its URL."""
        # It cannot read an authorizer that depends on a parameter, nor check a signature.
        with self._serving("start-api", "--disable-authorizer") as url:
            yield url

    @contextmanager
    def functions(self) -> Iterator[dict[str, str]]:
        """`sam local start-lambda`, and where each handler is invoked."""
        with self._serving("start-lambda") as url:
            yield {
                each["Properties"]["ImageConfig"]["Command"][0]: f"{url}/2015-03-31/functions/{name}/invocations"
                for name, each in functions(self.template).items()
            }

    @contextmanager
    def _serving(self, what: str, *options: str) -> Iterator[str]:
        port = free_port()
        command = self._command(what, "--host", LOOPBACK, "--port", str(port), "--warm-containers", "LAZY", *options)
        log = self.folder / f"{what}-{port}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, supervisor.__file__, "-", *command],
                **self._how(),
                stdin=subprocess.PIPE,
                stdout=said,
                stderr=said,
            )
        try:
            until = time.monotonic() + START_SECONDS
            while "Press CTRL+C to quit" not in log.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > until:
                    raise SamFailed(log.read_text(errors="replace")[-3000:])
                time.sleep(0.1)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait()

    def _command(self, what: str, *arguments: str) -> list[str]:
        said = json.dumps(self.template)
        file = self.folder / f"template-{hashlib.sha256(said.encode()).hexdigest()[:12]}.json"
        file.write_text(said)
        return [str(SAM), "local", what, *arguments, "--template-file", str(file), "--skip-pull-image"]

    def _how(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": environment(self.engine)}


def variables(cloud: Cloud, name: str) -> dict[str, str]:
    """What the function finds in the cloud; credentials come from sam."""
    found = cloud.client("lambda").get_function_configuration(FunctionName=cloud.outputs[f"{name}Name"])
    variables: dict[str, str] = found["Environment"]["Variables"]
    return {key: value for key, value in variables.items() if not key.startswith(("RELAY", "AWS_ACCESS", "AWS_SECRET"))}
