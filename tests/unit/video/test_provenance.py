"""The labels of a video: whoever spoke and whoever filmed is named, whatever the providers."""

from __future__ import annotations

from dataclasses import replace

from functions.video.provenance import describe_video, list_credits
from functions.video.values import OWN, Clip, Credit, Piece, VoiceIdentity
from tests.unit.video.scripts import footage

STOCK = replace(footage(1), source="Stock Films")
CLIPS = [Clip("b", 1, 30, footage(2), 0), Clip("a", 0, 30, STOCK, 0), Clip("c", 2, 30, STOCK, 0)]


def test_a_voice_of_another_service_is_signed_as_its_own() -> None:
    *_, voice = describe_video(CLIPS, VoiceIdentity("another", "m2", "wav")).actions

    assert voice.by == {"name": "another", "version": "m2"}


def test_a_voice_of_an_unknown_service_is_still_synthetic() -> None:
    *_, voice = describe_video(CLIPS, None).actions

    assert voice.by is None
    assert voice.source_type
    assert voice.source_type.endswith("/trainedAlgorithmicMedia")


def test_footage_that_goes_on_where_other_was_too_short_is_credited() -> None:
    clip = Clip("a", 0, 90, footage(1), 0, (Piece(30, footage(2)), Piece(20, footage(3))))

    assert [each.photographer for each in list_credits([clip])] == ["Person 1", "Person 2", "Person 3"]
    assert [piece.frames for piece in clip.pieces] == [40, 30, 20]


def test_footage_is_credited_to_its_own_service_once_and_in_the_order_of_appearance() -> None:
    stock, other = list_credits(CLIPS)

    assert stock == Credit("Person 1", "", "https://pages.example/1", "Stock Films")
    assert other.source == "Pexels", "an earlier version kept the service in the id alone"


def test_a_clip_of_the_callers_own_is_no_stock_footage_and_has_no_credit() -> None:
    own = replace(footage(4), page_url="https://my.example/private.jpg", source=OWN)
    clips = [*CLIPS, Clip("d", 3, 30, own, 0)]

    label = describe_video(clips, None)

    assert list_credits(clips) == list_credits(CLIPS)
    assert "own-clips" in [each.name for each in label.ingredients]
    assert "private" not in repr(label)
