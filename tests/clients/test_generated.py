"""A client that is generated from the API's description compiles and swaps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import requests

from tests.clients.conftest import ENVIRONMENT, ClientCloud

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def description(client_cloud: ClientCloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The document as the stack serves it."""
    path = tmp_path_factory.mktemp("description") / "openapi.json"
    path.write_bytes(client_cloud.cloud.request("GET", "/openapi.json", key=client_cloud.key).content)
    return path


def test_the_description_is_valid(description: Path) -> None:
    subprocess.run([ENVIRONMENT / "openapi-spec-validator", "--errors", "all", description], check=True)


def test_a_generated_client_compiles_and_swaps(
    client_cloud: ClientCloud, description: Path, pictures: dict[str, Path], tmp_path: Path
) -> None:
    package = tmp_path / "coldswap_client"
    options = ["--meta", "none", "--fail-on-warning", "--path", str(description), "--output-path", str(package)]
    subprocess.run(
        [ENVIRONMENT / "openapi-python-client", "generate", *options],
        check=True,
        env={"PATH": f"{ENVIRONMENT}:/usr/bin:/bin", "HOME": str(tmp_path)},  # it formats with ruff
    )
    subprocess.run([ENVIRONMENT / "python", "-W", "error", "-m", "compileall", "-q", package], check=True)

    answers = client_cloud.run(
        "generated_client.py", pictures["works-on-my-machine"], pictures["ruby"], path=package.parent
    )

    url = answers.pop("url")
    assert answers == {
        "accepted": True,
        "listed": 1,
        "swapped": [True],
        "status": "succeeded",
        "first": True,
        "deleted": "deleted",
        "code": "refused_url",
    }
    assert requests.get(url, timeout=60).status_code == 404, "it was deleted"
