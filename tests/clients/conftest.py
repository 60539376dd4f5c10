"""A local cloud with AuthMode=key, a key whose caller has accepted the terms, and programs that use it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from layers.core.terms import VERSION
from local.cloud import ROOT, Cloud
from local.demo import draw_pictures
from local.publish_demo_pack import publish_demo_pack
from tests.support import log_leaks
from tests.support.fault_proxy import FaultProxy
from tools.api_keys import ApiKeyStore

ENVIRONMENT = ROOT / ".venv-clients/bin"
PROGRAM_SECONDS = 120


@dataclass(frozen=True)
class ClientCloud:
    """A local cloud that people's programs call with a key."""

    cloud: Cloud
    fault_proxy: FaultProxy
    key: str

    def run(self, program: str, *arguments: str | Path, path: Path | None = None) -> Any:
        """What a program of tests/clients/programs prints, as JSON; `path` has packages for it beside."""
        return run_program(program, *arguments, PYTHONPATH=str(path or ""), API=self.cloud.api_url, KEY=self.key)


def run_program(program: str, *arguments: str | Path, **environment: str) -> Any:
    """What a program of tests/clients/programs prints, as JSON."""
    result = subprocess.run(
        [ENVIRONMENT / "python", ROOT / "tests/clients/programs" / program, *arguments],
        env={"PYTHONDONTWRITEBYTECODE": "1", "NO_PROXY": "*", **environment},
        capture_output=True,
        text=True,
        timeout=PROGRAM_SECONDS,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's pictures by name."""
    return {name: each.path for name, each in draw_pictures(tmp_path_factory.mktemp("drawn")).items()}


@pytest.fixture(scope="session")
def client_cloud() -> Iterator[ClientCloud]:
    """The stack, deployed with AuthMode=key and the demo pack."""
    with Cloud() as cloud, FaultProxy(lambda: cloud.endpoint) as fault_proxy:
        cloud.deploy({"AuthMode": "key"}, {"AWS_ENDPOINT_URL_S3": fault_proxy.url})
        publish_demo_pack(cloud)
        keys = ApiKeyStore(cloud.client("dynamodb"), cloud.state_table)
        key = keys.make("somebody", datetime(2026, 11, 28, tzinfo=UTC))
        assert cloud.request("POST", "/terms", {"version": VERSION}, key=key).status_code == 200
        yield ClientCloud(cloud, fault_proxy, key)
        log_leaks.assert_no_leaks(cloud, private=[key])
