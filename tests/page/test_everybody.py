"""For everybody: narrow screens, the dark, screen readers; what axe sees of each step is in the other tests."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.page.conftest import PageStack
from tests.page.panels import DRAWN, ShortTab, SwapTab, show_tab
from tests.page.visitor import NARROW, Visitor, tab_to

TABS = ("Swap a face", "Make a short", "Your results")


def width_beyond_the_screen(page: Page) -> int:
    """By how many CSS pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_at_320_pixels_nothing_has_to_be_scrolled_sideways(
    visit: Callable[..., Visitor], open_stack: PageStack, scheme: str
) -> None:
    visitor = visit(open_stack, viewport=NARROW, color_scheme=scheme)
    page = visitor.open()
    tab = SwapTab(page)
    expect(tab.meme.sample("Deploy on Friday")).to_be_visible()
    visitor.inspect(f"narrow-{scheme}-1-pictures")
    assert width_beyond_the_screen(page) == 0
    tab.choose_samples("You are on mute")
    tab.consent.select_option(DRAWN)
    tab.submit.click()
    tab.expect_result()
    page.get_by_text("About the models").click()
    page.get_by_text("This picture is labelled").click()
    visitor.inspect(f"narrow-{scheme}-4-result")
    assert width_beyond_the_screen(page) == 0

    show_tab(page, "Make a short")
    page.get_by_role("button", name="Use an example").click()
    ShortTab(page).plan.click()
    expect(page.get_by_role("heading", name="The plan")).to_be_visible()
    visitor.inspect(f"narrow-{scheme}-5-plan")
    assert width_beyond_the_screen(page) == 0
    show_tab(page, "Your results")
    expect(page.get_by_role("listitem").first).to_be_visible()
    visitor.inspect(f"narrow-{scheme}-6-results")
    assert width_beyond_the_screen(page) == 0


def test_in_the_dark_the_page_is_dark(visit: Callable[..., Visitor], open_stack: PageStack) -> None:
    visitor = visit(open_stack, color_scheme="dark")
    page = visitor.open()
    SwapTab(page).choose_samples()
    visitor.inspect("dark-2-people")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
    assert max(ground) < 64
    show_tab(page, "Make a short")
    visitor.inspect("dark-short")


def test_screen_readers_get_landmarks_headings_names_and_news(guest: Visitor, pictures: dict[str, Path]) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    expect(tab.meme.root).to_be_visible()
    for role in ("banner", "main", "contentinfo", "tablist"):
        expect(page.get_by_role(role)).to_have_count(1)
    assert page.evaluate("document.documentElement.lang") == "en"
    expect(page.get_by_role("heading", level=1)).to_have_text("Coldswap")
    news = page.get_by_role("status").filter(has_text="chosen.")
    tab.face.file.set_input_files(pictures["ruby"])
    expect(news).to_have_text("Face A: ruby.png chosen.")
    tab.meme.take("You are on mute")
    tab.expect_faces()
    expect(page.get_by_role("status").filter(has_text="4 faces.")).to_have_count(1)
    tab.submit.click()
    expect(tab.consent).to_be_focused()
    expect(tab.consent).to_have_accessible_description(re.compile("Say why this face may be used."))
    expect(tab.consent).to_have_attribute("aria-invalid", "true")


def test_the_keyboard_skips_to_the_content_and_walks_the_tabs(guest: Visitor) -> None:
    page = guest.page
    expect(SwapTab(page).meme.root).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    tab_to(page, page.get_by_role("tab", name=TABS[0]))
    for name, key in ((TABS[1], "ArrowRight"), (TABS[2], "End"), (TABS[0], "ArrowRight"), (TABS[2], "ArrowLeft")):
        page.keyboard.press(key)
        expect(page.get_by_role("tab", name=name)).to_be_focused()
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
        expect(page.get_by_role("tabpanel")).to_have_count(1)


def test_every_refusal_of_a_form_that_is_not_filled_stands_beside_its_field(
    guest: Visitor, pictures: dict[str, Path]
) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.meme.take("It works on my machine")
    tab.expect_faces()
    tab.submit.click()
    tab.face.expect_error("Choose a picture")
    tab.meme.expect_no_error()
    guest.inspect("swap-3-empty")
    tab.face.file.set_input_files(pictures["ruby"])
    tab.face.expect_picture("ruby.png")
    tab.face.expect_no_error()
    tab.submit.click()
    expect(tab.consent).to_have_accessible_description(re.compile("Say why this face may be used."))
    tab.consent.select_option(DRAWN)
    tab.person(1).select_option(label="Leave as it is")
    tab.submit.click()
    expect(page.get_by_role("alert").filter(has_text="Give at least one person a face")).to_be_visible()
    tab.consent.select_option(label="Another reason")
    page.get_by_label("The reason").fill("A poster for our office")
    tab.person(1).select_option(index=0)
    with page.expect_request(lambda request: request.url.endswith("/swap") and request.method == "POST") as sent:
        tab.submit.click()
    assert sent.value.post_data_json["consent"] == "A poster for our office"
    tab.expect_result()
