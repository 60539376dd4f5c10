"""A stack's life by the operator's commands, on the emulated AWS: it fails, is deployed, used, and destroyed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops

from local import template_rewrite
from local.cloud import ACCOUNT, CREDENTIALS, REGION, ROOT, STACK, Cloud, CloudFailed
from tests.unit.tools.aws import Functions
from tools import deploy, first_request, images, teardown
from tools.stack import describe_stack, list_bucket_names
from tools.template import Template


def local_python(folder: Path) -> list[str]:
    """This machine's Python, in place of the image's."""
    return [sys.executable]


def clients(cloud: Cloud) -> teardown.Clients:
    return teardown.Clients(*(cloud.client(name) for name in teardown.SERVICES))


def target(cloud: Cloud) -> deploy.Target:
    return deploy.Target("default", STACK, ACCOUNT, REGION, cloud.client)


def destroy(cloud: Cloud) -> None:
    remains = teardown.look(clients(cloud), STACK, ACCOUNT, REGION)
    teardown.delete(clients(cloud), remains, ACCOUNT, lambda line: None, lambda seconds: None)


def buckets(cloud: Cloud) -> set[str]:
    return {each["Name"] for each in cloud.client("s3").list_buckets()["Buckets"]} & set(
        list_bucket_names(STACK, ACCOUNT, REGION)
    )


@pytest.fixture(autouse=True)
def docker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "check_docker", lambda: None)


@pytest.fixture(scope="module")
def running() -> Iterator[Cloud]:
    with Cloud() as emulator:
        yield emulator


@pytest.fixture
def cloud(running: Cloud) -> Iterator[Cloud]:
    """A cloud without a stack, before and after the test."""
    yield running
    destroy(running)


def run(cloud: Cloud, folder: Path, lines: list[str], **environment: str) -> None:
    """Runs printed lines as one script in a folder that has what the repository's root has, and nothing to build."""
    for name in ("Makefile", "examples", "layers", "local", "tools", ".venv"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv-deploy").symlink_to(ROOT / ".venv")
    (folder / "requirements").mkdir()
    (folder / "requirements/deploy.txt").touch()
    os.utime(folder / "requirements/deploy.txt", (0, 0))
    variables = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_DEFAULT_REGION": REGION,
        **CREDENTIALS,
        **environment,
    }
    script = "\n".join(["set -e", *lines])
    result = subprocess.run(
        ["sh", "-c", script], cwd=folder, env=variables, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_it_fails_is_mended_deployed_and_destroyed_and_leaves_nothing(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    formation, s3 = cloud.client("cloudformation"), cloud.client("s3")
    whole = template_rewrite.rewrite

    def with_a_fault(*arguments: Any) -> Template:
        """Add a resource that cannot be created, after the buckets."""
        template = whole(*arguments)
        after = [name for name, each in template["Resources"].items() if each["Type"] == "AWS::S3::Bucket"]
        template["Resources"]["Fault"] = {"Type": "AWS::Logs::LogStream", "Properties": {}, "DependsOn": after}
        return template

    with monkeypatch.context() as broken:
        broken.setattr(template_rewrite, "rewrite", with_a_fault)
        with pytest.raises(CloudFailed, match="ROLLBACK_COMPLETE: Fault"):
            cloud.deploy()

    assert buckets(cloud) == set(), "remaining buckets would block the next deployment"
    assert deploy.look(target(cloud), accept_terms=True) == []
    teardown.delete_stack(formation, STACK, print, lambda seconds: None)

    cloud.deploy()
    assert buckets(cloud) == set(list_bucket_names(STACK, ACCOUNT, REGION))
    s3.put_object(Bucket=cloud.bucket("outputs"), Key="swaps/a.jpg", Body=b"a")
    s3.create_multipart_upload(Bucket=cloud.bucket("uploads"), Key="requests/half")

    destroy(cloud)

    assert describe_stack(formation, STACK) is None
    assert buckets(cloud) == set()
    assert not teardown.look(clients(cloud), STACK, ACCOUNT, REGION)


def test_buckets_that_outlive_their_stack_are_in_the_way_until_they_are_destroyed(cloud: Cloud) -> None:
    cloud.deploy()
    cloud.client("s3").put_object(Bucket=cloud.bucket("models"), Key="blobs/a", Body=b"a")
    formation = cloud.client("cloudformation")
    teardown.delete_stack(formation, STACK, print, lambda seconds: None)

    with pytest.raises(deploy.DeployFailed) as failure:
        deploy.look(target(cloud), accept_terms=True)
    assert all(bucket in str(failure.value) for bucket in list_bucket_names(STACK, ACCOUNT, REGION))
    assert "make destroy" in str(failure.value)

    destroy(cloud)
    assert deploy.look(target(cloud), accept_terms=True) == []


def test_ecr_takes_the_rule_and_the_tags_of_what_functions_run(cloud: Cloud) -> None:
    ecr = cloud.client("ecr")
    ecr.create_repository(repositoryName="coldswap/swap")
    image = ecr.put_image(repositoryName="coldswap/swap", imageManifest='{"schemaVersion": 2}', imageTag="swap")[
        "image"
    ]
    functions = Functions()
    uri = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/coldswap/swap@{image['imageId']['imageDigest']}"
    functions.images["swap", "$LATEST"] = functions.images["swap", "live"] = uri

    for _ in range(2):
        images.keep_newest(ecr, functions, ["coldswap/swap"], ["swap"])

    (image_details,) = ecr.describe_images(repositoryName="coldswap/swap")["imageDetails"]
    policy = ecr.get_lifecycle_policy(repositoryName="coldswap/swap")["lifecyclePolicyText"]
    ecr.delete_repository(repositoryName="coldswap/swap", force=True)
    assert set(image_details["imageTags"]) == {"swap", "in-use-newest", "in-use-live"}
    assert json.loads(policy) == json.loads(images.LIFECYCLE)


@pytest.mark.parametrize(
    ("auth_mode", "environment"), [("iam", {"AWS_SESSION_TOKEN": "of a role"}), ("key", {}), ("open", {})]
)
def test_the_printed_lines_put_a_face_into_a_meme_at_once(
    cloud: Cloud, auth_mode: str, environment: dict[str, str], tmp_path: Path
) -> None:
    cloud.deploy({"AuthMode": auth_mode})
    s3, bucket = cloud.client("s3"), cloud.bucket("models")

    assert first_request.publish_demo_pack(s3, bucket, local_python)
    assert not first_request.publish_demo_pack(s3, bucket, local_python), "a pack that is in use stays in use"
    steps = first_request.list_steps(cloud.api_url, REGION, auth_mode)
    run(cloud, tmp_path, [line for _, line in steps], **environment)

    result = json.loads((tmp_path / "swapped.json").read_text())
    assert [face["swapped"] for face in result["faces"]] == [True]
    with Image.open(tmp_path / first_request.RESULT) as swapped_file, Image.open(ROOT / first_request.MEME) as meme:
        assert (swapped_file.format, swapped_file.size) == ("JPEG", meme.size)
        assert ImageChops.difference(swapped_file.convert("RGB"), meme.convert("RGB")).getbbox()
