"""A meme that moves: its people, progress by frames of all, and a result that stands still where motion is unwanted."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, expect

from tests.page.conftest import PageStack
from tests.page.panels import DRAWN, SwapTab
from tests.page.visitor import Visitor

MOVING = "Running late (moves)"
COUNTED = {"status": "running", "stage": "swapping", "progress": {"done": 12, "total": 48, "unit": "face_frames"}}


def test_progress_counts_frames_of_all_and_the_result_moves_only_when_asked(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.meme.take(MOVING)
    assert is_still(tab.meme.root.get_by_role("img"))
    tab.face.take("Ruby")
    tab.expect_faces()
    expect(page.get_by_text(re.compile(r"Seen at \d")).first).to_be_visible()
    expect(tab.person(2)).to_be_visible()
    guest.inspect("moving-2-people")
    tab.consent.select_option(DRAWN)
    with guest.network.hold("**/swap/*"):
        guest.network.answer("**/swap/*", 200, COUNTED)
        tab.submit.click()
        expect(page.get_by_text("12 of 48 faces in frames")).to_be_visible()
        expect(page.get_by_text("Swapping faces").first).to_be_visible()
        expect(tab.progress).to_have_js_property("value", 0.25)
        guest.inspect("moving-3-progress")
        page.reload()
        expect(tab.progress).to_be_visible()
    assert is_still(tab.meme.root.get_by_role("img")), "it stands still after a reload too"
    assert is_still(page.get_by_role("img", name="with 2 faces numbered"))
    tab.expect_result()
    result = tab.result.get_by_role("img", name="Result")
    expect(result).to_have_js_property("tagName", "CANVAS")
    guest.inspect("moving-4-result")

    tab.result.get_by_role("button", name="Play").click()
    for name in ("Original", "Result"):
        expect(tab.result.get_by_role("img", name=name)).to_have_js_property("tagName", "IMG")


def test_where_motion_is_welcome_the_result_moves_by_itself(
    visit: Callable[..., Visitor], open_stack: PageStack
) -> None:
    visitor = visit(open_stack, reduced_motion="no-preference")
    tab = SwapTab(visitor.open())
    tab.meme.take(MOVING)
    assert not is_still(tab.meme.root.get_by_role("img"))
    tab.face.take("Ruby")
    tab.expect_faces()
    tab.consent.select_option(DRAWN)
    tab.submit.click()
    tab.expect_result()
    result = tab.result.get_by_role("img", name="Result")
    expect(result).to_have_js_property("tagName", "IMG")
    expect(tab.result.get_by_role("button", name="Play")).to_have_count(0)
    assert str(result.get_attribute("src")).partition("?")[0].endswith(".gif")


def is_still(picture: Locator) -> bool:
    """Whether an element shows one frame: a canvas, or a file of a format that has no more."""
    if picture.evaluate("picture => picture.tagName") == "CANVAS":
        return True
    source = "async picture => (await (await fetch(picture.src)).blob()).type"
    return bool(picture.evaluate(source) == "image/jpeg")
