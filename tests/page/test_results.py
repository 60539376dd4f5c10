"""What a caller has made: listed, shown again, and deleted; nobody sees what somebody else made."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import expect

from tests.page.conftest import PageStack
from tests.page.panels import SwapTab, show_tab
from tests.page.visitor import Visitor, press, tab_to


def make_swap(stack: PageStack, key: str, pictures: dict[str, Path]) -> None:
    """Swap by the API, as a script of the same caller would."""
    uris = {
        "face": f"data:image/png;base64,{base64.b64encode(pictures['ruby'].read_bytes()).decode()}",
        "meme": f"data:image/jpeg;base64,{base64.b64encode(pictures['works-on-my-machine'].read_bytes()).decode()}",
    }
    stack.cloud.request("POST", "/swap", uris, key=key).raise_for_status()


def test_results_are_listed_shown_and_deleted_by_mouse_and_by_keyboard(
    visit: Callable[..., Visitor], key_stack: PageStack, pictures: dict[str, Path]
) -> None:
    key = key_stack.make_key("collector")
    make_swap(key_stack, key, pictures)
    make_swap(key_stack, key, pictures)
    visitor = visit(key_stack)
    page = visitor.open(f"#key={key}")
    show_tab(page, "Your results")
    panel = page.get_by_role("tabpanel", name="Your results")
    items = panel.get_by_role("listitem").filter(has=page.get_by_role("button", name=re.compile("^Show Swap")))
    expect(items).to_have_count(2)
    items.first.get_by_role("button", name=re.compile("^Show")).click()
    expect(items.first.get_by_role("img", name="Result")).to_be_visible()
    visitor.inspect("results")

    items.first.get_by_role("button", name=re.compile("^Delete Swap")).click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(items).to_have_count(1)
    press(page, items.first.get_by_role("button", name=re.compile("^Delete Swap")))
    press(page, page.get_by_role("dialog").get_by_role("button", name="Delete"))
    expect(panel.get_by_text("Nothing here yet.")).to_be_visible()
    assert key_stack.cloud.request("GET", "/results", key=key).json()["items"] == []


def test_nobody_sees_what_somebody_else_made(
    visit: Callable[..., Visitor], key_stack: PageStack, pictures: dict[str, Path]
) -> None:
    make_swap(key_stack, key_stack.make_key("maker"), pictures)
    page = visit(key_stack).open(f"#key={key_stack.make_key('other')}")
    show_tab(page, "Your results")
    expect(page.get_by_text("Nothing here yet.")).to_be_visible()


def test_a_result_that_is_deleted_from_the_list_leaves_its_tab_too(guest: Visitor) -> None:
    page, tab = guest.page, SwapTab(guest.page)
    tab.swap()
    show_tab(page, "Your results")
    panel = page.get_by_role("tabpanel", name="Your results")
    newest = panel.get_by_role("button", name=re.compile("^Delete Swap")).first
    tab_to(page, newest)
    newest.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    show_tab(page, "Swap a face")
    expect(tab.result).to_be_hidden()


def test_a_list_that_cannot_be_loaded_says_why_and_can_be_asked_for_again(guest: Visitor) -> None:
    page = guest.page
    guest.network.cut("**/results?*")
    show_tab(page, "Your results")
    expect(page.get_by_role("alert").filter(has_text="The stack cannot be reached.")).to_be_visible()
    show_tab(page, "Swap a face")
    show_tab(page, "Your results")
    expect(page.get_by_role("alert").filter(has_text="The stack cannot be reached.")).to_be_hidden()
