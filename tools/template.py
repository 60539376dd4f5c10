"""template.yaml as Python sees it, and what `sam build` gets of it."""

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


def buildable(template: Template, root: Path, base: str) -> Template:
    """A copy for `sam build` from anywhere: its images start from `base`, its paths are whole."""
    template = copy.deepcopy(template)
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource["Metadata"].update(DockerContext=str(root), DockerBuildArgs={"BASE_IMAGE": base})
        if definition := resource.get("Properties", {}).get("DefinitionUri"):
            resource["Properties"]["DefinitionUri"] = str(root / definition)
    return template
