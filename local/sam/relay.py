"""A Lambda runtime client that hands every event to `sam local start-lambda`, and its answer back.

The local cloud runs it in place of a function, so that all its callers (the HTTP API, uploads with their retries and
dead letters, state machines) reach the containers. RELAY names a file that says, in JSON and at any moment, where the
handler that is named as the argument is invoked.
"""

from __future__ import annotations

import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

PATIENCE = 600.0  # seconds, longer than any function may take


def answer(url: str, event: bytes) -> tuple[bytes, str | None]:
    """What the container said, and the kind of error if that is what it is.

    A sandbox that is gone, or that never came, is Runtime.ExitError, as Lambda would say.
    """
    request = urllib.request.Request(url, event, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            said, failed = reply.read(), reply.headers.get("x-amz-function-error")
    except (urllib.error.HTTPError, http.client.HTTPException, OSError) as error:
        return _error("Runtime.ExitError", f"The container gave no answer ({error})."), "Runtime.ExitError"
    try:
        value = json.loads(said or b"null")
    except ValueError:
        return _error("Runtime.ExitError", said[:500].decode(errors="replace")), "Runtime.ExitError"
    # start-lambda marks an error only where a stack trace comes with it.
    if failed or (isinstance(value, dict) and {"errorType", "errorMessage"} <= value.keys()):
        return said, str(value.get("errorType", "Unhandled"))
    return said, None


def _error(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def main(handler: str) -> None:
    """Until the sandbox is ended."""
    runtime = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
    urllib.request.install_opener(urllib.request.build_opener(urllib.request.ProxyHandler({})))
    while True:
        with urllib.request.urlopen(f"{runtime}/next") as reply:
            event, number = reply.read(), reply.headers["Lambda-Runtime-Aws-Request-Id"]
        said, error = answer(json.loads(Path(os.environ["RELAY"]).read_text())[handler], event)
        headers = {"Lambda-Runtime-Function-Error-Type": error} if error else {}
        where = f"{runtime}/{number}/{'error' if error else 'response'}"
        urllib.request.urlopen(urllib.request.Request(where, said, headers)).close()


if __name__ == "__main__":
    main(sys.argv[1])
