"""What the OpenAPI document says of forms and pictures, which powertools cannot: it knows one media type for a body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.swap.entry.form import FILE_FIELDS, FORM
from layers.media.formats import MEDIA_TYPES

_FILE = {"type": "string", "format": "binary"}
# /faces and /verify take forms too. A client that openapi-python-client generates could not be imported if the document
# said so: with two kinds of body and no optional header, it leaves out an import (0.29.1).
_AS_FORM = ("/swap",)  # POST
_AS_PICTURE = (("/swap", "post"), ("/swap/{name}", "get"))

Schema = dict[str, Any]


def describe_media(document: Schema) -> Schema:
    """The OpenAPI document with forms as a second kind of body, and pictures as a second kind of answer."""
    schemas = document["components"]["schemas"]
    for path in _AS_FORM:
        content = document["paths"][path]["post"]["requestBody"]["content"]
        body = schemas[content["application/json"]["schema"]["$ref"].rpartition("/")[2]]
        content[FORM] = {"schema": _describe_form(body)}
    for path, method in _AS_PICTURE:
        responses = document["paths"][path][method]["responses"]
        responses["200"]["content"] |= {each: {"schema": dict(_FILE)} for each in MEDIA_TYPES.values()}
        link = {"description": "where the picture is", "schema": {"type": "string"}}
        responses["303"] = {
            "description": "the picture was asked for, and is too large for an answer: it is at Location",
            "headers": {"Location": link},
            "content": {"application/json": {"schema": responses["200"]["content"]["application/json"]["schema"]}},
        }
    return document


def _describe_form(body: Mapping[str, Any]) -> Schema:
    """The schema of a form with these fields: one that takes a URI also takes a file, or several if it has a list."""
    properties = {
        name: _describe_file(schema) if name in FILE_FIELDS else schema for name, schema in body["properties"].items()
    }
    return {**{key: value for key, value in body.items() if key != "title"}, "properties": properties}


def _describe_file(schema: Mapping[str, Any]) -> Schema:
    most = max((each.get("maxItems", 0) for each in schema.get("anyOf", ())), default=0)
    kind = {"type": "array", "items": dict(_FILE), "minItems": 1, "maxItems": most} if most else dict(_FILE)
    return {**kind, "description": f"a file, or text: {schema['description']}"}
