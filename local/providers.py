"""Which voice and footage services the local stack uses: the real ones if their keys are set, otherwise stand-ins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from local.standins.servers import StandIns

REAL_SERVICES = {
    "ELEVENLABS_API_KEY": "ELEVENLABS_URL",
    "PEXELS_API_KEY": "PEXELS_URL",
    "PIXABAY_API_KEY": "PIXABAY_URL",
}
"""The variable that holds a service's key, and the one that says where the service is."""


@contextmanager
def provider_environment(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Run the stand-ins for the block; the variables that functions need in their environment."""
    with StandIns() as standins:
        yield choose(environment, standins.environment)


def choose(environment: Mapping[str, str], standins: Mapping[str, str]) -> dict[str, str]:
    """The stand-ins' variables, but those of the real service where its key is set in `environment`."""
    variables = dict(standins)
    for key, url in REAL_SERVICES.items():
        if environment.get(key):
            variables[key] = environment[key]
            variables.pop(url, None)
    if "ELEVENLABS_URL" not in variables:
        variables["VOICE_ID"] = environment.get("VOICE_ID", "")
    return variables
