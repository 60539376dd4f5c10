"""`python -m local.container_check`: builds local/Dockerfile, runs the demo in it, and `make up` with its key.

On the Docker engine that is running, or on one that is started. Without either it says so, and that is all.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

from local.cloud import ROOT
from local.sam.base_image import ensure_base_image
from local.sam.docker_engine import Engine, NoEngine, docker_engine

IMAGE, NAME = "coldswap-local", "coldswap-local-check"
BUILD_SECONDS, DEMO_SECONDS, START_SECONDS = 1800.0, 900.0, 180.0
KEY = re.compile(r"^key +(\S+)$", re.MULTILINE)


def main() -> int:
    """The exit status; 0 also where there is no engine, which is then printed."""
    try:
        with docker_engine() as engine:
            return check(engine)
    except NoEngine as error:
        print(f"The container of make up was not tested. {error}")
        return 0
    except subprocess.CalledProcessError as error:
        print(f"{error}\n{(error.stdout or '')[-1000:]}{(error.stderr or '')[-3000:]}", file=sys.stderr)
        return 1


def check(engine: Engine) -> int:
    """Build the image, run the demo in it, then the stack; 0 if it responds to its key and to nobody else."""
    base = f"BASE_IMAGE={ensure_base_image(engine)}"
    with tempfile.TemporaryDirectory(prefix="coldswap-context-") as folder:
        _copy_sources(Path(folder))
        arguments = ("--build-arg", base, "--network", "host", "-f", f"{folder}/local/Dockerfile", "-t", IMAGE, folder)
        engine.docker("build", "--quiet", *arguments, timeout=BUILD_SECONDS)
    print("the image is built; running the demo in it", flush=True)
    print(engine.docker("run", "--rm", IMAGE, "make", "demo", timeout=DEMO_SECONDS)[-300:], flush=True)
    engine.docker("run", "--detach", "--rm", "--name", NAME, "-p", "127.0.0.1:0:4566", IMAGE)
    try:
        url = "http://" + engine.docker("port", NAME, "4566").splitlines()[0]
        statuses = [_ask(url, key) for key in (_wait_for_key(engine), "")]
    finally:
        engine.docker("kill", NAME)
    print(f"make up responds with {statuses[0]} to its key and with {statuses[1]} to others")
    return 0 if statuses == [200, 403] else 1


def _copy_sources(folder: Path) -> None:
    """Copy what git knows; without .dockerignore, which builders older than BuildKit prefer to the Dockerfile's own."""
    names = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], check=True, capture_output=True, text=True
    ).stdout
    for name in filter(None, names.split("\0")):
        if name != ".dockerignore" and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)


def _wait_for_key(engine: Engine) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not (match := KEY.search(engine.docker("logs", NAME))):
        if time.monotonic() > deadline:
            raise NoEngine(f"The container did not start: {engine.docker('logs', NAME)[-500:]}")
        time.sleep(0.5)
    return match[1]


def _ask(url: str, key: str) -> int:
    with requests.Session() as session:
        session.trust_env = False
        headers = {"x-api-key": key} if key else {}
        return session.get(f"{url}/openapi.json", headers=headers, timeout=60).status_code


if __name__ == "__main__":
    sys.exit(main())
