"""Deploys the stack to AWS and deletes it again: `python -m tools.deploy up|down|credentials --env NAME`.

NAME is an environment in samconfig.toml. `up` runs checks, builds, deploys, and prints the outputs and a first request.
`down` deletes the stack in any state, and what CloudFormation would keep: its buckets with everything in them, its
table, its key, its images. `credentials` prints a line for a shell, with which curl signs requests.
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
from tools import first_request, images, keep_warm, large_fonts, parameters, preflight, teardown
from tools.stack import (
    CONFIG,
    NESTED,
    ROOT,
    BucketDenied,
    describe_stack,
    find_buckets,
    find_log_groups,
    format_overrides,
    read_config,
    read_deployed_parameters,
    read_outputs,
    read_parameters,
    read_stack_name,
)
from tools.template import Template, load_template, make_buildable

SAM = str(Path(sys.executable).with_name("sam"))
DOCKERFILE = ROOT / "functions/swap/Dockerfile"
BEGINNINGS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS")  # of a deployment, in the stack's own events
PINNED = ROOT / ".aws-sam/pinned.json"  # the template with the base's digest, for sam to build
BUILT = ROOT / ".aws-sam/build/template.yaml"
OPERATIONS = ROOT / "docs/operations.md"
TEMPLATE = ROOT / "template.yaml"


class DeployFailed(Exception):
    """Nothing was deployed, or not everything; the message says why and what to do."""


@dataclass(frozen=True)
class Target:
    """A stack's name, account and region, and clients to reach them."""

    environment: str
    stack: str
    account: str
    region: str
    client: Callable[[str], Any]  # boto3's, by the service's name

    @staticmethod
    def of(environment: str) -> Target:
        """The target of an environment. Raises DeployFailed if samconfig.toml, credentials or a region are missing."""
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            stack = read_stack_name(environment)
        except KeyError:
            raise DeployFailed(f"samconfig.toml has no environment {environment} with a stack_name.") from None
        session = boto3.session.Session()
        if not session.region_name:
            raise DeployFailed(
                "No region is set. Set AWS_DEFAULT_REGION, or the region of your profile (aws configure)."
            )
        try:
            account = session.client("sts").get_caller_identity()["Account"]
        except (BotoCoreError, ClientError) as error:
            raise DeployFailed(
                f"AWS rejected the credentials: {error}. Sign in (aws configure or aws sso login)."
            ) from error
        return Target(environment, stack, account, session.region_name, session.client)

    def command(self, target: str) -> str:
        """What a person types for a target of the Makefile in this environment."""
        return f"make {target}" if self.environment == "default" else f"make {target} ENV={self.environment}"


def build_overrides(environment: str, release: str, accept_terms: bool = False) -> list[str]:
    """The stack's parameters for sam's command line, which hides those of samconfig.toml; so they are repeated.

    CanaryRelease is always among them: a parameter that is not named keeps its last value, and no new version would be
    made. For the same reason accepted terms need not be accepted again.
    """
    terms = {"AcceptTerms": VERSION} if accept_terms else {}
    return format_overrides({**read_parameters(environment), **terms, "CanaryRelease": release})


def build_tags(environment: str, base: str) -> list[str]:
    """The stack's tags for sam's command line, which hides those of samconfig.toml, with the images' base."""
    written = read_config(environment, "deploy").get("tags", "")
    return [*(shlex.split(written) if isinstance(written, str) else written), f"base-image={base}"]


