"""An OpenID provider on this machine: authorization code with PKCE (RFC 7636) for one public client.

It is as strict as the standards ask of it (OpenID Connect Core 3.1, RFC 6749 4.1, RFC 7636 4.6), so that a page which
signs in here does so elsewhere. Tokens are RS256 (RFC 7519), the only kind that API Gateway checks.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from local.standins.http_server import Faults, RecordedRequest, Request, Response, Service

CLIENT_ID = "coldswap-page"
AUDIENCE = "coldswap"
SCOPES = ("openid", "coldswap/memes")
USER, PASSWORD = "ada", "correct horse battery staple"
REALM = "/realm"
COOKIE = "session"
CODE_SECONDS = 60
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # of SHA-256, RFC 7636 4.2
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 4.1

FORM = """<!DOCTYPE html><html lang="en"><title>Sign in</title><form method="post" action="{action}">
<label>User <input name="user" autocomplete="username"></label>
<label>Password <input name="password" type="password" autocomplete="current-password"></label>
<button>Sign in</button><p role="alert">{problem}</p></form></html>"""


class AuthorizationRefused(Exception):
    """An error of RFC 6749 4.1.2.1 or OpenID Connect 3.1.2.6, whose code is the message; the client hears of it."""


@dataclass(frozen=True)
class Grant:
    """What a code stands for."""

    redirect_uri: str
    challenge: str
    scope: str
    nonce: str
    expires: float


class OpenIdProvider:
    """The provider on a free loopback port; a context manager. `faults` are those of the stand-ins, under "openid"."""

    def __init__(self) -> None:
        self.redirect_uris: set[str] = set()
        self.token_seconds = 3600
        self.requests: list[RecordedRequest] = []
        self.faults = Faults()
        self.tokens: list[str] = []  # all that were issued
        self._service = Service("openid", self._respond, self.faults, self.requests)
        self.issuer = self._service.url + REALM
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._key_id = secrets.token_hex(4)
        self._sessions: set[str] = set()
        self._grants: dict[str, Grant] = {}

    def __enter__(self) -> Self:
        self._service.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults.clear()
        self._service.__exit__()

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return self._service.url

    def end_sessions(self) -> None:
        """Sign everybody out at the provider."""
        self._sessions.clear()

    def paths(self) -> list[str]:
        """Paths of all requests below the realm, in the order of the responses."""
        return [record.path.removeprefix(REALM) for record in self.requests]

    def _respond(self, request: Request, fault: object) -> Response:
        match request.method, request.path.removeprefix(REALM):
            case "GET", "/.well-known/openid-configuration":
                return Response.of(self._describe(), headers=_ANY_ORIGIN)
            case "GET", "/jwks":
                return Response.of({"keys": [self._public_key()]}, headers=_ANY_ORIGIN)
            case "GET", "/authorize":
                return self._authorize(request)
            case "POST", "/login":
                return self._log_in(request)
            case "POST", "/token":
                return self._exchange(dict(parse_qsl(request.body.decode())))
        return Response(404)

    def _describe(self) -> dict[str, object]:
        """The discovery document (OpenID Connect Discovery 3)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
            "scopes_supported": list(SCOPES),
        }

    def _authorize(self, request: Request) -> Response:
        query = request.query
        if query.get("client_id") != CLIENT_ID or query.get("redirect_uri") not in self.redirect_uris:
            return _page(400, "Unknown client or redirect URI.")  # never redirected (RFC 6749 4.1.2.1)
        try:
            _check_authorization(query)
            if self._has_session(request) and query.get("prompt") != "login":
                answer = {"code": self._issue_code(query)}
            elif query.get("prompt") == "none":
                raise AuthorizationRefused("login_required")
            else:
                return _page(200, FORM.format(action=_login_action(query), problem=""))
        except AuthorizationRefused as refusal:
            answer = {"error": str(refusal)}
        answer |= {"state": query["state"]} if "state" in query else {}
        return Response(302, {"Location": f"{query['redirect_uri']}?{urlencode(answer)}", **_NO_STORE})

    def _log_in(self, request: Request) -> Response:
        fields = dict(parse_qsl(request.body.decode()))
        if (fields.get("user"), fields.get("password")) != (USER, PASSWORD):
            return _page(401, FORM.format(action=_login_action(request.query), problem="Wrong user or password."))
        session = secrets.token_urlsafe()
        self._sessions.add(session)
        query = {name: value for name, value in request.query.items() if name != "prompt"}
        cookie = f"{COOKIE}={session}; HttpOnly; SameSite=Lax; Path={REALM}"
        return Response(302, {"Location": f"{REALM}/authorize?{urlencode(query)}", "Set-Cookie": cookie, **_NO_STORE})

    def _has_session(self, request: Request) -> bool:
        cookie = SimpleCookie(request.headers.get("cookie", "")).get(COOKIE)
        return cookie is not None and cookie.value in self._sessions

    def _issue_code(self, query: Mapping[str, str]) -> str:
        code = secrets.token_urlsafe()
        expires = time.monotonic() + CODE_SECONDS
        self._grants[code] = Grant(
            query["redirect_uri"], query["code_challenge"], query["scope"], query.get("nonce", ""), expires
        )
        return code

    def _exchange(self, fields: Mapping[str, str]) -> Response:
        """The token response (RFC 6749 4.1.4); only the page that asked may read it."""
        grant = self._grants.pop(fields.get("code", ""), None)  # a code works once
        verifier = fields.get("code_verifier", "")
        parts = urlsplit(grant.redirect_uri if grant else "")
        headers = {"Access-Control-Allow-Origin": f"{parts.scheme}://{parts.netloc}", **_NO_STORE}
        if fields.get("grant_type") != "authorization_code":
            return Response.of({"error": "unsupported_grant_type"}, 400, headers)
        if fields.get("client_id") != CLIENT_ID or "client_secret" in fields:
            return Response.of({"error": "invalid_client"}, 401, headers)
        if (
            grant is None
            or time.monotonic() > grant.expires
            or fields.get("redirect_uri") != grant.redirect_uri
            or not _VERIFIER.fullmatch(verifier)
            or _encode(hashlib.sha256(verifier.encode()).digest()) != grant.challenge
        ):
            return Response.of({"error": "invalid_grant"}, 400, headers)
        return Response.of(self._issue_tokens(grant), headers=headers)

    def _issue_tokens(self, grant: Grant) -> dict[str, object]:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": USER, "iat": now, "exp": now + self.token_seconds}
        access = self._sign({**claims, "aud": AUDIENCE, "client_id": CLIENT_ID, "scope": grant.scope})
        nonce = {"nonce": grant.nonce} if grant.nonce else {}
        identity = self._sign({**claims, "aud": CLIENT_ID, **nonce})
        self.tokens += [access, identity]
        return {
            "access_token": access,
            "id_token": identity,
            "token_type": "Bearer",
            "expires_in": self.token_seconds,
            "scope": grant.scope,
        }

    def _sign(self, claims: Mapping[str, object]) -> str:
        header = {"alg": "RS256", "typ": "JWT", "kid": self._key_id}
        text = ".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
        return f"{text}.{_encode(self._key.sign(text.encode(), padding.PKCS1v15(), SHA256()))}"

    def _public_key(self) -> dict[str, Any]:
        """The key as JWK (RFC 7518 6.3.1)."""
        numbers = self._key.public_key().public_numbers()
        modulus, exponent = (_encode(each.to_bytes((each.bit_length() + 7) // 8)) for each in (numbers.n, numbers.e))
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": self._key_id, "n": modulus, "e": exponent}


_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}
_NO_STORE = {"Cache-Control": "no-store"}


def _check_authorization(query: Mapping[str, str]) -> None:
    """Raise AuthorizationRefused unless it asks for a code with PKCE, for scopes that there are, and with a state."""
    if query.get("response_type") != "code":
        raise AuthorizationRefused("unsupported_response_type")
    scopes = query.get("scope", "").split()
    if not scopes or not set(scopes) <= set(SCOPES):
        raise AuthorizationRefused("invalid_scope")
    if query.get("code_challenge_method") != "S256" or not _CHALLENGE.fullmatch(query.get("code_challenge", "")):
        raise AuthorizationRefused("invalid_request")
    if len(query.get("state", "")) < 16:
        raise AuthorizationRefused("invalid_request")


def _login_action(query: Mapping[str, str]) -> str:
    return html.escape(f"{REALM}/login?{urlencode(query)}")


def _page(status: int, body: str) -> Response:
    return Response(status, {"Content-Type": "text/html; charset=utf-8", **_NO_STORE}, body.encode())


def _encode(data: bytes) -> str:
    """Base64url without padding (RFC 7515)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
