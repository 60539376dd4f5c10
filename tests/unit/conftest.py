"""Fixtures that several folders share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from local.cloud import ROOT, Cloud
from tests.support.clock import Clock
from tests.support.templates import load_template

TABLE = load_template(ROOT / "template.yaml")["Resources"]["StateTable"]["Properties"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[Any]:
    """A client of an emulated DynamoDB, which judges our expressions better than a fake of ours could."""
    with Cloud() as cloud:
        yield cloud.client("dynamodb")


@pytest.fixture
def table(dynamodb: Any) -> str:
    """An empty table of the template's shape."""
    name = f"state-{uuid.uuid4()}"
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        **{name: TABLE[name] for name in ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")},
    )
    return name
