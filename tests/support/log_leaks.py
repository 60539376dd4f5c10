"""Finds what must not be logged: pictures, latents, private keys, signatures of links, and URLs with their queries."""

from __future__ import annotations

import re
from collections.abc import Iterable

from layers.core.api_keys import KEY_PATTERN
from local.cloud import Cloud

PATTERNS = {
    "a picture in a data: URI": re.compile(r"data:[\w./+-]{0,60};base64,"),
    "a picture or a latent in base64": re.compile(r"[A-Za-z0-9+/]{400}"),
    "a latent in numbers": re.compile(r"(?:-?\d*\.\d+(?:e[+-]?\d+)?[,\s\\n]+){50}"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "a webhook's secret": re.compile(r"whsec_\w"),
    "an API key": KEY_PATTERN,
    "a signature of a link or a request": re.compile(
        r"(?i)(?:X-Amz-(?:Signature|Credential|Security-Token)|Signature)="
    ),
    "a URL with its query": re.compile(r"https?://[^\s\"'\\]+\?[^\s\"'\\]"),
}


def read_logs(cloud: Cloud) -> str:
    """Read everything that the functions of a local cloud have logged so far."""
    logs = cloud.client("logs")
    groups = [each["logGroupName"] for each in logs.describe_log_groups()["logGroups"]]
    pages = logs.get_paginator("filter_log_events")
    return "\n".join(
        event["message"] for name in groups for page in pages.paginate(logGroupName=name) for event in page["events"]
    )


def find_leaks(text: str, private: Iterable[str] = ()) -> list[str]:
    """Find leaks in a text, each with the text around it; `private` are strings that must not be there either."""
    leaks = []
    for what, pattern in PATTERNS.items():
        for match in pattern.finditer(text):
            leaks.append(f"{what}: …{text[max(match.start() - 80, 0) : match.end()][:200]}…")
    return leaks + [f"something private: {each[:12]}…" for each in private if each in text]


def assert_no_leaks(cloud: Cloud, private: Iterable[str] = ()) -> None:
    """Fail if a function of this cloud has logged what it must not."""
    cloud.request("GET", "/openapi.json")
    text = read_logs(cloud)
    assert "START RequestId" in text, "the request just made is not in the log, so the log was not found"
    leaks = find_leaks(text, private)
    assert not leaks, "\n".join(leaks)
