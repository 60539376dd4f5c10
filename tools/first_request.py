"""What makes the first request to a new stack succeed: models in its bucket, and commands to copy."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from layers.core.terms import VERSION
from layers.models.runtime.manifest import POINTER_KEY
from layers.models.tools.bundle import PackBundle
from layers.models.tools.publish import upload
from local import demo_pack
from tools.images import PLATFORM
from tools.stack import ROOT

PACK = ROOT / "local/demo_pack"
IMAGE = "swapfunction:swap"  # sam's name for the image of SwapFunction
MEME, FACE, RESULT = "examples/meme.jpg", "examples/face.jpg", "swapped.jpg"

Build = Callable[[Path], list[str]]


def build_container_command(folder: Path) -> list[str]:
    """The start of a command that runs Python in the swap function's image, with `folder` and the pack mounted.

    The image has no code that converts models, so the repository's is mounted too.
    """
    owner = f"{os.getuid()}:{os.getgid()}"
    models = f"{ROOT / 'layers/models'}:/opt/python/layers/models:ro"
    mounts = ["--volume", f"{PACK}:{PACK}:ro", "--volume", models, "--volume", f"{folder}:{folder}"]
    container = ["docker", "run", "--rm", "--network", "none", "--platform", PLATFORM, "--user", owner]
    return [*container, *mounts, "--entrypoint", "python", IMAGE]


def publish_demo_pack(s3: Any, bucket: str, python: Build = build_container_command) -> bool:
    """Publish the demo models unless a pack is in use already; whether they were published.

    The pack is built inside the function's new image, which has everything that takes. `s3` is boto3's client. Raises
    CalledProcessError, Conflict and botocore's errors.
    """
    try:
        s3.head_object(Bucket=bucket, Key=POINTER_KEY)
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
            raise
    else:
        return False
    with tempfile.TemporaryDirectory(prefix="coldswap-pack-") as scratch:
        folder = Path(scratch)
        description = ["--name", demo_pack.NAME, "--licence", demo_pack.LICENCE, "--hint", demo_pack.HINT]
        build = ["-m", "layers.models", "build", "--from", str(PACK), *description, "--out", str(folder)]
        subprocess.run([*python(folder), *build], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        upload(PackBundle.open(folder), bucket, s3)
    return True


def list_steps(api: str, region: str, auth_mode: str, environment: str = "default") -> list[tuple[str, str]]:
    """Descriptions and commands for a POSIX shell in the repository's root; the last command saves a picture."""
    python = shlex.quote(os.path.relpath(sys.executable, ROOT))
    sign_in, header = {
        "iam": (
            ("Sign with your AWS credentials:", f'eval "$({python} -m tools.deploy credentials)"'),
            f'--aws-sigv4 aws:amz:{region}:execute-api --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" '
            '${AWS_SESSION_TOKEN:+"-Hx-amz-security-token:$AWS_SESSION_TOKEN"} ',
        ),
        "key": (
            (
                "Create a key (it is not shown again: run echo $KEY and store it):",
                f'KEY="$({_make_key(environment)})"',
            ),
            '-H "x-api-key: $KEY" ',
        ),
        "jwt": (
            ("Paste a token from your issuer:", "read -r TOKEN"),
            '-H "Authorization: Bearer $TOKEN" ',
        ),
        "open": (None, ""),
    }[auth_mode]
    call = f"call() {{ curl -sS --fail-with-body {header}-H 'Content-Type: application/json' \"$@\"; }}"
    picture = "data:image/jpeg;base64,%s"
    body = f'printf \'{{"meme": "{picture}", "face": "{picture}"}}\' {_base64(MEME)} {_base64(FACE)}'
    url = 'python3 -c \'import json; print(json.load(open("swapped.json"))["url"])\''
    return [
        *([sign_in] if sign_in else []),
        ("Define a shell function that calls the API:", call),
        ("Read the terms of use:", f"call {api}/terms"),
        ("Accept them, once:", f"call {api}/terms -d '{json.dumps({'version': VERSION})}'"),
        ("Put a face into a meme:", f"{body} | call {api}/swap -d @- > swapped.json"),
        ("Fetch the picture:", f'curl -sS -o {RESULT} "$({url})"'),
    ]


def _make_key(environment: str) -> str:
    return f"make -s key NAME=first ENV={shlex.quote(environment)}"


def _base64(path: str) -> str:
    return f"\"$(base64 < {path} | tr -d '\\n')\""


def format_credentials(session: Any) -> str:
    """A shell command that exports the credentials of boto3's `session`. Raises ValueError if there are none."""
    signer = session.get_credentials()
    if signer is None:
        raise ValueError("There are no AWS credentials. Sign in (aws configure, aws sso login, or aws login) first.")
    frozen = signer.get_frozen_credentials()
    variables = {"AWS_ACCESS_KEY_ID": frozen.access_key, "AWS_SECRET_ACCESS_KEY": frozen.secret_key}
    if frozen.token:
        variables["AWS_SESSION_TOKEN"] = frozen.token
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "; ".join(["unset AWS_SESSION_TOKEN", *exports])
