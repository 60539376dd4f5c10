"""Parameters of template.yaml: those that earlier versions had, and what replaces them."""

from __future__ import annotations

from collections.abc import Mapping

from layers.core.operator_settings import OperatorSettings
from tools.template import Template

SETTINGS = {"CacheLatents": "cache_latents", "DailyBudget": "daily_budget"}
"""Former parameters that are settings now (make settings), with the names of these."""
STAGED = ("ResultDays", "LogRetentionDays", "Tracing", "ThrottleRate", "ReservedConcurrency")
"""Former parameters whose values the mapping of stages has now."""


def find_stage(chosen: Mapping[str, str], template: Template) -> str:
    """The stage that parameters choose."""
    return chosen.get("Stage") or str(template["Parameters"]["Stage"]["Default"])


def find_stage_values(chosen: Mapping[str, str], template: Template) -> dict[str, str]:
    """The values of the chosen stage; empty for a stage that does not exist."""
    return dict(template["Mappings"]["Stages"].get(find_stage(chosen, template), {}))


def check_names(chosen: Mapping[str, str], template: Template, settings_command: str) -> list[str]:
    """Names in samconfig.toml that the template lacks: sam leaves them out without a word.

    `settings_command` is what a person types to see the settings.
    """
    sentences = []
    for name, value in chosen.items():
        remove = f"{name} is no longer a parameter. Remove it from parameter_overrides in samconfig.toml"
        if name in SETTINGS:
            sentences.append(f"{remove}; after the deployment, run {_set(settings_command, name, value)}.")
        elif name in STAGED:
            choices = " and ".join(
                f"{values[name]} with Stage={stage}" for stage, values in template["Mappings"]["Stages"].items()
            )
            sentences.append(f"{remove}: it is {choices}. For another value, edit Mappings in template.yaml.")
        elif name not in template["Parameters"]:
            sentences.append(
                f"There is no parameter {name}. Correct it in parameter_overrides in samconfig.toml. The parameters "
                f"are {', '.join(template['Parameters'])}."
            )
    return sentences


def find_lost_values(
    deployed: Mapping[str, str], chosen: Mapping[str, str], template: Template, settings_command: str
) -> list[str]:
    """Values that a stack of an earlier version was deployed with and that this deployment replaces by others."""
    stage, values = find_stage(chosen, template), find_stage_values(chosen, template)
    sentences = []
    for name, value in deployed.items():
        if name in SETTINGS and value != (default := _text(getattr(OperatorSettings(), SETTINGS[name]))):
            sentences.append(
                f"The stack was deployed with {name}={value}, which is a setting now and begins as {default}. After "
                f"the deployment, run {_set(settings_command, name, value)}."
            )
        elif name in STAGED and value != values.get(name):
            sentences.append(
                f"The stack was deployed with {name}={value}; with Stage={stage} it becomes {values.get(name)}. To "
                "keep the former value, edit Mappings in template.yaml before you deploy."
            )
    return sentences


def _set(settings_command: str, name: str, value: str) -> str:
    return f"{settings_command} SET='{SETTINGS[name]}={value}'"


def _text(value: object) -> str:
    return str(value).lower()
