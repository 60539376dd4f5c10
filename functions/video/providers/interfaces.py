"""Voice and footage services as the rest of the function sees them: another provider is one more module beside this."""

from __future__ import annotations

from typing import Protocol

from functions.video.render.alignment import Speech
from functions.video.values import Footage, VoiceIdentity
from layers.core.deadline import Deadline


class Payment(Protocol):
    """Keeps count of requests that cost money."""

    def spend(self) -> None:
        """Count one more, before it is sent. Raises where there may be no more."""

    def refund(self) -> None:
        """Take back the last one, which certainly cost nothing."""


class VoiceTraits(Protocol):
    """What is known of a voice service without its key."""

    title: str
    longest_request: int  # characters
    obeys_breaks: bool  # whether <break time="1.5s" /> in a text is a pause to it

    @staticmethod
    def price(characters: int) -> float | None:
        """US dollars for a text of that length; None where that depends on the operator's plan."""

    @staticmethod
    def check_voice(voice_id: str) -> None:
        """Raises InvalidRequest for a voice that the service certainly does not have."""

    @staticmethod
    def default_voice(text: str) -> str:
        """A voice for the text's language. Raises ProviderRefused."""


class VoiceService(Protocol):
    """A service that speaks texts."""

    longest_request: int  # characters
    obeys_breaks: bool  # whether <break time="1.5s" /> in a text is a pause to it

    @property
    def identity(self) -> VoiceIdentity:
        """The service's name, and all that decides the sound beside voice id and text."""

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        """The text as speech; `before` and `after` are the texts around it. Every request is counted by `payment`."""


class FootageService(Protocol):
    """A service that finds stock footage."""

    name: str

    def search(
        self, query: str, *, orientation: str, count: int, deadline: Deadline, locale: str | None = None
    ) -> list[Footage]:
        """The best `count` for the query, the best first; `orientation` is portrait or landscape, `locale` the
        query's language (de-DE), or None."""
