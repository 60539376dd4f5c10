"""`python -m local.models COMMAND`: the commands of `python -m layers.models` on the local cloud's bucket.

If `make up` is running they use its stack; otherwise the local cloud is started for as long as the command takes, and
its buckets keep what it published.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local.cloud import CREDENTIALS, REGION, ROOT, STATE_FOLDER, Cloud, CloudFailed, find_running


def main(arguments: Sequence[str], folder: Path = STATE_FOLDER) -> int:
    """Run one command on the cloud that keeps its buckets in `folder`; the exit status."""
    try:
        with _endpoint(folder) as endpoint:
            command = [sys.executable, "-m", "layers.models", *arguments]
            return subprocess.run(command, env=_environment(endpoint)).returncode
    except CloudFailed as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


@contextmanager
def _endpoint(folder: Path) -> Iterator[str]:
    """The endpoint of a cloud with a stack: the running one, or one that runs for the block. Raises CloudFailed."""
    if running := find_running(folder):
        yield running
        return
    with Cloud(folder) as cloud:
        if not cloud.has_stack():
            cloud.deploy(open_api=True)
        yield cloud.endpoint


def _environment(endpoint: str) -> dict[str, str]:
    """This process's environment, in which boto3 finds this cloud whatever AWS settings the machine has."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    ours = {**CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": endpoint}
    return {**others, **ours, "NO_PROXY": "*", "PYTHONPATH": str(ROOT)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