def name_release() -> str:
    """A unique name for a deployment: the time and the commit."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], check=True, cwd=ROOT, capture_output=True, text=True
    )
    return f"{time.strftime('%Y%m%dT%H%M%S')}-{commit.stdout.strip()}"


def describe_open_api(stack_outputs: dict[str, str], auth_mode: str) -> str:
    """The warning to an operator whose API is open; empty for any other AuthMode."""
    if auth_mode != "open":
        return ""
    rule = "!" * 100
    return (
        f"{rule}\nAuthMode is open: anyone who knows {stack_outputs['ApiUrl']}\n"
        f"can use this stack and spend your money. To close it, deploy with AuthMode=key, iam or jwt.\n{rule}"
    )


def read_idle_costs() -> str:
    """What a month without a request costs, from docs/operations.md."""
    row = re.search(r"^\| a month without a request: (.+) \| ([^|]+) \|$", OPERATIONS.read_text(), re.MULTILINE)
    if row is None:
        raise ValueError(f"{OPERATIONS.name} does not say what an idle stack costs")
    return f"A month without a request costs {row[2].strip()} dollars: {row[1]}."


def look(
    target: Target, accept_terms: bool, read: preflight.Open = preflight.read_url, template: Template | None = None
) -> list[str]:
    """Check everything before a deployment; warnings. Raises DeployFailed with everything that is in its way."""
    formation, logs = target.client("cloudformation"), target.client("logs")
    problems = preflight.check_name(target.stack, target.region)
    # CloudFormation answers to a name that it could not take by an error of its own.
    deployed = None if problems else describe_stack(formation, target.stack)
    status = deployed["StackStatus"] if deployed else None
    problems += preflight.check_status(status, target.command("destroy"))
    if not problems:  # what has another name cannot be left
        leftovers = find_buckets(target.client("s3"), target.stack, target.account, target.region)
        leftovers += find_log_groups(logs, target.stack)
        problems += preflight.check_leftovers(status, leftovers, target.command("destroy"))
    kept = deployed if deployed and status not in preflight.EMPTY else {}
    cautions: list[str] = []
    try:
        chosen = read_parameters(target.environment)
    except ValueError as error:
        problems.append(f"{error}.")
    else:
        more, cautions = _look_at_parameters(target, chosen, kept, read, template or load_template(TEMPLATE))
        problems += more
        if not accept_terms and {**_parameters(kept), **chosen}.get("AcceptTerms") != VERSION:
            problems.append(
                f"Read docs/responsible-use.md, and accept its terms once: {target.command('deploy')} ACCEPT_TERMS=1."
            )
    problems += preflight.check_capabilities(read_config(target.environment, "deploy").get("capabilities", ""))
    if docker := images.check_docker():
        problems.append(docker)
    if problems:
        raise DeployFailed("Nothing was deployed.\n" + "\n".join(f"- {problem}" for problem in problems))
    return cautions


def _look_at_parameters(
    target: Target, chosen: dict[str, str], kept: dict[str, Any], read: preflight.Open, template: Template
) -> tuple[list[str], list[str]]:
    """Problems and cautions about parameters. `kept` describes the stack that is updated, empty where none is."""
    before, settings = _parameters(kept), target.command("settings")
    effective = {**before, **chosen}
    functions = target.client("lambda")
    limit = functions.get_account_settings()["AccountLimit"]
    reserved = int(parameters.find_stage_values(effective, template).get("ReservedConcurrency", 0))
    problems = [
        *parameters.check_names(chosen, template, settings),
        *preflight.check_concurrency(limit, reserved, _reserved(functions, kept) if reserved else 0),
        *preflight.check_issuer(effective, read),
    ]
    cautions = [
        *parameters.find_lost_values(before, effective, template, settings),
        *preflight.find_cautions(limit, effective, _largest(functions)),
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
    """MB of the account's largest function in this region."""
    pages = functions.get_paginator("list_functions").paginate()
    return max((each["MemorySize"] for page in pages for each in page["Functions"]), default=0)


def up(environment: str, canary: bool, accept_terms: bool) -> None:
    """Check, build, deploy, report. Raises DeployFailed, ImageFailed, TeardownFailed and botocore's errors."""
    target = Target.of(environment)
    for caution in look(target, accept_terms):
        print(f"Warning: {caution}", file=sys.stderr)
    formation = target.client("cloudformation")
    before = describe_stack(formation, target.stack)
    if before and before["StackStatus"] == "ROLLBACK_COMPLETE":
        print("The last attempt to create this stack failed and left an empty record. Deleting that first.")
        teardown.delete_stack(formation, target.stack, print)
    print(f"Deploying {target.stack} to account {target.account}, {target.region}. {read_idle_costs()}")
    base = images.pull(images.read_base_tag(DOCKERFILE))
    print(f"The images are based on {base.name}, built on {base.day}.")
    PINNED.parent.mkdir(exist_ok=True)
    PINNED.write_text(json.dumps(make_buildable(load_template(TEMPLATE), ROOT, base.name)))
    where = ["--template-file", str(PINNED), "--build-dir", str(BUILT.parent)]
    _sam("build", environment, build_overrides(environment, ""), *where)
    chosen = build_overrides(environment, name_release() if canary else "", accept_terms)
    try:
        _sam(
            "deploy", environment, chosen, "--template-file", str(BUILT), "--tags", *build_tags(environment, base.name)
        )
    except DeployFailed:
        raise DeployFailed(_why(formation, target)) from None
    after = describe_stack(formation, target.stack)
    if after is None or after["StackStatus"] == "REVIEW_IN_PROGRESS":
        raise DeployFailed("Nothing was deployed: the change was not confirmed.")
    _finish(target)


def _sam(command: str, environment: str, chosen: list[str], *more: str) -> None:
    line = [SAM, command, "--config-file", str(CONFIG), "--config-env", environment, *more]
    line += ["--parameter-overrides", *chosen]
    if subprocess.run(line, cwd=ROOT, env={**os.environ, "SAM_CLI_TELEMETRY": "0"}).returncode:
        raise DeployFailed(f"sam {command} failed. Its last lines above say why.")


def _why(formation: Any, target: Target) -> str:
    """Why a deployment failed, by the stack's events, and what to do."""
    described = describe_stack(formation, target.stack)
    if described is None:
        return "Nothing was deployed. sam's last lines above say why."
    reasons = list(_failures(formation, target.stack))
    lines = [f"The deployment failed, and the stack is {described['StackStatus']}.", *preflight.find_advice(reasons)]
    if described["StackStatus"] == "ROLLBACK_COMPLETE":
        lines.append(f"Nothing is left behind: fix the reason above, then run {target.command('deploy')} again.")
    return "\n".join(lines)


