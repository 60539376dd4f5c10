"""Measures the images: cold start, and the least memory. What a swap takes by MemorySize is in sizes.py.

A sandbox here is a container with Lambda's own runtime emulator, limited to MemorySize and to the share of a processor
that Lambda gives with it: MemorySize / 1769.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import swap_clients
from local.cloud import CREDENTIALS, LOOPBACK, REGION, ROOT, Cloud, free_port
from local.demo import draw_pictures
from local.publish_demo_pack import publish_demo_pack
from local.sam.build import SAM, functions, image_name
from local.sam.docker_engine import Engine
from local.sam.run import variables
from tools.template import Template

EMULATOR = SAM.parent.parent / "lib"  # sam's, in a folder of Python's version
PROCESSOR_MB = 1769  # of memory, for one whole processor (Lambda, "Configure function memory")
IMPORT_RUNS = 5
SECONDS = 120.0
STEP_MB = 32
LEAST_MB = 128  # Lambda's smallest MemorySize
BENCH = ROOT / "build/bench"
RATE_MB, BURST_MB = 80, 300  # Lambda's network: MB per second, after a burst
# Fresh interpreters in one container, whose files are cached after the first.
IMPORT = """
import subprocess, sys, time
took = []
for _ in range(int(sys.argv[2]) + 1):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import awslambdaric.bootstrap, {sys.argv[1]}"], check=True)
    took.append((time.perf_counter() - began) * 1000)
