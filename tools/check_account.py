"""Checks a deployed stack where the emulator proves nothing: `python -m tools.check_account --env NAME`.

Runs the automatic checks of docs/first-account.md, and lists the manual ones. It sends a few requests that are rejected
or fetch the API's description, and changes and deletes nothing. For AuthMode=key it takes a key from the variable KEY,
for jwt a token from TOKEN. The exit status is 1 if something deviates.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tools.account import Account
from tools.account_checks import CHECKS, Deviation, ManualCheck
from tools.stack import read_stack_name

Verdict = Literal["ok", "deviates", "manual"]

MANUAL = {
    1: "A first deployment that fails leaves nothing",
    12: "A first swap and a first video",
    13: "A link with the credentials of a session",
    14: "A step that runs out of memory has a name",
    15: "An undeliverable event is kept",
    16: "What a time-out leaves in /tmp",
    17: "Threads at 1,769 MB",
    18: "After twenty minutes",
    19: "Refused requests and ThrottleRate",
    20: "From signatures to keys",
    21: "A canary",
    22: "What a deleted stack leaves",
}


@dataclass(frozen=True)
class CheckResult:
    """One line of the table."""

    number: int
    title: str
    verdict: Verdict
    detail: str


def run_checks(account: Account) -> Iterator[CheckResult]:
    """Run all checks in the order of docs/first-account.md."""
    for number in sorted({*CHECKS, *MANUAL}):
        if number in MANUAL:
            yield CheckResult(number, MANUAL[number], "manual", "docs/first-account.md")
        else:
            yield run_check(account, number)


def run_check(account: Account, number: int) -> CheckResult:
    """Run one check; what cannot be checked from here is manual."""
    from botocore.exceptions import BotoCoreError, ClientError

    title, check = CHECKS[number]
    try:
        return CheckResult(number, title, "ok", check(account))
    except Deviation as deviation:
        return CheckResult(number, title, "deviates", str(deviation))
    except ManualCheck as reason:
        return CheckResult(number, title, "manual", str(reason))
    except (BotoCoreError, ClientError, OSError) as error:
        return CheckResult(number, title, "manual", f"could not be checked: {error}")


def read_credentials(env: Mapping[str, str]) -> dict[str, str]:
    """A caller's headers, from the variables KEY (AuthMode=key) and TOKEN (jwt)."""
    headers = {"x-api-key": env.get("KEY", ""), "authorization": f"Bearer {env['TOKEN']}" if env.get("TOKEN") else ""}
    return {name: value for name, value in headers.items() if value}


def main() -> int:
    """The exit status: 1 if something deviates."""
    parser = argparse.ArgumentParser(prog="make check-account", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    parser.add_argument("--stack", help="the name of a stack instead")
    parser.add_argument("--url", default="", help="URL of the API, if not the stack's own")
    chosen = parser.parse_args()
    import boto3

    account = Account(
        chosen.stack or read_stack_name(chosen.env), boto3.session.Session(), chosen.url, read_credentials(os.environ)
    )
    deviations = 0
    for row in run_checks(account):
        print(f"{row.number:2}  {row.verdict:8} {row.title:42} {row.detail}", flush=True)
        deviations += row.verdict == "deviates"
    return 1 if deviations else 0


if __name__ == "__main__":
    sys.exit(main())
