"""What the environment decides for the video function, read once and typed: template.yaml sets every variable. The
rest is up to the operator (operator_settings.py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from functions.video.limits import VideoLimits
from layers.core.cpu_count import thread_count
from layers.core.identity import AuthMode, auth_mode
from layers.core.operator_settings import OperatorSettings, SettingsReader


@dataclass(frozen=True, kw_only=True)
class VideoSettings(VideoLimits):
    """Times in seconds, sizes in bytes, pixels or characters."""

    outputs_bucket: str  # finished videos under videos/, intermediate files under work/
    models_bucket: str  # a typeface of the operator's own under fonts/; "": there is none
    uploads_bucket: str  # callers' own files under requests/CALLER/; "": there are none
    state_table: str  # DynamoDB table (key `id`, time to live `expiration`) of tasks and slots
    state_machine_arn: str
    max_concurrent_tasks: int
    provider_keys: str  # ARN of a Secrets Manager secret or an SSM parameter; "" looks only at the environment
    elevenlabs_url: str
    pexels_url: str
    pixabay_url: str
    trusted_origins: frozenset[str]  # "scheme://host:port", beside the public internet; empty in AWS
    result_seconds: int  # how long a finished video is kept
    threads: int  # of ffmpeg
    auth_mode: AuthMode = "iam"  # how the HTTP API learns who calls
    signing_key: str = ""  # ARN of the secret by which results are signed; "" for a key of each process's own
    operator_settings: Callable[[], OperatorSettings] = OperatorSettings  # as they are at the moment

    @property
    def daily_budget(self) -> int:
        """Seconds of video that one caller may request in a day; 0: unlimited.

        Raises SafeguardFailed or StorageFailed.
        """
        return self.operator_settings().daily_budget

    @staticmethod
    def read(env: Mapping[str, str]) -> VideoSettings:
        """Raises ValueError naming the variable that is wrong, so that a bad deployment fails at its first start."""
        missing = [name for name in ("OUTPUTS_BUCKET", "STATE_TABLE", "STATE_MACHINE_ARN") if not env.get(name)]
        if missing:
            raise ValueError(f"not set: {', '.join(missing)}")
        return VideoSettings(
            outputs_bucket=env["OUTPUTS_BUCKET"],
            models_bucket=env.get("MODELS_BUCKET", ""),
            uploads_bucket=env.get("UPLOADS_BUCKET", ""),
            state_table=env["STATE_TABLE"],
            state_machine_arn=env["STATE_MACHINE_ARN"],
            max_concurrent_tasks=_positive(env, "MAX_CONCURRENT_TASKS", 2),
            provider_keys=env.get("PROVIDER_KEYS", ""),
            elevenlabs_url=env.get("ELEVENLABS_URL") or "https://api.elevenlabs.io",
            pexels_url=env.get("PEXELS_URL") or "https://api.pexels.com",
            pixabay_url=env.get("PIXABAY_URL") or "https://pixabay.com",
            trusted_origins=frozenset(origin for origin in env.get("TRUSTED_ORIGINS", "").split(",") if origin),
            result_seconds=_positive(env, "RESULT_DAYS", 7) * 24 * 3600,
            threads=thread_count(env),
            auth_mode=auth_mode(env.get("AUTH_MODE") or "iam"),
            signing_key=env.get("SIGNING_KEY", ""),
            operator_settings=SettingsReader(env.get("SETTINGS_PARAMETER", "")),
        )


def _positive(env: Mapping[str, str], name: str, default: int) -> int:
    number = env.get(name) or str(default)
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, not {number!r}")
    return int(number)


@cache
def load_settings() -> VideoSettings:
    """The process's settings."""
    return VideoSettings.read(os.environ)
