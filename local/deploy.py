"""Deploys the stack to AWS and takes it away again: `python -m local.deploy up|down --env NAME`.

NAME is an environment of samconfig.toml. `up` builds, deploys, and prints the outputs and a first request; `down`
deletes the stack, and its buckets, which CloudFormation keeps, with all that is in them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from layers.core.terms import VERSION

ROOT = Path(__file__).resolve().parent.parent
SAM = str(ROOT / ".venv-lint/bin/sam")
BUCKETS = ("ModelsBucketName", "UploadsBucketName", "OutputsBucketName")


def _configured(environment: str, command: str) -> dict[str, Any]:
    with (ROOT / "samconfig.toml").open("rb") as file:
        known: dict[str, Any] = tomllib.load(file)
    found: dict[str, Any] = known[environment][command]["parameters"]
    return found


def stack_name(environment: str) -> str:
    """Of an environment. Raises KeyError where samconfig.toml has none of this name."""
    return str(_configured(environment, "global")["stack_name"])


def overrides(environment: str, release: str, accept_terms: bool = False) -> list[str]:
    """The stack's parameters on sam's command line, which hides those of samconfig.toml; so they are repeated.

    CanaryRelease is always among them: what is not named keeps its last value, and no new version would be made. For
    the same reason a stack whose terms have been accepted needs no word about them again.
    """
    configured = str(_configured(environment, "deploy").get("parameter_overrides", "")).split()
    terms = [f"AcceptTerms={VERSION}"] if accept_terms else []
    return [*configured, *terms, f'CanaryRelease="{release}"']


def release() -> str:
    """A name that no other deployment has: the time, and the commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{commit.stdout.strip()}"


def outputs(formation: Any, stack: str) -> dict[str, str]:
    """Of a deployed stack; `formation` is boto3's client. Raises botocore's errors."""
    (found,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in found["Outputs"]}


def parameters(formation: Any, stack: str) -> dict[str, str]:
    """Of a deployed stack, as it was deployed last. Raises botocore's errors."""
    (deployed,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in deployed["Parameters"]}


def state_table(formation: Any, stack: str) -> str:
    """The name of a deployed stack's table. Raises botocore's errors."""
    resource = formation.describe_stack_resource(StackName=stack, LogicalResourceId="StateTable")
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def hello(found: dict[str, str], region: str, auth_mode: str = "iam") -> str:
    """A request that a person whom the API lets in can send at once."""
    url = f"{found['ApiUrl']}/openapi.json"
    if auth_mode == "iam":
        return (
            f"curl --aws-sigv4 aws:amz:{region}:execute-api --user $AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY \\\n"
            f"  -H x-amz-security-token:$AWS_SESSION_TOKEN {url}"
        )
    headers = {"key": '-H "x-api-key: $KEY" ', "jwt": '-H "Authorization: Bearer $TOKEN" '}
    return f"curl {headers.get(auth_mode, '')}{url}"


def warning(stack_outputs: dict[str, str], auth_mode: str) -> str:
    """What an operator must hear who left the API open; else nothing."""
    if auth_mode != "open":
        return ""
    rule = "!" * 100
    return (
        f"{rule}\nAuthMode is open: anyone who knows {stack_outputs['ApiUrl']}\n"
        f"can use this stack and spend your money. To close it, deploy with AuthMode=key, iam or jwt.\n{rule}"
    )


def empty(s3: Any, bucket: str) -> int:
    """Deletes every object of a bucket; how many there were."""
    gone = 0
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
        if keys:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
            gone += len(keys)
    return gone


def up(environment: str, canary: bool, accept_terms: bool) -> None:
    """Build, deploy, tell."""
    import boto3

    subprocess.run([SAM, "build", "--config-env", environment], check=True, cwd=ROOT)
    chosen = overrides(environment, release() if canary else "", accept_terms)
    subprocess.run([SAM, "deploy", "--config-env", environment, "--parameter-overrides", *chosen], check=True, cwd=ROOT)
    session = boto3.session.Session()
    found = outputs(session.client("cloudformation"), stack_name(environment))
    print("\n".join(f"{name:22}{value}" for name, value in found.items()))
    auth_mode = parameters(session.client("cloudformation"), stack_name(environment))["AuthMode"]
    print(f"\nPublish models (make models BUCKET={found['ModelsBucketName']} …), then try:\n")
    if auth_mode == "key":
        print(f"make key NAME=your-name ENV={environment}  # prints a key, once: KEY=…")
    print(hello(found, session.region_name, auth_mode))
    if text := warning(found, auth_mode):
        print(f"\n{text}", file=sys.stderr)


def down(environment: str) -> None:
    """Ask, then delete the stack, and the buckets with all that is in them."""
    import boto3

    stack = stack_name(environment)
    found = outputs(boto3.client("cloudformation"), stack)
    buckets = [found[name] for name in BUCKETS]
    print(f"This deletes the stack {stack}, and these buckets with all that is in them, models too:")
    print("\n".join(buckets))
    if input(f"Type {stack} to go on: ") != stack:
        sys.exit("Nothing was deleted.")
    subprocess.run([SAM, "delete", "--config-env", environment, "--no-prompts"], check=True, cwd=ROOT)
    s3 = boto3.client("s3")
    for bucket in buckets:
        print(f"{bucket}: {empty(s3, bucket)} objects deleted")
        s3.delete_bucket(Bucket=bucket)


def main() -> None:
    """Of the account and region that boto3 and sam find."""
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__)
    parser.add_argument("what", choices=("up", "down"))
    parser.add_argument("--env", default="default", help="an environment of samconfig.toml")
    parser.add_argument("--canary", action="store_true", help="with up: a tenth of the traffic first")
    parser.add_argument("--accept-terms", action="store_true", help="you accept the terms in docs/responsible-use.md")
    given = parser.parse_args()
    if given.what == "up":
        up(given.env, given.canary, given.accept_terms)
    else:
        down(given.env)


if __name__ == "__main__":
    main()
