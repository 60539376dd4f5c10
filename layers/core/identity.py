"""Who calls the HTTP API, as API Gateway's authoriser puts it into the event (payload format 2.0).

An identity is what its holder cannot choose. It never leaves the process: pseudonyms.py makes of it what is stored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from layers.core.errors import Unidentified

AuthMode = Literal["iam", "jwt", "key", "open"]

ANONYMOUS = "anonymous"
"""Everybody who calls an API that its operator opened by setting. They are one caller."""

_SSO_ROLE = ":assumed-role/AWSReservedSSO_"  # of IAM Identity Center, whose users cannot choose the session's name
_ROLE = ":assumed-role/"
_FEDERATED_USER = ":federated-user/"
_USER_ARN = re.compile(r"arn:[\w-]+:iam::\d{12}:(?:user/.+|root)")


def auth_mode(value: str) -> AuthMode:
    """The mode by its name. Raises ValueError, so that a bad deployment fails at its first start."""
    if value not in get_args(AuthMode):
        raise ValueError(f"AUTH_MODE must be one of {', '.join(get_args(AuthMode))}, not {value!r}")
    return cast(AuthMode, value)


def identity(event: Mapping[str, Any], mode: AuthMode) -> str:
    """The caller of a request, a name with its kind before a colon; ANONYMOUS only where the mode is open.

    Raises Unidentified where the event names nobody by the means of that mode.
    """
    if mode == "open":
        return ANONYMOUS
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    match mode:
        case "iam":
            return _iam(authorizer.get("iam") or {})
        case "jwt":
            claims = (authorizer.get("jwt") or {}).get("claims") or {}
            return _named("jwt", claims.get("iss"), claims.get("sub"))
        case "key":
            return _named("key", (authorizer.get("lambda") or {}).get("key"))


def earlier_owner(event: Mapping[str, Any]) -> str | None:
    """The name that 0.1.0 kept an IAM user's tasks under, for those that were running when the stack was updated.

    It was the ARN, which for a role ends with what its holder chose; so only a user's counts, or the account's root.
    """
    context = (event.get("requestContext", {}).get("authorizer") or {}).get("iam") or {}
    arn = str(context.get("userArn") or "")
    return arn if _USER_ARN.fullmatch(arn) else None


def _iam(context: Mapping[str, Any]) -> str:
    """Of an IAM principal (IAM User Guide, "Unique identifiers"; `callerId` is ID or ID:SESSION).

    The session's name is chosen by whoever assumes a role, so it says nothing, except where IAM Identity Center chose
    it. All users of a Cognito identity pool share one role and one session name; what tells them apart is the
    identity. A guest's costs nothing to make anew, so it would be a budget without an end.
    """
    cognito = context.get("cognitoIdentity") or {}
    if cognito.get("identityId"):
        if "unauthenticated" in (cognito.get("amr") or ()):
            raise Unidentified(
                "Guest identities of a Cognito identity pool cannot be told apart. Sign in to the pool first."
            )
        return _named("cognito", cognito["identityId"])
    arn = str(context.get("userArn") or "")
    principal, _, session = str(context.get("callerId") or context.get("userId") or "").partition(":")
    if _SSO_ROLE in arn:
        return _named("sso", principal, session)
    if _ROLE in arn:
        return _named("role", principal)
    if _FEDERATED_USER in arn:
        raise Unidentified("Federated users' names are freely chosen, so they identify nobody. Assume a role instead.")
    return _named("iam", principal)


def _named(kind: str, *parts: Any) -> str:
    if not all(isinstance(part, str) and part for part in parts):
        raise Unidentified()
    return ":".join((kind, *parts))
