"""What happens before the first request."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SETTINGS = {"MODELS_BUCKET": "m", "UPLOADS_BUCKET": "u", "OUTPUTS_BUCKET": "o", "AWS_DEFAULT_REGION": "eu-west-1"}
CODE = """
import functions.swap.app
from functions.swap.services import load_services
print(load_services.cache_info().currsize)
"""


@pytest.mark.parametrize(
    ("where", "calls"),
    [({"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, "1"), ({}, "0")],
    ids=["in Lambda", "elsewhere"],
)
def test_services_are_made_while_lambda_initialises(where: dict[str, str], calls: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    process = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**environment, **SETTINGS, **where},
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout.strip() == calls
