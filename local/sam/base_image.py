"""The image that both functions' images start from: the public one, or one like it made from Debian's packages."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from local.cloud import ROOT
from local.sam.docker_engine import Engine, NoEngine
from tools.images import read_base_tag

SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"  # Debian 12, with Python 3.11
CACHE = ROOT / ".local/sam"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PULL_SECONDS = 180.0
# As in Debian's own slim images: documentation is removed, licences stay.
SLIM = """
set -e
cd "$1"
ln -s python3 usr/bin/python
rm -rf var/cache/apt/* var/lib/apt/lists/* var/log/* usr/share/man usr/share/info usr/share/locale usr/share/groff \
    usr/share/lintian usr/share/linda usr/share/bash-completion
find usr/share/doc -depth -type f ! -name copyright -delete
find usr/share/doc -empty -delete
find . -xdev -name __pycache__ -prune -exec rm -rf {} +
"""


def public_base_image() -> str:
    """The base image that the Dockerfiles name."""
    return read_base_tag(ROOT / "functions/swap/Dockerfile")


def ensure_base_image(engine: Engine) -> str:
    """Pull or make a base image; its name. Raises NoEngine where neither is possible."""
    name = public_base_image()
    if engine.has_image(name) or _pull(engine, name):
        return name
    recipe = hashlib.sha256(f"{SUITE}{SLIM}".encode()).hexdigest()[:12]
    name = f"coldswap-base:{SUITE}-{recipe}"
    if not engine.has_image(name):
        archive = CACHE / f"{SUITE}-{recipe}.tar"
        if not archive.exists():
            _create_archive(archive)
        engine.docker("import", str(archive), name)
    return name


def _pull(engine: Engine, name: str) -> bool:
    try:
        engine.docker("pull", "--quiet", name, timeout=PULL_SECONDS)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return False
    return True


def _create_archive(archive: Path) -> None:
    """Write a tar of a small Debian with Python and pip. Raises NoEngine."""
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise NoEngine(
            f"{public_base_image()} cannot be pulled, and making a base image needs root and Debian's debootstrap."
        )
    print(f"{public_base_image()} cannot be pulled; making a base image from Debian's packages", flush=True)
    archive.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="coldswap-base-"))
    try:
        command = ["debootstrap", "--variant=minbase", "--include=python3,python3-pip,ca-certificates", SUITE]
        result = subprocess.run([*command, str(folder), MIRROR], capture_output=True, text=True)
        if result.returncode:
            raise NoEngine(f"debootstrap failed: {result.stdout.strip()[-500:]}")
        subprocess.run(["sh", "-c", SLIM, "sh", str(folder)], check=True)
        # Where a proxy intercepts TLS, builds need its certificate as this machine does.
        shutil.copyfile(CERTIFICATES, folder / CERTIFICATES.relative_to("/"))
        part = archive.with_suffix(".part")
        subprocess.run(["tar", "--numeric-owner", "--one-file-system", "-C", folder, "-cf", part, "."], check=True)
        part.rename(archive)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
