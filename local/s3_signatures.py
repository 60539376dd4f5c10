"""Checks what the stack has signed for S3: links, and forms for uploads (AWS Signature Version 4).

The emulator itself serves every object to whoever asks, and does not check a form's signature.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

ALGORITHM = "AWS4-HMAC-SHA256"
SIGNATURE = "X-Amz-Signature"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"


def is_signed_link(target: str) -> bool:
    """Whether a request's target has the query of a presigned link, whoever signed it."""
    return SIGNATURE in parse_qs(urlsplit(target).query)


def check_link(method: str, target: str, host: str, secret: str, now: datetime) -> bool:
    """Whether a link was signed with the secret for this method, target (path and query) and host, and still works.

    Only links whose signed headers are the host alone are accepted.
    """
    path, query = urlsplit(target).path, urlsplit(target).query
    fields = parse_qs(query, keep_blank_values=True)
    if any(len(values) != 1 for values in fields.values()):
        return False
    values = {name: value for name, (value,) in fields.items()}
    if values.get("X-Amz-Algorithm") != ALGORITHM or values.get("X-Amz-SignedHeaders") != "host":
        return False
    parts = sorted(part for part in query.split("&") if not part.startswith(f"{SIGNATURE}="))
    canonical = "\n".join([method, path, "&".join(parts), f"host:{host}", "", "host", "UNSIGNED-PAYLOAD"])
    scope = values.get("X-Amz-Credential", "").partition("/")[2]
    date = values.get("X-Amz-Date", "")
    text = "\n".join([ALGORITHM, date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    if not _matches(text, scope, secret, values.get(SIGNATURE, "")):
        return False
    signed_at = datetime.strptime(date, DATE_FORMAT).replace(tzinfo=UTC)
    return now < signed_at + timedelta(seconds=int(values["X-Amz-Expires"]))


def check_form(fields: Mapping[str, str], secret: str, now: datetime) -> bool:
    """Whether a form's policy was signed with the secret and has not expired. S3 checks the policy's conditions."""
    policy, credential = fields.get("policy", ""), fields.get("x-amz-credential", "")
    if not _matches(policy, credential.partition("/")[2], secret, fields.get("x-amz-signature", "")):
        return False
    return now < datetime.fromisoformat(json.loads(base64.b64decode(policy))["expiration"])


def _matches(text: str, scope: str, secret: str, signature: str) -> bool:
    """Whether this is the text's signature by the secret's key for a scope (date/region/service/aws4_request)."""
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex().encode(), signature.encode())
