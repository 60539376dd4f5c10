"""The built images as functions of a local cloud. `python -m local.sam` brings the engine up, builds, and runs these.

Without what it leaves in COLDSWAP_SAM there are no images, and nothing here is collected.
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
from local.demo import pictures
from local.publish_demo_pack import publish_demo_pack
from local.sam.build import BUILT
from local.sam.docker_engine import Engine
from local.sam.run import Stack
from local.standins.servers import StandIns
from local.swap_clients import put_input
from tools.template import load_template

collect_ignore_glob = [] if "COLDSWAP_SAM" in os.environ else ["test_*.py"]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The one that runs."""
    return Engine(**json.loads(os.environ["COLDSWAP_SAM"]))


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's pictures by name."""
    return {name: each.path for name, each in pictures(tmp_path_factory.mktemp("drawn")).items()}


@pytest.fixture(scope="session")
def standins(engine: Engine) -> Iterator[StandIns]:
    """Voice and footage, where containers reach them."""
    with StandIns(ROOT / ".local/footage", host=engine.bridge) as running:
        yield running


@dataclass(frozen=True)
class World:
    """A local cloud whose functions are the relay, and the file that tells the relay where to go."""

    cloud: Cloud
    relay: Path


@pytest.fixture(scope="session")
def world(engine: Engine, standins: StandIns, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The template deployed, the demo pack published."""
    relay = tmp_path_factory.mktemp("relay") / "handlers.json"
    with Cloud(host=engine.bridge) as cloud:
        cloud.deploy(
            open_api=True,  # sam local's events name no caller
            environment={**standins.environment, "RELAY": str(relay)},
            bootstrap=template_rewrite.bootstrap(ROOT, Path(sys.executable), "local.sam.relay"),
        )
        publish_demo_pack(cloud)
        yield World(cloud, relay)


@pytest.fixture(scope="session")
def cloud(world: World) -> Cloud:
    """The local cloud."""
    return world.cloud


@pytest.fixture(scope="session")
def stack(engine: Engine, cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Stack:
    """The images with the template's own MemorySize."""
    return Stack.of(engine, load_template(BUILT), cloud, tmp_path_factory.mktemp("sam"))


@pytest.fixture
def request_body(cloud: Cloud, drawn: dict[str, Path]) -> dict[str, str]:
    """A swap of pictures in the uploads bucket."""
    return {"face": put_input(cloud, drawn["ruby"]), "meme": put_input(cloud, drawn["works-on-my-machine"])}


@pytest.fixture(scope="session")
def start_lambda(world: World, stack: Stack) -> Iterator[dict[str, str]]:
    """Containers behind the relay, with the template's own MemorySize; where each handler is invoked."""
    with stack.functions() as handlers:
        world.relay.write_text(json.dumps(handlers))
        yield handlers
