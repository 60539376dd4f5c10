"""Deletes a stack, whatever state it is in, with everything that CloudFormation leaves behind.

It may be interrupted anywhere and started again: the names of what is left after the stack is gone follow from its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tools.images import list_repositories, name_companion_stack
from tools.stack import (
    NESTED,
    describe_stack,
    find_buckets,
    find_log_groups,
    find_signing_keys,
    find_tables,
    read_outputs,
)

POLL_SECONDS = 5.0
STEADY_SECONDS = 3600.0  # CloudFormation gives up earlier
ROUNDS = 5  # of emptying a bucket into which an open upload form may still write
GONE = "DELETE_COMPLETE"
UNDER_WAY = (
    "CREATE_IN_PROGRESS",
    "REVIEW_IN_PROGRESS",
)  # may be deleted at once; whatever else goes on has to end first
SERVICES = ("cloudformation", "s3", "ecr", "logs", "dynamodb", "secretsmanager")
SAM_STACK = "aws-sam-cli-managed-default"  # where sam keeps the templates that it deployed

Pause = Callable[[float], None]
Show = Callable[[str], None]


class TeardownFailed(Exception):
    """Something could not be deleted; the message says what, why, and what to do."""


@dataclass(frozen=True)
class Clients:
    """boto3's clients of one account and region, in the order of SERVICES."""

    formation: Any
    s3: Any
    ecr: Any
    logs: Any
    dynamodb: Any
    secrets: Any


@dataclass(frozen=True)
class Remains:
    """What exists of a stack."""

    stack: str
    status: str | None
    buckets: list[str] = field(default_factory=list)
    companion: bool = False
    logs: list[str] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.lines())

    def lines(self) -> list[str]:
        """What would be deleted, one line each."""
        return [
            *([f"the stack {self.stack} ({self.status})"] if self.status else []),
            *(f"the bucket {bucket} and everything in it" for bucket in self.buckets),
            *(["the ECR repositories of its images"] if self.companion else []),
            *(f"the log group {group}" for group in self.logs),
            *(f"the table {table}, which records who owns what" for table in self.tables),
            *(f"the secret {key}, which signs results" for key in self.keys),
        ]


def look(clients: Clients, stack: str, account: str, region: str) -> Remains:
    """Find what exists of a stack. Raises botocore's errors."""
    described = describe_stack(clients.formation, stack)
    return Remains(
        stack,
        described["StackStatus"] if described else None,
        find_buckets(clients.s3, stack, account, region),
        describe_stack(clients.formation, name_companion_stack(stack)) is not None,
        find_log_groups(clients.logs, stack),
        find_tables(clients.dynamodb, stack),
        find_signing_keys(clients.secrets, stack),
    )


def delete(clients: Clients, remains: Remains, account: str, show: Show, pause: Pause = time.sleep) -> None:
    """Delete everything that `look` found; can be repeated. Raises TeardownFailed and botocore's errors."""
    stack = remains.stack
    delete_stack(clients.formation, stack, show, pause=pause)
    for bucket in remains.buckets:
        with suppress(clients.s3.exceptions.NoSuchBucket):
            delete_bucket(clients.s3, bucket, account, show)
    for repository in list_repositories(clients.formation, stack):
        with suppress(clients.ecr.exceptions.RepositoryNotFoundException):
            clients.ecr.delete_repository(repositoryName=repository, force=True)
    delete_stack(clients.formation, name_companion_stack(stack), show, pause=pause)
    for group in find_log_groups(clients.logs, stack):
        with suppress(clients.logs.exceptions.ResourceNotFoundException):
            clients.logs.delete_log_group(logGroupName=group)
    for table in remains.tables:
        with suppress(clients.dynamodb.exceptions.ResourceNotFoundException):
            clients.dynamodb.delete_table(TableName=table)
    for key in remains.keys:
        with suppress(clients.secrets.exceptions.ResourceNotFoundException):
            clients.secrets.delete_secret(SecretId=key, ForceDeleteWithoutRecovery=True)
    _delete_templates(clients, stack, account)


