"""How a worker starts: only for who has a token, and as soon as there are models."""

from __future__ import annotations

import pytest

from layers.core.errors import ModelsCorrupt, ModelsMissing
from workers.gpu.__main__ import load, main
from workers.gpu.app import Setup


class Swapper:
    """Fails to load as often as there are errors."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    def load(self) -> None:
        if self.errors:
            raise self.errors.pop(0)


def start(*errors: Exception) -> tuple[Setup, list[str]]:
    setup, failures = Setup(), list[str]()
    load(Swapper(*errors), setup, wait=lambda _: failures.append(setup.failure))
    return setup, failures


def test_a_worker_that_comes_before_the_models_waits_for_them() -> None:
    setup, failures = start(ModelsMissing("There is no pack."), ModelsMissing("There is no pack."))
    assert failures == ["models_missing: There is no pack."] * 2
    assert (setup.ready, setup.failure) == (True, "")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ModelsCorrupt("A digest differs."), "models_corrupt: A digest differs."),
        (KeyError("x"), "internal_error: KeyError"),
    ],
)
def test_what_does_not_pass_by_itself_is_left_to_the_operator(error: Exception, failure: str) -> None:
    setup, waits = start(error)
    assert (setup.ready, setup.failure, waits) == (False, failure, [])


def test_a_worker_without_a_token_serves_nobody_but_its_own_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WORKER_TOKEN", raising=False)
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert main([]) == 2
    assert "WORKER_TOKEN" in capsys.readouterr().err
