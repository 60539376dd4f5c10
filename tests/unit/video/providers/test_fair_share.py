"""What callers share of the operator's keys: half each while several ask, all where one is alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.video.providers.choice import HOUR, footage_service, voice_service
from functions.video.providers.fair_share import SharedFootage, SharedVoice
from functions.video.providers.keys import ProviderKeys
from functions.video.render.alignment import Speech
from functions.video.values import VoiceIdentity
from layers.core.deadline import Deadline
from layers.core.errors import AtCapacity, KeysMissing
from tests.unit.video.fake_stack import BODY, OTHER, FakeVideoStack

KEYS = {"PEXELS_API_KEY": "p", "ELEVENLABS_API_KEY": "e"}


class FakeFootageService:
    """A footage service that finds nothing."""

    name = "fake"
    searches = 0

    def search(
        self, query: str, *, orientation: str, count: int, deadline: Deadline, locale: str | None = None
    ) -> list[Any]:
        self.searches += 1
        return []


class FakeVoiceService:
    """A voice service whose speech is the text itself."""

    longest_request, identity, obeys_breaks = 100, VoiceIdentity("fake", "m", "mp3"), True

    def speak(self, text: str, **_: Any) -> Speech:
        return Speech(text.encode(), None)


def search(stack: FakeVideoStack, caller: str, whole: int = 4) -> FakeFootageService:
    """One search on behalf of a caller."""
    service = FakeFootageService()
    shared_service = SharedFootage(service, stack.services.quota("Pexels", whole, HOUR), caller)
    shared_service.search("sea", orientation="portrait", count=1, deadline=Deadline.after(9))
    return service


def test_who_is_alone_may_search_as_often_as_the_service_allows(stack: FakeVideoStack) -> None:
    for _ in range(4):
        assert search(stack, "ann").searches == 1


def test_while_another_searches_too_nobody_has_more_than_half(stack: FakeVideoStack) -> None:
    search(stack, "ben")
    for _ in range(2):
        search(stack, "ann")

    with pytest.raises(AtCapacity, match="Pexels") as refusal:
        search(stack, "ann")

    assert 0 < refusal.value.extra["retry_after"] <= HOUR
    stack.clock.at += HOUR
    search(stack, "ann")


def test_speech_is_shared_by_its_characters_and_is_the_service_s_own(stack: FakeVideoStack) -> None:
    quota = stack.services.quota("ElevenLabs", 20, HOUR)
    arguments: Any = {"voice_id": "v", "before": "", "after": "", "deadline": Deadline.after(9), "payment": None}
    ann, ben = (SharedVoice(FakeVoiceService(), quota, caller) for caller in ("ann", "ben"))

    assert (ann.longest_request, ann.identity) == (FakeVoiceService.longest_request, FakeVoiceService.identity)
    assert ben.speak("0123456789", **arguments).audio == b"0123456789"
    ann.speak("0123456789", **arguments)
    with pytest.raises(AtCapacity):
        ann.speak("0", **arguments)


def test_the_operator_may_tell_what_a_plan_gives(stack: FakeVideoStack) -> None:
    amounts: list[Any] = []

    def quota(service: str, whole: int, seconds: int) -> Any:
        amounts.append(whole)

    services = replace(stack.services, quota=quota)
    keys = ProviderKeys({**KEYS, "PEXELS_REQUESTS_AN_HOUR": "500", "ELEVENLABS_CHARACTERS_A_MONTH": "30000"})

    for provider_keys in (ProviderKeys(KEYS), keys):
        footage_service(services, provider_keys, "ann")
        voice_service(services, provider_keys, "ann")

    assert amounts == [200, 0, 500, 1_000]


def test_a_number_that_is_none_is_told_to_the_operator(stack: FakeVideoStack) -> None:
    with pytest.raises(KeysMissing, match="PEXELS_REQUESTS_AN_HOUR must be a whole number"):
        footage_service(stack.services, ProviderKeys({**KEYS, "PEXELS_REQUESTS_AN_HOUR": "many"}), "ann")


def test_a_dry_run_over_one_s_half_is_told_when_to_come_again(
    stack: FakeVideoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEXELS_REQUESTS_AN_HOUR", "2")
    quota = stack.services.quota("Pexels", 2, HOUR)
    quota.take("another", 1)
    quota.take(stack.services.pseudonyms.caller("iam:AIDAOTHER"), 1)

    response = stack.http("POST", "/generate-video", {**BODY, "dry_run": True}, OTHER)

    assert (response.status, response.body["code"]) == (503, "at_capacity")
    assert int(response.headers["Retry-After"]) > 2
