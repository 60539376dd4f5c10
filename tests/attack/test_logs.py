"""That the search through what is logged, by the functions of local clouds and by every test, finds something."""

from __future__ import annotations

import base64
import json
import logging
import os

import numpy as np
import pytest

from layers.core import telemetry
from tests.conftest import Watch
from tests.support.log_leaks import find_leaks

LINE = {"level": "INFO", "message": "swapped", "key": "swaps/018f.jpg", "digests": {"meme": "ab" * 32}, "ms": 12.5}
LINK = "https://coldswap-outputs.s3.amazonaws.com/swaps/a.jpg"
PLANTED = {
    "a picture": f"data:image/png;base64,{base64.b64encode(os.urandom(60)).decode()}",
    "a picture without its scheme": base64.b64encode(os.urandom(400)).decode(),
    "a latent as the models bucket has it": base64.b64encode(np.ones(512, np.float32).tobytes()).decode(),
    "a latent as JSON": json.dumps(np.linspace(-1, 1, 512).tolist()),
    "a latent as numpy prints it": str(np.random.default_rng(1).normal(size=512).astype(np.float32)),
    "a private key": "-----BEGIN EC PRIVATE KEY-----",
    "a link's signature": f"{LINK}?X-Amz-Signature=abc",
    "a source with its query": "https://pictures.example/me.png?token=1",
    "a webhook's secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "an API key": "ck_" + "A-_9" * 10 + "abc",
    "a script": "The sea was here before us.",
}


@pytest.mark.parametrize("what", PLANTED)
def test_what_is_planted_is_found(what: str) -> None:
    line = json.dumps({**LINE, "detail": PLANTED[what]})

    assert find_leaks(f"{json.dumps(LINE)}\n{line}\n", [PLANTED["a script"]]) != []


@pytest.mark.parametrize("what", [name for name in PLANTED if name != "a script"])
def test_what_a_test_makes_our_code_log_is_found(watch: Watch, what: str) -> None:
    telemetry.logger().info("swapped", extra={"detail": PLANTED[what]})

    assert watch.take() != []


def test_what_others_log_is_found_and_a_trace_too(watch: Watch) -> None:
    logging.getLogger("botocore").warning("Retrying %s", PLANTED["a source with its query"])
    assert watch.take() != []

    try:
        raise ValueError(PLANTED["a private key"])
    except ValueError:
        telemetry.logger().exception("unforeseen")
    assert watch.take() != []


def test_an_ordinary_line_is_no_leak() -> None:
    assert find_leaks(json.dumps({**LINE, "detail": f"{LINK} answered 500."}), [PLANTED["a script"]]) == []
