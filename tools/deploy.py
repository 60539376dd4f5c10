"""Deploys the stack to AWS and takes it away again: `python -m tools.deploy up|down|credentials --env NAME`.

NAME is an environment of samconfig.toml. `up` looks at what can be known before, builds, deploys, and prints outputs
and a first request. `down` deletes the stack in any state, and what CloudFormation keeps of it: its buckets with all
that is in them, its table, its key, its images. `credentials` prints a line for a shell, by which curl signs requests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.video.entry import release_hook
from layers.core.errors import InternalError
from layers.core.terms import VERSION
from tools import first_request, images, keep_warm, parameters, preflight, teardown
from tools.stack import (
    CONFIG,
    NESTED,
    ROOT,
    BucketDenied,
    as_overrides,
    configured,
    configured_parameters,
    deployed_parameters,
    description,
    outputs,
    remaining_buckets,
    remaining_logs,
    stack_name,
)
from tools.template import Template, buildable, load_template

SAM = str(Path(sys.executable).with_name("sam"))
DOCKERFILE = ROOT / "functions/swap/Dockerfile"
BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")  # of a deployment, in the stack's own events
PINNED = ROOT / ".aws-sam/pinned.json"  # the template with the base's digest, for sam to build
BUILT = ROOT / ".aws-sam/build/template.yaml"
OPERATIONS = ROOT / "docs/operations.md"
TEMPLATE = ROOT / "template.yaml"


class DeployFailed(Exception):
    """Nothing was deployed, or not all; the message says why and what to do."""


@dataclass(frozen=True)
class Target:
    """Where a stack is, or will be, and as whom."""

    environment: str
    stack: str
    account: str
    region: str
    client: Callable[[str], Any]  # boto3's, by the service's name

    @staticmethod
    def of(environment: str) -> Target:
        """Raises DeployFailed where samconfig.toml, the credentials or the region are missing."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            stack = stack_name(environment)
        except KeyError:
            raise DeployFailed(f"samconfig.toml has no environment {environment} with a stack_name.") from None
        session = boto3.session.Session()
        if not session.region_name:
            raise DeployFailed("No region is set. Set AWS_DEFAULT_REGION, or the profile's (aws configure).")
        try:
            account = session.client("sts").get_caller_identity()["Account"]
        except (BotoCoreError, ClientError) as error:
            raise DeployFailed(
                f"AWS rejected the credentials: {error}. Sign in (aws configure or aws sso login)."
            ) from error
        return Target(environment, stack, account, session.region_name, session.client)

    def command(self, target: str) -> str:
        """What a person types for a target of the Makefile."""
        return f"make {target}" if self.environment == "default" else f"make {target} ENV={self.environment}"


def overrides(environment: str, release: str, accept_terms: bool = False) -> list[str]:
    """The stack's parameters on sam's command line, which hides those of samconfig.toml; so they are repeated.

    CanaryRelease is always among them: what is not named keeps its last value, and no new version would be made. For
    the same reason a stack whose terms have been accepted needs no word about them again.
    """
    terms = {"AcceptTerms": VERSION} if accept_terms else {}
    return as_overrides({**configured_parameters(environment), **terms, "CanaryRelease": release})


def tags(environment: str, base: str) -> list[str]:
    """The stack's tags on sam's command line, which hides those of samconfig.toml; and what its images start from."""
    written = configured(environment, "deploy").get("tags", "")
    return [*(shlex.split(written) if isinstance(written, str) else written), f"base-image={base}"]


