"""`sam build` of template.yaml, and the sizes of its images."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.cloud import CREDENTIALS, REGION, ROOT
from local.sam.docker_engine import Engine
from tools.template import Template, list_nested_templates, load_template, make_buildable

FOLDER = ROOT / ".aws-sam"
BUILT = FOLDER / "build/template.yaml"
SAM = ROOT / ".venv-lint/bin/sam"
BINARY_TYPES = "x-amazon-apigateway-binary-media-types"  # of a REST API's description; sam reads it of any


class BuildFailed(Exception):
    """`sam build` failed; the message is the end of its output."""


def functions(template: Template) -> dict[str, Any]:
    """The template's functions by logical id, without those that exist only under a condition."""
    return {name: each for name, each in _images(template).items() if "Condition" not in each}


def image_name(function: Mapping[str, Any], name: str) -> str:
    """The name that `sam build` gives a function's image."""
    return f"{name.lower()}:{function['Metadata']['DockerTag']}"


def make_runnable(template: Template, environment: Mapping[str, Mapping[str, str]]) -> Template:
    """A copy of a built template to run with `sam local`, with each function's environment by logical id.

    Nested stacks are left out: nothing in them runs. Forms are declared binary: an HTTP API hands on every body that is
    not text in base64, whereas sam would read it as UTF-8, and fail.
    """
    copied = copy.deepcopy(template)
    for api in (each for each in copied["Resources"].values() if each["Type"] == "AWS::ApiGatewayV2::Api"):
        api["Properties"]["Body"] = {"openapi": "3.0.1", "paths": {}, BINARY_TYPES: ["multipart/form-data"]}
    for name in list_nested_templates(copied):
        del copied["Resources"][name]
    for name, function in functions(copied).items():
        properties = function["Properties"]
        properties["Environment"] = {"Variables": dict(environment.get(name, {}))}
        properties["Events"] = {}  # the local cloud has those
    return copied


def build(engine: Engine, base: str) -> Template:
    """Build the functions' images; the template that names them. Raises BuildFailed."""
    FOLDER.mkdir(exist_ok=True)
    source = FOLDER / "buildable.json"
    template = make_buildable(load_template(ROOT / "template.yaml"), ROOT, base)
    source.write_text(json.dumps(template, indent=2))
    command = [str(SAM), "build", "--template-file", str(source), "--build-dir", str(BUILT.parent)]
    result = subprocess.run(command, env=environment(engine), capture_output=True, text=True, cwd=FOLDER)
    if result.returncode:
        raise BuildFailed(f"sam build:\n{(result.stdout + result.stderr)[-4000:]}")
    return load_template(BUILT)


def environment(engine: Engine) -> dict[str, str]:
    """Environment of every run of sam: without telemetry, and without this machine's AWS credentials."""
    own = {name: value for name, value in engine.environment.items() if not name.startswith("AWS_")}
    return {**own, **CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "SAM_CLI_TELEMETRY": "0", "DOCKER_BUILDKIT": "0"}


def image_sizes(engine: Engine, template: Template) -> dict[str, int]:
    """Bytes of each function's unpacked image, by the folder of its sources."""
    sizes = {}
    for name, function in functions(template).items():
        folder = Path(function["Metadata"]["Dockerfile"]).parent.name
        output = engine.docker("image", "inspect", image_name(function, name), "--format", "{{.Size}}")
        sizes[folder] = int(output)
    return sizes


def _images(template: Template) -> dict[str, Any]:
    resources = template["Resources"]
    return {name: each for name, each in resources.items() if each["Type"] == "AWS::Serverless::Function"}


def image_layers(engine: Engine, name: str) -> list[tuple[int, str]]:
    """Size in bytes and origin of each layer of an image that is not empty, the base first."""
    output = engine.docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", name)
    rows = [line.partition("\t") for line in output.splitlines()]
    return [(int(size), origin[:100] or "the base image") for size, _, origin in reversed(rows) if int(size)]
