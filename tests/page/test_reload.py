"""A reload at any stage goes on, two tabs do not disturb each other, and a network that fails loses nothing."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import expect

from tests.page.conftest import PageStack
from tests.page.panels import DRAWN, WORK_MS, SwapTab
from tests.page.visitor import Visitor

SWAPS = "**/swap"
LISTS = "**/faces"


def test_a_reload_keeps_pictures_choices_and_consent(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.face.take("Ruby")
    page.reload()
    tab.face.expect_picture("Ruby")

    tab.meme.sample("You are on mute").click()
    tab.expect_faces()
    tab.person(2).select_option(label="Leave as it is")
    tab.consent.select_option(DRAWN)
    with guest.network.hold(LISTS) as lists:
        page.reload()
        tab.expect_faces()
        assert lists.count == 0, "the faces that were listed are still known"
    tab.meme.expect_picture("You are on mute")
    expect(tab.person(2)).to_have_value("")
    assert tab.consent.evaluate("field => field.selectedOptions[0].text") == DRAWN


def test_a_reload_while_faces_are_looked_for_looks_again(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    with guest.network.hold(LISTS):
        tab.meme.sample("It works on my machine").click()
        expect(page.get_by_text("Looking for faces").first).to_be_visible()
        page.reload()
        expect(page.get_by_text("Looking for faces").first).to_be_visible()
        guest.inspect("swap-2-looking")
    tab.expect_faces()


def test_a_reload_before_during_and_after_a_swap_makes_one_swap(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.choose_samples()
    tab.consent.select_option(DRAWN)
    keys = []
    guest.context.on(
        "request",
        lambda request: keys.append(request.headers["idempotency-key"]) if request.url.endswith("/swap") else None,
    )
    with guest.network.hold(SWAPS):
        tab.submit.click()
        expect(tab.progress).to_be_visible()
        guest.inspect("swap-3-progress")
        page.reload()
        expect(tab.progress).to_be_visible()
    with guest.network.hold("**/swap/*"):
        page.reload()
        expect(tab.progress).to_be_visible()
    tab.expect_result()
    assert len(set(keys)) == 1, "the same key is the same swap"
    sent = len(keys)

    page.reload()
    tab.expect_result()
    assert len(keys) == sent
    tab.delete.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(tab.result).to_be_hidden()
    page.reload()
    tab.expect_faces()
    expect(tab.result).to_be_hidden()


def test_two_tabs_at_once_make_two_swaps(guest: Visitor) -> None:
    first, second = SwapTab(guest.page), SwapTab(guest.open_tab())
    first.choose_samples("It works on my machine", "Ruby")
    second.choose_samples("Deploy on Friday", "Noor")
    for tab in (first, second):
        tab.consent.select_option(DRAWN)
    first.submit.click()
    second.submit.click()
    first.expect_result()
    second.expect_result()
    for tab, meme, face in ((first, "It works on my machine", "Ruby"), (second, "Deploy on Friday", "Noor")):
        tab.page.reload()
        tab.meme.expect_picture(meme)
        tab.face.expect_picture(face)
        tab.expect_result()


def test_a_swap_that_is_cancelled_leaves_the_pictures(guest: Visitor) -> None:
    tab = SwapTab(guest.page)
    tab.choose_samples()
    tab.consent.select_option(DRAWN)
    with guest.network.hold("**/swap/*"):
        with guest.page.expect_response(SWAPS):
            tab.submit.click()
        expect(tab.progress).to_be_visible()
        with guest.page.expect_request(lambda request: request.method == "DELETE"):
            tab.cancel.click()
    expect(tab.progress).to_be_hidden()
    expect(tab.submit).to_be_visible()
    tab.meme.expect_picture("It works on my machine")


def test_requests_that_get_lost_are_sent_again_and_make_one_swap(guest: Visitor) -> None:
    tab = SwapTab(guest.page)
    tab.choose_samples()
    tab.consent.select_option(DRAWN)
    guest.network.cut(SWAPS, times=2)
    guest.network.cut("**/swap/*", times=3)
    tab.submit.click()
    tab.expect_result()
    sent = [each for each in guest.watch.requests if each.url.endswith("/swap") and each.method == "POST"]
    assert len(sent) == 3
    assert len({each.headers["idempotency-key"] for each in sent}) == 1


def test_without_a_network_the_page_says_so_and_goes_on_when_it_is_back(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.choose_samples()
    tab.consent.select_option(DRAWN)
    with guest.network.hold("**/swap/*"), page.expect_response(SWAPS):
        tab.submit.click()
        expect(tab.progress).to_be_visible()
        guest.network.go_away()
    expect(page.get_by_text("No connection at the moment.")).to_be_visible(timeout=WORK_MS)
    guest.inspect("swap-3-offline")
    guest.network.come_back()
    tab.expect_result()
    expect(page.get_by_text("No connection at the moment.")).to_be_hidden()


def test_what_fails_for_good_is_said_where_it_happened_and_can_be_tried_again(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    guest.network.cut(LISTS)
    tab.meme.sample("It works on my machine").click()
    tab.meme.expect_error("The stack cannot be reached.")
    page.get_by_role("button", name="Try again").click()
    tab.expect_faces()
    tab.meme.expect_no_error()

    tab.face.take("Ruby")
    tab.consent.select_option(DRAWN)
    guest.network.answer(
        SWAPS, 402, {"code": "budget_spent", "detail": "Your budget of today is spent.", "status": 402}
    )
    tab.submit.click()
    expect(page.get_by_role("alert").filter(has_text="Your budget of today is spent.")).to_be_visible()
    tab.submit.click()
    tab.expect_result()


def test_a_page_that_is_slow_to_load_tells_what_it_waits_for(
    visit: Callable[..., Visitor], open_stack: PageStack
) -> None:
    visitor = visit(open_stack)
    visitor.network.throttle(visitor.page, bytes_per_second=50_000, latency_ms=300)
    tab = SwapTab(visitor.open())
    tab.choose_samples()
    tab.consent.select_option(DRAWN)
    tab.submit.click()
    tab.expect_result()
