"""AWS as the operator's commands see it: the few calls that they make, on dicts."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

from botocore.exceptions import ClientError

ACCOUNT, REGION = "123456789012", "eu-west-1"


def refusal(code: str, message: str = "", status: int = 400) -> ClientError:
    """What boto3 raises."""
    response: Any = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "Operation")


Missing: type[Exception] = type("Missing", (ClientError,), {"__doc__": "What is not there, of any service."})


def missing() -> Exception:
    """As `refusal`, of the class that a client has for it."""
    return Missing({"Error": {"Code": "NotFound"}, "ResponseMetadata": {"HTTPStatusCode": 404}}, "Operation")


class Client:
    """What all clients have: exceptions, and paginators that call a method `NAME_pages`."""

    exceptions = SimpleNamespace(
        ClientError=ClientError,
        NoSuchBucket=Missing,
        RepositoryNotFoundException=Missing,
        ResourceNotFoundException=Missing,
        ImageAlreadyExistsException=Missing,
        ParameterNotFound=Missing,
    )

    def get_paginator(self, name: str) -> Any:
        """With `paginate`, as boto3's."""
        return SimpleNamespace(paginate=getattr(self, f"{name}_pages"))


class Formation(Client):
    """CloudFormation: stacks by name, each with its status and what happens to it next."""

    def __init__(self, **stacks: str) -> None:
        self.stacks = {name.replace("_", "-"): status for name, status in stacks.items()}
        self.under_way: dict[str, Iterator[str]] = {}  # the statuses that follow one by one, as somebody looks
        self.after_deletion: Callable[[str], Iterable[str]] = lambda name: ("DELETE_IN_PROGRESS", "DELETE_COMPLETE")
        self.deleted: list[tuple[str, str]] = []  # name and status of the stack when it was to be deleted
        self.resources: dict[str, list[dict[str, str]]] = {}
        self.events: list[dict[str, str]] = []  # the newest first
        self.nested_events: dict[str, list[dict[str, str]]] = {}  # of nested stacks, by their ARNs
        self.parameters: dict[str, str] = {}
        self.outputs: dict[str, str] = {}
        self.protected = False

    def describe_stacks(self, StackName: str) -> dict[str, Any]:
        name = StackName.rpartition("/")[2]
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", name):
            raise refusal("ValidationError", "Value at 'stackName' failed to satisfy constraint")
        if name in self.under_way:
            self.stacks[name] = next(self.under_way[name], self.stacks[name])
        status = self.stacks.get(name)
        if status is None or (status == "DELETE_COMPLETE" and "/" not in StackName):
            raise refusal("ValidationError", f"Stack with id {name} does not exist")
        stack: dict[str, Any] = {
            "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{name}",
            "StackStatus": status,
            "EnableTerminationProtection": self.protected,
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in self.parameters.items()],
        }
        if self.outputs:  # a stack that never came about has none
            stack["Outputs"] = [{"OutputKey": key, "OutputValue": value} for key, value in self.outputs.items()]
        return {"Stacks": [stack]}

    def delete_stack(self, StackName: str) -> None:
        name = StackName.rpartition("/")[2]
        status = self.stacks[name]
        if status.startswith(("UPDATE", "ROLLBACK")) and status.endswith("_IN_PROGRESS"):
            raise refusal("ValidationError", f"Stack [{name}] cannot be deleted while in status {status}")
        self.deleted.append((name, status))
        self.under_way[name] = iter(self.after_deletion(name))

    def describe_stack_events_pages(self, StackName: str) -> list[dict[str, Any]]:
        return [{"StackEvents": [each]} for each in self.nested_events.get(StackName, self.events)]

    def list_stack_resources_pages(self, StackName: str) -> list[dict[str, Any]]:
        if StackName not in self.resources:  # a nested stack is there by its ARN
            self.describe_stacks(StackName)
        return [
            {
                "StackResourceSummaries": self.resources.get(StackName)
                or self.resources.get(StackName.rpartition("/")[2], [])
            }
        ]


