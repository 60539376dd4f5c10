"""Who calls the HTTP API, according to API Gateway's authoriser (payload format 2.0).

An identity is something that its holder cannot choose. It is never stored: pseudonyms.py turns it into a pseudonym.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, cast, get_args

from layers.core.errors import Unidentified

AuthMode = Literal["iam", "jwt", "key", "open"]

ANONYMOUS = "anonymous"
"""Everybody who calls an API that its operator has opened; together they are one caller."""

_SSO_ROLE = ":assumed-role/AWSReservedSSO_"  # of IAM Identity Center, whose users cannot choose the session's name
_ROLE = ":assumed-role/"
_FEDERATED_USER = ":federated-user/"
_USER_ARN = re.compile(r"arn:[\w-]+:iam::\d{12}:(?:user/.+|root)")


def auth_mode(value: str) -> AuthMode:
    """The mode of that name. Raises ValueError, so that a bad deployment fails at its first start."""
    if value not in get_args(AuthMode):
        raise ValueError(f"AUTH_MODE must be one of {', '.join(get_args(AuthMode))}, not {value!r}")
    return cast(AuthMode, value)


def identity(event: Mapping[str, Any], mode: AuthMode) -> str:
    """The caller of a request, as a kind and a name with a colon between; ANONYMOUS only if the mode is open.

    Raises Unidentified if the event does not identify anybody in that mode.
    """
    if mode == "open":
        return ANONYMOUS
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    match mode:
        case "iam":
            return _iam_principal(authorizer.get("iam") or {})
        case "jwt":
            claims = (authorizer.get("jwt") or {}).get("claims") or {}
            return _join_name("jwt", claims.get("iss"), claims.get("sub"))
        case "key":
            return _join_name("key", (authorizer.get("lambda") or {}).get("key"))


def earlier_owner(event: Mapping[str, Any]) -> str | None:
    """The name under which 0.1.0 kept an IAM user's tasks, for those that were running when the stack was updated.

    It was the ARN. A role's ARN ends with what its holder chose, so only a user's counts, or the account root's.
    """
    context = (event.get("requestContext", {}).get("authorizer") or {}).get("iam") or {}
    arn = str(context.get("userArn") or "")
    return arn if _USER_ARN.fullmatch(arn) else None


def _iam_principal(context: Mapping[str, Any]) -> str:
    """The identity of an IAM principal (IAM User Guide, "Unique identifiers"; `callerId` is ID or ID:SESSION).

    Whoever assumes a role chooses the session's name, so it identifies nobody, except where IAM Identity Center chose
    it. All users of a Cognito identity pool share one role and one session name; their Cognito identity tells them
    apart. A guest can get a new one at any time, and with it a new budget, so guests are refused.
    """
    cognito = context.get("cognitoIdentity") or {}
    if cognito.get("identityId"):
        if "unauthenticated" in (cognito.get("amr") or ()):
            raise Unidentified(
                "Guest identities of a Cognito identity pool cannot be told apart. Sign in to the pool first."
            )
        return _join_name("cognito", cognito["identityId"])
    arn = str(context.get("userArn") or "")
    principal, _, session = str(context.get("callerId") or context.get("userId") or "").partition(":")
    if _SSO_ROLE in arn:
        return _join_name("sso", principal, session)
    if _ROLE in arn:
        return _join_name("role", principal)
    if _FEDERATED_USER in arn:
        raise Unidentified("A federated user's name is freely chosen, so it identifies nobody. Assume a role instead.")
    return _join_name("iam", principal)


def _join_name(kind: str, *parts: Any) -> str:
    if not all(isinstance(part, str) and part for part in parts):
        raise Unidentified()
    return ":".join((kind, *parts))
