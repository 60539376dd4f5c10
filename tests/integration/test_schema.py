"""The deployed API conforms to its OpenAPI description, as schemathesis (MIT) checks it.

Every operation is called with valid and invalid values. No response may be a server error, or have a status, a type or
a body that the description does not have.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.cloud import ROOT, Cloud
from local.publish_demo_pack import publish_demo_pack
from local.standins.servers import StandIns
from tests.support import log_leaks
from tools import large_fonts

SECONDS = 90  # for all operations
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
    """A stack without authorisation and with capacity for all requests, whose voice service refuses its key."""
    with StandIns() as standins, Cloud() as cloud:
        standins.fault("elevenlabs.key", times=None)
        # Throttling is no fault, but the checks count its 503 as one.
        cloud.deploy({"MaxConcurrentTasks": "100"}, standins.environment, open_api=True)
        publish_demo_pack(cloud)
        large_fonts.publish(cloud.client("s3"), cloud.bucket("models"))  # for whatever script a value is in
        yield cloud
        log_leaks.assert_no_leaks(cloud, private=standins.secrets)


@pytest.fixture
def description(open_cloud: Cloud, tmp_path: Path) -> Path:
    """The document without its examples, which name pictures on a server that there is only outside of the tests."""
    document = open_cloud.request("GET", "/openapi.json").json()
    for operation in (each for methods in document["paths"].values() for each in methods.values()):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            content.pop("examples", None)
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def test_the_api_keeps_to_its_description(open_cloud: Cloud, description: Path, tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4))  # another each time; the report names it
    result = subprocess.run(
        [
            *(ROOT / ".venv-schema/bin/schemathesis", "run", str(description)),
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

    assert result.returncode == 0, result.stdout + result.stderr
    assert " generated, " in result.stdout, result.stdout