class S3(Client):
    """Buckets by name, each a list of keys; every object has two versions and a delete marker."""

    def __init__(self, *buckets: str) -> None:
        self.buckets: dict[str, dict[str, list[str]]] = {name: {} for name in buckets}
        self.uploads: dict[str, list[str]] = {}
        self.late: list[tuple[str, str]] = []  # bucket and key of what is written while a bucket is deleted
        self.kept: set[str] = set()  # keys that may not be deleted
        self.owner = ACCOUNT

    def put(self, bucket: str, *keys: str) -> None:
        self.buckets[bucket] |= {key: ["1", "2", "marker"] for key in keys}

    def _of_owner(self, bucket: str, owner: str) -> dict[str, list[str]]:
        if bucket not in self.buckets:
            raise missing()
        if owner != self.owner:
            raise refusal("403", status=403)
        return self.buckets[bucket]

    def head_bucket(self, Bucket: str, ExpectedBucketOwner: str) -> None:
        self._of_owner(Bucket, ExpectedBucketOwner)

    def list_object_versions_pages(self, Bucket: str, ExpectedBucketOwner: str, Prefix: str) -> Any:
        for key, versions in list(self._of_owner(Bucket, ExpectedBucketOwner).items()):
            if key.startswith(Prefix):
                entries = [{"Key": key, "VersionId": version} for version in versions]
                yield {"Versions": entries[:-1], "DeleteMarkers": entries[-1:]}
        yield {}

    def delete_objects(self, Bucket: str, ExpectedBucketOwner: str, Delete: Any) -> dict[str, Any]:
        keys = self._of_owner(Bucket, ExpectedBucketOwner)
        for each in Delete["Objects"]:
            if each["Key"] in self.kept:
                return {"Errors": [{"Key": each["Key"], "Code": "AccessDenied", "Message": "locked"}]}
            keys[each["Key"]].remove(each["VersionId"])
            if not keys[each["Key"]]:
                del keys[each["Key"]]
        return {}

    def list_multipart_uploads_pages(self, Bucket: str, ExpectedBucketOwner: str, Prefix: str) -> Any:
        self._of_owner(Bucket, ExpectedBucketOwner)
        return [{"Uploads": [{"Key": key, "UploadId": "id"} for key in self.uploads.get(Bucket, [])]}, {}]

    def abort_multipart_upload(self, Bucket: str, ExpectedBucketOwner: str, Key: str, UploadId: str) -> None:
        self.uploads[Bucket] = [each for each in self.uploads[Bucket] if each != Key]

    def delete_bucket(self, Bucket: str, ExpectedBucketOwner: str) -> None:
        if self.late and self.late[0][0] == Bucket:
            self.put(*self.late.pop(0))
        if self._of_owner(Bucket, ExpectedBucketOwner) or self.uploads.get(Bucket):
            raise refusal("BucketNotEmpty", status=409)
        del self.buckets[Bucket]


class Logs(Client):
    """Log groups by name."""

    def __init__(self, *groups: str) -> None:
        self.groups = list(groups)

    def describe_log_groups_pages(self, logGroupNamePrefix: str) -> Any:
        yield {"logGroups": [{"logGroupName": each} for each in self.groups if each.startswith(logGroupNamePrefix)]}

    def delete_log_group(self, logGroupName: str) -> None:
        self.groups.remove(logGroupName)


class Tables(Client):
    """DynamoDB: tables by name."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def list_tables_pages(self) -> Any:
        yield {"TableNames": self.names}

    def delete_table(self, TableName: str) -> None:
        if TableName not in self.names:
            raise missing()
        self.names.remove(TableName)


class Secrets(Client):
    """Secrets Manager: the stack and the logical id of secrets by ARN, as CloudFormation's tags have them."""

    def __init__(self, **secrets: tuple[str, str]) -> None:
        self.secrets = secrets

    def list_secrets_pages(self, Filters: list[dict[str, Any]]) -> Any:
        """A filter takes every tag whose value begins alike."""
        (beginning,) = Filters[1]["Values"]
        for arn, (stack, logical_id) in self.secrets.items():
            tags = {"aws:cloudformation:stack-name": stack, "aws:cloudformation:logical-id": logical_id}
            listed = [{"Key": name, "Value": value} for name, value in tags.items()]
            if stack.startswith(beginning):
                yield {"SecretList": [{"ARN": arn, "Tags": listed}]}

    def delete_secret(self, SecretId: str, ForceDeleteWithoutRecovery: bool) -> None:
        assert ForceDeleteWithoutRecovery, "CloudFormation would delete it at once too"
        if SecretId not in self.secrets:
            raise missing()
        del self.secrets[SecretId]


