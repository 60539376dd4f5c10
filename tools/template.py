"""template.yaml as Python sees it, and as `sam build` gets it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

Template = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short forms."""


def _short_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        if suffix == "GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)


def load_template(path: Path) -> Template:
    """A template (or a part of one) with `!Ref` and its kin in their long forms."""
    with path.open(encoding="utf-8") as file:
        # A SafeLoader that knows CloudFormation's tags, so nothing but plain values can come of it.
        template: Template = yaml.load(file, Loader=_Loader)
    return template


def merge_globals(template: Template) -> Template:
    """A copy in which each function has what the section Globals gives it, as SAM merges them.

    Objects are merged; of anything else the function's own value counts.
    """
    template = copy.deepcopy(template)
    shared = template.pop("Globals", {}).get("Function", {})
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Properties"] = _merged(shared, resource["Properties"])
    return template


def _merged(shared: Any, own: Any) -> Any:
    if not isinstance(shared, dict) or not isinstance(own, dict) or _is_intrinsic(shared) or _is_intrinsic(own):
        return own
    both = {name: _merged(shared[name], own[name]) for name in shared.keys() & own.keys()}
    return copy.deepcopy({**shared, **own, **both})


def _is_intrinsic(value: dict[str, Any]) -> bool:
    return len(value) == 1 and next(iter(value)).startswith(("Ref", "Fn::"))


def list_nested_templates(template: Template) -> dict[str, str]:
    """The files of nested stacks by the logical ids of these."""
    return {
        name: resource["Properties"]["TemplateURL"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::CloudFormation::Stack"
    }


def make_buildable(template: Template, root: Path, base: str) -> Template:
    """A copy for `sam build` from anywhere: its images start from `base`, its paths are whole."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Metadata"].update(DockerContext=str(root), DockerBuildArgs={"BASE_IMAGE": base})
        for place in ("DefinitionUri", "TemplateURL"):
            if path := resource.get("Properties", {}).get(place):
                resource["Properties"][place] = str(root / path)
    return template
