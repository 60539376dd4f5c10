"""Whether the deployed API keeps to the description that it serves, as schemathesis (MIT) judges it.

Every operation is asked with values that fit its description and with values that do not. No answer may be a server
error, or have a status, a type or a body that the description does not know.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import ROOT, Cloud
from local.publish_demo_pack import publish_demo_pack
from local.standins.servers import StandIns
from tests.support import log_leaks

SECONDS = 45  # for each of the two descriptions
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def open_cloud() -> Iterator[Cloud]:
    """A stack that asks nobody who they are, with room for whatever is asked, and no voice to spend time on."""
    with StandIns() as standins, Cloud() as cloud:
        standins.fault("elevenlabs.key", times=None)
        # A full house is no fault, but its 503 is one to the checks.
        cloud.deploy({"MaxConcurrentTasks": "100"}, standins.environment, open_api=True)
        publish_demo_pack(cloud)
        yield cloud
        log_leaks.assert_no_leaks(cloud, private=standins.secrets)


@pytest.mark.parametrize("description", ["/openapi.json", "/video/openapi.json"])
def test_the_api_keeps_to_its_description(open_cloud: Cloud, description: str, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))  # another each time; the report names it
    run = subprocess.run(
        [
            *(ROOT / ".venv-schema/bin/schemathesis", "run", open_cloud.api_url + description),
            *("--url", open_cloud.api_url, "--checks", ",".join(CHECKS), "--seed", str(seed)),
            *("--phases", "coverage,fuzzing", "--max-time", str(SECONDS), "--request-timeout", "60"),
            *("--continue-on-failure", "--warnings", "off", "--no-color"),
        ],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert " generated, " in run.stdout, run.stdout
