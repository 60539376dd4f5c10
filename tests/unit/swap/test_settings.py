"""The swap function's settings, read from the environment."""

from __future__ import annotations

import pytest

from functions.swap.settings import Settings

ENVIRONMENT = {"MODELS_BUCKET": "m", "UPLOADS_BUCKET": "u", "OUTPUTS_BUCKET": "o"}


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_setting_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings.read({**ENVIRONMENT, name: ""})


def test_settings_have_defaults_and_trust_nobody() -> None:
    settings = Settings.read(ENVIRONMENT)
    assert settings.detection_size == 512
    assert settings.model_retention == "container"
    assert settings.trusted_origins == frozenset()
    assert settings.threads >= 1


def test_a_setting_that_is_wrong_is_refused() -> None:
    with pytest.raises(ValueError, match="MODEL_RETENTION"):
        Settings.read({**ENVIRONMENT, "MODEL_RETENTION": "for ever"})
