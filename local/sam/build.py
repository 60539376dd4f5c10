"""`sam build` of template.yaml, and what the images that come of it weigh."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local.cloud import CREDENTIALS, REGION, ROOT
from local.sam.docker_engine import Engine
from tools.template import Template, buildable, load_template

FOLDER = ROOT / ".aws-sam"
BUILT = FOLDER / "build/template.yaml"
SAM = ROOT / ".venv-lint/bin/sam"


class BuildFailed(Exception):
    """`sam build` did not succeed; the message is the end of what it said."""


def functions(template: Template) -> dict[str, Any]:
    """The template's functions by their logical ids, without what only a parameter brings into a stack."""
    return {name: each for name, each in _images(template).items() if "Condition" not in each}


def image(function: Mapping[str, Any], name: str) -> str:
    """What `sam build` calls the image of a function."""
    return f"{name.lower()}:{function['Metadata']['DockerTag']}"


def runnable(built: Template, environment: Mapping[str, Mapping[str, str]]) -> Template:
    """A copy to run with `sam local`, with each function's environment by logical id."""
    template = copy.deepcopy(built)
    for name, function in functions(template).items():
        properties = function["Properties"]
        properties["Environment"] = {"Variables": dict(environment.get(name, {}))}
        properties["Events"] = {}  # the local cloud has them
    return template


def build(engine: Engine, base: str) -> Template:
    """Builds the functions' images; the template that names them. Raises BuildFailed."""
    FOLDER.mkdir(exist_ok=True)
    source = FOLDER / "buildable.json"
    template = buildable(load_template(ROOT / "template.yaml"), ROOT, base)
    source.write_text(json.dumps(template, indent=2))
    command = [str(SAM), "build", "--template-file", str(source), "--build-dir", str(BUILT.parent)]
    done = subprocess.run(command, env=environment(engine), capture_output=True, text=True, cwd=FOLDER)
    if done.returncode:
        raise BuildFailed(f"sam build:\n{(done.stdout + done.stderr)[-4000:]}")
    return load_template(BUILT)


def environment(engine: Engine) -> dict[str, str]:
    """Of every run of sam: nothing leaves this machine, and no credentials of this machine's are used."""
    own = {name: value for name, value in engine.environment.items() if not name.startswith("AWS_")}
    return {**own, **CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "SAM_CLI_TELEMETRY": "0", "DOCKER_BUILDKIT": "0"}


def sizes(engine: Engine, template: Template) -> dict[str, int]:
    """Bytes of each function's image, unpacked, by the folder of its sources."""
    found = {}
    for name, function in functions(template).items():
        folder = Path(function["Metadata"]["Dockerfile"]).parent.name
        said = engine.docker("image", "inspect", image(function, name), "--format", "{{.Size}}")
        found[folder] = int(said)
    return found


def _images(template: Template) -> dict[str, Any]:
    resources = template["Resources"]
    return {name: each for name, each in resources.items() if each["Type"] == "AWS::Serverless::Function"}


def layers(engine: Engine, name: str) -> list[tuple[int, str]]:
    """Bytes and origin of each layer of an image that is not empty, the base first."""
    said = engine.docker("history", "--no-trunc", "--human=false", "--format", "{{.Size}}\t{{.CreatedBy}}", name)
    rows = [line.partition("\t") for line in said.splitlines()]
    return [(int(size), made[:100] or "the base image") for size, _, made in reversed(rows) if int(size)]
