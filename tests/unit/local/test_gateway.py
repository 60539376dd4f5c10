"""What passes the gateway: paths of the API, links and forms that the stack signed; botocore signs them here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
import requests
from botocore.config import Config

from local.gateway import is_plain_path, parse_form, pass_headers
from local.public_access import PublicAddressFailed, check_url
from local.s3_signatures import check_form, check_link, is_signed_link

SECRET, HOST = "a secret of one run", "127.0.0.1:4566"


def sign(secret: str = SECRET, seconds: int = 60) -> str:
    """The target of a presigned link to an object with a name that needs escapes."""
    parameters = {"Bucket": "outputs", "Key": "a b/ü.mp4", "ResponseContentDisposition": 'attachment; filename="a.mp4"'}
    link: str = _s3(secret).generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds)
    return link.removeprefix(f"http://{HOST}")


def _s3(secret: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}",
        region_name="us-east-1",
        aws_access_key_id="local",
        aws_secret_access_key=secret,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


def test_a_link_that_the_stack_signed_works_until_it_expires() -> None:
    target, now = sign(), datetime.now(UTC)

    assert is_signed_link(target)
    assert check_link("GET", target, HOST, SECRET, now)
    assert not check_link("GET", target, HOST, SECRET, now + timedelta(seconds=61))


@pytest.mark.parametrize(
    "change",
    [
        lambda target: target.replace("/outputs/", "/models/"),
        lambda target: target + "&versionId=1",
        lambda target: target.replace("X-Amz-Expires=60", "X-Amz-Expires=600"),
        lambda target: target.replace("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=600"),
        lambda target: target.replace("X-Amz-SignedHeaders=host", "X-Amz-SignedHeaders=host%3Bx-amz-acl"),
        lambda target: target.partition("?")[0] + "?X-Amz-Signature=" + "0" * 64,
        lambda target: sign("local"),
    ],
    ids=["bucket", "field", "expiry", "twice", "headers", "bare", "well-known secret"],
)
def test_a_link_that_was_changed_or_signed_by_others_does_not(change: Any) -> None:
    assert not check_link("GET", change(sign()), HOST, SECRET, datetime.now(UTC))


def test_a_link_to_read_deletes_nothing() -> None:
    assert not check_link("DELETE", sign(), HOST, SECRET, datetime.now(UTC))


def test_a_form_arrives_as_it_was_sent_and_only_the_stack_signs_it() -> None:
    form = _s3(SECRET).generate_presigned_post("uploads", "requests/a", ExpiresIn=60)
    content, now = bytes(range(256)) * 9 + b"\r\n--\n\r", datetime.now(UTC)
    sent = requests.Request("POST", form["url"], data=form["fields"], files={"file": ("a", content)}).prepare()
    assert isinstance(sent.body, bytes)

    fields, file = parse_form(sent.headers["Content-Type"], sent.body)

    assert (fields, file) == (form["fields"], content)
    assert check_form(fields, SECRET, now)
    assert not check_form(fields, SECRET, now + timedelta(seconds=61))
    assert not check_form(fields, "local", now)
    assert not check_form({**fields, "policy": fields["policy"] + "IA=="}, SECRET, now)
    assert not check_form({}, SECRET, now)


def test_a_form_that_names_a_field_twice_is_no_form() -> None:
    twice = requests.Request("POST", "http://a", data=[("key", "a"), ("key", "b")], files={"file": b"1"}).prepare()
    assert isinstance(twice.body, bytes)

    assert parse_form(twice.headers["Content-Type"], twice.body) == ({}, None)
    assert parse_form("text/plain", b"no form") == ({}, None)


@pytest.mark.parametrize(
    ("target", "passes"),
    [
        ("/swap", True),
        ("/task/a?x=../..", True),
        ("/", True),
        ("/docs/", True),
        ("/../../_ministack/reset", False),
        ("/%2e%2e/_ministack/reset", False),
        ("/%252e%252e/a", False),
        ("/..\\..\\a", False),
        ("//models/packs", False),
        ("http://127.0.0.1/_ministack/reset", False),
        ("*", False),
    ],
)
def test_no_path_leaves_the_api(target: str, passes: bool) -> None:
    assert is_plain_path(target) == passes


def test_headers_that_steer_the_emulator_stay_outside() -> None:
    headers = Message()
    passing = {"x-api-key": "k", "Prefer": "respond-async", "Idempotency-Key": "i", "Content-Type": "image/png"}
    for name, value in {
        **passing,
        "Host": "s3.localhost",
        "X-Amz-Target": "DynamoDB_20120810.Scan",
        "Authorization": "AWS4-HMAC-SHA256 Credential=local/20261128/us-east-1/lambda/aws4_request",
        "X-Forwarded-Host": "a",
        "Connection": "close",
    }.items():
        headers[name] = value

    assert pass_headers(headers) == passing


def test_a_bearer_token_passes() -> None:
    headers = Message()
    headers["Authorization"] = "Bearer ck_x"
    assert pass_headers(headers) == {"Authorization": "Bearer ck_x"}


def test_a_public_url_is_a_scheme_and_a_host() -> None:
    assert check_url("https://name.example/") == "https://name.example"
    assert check_url("http://192.168.1.5:4566") == "http://192.168.1.5:4566"
    for wrong in ("name.example", "ftp://a", "https://", "https://a/b", "https://a?b"):
        with pytest.raises(PublicAddressFailed, match=r"PUBLIC|public URL"):
            check_url(wrong)


def test_links_are_told_from_other_queries() -> None:
    assert not is_signed_link("/swap?signature=1")
    assert urlsplit(sign()).path.startswith("/outputs/")
