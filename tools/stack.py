"""What operators' commands read from samconfig.toml and from a stack on AWS. `python -m tools.stack ENV`: its name."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "samconfig.toml"
BUCKETS = ("models", "uploads", "outputs")  # of template.yaml, STACK-KIND-ACCOUNT-REGION
MOST_LETTERS = 63  # of a bucket's name
NESTED = "AWS::CloudFormation::Stack"  # the type of a nested stack, and of a stack in its own events


class BucketDenied(Exception):
    """A bucket with one of the stack's names belongs to another account, or may not be read."""


def read_config(environment: str, command: str, config: Path = CONFIG) -> dict[str, Any]:
    """The settings of one of sam's commands in samconfig.toml. Raises KeyError if it has no such environment."""
    with config.open("rb") as file:
        environments: dict[str, Any] = tomllib.load(file)
    return dict(environments[environment].get(command, {}).get("parameters", {}))


def read_stack_name(environment: str, config: Path = CONFIG) -> str:
    """The name of an environment's stack. Raises KeyError if samconfig.toml has no such environment."""
    return str(read_config(environment, "global", config)["stack_name"])


def read_parameters(environment: str, config: Path = CONFIG) -> dict[str, str]:
    """The stack's parameters that samconfig.toml sets: in a string (quoted as in a shell), a list or a table.

    Raises KeyError if it has no such environment, and ValueError for anything but Name=value.
    """
    written = read_config(environment, "deploy", config).get("parameter_overrides", "")
    if isinstance(written, Mapping):
        return {str(name): str(value) for name, value in written.items()}
    pairs = shlex.split(written) if isinstance(written, str) else [" ".join(shlex.split(each)) for each in written]
    parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(parameters) != len(pairs) or "ParameterKey" in parameters:
        raise ValueError(
            f"parameter_overrides of {environment} in {config.name} must give each parameter once, as Name=value"
        )
    return parameters


def format_overrides(parameters: Mapping[str, str]) -> list[str]:
    """Parameters in the form of sam's --parameter-overrides."""
    return [
        f"{name}={value}" if re.fullmatch(r"[\w./:@+-]+", value) else f'{name}="{_escaped(value)}"'
        for name, value in parameters.items()
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def describe_stack(formation: Any, stack: str) -> dict[str, Any] | None:
    """The stack as CloudFormation describes it; None if it does not exist. Raises botocore's errors.

    `formation` is boto3's client, `stack` a name or an ARN; by its ARN a deleted stack is described too.
    """
    try:
        (described,) = formation.describe_stacks(StackName=stack)["Stacks"]
    except formation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return dict(described)


def read_outputs(formation: Any, stack: str) -> dict[str, str]:
    """A deployed stack's outputs. Raises botocore's errors."""
    (deployed,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in deployed.get("Outputs", [])}


def read_deployed_parameters(formation: Any, stack: str) -> dict[str, str]:
    """A stack's parameters, as it was deployed last. Raises botocore's errors."""
    (deployed,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in deployed.get("Parameters", [])}


def find_state_table(formation: Any, stack: str) -> str:
    """The name of a deployed stack's table. Raises botocore's errors."""
    resource = formation.describe_stack_resource(StackName=stack, LogicalResourceId="StateTable")
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def list_bucket_names(stack: str, account: str, region: str) -> list[str]:
    """The names of a stack's buckets, whether they exist or not."""
    return [f"{stack}-{kind}-{account}-{region}" for kind in BUCKETS]


def find_buckets(s3: Any, stack: str, account: str, region: str) -> list[str]:
    """The stack's buckets that exist. Raises BucketDenied and botocore's errors."""
    remaining = []
    for name in list_bucket_names(stack, account, region):
        try:
            s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
        except s3.exceptions.ClientError as error:
            match error.response["ResponseMetadata"]["HTTPStatusCode"]:
                case 404:
                    continue
                case 403:
                    raise BucketDenied(
                        f"A bucket {name} exists, but it belongs to another account, or you lack s3:ListBucket. Give "
                        "the stack another name in samconfig.toml, or yourself the permission."
                    ) from error
            raise
        remaining.append(name)
    return remaining


def find_log_groups(logs: Any, stack: str) -> list[str]:
    """The stack's log groups that exist. Lambda creates a deleted one again for a last line that comes late."""
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/coldswap/{stack}/")
    return [each["logGroupName"] for page in pages for each in page["logGroups"]]


def find_tables(dynamodb: Any, stack: str) -> list[str]:
    """The state tables that exist, of a stack and of earlier ones of its name. Raises botocore's errors."""
    named = re.compile(rf"{re.escape(stack)}-StateTable-[A-Z0-9]+")  # as CloudFormation names it
    pages = dynamodb.get_paginator("list_tables").paginate()
    return [name for page in pages for name in page["TableNames"] if named.fullmatch(name)]


def find_signing_keys(secrets: Any, stack: str) -> list[str]:
    """The ARNs of the signing keys of a stack, and of earlier ones of its name. Raises botocore's errors.

    Their names do not contain the stack's, so they are identified by CloudFormation's tags.
    """
    tags = {"aws:cloudformation:stack-name": stack, "aws:cloudformation:logical-id": "SigningKey"}
    filters = [{"Key": "tag-key", "Values": [next(iter(tags))]}, {"Key": "tag-value", "Values": [stack]}]
    pages = secrets.get_paginator("list_secrets").paginate(Filters=filters)
    return [
        each["ARN"]
        for page in pages
        for each in page["SecretList"]
        if tags.items() <= {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}.items()
    ]


if __name__ == "__main__":
    print(read_stack_name(sys.argv[1]))
