"""What the images cost: start, memory, and time and GB-seconds over MemorySize.

A sandbox here is a container with Lambda's own runtime emulator in it, MemorySize for all its memory, and the part of
a processor that Lambda gives with it: MemorySize / 1769.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local import swap_clients
from local.cloud import CREDENTIALS, LOOPBACK, REGION, ROOT, Cloud, free_port
from local.demo import pictures
from local.publish_demo_pack import publish_demo_pack
from local.sam.build import SAM, functions, image
from local.sam.docker_engine import Engine
from local.sam.run import variables
from tools.template import Template

EMULATOR = SAM.parent.parent / "lib"  # of sam; the Python below it has a version in its name
PROCESSOR_MB = 1769  # of memory, for one whole processor (Lambda, "Configure function memory")
SIZES = (512, 1024, 1769, 3008)
WARM_RUNS = 5
IMPORT_RUNS = 5
SECONDS = 120.0
STEP_MB = 32
LEAST_MB = 128  # that Lambda gives
BENCH = ROOT / "build/bench"
RATE_MB, BURST_MB = 80, 300  # Lambda's network: so much a second, after so much at once
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
    engine: Engine, name: str, handler: str, environment: Mapping[str, str], megabytes: int
) -> Iterator[Callable[[Any], Any]]:
    """A fresh container; calling what it gives invokes the function, and tells its answer (JSON)."""
    port = free_port()
    (emulator,) = EMULATOR.glob("python*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64")
    known = {
        **environment,
        **CREDENTIALS,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(megabytes),
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(int(SECONDS)),
    }
    options = [f"--env={key}={value}" for key, value in known.items()]
    container = engine.docker(
        *("run", "--detach", "--rm", f"--memory={megabytes}m", f"--memory-swap={megabytes}m"),
        *(f"--cpus={megabytes / PROCESSOR_MB:.3f}", f"--publish={LOOPBACK}:{port}:8080"),
        *(f"--volume={emulator}:/emulator:ro", "--entrypoint=/emulator", *options, name),
        *("--log-level", "error", "python", "-m", "awslambdaric", handler),
    )
    url = f"http://{LOOPBACK}:{port}/2015-03-31/functions/function/invocations"

    def invoke(event: Any) -> Any:
        request = urllib.request.Request(url, json.dumps(event).encode())
        until = time.monotonic() + SECONDS
        while True:
            try:
                with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError:
                raise  # the emulator's own, for a sandbox that is gone
            except (urllib.error.URLError, ConnectionError):  # it does not listen yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.005)

    try:
        yield invoke
    finally:
        engine.docker("rm", "--force", container)


def first_answers(engine: Engine, template: Template, folder: Path) -> dict[str, dict[str, float]]:
    """Milliseconds of each function's INIT in a fresh interpreter, and until a fresh container's first answer.

    The swap function's is a swap with the demo pack, the video function's what became of a task that is not there.
    """
    init, first = {}, {}
    with Cloud(host=engine.bridge) as cloud:
        cloud.deploy()
        publish_demo_pack(cloud)
        events = {"swap": demo_request(cloud, folder), "video": http_get("/task/none")}
        for name, function in functions(template).items():
            handler, tag = function["Properties"]["ImageConfig"]["Command"][0], image(function, name)
            module, what = handler.rpartition(".")[0], handler.split(".")[1]
            known = variables(cloud, name)
            # As Lambda says while it initialises.
            said = {**known, "AWS_REGION": REGION, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
            options = [f"--env={key}={value}" for key, value in said.items()]
            took = engine.docker(
                *("run", "--rm", "--entrypoint=python", *options, tag, "-c", IMPORT, module, str(IMPORT_RUNS))
            )
            init[what] = round(statistics.median(map(float, took.split())), 1)
            began = time.monotonic()
            with sandbox(engine, tag, handler, known, PROCESSOR_MB) as invoke:
                answer = invoke(events[what])
                first[what] = round((time.monotonic() - began) * 1000, 1)
            if "errorType" in answer:
                raise RuntimeError(f"{what}: {answer}")
    return {"init_ms": init, "first_answer_ms": first}


def demo_request(cloud: Cloud, folder: Path) -> dict[str, str]:
    """A swap's payload, of pictures that are in the cloud from now on."""
    drawn = pictures(folder)
    face, meme = drawn["ruby"].path, drawn["works-on-my-machine"].path
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
    """The least memory in MB with which a cold and a warm swap succeed, and the curve over SIZES at full size."""
    name = "SwapFunction"
    function = functions(template)[name]
    handler, tag = function["Properties"]["ImageConfig"]["Command"][0], image(function, name)
    smallest: dict[str, int] = {}

    def least(what: str, environment: Mapping[str, str], event: Any, low: int, high: int) -> None:
        """By bisection; `high` is enough."""
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
    curve = []
    with full_size(engine) as (environment, event):
        least("fullsize", environment, event, 256, 1024)
    for size in SIZES:
        took, answers = [], []
        # Another server each time: every sandbox has a burst of its own.
        with full_size(engine) as (environment, event), sandbox(engine, tag, handler, environment, size) as invoke:
            for _ in range(1 + WARM_RUNS):
                began = time.monotonic()
                answers.append(invoke(event))
                took.append(time.monotonic() - began)
        cold, warm = took[0], statistics.median(took[1:])
        curve.append(
            {
                "memory_mb": size,
                "cold_s": round(cold, 2),
                "warm_s": round(warm, 2),
                "cold_gb_s": round(cold * size / 1024, 2),
                "warm_gb_s": round(warm * size / 1024, 2),
                "peak_mb": max(answer.get("peak_memory_mb", 0) for answer in answers),
                "errors": [answer["errorType"] for answer in answers if "errorType" in answer],
            }
        )
        say(json.dumps(curve[-1]))
    return {"smallest_memory_mb": smallest, "curve": curve}


def _succeeds(invoke: Callable[[Any], Any], event: Any) -> bool:
    """Too little memory also shows as reading the same libraries from disk again and again, until time is over."""
    try:
        return "errorType" not in invoke(event)
    except (OSError, ValueError):  # no answer, or the emulator's sentence that there was none in time
        return False


@contextmanager
def full_size(engine: Engine) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Environment and payload of a swap with models of true size (a new face), from an S3 with Lambda's network."""
    subprocess.run([sys.executable, "-m", "tests.bench.prepare", str(BENCH)], check=True, cwd=ROOT)
    command = [sys.executable, "-m", "tests.bench.server", str(BENCH), str(RATE_MB), engine.bridge, str(BURST_MB)]
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
            plain = {"format": "png", "color_match": False, "soft_edges": False}
            yield environment, {"meme": picture, "face": picture, **plain}
        finally:
            server.stdin.close()
