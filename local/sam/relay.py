"""A Lambda runtime client that forwards every event to `sam local start-lambda`, and returns its response.

The local cloud runs it in place of a function, so that all its callers (the HTTP API, uploads with their retries and
dead letters, state machines) reach the containers. RELAY names a JSON file with the current URL of each handler; the
argument is the handler.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

TIMEOUT_SECONDS = 600.0  # longer than any function may take


def forward(url: str, event: bytes) -> tuple[bytes, str | None]:
    """Send an event to a container; the response, and the error type if it is an error.

    A sandbox that ended, or never started, is Runtime.ExitError, as on Lambda.
    """
    request = urllib.request.Request(url, event, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
            body, error_header = response.read(), response.headers.get("x-amz-function-error")
    except (urllib.error.HTTPError, http.client.HTTPException, OSError) as error:
        return _error("Runtime.ExitError", f"The container gave no response ({error})."), "Runtime.ExitError"
    try:
        value = json.loads(body or b"null")
    except ValueError:
        return _error("Runtime.ExitError", body[:500].decode(errors="replace")), "Runtime.ExitError"
    # start-lambda marks an error only where a stack trace comes with it.
    if error_header or (isinstance(value, dict) and {"errorType", "errorMessage"} <= value.keys()):
        return body, str(value.get("errorType", "Unhandled"))
    return body, None


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def main(handler: str) -> None:
    """Relay events until the sandbox is ended."""
    runtime = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    while True:
        with urllib.request.urlopen(f"{runtime}/next") as response:
            event, number = response.read(), response.headers["Lambda-Runtime-Aws-Request-Id"]
        body, error = forward(json.loads(Path(os.environ["RELAY"]).read_text())[handler], event)
        headers = {"Lambda-Runtime-Function-Error-Type": error} if error else {}
        url = f"{runtime}/{number}/{'error' if error else 'response'}"
        urllib.request.urlopen(urllib.request.Request(url, body, headers)).close()


if __name__ == "__main__":
    main(sys.argv[1])
