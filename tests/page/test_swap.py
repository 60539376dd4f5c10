"""A swap: by mouse, by keyboard alone, and everything that can be done with its result."""

from __future__ import annotations

import time
from collections.abc import Callable

import requests
from playwright.sync_api import expect

from layers.media.xmp_label import SOURCE_TYPE, read_label
from tests.page.conftest import PageStack
from tests.page.panels import DRAWN, WORK_MS, SwapTab
from tests.page.visitor import Visitor, press, tab_to

MINUTE = 60.0  # seconds that a swap may take, waits and a cold start included


def test_a_mouse_alone_swaps_a_face_within_a_minute(guest: Visitor) -> None:
    tab = SwapTab(guest.page)
    expect(tab.face.sample("Ivy").get_by_role("presentation")).to_have_js_property("complete", True)
    guest.inspect("swap-1-pictures")
    start = time.monotonic()
    tab.face.take("Ruby")
    tab.meme.sample("It works on my machine").click()
    tab.expect_faces()
    tab.consent.select_option(DRAWN)
    tab.submit.click()
    tab.expect_result()
    seconds = time.monotonic() - start

    guest.inspect("swap-4-result")
    assert seconds < MINUTE


def test_the_result_is_downloaded_with_its_label_which_the_page_explains_and_checks(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.swap()
    with guest.page.expect_download() as download:
        tab.download.click()
    assert download.value.suggested_filename.endswith(".jpg")
    assert read_label(download.value.path().read_bytes()) == SOURCE_TYPE

    page.get_by_text("This picture is labelled").click()
    expect(tab.result).to_contain_text("a signed manifest (C2PA)")
    tab.result.get_by_role("button", name="Check the label").click()
    expect(tab.result).to_contain_text("valid, and this stack\u2019s own", timeout=WORK_MS)
    guest.inspect("swap-5-label")


def test_sharing_puts_a_link_on_the_clipboard(visit: Callable[..., Visitor], open_stack: PageStack) -> None:
    visitor = visit(open_stack, permissions=["clipboard-read", "clipboard-write"])
    tab = SwapTab(visitor.open())
    tab.swap()
    tab.share.click()
    expect(tab.result).to_contain_text("A link is on your clipboard")
    link = visitor.page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{open_stack.cloud.endpoint}/{open_stack.cloud.bucket('outputs')}/swaps/")
    assert requests.get(link, timeout=30).headers["Content-Type"] == "image/jpeg"


def test_once_more_with_another_face_keeps_the_meme(guest: Visitor) -> None:
    tab = SwapTab(guest.page)
    tab.swap()
    first = tab.result.get_by_role("img", name="Result").get_attribute("src")
    tab.again.click()
    expect(tab.result).to_be_hidden()
    tab.meme.expect_picture("It works on my machine")
    tab.face.take("Noor")
    tab.submit.click()
    tab.expect_result()
    assert tab.result.get_by_role("img", name="Result").get_attribute("src") != first


def test_each_person_gets_the_face_that_was_chosen(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.choose_samples("You are on mute")
    expect(page.get_by_role("img", name="with 4 faces numbered")).to_be_visible()
    expect(page.locator(".box")).to_have_text(["1", "2", "3", "4"])
    page.get_by_role("button", name="Add another face").click()
    tab.source("B").take("Walter")
    tab.person(2).select_option(label="Face B (Walter)")
    tab.person(3).select_option(label="Leave as it is")
    guest.inspect("swap-2-people")
    tab.consent.select_option(DRAWN)
    with page.expect_request(lambda request: request.url.endswith("/swap") and request.method == "POST") as sent:
        tab.submit.click()
    tab.expect_result()
    body = sent.value.post_data_json
    assert [each if isinstance(each, int) else each["index"] for each in body["faces"]] == [0, 1, 3]
    assert body["faces"][1]["face"] != body["face"]
    assert body["consent"] == DRAWN
    expect(tab.result).to_contain_text("3 of 4 faces swapped")


def test_a_deleted_result_is_gone_for_good(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.swap()
    link = tab.result.get_by_role("img", name="Result").get_attribute("src")
    tab.delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(tab.result).to_be_visible()
    tab.delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(tab.result).to_be_hidden()
    assert requests.get(str(link), timeout=30).status_code == 404


def test_a_keyboard_alone_swaps_a_face(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    press(page, tab.meme.sample("Deploy on Friday"))
    expect(tab.meme.change).to_be_focused()
    tab.expect_faces()
    tab_to(page, tab.face.sample("Walter"), "Tab")
    page.keyboard.press("Space")
    expect(tab.face.change).to_be_focused()
    tab_to(page, tab.person(1))
    page.keyboard.press("End")  # the last choice: leave as it is
    page.keyboard.press("Home")
    expect(tab.person(1)).to_have_value("0")
    tab_to(page, tab.consent)
    page.keyboard.type("It is drawn")
    press(page, tab.submit)
    tab.expect_result()
    assert page.evaluate("document.activeElement.textContent").endswith("Look at the result")

    slider = page.get_by_role("slider", name="How much of the original is shown")
    tab_to(page, slider)
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_attribute("aria-valuetext", "51 % original")
    press(page, tab.delete)
    expect(page.get_by_role("dialog")).to_be_visible()
    press(page, page.get_by_role("dialog").get_by_role("button", name="Delete"))
    expect(tab.result).to_be_hidden()
