"""A stack is taken away whatever state it is in, and wherever that was interrupted before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.tools.aws import ACCOUNT, REGION, S3, Ecr, Formation, Logs, Secrets, Tables, refusal
from tools.images import name_companion_stack
from tools.stack import BucketDenied, list_bucket_names
from tools.teardown import SAM_STACK, Clients, Remains, TeardownFailed, delete, delete_stack, look

STACK = "coldswap"
COMPANION = name_companion_stack(STACK)
BUCKETS = list_bucket_names(STACK, ACCOUNT, REGION)
STATUSES = (
    "CREATE_COMPLETE",
    "CREATE_FAILED",
    "DELETE_FAILED",
    "ROLLBACK_COMPLETE",
    "ROLLBACK_FAILED",
    "UPDATE_COMPLETE",
    "UPDATE_FAILED",
    "UPDATE_ROLLBACK_COMPLETE",
    "UPDATE_ROLLBACK_FAILED",
    "CREATE_IN_PROGRESS",
    "REVIEW_IN_PROGRESS",
)


def whole(status: str | None = "CREATE_COMPLETE") -> Clients:
    """All that a deployed stack consists of and leaves; without a status it is gone and has left the rest."""
    formation = Formation()
    formation.stacks |= {COMPANION: "CREATE_COMPLETE", SAM_STACK: "CREATE_COMPLETE"}
    if status:
        formation.stacks[STACK] = status
    repository = {"ResourceType": "AWS::ECR::Repository", "ResourceStatus": "CREATE_COMPLETE"}
    formation.resources[COMPANION] = [{**repository, "PhysicalResourceId": "coldswap/swap"}]
    s3 = S3(*BUCKETS, "sam")
    s3.put(BUCKETS[0], "blobs/a", "packs/current.json")
    s3.put("sam", "coldswap/template", "coldswap-staging/template")
    s3.uploads[BUCKETS[1]] = ["requests/half"]
    formation.outputs = {"SourceBucket": "sam"}
    return Clients(
        formation,
        s3,
        Ecr("coldswap/swap", "another"),
        Logs(f"/coldswap/{STACK}/swap", "/coldswap/other/swap"),
        Tables(f"{STACK}-StateTable-1ABC", f"{STACK}-staging-StateTable-1ABC", f"{STACK}-StateTable-copy"),
        Secrets(ours=(STACK, "SigningKey"), staging=(f"{STACK}-staging", "SigningKey"), keys=(STACK, "Other")),
    )


def destroy(clients: Clients) -> Remains:
    remains = look(clients, STACK, ACCOUNT, REGION)
    delete(clients, remains, ACCOUNT, lambda line: None, lambda seconds: None)
    return remains


def assert_gone(clients: Clients) -> None:
    assert not look(clients, STACK, ACCOUNT, REGION)
    assert clients.s3.buckets.keys() == {"sam"}
    assert clients.s3.buckets["sam"].keys() == {"coldswap-staging/template"}
    assert clients.ecr.images.keys() == {"another"}
    assert clients.logs.groups == ["/coldswap/other/swap"]
    assert clients.dynamodb.names == [f"{STACK}-staging-StateTable-1ABC", f"{STACK}-StateTable-copy"]
    assert clients.secrets.secrets.keys() == {"staging", "keys"}


@pytest.mark.parametrize("status", [*STATUSES, None])
def test_nothing_is_left_of_a_stack_in_any_state_nor_of_one_that_is_gone(status: str | None) -> None:
    clients = whole(status)

    remains = destroy(clients)

    assert remains.status == status
    assert_gone(clients)
    assert clients.formation.deleted == [*([(STACK, status)] if status else []), (COMPANION, "CREATE_COMPLETE")]


@pytest.mark.parametrize(
    ("status", "ended", "deleted"),
    [
        ("UPDATE_IN_PROGRESS", "UPDATE_COMPLETE", True),
        ("UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_ROLLBACK_FAILED", True),
        ("ROLLBACK_IN_PROGRESS", "ROLLBACK_COMPLETE", True),
        ("DELETE_IN_PROGRESS", "DELETE_COMPLETE", False),
        ("DELETE_IN_PROGRESS", "DELETE_FAILED", True),
    ],
)
def test_what_is_going_on_in_a_stack_is_waited_for(status: str, ended: str, deleted: bool) -> None:
    formation = Formation(coldswap=status)
    formation.under_way[STACK] = iter([status, status, status, ended])

    delete_stack(formation, STACK, lambda line: None, lambda seconds: None)

    assert formation.deleted == ([(STACK, ended)] if deleted else [])
    assert formation.stacks[STACK] == "DELETE_COMPLETE"


def test_buckets_alone_are_seen_and_deleted() -> None:
    clients = Clients(Formation(), S3(BUCKETS[2]), Ecr(), Logs(), Tables(), Secrets())
    clients.s3.put(BUCKETS[2], "swaps/a.jpg")

    remains = destroy(clients)

    assert remains.lines() == [f"the bucket {BUCKETS[2]} and everything in it"]
    assert clients.s3.buckets == {}


def test_what_a_stack_that_was_deleted_by_mistake_left_is_named_before_it_is_deleted() -> None:
    tables, secrets = Tables(f"{STACK}-StateTable-1ABC"), Secrets(arn=(STACK, "SigningKey"))

    remains = destroy(Clients(Formation(), S3(), Ecr(), Logs(), tables, secrets))

    assert remains.lines() == [
        f"the table {STACK}-StateTable-1ABC, which records who owns what",
        "the secret arn, which signs results",
    ]
    assert not tables.names
    assert not secrets.secrets


def test_where_there_is_nothing_there_is_nothing_to_delete() -> None:
    assert not look(Clients(Formation(), S3(), Ecr(), Logs(), Tables(), Secrets()), STACK, ACCOUNT, REGION)


def interrupted(clients: Clients) -> Iterator[Clients]:
    """The same clients, which fail at their first deletion, then at their second, and so on."""
    calls = (
        (clients.formation, "delete_stack"),
        (clients.s3, "delete_objects"),
        (clients.s3, "delete_bucket"),
        (clients.ecr, "delete_repository"),
        (clients.logs, "delete_log_group"),
        (clients.dynamodb, "delete_table"),
        (clients.secrets, "delete_secret"),
    )
    for client, name in calls:
        original = getattr(client, name)

        def fail(*_: object, **__: object) -> None:
            raise refusal("Throttling")

        setattr(client, name, fail)
        yield clients
        setattr(client, name, original)


def test_what_was_interrupted_goes_on_where_it_was() -> None:
    clients = whole()

    for failing in interrupted(clients):
        with pytest.raises(Exception, match="Throttling"):
            destroy(failing)
    destroy(clients)

    assert_gone(clients)


def test_what_a_stack_cannot_delete_is_named_with_the_reason() -> None:
    clients = whole()
    clients.formation.after_deletion = lambda name: ("DELETE_IN_PROGRESS", "DELETE_FAILED")
    clients.formation.resources[STACK] = [
        {"LogicalResourceId": "Api", "ResourceStatus": "DELETE_COMPLETE", "ResourceType": "", "PhysicalResourceId": ""},
        {
            "LogicalResourceId": "Role",
            "ResourceStatus": "DELETE_FAILED",
            "ResourceStatusReason": "has policies",
            "ResourceType": "AWS::IAM::Role",
        },
    ]

    with pytest.raises(TeardownFailed, match=r"DELETE_FAILED[^R]*Role: has policies\nFix that, then run this again"):
        destroy(clients)

    assert set(BUCKETS) < clients.s3.buckets.keys(), "functions that are there may still read them"


def test_what_a_nested_stack_cannot_delete_is_named_with_its_own_reason() -> None:
    clients = whole()
    clients.formation.after_deletion = lambda name: ("DELETE_IN_PROGRESS", "DELETE_FAILED")
    nested = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}-Monitoring-1/2"
    failed = {"ResourceStatus": "DELETE_FAILED", "ResourceType": "AWS::CloudFormation::Stack"}
    clients.formation.resources[STACK] = [
        {**failed, "LogicalResourceId": "Monitoring", "PhysicalResourceId": nested, "ResourceStatusReason": "inside"}
    ]
    clients.formation.resources[nested] = [
        {**failed, "ResourceType": "AWS::SNS::Topic", "LogicalResourceId": "Topic", "ResourceStatusReason": "denied"}
    ]

    with pytest.raises(TeardownFailed, match=r"\n  Topic: denied\n"):
        destroy(clients)

    clients.formation.resources[nested] = []
    with pytest.raises(TeardownFailed, match=r"\n  Monitoring: inside\n"):
        destroy(clients)


def test_a_protected_stack_is_left_alone() -> None:
    clients = whole()
    clients.formation.protected = True

    with pytest.raises(TeardownFailed, match="termination protection"):
        destroy(clients)

    assert clients.formation.deleted == []


def test_a_bucket_that_an_open_form_still_writes_to_is_emptied_again() -> None:
    clients = whole()
    clients.s3.late = [(BUCKETS[1], "requests/late"), (BUCKETS[1], "requests/later")]

    destroy(clients)

    assert_gone(clients)


def test_an_object_that_s3_keeps_is_named() -> None:
    clients = whole()
    clients.s3.kept = {"packs/current.json"}

    with pytest.raises(TeardownFailed, match=r"S3 did not delete packs/current.json in .*: AccessDenied, locked"):
        destroy(clients)


def test_a_bucket_of_another_account_is_no_bucket_of_ours() -> None:
    clients = whole()
    clients.s3.owner = "999999999999"

    with pytest.raises(BucketDenied, match="belongs to another account"):
        look(clients, STACK, ACCOUNT, REGION)
