"""Real services where their keys are set, stand-ins for the others."""

from __future__ import annotations

from local.providers import choose

STANDINS = {
    "ELEVENLABS_URL": "http://127.0.0.1:1",
    "PEXELS_URL": "http://127.0.0.1:2",
    "ELEVENLABS_API_KEY": "sk_standin",
    "PEXELS_API_KEY": "standin",
    "VOICE_ID": "standin voice",
    "TRUSTED_ORIGINS": "http://127.0.0.1:3",
}


def test_without_keys_everything_stands_in() -> None:
    assert choose({"PEXELS_API_KEY": "", "HOME": "/"}, STANDINS) == STANDINS


def test_a_service_whose_key_is_set_is_the_real_one() -> None:
    variables = choose({"PEXELS_API_KEY": "mine", "VOICE_ID": "of the real service"}, STANDINS)
    assert variables["PEXELS_API_KEY"] == "mine"
    assert "PEXELS_URL" not in variables
    assert variables["ELEVENLABS_URL"] == STANDINS["ELEVENLABS_URL"]
    assert variables["VOICE_ID"] == "standin voice"


def test_with_the_real_voice_service_goes_its_own_voice() -> None:
    assert choose({"ELEVENLABS_API_KEY": "mine", "VOICE_ID": "v"}, STANDINS)["VOICE_ID"] == "v"
    assert choose({"ELEVENLABS_API_KEY": "mine"}, STANDINS)["VOICE_ID"] == ""
