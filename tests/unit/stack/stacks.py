"""A stack as CloudFormation would make it of a translated template: parameters and conditions filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

REGION = "cn-north-1"  # of a partition of its own, so that no ARN is right by chance
PSEUDO = {
    "AWS::StackName": "stack",
    "AWS::AccountId": "123456789012",
    "AWS::Region": REGION,
    "AWS::Partition": "aws-cn",
    "AWS::URLSuffix": "amazonaws.com.cn",
}
NO_VALUE = {"Ref": "AWS::NoValue"}
VARIABLE = re.compile(r"\$\{([^!}][^}]*)\}")


@dataclass(frozen=True)
class Stack:
    """One translated template with values for its parameters."""

    template: Mapping[str, Any]
    parameters: Mapping[str, Any]  # those of a nested stack may refer to what is in the stack above it

    def nested(self, name: str, template: Mapping[str, Any]) -> Stack:
        """The nested stack with that logical id, whose parameters are what this one gives it."""
        return Stack(template, self.resources[name]["Properties"]["Parameters"])

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources whose conditions hold, with their properties filled in."""
        return {
            name: self._filled(each)
            for name, each in self.template["Resources"].items()
            if "Condition" not in each or self._holds(each["Condition"])
        }

    @cached_property
    def outputs(self) -> dict[str, Any]:
        """The outputs whose conditions hold, by name."""
        return {
            name: self._filled(each["Value"])
            for name, each in self.template["Outputs"].items()
            if "Condition" not in each or self._holds(each["Condition"])
        }

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Properties by name."""
        return {name: each["Properties"] for name, each in self.resources.items() if each["Type"] == kind}

    def _holds(self, condition: str) -> bool:
        return bool(self._evaluate(self.template["Conditions"][condition]))

    def _evaluate(self, rule: Any) -> bool:
        ((operator, operands),) = rule.items()
        if operator == "Condition":
            return self._holds(operands)
        if operator == "Fn::Equals":
            first, second = (str(self._filled(each)) for each in operands)
            return first == second
        values = [self._evaluate(each) for each in operands]
        return {"Fn::Not": lambda: not values[0], "Fn::And": lambda: all(values), "Fn::Or": lambda: any(values)}[
            operator
        ]()

    def _filled(self, value: Any) -> Any:
        if isinstance(value, list):
            return [each for each in map(self._filled, value) if each != NO_VALUE]
        if isinstance(value, str) or not isinstance(value, dict):
            return value
        if "Fn::If" in value:
            condition, then, otherwise = value["Fn::If"]
            return self._filled(then if self._holds(condition) else otherwise)
        if "Fn::FindInMap" in value:
            mapping, row, column = (self._filled(each) for each in value["Fn::FindInMap"])
            return self.template["Mappings"][mapping][row][column]
        if "Ref" in value:
            values = {**PSEUDO, **self.parameters}
            return values.get(value["Ref"], value)
        if "Fn::Sub" in value:
            return self._substituted(value["Fn::Sub"])
        filled = {name: self._filled(each) for name, each in value.items()}
        return {name: each for name, each in filled.items() if each != NO_VALUE}

    def _substituted(self, value: Any) -> Any:
        text, own = value if isinstance(value, list) else (value, {})
        values = {**PSEUDO, **self.parameters}
        text = VARIABLE.sub(lambda match: _as_text(values.get(match[1], match[0])), text)
        inner = {name: self._filled(each) for name, each in own.items()}
        if not VARIABLE.search(text):
            return text
        return {"Fn::Sub": [text, inner] if inner else text}


def _as_text(value: Any) -> str:
    """A value inside Fn::Sub; a reference stays one."""
    match value:
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
    return str(value)


def references(value: Any) -> Iterator[str]:
    """Names of resources that a value refers to, by whatever function."""
    if isinstance(value, list):
        for each in value:
            yield from references(each)
    elif isinstance(value, dict):
        if "Ref" in value:
            yield str(value["Ref"])
        elif "Fn::GetAtt" in value:
            target = value["Fn::GetAtt"]
            yield target.partition(".")[0] if isinstance(target, str) else str(target[0])
        elif "Fn::Sub" in value:
            text, own = value["Fn::Sub"] if isinstance(value["Fn::Sub"], list) else (value["Fn::Sub"], {})
            yield from (name.partition(".")[0] for name in VARIABLE.findall(text) if name not in own)
            yield from references(own)
        else:
            for each in value.values():
                yield from references(each)


def strings(value: Any) -> Iterator[str]:
    """Every text in a value, names included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from strings(each)
