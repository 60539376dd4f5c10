"""What is sent for a URL: hosts and paths as browsers encode them, and nothing that a browser would not call a URL."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.core.errors import RefusedUrl
from layers.core.url_check import Target, join_location, parse_url

NONE: frozenset[str] = frozenset()
# UTS 46, non-transitional; the A-labels are those of RFC 3492's authors, of registries and of IANA's test domains.
HOSTS = {
    "example.com": "example.com",
    "EXAMPLE.com": "example.com",
    "bücher.example": "xn--bcher-kva.example",
    "BÜCHER.EXAMPLE": "xn--bcher-kva.example",
    "bu\u0308cher.example": "xn--bcher-kva.example",  # u and a combining diaeresis
    "faß.example": "xn--fa-hia.example",
    "例え.テスト": "xn--r8jz45g.xn--zckzah",
    "例え。テスト": "xn--r8jz45g.xn--zckzah",
    "उदाहरण.परीक्षा": "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g",
    "i❤.example": "xn--i-7iq.example",
    "\uff45\uff58ample.com": "example.com",  # full-width letters
    "exam\u00adple.com": "example.com",
    "xn--bcher-kva.example": "xn--bcher-kva.example",
}


@pytest.mark.parametrize(("host", "encoded"), HOSTS.items())
def test_a_host_is_encoded_as_browsers_do(host: str, encoded: str) -> None:
    assert parse_url(f"https://{host}/a.png", NONE) == Target("https", encoded, 443, "/a.png", False)


@pytest.mark.parametrize(
    "host",
    [
        "a b.example",
        "a\u3000b.example",  # an ideographic space
        "ex\uff05ample.com",  # a full-width percent sign
        "\u202eexample.com",  # right-to-left override
        "\ufffd.example",
        "ü" * 64 + ".example",
        "\u00ad.example",  # nothing is left of it
        "\uff11\uff12\uff17.1",
        "①②⑦.⓪.⓪.①",
        "127。0。0。1",
    ],
    ids=ascii,
)
def test_a_host_that_cannot_be_encoded_or_hides_an_address_is_refused(host: str) -> None:
    try:
        target = parse_url(f"https://{host}/", NONE)
    except RefusedUrl:
        return
    assert target.host == "127.0.0.1", "its address is looked at before anything connects"


PATHS = {
    "": "/",
    "?a=b": "/?a=b",
    "/": "/",
    "/a.png#part": "/a.png",
    "/café.png": "/caf%C3%A9.png",
    "/写真/1.jpg": "/%E5%86%99%E7%9C%9F/1.jpg",
    "/my meme.png": "/my%20meme.png",
    "/my meme.png ": "/my%20meme.png",
    "/my%20meme.png": "/my%20meme.png",
    "/caf%c3%a9%2Fb": "/caf%c3%a9%2Fb",
    "/100%.png": "/100%.png",
    "/a\"b<c>d`e{f}g^h|i'j": "/a%22b%3Cc%3Ed%60e%7Bf%7Dg%5Eh|i'j",
    "/~a/-_.!*()[]@:$&+,;=": "/~a/-_.!*()[]@:$&+,;=",
    "/a?q=é ü&b=\"'<>`{}|^": "/a?q=%C3%A9%20%C3%BC&b=%22%27%3C%3E`{}|^",
    "/a?X-Sig=a%2fB%2B+c/d": "/a?X-Sig=a%2fB%2B+c/d",
    "/a?b?c": "/a?b?c",
    "/a//b/../c": "/a//b/../c",
    "//a": "//a",
    "/\U0001f600": "/%F0%9F%98%80",
}


@pytest.mark.parametrize(("path", "sent"), PATHS.items())
def test_a_path_is_encoded_as_browsers_do(path: str, sent: str) -> None:
    assert parse_url(f"https://example.com{path}", NONE).path == sent


@given(st.text(st.characters(min_codepoint=0x20, exclude_characters="\x7f\\?#%", exclude_categories=["Cs"])))
def test_a_server_decodes_the_path_that_was_meant(path: str) -> None:
    sent = parse_url(f"https://example.com/{path}/", NONE).path
    assert sent.isascii()
    assert sent.isprintable()
    assert " " not in sent
    assert unquote_to_bytes(sent).decode() == f"/{path}/"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/\ud800",
        "https://example.com/a\tb",
        "https://example.com/a\nb",
        "https://example.com/a\\b",
        "https://example.com/?a\0b",
        "https://example.com/?" + "é" * 4096,
        "https://bücher.example:444/",
        "https://ü:ü@example.com/",
    ],
    ids=lambda url: ascii(url)[:40],
)
def test_what_no_browser_would_send_so_is_refused(url: str) -> None:
    with pytest.raises(RefusedUrl):
        parse_url(url, NONE)


def test_an_international_origin_is_trusted_by_its_encoded_name() -> None:
    trusted = frozenset({"http://xn--bcher-kva.example:8000"})
    target = parse_url("http://bücher.example:8000/a b", trusted)
    assert (target.trusted, target.origin) == (True, "http://xn--bcher-kva.example:8000")


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("https://example.com/", "example.com"),
        ("https://example.com:443/", "example.com"),
        ("https://example.com./", "example.com."),
        ("https://[2606:4700::1111]/", "[2606:4700::1111]"),
        ("http://example.com:8000/", "example.com:8000"),
    ],
)
def test_the_host_header_names_the_port_only_if_it_is_not_the_usual_one(url: str, authority: str) -> None:
    assert parse_url(url, frozenset({"http://example.com:8000"})).authority == authority


# RFC 3986, section 5.4, and what browsers make of bytes that are not ASCII.
LOCATIONS = {
    "https://other.example/b.png": "https://other.example/b.png",
    "//other.example/b.png": "https://other.example/b.png",
    "/b.png": "https://example.com/b.png",
    "b.png": "https://example.com/a/b.png",
    "../b.png": "https://example.com/b.png",
    "?c=d": "https://example.com/a/x.png?c=d",
    " /b.png ": "https://example.com/b.png",
    "/b.png#part": "https://example.com/b.png#part",
    "http://other.example/": "http://other.example/",
    "/caf\xc3\xa9.png": "https://example.com/café.png",  # UTF-8, read as Latin-1
    "/caf\xe9.png": "https://example.com/caf%E9.png",  # Latin-1 itself
    "//b\xc3\xbccher.example/": "https://bücher.example/",
}


@pytest.mark.parametrize(("location", "url"), LOCATIONS.items())
def test_a_location_is_relative_to_the_url_that_named_it(location: str, url: str) -> None:
    assert join_location(Target("https", "example.com", 443, "/a/x.png?y=z", False), location) == url


@pytest.mark.parametrize("location", ["\\\\a.example\\b", "/a\tb", "ht\ttps://a.example/", "//[::1", "/" + "a" * 4096])
def test_a_location_that_is_no_url_is_refused(location: str) -> None:
    with pytest.raises(RefusedUrl):
        join_location(Target("https", "example.com", 443, "/", False), location)
