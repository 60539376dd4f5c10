"""A Docker engine: the one that is running, or one that is started for as long as it is needed."""

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

DATA = ROOT / ".local/docker"  # images of the engine that we start, kept between runs
BRIDGE, ADDRESS = "coldswap0", "198.18.77.1"  # of the range for benchmarks (RFC 2544), which no network uses
START_SECONDS = 60.0
PACKAGES = ("docker.io", "debootstrap", "iproute2")
SEPARATE_PACKAGES = ("docker-cli",)  # part of docker.io before Debian 13


class NoEngine(Exception):
    """There is no Docker engine, and none can be started here; the message says what is missing."""


@dataclass(frozen=True)
class Engine:
    """A running engine."""

    host: str  # as in DOCKER_HOST; "" for Docker's own default
    bridge: str  # the address of this machine as containers see it

    @property
    def environment(self) -> dict[str, str]:
        """Environment of programs that use this engine."""
        return {**os.environ, **({"DOCKER_HOST": self.host} if self.host else {})}

    def docker(self, *arguments: str, timeout: float = 600.0) -> str:
        """Run a docker command; its output. Raises subprocess.CalledProcessError or TimeoutExpired."""
        command = ["docker", *arguments]
        result = subprocess.run(
            command, env=self.environment, check=True, capture_output=True, text=True, timeout=timeout
        )
        return result.stdout.strip()

    def has_image(self, name: str) -> bool:
        """Whether the engine has the image."""
        return bool(self.docker("image", "ls", "--quiet", name))


@contextmanager
def docker_engine() -> Iterator[Engine]:
    """An engine for the block; one that was started for it is stopped again, whatever happens.

    Raises NoEngine.
    """
    if is_running():
        yield Engine(os.environ.get("DOCKER_HOST", ""), _bridge_address())
        return
    if os.environ.get("DOCKER_HOST"):
        raise NoEngine(f"No Docker engine responds at DOCKER_HOST ({os.environ['DOCKER_HOST']}).")
    _install_packages()
    with _start_engine() as host:
        yield Engine(host, ADDRESS)


def is_running(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is a docker command, and its engine responds."""
    try:
        result = subprocess.run(
            ["docker", "info", "--format", "{{.ServerVersion}}"], env=dict(environment), capture_output=True, timeout=20
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return result.returncode == 0 and bool(result.stdout.strip())


def _bridge_address() -> str:
    """Gateway of the engine's default network; before its first container the engine only names the subnet."""
    output = Engine(os.environ.get("DOCKER_HOST", ""), "").docker(
        "network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{.Subnet}}{{end}}"
    )
    *gateway, subnet = output.split()
    return gateway[0] if gateway else subnet.rpartition(".")[0] + ".1"


def _install_packages() -> None:
    """Install the Debian packages that are missing. Raises NoEngine where that is not possible."""
    if all(map(shutil.which, ("dockerd", "docker", "debootstrap", "ip"))):
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngine("No Docker engine is running, and installing one needs root on Debian or Ubuntu.")
    print("installing Debian's Docker engine", flush=True)
    _apt("update")
    available = subprocess.run(["apt-cache", "pkgnames"], capture_output=True, text=True, check=True).stdout.split()
    packages = [*PACKAGES, *(name for name in SEPARATE_PACKAGES if name in available)]
    if not any(Path("/sys/fs/cgroup").iterdir()):
        packages.append("cgroupfs-mount")
    _apt("install", "--yes", "--no-install-recommends", *packages)


def _apt(*arguments: str) -> None:
    # In runlevel 1 services are not started (invoke-rc.d(8)): the engine that we start is enough.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    result = subprocess.run(["apt-get", "--quiet", *arguments], env=environment, capture_output=True, text=True)
    if result.returncode:
        raise NoEngine(f"apt-get {arguments[0]} failed: {result.stderr.strip()[-500:]}")


@contextmanager
def _start_engine() -> Iterator[str]:
    """Start an engine for the block; its DOCKER_HOST. The engine ends with this process, however that ends."""
    if os.geteuid() != 0:
        raise NoEngine("No Docker engine is running, and only root can start one.")
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
    _create_bridge(path)
    log = DATA.parent / "docker.log"
    try:
        with log.open("wb") as log_file:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log_file, stderr=log_file, env={**os.environ, "PATH": path}
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not is_running({**os.environ, "DOCKER_HOST": host}):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise NoEngine(f"dockerd did not start:\n{log.read_text(errors='replace')[-1500:]}")
                time.sleep(0.2)
            yield host
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait()
    finally:
        subprocess.run(["ip", "link", "delete", BRIDGE], env={**os.environ, "PATH": path}, capture_output=True)


def _create_bridge(path: str) -> None:
    """Create a network for our engine, so that another engine's is left alone."""
    commands = (
        ("link", "add", "name", BRIDGE, "type", "bridge"),
        ("address", "replace", f"{ADDRESS}/24", "dev", BRIDGE),
        ("link", "set", BRIDGE, "up"),
    )
    for command in commands:
        result = subprocess.run(["ip", *command], env={**os.environ, "PATH": path}, capture_output=True, text=True)
        if result.returncode and "File exists" not in result.stderr:
            raise NoEngine(f"The network for containers could not be created: {result.stderr.strip()}")