def release() -> str:
    """A name that no other deployment has: the time, and the commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{commit.stdout.strip()}"


def warning(stack_outputs: dict[str, str], auth_mode: str) -> str:
    """What an operator must hear who left the API open; else nothing."""
    if auth_mode != "open":
        return ""
    rule = "!" * 100
    return (
        f"{rule}\nAuthMode is open: anyone who knows {stack_outputs['ApiUrl']}\n"
        f"can use this stack and spend your money. To close it, deploy with AuthMode=key, iam or jwt.\n{rule}"
    )


def idle_costs() -> str:
    """What a month without a request costs, as docs/operations.md has it."""
    row = re.search(r"^\| a month without a request: (.+) \| ([^|]+) \|$", OPERATIONS.read_text(), re.MULTILINE)
    if row is None:
        raise ValueError(f"{OPERATIONS.name} does not say what an idle stack costs")
    return f"A month without a request costs {row[2].strip()} dollars: {row[1]}."


def look(
    target: Target, accept_terms: bool, read: preflight.Open = preflight.read_url, template: Template | None = None
) -> list[str]:
    """Cautions about a deployment that may begin. Raises DeployFailed with everything that is in its way."""
    formation, logs = target.client("cloudformation"), target.client("logs")
    problems = preflight.name_problems(target.stack, target.region)
    # CloudFormation answers to a name that it could not take by an error of its own.
    deployed = None if problems else description(formation, target.stack)
    status = deployed["StackStatus"] if deployed else None
    problems += preflight.status_problems(status, target.command("destroy"))
    if not problems:  # what has another name cannot be left
        leftovers = remaining_buckets(target.client("s3"), target.stack, target.account, target.region)
        leftovers += remaining_logs(logs, target.stack)
        problems += preflight.leftover_problems(status, leftovers, target.command("destroy"))
    kept = deployed if deployed and status not in preflight.EMPTY else {}
    cautions: list[str] = []
    try:
        chosen = configured_parameters(target.environment)
    except ValueError as error:
        problems.append(f"{error}.")
    else:
        more, cautions = _look_at_parameters(target, chosen, kept, read, template or load_template(TEMPLATE))
        problems += more
        if not accept_terms and {**_parameters(kept), **chosen}.get("AcceptTerms") != VERSION:
            problems.append(
                f"Read docs/responsible-use.md, and accept its terms once: {target.command('deploy')} ACCEPT_TERMS=1."
            )
    problems += preflight.capability_problems(configured(target.environment, "deploy").get("capabilities", ""))
    if docker := images.docker_problem():
        problems.append(docker)
    if problems:
        raise DeployFailed("Nothing was deployed.\n" + "\n".join(f"- {problem}" for problem in problems))
    return cautions


def _look_at_parameters(
    target: Target, chosen: dict[str, str], kept: dict[str, Any], read: preflight.Open, template: Template
) -> tuple[list[str], list[str]]:
    """Problems and cautions about parameters. `kept` describes the stack that is updated, empty where none is."""
    before, settings = _parameters(kept), target.command("settings")
    wanted = {**before, **chosen}
    functions = target.client("lambda")
    limit = functions.get_account_settings()["AccountLimit"]
    reserved = int(parameters.staged(wanted, template).get("ReservedConcurrency", 0))
    problems = [
        *parameters.name_problems(chosen, template, settings),
        *preflight.concurrency_problems(limit, reserved, _reserved(functions, kept) if reserved else 0),
        *preflight.issuer_problems(wanted, read),
    ]
    cautions = [
        *parameters.lost_values(before, wanted, template, settings),
        *preflight.cautions(limit, wanted, _largest(functions)),
    ]
    return problems, cautions


def _parameters(described: dict[str, Any]) -> dict[str, str]:
    return {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}


def _reserved(functions: Any, described: dict[str, Any]) -> int:
    """Executions that a deployed stack has reserved for its swap function."""
    for output in described.get("Outputs", []):
        if output["OutputKey"] == "SwapFunctionName":
            concurrency = functions.get_function_concurrency(FunctionName=output["OutputValue"])
            return int(concurrency.get("ReservedConcurrentExecutions", 0))
    return 0


def _largest(functions: Any) -> int:
    """MB of the largest function of the account in this region."""
    pages = functions.get_paginator("list_functions").paginate()
    return max((each["MemorySize"] for page in pages for each in page["Functions"]), default=0)


def up(environment: str, canary: bool, accept_terms: bool) -> None:
    """Look, build, deploy, tell. Raises DeployFailed, ImageFailed, TeardownFailed and botocore's errors."""
    target = Target.of(environment)
    for caution in look(target, accept_terms):
        print(f"Warning: {caution}", file=sys.stderr)
    formation = target.client("cloudformation")
    before = description(formation, target.stack)
    if before and before["StackStatus"] == "ROLLBACK_COMPLETE":
        print("The last attempt to create this stack failed and left an empty record. Deleting it first.")
        teardown.delete_stack(formation, target.stack, print)
    print(f"Deploying {target.stack} to account {target.account}, {target.region}. {idle_costs()}")
    base = images.pull(images.base_tag(DOCKERFILE))
    print(f"The images start from {base.name}, built on {base.day}.")
    PINNED.parent.mkdir(exist_ok=True)
    PINNED.write_text(json.dumps(buildable(load_template(TEMPLATE), ROOT, base.name)))
    where = ["--template-file", str(PINNED), "--build-dir", str(BUILT.parent)]
    _sam("build", environment, overrides(environment, ""), *where)
    chosen = overrides(environment, release() if canary else "", accept_terms)
    try:
        _sam("deploy", environment, chosen, "--template-file", str(BUILT), "--tags", *tags(environment, base.name))
    except DeployFailed:
        raise DeployFailed(_why(formation, target)) from None
    after = description(formation, target.stack)
    if after is None or after["StackStatus"] == "REVIEW_IN_PROGRESS":
        raise DeployFailed("Nothing was deployed: the change was not confirmed.")
    _finish(target)


