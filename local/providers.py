"""Where the local stack gets voice and footage: the real services where their keys are set, else stand-ins."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from local.standins.servers import StandIns

REAL = {"ELEVENLABS_API_KEY": "ELEVENLABS_URL", "PEXELS_API_KEY": "PEXELS_URL"}
"""The variable that holds a service's key, and the one that says where the service is."""


@contextmanager
def provider_environment(environment: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """What functions need in their environment, while the stand-ins run."""
    with StandIns() as standins:
        yield choose(environment, standins.environment)


def choose(environment: Mapping[str, str], standins: Mapping[str, str]) -> dict[str, str]:
    """The stand-ins' variables, with those of each service whose key is set in `environment` replaced."""
    chosen = dict(standins)
    for key, url in REAL.items():
        if environment.get(key):
            chosen[key] = environment[key]
            del chosen[url]
    if "ELEVENLABS_URL" not in chosen:
        chosen["VOICE_ID"] = environment.get("VOICE_ID", "")
    return chosen
