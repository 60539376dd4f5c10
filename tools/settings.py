"""`make settings`: what an operator tunes without a deployment.

`python -m tools.settings [--set 'NAME=VALUE …'] [--reset]`. Without either it shows every setting with its value, its
default and what it does. The functions use a change within a minute.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from layers.core.operator_settings import OperatorSettings
from tools.stack import describe_stack, read_stack_name

DEFAULT = "default"  # NAME=default takes a setting back to its default
WIDTH = 100


class SettingsRefused(Exception):
    """Nothing was changed; the message says why and what to do."""


class SettingsDocument:
    """The SSM parameter of a stack.

    SSM has no conditional write, but numbers the versions of a parameter: where somebody else's version came between
    reading and writing, the change is made anew to that version.
    """

    def __init__(self, ssm: Any, stack: str, command: str = "make settings") -> None:
        """`ssm`: boto3's client; `command`: what a person types to see the settings of this stack."""
        self._ssm = ssm
        self._command = command
        self.name = f"/{stack}/settings"

    def read(self) -> OperatorSettings:
        """The present settings. Raises SettingsRefused for a document that cannot be read, and botocore's errors."""
        return self._read()[0]

    def change(self, how: Callable[[OperatorSettings], OperatorSettings]) -> OperatorSettings:
        """Write what `how` makes of the settings. Raises SettingsRefused and botocore's errors."""
        before, version = self._read()
        while True:
            after = how(before)
            written = self._write(after)
            if written == version + 1:
                return after
            before, version = self._read(written - 1)[0], written

    def reset(self) -> OperatorSettings:
        """Write the defaults, whatever was there. Raises botocore's errors."""
        self._write(OperatorSettings())
        return OperatorSettings()

    def _write(self, settings: OperatorSettings) -> int:
        """The number of the new version."""
        answer = self._ssm.put_parameter(Name=self.name, Value=settings.text(), Type="String", Overwrite=True)
        return int(answer["Version"])

    def _read(self, version: int | None = None) -> tuple[OperatorSettings, int]:
        """The settings of a version, by default the newest, and its number."""
        name = self.name if version is None else f"{self.name}:{version}"
        try:
            parameter = self._ssm.get_parameter(Name=name)["Parameter"]
        except self._ssm.exceptions.ParameterNotFound:
            raise SettingsRefused(
                f"There is no SSM parameter {self.name}. A deployment of version 0.2.0 or newer creates it; if it was "
                f"deleted since, {self._command} RESET=1 writes it again."
            ) from None
        try:
            return OperatorSettings.parse(parameter["Value"]), int(parameter["Version"])
        except ValueError as error:
            raise SettingsRefused(
                f"The functions cannot read the settings and refuse to work: {error} The SSM parameter {self.name} "
                f"contains {parameter['Value']!r}. Correct it there, or go back to the defaults: "
                f"{self._command} RESET=1."
            ) from None


def parse_changes(text: str) -> dict[str, Any]:
    """Read `NAME=VALUE NAME=VALUE`, separated by blanks or commas. Raises SettingsRefused for what is not that."""
    changes: dict[str, Any] = {}
    for pair in shlex.split(text.replace(",", " ")):
        name, separator, value = pair.partition("=")
        if not separator or not value:
            raise SettingsRefused(f"{pair} is not NAME=VALUE.")
        if name in changes:
            raise SettingsRefused(f"{name} is set twice.")
        changes[name] = _value(name, value)
    if not changes:
        raise SettingsRefused("Nothing to set: write SET='NAME=VALUE'.")
    return changes


def _value(name: str, text: str) -> Any:
    """What a person typed, as JSON has it; text that is neither is left to the check of the settings."""
    if text == DEFAULT:
        return getattr(OperatorSettings(), name, text)
    try:
        return json.loads(text)
    except ValueError:
        return text


def format_table(settings: OperatorSettings) -> str:
    """Every setting with its value, its default and what it does."""
    lines = []
    for each in fields(OperatorSettings):
        value, default = (json.dumps(part) for part in (getattr(settings, each.name), each.default))
        lines.append(f"{each.name} = {value}" + (f" (default {default})" if value != default else " (the default)"))
        lines.append(textwrap.indent(textwrap.fill(each.metadata["help"], WIDTH), "    "))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    options = _parser().parse_args(arguments)
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    session, stack = boto3.session.Session(), read_stack_name(options.env)
    command = "make settings" if options.env == "default" else f"make settings ENV={options.env}"
    try:
        document = SettingsDocument(session.client("ssm"), stack, command)
        if options.reset:
            if (
                describe_stack(session.client("cloudformation"), stack) is None
            ):  # the parameter would be in its way later
                raise SettingsRefused(f"There is no stack {stack}.")
            settings = document.reset()
        elif options.set is not None:
            settings = document.change(_changing(parse_changes(options.set)))
        else:
            settings = document.read()
    except SettingsRefused as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    print(format_table(settings))
    if options.reset or options.set is not None:
        print("\nThe functions use these settings within a minute.")
    return 0


def _changing(changes: Mapping[str, Any]) -> Callable[[OperatorSettings], OperatorSettings]:
    def change(before: OperatorSettings) -> OperatorSettings:
        try:
            return before.changed(changes)
        except ValueError as error:
            raise SettingsRefused(str(error)) from None

    return change


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make settings", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--set", metavar="'NAME=VALUE …'", help=f"change settings; NAME={DEFAULT} for the default")
    what.add_argument("--reset", action="store_true", help="go back to the defaults, even from a damaged document")
    return parser


if __name__ == "__main__":
    sys.exit(main())
