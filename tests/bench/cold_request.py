"""One process of the cold swap: Lambda's start and its first request, with all that happens noted. cold.py runs it:

    python -m tests.bench.cold_request new|default OUT.json

The request is POST /swap through the handler; its pictures come by HTTP. The face is a new one, or the stack's default.
Until the timeline watches, nothing is imported that is not Python's own.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from tests.bench import PICTURE, UPLOADS
from tests.bench.timeline import Timeline


class Context:
    """The context of an invocation."""

    aws_request_id = "11111111-2222-3333-4444-555555555555"
    function_name = "swap"
    memory_limit_in_mb = 1769
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:swap"

    def get_remaining_time_in_millis(self) -> int:
        """As on Lambda."""
        return 120_000


def make_event(body: str) -> dict[str, Any]:
    """The event of POST /swap (HTTP API, payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/swap",
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "http": {"method": "POST", "path": "/swap", "sourceIp": "192.0.2.1"},
            "requestId": "request",
            "stage": "$default",
        },
        "isBase64Encoded": False,
        "body": body,
    }


def main() -> None:
    """Make the swap and write what happened when."""
    timeline = Timeline()
    timeline.watch()
    from functions.swap import app  # Lambda's INIT

    initialised = timeline.now()
    import json
    from pathlib import Path

    picture = f"{os.environ['AWS_ENDPOINT_URL']}/{UPLOADS}/{PICTURE}"
    request = {"meme": picture, "format": "png", **({"face": picture} if sys.argv[1] == "new" else {})}
    answer = app.handler(make_event(json.dumps(request)), Context())
    answered, cpu = timeline.now(), sum(os.times()[:2])
    assert answer is not None
    assert answer["statusCode"] == 200, answer
    result = json.loads(answer["body"])
    assert [face["swapped"] for face in result["faces"]] == [True]
    models = app.load_services().models
    report = {
        "begun": timeline.begun,
        "initialised": initialised,
        "answered": answered,
        "cpu": cpu,
        "imports": timeline.imports,
        "spans": timeline.spans,
        "downloads": [
            {
                "model": model,
                "blob": blob.name,
                "key": blob.key,
                "bytes": blob.size,
                "asked": timeline.asked[blob.sha256],
                "pieces": timeline.pieces[blob.sha256],
            }
            for model, entry in models.manifest.models.items()
            for blob in entry.blobs
            if blob.sha256 in timeline.asked
        ],
        "bytes_in_vain": result["bytes_in_vain"],
        "engine": result["engine"],
    }
    Path(sys.argv[2]).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
