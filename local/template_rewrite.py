"""The only differences between the template that AWS gets and the one that the local cloud gets.

All mechanical: an image function becomes a custom-runtime function that runs the same handler in the project's virtual
environment; a workflow's definition file is put into the template, and a nested stack gets its template's URL, as by
`sam package`; functions are given the address of the emulated AWS and the origins of this machine that they may fetch
from; workflows retry a throttled function under the emulator's name for that error too; the fields of a Distributed Map
that the emulator knows in JSONPath alone are written in that; and CodeDeploy, which the emulator lacks, is left out.
"""

from __future__ import annotations

import importlib.util
import io
import re
import shlex
import zipfile
from pathlib import Path
from typing import Any

from tools.template import Template, load_template, merge_globals

LOCAL_ROOM = 2  # memes of a batch side by side
_PATH = re.compile(r"\{% \$states\.(input|context)\.([\w.]+) %\}")


def choose_client() -> str:
    """The module that asks for events: AWS's own runtime client where its compiled part is, on Linux; else ours."""
    return "awslambdaric" if importlib.util.find_spec("runtime_client") else "local.runtime_client"


def build_bootstrap(root: Path, python: Path, client: str | None = None) -> bytes:
    """A zip whose bootstrap runs a function's handler from the sources at `root`.

    `client` is the module that asks for events, unless `choose_client` chooses.
    """
    lines = [
        "#!/bin/sh",
        f"export PYTHONPATH={shlex.quote(str(root))}",
        f'exec {shlex.quote(str(python))} -m {client or choose_client()} "$_HANDLER"',
    ]
    entry = zipfile.ZipInfo("bootstrap")
    entry.external_attr = 0o755 << 16
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(entry, "\n".join(lines) + "\n")
    return packed.getvalue()


def rewrite(
    template: Template, root: Path, code: tuple[str, str], environment: dict[str, str], nested_url: str = ""
) -> Template:
    """The template for the local cloud; the argument is not changed.

    `root` is the folder that the template's paths are relative to, `code` the bucket and key of `bootstrap`'s zip,
    `nested_url` the URL under which the templates of nested stacks can be fetched by their names, and `environment`
    overrides variables of every function.
    """
    template = merge_globals(template)
    resources = template["Resources"]
    for name in [name for name, each in resources.items() if each["Type"].startswith("AWS::CodeDeploy::")]:
        del resources[name]
    for resource in resources.values():
        resource.pop("UpdatePolicy", None)
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            _run_from_sources(properties, code)
            properties.setdefault("Environment", {}).setdefault("Variables", {}).update(environment)
            resource.pop("Metadata", None)
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            definition = _retry_throttled(load_template(root / properties.pop("DefinitionUri")))
            for state in definition["States"].values():
                if state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
                    _use_json_path(state)
            properties["Definition"] = definition
        elif resource["Type"] == "AWS::CloudFormation::Stack":
            properties["TemplateURL"] = f"{nested_url}/{properties['TemplateURL']}"
    return template


def _use_json_path(state: dict[str, Any]) -> None:
    """Write a Distributed Map's own fields, which are JSONata, in JSONPath; the states inside stay as they are.

    The emulator evaluates no JSONata in them, and takes a number alone for MaxConcurrency.
    """
    if state["Output"] != "{% $states.input %}":
        raise ValueError("a Distributed Map must hand on its input")
    reader = state["ItemReader"]
    reader["Parameters"] = _as_json_path(reader.pop("Arguments"))
    state["ItemSelector"] = _as_json_path(state["ItemSelector"])
    del state["Output"]
    state.update(QueryLanguage="JSONPath", ResultPath=None, MaxConcurrency=LOCAL_ROOM)
    for catcher in state.get("Catch", []):
        if catcher.pop("Output") != "{% $merge([$states.input, {'fault': $states.errorOutput}]) %}":
            raise ValueError("a Distributed Map must put what went wrong under `fault`")
        catcher["ResultPath"] = "$.fault"


def _as_json_path(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields whose values are constants, or paths into the input or the context as JSONata names them."""
    paths = {}
    for name, value in fields.items():
        path = _PATH.fullmatch(str(value))
        if path:
            paths[f"{name}.$"] = ("$." if path[1] == "input" else "$$.") + path[2]
        elif "{%" in str(value):
            raise ValueError(f"{value} is no path, and the emulator evaluates nothing else here")
        else:
            paths[name] = value
    return paths


def _retry_throttled(part: Any) -> Any:
    """A state machine that also retries the error as which the emulator reports a throttled function."""
    if isinstance(part, dict):
        return {
            name: [*each, "Lambda.Unknown"]
            if name == "ErrorEquals" and "Lambda.TooManyRequestsException" in each
            else _retry_throttled(each)
            for name, each in part.items()
        }
    return [_retry_throttled(each) for each in part] if isinstance(part, list) else part


def _run_from_sources(properties: dict[str, Any], code: tuple[str, str]) -> None:
    if properties.get("PackageType") != "Image":
        raise ValueError("every function of the stack is an image")
    del properties["PackageType"]
    (handler,) = properties.pop("ImageConfig")["Command"]
    bucket, key = code
    properties.update(Runtime="provided.al2023", Handler=handler, CodeUri={"Bucket": bucket, "Key": key})
