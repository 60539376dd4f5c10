"""What a URL that a stranger gave asks for, if it may be asked for at all: https on port 443, without credentials.

Beside that there are only the origins that the operator trusts by exact scheme, host and port. Hosts, paths and queries
are encoded as browsers do (WHATWG URL Standard, UTS 46); tricks that browsers put up with are refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import ascii_letters, digits, punctuation
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from layers.core.address_check import parse_address
from layers.core.errors import RefusedUrl

MAX_URL_CHARS = 4096  # characters
_DEFAULT_PORTS = {"https": 443, "http": 80}

_CONTROL_OR_BACKSLASH = re.compile(r"[\x00-\x1f\x7f\\]")
_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?"
)
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\.?")

# What is sent as it is: all of ASCII but the path and special-query percent-encode sets of the WHATWG URL Standard. A
# percent sign stays, so that nothing is encoded twice.
_ASCII = ascii_letters + digits + punctuation
_PATH_SAFE = "".join(set(_ASCII) - set('"#<>?^`{}'))
_QUERY_SAFE = "".join(set(_ASCII) - set("\"#<>'"))


@dataclass(frozen=True)
class Target:
    """What is asked for, and of whom; all of it ASCII, as it is sent."""

    scheme: str
    host: str
    port: int
    path: str  # with the query
    trusted: bool

    @property
    def origin(self) -> str:
        """Scheme, host, and the port if it is not the scheme's own."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS.get(self.scheme) else f"{host}:{self.port}"


def parse_url(url: str, trusted_origins: frozenset[str]) -> Target:
    """Parse a URL. Raises RefusedUrl for one that must not be fetched, whatever its name resolves to."""
    _check_characters(url)
    try:
        parts = urlsplit(url.strip(" "))
        port = parts.port
        path, query = quote(parts.path or "/", _PATH_SAFE), quote(parts.query, _QUERY_SAFE)
    except ValueError:
        raise RefusedUrl("This is not a valid URL.") from None
    if "@" in parts.netloc:
        raise RefusedUrl("A URL must not contain a user name or password.")
    scheme = parts.scheme.lower()
    host = _encode_host(parts)
    if port is None:
        port = _DEFAULT_PORTS.get(scheme, 0)
    trusted = f"{scheme}://{host}:{port}" in trusted_origins
    if not trusted and (scheme != "https" or port != 443):
        raise RefusedUrl("Only https URLs on port 443 are allowed.")
    if parts.netloc.startswith("["):
        parse_address(host)
    elif not _HOST.fullmatch(host):
        raise RefusedUrl("The host of this URL is not a valid host name.")
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        parse_address(host)
    return Target(scheme, host, port, f"{path}?{query}" if query else path, trusted)


def join_location(target: Target, location: str) -> str:
    """The URL that a Location header names, which may be relative to the target. Raises RefusedUrl.

    `location` is Latin-1, as http.client reads headers. What it means is UTF-8; other bytes stay what they are.
    """
    _check_characters(location)
    raw = location.strip(" ").encode("latin-1")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
    try:
        return urljoin(target.origin + target.path, text)
    except ValueError:
        raise RefusedUrl("This is not a valid URL.") from None


def _check_characters(url: str) -> None:
    if len(url) > MAX_URL_CHARS:
        raise RefusedUrl(f"A URL must have at most {MAX_URL_CHARS} characters.")
    # Before anything is split: Python's urlsplit drops tabs and line ends without a word.
    if _CONTROL_OR_BACKSLASH.search(url):
        raise RefusedUrl("A URL must not contain line ends, other control characters or backslashes.")


def _encode_host(parts: SplitResult) -> str:
    """The host in lower case, an international name by its A-labels. Raises RefusedUrl."""
    if parts.netloc.startswith("["):
        return (parts.hostname or "").lower()
    host = parts.netloc.partition(":")[0]
    if host.isascii():
        return host.lower()
    import idna

    try:
        # Not idna.encode, which refuses names that browsers accept: IDNA 2008 has no symbols. What a label means is
        # of no concern here, since the encoded name is the one that is checked and connected to.
        labels = idna.uts46_remap(host, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else f"xn--{label.encode('punycode').decode()}" for label in labels)
    except UnicodeError:
        raise RefusedUrl("The host of this URL is not a valid host name.") from None
