"""The images of a deployed stack: their base, and how many of them ECR keeps."""

from __future__ import annotations

import hashlib
import json
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PLATFORM = "linux/amd64"  # the template's Architectures
KEPT = 10
ALIAS = "live"  # the template's SwapLive and VideoLive
IN_USE = "in-use-"
# ECR: an image that matches the tags of one rule is not expired by a rule of a higher number. Of tags that begin so a
# repository has two at most, one for the newest code and one for the alias's, so the first rule only protects.
LIFECYCLE = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "description": "what functions and aliases run",
                "selection": {
                    "tagStatus": "tagged",
                    "tagPrefixList": [IN_USE],
                    "countType": "imageCountMoreThan",
                    "countNumber": KEPT,
                },
                "action": {"type": "expire"},
            },
            {
                "rulePriority": 2,
                "description": f"the newest {KEPT}",
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": KEPT},
                "action": {"type": "expire"},
            },
        ]
    }
)


class ImageFailed(Exception):
    """The base image could not be pulled, or has no digest; the message says what to do."""


@dataclass(frozen=True)
class Base:
    """A pulled base image: `repository@sha256:…`, and the day on which it was built."""

    name: str
    day: str  # YYYY-MM-DD, UTC


def read_base_tag(dockerfile: Path) -> str:
    """The default base image of a Dockerfile. Raises ValueError if it names none."""
    for line in dockerfile.read_text().splitlines():
        if line.startswith("ARG BASE_IMAGE="):
            return line.partition("=")[2]
    raise ValueError(f"{dockerfile} names no base image")


def check_docker() -> str | None:
    """What keeps Docker from building, as a sentence that says what to do; None if nothing does."""
    try:
        subprocess.run(["docker", "version"], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        return "The program docker was not found. Images are built with Docker: install and start it."
    except subprocess.CalledProcessError as error:
        return f"Docker does not answer ({_last_line(error.stderr)}). Start it, or set DOCKER_HOST."
    return None


def pull(tag: str) -> Base:
    """Pull the present image of a tag: otherwise Docker builds from what it has, however old. Raises ImageFailed."""
    try:
        subprocess.run(
            ["docker", "pull", "--quiet", "--platform", PLATFORM, tag], check=True, capture_output=True, text=True
        )
        inspected = subprocess.run(
            [
                "docker",
                "image",
                "inspect",
                tag,
                "--format",
                '{"digests": {{json .RepoDigests}}, "created": {{json .Created}}}',
            ],
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise ImageFailed(
            f"{tag} could not be pulled ({_last_line(error.stderr)}). Nothing is built on an old base: check the "
            "network and the registry's limits, then deploy again."
        ) from error
    image = json.loads(inspected.stdout)
    repository = tag.rpartition(":")[0]
    for digest in image["digests"]:
        if digest.startswith(f"{repository}@sha256:"):
            return Base(digest, image["created"][:10])
    raise ImageFailed(
        f"{tag} has no digest in {repository}: it was built on this machine. Remove it, then deploy again."
    )


def name_companion_stack(stack: str) -> str:
    """The stack in which sam keeps a stack's repositories (samcli.lib.bootstrap.companion_stack)."""
    return f"{stack[:104]}-{hashlib.md5(stack.encode(), usedforsecurity=False).hexdigest()[:8]}-CompanionStack"


def list_repositories(formation: Any, stack: str) -> list[str]:
    """The names of a stack's ECR repositories; empty if its companion stack is gone. Raises botocore's errors."""
    return _resources(formation, name_companion_stack(stack), "AWS::ECR::Repository")


def list_functions(formation: Any, stack: str) -> list[str]:
    """The names of a stack's functions; empty if it is gone. Raises botocore's errors."""
    return _resources(formation, stack, "AWS::Lambda::Function")


def _resources(formation: Any, stack: str, kind: str) -> list[str]:
    try:
        pages = list(formation.get_paginator("list_stack_resources").paginate(StackName=stack))
    except formation.exceptions.ClientError as error:
        if "does not exist" in str(error):
            return []
        raise
    return [
        each["PhysicalResourceId"]
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["ResourceType"] == kind and each["ResourceStatus"] != "DELETE_COMPLETE"
    ]


def keep_newest(ecr: Any, lambda_: Any, repository_names: list[str], function_names: list[str]) -> None:
    """Let ECR expire all but the newest images and those in use. Idempotent.

    `ecr` and `lambda_` are boto3's clients of ECR and Lambda. Raises botocore's errors.
    """
    for name in function_names:
        _tag(ecr, lambda_.get_function(FunctionName=name), f"{IN_USE}newest")
        try:
            aliased = lambda_.get_function(FunctionName=name, Qualifier=ALIAS)
        except lambda_.exceptions.ResourceNotFoundException:
            continue  # deployed without a canary
        _tag(ecr, aliased, f"{IN_USE}{ALIAS}")
    for repository in repository_names:
        ecr.put_lifecycle_policy(repositoryName=repository, lifecyclePolicyText=LIFECYCLE)


def _tag(ecr: Any, function: dict[str, Any], tag: str) -> None:
    """Move a tag to the image that a function runs."""
    path, _, digest = function["Code"]["ResolvedImageUri"].partition("@")
    repository = path.partition("/")[2]
    images = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
    for image in images:
        with suppress(ecr.exceptions.ImageAlreadyExistsException):  # it has the tag
            ecr.put_image(
                repositoryName=repository,
                imageManifest=image["imageManifest"],
                imageManifestMediaType=image["imageManifestMediaType"],
                imageTag=tag,
            )


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]
