"""What the page is made of: little, all its own, under a strict policy."""

from __future__ import annotations

from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
import requests
from playwright.sync_api import expect

from tests.page.conftest import PageStack
from tests.page.panels import SwapTab, show_tab
from tests.page.visitor import Visitor

MOST_BYTES = 100_000  # of everything that is not a sample or an answer of the API
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def fetch(stack: PageStack, accept: str) -> requests.Response:
    """What is at the address of the page."""
    return requests.get(f"{stack.cloud.api_url}/", headers={"Accept": accept}, timeout=30)


def policy(response: requests.Response) -> dict[str, list[str]]:
    """The Content-Security-Policy: sources by directive."""
    parts = [each.split() for each in response.headers["Content-Security-Policy"].split(";")]
    return {name: sources for name, *sources in parts}


class Markup(HTMLParser):
    """Collects what a strict policy forbids, and the addresses of what is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Called by feed."""
        attributes = dict(attrs)
        self.inline += [name for name in attributes if name.startswith("on") or name == "style"]
        self.inline += [tag] if tag == "style" or (tag == "script" and "src" not in attributes) else []
        self.addresses += [str(attributes[name]) for name in ("src", "href") if name in attributes]


def test_the_policy_allows_the_page_itself_the_buckets_and_the_issuer(
    open_stack: PageStack, jwt_stack: PageStack
) -> None:
    for stack in (open_stack, jwt_stack):
        response = fetch(stack, BROWSER)
        rules = policy(response)
        assert rules["default-src"] == ["'none'"]
        assert rules["script-src"] == rules["style-src"] == ["'self'"]
        assert {urlsplit(each).netloc for each in rules["connect-src"] if "//" in each} == {
            urlsplit(each).netloc for each in stack.origins - {stack.address}
        }
        for name in ("base-uri", "form-action", "frame-ancestors"):
            assert rules[name] == ["'none'"]
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_the_document_has_no_script_or_style_of_its_own_and_loads_nothing_from_elsewhere(
    open_stack: PageStack,
) -> None:
    markup = Markup()
    markup.feed(fetch(open_stack, BROWSER).text)
    assert markup.inline == []
    assert [each for each in markup.addresses if "//" in each] == []


def test_browsers_get_the_page_and_programs_get_json(open_stack: PageStack) -> None:
    kinds = [fetch(open_stack, accept).headers["Content-Type"] for accept in (BROWSER, "*/*", "application/json")]
    assert [each.partition(";")[0] for each in kinds] == ["text/html", "application/json", "application/json"]


def test_all_of_the_page_is_smaller_than_100_kb_and_sends_no_referrer(
    visit: Callable[..., Visitor], open_stack: PageStack
) -> None:
    visitor = visit(open_stack)
    sizes: dict[str, int] = {}
    visitor.context.on("response", lambda response: sizes.update({response.url: len(response.body())}))
    page = visitor.open()
    SwapTab(page).choose_samples()
    show_tab(page, "Make a short")
    show_tab(page, "Your results")
    expect(page.get_by_role("heading", name="Your results")).to_be_visible()
    page.wait_for_load_state("networkidle")
    own = {
        url: size
        for url, size in sizes.items()
        if urlsplit(url).path == "/" or (urlsplit(url).path.startswith("/page/") and "/samples/" not in url)
    }
    assert sum(url.endswith(".css") for url in own) == 1
    assert sum(own.values()) < MOST_BYTES, own
    assert [request.url for request in visitor.watch.requests if request.all_headers().get("referer")] == []


@pytest.mark.parametrize(
    ("directive", "deed"),
    [
        ("connect-src", "fetch('https://elsewhere.example/').catch(() => null)"),
        ("img-src", "() => { new Image().src = 'https://elsewhere.example/a.gif'; }"),
        ("style-src", "() => document.body.setAttribute('style', 'color: red')"),
        ("script-src", "() => document.body.append(Object.assign(document.createElement('script'), {text: '1'}))"),
    ],
)
def test_what_the_policy_forbids_is_blocked_and_seen_by_these_tests(guest: Visitor, directive: str, deed: str) -> None:
    with guest.page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        guest.page.evaluate(deed)
    guest.page.evaluate("null")  # what the page reported before has arrived
    assert any(directive in violation for violation in guest.watch.violations)
    guest.watch.violations.clear()
    guest.watch.elsewhere.clear()
