"""Getting in, in each AuthMode, and what stays behind in the browser: never a key, a token or a link."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from local.cloud import STACK
from tests.page.conftest import PageStack
from tests.page.openid_provider import PASSWORD, REALM, USER, OpenIdProvider
from tests.page.panels import DRAWN, SwapTab
from tests.page.visitor import Visitor, press, type_into
from tools.api_keys import ApiKeyStore
from tools.settings import SettingsDocument

WRONG_KEY = "ck_" + "n" * 43
KEY = "API key"
REFUSED = "The stack does not accept this key."


@pytest.fixture
def no_client(jwt_stack: PageStack) -> Iterator[None]:
    """An operator who has not configured a client, for the test."""
    settings = SettingsDocument(jwt_stack.cloud.client("ssm"), STACK)
    before = settings.read()
    settings.reset()
    jwt_stack.cloud.force_cold_start()  # a sandbox reads them anew after a minute
    yield
    settings.change(lambda _: before)
    jwt_stack.cloud.force_cold_start()


def give_key(page: Page, key: str) -> None:
    """Paste a key where the page asks for one."""
    page.get_by_label(KEY).fill(key)
    page.get_by_role("button", name="Use this key").click()


def log_in(page: Page) -> None:
    """Fill in the issuer's form."""
    page.get_by_label("User").fill(USER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def enter(page: Page) -> None:
    """Accept the terms, unless this user has in an earlier test."""
    accept = page.get_by_role("button", name="I accept these terms")
    meme = SwapTab(page).meme.root
    expect(meme.or_(accept)).to_be_visible()
    if accept.is_visible():
        accept.click()
    expect(meme).to_be_visible()


def test_a_wrong_key_is_refused_beside_its_field_and_a_right_one_opens_the_page(
    visit: Callable[..., Visitor], key_stack: PageStack
) -> None:
    visitor = visit(key_stack)
    page, key = visitor.open(), key_stack.make_key("wrong-first")
    for wrong in (WRONG_KEY, "", "two words"):
        give_key(page, wrong)
        expect(page.get_by_role("alert").filter(has_text=REFUSED)).to_be_visible()
        expect(page.get_by_label(KEY)).to_have_attribute("aria-invalid", "true")
    visitor.inspect("key-wrong")

    type_into(page, page.get_by_label(KEY), key)
    page.keyboard.press("Enter")
    expect(SwapTab(page).meme.root).to_be_visible()
    expect(page.get_by_label(KEY)).to_be_hidden()
    assert key not in visitor.stored()
    assert key not in page.content()


def test_whoever_is_new_accepts_the_terms_once_with_their_text(
    visit: Callable[..., Visitor], key_stack: PageStack
) -> None:
    key = key_stack.make_key("newcomer", accept_terms=False)
    text = key_stack.cloud.request("GET", "/terms", key=key).json()["text"]
    visitor = visit(key_stack)
    page = visitor.open()
    give_key(page, key)
    terms = page.get_by_role("region", name="Before you start")
    expect(terms.get_by_role("listitem")).to_have_text(text)
    expect(SwapTab(page).meme.root).to_be_hidden()
    visitor.inspect("terms")
    press(page, terms.get_by_role("button", name="I accept these terms"))
    expect(SwapTab(page).meme.root).to_be_visible()

    page.reload()
    give_key(page, key)
    expect(SwapTab(page).meme.root).to_be_visible()
    expect(terms).to_be_hidden()


def test_a_link_carries_the_key_in_its_fragment_which_is_removed_at_once(
    visit: Callable[..., Visitor], key_stack: PageStack
) -> None:
    visitor, key = visit(key_stack), key_stack.make_key("linked")
    page = visitor.open(f"#key={key}")
    expect(SwapTab(page).meme.root).to_be_visible()
    assert page.url == f"{key_stack.address}/"
    assert page.evaluate("history.length") == 2, "no entry of the history has the key: the blank page and this one"
    assert key not in visitor.stored()
    assert all(key not in request.url for request in visitor.watch.requests if "#" not in request.url)

    wrong = visit(key_stack)
    page = wrong.open(f"#key={WRONG_KEY}")
    expect(page.get_by_role("alert").filter(has_text=REFUSED)).to_be_visible()
    assert page.url == f"{key_stack.address}/"


def test_after_a_reload_the_key_is_asked_for_once_more_and_the_work_goes_on(
    visit: Callable[..., Visitor], key_stack: PageStack
) -> None:
    visitor, key = visit(key_stack), key_stack.make_key("reloader")
    page = visitor.open(f"#key={key}")
    tab = SwapTab(page)
    tab.choose_samples()
    tab.consent.select_option(DRAWN)
    with page.expect_response("**/swap"):
        tab.submit.click()
    page.reload()
    expect(tab.meme.root).to_be_hidden()
    give_key(page, key)
    tab.expect_result()
    assert key not in visitor.stored()


def test_a_key_that_is_revoked_meanwhile_is_told_of_and_another_goes_on(
    visit: Callable[..., Visitor], key_stack: PageStack
) -> None:
    visitor, key = visit(key_stack), key_stack.make_key("revoked")
    page = visitor.open(f"#key={key}")
    tab = SwapTab(page)
    tab.face.take("Ruby")
    ApiKeyStore(key_stack.cloud.client("dynamodb"), key_stack.cloud.state_table).revoke("revoked")
    tab.meme.sample("It works on my machine").click()
    tab.meme.expect_error("The stack no longer accepts your sign-in.")

    page.reload()
    give_key(page, key_stack.make_key("revoked"))
    tab.expect_faces()
    tab.face.expect_picture("Ruby")


def test_sign_in_by_the_issuer_lasts_over_reloads_and_leaves_no_token(
    visit: Callable[..., Visitor], jwt_stack: PageStack, issuer: OpenIdProvider
) -> None:
    visitor = visit(jwt_stack)
    page, tab = visitor.open(), SwapTab(visitor.page)
    issuer.requests.clear()
    button = page.get_by_role("button", name=f"Sign in at {urlsplit(issuer.issuer).netloc}")
    expect(button).to_be_visible()
    visitor.inspect("sign-in")
    button.click()
    log_in(page)
    enter(page)
    assert page.url == f"{jwt_stack.address}/", "code and state are removed from the address"
    tab.choose_samples()
    assert issuer.tokens
    assert not any(token in visitor.stored() for token in issuer.tokens)

    issuer.requests.clear()
    page.reload()
    tab.expect_faces()
    tab.meme.expect_picture("It works on my machine")
    assert "/authorize" in issuer.paths()
    assert "/login" not in issuer.paths(), "nobody was asked"
    assert not any(token in visitor.stored() for token in issuer.tokens)

    issuer.end_sessions()
    page.reload()
    expect(button).to_be_visible()
    expect(tab.meme.root).to_be_hidden()
    button.click()
    log_in(page)
    tab.expect_faces()


def test_a_token_that_ends_meanwhile_is_replaced_without_asking_and_the_work_goes_on(
    visit: Callable[..., Visitor], jwt_stack: PageStack, issuer: OpenIdProvider
) -> None:
    visitor = visit(jwt_stack)
    page, tab = visitor.open(), SwapTab(visitor.page)
    page.get_by_role("button", name="Sign in at").click()
    log_in(page)
    enter(page)
    tab.face.take("Ruby")
    issuer.requests.clear()
    visitor.network.answer("**/faces", 401, {"message": "Unauthorized"})
    tab.meme.sample("It works on my machine").click()
    tab.expect_faces()
    tab.face.expect_picture("Ruby")
    assert "/token" in issuer.paths()
    assert "/login" not in issuer.paths()


def test_an_answer_that_nobody_asked_for_is_not_redeemed(
    visit: Callable[..., Visitor], jwt_stack: PageStack, issuer: OpenIdProvider
) -> None:
    visitor = visit(jwt_stack)
    visitor.open()
    issuer.requests.clear()
    visitor.open("?code=stolen&state=invented")
    expect(visitor.page.get_by_role("button", name="Sign in at")).to_be_visible()
    assert visitor.page.url == f"{jwt_stack.address}/"
    assert "/token" not in issuer.paths()


def test_an_issuer_that_fails_is_named_in_a_sentence(
    visit: Callable[..., Visitor], jwt_stack: PageStack, issuer: OpenIdProvider
) -> None:
    visitor = visit(jwt_stack)
    visitor.network.cut("**/.well-known/openid-configuration")
    page = visitor.open()
    host = urlsplit(issuer.issuer).netloc
    expect(page.get_by_text(f"{host} cannot be reached from this page")).to_be_visible()

    visitor.network.answer(f"**{REALM}/token", 400, {"error": "invalid_grant"}, origin="*")
    page.reload()
    page.get_by_role("button", name="Sign in at").click()
    log_in(page)
    expect(page.get_by_text("The sign-in failed: invalid_grant.")).to_be_visible()
    visitor.inspect("sign-in-failed")


@pytest.mark.usefixtures("no_client")
def test_with_jwt_and_no_client_the_page_says_that_sign_in_is_not_configured(
    visit: Callable[..., Visitor], jwt_stack: PageStack
) -> None:
    visitor = visit(jwt_stack)
    page = visitor.open()
    expect(page.get_by_text("Sign-in is not configured on this stack.")).to_be_visible()
    expect(SwapTab(page).meme.root).to_be_hidden()
    visitor.inspect("sign-in-not-configured")


def test_with_iam_there_is_no_page(visit: Callable[..., Visitor], iam_stack: PageStack) -> None:
    visitor = visit(iam_stack)
    response = visitor.page.goto(f"{iam_stack.address}/")
    assert "html" not in response.headers["content-type"]
    assert visitor.page.get_by_role("heading").count() == 0
