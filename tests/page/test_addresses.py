"""A picture at a web address: the stack fetches it, the browser does not."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from playwright.sync_api import Route, expect

from tests.page.panels import DRAWN, SwapTab
from tests.page.visitor import Visitor

ADDRESS = "https://memes.example/works-on-my-machine.jpg"


def test_the_stack_fetches_what_is_at_a_web_address_and_the_browser_does_not(
    guest: Visitor, pictures: dict[str, Path]
) -> None:
    """No server of this machine may be fetched from, so the request names the address, and the picture takes its
    place on the way."""
    asked = []

    def replace_address(route: Route) -> None:
        body = route.request.post_data_json
        asked.append(body["meme"])
        data = base64.b64encode(pictures["works-on-my-machine"].read_bytes()).decode()
        route.continue_(post_data=json.dumps({**body, "meme": f"data:image/jpeg;base64,{data}"}))

    guest.context.route("**/faces", replace_address)
    guest.context.route("**/swap", replace_address)
    tab = SwapTab(guest.page)
    tab.meme.give_address(ADDRESS)
    tab.expect_faces()
    expect(guest.page.get_by_role("img", name="with 1 faces numbered")).to_be_visible()
    tab.face.take("Ruby")
    tab.consent.select_option(DRAWN)
    tab.submit.click()
    tab.expect_result()
    assert asked == [ADDRESS, ADDRESS]


def test_an_address_that_is_none_is_refused_beside_its_field(guest: Visitor) -> None:
    tab = SwapTab(guest.page)
    tab.meme.address.click()
    for address in ("memes.example/a.jpg", "http://memes.example/a.jpg", "javascript:alert(1)", ""):
        tab.meme.write_address(address)
        tab.meme.expect_error("Write a whole address that begins with https://.")
        tab.face.expect_no_error()

    tab.meme.write_address("https://localhost/a.jpg")
    tab.meme.expect_error("public")
    tab.face.expect_no_error()
    guest.page.get_by_role("button", name="Try again").click()
    tab.meme.expect_error("public")