def _sam(command: str, environment: str, chosen: list[str], *more: str) -> None:
    line = [SAM, command, "--config-file", str(CONFIG), "--config-env", environment, *more]
    line += ["--parameter-overrides", *chosen]
    if subprocess.run(line, cwd=ROOT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}).returncode:
        raise DeployFailed(f"sam {command} failed; its last lines say why.")


def _why(formation: Any, target: Target) -> str:
    """What a failed deployment's events say, and what to do."""
    described = description(formation, target.stack)
    if described is None:
        return "Nothing was deployed; sam's last lines say why."
    reasons = list(_failures(formation, target.stack))
    lines = [f"The deployment failed, and the stack is {described['StackStatus']}.", *preflight.advice(reasons)]
    if described["StackStatus"] == "ROLLBACK_COMPLETE":
        lines.append(f"Nothing is left in the way: fix the reason above, then run {target.command('deploy')} again.")
    return "\n".join(lines)


def _failures(formation: Any, stack: str) -> Iterator[str]:
    """The reasons of what failed in the last operation of a stack and of those nested in it, the newest first.

    `stack` is a name or an ARN; by its ARN also a stack that was rolled back and is gone has events.
    """
    for page in formation.get_paginator("describe_stack_events").paginate(StackName=stack):
        for event in page["StackEvents"]:
            itself = event["PhysicalResourceId"] == event["StackId"]
            if itself and event["ResourceStatus"] in BEGINNINGS:
                return
            if not event["ResourceStatus"].endswith("_FAILED"):
                continue
            if event.get("ResourceStatusReason"):
                yield event["ResourceStatusReason"]
            if event["ResourceType"] == NESTED and not itself and event["PhysicalResourceId"]:
                yield from _failures(formation, event["PhysicalResourceId"])


