"""A Docker engine: the one that answers, or one of our own for as long as it is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local import supervisor
from local.cloud import ROOT

DATA = ROOT / ".local/docker"  # our own engine's images, kept between runs
BRIDGE, ADDRESS = "coldswap0", "198.18.77.1"  # of the range that is nobody's (RFC 2544), so it is in nobody's way
START_SECONDS = 60.0
PACKAGES = ("docker.io", "debootstrap", "iproute2")
SEPARATE = ("docker-cli",)  # part of docker.io before Debian 13


class NoEngine(Exception):
    """There is no Docker engine, and none can be brought up here; the message says what is missing."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers."""

    host: str  # as in DOCKER_HOST; "" for Docker's own default
    bridge: str  # the address of this machine as containers see it

    @property
    def environment(self) -> dict[str, str]:
        """What programs that use Docker need."""
        return {**os.environ, **({"DOCKER_HOST": self.host} if self.host else {})}

    def docker(self, *arguments: str, timeout: float = 600.0) -> str:
        """What a docker command said. Raises subprocess.CalledProcessError or TimeoutExpired."""
        command = ["docker", *arguments]
        done = subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=timeout
        )
        return done.stdout.strip()

    def has_image(self, name: str) -> bool:
        """Whether the engine has it already."""
        return bool(self.docker("image", "ls", "--quiet", name))


@contextmanager
def engine() -> Iterator[Engine]:
    """An engine for the time of the block; one that was brought up for it is taken down again, whatever happens.

    Raises NoEngine.
    """
    if answers():
        yield Engine(os.environ.get("DOCKER_HOST", ""), _bridge())
        return
    if os.environ.get("DOCKER_HOST"):
        raise NoEngine(f"No Docker engine answers at DOCKER_HOST ({os.environ['DOCKER_HOST']}).")
    _install()
    with _own() as host:
        yield Engine(host, ADDRESS)


def answers(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a docker command, and an engine behind it."""
    try:
        done = subprocess.run(
            ["docker", "info", "--format", "{{.ServerVersion}}"], env=dict(environment), capture_output=True, timeout=20
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and bool(done.stdout.strip())


def _bridge() -> str:
    """The gateway of the engine's default network; an engine that has had no container yet names the network alone."""
    said = Engine(os.environ.get("DOCKER_HOST", ""), "").docker(
        "network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}{{end}}"
    )
    *gateway, subnet = said.split()
    return gateway[0] if gateway else subnet.rpartition(".")[0] + ".1"


def _install() -> None:
    """What is missing of Debian's packages. Raises NoEngine where that cannot be done."""
    if all(map(shutil.which, ("dockerd", "docker", "debootstrap", "ip"))):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngine("No Docker engine answers, and only root on Debian or Ubuntu can have one installed here.")
    print("installing Debian's Docker engine", flush=True)
    _apt("update")
    named = subprocess.run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=True).stdout.split()
    packages = [*PACKAGES, *(name for name in SEPARATE if name in named)]
    if not any(Path("/sys/fs/cgroup").iterdir()):
        packages.append("cgroupfs-mount")
    _apt("install", "--yes", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> None:
    # In runlevel 1 services are not started (invoke-rc.d(8)): the engine that we start is enough.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    done = subprocess.run(["apt-get", "--quiet", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        raise NoEngine(f"apt-get {arguments[0]} failed: {done.stderr.strip()[-500:]}")


@contextmanager
def _own() -> Iterator[str]:
    """Where the engine listens that runs meanwhile. It ends with this process, however that ends."""
    if os.geteuid() != 0:
        raise NoEngine("No Docker engine answers, and only root can start one.")
    print("starting a Docker engine", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="coldswap-docker-"))  # a socket's path must be short
    host = f"unix://{folder}/socket"
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    DATA.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, supervisor.__file__, str(folder)),
        *("dockerd", "--data-root", str(DATA), "--exec-root", str(folder / "run"), "--pidfile", str(folder / "pid")),
        *("--host", host, "--bridge", BRIDGE, "--shutdown-timeout", "5"),
    ]
    _bridge_up(path)
    log = DATA.parent / "docker.log"
    try:
        with log.open("wb") as said:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=said, stderr=said, env={**os.environ, "PATH": path}
            )
        try:
            until = time.monotonic() + START_SECONDS
            while not answers({**os.environ, "DOCKER_HOST": host}):
                if process.poll() is not None or time.monotonic() > until:
                    raise NoEngine(f"dockerd did not start:\n{log.read_text(errors='replace')[-1500:]}")
                time.sleep(0.2)
            yield host
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait()
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], env={**os.environ, "PATH": path}, capture_output=True)


def _bridge_up(path: str) -> None:
    """A network of our own, so that another engine's is left alone."""
    commands = (
        ("link", "add", "name", BRIDGE, "type", "bridge"),
        ("address", "replace", f"{ADDRESS}/24", "dev", BRIDGE),
        ("link", "set", BRIDGE, "up"),
    )
    for command in commands:
        done = subprocess.run(["ip", *command], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        if done.returncode and "File exists" not in done.stderr:
            raise NoEngine(f"the containers' network cannot be made: {done.stderr.strip()}")
