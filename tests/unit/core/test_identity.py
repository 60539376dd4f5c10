"""Who calls, by events as API Gateway makes them (payload format 2.0, `requestContext.authorizer`)."""

from __future__ import annotations

from typing import Any

import pytest

from layers.core.errors import Unidentified
from layers.core.identity import ANONYMOUS, AuthMode, auth_mode, identity

ACCOUNT = "111122223333"


def iam(caller_id: str | None, arn: str | None, **more: Any) -> dict[str, Any]:
    """Of a request with a signature."""
    return {
        "iam": {
            "accessKey": "ASIAEXAMPLE",
            "accountId": ACCOUNT,
            "callerId": caller_id,
            "cognitoIdentity": None,
            "principalOrgId": "aws:PrincipalOrgID",
            "userArn": arn,
            "userId": caller_id,
            **more,
        }
    }


def assumed(role_id: str, role: str, session: str) -> dict[str, Any]:
    """Of a request with the credentials of a role."""
    return iam(f"{role_id}:{session}", f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}")


def pool(identity_id: str, amr: list[str]) -> dict[str, Any]:
    """Of a user of a Cognito identity pool: all have the session's name in common."""
    session = "CognitoIdentityCredentials"
    cognito = {"amr": amr, "identityId": identity_id, "identityPoolId": "eu-west-1:pool"}
    return iam(f"AROAPOOL:{session}", f"arn:aws:sts::{ACCOUNT}:assumed-role/Pool/{session}", cognitoIdentity=cognito)


def jwt(**claims: Any) -> dict[str, Any]:
    """Of a request with a token."""
    return {"jwt": {"claims": {"exp": "1764313200", **claims}, "scopes": None}}


def key(name: Any) -> dict[str, Any]:
    """Of a request with an API key, as our own authoriser answers."""
    return {"lambda": {"key": name}}


def caller(authorizer: Any, mode: AuthMode = "iam") -> str:
    return identity({"requestContext": {"http": {}, "authorizer": authorizer}}, mode)


USER = iam("AIDAANN", f"arn:aws:iam::{ACCOUNT}:user/team/ann")
ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_pool"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (assumed("AROAAPP", "App", "botocore-session-1"), assumed("AROAAPP", "App", "botocore-session-2")),
        (assumed("AROAEC2", "Web", "i-0123456789abcdef0"), assumed("AROAEC2", "Web", "i-0fedcba9876543210")),
        (assumed("AROAECS", "Task", "8b2cdf8d1b1f4f1b"), assumed("AROAECS", "Task", "1c9f6a7de0a14d52")),
    ],
    ids=["sessions of a role", "EC2", "ECS"],
)
def test_a_name_that_its_holder_chooses_makes_no_other_caller(one: Any, other: Any) -> None:
    assert caller(one) == caller(other)


def test_everybody_else_is_one_caller_each() -> None:
    callers = [
        caller(USER),
        caller(iam("AIDABEN", f"arn:aws:iam::{ACCOUNT}:user/ben")),
        caller(iam(ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root")),
        caller(assumed("AROAAPP", "App", "s")),
        caller(assumed("AROAOTHER", "Other", "s")),
        caller(assumed("AROASSO", "AWSReservedSSO_Admin_0123456789abcdef", "ann@example.com")),
        caller(assumed("AROASSO", "AWSReservedSSO_Admin_0123456789abcdef", "ben@example.com")),
        caller(pool("eu-west-1:ann", ["authenticated", "graph.facebook.com"])),
        caller(pool("eu-west-1:ben", ["authenticated", "graph.facebook.com"])),
        caller(jwt(iss=ISSUER, sub="ann"), "jwt"),
        caller(jwt(iss=ISSUER, sub="ben"), "jwt"),
        caller(jwt(iss="https://other.example", sub="ann"), "jwt"),
        caller(key("ann"), "key"),
        caller(key("ben"), "key"),
    ]

    assert len(set(callers)) == len(callers)


def test_a_user_is_known_by_the_id_that_survives_another_name() -> None:
    assert caller(USER) == caller(iam("AIDAANN", f"arn:aws:iam::{ACCOUNT}:user/ann-married"))


@pytest.mark.parametrize(
    ("mode", "authorizer"),
    [
        ("iam", None),
        ("iam", {}),
        ("iam", iam(None, None)),
        ("iam", iam("", "")),
        ("iam", iam(None, f"arn:aws:sts::{ACCOUNT}:assumed-role/App/session")),
        ("iam", iam("AROASSO", f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_0/ann")),
        ("iam", pool("eu-west-1:guest", ["unauthenticated"])),
        ("iam", iam(f"{ACCOUNT}:ann", f"arn:aws:sts::{ACCOUNT}:federated-user/ann")),
        ("jwt", jwt(iss=ISSUER)),
        ("jwt", jwt(sub="ann")),
        ("jwt", jwt(iss=ISSUER, sub="")),
        ("jwt", {"jwt": None}),
        ("key", key(None)),
        ("key", key("")),
        ("key", key({"name": "ann"})),
        ("key", {"lambda": None}),
        # The means of another mode says nothing in this one.
        ("jwt", USER),
        ("key", USER),
        ("iam", jwt(iss=ISSUER, sub="ann")),
        ("iam", key("ann")),
    ],
)
def test_an_event_that_names_nobody_is_refused(mode: AuthMode, authorizer: Any) -> None:
    with pytest.raises(Unidentified) as excinfo:
        caller(authorizer, mode)

    assert (excinfo.value.status, excinfo.value.retryable) == (403, False)


def test_only_the_setting_makes_a_caller_anonymous() -> None:
    assert caller(None, "open") == caller(USER, "open") == ANONYMOUS
    assert caller(USER) != ANONYMOUS


def test_a_mode_that_there_is_not_fails_the_first_start() -> None:
    with pytest.raises(ValueError, match="AUTH_MODE must be one of iam, jwt, key, open, not ''"):
        auth_mode("")
