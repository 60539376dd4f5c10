"""A deployed stack as its operator sees it: resources, logs, and the API as callers see it. Everything is read-only."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from tools.stack import read_deployed_parameters, read_outputs

REQUEST_SECONDS = 60
POLL_SECONDS = 5.0
POLLS = 24  # CloudWatch shows a line within a minute as a rule
PAGES = 20  # of a log that are read
MONITORING = "Monitoring"  # the nested stack in template.yaml

Pause = Callable[[float], None]


@dataclass(frozen=True)
class ApiResponse:
    """A response of the API."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: str

    @property
    def request_id(self) -> str:
        """API Gateway's id of the request."""
        return self.headers.get("apigw-requestid", "")


@dataclass
class Account:
    """One stack of one account and region."""

    stack: str
    session: Any  # boto3's
    url: str = ""  # of the API; the stack's own by default
    credentials: Mapping[str, str] = field(
        default_factory=dict, repr=False
    )  # headers of a caller, but for AuthMode=iam
    pause: Pause = time.sleep
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """boto3's client."""
        if service not in self._clients:
            self._clients[service] = self.session.client(service)
        return self._clients[service]

    @cached_property
    def description(self) -> dict[str, Any]:
        """The stack as CloudFormation describes it. Raises botocore's errors."""
        (described,) = self.client("cloudformation").describe_stacks(StackName=self.stack)["Stacks"]
        return dict(described)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """The stack's outputs. Raises botocore's errors."""
        return read_outputs(self.client("cloudformation"), self.stack)

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The stack's parameters. Raises botocore's errors."""
        return read_deployed_parameters(self.client("cloudformation"), self.stack)

    @cached_property
    def resources(self) -> dict[str, str]:
        """Physical ids by logical ids, including the nested stack's. Raises botocore's errors."""
        own = self._resources(self.stack)
        return {**(self._resources(own[MONITORING]) if MONITORING in own else {}), **own}

    def _resources(self, stack: str) -> dict[str, str]:
        pages = self.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
            if each.get("PhysicalResourceId")
        }

    @cached_property
    def identity(self) -> dict[str, str]:
        """The caller's `Account` and `Arn`. Raises botocore's errors."""
        return dict(self.client("sts").get_caller_identity())

    def arn(self, service: str, resource: str, region: str | None = None) -> str:
        """The ARN of something in this account."""
        partition = self.identity["Arn"].split(":")[1]
        where = self.session.region_name if region is None else region
        return f"arn:{partition}:{service}:{where}:{self.identity['Account']}:{resource}"

    def ask(self, path: str, headers: Mapping[str, str] | None = None) -> ApiResponse:
        """GET a path of the API with these headers; by default, as a caller whom AuthMode admits.

        Raises OSError if nothing answers.
        """
        url = (self.url or self.outputs["ApiUrl"]).rstrip("/") + path
        sent = dict(self._credentials(url) if headers is None else headers)
        request = urllib.request.Request(url, headers=sent)
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
                return _answer(response)
        except urllib.error.HTTPError as error:
            with error:
                return _answer(error)

    def lines(self, group: str, text: str, since: float = 0.0) -> list[str]:
        """Lines of a log group with this text, since a time in seconds of the epoch. Raises botocore's errors."""
        logs, matching = self.client("logs"), []
        token: dict[str, str] = {}
        for _ in range(PAGES):
            page = logs.filter_log_events(
                logGroupName=group, filterPattern=f'"{text}"', startTime=int(since * 1000), **token
            )
            matching += [str(each["message"]) for each in page["events"]]
            if not page.get("nextToken"):
                break
            token = {"nextToken": page["nextToken"]}
        return matching

    def awaited(self, group: str, text: str, since: float) -> list[str]:
        """As `lines`, but wait up to two minutes for CloudWatch to show one."""
        for _ in range(POLLS):
            if lines := self.lines(group, text, since):
                return lines
            self.pause(POLL_SECONDS)
        return []

    def _credentials(self, url: str) -> Mapping[str, str]:
        """Headers of an authorised caller; with AuthMode=iam, a signature (SigV4) by the session's credentials."""
        if self.parameters["AuthMode"] != "iam":
            return self.credentials
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest

        request = AWSRequest("GET", url)
        credentials = self.session.get_credentials().get_frozen_credentials()
        SigV4Auth(credentials, "execute-api", self.session.region_name).add_auth(request)
        return dict(request.headers)


def _answer(response: Any) -> ApiResponse:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return ApiResponse(response.status, headers, response.read().decode("utf-8", "replace"))
