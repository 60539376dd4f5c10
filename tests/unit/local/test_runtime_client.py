"""The runtime client for systems without Lambda's own, against a runtime API that records what it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from layers.core.errors import InvalidRequest
from local import runtime_client, template_rewrite
from local.runtime_client import Context, RuntimeApi, answer
from local.standins.http_server import Fault, Faults, RecordedRequest, Request, Response, Service

DEADLINE_MS = 32_503_680_000_000  # in the year 3000


class Sandbox:
    """A runtime API with one event; `posts` are the paths and JSON bodies that it was sent."""

    def __init__(self) -> None:
        self.requests: list[RecordedRequest] = []
        self.service = Service("runtime", self._respond, Faults(), self.requests)

    @property
    def address(self) -> str:
        return self.service.url.removeprefix("http://")

    @property
    def posts(self) -> list[tuple[str, Any]]:
        return [(each.path, each.request.json()) for each in self.requests if each.request.method == "POST"]

    def _respond(self, request: Request, fault: Fault | None) -> Response:
        if request.method == "POST":
            return Response(202)
        headers = {
            "Lambda-Runtime-Aws-Request-Id": "r1",
            "Lambda-Runtime-Deadline-Ms": str(DEADLINE_MS),
            "Lambda-Runtime-Invoked-Function-Arn": "arn:f",
        }
        return Response.of({"name": "Zoë"}, headers=headers)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "swap")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "")
    sandbox = Sandbox()
    with sandbox.service:
        monkeypatch.setenv("AWS_LAMBDA_RUNTIME_API", sandbox.address)
        yield sandbox


def test_a_handler_gets_the_event_and_its_context(sandbox: Sandbox) -> None:
    seen: list[Context] = []

    def handler(event: Any, context: Context) -> Any:
        seen.append(context)
        return {"hello": event["name"]}

    answer(RuntimeApi(sandbox.address), handler)

    (context,) = seen
    assert sandbox.posts == [("/2018-06-01/runtime/invocation/r1/response", {"hello": "Zoë"})]
    assert (context.aws_request_id, context.invoked_function_arn, context.function_name) == ("r1", "arn:f", "swap")
    assert context.get_remaining_time_in_millis() > 0
    assert Context("r", "", 0).get_remaining_time_in_millis() == 0


def test_an_error_is_reported_by_its_class_which_workflows_catch(sandbox: Sandbox) -> None:
    def handler(event: Any, context: Context) -> Any:
        raise InvalidRequest("The picture is no picture.")

    answer(RuntimeApi(sandbox.address), handler)

    ((path, body),) = sandbox.posts
    assert path == "/2018-06-01/runtime/invocation/r1/error"
    assert (body["errorType"], body["errorMessage"]) == ("InvalidRequest", "The picture is no picture.")
    assert sandbox.requests[-1].request.headers["lambda-runtime-function-error-type"] == "InvalidRequest"


def test_a_result_that_is_no_json_is_an_error(sandbox: Sandbox) -> None:
    answer(RuntimeApi(sandbox.address), lambda event, context: object())

    ((_, body),) = sandbox.posts
    assert body["errorType"] == "TypeError"


def test_a_handler_that_cannot_be_imported_ends_the_start(sandbox: Sandbox) -> None:
    assert runtime_client.main("no.such.module.handler") == 1

    ((path, body),) = sandbox.posts
    assert (path, body["errorType"]) == ("/2018-06-01/runtime/init/error", "ModuleNotFoundError")


@pytest.mark.parametrize(("spec", "client"), [(None, "local.runtime_client"), (object(), "awslambdaric")])
def test_lambda_s_own_client_runs_functions_where_it_can(
    monkeypatch: pytest.MonkeyPatch, spec: object, client: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    assert template_rewrite.choose_client() == client
