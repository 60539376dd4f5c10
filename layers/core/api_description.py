"""The API's description: one OpenAPI document for both functions, which `make openapi` writes.

Both images carry it, so that either function can answer with the whole of it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from layers.core.identity import AuthMode

PATH = Path(__file__).with_name("openapi.json")
SECURITY: dict[AuthMode, list[dict[str, list[str]]]] = {
    "iam": [{"signature": []}],
    "jwt": [{"token": []}],
    "key": [{"key": []}, {"token": []}],
    "open": [],
}
"""What a request must carry, by the names of security schemes; any one of several."""


@cache
def describe_api(mode: AuthMode) -> str:
    """The document in JSON, which asks for what a stack with that AuthMode asks for."""
    document = json.loads(PATH.read_text(encoding="utf-8"))
    return json.dumps({**document, "security": SECURITY[mode]}, ensure_ascii=False)


def render_page(mode: AuthMode) -> str:
    """A page for browsers that shows the document, with everything that it needs inside."""
    from aws_lambda_powertools.event_handler.openapi import swagger_ui

    folder = Path(swagger_ui.__file__).parent
    script, style = (
        (folder / name).read_text(encoding="utf-8") for name in ("swagger-ui-bundle.min.js", "swagger-ui.min.css")
    )
    # A tag inside a text of the document must not end the script that it is in.
    document = describe_api(mode).replace("</", "<\\/")
    return swagger_ui.generate_swagger_html(document, script, style, "", None)
