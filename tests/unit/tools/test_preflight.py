"""What is said before a deployment begins."""

from __future__ import annotations

import json
import re

import pytest

from tests.unit.tools.aws import ACCOUNT
from tools import preflight
from tools.stack import ROOT, list_bucket_names

NEW = {"ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10}
USUAL = {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": 950}


@pytest.mark.parametrize(("region", "most"), [("ap-southeast-1", 27), ("us-east-1", 32)])
def test_a_name_is_as_long_as_its_buckets_names_leave_room_for(region: str, most: int) -> None:
    assert preflight.check_name("a" * most, region) == []
    (problem,) = preflight.check_name("a" * (most + 1), region)

    assert max(len(name) for name in list_bucket_names("a" * most, ACCOUNT, region)) == 63
    assert f"it may have {most}, so that" in problem
    assert "stack_name in samconfig.toml" in problem


@pytest.mark.parametrize("name", ["Coldswap", "cold_swap", "1coldswap", "-coldswap", "cold.swap"])
def test_a_name_has_letters_that_a_bucket_may_have(name: str) -> None:
    (problem,) = preflight.check_name(name, "eu-west-1")

    assert "a-z, 0-9 and -" in problem


@pytest.mark.parametrize("status", [None, "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"])
def test_a_steady_stack_and_none_take_a_deployment(status: str | None) -> None:
    assert preflight.check_status(status, "make destroy") == []


@pytest.mark.parametrize("status", ["REVIEW_IN_PROGRESS", "ROLLBACK_COMPLETE"])
def test_a_stack_in_which_nothing_is_takes_a_deployment(status: str) -> None:
    assert preflight.check_status(status, "make destroy") == []


@pytest.mark.parametrize(
    ("status", "what_to_do"),
    [
        ("CREATE_FAILED", "make destroy ENV=staging deletes"),
        ("ROLLBACK_FAILED", "make destroy ENV=staging deletes"),
        ("DELETE_FAILED", "make destroy ENV=staging deletes"),
        ("UPDATE_ROLLBACK_FAILED", "Continue update rollback"),
        ("UPDATE_IN_PROGRESS", "Wait"),
        ("CREATE_IN_PROGRESS", "Wait"),
        ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "Wait"),
    ],
)
def test_any_other_status_says_what_to_do(status: str, what_to_do: str) -> None:
    (problem,) = preflight.check_status(status, "make destroy ENV=staging")

    assert what_to_do in problem


def test_what_an_earlier_stack_left_is_in_the_way_of_a_new_one_alone() -> None:
    (problem,) = preflight.check_leftovers(None, ["a-bucket", "/a/log"], "make destroy")

    assert "a-bucket, /a/log" in problem
    assert "make destroy deletes" in problem
    assert preflight.check_leftovers("ROLLBACK_COMPLETE", ["a-bucket"], "make destroy")
    assert preflight.check_leftovers("CREATE_COMPLETE", ["a-bucket"], "make destroy") == []


@pytest.mark.parametrize(
    ("limit", "chosen", "before", "left"),
    [(NEW, 1, 0, 0), (USUAL, 851, 0, 850), (USUAL, 901, 50, 900), (USUAL, 5000, 0, 850)],
)
def test_no_more_is_reserved_than_aws_leaves(limit: dict[str, int], chosen: int, before: int, left: int) -> None:
    (problem,) = preflight.check_concurrency(limit, chosen, before)

    assert f"leaves {left}." in problem
    assert "Service Quotas" in problem


def test_what_can_be_reserved_is() -> None:
    assert preflight.check_concurrency(NEW, 0, 0) == []
    assert preflight.check_concurrency(USUAL, 850, 0) == []
    assert preflight.check_concurrency(USUAL, 900, 50) == []


@pytest.mark.parametrize("capabilities", ["CAPABILITY_IAM", "", ["CAPABILITY_IAM"]])
def test_a_nested_stack_needs_a_capability_and_a_samconfig_that_lacks_it_is_told(capabilities: object) -> None:
    (problem,) = preflight.check_capabilities(capabilities)

    assert "Add CAPABILITY_AUTO_EXPAND" in problem
    assert preflight.check_capabilities("CAPABILITY_IAM CAPABILITY_AUTO_EXPAND") == []
    assert preflight.check_capabilities(["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]) == []


@pytest.mark.parametrize(
    ("limit", "memory", "largest", "cautious"),
    [
        (NEW, "3009", 1769, True),
        (NEW, "3008", 1769, False),
        (NEW, "3009", 10240, False),
        (USUAL, "10240", 128, False),
    ],
)
def test_a_new_account_s_cap_of_memory_is_named(
    limit: dict[str, int], memory: str, largest: int, cautious: bool
) -> None:
    sentences = preflight.find_cautions(limit, {"MemorySize": memory}, largest)

    assert ["3008" in each for each in sentences] == ([True] if cautious else [])


def test_more_videos_than_the_account_can_run_are_named() -> None:
    (sentence,) = preflight.find_cautions(NEW, {"MaxConcurrentTasks": "3"}, 0)

    assert "15 concurrent executions" in sentence
    assert preflight.find_cautions(NEW, {}, 0) == []
    workflow = (ROOT / "functions/video/short_video.asl.yaml").read_text()
    assert re.findall(r"MaxConcurrency: (.+)", workflow) == [str(preflight.CLIPS)]


JWT = {"AuthMode": "jwt", "JwtIssuer": "https://issuer.example/pool", "JwtAudience": "coldswap"}


def discovery(issuer: str) -> preflight.Open:
    def read(address: str) -> bytes:
        assert address == "https://issuer.example/pool/.well-known/openid-configuration"
        return json.dumps({"issuer": issuer, "jwks_uri": "https://issuer.example/keys"}).encode()

    return read


def unreachable(address: str) -> bytes:
    raise OSError("no route to host")


def test_an_issuer_that_answers_by_its_own_name_is_taken() -> None:
    assert preflight.check_issuer(JWT, discovery("https://issuer.example/pool")) == []
    assert preflight.check_issuer({**JWT, "AuthMode": "iam"}, unreachable) == []


@pytest.mark.parametrize(
    ("chosen", "read", "problem"),
    [
        (JWT, unreachable, "not a discovery document (no route to host)"),
        (JWT, lambda address: b"<html>", "not a discovery document"),
        (JWT, lambda address: b"[]", "not a discovery document"),
        (JWT, discovery("https://issuer.example/pool/"), "discovery document says https://issuer.example/pool/"),
        ({**JWT, "JwtIssuer": "http://issuer.example/pool"}, unreachable, "must begin with https://"),
        ({"AuthMode": "jwt"}, unreachable, "needs JwtIssuer and JwtAudience"),
    ],
)
def test_an_issuer_that_api_gateway_would_refuse_is_named(
    chosen: dict[str, str], read: preflight.Open, problem: str
) -> None:
    (sentence,) = preflight.check_issuer(chosen, read)

    assert problem in sentence


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (
            "Resource handler returned message: \"'MemorySize' value failed to satisfy constraint: Member must have "
            'value less than or equal to 3008 (Service: Lambda, Status Code: 400, Request ID: 1)"',
            "deploy with MemorySize=3008",
        ),
        (
            "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
            "below its minimum value of [10].",
            "must keep 10 executions unreserved",
        ),
        ("Invalid issuer: https://x. Issuer must have a valid discovery endpoint", "check JwtIssuer"),
        ("Insufficient permissions: logs:CreateLogDelivery", "needs logs:CreateLogDelivery"),
        ("coldswap-models-1-eu-west-1 already exists", "(coldswap-models-1-eu-west-1)"),
        ("User: arn is not authorized to perform: iam:CreateRole on resource", "needs the permission iam:CreateRole"),
    ],
)
def test_a_failure_of_cloudformation_is_put_into_what_to_do(reason: str, sentence: str) -> None:
    (advised,) = preflight.find_advice([reason, "Resource creation cancelled", reason])

    assert sentence in advised
