"""The parts of local/sam that need no Docker engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from local.sam import base_image, build, docker_engine, relay
from tests.support.templates import load_template
from tools.template import list_nested_templates, make_buildable

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = load_template(ROOT / "template.yaml")


@contextmanager
def start_lambda(body: bytes, headers: dict[str, str]) -> Iterator[str]:
    """A server that responds to every invocation with this."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("container_body", "headers", "kind"),
    [
        (b'{"key": "swaps/a.jpg"}', {}, None),
        (b"", {}, None),
        (b'{"errorType": "NoFaceInMeme", "errorMessage": "none", "stackTrace": []}', {}, "NoFaceInMeme"),
        (b'{"errorType": "Runtime.ExitError", "errorMessage": "killed"}', {}, "Runtime.ExitError"),
        (b'{"errorType": "X"}', {"x-amz-function-error": "Unhandled"}, "X"),
        (b"Internal Server Error", {}, "Runtime.ExitError"),
    ],
)
def test_the_relay_tells_answers_from_errors(container_body: bytes, headers: dict[str, str], kind: str | None) -> None:
    with start_lambda(container_body, headers) as url:
        body, error_type = relay.forward(url, b"{}")

    assert error_type == kind
    assert kind is None or json.loads(body)["errorType"] == kind


def test_nobody_there_is_a_sandbox_that_ended() -> None:
    assert relay.forward("http://127.0.0.1:9", b"{}")[1] == "Runtime.ExitError"


def test_what_is_built_is_the_template_with_another_base_and_paths_from_anywhere() -> None:
    copied = make_buildable(TEMPLATE, ROOT, "base:tag")

    for name, function in build.functions(copied).items():
        metadata = function["Metadata"]
        assert metadata["DockerBuildArgs"] == {"BASE_IMAGE": "base:tag"}
        assert (Path(metadata["DockerContext"]) / metadata["Dockerfile"]).is_file()
        assert function["Properties"] == TEMPLATE["Resources"][name]["Properties"]
    assert "DockerBuildArgs" not in TEMPLATE["Resources"]["SwapFunction"]["Metadata"]


def test_what_runs_has_the_environment_that_is_given_and_no_events_of_its_own() -> None:
    runnable = build.make_runnable(TEMPLATE, {"SwapFunction": {"A": "b"}})
    running = runnable["Resources"]["SwapFunction"]["Properties"]

    assert running["Environment"] == {"Variables": {"A": "b"}}
    assert running["Events"] == {}
    assert not list_nested_templates(runnable), "sam would look for their templates beside this one"


def test_sam_hands_a_form_on_in_base64_as_an_http_api_does() -> None:
    api = build.make_runnable(TEMPLATE, {})["Resources"]["Api"]["Properties"]

    assert api["Body"]["x-amazon-apigateway-binary-media-types"] == ["multipart/form-data"]
    assert "Body" not in TEMPLATE["Resources"]["Api"]["Properties"]


def test_both_images_start_from_the_same_public_base() -> None:
    line = f"ARG BASE_IMAGE={base_image.public_base_image()}"

    for function in ("swap", "video"):
        assert line in (ROOT / f"functions/{function}/Dockerfile").read_text().splitlines()
    assert base_image.public_base_image().endswith(":3.11-slim-trixie")


def test_an_engine_that_is_named_and_does_not_answer_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")

    with pytest.raises(docker_engine.NoEngine, match="DOCKER_HOST"), docker_engine.docker_engine():
        pass


def test_who_is_not_root_hears_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(docker_engine, "is_running", lambda: False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)

    with pytest.raises(docker_engine.NoEngine, match="root"), docker_engine.docker_engine():
        pass