def _failures(formation: Any, stack: str) -> Iterator[str]:
    """Why resources failed in the last operation of a stack and of those nested in it, the newest first.

    `stack` is a name or an ARN. By its ARN, a stack that was rolled back and deleted still has events.
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
    """Finish a deployment: warm-up, images to keep, typefaces, models for a first one; print outputs and a first
    request."""
    formation = target.client("cloudformation")
    stack_outputs = read_outputs(formation, target.stack)
    _warm_up([stack_outputs[f"{name}FunctionName"] for name in ("Swap", "Moving", "Video")])
    _keep_newest(target)
    _publish_fonts(target, stack_outputs["ModelsBucketName"])
    _publish_demo_pack(target, stack_outputs["ModelsBucketName"])
    auth_mode = read_deployed_parameters(formation, target.stack)["AuthMode"]
    print("\n" + "\n".join(f"{name:22}{value}" for name, value in stack_outputs.items()))
    print(
        f"\nFor photographs: make models BUCKET={stack_outputs['ModelsBucketName']} … (docs/models.md).\n"
        f"For budgets and other settings: {target.command('settings')}.\n"
        "Now try, in this folder:"
    )
    for what, line in first_request.list_steps(stack_outputs["ApiUrl"], target.region, auth_mode, target.environment):
        print(f"\n{what}\n  {line}")
    print(f"\n{first_request.RESULT} is the meme with the face.")
    if text := describe_open_api(stack_outputs, auth_mode):
        print(f"\n{text}", file=sys.stderr)


def _warm_up(functions: list[str]) -> None:
    """Let the functions test themselves, and Lambda cache their images; report what fails."""
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
    """Set which images ECR keeps. A failure is reported, and does not fail the deployment."""
    formation, ecr, lambda_ = (target.client(name) for name in ("cloudformation", "ecr", "lambda"))
    repositories = images.list_repositories(formation, target.stack)
    functions = images.list_functions(formation, target.stack)
    try:
        images.keep_newest(ecr, lambda_, repositories, functions)
    except ecr.exceptions.ClientError as error:
        print(f"ECR will keep every image, which costs a little: {error}", file=sys.stderr)


def _publish_fonts(target: Target, bucket: str) -> None:
    """Publish the typeface that is in no image. A failure is reported: all other captions are drawn without it."""
    s3 = target.client("s3")
    try:
        large_fonts.publish(s3, bucket)
    except (large_fonts.FontsUnfit, OSError, s3.exceptions.ClientError) as error:
        print(
            f"The typeface of Chinese, Japanese and Korean was not published ({error}). "
            f"Run {target.command('fonts')} before the first such video.",
            file=sys.stderr,
        )


def _publish_demo_pack(target: Target, bucket: str) -> None:
    """Publish models for the first request. A failure is reported: models can be published at any time."""
    s3 = target.client("s3")
    try:
        published = first_request.publish_demo_pack(s3, bucket)
    except (subprocess.CalledProcessError, OSError, s3.exceptions.ClientError) as error:
        print(f"No models were published ({error}). Run make models before the first swap.", file=sys.stderr)
        return
    if published:
        print("The demo models are published for the first request. They only recognise drawn faces.")


def down(environment: str) -> None:
    """Ask, then delete the stack and everything of it. Raises DeployFailed, TeardownFailed, botocore's errors."""
    target = Target.of(environment)
    clients = teardown.Clients(*(target.client(name) for name in teardown.SERVICES))
    remains = teardown.look(clients, target.stack, target.account, target.region)
    if not remains:
        print(f"Nothing of {target.stack} exists in account {target.account}, {target.region}.")
        return
    print(f"This deletes, in account {target.account}, {target.region}:")
    print("\n".join(f"  {line}" for line in remains.lines()))
    try:
        answer = input(f"Type {target.stack} to continue: ")
    except EOFError:
        answer = ""
    if answer != target.stack:
        raise DeployFailed("Nothing was deleted.")
    teardown.delete(clients, remains, target.account, print)
    print(f"Nothing of {target.stack} is left.")


def main() -> int:
    """Run the command in the account and region that boto3 and sam find; the exit status."""
    parser = argparse.ArgumentParser(prog="make deploy", description=__doc__)
    parser.add_argument("what", choices=("up", "down", "credentials"))
    parser.add_argument("--env", default="default", help="an environment in samconfig.toml")
    parser.add_argument("--canary", action="store_true", help="with up: send a tenth of the traffic to it first")
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
            print(first_request.format_credentials(boto3.session.Session()))
    except (DeployFailed, BucketDenied, images.ImageFailed, teardown.TeardownFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except (BotoCoreError, ClientError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
