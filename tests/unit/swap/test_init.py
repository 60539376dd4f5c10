"""What happens before the first request."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from layers.core.s3_reader import SPECIAL

SETTINGS = {"MODELS_BUCKET": "m", "UPLOADS_BUCKET": "u", "OUTPUTS_BUCKET": "o", "AWS_DEFAULT_REGION": "eu-west-1"}
KEY = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
IN_LAMBDA = {**KEY, "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}
CODE = """
import sys
import functions.swap.app
from functions.swap.services import make_services
print(make_services.cache_info().currsize, 'boto3' in sys.modules)
"""


@pytest.mark.parametrize(
    ("where", "outcome"),
    [
        ({**IN_LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1768"}, "1 True"),
        ({**IN_LAMBDA, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, "1 False"),
        ({}, "0 False"),
    ],
    ids=["in Lambda, with a part of a processor", "in Lambda, with a whole one", "elsewhere"],
)
def test_services_are_made_while_lambda_initialises(where: dict[str, str], outcome: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not (name.startswith("AWS_") or name in SPECIAL)
    }

    process = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**environment, **SETTINGS, **where},
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout.strip() == outcome
