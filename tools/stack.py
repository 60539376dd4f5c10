"""What an operator's commands ask of samconfig.toml and of a stack on AWS."""

from __future__ import annotations

import re
import shlex
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
    """A bucket of the stack's names is another account's, or may not be looked at."""


def configured(environment: str, command: str, config: Path = CONFIG) -> dict[str, Any]:
    """What samconfig.toml says for one of sam's commands. Raises KeyError where it has no such environment."""
    with config.open("rb") as file:
        environments: dict[str, Any] = tomllib.load(file)
    return dict(environments[environment].get(command, {}).get("parameters", {}))


def stack_name(environment: str, config: Path = CONFIG) -> str:
    """The name of an environment's stack. Raises KeyError where samconfig.toml has no such environment."""
    return str(configured(environment, "global", config)["stack_name"])


def configured_parameters(environment: str, config: Path = CONFIG) -> dict[str, str]:
    """The stack's parameters that samconfig.toml sets: in a string (quoted as in a shell), a list or a table.

    Raises KeyError where it has no such environment, and ValueError for what is not Name=value.
    """
    written = configured(environment, "deploy", config).get("parameter_overrides", "")
    if isinstance(written, Mapping):
        return {str(name): str(value) for name, value in written.items()}
    pairs = shlex.split(written) if isinstance(written, str) else [" ".join(shlex.split(each)) for each in written]
    parameters = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    if len(parameters) != len(pairs) or "ParameterKey" in parameters:
        raise ValueError(
            f"parameter_overrides of {environment} in {config.name}: write Name=value for each parameter, once"
        )
    return parameters


def as_overrides(parameters: Mapping[str, str]) -> list[str]:
    """Parameters as sam's --parameter-overrides takes them."""
    return [
        f"{name}={value}" if re.fullmatch(r"[\w./:@+-]+", value) else f'{name}="{_escaped(value)}"'
        for name, value in parameters.items()
    ]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def description(formation: Any, stack: str) -> dict[str, Any] | None:
    """The stack as CloudFormation describes it; None where there is none. Raises botocore's errors.

    `formation` is boto3's client, `stack` a name or an ARN; by its ARN a deleted stack is described too.
    """
    try:
        (described,) = formation.describe_stacks(StackName=stack)["Stacks"]
    except formation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return None
        raise
    return dict(described)


def outputs(formation: Any, stack: str) -> dict[str, str]:
    """A deployed stack's outputs. Raises botocore's errors."""
    (deployed,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {each["OutputKey"]: each["OutputValue"] for each in deployed.get("Outputs", [])}


def deployed_parameters(formation: Any, stack: str) -> dict[str, str]:
    """A stack's parameters, as it was deployed last. Raises botocore's errors."""
    (deployed,) = formation.describe_stacks(StackName=stack)["Stacks"]
    return {each["ParameterKey"]: each["ParameterValue"] for each in deployed.get("Parameters", [])}


def state_table(formation: Any, stack: str) -> str:
    """The name of a deployed stack's table. Raises botocore's errors."""
    resource = formation.describe_stack_resource(StackName=stack, LogicalResourceId="StateTable")
    return str(resource["StackResourceDetail"]["PhysicalResourceId"])


def bucket_names(stack: str, account: str, region: str) -> list[str]:
    """A stack's buckets, whether it is there or not."""
    return [f"{stack}-{kind}-{account}-{region}" for kind in BUCKETS]


def remaining_buckets(s3: Any, stack: str, account: str, region: str) -> list[str]:
    """Those of a stack's buckets that there are. Raises BucketDenied and botocore's errors."""
    remaining = []
    for name in bucket_names(stack, account, region):
        try:
            s3.head_bucket(Bucket=name, ExpectedBucketOwner=account)
        except s3.exceptions.ClientError as error:
            match error.response["ResponseMetadata"]["HTTPStatusCode"]:
                case 404:
                    continue
                case 403:
                    raise BucketDenied(
                        f"There is a bucket {name}, but it is another account's, or you lack s3:ListBucket. Give the "
                        "stack another name in samconfig.toml, or yourself the permission."
                    ) from error
            raise
        remaining.append(name)
    return remaining


def remaining_logs(logs: Any, stack: str) -> list[str]:
    """The log groups of a stack that there are; Lambda makes a deleted one again for a last line that comes late."""
    pages = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/coldswap/{stack}/")
    return [each["logGroupName"] for page in pages for each in page["logGroups"]]


def remaining_tables(dynamodb: Any, stack: str) -> list[str]:
    """The state tables of a stack, and of earlier ones of its name, that there are. Raises botocore's errors."""
    named = re.compile(rf"{re.escape(stack)}-StateTable-[A-Z0-9]+")  # as CloudFormation names it
    pages = dynamodb.get_paginator("list_tables").paginate()
    return [name for page in pages for name in page["TableNames"] if named.fullmatch(name)]


def remaining_keys(secrets: Any, stack: str) -> list[str]:
    """The ARNs of the signing keys of a stack, and of earlier ones of its name. Raises botocore's errors.

    Their names do not have the stack's, so they are known by the tags that CloudFormation gives them.
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
