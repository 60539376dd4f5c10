"""The worker for GPUs beside the local cloud (`make demo GPU=1`): on this machine's GPU, or on the processor."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from local.cloud import REGION, ROOT, Cloud, CloudFailed

SECRET = "coldswap-remote-swapper"


def create_secret(cloud: Cloud) -> str:
    """Create the secret that the parameter RemoteSwapper names, still empty; returns its ARN."""
    return str(cloud.client("secretsmanager").create_secret(Name=SECRET, SecretString="{}")["ARN"])


@contextmanager
def run_worker(cloud: Cloud, secret: str) -> Iterator[str]:
    """Run a worker with the stack's pack, and write into the secret where it is; gives the device that it runs on.

    Raises CloudFailed if it does not start.
    """
    token = secrets.token_urlsafe(24)
    environment = {
        **os.environ,
        **cloud.credentials,
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_REGION": REGION,
        "MODELS_BUCKET": cloud.bucket("models"),
        "WORKER_TOKEN": token,
        "HOST": "127.0.0.1",
        "PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "workers.gpu"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise CloudFailed("The worker for GPUs did not start.")
        started = json.loads(line)
        remote = {"url": f"http://127.0.0.1:{started['listening']}", "token": token, "dollars_per_second": 0.0}
        client = cloud.client("secretsmanager")
        client.put_secret_value(SecretId=secret, SecretString=json.dumps(remote))
        yield str(started["device"])
    finally:
        process.terminate()
        process.wait(20)
