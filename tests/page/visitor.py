"""Somebody at the page with a browser of their own, and what must hold whatever they do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Request

from local.cloud import ROOT
from tests.page.network import Network

SHOTS = ROOT / "out/page"
GRAVE = ("serious", "critical")  # what axe says of what keeps somebody out
TAB_STOPS = 80  # more than any step of the page has
NARROW = {"width": 320, "height": 640}
WIDE = {"width": 1100, "height": 850}

# Sees violations before any script of the page runs; a binding is no subject of the policy.
WATCH_POLICY = """
addEventListener("securitypolicyviolation", event =>
    window.reportViolation(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""


class Watch:
    """Everything of a browser context that no test may cause."""

    def __init__(self, context: BrowserContext, origins: set[str]) -> None:
        """`origins` are those that requests may go to: the API, its buckets and the issuer."""
        self.origins = origins
        self.elsewhere: list[str] = []
        self.violations: list[str] = []
        self.crashes: list[str] = []
        self.requests: list[Request] = []
        context.on("request", self._see_request)
        context.on("weberror", lambda error: self.crashes.append(str(error.error)))
        context.expose_binding("reportViolation", lambda source, text: self.violations.append(text))
        context.add_init_script(WATCH_POLICY)

    def assert_clean(self) -> None:
        """Fail if a request left, the policy was violated, or a script of the page crashed."""
        assert not self.elsewhere, f"requests went elsewhere: {self.elsewhere}"
        assert not self.violations, f"the Content-Security-Policy was violated: {self.violations}"
        assert not self.crashes, f"scripts of the page raised errors that nothing handled: {self.crashes}"

    def _see_request(self, request: Request) -> None:
        self.requests.append(request)
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and f"{parts.scheme}://{parts.netloc}" not in self.origins:
            self.elsewhere.append(f"{request.method} {request.url}")


class Visitor:
    """One browser context with one tab or more."""

    def __init__(self, context: BrowserContext, address: str, watch: Watch) -> None:
        self.context = context
        self.address = address
        self.watch = watch
        self.network = Network(context)
        self.page = context.new_page()

    def open(self, fragment: str = "") -> Page:
        """Open the page in the first tab."""
        self.page.goto(f"{self.address}/{fragment}")
        return self.page

    def open_tab(self) -> Page:
        """Open the page in one more tab."""
        tab = self.context.new_page()
        tab.goto(f"{self.address}/")
        return tab

    def inspect(self, name: str, page: Page | None = None) -> None:
        """Keep a picture of this step in out/page/, and let axe look for what keeps anybody out."""
        page = page or self.page
        page.screenshot(path=SHOTS / f"{name}.png", full_page=True)
        barriers = find_barriers(page)
        assert not barriers, "\n".join(barriers)

    def stored(self) -> str:
        """All that this browser has stored for the page, as text."""
        texts = [
            page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
            for page in self.context.pages
            if page.url.startswith(self.address)
        ]
        return "\n".join([*texts, str(self.context.cookies(self.address)), *self._databases()])

    def _databases(self) -> Iterator[str]:
        yield self.page.evaluate("""async () => JSON.stringify([await indexedDB.databases(), await caches.keys()])""")


@contextmanager
def visit(browser: Browser, address: str, origins: set[str], **options: Any) -> Iterator[Visitor]:
    """Give the block a browser that has never been here; what must hold is checked at its end."""
    context = browser.new_context(**{"viewport": WIDE, "locale": "en-GB", "reduced_motion": "reduce", **options})
    context.set_default_timeout(30_000)
    try:
        visitor = Visitor(context, address, Watch(context, origins))
        yield visitor
        visitor.watch.assert_clean()
    finally:
        context.close()


def find_barriers(page: Page) -> list[str]:
    """What axe finds that is serious or critical, with where it is."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {[node['target'] for node in each['nodes']]}"
        for each in violations
        if each["impact"] in GRAVE
    ]


def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab until the target has the focus, as somebody without a mouse does."""
    for _ in range(TAB_STOPS):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press(key)
    raise AssertionError(f"the keyboard does not reach {target}")


def press(page: Page, target: Locator, key: str = "Enter") -> None:
    """Go to the target by the keyboard alone, and press a key there."""
    tab_to(page, target)
    page.keyboard.press(key)


def type_into(page: Page, target: Locator, text: str) -> None:
    """Go to a field by the keyboard alone, and write there in place of what it has."""
    tab_to(page, target)
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(text)


def write_camera_film(picture: Path, film: Path) -> None:
    """Write what the fake camera sees: a still picture, as Motion JPEG (which Chromium plays again and again)."""
    from io import BytesIO

    from PIL import Image

    frame = BytesIO()
    with Image.open(picture) as drawn:
        canvas = Image.new("RGB", (640, 480), "white")
        face = drawn.convert("RGB")
        face.thumbnail(canvas.size)
        canvas.paste(face, ((640 - face.width) // 2, (480 - face.height) // 2))
        canvas.save(frame, "JPEG", quality=90)
    film.write_bytes(frame.getvalue() * 30)
