"""Checks the requests of an n8n workflow against an OpenAPI document; its arguments are the two files.

An expression stands for any text: what n8n puts in its place is known only when it runs.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

API = "{{ $('Settings').first().json.api }}"
EXAMPLE = "https://example.com/picture.jpg"  # what an expression gives in a body


def find_operation(method: str, path: str, document: Any) -> tuple[str, Any]:
    """The path and the operation that a request meets."""
    for template, methods in document["paths"].items():
        if re.fullmatch(re.sub(r"\\{.*?\\}", "[^/]+", re.escape(template)), path) and method.lower() in methods:
            return template, methods[method.lower()]
    raise SystemExit(f"{method} {path} is not described")


def read_pairs(parameters: Any, kind: str) -> dict[str, str]:
    """The names and values of a node's body or headers."""
    pairs = parameters.get(f"{kind}Parameters", {}).get("parameters", [])
    return {each["name"]: EXAMPLE if each["value"].startswith("=") else each["value"] for each in pairs}


def check(node: Any, document: Any) -> str | None:
    """The operation that a node asks for; None if the node does not call the API."""
    parameters = node["parameters"]
    url = parameters.get("url", "").removeprefix("=")
    if node["type"] != "n8n-nodes-base.httpRequest" or not url.startswith(API):
        return None
    path = re.sub(r"\{\{.*?\}\}", "x", url.removeprefix(API))
    method = parameters.get("method", "GET")
    template, operation = find_operation(method, path, document)
    described = {each["name"] for each in operation.get("parameters", []) if each["in"] == "header"}
    if unknown := {name.lower() for name in read_pairs(parameters, "header")} - described:
        raise SystemExit(f"{node['name']}: the headers {unknown} are not described")
    body = operation.get("requestBody")
    if parameters.get("sendBody", False) != bool(body):
        raise SystemExit(f"{node['name']}: a body must be sent where one is described, and only there")
    if body:
        schema = {**body["content"]["application/json"]["schema"], "components": document["components"]}
        mistakes = [each.message for each in Draft202012Validator(schema).iter_errors(read_pairs(parameters, "body"))]
        if mistakes:
            raise SystemExit(f"{node['name']}: {mistakes}")
    return f"{method} {template}"


def main() -> None:
    """Print the operations of the requests, in the workflow's order."""
    workflow, document = (json.loads(Path(each).read_text(encoding="utf-8")) for each in sys.argv[1:3])
    print(json.dumps([name for node in workflow["nodes"] if (name := check(node, document))]))


main()
