"""A network that is slow, fails or is away, for one browser context."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

from playwright.sync_api import BrowserContext, Error, Page, Route

Pattern = str | re.Pattern[str]


class HeldRequests:
    """Requests that got no response yet; a context manager, which lets them go at its end."""

    def __init__(self, context: BrowserContext, pattern: Pattern) -> None:
        self._context, self._pattern = context, pattern
        self._routes: list[Route] = []

    def __enter__(self) -> HeldRequests:
        self._context.route(self._pattern, self._hold)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    @property
    def count(self) -> int:
        """How many are waiting."""
        return len(self._routes)

    def release(self) -> None:
        """Let them go, and hold no more."""
        self._context.unroute(self._pattern, self._hold)
        routes, self._routes = self._routes, []
        for route in routes:
            with contextlib.suppress(Error):  # whoever asked has left the page meanwhile
                route.continue_()

    def _hold(self, route: Route) -> None:
        self._routes.append(route)


class Network:
    """Between one browser context and the stack."""

    def __init__(self, context: BrowserContext) -> None:
        self._context = context

    def hold(self, pattern: Pattern) -> HeldRequests:
        """Requests that wait until the block ends, as on a network that is too slow to bear."""
        return HeldRequests(self._context, pattern)

    def cut(self, pattern: Pattern, times: int | None = 1, method: str = "") -> None:
        """Close the connections of the next `times` matching requests (None: all) without a response."""
        self._intercept(pattern, times, method, lambda route: route.abort("connectionreset"))

    def answer(
        self, pattern: Pattern, status: int, body: Any, times: int | None = 1, method: str = "", origin: str = ""
    ) -> None:
        """Answer the next `times` matching requests (None: all) in the place of the stack; `body` is sent as JSON, and
        `origin` may read it where it is another one."""
        headers = {"Content-Type": "application/problem+json" if status >= 400 else "application/json"}
        headers |= {"Access-Control-Allow-Origin": origin} if origin else {}
        self._intercept(
            pattern,
            times,
            method,
            lambda route: route.fulfill(status=status, body=json.dumps(body), headers=headers),
        )

    def go_away(self) -> None:
        """Have no network at all."""
        self._context.set_offline(True)

    def come_back(self) -> None:
        """Have one again."""
        self._context.set_offline(False)

    def throttle(self, page: Page, bytes_per_second: int, latency_ms: int) -> None:
        """Make this page's network as slow as a telephone's in the country."""
        session = self._context.new_cdp_session(page)
        speed = {"downloadThroughput": bytes_per_second, "uploadThroughput": bytes_per_second}
        session.send("Network.emulateNetworkConditions", {"offline": False, "latency": latency_ms, **speed})

    def _intercept(self, pattern: Pattern, times: int | None, method: str, respond: Any) -> None:
        remaining = times

        def handle(route: Route) -> None:
            nonlocal remaining
            if remaining == 0 or (method and route.request.method != method):
                route.fallback()
                return
            remaining = remaining if remaining is None else remaining - 1
            respond(route)

        self._context.route(pattern, handle)
