"""One local cloud for all integration tests: template deployed, demo pack published, S3 behind a fault proxy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from local.cloud import ACCOUNT, REGION, STACK, Cloud
from local.demo import draw_pictures
from local.publish_demo_pack import publish_demo_pack
from tests.support import log_leaks
from tests.support.fault_proxy import FaultProxy
from tests.support.swap_client import SwapClient

DEFAULT_FACE = "faces/default.png"


@dataclass(frozen=True)
class Origin:
    """A web server that the stack trusts: /ruby.png is a face, /broken responds with 500."""

    url: str


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's pictures by name."""
    return {name: each.path for name, each in draw_pictures(tmp_path_factory.mktemp("drawn")).items()}


@pytest.fixture(scope="session")
def origin(pictures: dict[str, Path]) -> Iterator[Origin]:
    """A server of the face of ruby."""
    content = pictures["ruby"].read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = (200, content) if self.path == "/ruby.png" else (500, b"")
            self.send_response(status)
            self.send_header("Content-Type", "image/png")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Origin(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.fixture(scope="session")
def stack(pictures: dict[str, Path], origin: Origin) -> Iterator[SwapClient]:
    """The deployed stack."""
    with Cloud() as cloud, FaultProxy(lambda: cloud.endpoint) as fault_proxy:
        cloud.deploy(
            {"DefaultFace": f"s3://{STACK}-models-{ACCOUNT}-{REGION}/{DEFAULT_FACE}"},
            {"AWS_ENDPOINT_URL_S3": fault_proxy.url, "TRUSTED_ORIGINS": origin.url},
        )
        publish_demo_pack(cloud)
        cloud.client("s3").put_object(
            Bucket=cloud.bucket("models"), Key=DEFAULT_FACE, Body=pictures["ivy"].read_bytes(), ContentType="image/png"
        )
        yield SwapClient(cloud, fault_proxy)
        log_leaks.assert_no_leaks(cloud)


@pytest.fixture(scope="session")
def s3(stack: SwapClient) -> Any:
    """The emulated S3, not through the fault proxy."""
    return stack.cloud.client("s3")


@pytest.fixture
def pointer(stack: SwapClient, s3: Any) -> Iterator[dict[str, Any]]:
    """The published pack's manifest; the pointer is restored after the test, and the models are loaded again."""
    bucket = stack.cloud.bucket("models")
    original = s3.get_object(Bucket=bucket, Key="packs/current.json")["Body"].read()
    current = json.loads(original)
    manifest = s3.get_object(Bucket=bucket, Key=f"packs/{current['pack']}/{current['digest']}.json")["Body"].read()
    yield json.loads(manifest)
    s3.put_object(Bucket=bucket, Key="packs/current.json", Body=original)
    stack.cloud.force_cold_start()
