"""`python -m local.runtime_client MODULE.FUNCTION`: runs a handler as Lambda's own runtime client does.

awslambdaric needs a library that is compiled for Linux only. This, in Python alone, takes its place elsewhere: it
speaks the Lambda runtime API (Lambda's developer guide, "custom runtimes"), as far as the local cloud needs it.
"""

from __future__ import annotations

import http.client
import importlib
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

API = "/2018-06-01/runtime"
Handler = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Context:
    """What a handler is told about an invocation, under the names of awslambdaric's context."""

    aws_request_id: str
    invoked_function_arn: str
    deadline_ms: int  # of the epoch
    client_context: Any = None
    identity: Any = None
    function_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_NAME", ""))
    function_version: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", ""))
    memory_limit_in_mb: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", ""))
    log_group_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME", ""))
    log_stream_name: str = field(default_factory=lambda: os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME", ""))

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until the invocation is out of time; 0 afterwards."""
        return max(0, self.deadline_ms - int(time.time() * 1000))


class RuntimeApi:
    """The runtime API of a sandbox, at `address` (host:port). Methods raise OSError and http.client.HTTPException."""

    def __init__(self, address: str) -> None:
        self._address = address

    def next(self) -> tuple[Any, Context]:
        """Wait for an event."""
        headers, body = self._request("GET", "/invocation/next")
        os.environ["_X_AMZN_TRACE_ID"] = headers.get("Lambda-Runtime-Trace-Id", "")
        client_context = headers.get("Lambda-Runtime-Client-Context")
        context = Context(
            headers["Lambda-Runtime-Aws-Request-Id"],
            headers.get("Lambda-Runtime-Invoked-Function-Arn", ""),
            int(headers["Lambda-Runtime-Deadline-Ms"]),
            json.loads(client_context) if client_context else None,
        )
        return json.loads(body), context

    def respond(self, request_id: str, result: str) -> None:
        """Send the handler's result, as JSON."""
        self._request("POST", f"/invocation/{request_id}/response", result)

    def fail(self, request_id: str | None, error: BaseException) -> None:
        """Report an exception; without a request's id one that ended the start."""
        name = type(error).__name__
        trace = traceback.format_tb(error.__traceback__)
        body = {"errorMessage": str(error), "errorType": name, "requestId": request_id or "", "stackTrace": trace}
        path = f"/invocation/{request_id}/error" if request_id else "/init/error"
        self._request("POST", path, json.dumps(body), {"Lambda-Runtime-Function-Error-Type": name})

    def _request(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self._address)
        try:
            data = None if body is None else body.encode()
            connection.request(method, API + path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            content = response.read()
            if response.status >= 300:
                raise http.client.HTTPException(f"{method} {path}: status {response.status}")
            return response.headers, content
        finally:
            connection.close()


def main(name: str) -> int:
    """Answer invocations until the sandbox ends; the exit status if the handler cannot be loaded."""
    api = RuntimeApi(os.environ["AWS_LAMBDA_RUNTIME_API"])
    try:
        handler = _load(name)
    except BaseException as error:
        traceback.print_exc()
        api.fail(None, error)
        return 1
    while True:
        answer(api, handler)


def answer(api: RuntimeApi, handler: Handler) -> None:
    """Wait for one event, and answer it."""
    event, context = api.next()
    try:
        result = json.dumps(handler(event, context), ensure_ascii=False)
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        api.fail(context.aws_request_id, error)
    else:
        api.respond(context.aws_request_id, result)


def _load(name: str) -> Handler:
    module, _, function = name.rpartition(".")
    handler: Handler = getattr(importlib.import_module(module), function)
    return handler


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
