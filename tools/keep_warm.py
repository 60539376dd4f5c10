"""`make keep-warm`: keeps a sandbox of each function warm, or stops doing so.

`python -m tools.keep_warm [--on]`. Imports, clients and the native engine stay warm; models are in memory once a
request has loaded them, for as long as Lambda keeps the sandbox (ModelRetention=container).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from functions.video.entry import release_hook
from tools.stack import read_stack_name

RULE = "KeepWarm"  # in template.yaml
PRICE = "about 0.05 dollars a month"  # docs/operations.md says how it comes about


def warm_up(functions: Any, names: Iterable[str]) -> dict[str, Any]:
    """Warm the functions up; their answers by their names. `functions` is boto3's client of Lambda.

    Raises InternalError for the first function that fails its self-test, and botocore's errors.
    """
    return release_hook.warm_up(functions, names)


def switch(formation: Any, events: Any, stack: str, on: bool) -> str:
    """Turn the stack's rule on or off; returns its name. `formation` and `events` are boto3's clients.

    Raises botocore's errors.
    """
    resource = formation.describe_stack_resource(StackName=stack, LogicalResourceId=RULE)
    rule = str(resource["StackResourceDetail"]["PhysicalResourceId"])
    (events.enable_rule if on else events.disable_rule)(Name=rule)
    return rule


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="make keep-warm", description=__doc__)
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    parser.add_argument("--on", action="store_true", help="turn it on; without this, turn it off")
    options = parser.parse_args(arguments)
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    session, stack = boto3.session.Session(), read_stack_name(options.env)
    try:
        rule = switch(session.client("cloudformation"), session.client("events"), stack, options.on)
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{rule} is on: {PRICE}. make keep-warm turns it off." if options.on else f"{rule} is off.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