def delete_stack(formation: Any, name: str, show: Show, pause: Pause = time.sleep) -> None:
    """Delete a stack and wait until it is gone; nothing where there is none. Raises TeardownFailed."""
    if (described := describe_stack(formation, name)) is None:
        return
    if described.get("EnableTerminationProtection"):
        raise TeardownFailed(f"{name} has termination protection. Turn it off, then run this again.")
    stack_id, status = described["StackId"], described["StackStatus"]
    show(f"Deleting {name} ({status}) …")
    if status.endswith("_IN_PROGRESS") and status not in UNDER_WAY:
        status = _settled(formation, stack_id, pause)
    if status not in (None, GONE):
        formation.delete_stack(StackName=stack_id)
        pause(POLL_SECONDS)
        status = _settled(formation, stack_id, pause)
    if status not in (None, GONE):
        raise TeardownFailed(
            f"{name} is {status}. What could not be deleted:\n"
            + "\n".join(f"  {line}" for line in _undeleted(formation, stack_id))
            + "\nFix that, then run this again: it continues from there."
        )


def delete_bucket(s3: Any, bucket: str, account: str, show: Show) -> None:
    """Delete a bucket with every version of every object, and the parts of unfinished uploads.

    Raises TeardownFailed and botocore's errors.
    """
    deleted = 0
    for _ in range(ROUNDS):
        deleted += empty(s3, bucket, account)
        try:
            s3.delete_bucket(Bucket=bucket, ExpectedBucketOwner=account)
        except s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "BucketNotEmpty":
                raise
            continue
        show(f"{bucket}: {deleted} objects deleted")
        return
    raise TeardownFailed(
        f"Something keeps writing to {bucket} while it is being emptied. Find out what, then run this again."
    )


def empty(s3: Any, bucket: str, account: str, prefix: str = "") -> int:
    """Delete all versions and delete markers under a prefix, and unfinished uploads; how many versions there were.

    Raises TeardownFailed if S3 refuses to delete one, and botocore's errors.
    """
    owner = {"Bucket": bucket, "ExpectedBucketOwner": account}
    deleted = 0
    for page in s3.get_paginator("list_object_versions").paginate(**owner, Prefix=prefix):
        versions = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for each in page.get(kind, [])
        ]
        if versions:
            answer = s3.delete_objects(**owner, Delete={"Objects": versions, "Quiet": True})
            for error in answer.get("Errors", []):
                raise TeardownFailed(
                    f"S3 did not delete {error['Key']} in {bucket}: {error['Code']}, {error.get('Message', '')}"
                )
            deleted += len(versions)
    for page in s3.get_paginator("list_multipart_uploads").paginate(**owner, Prefix=prefix):
        for each in page.get("Uploads", []):
            s3.abort_multipart_upload(**owner, Key=each["Key"], UploadId=each["UploadId"])
    return deleted


def _settled(formation: Any, stack_id: str, pause: Pause) -> str | None:
    """Wait until nothing is going on in a stack; its status then."""
    for _ in range(int(STEADY_SECONDS / POLL_SECONDS)):
        described = describe_stack(formation, stack_id)
        status = described["StackStatus"] if described else None
        if status is None or not status.endswith("_IN_PROGRESS") or status == "REVIEW_IN_PROGRESS":
            return status
        pause(POLL_SECONDS)
    raise TeardownFailed(f"{stack_id} has been {status} for an hour. Look at it in CloudFormation's console.")


def _undeleted(formation: Any, stack_id: str) -> Iterator[str]:
    """What could not be deleted of a stack and of those nested in it, with AWS's reasons."""
    for page in formation.get_paginator("list_stack_resources").paginate(StackName=stack_id):
        for each in page["StackResourceSummaries"]:
            if each["ResourceStatus"] != "DELETE_FAILED":
                continue
            inside = list(_undeleted(formation, each["PhysicalResourceId"])) if each["ResourceType"] == NESTED else []
            yield from inside or [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', 'no reason given')}"]


def _delete_templates(clients: Clients, stack: str, account: str) -> None:
    """Delete what sam uploaded for this stack, under the s3_prefix of samconfig.toml."""
    if describe_stack(clients.formation, SAM_STACK) is None:
        return
    bucket = read_outputs(clients.formation, SAM_STACK).get("SourceBucket")
    if bucket:
        with suppress(clients.s3.exceptions.NoSuchBucket):
            empty(clients.s3, bucket, account, f"{stack}/")
