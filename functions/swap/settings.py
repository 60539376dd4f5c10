"""What the environment decides, read once and typed: template.yaml sets every variable. The rest is up to the operator
(operator_settings.py)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from functions.swap.limits import SwapLimits
from layers.core.cpu_count import thread_count
from layers.core.identity import AuthMode, auth_mode
from layers.core.operator_settings import OperatorSettings, SettingsReader


@dataclass(frozen=True, kw_only=True)
class Settings(SwapLimits):
    """Buckets by name, times in seconds, sizes in bytes or pixels."""

    models_bucket: str
    uploads_bucket: str
    outputs_bucket: str
    default_face: str  # URI of the face for uploads and bare requests; "" when there is none
    model_retention: Literal["container", "request"]
    trusted_origins: frozenset[str]  # "scheme://host:port", beside the public internet; empty in AWS
    state_table: str  # DynamoDB table of powertools' idempotency; "" turns idempotency off
    state_machine_arn: str  # runs swaps asked for with Prefer: respond-async; "" turns that off
    moving_machine_arn: str = ""  # swaps moving memes; "" turns that off
    batch_machine_arn: str = ""  # swaps batches; "" turns that off
    threads: int  # of every inference session
    auth_mode: AuthMode = "iam"  # how the HTTP API learns who calls
    result_seconds: int = 7 * 24 * 3600  # how long a result is kept
    reserved_concurrency: int = 0  # sandboxes that this function may have; 0 for what the account has left
    remote_swapper: str = ""  # ARN of the secret that says what runs the swapper elsewhere; "" for nothing
    signing_key: str = ""  # ARN of the secret by which results are signed; "" for a key of each process's own
    operator_settings: Callable[[], OperatorSettings] = OperatorSettings  # as they are at the moment
    memory_mb: int = 512  # of the sandbox; Lambda sets it itself
    detection_size: int = 512  # side in pixels of the square whose area a picture has as the detector sees it

    @property
    def cache_latents(self) -> bool:
        """Whether latents of faces other than the default one are kept. Raises SafeguardFailed or StorageFailed."""
        return self.operator_settings().cache_latents

    @property
    def daily_budget(self) -> int:
        """Megapixels that one caller of the HTTP API may request in a day; 0: unlimited.

        Raises SafeguardFailed or StorageFailed.
        """
        return self.operator_settings().daily_budget

    @staticmethod
    def read(env: Mapping[str, str]) -> Settings:
        """Raises ValueError naming the variable that is wrong, so that a bad deployment fails at its first start."""
        retention = env.get("MODEL_RETENTION", "container")
        if retention not in ("container", "request"):
            raise ValueError(f"MODEL_RETENTION must be container or request, not {retention!r}")
        missing = [name for name in ("MODELS_BUCKET", "UPLOADS_BUCKET", "OUTPUTS_BUCKET") if not env.get(name)]
        if missing:
            raise ValueError(f"not set: {', '.join(missing)}")
        return Settings(
            models_bucket=env["MODELS_BUCKET"],
            uploads_bucket=env["UPLOADS_BUCKET"],
            outputs_bucket=env["OUTPUTS_BUCKET"],
            default_face=env.get("DEFAULT_FACE", ""),
            model_retention="request" if retention == "request" else "container",
            trusted_origins=frozenset(origin for origin in env.get("TRUSTED_ORIGINS", "").split(",") if origin),
            state_table=env.get("STATE_TABLE", ""),
            state_machine_arn=env.get("STATE_MACHINE_ARN", ""),
            moving_machine_arn=env.get("MOVING_MACHINE_ARN", ""),
            batch_machine_arn=env.get("BATCH_MACHINE_ARN", ""),
            threads=thread_count(env),
            auth_mode=auth_mode(env.get("AUTH_MODE") or "iam"),
            result_seconds=int(env.get("RESULT_DAYS") or 7) * 24 * 3600,
            reserved_concurrency=int(env.get("RESERVED_CONCURRENCY") or 0),
            remote_swapper=env.get("REMOTE_SWAPPER", ""),
            signing_key=env.get("SIGNING_KEY", ""),
            operator_settings=SettingsReader(env.get("SETTINGS_PARAMETER", "")),
            memory_mb=int(env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")),
        )


@cache
def load_settings() -> Settings:
    """The process's settings."""
    return Settings.read(os.environ)
