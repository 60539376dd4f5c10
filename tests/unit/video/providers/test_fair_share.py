"""What callers share of the operator's keys: half each while several ask, all where one is alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from functions.video.providers.fair_share import HOUR, SharedFootage, SharedVoice, footage_service, voice_service
from functions.video.providers.keys import ProviderKeys
from functions.video.render.speech import Speech
from layers.core.deadline import Deadline
from layers.core.errors import AtCapacity, KeysMissing
from tests.unit.video.fake_stack import BODY, OTHER, FakeVideoStack

KEYS = {"PEXELS_API_KEY": "p", "ELEVENLABS_API_KEY": "e"}


class Footage:
    """Finds nothing, often."""

    name = "pexels"
    searches = 0

    def search(self, query: str, *, orientation: str, count: int, deadline: Deadline) -> list[Any]:
        self.searches += 1
        return []


class Voice:
    """Says anything."""

    name, longest, identity = "elevenlabs", 100, {"model": "m"}

    def speak(self, text: str, **_: Any) -> Speech:
        return Speech(text.encode(), None)


def search(world: FakeVideoStack, caller: str, whole: int = 4) -> Footage:
    """One search on behalf of a caller."""
    service = Footage()
    shared = SharedFootage(service, world.services.quota("Pexels", whole, HOUR), caller)
    shared.search("sea", orientation="portrait", count=1, deadline=Deadline.after(9))
    return service


def test_who_is_alone_may_search_as_often_as_the_service_allows(world: FakeVideoStack) -> None:
    for _ in range(4):
        assert search(world, "ann").searches == 1


def test_while_another_searches_too_nobody_has_more_than_half(world: FakeVideoStack) -> None:
    search(world, "ben")
    for _ in range(2):
        search(world, "ann")

    with pytest.raises(AtCapacity, match="Pexels") as refused:
        search(world, "ann")

    assert 0 < refused.value.extra["retry_after"] <= HOUR
    world.clock.at += HOUR
    search(world, "ann")


def test_speech_is_shared_by_its_characters_and_is_the_service_s_own(world: FakeVideoStack) -> None:
    quota = world.services.quota("ElevenLabs", 20, HOUR)
    how: Any = {"voice_id": "v", "before": "", "after": "", "deadline": Deadline.after(9), "payment": None}
    ann, ben = (SharedVoice(Voice(), quota, caller) for caller in ("ann", "ben"))

    assert (ann.name, ann.longest, ann.identity) == (Voice.name, Voice.longest, Voice.identity)
    assert ben.speak("0123456789", **how).audio == b"0123456789"
    ann.speak("0123456789", **how)
    with pytest.raises(AtCapacity):
        ann.speak("0", **how)


def test_the_operator_may_tell_what_a_plan_gives(world: FakeVideoStack) -> None:
    asked: list[Any] = []

    def quota(service: str, whole: int, seconds: int) -> Any:
        asked.append(whole)

    services = replace(world.services, quota=quota)
    keys = ProviderKeys({**KEYS, "PEXELS_REQUESTS_AN_HOUR": "500", "ELEVENLABS_CHARACTERS_A_MONTH": "30000"})

    for known in (ProviderKeys(KEYS), keys):
        footage_service(services, known, "ann")
        voice_service(services, known, "ann")

    assert asked == [200, 0, 500, 1_000]


def test_a_number_that_is_none_is_told_to_the_operator(world: FakeVideoStack) -> None:
    with pytest.raises(KeysMissing, match="PEXELS_REQUESTS_AN_HOUR must be a whole number"):
        footage_service(world.services, ProviderKeys({**KEYS, "PEXELS_REQUESTS_AN_HOUR": "many"}), "ann")


def test_a_dry_run_over_one_s_half_is_told_when_to_come_again(
    world: FakeVideoStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEXELS_REQUESTS_AN_HOUR", "2")
    quota = world.services.quota("Pexels", 2, HOUR)
    quota.take("another", 1)
    quota.take(world.services.pseudonyms.caller("iam:AIDAOTHER"), 1)

    answer = world.http("POST", "/generate-video", {**BODY, "dry_run": True}, OTHER)

    assert (answer.status, answer.body["code"]) == (503, "at_capacity")
    assert int(answer.headers["Retry-After"]) > 2