print(*took[1:])
"""

Say = Callable[[str], None]


@contextmanager
def sandbox(
    engine: Engine,
    name: str,
    handler: str,
    environment: Mapping[str, str],
    megabytes: int,
    more: Sequence[str] = (),
) -> Iterator[Callable[[Any], Any]]:
    """Start a container for the block; calling the value invokes the function, and returns its response (JSON).

    `more`: further options of `docker run`.
    """
    port = free_port()
    (emulator,) = EMULATOR.glob("python*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64")
    variables = {
        **environment,
        **CREDENTIALS,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(megabytes),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(int(SECONDS)),
    }
    options = [f"--env={key}={value}" for key, value in variables.items()]
    container = engine.docker(
        *("run", "--detach", "--rm", f"--memory={megabytes}m", f"--memory-swap={megabytes}m"),
        *(f"--cpus={megabytes / PROCESSOR_MB:.3f}", f"--publish={LOOPBACK}:{port}:8080"),
        *(f"--volume={emulator}:/emulator:ro", "--entrypoint=/emulator", *options, *more, name),
        *("--log-level", "error", "python", "-m", "awslambdaric", handler),
    )
    url = f"http://{LOOPBACK}:{port}/2015-03-31/functions/function/invocations"

    def invoke(event: Any) -> Any:
        request = urllib.request.Request(url, json.dumps(event).encode())
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=SECONDS) as response:
                    return json.loads(response.read() or b"null")
            except urllib.error.HTTPError:
                raise  # the emulator's own response, for a sandbox that has ended
            except (urllib.error.URLError, ConnectionError):  # it does not listen yet
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)

    try:
        yield invoke
    finally:
        engine.docker("rm", "--force", container)


def measure_first_responses(engine: Engine, template: Template, folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of each function's INIT in a fresh interpreter, and until a fresh container's first response.

    The swap function makes a swap with the demo pack, the one for moving memes warms up, and the video function looks
    for a task that does not exist.
    """
    init, first = {}, {}
    with Cloud(host=engine.bridge) as cloud:
        cloud.deploy()
        publish_demo_pack(cloud)
        events = {
            "functions.swap.app.handler": ("swap", demo_request(cloud, folder)),
            "functions.swap.moving_app.handler": ("moving", {"warm": True}),
            "functions.video.app.handler": ("video", http_get("/task/none")),
        }
        for name, function in functions(template).items():
            handler, tag = function["Properties"]["ImageConfig"]["Command"][0], image_name(function, name)
            module, (function_name, event) = handler.rpartition(".")[0], events[handler]
            environment = variables(cloud, name)
            # As Lambda sets them during INIT.
            init_environment = {**environment, "AWS_REGION": REGION, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
            options = [f"--env={key}={value}" for key, value in init_environment.items()]
            durations = engine.docker(
                *("run", "--rm", "--entrypoint=python", *options, tag, "-c", IMPORT, module, str(IMPORT_RUNS))
            )
            init[function_name] = round(statistics.median(map(float, durations.split())), 1)
            began = time.monotonic()
            with sandbox(engine, tag, handler, environment, PROCESSOR_MB) as invoke:
                response = invoke(event)
                first[function_name] = round((time.monotonic() - began) * 1000, 1)
            if "errorType" in response:
                raise RuntimeError(f"{function_name}: {response}")
    return {"init_ms": init, "first_answer_ms": first}


def demo_request(cloud: Cloud, folder: Path) -> dict[str, str]:
    """Upload two of the demo's pictures; the payload of a swap of them."""
    pictures = draw_pictures(folder)
    face, meme = pictures["ruby"].path, pictures["works-on-my-machine"].path
    return {"face": swap_clients.put_input(cloud, face), "meme": swap_clients.put_input(cloud, meme)}


def http_get(path: str) -> dict[str, Any]:
    """A GET as an HTTP API sends it (payload format 2.0)."""
    context = {"http": {"method": "GET", "path": path}, "stage": "$default", "requestId": "1", "accountId": "0"}
    return {
        "version": "2.0",
        "routeKey": "GET /task/{id}",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {},
        "pathParameters": {"id": path.rpartition("/")[2]},
        "requestContext": context,
        "isBase64Encoded": False,
    }


def measure(engine: Engine, template: Template, folder: Path, say: Say) -> dict[str, Any]:
    """The least memory in MB with which a cold and a warm swap succeed, with the demo pack and at full size."""
    name = "SwapFunction"
    function = functions(template)[name]
    handler, tag = function["Properties"]["ImageConfig"]["Command"][0], image_name(function, name)
    smallest: dict[str, int] = {}

    def least(what: str, environment: Mapping[str, str], event: Any, low: int, high: int) -> None:
        """Find it by bisection; `high` is enough."""
        while high - low > STEP_MB:
            middle = (low + high) // 2 // STEP_MB * STEP_MB
            with sandbox(engine, tag, handler, environment, middle) as invoke:
                fits = all(_succeeds(invoke, event) for _ in range(2))
            say(f"{what} at {middle} MB: {'fits' if fits else 'does not fit'}")
            low, high = (low, middle) if fits else (middle, high)
        smallest[what] = high

    with Cloud(host=engine.bridge) as cloud:
        cloud.deploy()
        publish_demo_pack(cloud)
        least("demo", variables(cloud, name), demo_request(cloud, folder), LEAST_MB - STEP_MB, 512)
    with full_size(engine) as swap:
        least("fullsize", swap.environment, swap.event, 256, 1024)
    return {"smallest_memory_mb": smallest}


def _succeeds(invoke: Callable[[Any], Any], event: Any) -> bool:
    """Whether a swap succeeds. With too little memory it may also time out, reading libraries from disk repeatedly."""
    try:
        return "errorType" not in invoke(event)
    except (OSError, ValueError):  # no response, or the emulator's text that it timed out
        return False


@dataclass(frozen=True)
class FullSizeSwap:
    """A swap at true size, with models from an S3 as fast as Lambda's network."""

    environment: dict[str, str]
    event: dict[str, Any]  # the meme's own face goes in, as a face that the function has never seen
    server: subprocess.Popen[str]

    @property
    def default_environment(self) -> dict[str, str]:
        """The environment in which that face is the stack's default one."""
        return {**self.environment, "DEFAULT_FACE": self.event["face"]}

    @property
    def default_event(self) -> dict[str, Any]:
        """The payload of the default face's swap."""
        return {name: value for name, value in self.event.items() if name != "face"}

    def restore_burst(self) -> None:
        """Allow the network's burst again, as for a new sandbox."""
        assert self.server.stdin
        self.server.stdin.write("\n")
        self.server.stdin.flush()


@contextmanager
def full_size(engine: Engine, quick: bool = False) -> Iterator[FullSizeSwap]:
    """Run that S3 for the block; in quick form with networks of an eighth of the width."""
    folder = str(BENCH.with_name("bench-quick") if quick else BENCH)
    prepare = ["tests.bench.prepare", folder, *(["quick"] if quick else [])]
    subprocess.run([sys.executable, "-m", *prepare], check=True, cwd=ROOT)
    command = [sys.executable, "-m", "tests.bench.server", folder, str(RATE_MB), engine.bridge, str(BURST_MB)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as server:
        assert server.stdin
        assert server.stdout
        try:
            environment = {
                "AWS_ENDPOINT_URL": server.stdout.readline().strip(),
                "MODELS_BUCKET": "models",
                "UPLOADS_BUCKET": "uploads",
                "OUTPUTS_BUCKET": "outputs",
                "POWERTOOLS_SERVICE_NAME": "swap",
                "POWERTOOLS_METRICS_NAMESPACE": "Coldswap",
            }
            picture = "s3://uploads/picture.jpg"
            plain = {"format": "png", "color_match": False, "soft_edges": False, "detail": "fast"}
            yield FullSizeSwap(environment, {"meme": picture, "face": picture, **plain}, server)
        finally:
            server.stdin.close()
