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
from local.sam.build import SAM, environment, functions, make_runnable
from local.sam.docker_engine import Engine
from tools.template import Template

START_SECONDS = 60.0
INVOKE_SECONDS = 300.0


class SamFailed(Exception):
    """`sam local` failed; the message is the end of its output."""


@dataclass(frozen=True)
class InvocationResult:
    """The response of one invocation (JSON), its seconds with the container's start, and the log."""

    response: Any
    seconds: float
    log: str

    @property
    def error(self) -> str | None:
        """The error type, if the response is an error."""
        return self.response.get("errorType") if isinstance(self.response, dict) else None


@dataclass(frozen=True)
class SamStack:
    """The built images, run as functions of a local cloud; `folder` is for files that come and go."""

    engine: Engine
    template: Template
    folder: Path

    @staticmethod
    def for_cloud(engine: Engine, template: Template, cloud: Cloud, folder: Path) -> SamStack:
        """The images with the environment that each function has in the cloud."""
        return SamStack(
            engine, make_runnable(template, {name: variables(cloud, name) for name in functions(template)}), folder
        )

    def with_properties(self, function: str, **properties: Any) -> SamStack:
        """The same with other properties of a function, MemorySize (MB) or Timeout (seconds) for instance."""
        template = copy.deepcopy(self.template)
        template["Resources"][function]["Properties"].update(properties)
        return replace(self, template=template)

    def invoke(self, function: str, event: Any) -> InvocationResult:
        """Run `sam local invoke`, in a fresh container."""
        file = self.folder / "event.json"
        file.write_text(json.dumps(event))
        began = time.monotonic()
        result = subprocess.run(
            self._command("invoke", function, "--event", str(file)),
            **self._options(),
            capture_output=True,
            text=True,
            timeout=INVOKE_SECONDS,
        )
        spent = time.monotonic() - began
        lines = result.stdout.strip().splitlines()
        try:
            return InvocationResult(json.loads(lines[-1]), spent, result.stderr)
        except (IndexError, ValueError):
            raise SamFailed(f"{result.stdout[-1000:]}{result.stderr[-3000:]}") from None

    @contextmanager
    def api(self) -> Iterator[str]:
        """Run `sam local start-api` for the block; its URL."""
        # sam can neither read an authorizer that depends on a parameter nor check a signature.
        with self._serve("start-api", "--disable-authorizer") as url:
            yield url

    @contextmanager
    def functions(self) -> Iterator[dict[str, str]]:
        """Run `sam local start-lambda` for the block; the URL of each handler."""
        with self._serve("start-lambda") as url:
            yield {
                each["Properties"]["ImageConfig"]["Command"][0]: f"{url}/2015-03-31/functions/{name}/invocations"
                for name, each in functions(self.template).items()
            }

    @contextmanager
    def _serve(self, what: str, *options: str) -> Iterator[str]:
        port = free_port()
        command = self._command(what, "--host", LOOPBACK, "--port", str(port), "--warm-containers", "LAZY", *options)
        log = self.folder / f"{what}-{port}.log"
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                [sys.executable, supervisor.__file__, "-", *command],
                **self._options(),
                stdin=subprocess.PIPE,
                stdout=log_file,
                stderr=log_file,
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Press CTRL+C to quit" not in log.read_text(errors="replace"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SamFailed(log.read_text(errors="replace")[-3000:])
                time.sleep(0.1)
            yield f"http://{LOOPBACK}:{port}"
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait()

    def _command(self, what: str, *arguments: str) -> list[str]:
        text = json.dumps(self.template)
        file = self.folder / f"template-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
        file.write_text(text)
        return [str(SAM), "local", what, *arguments, "--template-file", str(file), "--skip-pull-image"]

    def _options(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": environment(self.engine)}


def variables(cloud: Cloud, name: str) -> dict[str, str]:
    """Environment variables of the function in the cloud, without credentials, which come from sam."""
    configuration = cloud.client("lambda").get_function_configuration(FunctionName=cloud.outputs[f"{name}Name"])
    variables: dict[str, str] = configuration["Environment"]["Variables"]
    return {key: value for key, value in variables.items() if not key.startswith(("RELAY", "AWS_ACCESS", "AWS_SECRET"))}
