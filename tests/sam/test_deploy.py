"""A first deployment publishes the demo pack with the image that was just built."""

from __future__ import annotations

import json

import pytest

from local import demo_pack
from local.cloud import Cloud
from local.sam.docker_engine import Engine
from tools.first_request import publish_demo_pack


def test_the_image_builds_the_pack_for_the_first_request(
    engine: Engine, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="first-deployment")

    assert publish_demo_pack(s3, "first-deployment")

    pointer = json.loads(s3.get_object(Bucket="first-deployment", Key="packs/current.json")["Body"].read())
    assert pointer["pack"] == demo_pack.NAME