def _finish(target: Target) -> None:
    """What comes after a deployment: images to keep, models for a first one, outputs and a first request."""
    formation = target.client("cloudformation")
    stack_outputs = outputs(formation, target.stack)
    _warm_up([stack_outputs["SwapFunctionName"], stack_outputs["VideoFunctionName"]])
    _keep_newest(target)
    _publish_demo_pack(target, stack_outputs["ModelsBucketName"])
    auth_mode = deployed_parameters(formation, target.stack)["AuthMode"]
    print("\n" + "\n".join(f"{name:22}{value}" for name, value in stack_outputs.items()))
    print(
        f"\nFor photographs: make models BUCKET={stack_outputs['ModelsBucketName']} … (docs/models.md).\n"
        "Now try, in this folder:"
    )
    for what, line in first_request.steps(stack_outputs["ApiUrl"], target.region, auth_mode, target.environment):
        print(f"\n{what}\n  {line}")
    print(f"\n{first_request.RESULT} is the meme with the face.")
    if text := warning(stack_outputs, auth_mode):
        print(f"\n{text}", file=sys.stderr)


def _warm_up(functions: list[str]) -> None:
    """Let the functions test themselves, and Lambda have their images near; what fails is said."""
    from botocore.exceptions import BotoCoreError, ClientError

    print("Warming up, which takes a minute after a new image …", flush=True)
    try:
        keep_warm.warm_up(release_hook.lambda_client(), functions)
    except InternalError as error:
        print(f"The stack is deployed, but a function failed its self-test: {error}", file=sys.stderr)
    except (BotoCoreError, ClientError) as error:
        needed = "It needs lambda:InvokeFunction."
        print(f"The stack is deployed; the self-test could not be run ({error}). {needed}", file=sys.stderr)


def _keep_newest(target: Target) -> None:
    """What fails here is said, and is no reason to call the deployment failed."""
    formation, ecr, lambda_ = (target.client(name) for name in ("cloudformation", "ecr", "lambda"))
    stored, functions = images.repositories(formation, target.stack), images.functions(formation, target.stack)
    try:
        images.keep_newest(ecr, lambda_, stored, functions)
    except ecr.exceptions.ClientError as error:
        print(f"ECR goes on keeping every image, which costs a little: {error}", file=sys.stderr)


def _publish_demo_pack(target: Target, bucket: str) -> None:
    """What fails here is said too: models can be published at any time."""
    s3 = target.client("s3")
    try:
        published = first_request.publish_demo_pack(s3, bucket)
    except (subprocess.CalledProcessError, OSError, s3.exceptions.ClientError) as error:
        print(f"No models were published ({error}). Run make models before the first swap.", file=sys.stderr)
        return
    if published:
        print("The repository's small models are published, for the first request. They know drawn faces only.")


def down(environment: str) -> None:
    """Ask, then delete the stack and all that is left of it. Raises DeployFailed, TeardownFailed, botocore's errors."""
    target = Target.of(environment)
    clients = teardown.Clients(*(target.client(name) for name in teardown.SERVICES))
    remains = teardown.look(clients, target.stack, target.account, target.region)
    if not remains:
        print(f"There is nothing of {target.stack} in account {target.account}, {target.region}.")
        return
    print(f"In account {target.account}, {target.region}, this deletes")
    print("\n".join(f"  {line}" for line in remains.lines()))
    try:
        answer = input(f"Type {target.stack} to go on: ")
    except EOFError:
        answer = ""
    if answer != target.stack:
        raise DeployFailed("Nothing was deleted.")
    teardown.delete(clients, remains, target.account, print)
    print(f"Nothing of {target.stack} is left.")


def main() -> int:
    """The exit status. Of the account and region that boto3 and sam find."""
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__)
    parser.add_argument("what", choices=("up", "down", "credentials"))
    parser.add_argument("--env", default="default", help="an environment of samconfig.toml")
    parser.add_argument("--canary", action="store_true", help="with up: a tenth of the traffic first")
    parser.add_argument("--accept-terms", action="store_true", help="you accept the terms in docs/responsible-use.md")
    options = parser.parse_args()
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        if options.what == "up":
            up(options.env, options.canary, options.accept_terms)
        elif options.what == "down":
            down(options.env)
        else:
            print(first_request.credentials(boto3.session.Session()))
    except (DeployFailed, BucketDenied, images.ImageFailed, teardown.TeardownFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