class Ecr(Client):
    """Repositories by name, each with images by digest, their tags, and a lifecycle policy."""

    def __init__(self, *names: str) -> None:
        self.images: dict[str, dict[str, set[str]]] = {name: {} for name in names}
        self.policies: dict[str, str] = {}

    def delete_repository(self, repositoryName: str, force: bool) -> None:
        assert force, "a repository with images goes by force alone"
        if repositoryName not in self.images:
            raise missing()
        del self.images[repositoryName]

    def batch_get_image(self, repositoryName: str, imageIds: list[dict[str, str]]) -> dict[str, Any]:
        digests = [each["imageDigest"] for each in imageIds if each["imageDigest"] in self.images[repositoryName]]
        return {"images": [{"imageManifest": each, "imageManifestMediaType": "oci"} for each in digests]}

    def put_image(self, repositoryName: str, imageManifest: str, imageManifestMediaType: str, imageTag: str) -> None:
        if imageTag in self.images[repositoryName][imageManifest]:
            raise missing()
        for tags in self.images[repositoryName].values():
            tags.discard(imageTag)
        self.images[repositoryName][imageManifest].add(imageTag)

    def put_lifecycle_policy(self, repositoryName: str, lifecyclePolicyText: str) -> None:
        self.policies[repositoryName] = lifecyclePolicyText


class Functions(Client):
    """Lambda: the account's limits, and the image of each function by name and qualifier."""

    def __init__(self, concurrent: int = 1000, unreserved: int | None = None, largest: int = 1769) -> None:
        self.limit = {"ConcurrentExecutions": concurrent, "UnreservedConcurrentExecutions": concurrent}
        if unreserved is not None:
            self.limit["UnreservedConcurrentExecutions"] = unreserved
        self.largest = largest
        self.images: dict[tuple[str, str], str] = {}
        self.invoked: list[tuple[str, Any]] = []
        self.unfit = ""  # the name of one that fails its own test
        self.reserved: dict[str, int] = {}  # concurrency, by name

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        self.invoked.append((FunctionName, json.loads(Payload)))
        failed = {"FunctionError": "Unhandled"} if FunctionName == self.unfit else {}
        return {"Payload": io.BytesIO(b"{}"), **failed}

    def get_account_settings(self) -> dict[str, Any]:
        return {"AccountLimit": self.limit}

    def get_function_concurrency(self, FunctionName: str) -> dict[str, Any]:
        reserved = self.reserved.get(FunctionName)
        return {} if reserved is None else {"ReservedConcurrentExecutions": reserved}

    def list_functions_pages(self) -> Any:
        return [{"Functions": []}, {"Functions": [{"MemorySize": self.largest}]}]

    def get_function(self, FunctionName: str, Qualifier: str = "$LATEST") -> dict[str, Any]:
        if (FunctionName, Qualifier) not in self.images:
            raise missing()
        return {"Code": {"ResolvedImageUri": self.images[FunctionName, Qualifier]}}


class Parameters(Client):
    """SSM: the versions of parameters by name, the oldest first."""

    def __init__(self, **parameters: str) -> None:
        self.versions = {f"/{stack}/settings": [value] for stack, value in parameters.items()}
        self.meanwhile: list[str] = []  # values that somebody else writes, one before each of our writes

    def get_parameter(self, Name: str) -> dict[str, Any]:
        name, _, version = Name.partition(":")
        if name not in self.versions:
            raise missing()
        number = int(version or len(self.versions[name]))
        return {"Parameter": {"Value": self.versions[name][number - 1], "Version": number}}

    def put_parameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> dict[str, Any]:
        assert (Type, Overwrite) == ("String", True)
        versions = self.versions.setdefault(Name, [])
        versions += [*self.meanwhile[:1], Value]
        self.meanwhile = self.meanwhile[1:]
        return {"Version": len(versions), "Tier": "Standard"}
