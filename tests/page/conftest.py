"""A browser, and the local cloud in each AuthMode that has a page. `make test-page` alone collects these tests."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from layers.core.terms import VERSION
from local.cloud import STACK, Cloud
from local.demo import draw_pictures
from local.publish_demo_pack import publish_demo_pack
from local.standins.servers import StandIns
from tests.support import log_leaks
from tools.api_keys import ApiKeyStore
from tools.settings import SettingsDocument

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.page.openid_provider import OpenIdProvider
    from tests.page.visitor import Visitor

# The driver is in .venv-page alone (requirements/page.in).
collect_ignore_glob = [] if importlib.util.find_spec("playwright") else ["test_*.py"]

SEEN_MS = 20_000  # until something shows, where a sandbox may have to start first
NOW = datetime(2026, 11, 28, tzinfo=UTC)  # when keys are made; nothing depends on it


@dataclass(frozen=True)
class PageStack:
    """A deployed stack that serves the page."""

    cloud: Cloud
    issuer: OpenIdProvider | None = None

    @property
    def address(self) -> str:
        """Where the page is, without a slash at its end."""
        return self.cloud.browser_url

    @property
    def origins(self) -> set[str]:
        """Where the page may send requests: its API, the buckets, and the issuer."""
        return {self.address, self.cloud.endpoint, *([self.issuer.origin] if self.issuer else [])}

    def make_key(self, name: str, accept_terms: bool = True) -> str:
        """A new API key of that name."""
        key = ApiKeyStore(self.cloud.client("dynamodb"), self.cloud.state_table).make(name, NOW)
        if accept_terms:
            self.cloud.request("POST", "/terms", {"version": VERSION}, key=key).raise_for_status()
        return key


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's pictures by name."""
    return {name: each.path for name, each in draw_pictures(tmp_path_factory.mktemp("drawn")).items()}


@pytest.fixture(scope="session")
def browser(pictures: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Debian's Chromium, in which no name but this machine's has an address, and whose camera sees ruby."""
    from playwright.sync_api import expect, sync_playwright

    from tests.page.visitor import SHOTS, write_camera_film

    chromium = shutil.which("chromium")
    assert chromium, "Install Chromium first: apt-get install chromium"
    shutil.rmtree(SHOTS, ignore_errors=True)
    SHOTS.mkdir(parents=True)
    film = tmp_path_factory.mktemp("camera") / "ruby.mjpeg"
    write_camera_film(pictures["ruby"], film)
    arguments = [
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]
    expect.set_options(timeout=SEEN_MS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def standins() -> Iterator[StandIns]:
    """The voice and the footage service of all stacks."""
    with StandIns() as standins:
        yield standins


@pytest.fixture(scope="session")
def stacks(standins: StandIns) -> Iterator[Callable[..., Cloud]]:
    """Starts a stack with these parameters; all end with the session, and none may have logged what it must not."""
    with ExitStack() as running:

        def start(private: Callable[[], list[str]] = list, **parameters: str) -> Cloud:
            cloud = running.enter_context(Cloud())
            cloud.deploy(parameters, standins.environment)
            publish_demo_pack(cloud)
            running.callback(lambda: log_leaks.assert_no_leaks(cloud, private()))
            return cloud

        yield start


@pytest.fixture(scope="session")
def open_stack(stacks: Callable[..., Cloud]) -> PageStack:
    """Open to everybody, as `make up` is."""
    return PageStack(stacks(AuthMode="open"))


@pytest.fixture(scope="session")
def key_stack(stacks: Callable[..., Cloud]) -> PageStack:
    """Open to those with a key."""
    return PageStack(stacks(AuthMode="key"))


@pytest.fixture(scope="session")
def issuer() -> Iterator[OpenIdProvider]:
    """The OpenID provider."""
    from tests.page.openid_provider import OpenIdProvider

    with OpenIdProvider() as provider:
        yield provider


@pytest.fixture(scope="session")
def jwt_stack(stacks: Callable[..., Cloud], issuer: OpenIdProvider) -> PageStack:
    """Open to those whom the issuer knows; nobody may log a token of its."""
    from tests.page.openid_provider import AUDIENCE, CLIENT_ID, SCOPES

    cloud = stacks(lambda: issuer.tokens, AuthMode="jwt", JwtIssuer=issuer.issuer, JwtAudience=AUDIENCE)
    client = {"sign_in_client_id": CLIENT_ID, "sign_in_scopes": " ".join(SCOPES)}
    SettingsDocument(cloud.client("ssm"), STACK).change(lambda settings: settings.changed(client))
    issuer.redirect_uris.add(f"{cloud.browser_url}/")
    return PageStack(cloud, issuer)


@pytest.fixture(scope="session")
def iam_stack(stacks: Callable[..., Cloud]) -> PageStack:
    """Open to those who sign for AWS, which a browser cannot."""
    return PageStack(stacks(AuthMode="iam"))


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visitor]]:
    """Gives a browser that has never been at the page of a stack; options are those of Playwright's new_context."""
    from tests.page import visitor

    with ExitStack() as visits:

        def enter(stack: PageStack, **options: Any) -> Visitor:
            return visits.enter_context(visitor.visit(browser, stack.address, stack.origins, **options))

        yield enter


@pytest.fixture
def guest(visit: Callable[..., Visitor], open_stack: PageStack) -> Visitor:
    """Somebody who has just opened the page of a stack that is open to everybody."""
    visitor = visit(open_stack)
    visitor.open()
    return visitor
