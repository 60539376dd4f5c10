"""The built images as functions of a local cloud. `python -m local.sam` starts an engine, builds, and runs these tests.

It sets COLDSWAP_SAM; without it there are no images, and no test here is collected.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import template_rewrite
from local.cloud import ROOT, Cloud
from local.demo import draw_pictures
from local.publish_demo_pack import publish_demo_pack
from local.sam.build import BUILT
from local.sam.docker_engine import Engine
from local.sam.run import SamStack
from local.standins.servers import StandIns
from local.swap_clients import put_input
from tools.template import load_template

collect_ignore_glob = [] if "COLDSWAP_SAM" in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The running Docker engine."""
    return Engine(**json.loads(os.environ["COLDSWAP_SAM"]))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's pictures by name."""
    return {name: each.path for name, each in draw_pictures(tmp_path_factory.mktemp("drawn")).items()}


@pytest.fixture(scope="session")
def standins(engine: Engine) -> Iterator[StandIns]:
    """Voice and footage services that containers can reach."""
    with StandIns(ROOT / ".local/footage", host=engine.bridge) as running:
        yield running


@dataclass(frozen=True)
class RelayCloud:
    """A local cloud whose functions are the relay, and the file with the URLs that the relay uses."""

    cloud: Cloud
    relay: Path


@pytest.fixture(scope="session")
def relay_cloud(engine: Engine, standins: StandIns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayCloud]:
    """The template deployed, the demo pack published."""
    relay = tmp_path_factory.mktemp("relay") / "handlers.json"
    with Cloud(host=engine.bridge) as cloud:
        cloud.deploy(
            open_api=True,  # events of sam local have no caller
            environment={**standins.environment, "RELAY": str(relay)},
            bootstrap=template_rewrite.build_bootstrap(ROOT, Path(sys.executable), "local.sam.relay"),
        )
        publish_demo_pack(cloud)
        yield RelayCloud(cloud, relay)


@pytest.fixture(scope="session")
def cloud(relay_cloud: RelayCloud) -> Cloud:
    """The local cloud."""
    return relay_cloud.cloud


@pytest.fixture(scope="session")
def stack(engine: Engine, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> SamStack:
    """The images with the template's own MemorySize."""
    return SamStack.for_cloud(engine, load_template(BUILT), cloud, tmp_path_factory.mktemp("sam"))


@pytest.fixture
def request_body(cloud: Cloud, pictures: dict[str, Path]) -> dict[str, str]:
    """A swap of pictures in the uploads bucket."""
    return {"face": put_input(cloud, pictures["ruby"]), "meme": put_input(cloud, pictures["works-on-my-machine"])}


@pytest.fixture(scope="session")
def start_lambda(relay_cloud: RelayCloud, stack: SamStack) -> Iterator[dict[str, str]]:
    """Containers behind the relay, with the template's own MemorySize; the URL of each handler."""
    with stack.functions() as handlers:
        relay_cloud.relay.write_text(json.dumps(handlers))
        yield handlers
