"""What the images start from, and which of them ECR keeps."""

from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.templates import load_template
from tests.unit.tools.aws import Ecr, Formation, Functions
from tools import images
from tools.images import (
    LIFECYCLE,
    Base,
    ImageFailed,
    check_docker,
    keep_newest,
    list_functions,
    list_repositories,
    name_companion_stack,
    pull,
    read_base_tag,
)
from tools.stack import ROOT
from tools.template import make_buildable

TEMPLATE = load_template(ROOT / "template.yaml")
TAG = "registry.example/library/python:3.11"
DIGEST = f"sha256:{'a' * 64}"


class Docker:
    """Answers for the `docker` program, by its first word but one."""

    def __init__(self, **answers: str | Exception) -> None:
        self.answers = answers
        self.commands: list[list[str]] = []

    def run(self, command: list[str], **_: Any) -> Any:
        self.commands.append(command)
        answer = self.answers[command[1]]
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(stdout=answer)


def failed(stderr: str) -> subprocess.CalledProcessError:
    return subprocess.CalledProcessError(1, "docker", stderr=stderr)


def inspected(*digests: str) -> str:
    return json.dumps({"digests": digests, "created": "2026-11-20T01:02:03.4Z"})


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**answers: str | Exception) -> Docker:
        program = Docker(**answers)
        monkeypatch.setattr(subprocess, "run", program.run)
        return program

    return install


def test_a_base_is_pulled_anew_and_known_by_its_digest_and_day(docker: Any) -> None:
    repository = "registry.example/library/python"
    program = docker(pull="", image=inspected(f"mirror.example/python@{DIGEST}", f"{repository}@{DIGEST}"))

    assert pull(TAG) == Base(f"{repository}@{DIGEST}", "2026-11-20")
    assert program.commands[0][:2] == ["docker", "pull"]
    assert program.commands[0][-1] == TAG


@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({"pull": failed("wait\ntoomanyrequests: slow down")}, r"could not be pulled \(toomanyrequests: slow down\)"),
        ({"pull": "", "image": inspected()}, "has no digest"),
        ({"pull": "", "image": inspected(f"mirror.example/python@{DIGEST}")}, "has no digest"),
    ],
)
def test_nothing_is_built_on_a_base_that_cannot_be_pulled(
    answers: dict[str, str | Exception], sentence: str, docker: Any
) -> None:
    docker(**answers)

    with pytest.raises(ImageFailed, match=sentence):
        pull(TAG)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (FileNotFoundError("docker"), "install and start it"),
        (failed("Cannot connect to the Docker daemon"), r"(Cannot connect to the Docker daemon). Start it"),
        ("28.2.2", None),
    ],
)
def test_docker_is_asked_before_anything_is_built(answer: str | Exception, sentence: str | None, docker: Any) -> None:
    docker(version=answer)

    assert sentence is None or sentence in (check_docker() or "")
    assert (check_docker() is None) == (sentence is None)


def test_the_dockerfiles_name_one_base_and_every_image_takes_the_one_that_was_pulled() -> None:
    pinned = make_buildable(TEMPLATE, ROOT, "base@sha256:1")
    images_of = [each for each in pinned["Resources"].values() if each["Type"] == "AWS::Serverless::Function"]

    assert len({read_base_tag(ROOT / each["Metadata"]["Dockerfile"]) for each in images_of}) == 1
    assert [each["Metadata"]["DockerBuildArgs"] for each in images_of] == [{"BASE_IMAGE": "base@sha256:1"}] * len(
        images_of
    )
    assert pinned["Globals"]["Function"]["Architectures"] == ["x86_64"]
    assert not [each for each in images_of if "Architectures" in each["Properties"]]
    assert images.PLATFORM == "linux/amd64"


def test_repositories_are_those_of_the_companion_stack() -> None:
    formation = Formation()
    name = name_companion_stack("coldswap")
    formation.stacks[name] = "CREATE_COMPLETE"
    repository = {"ResourceType": "AWS::ECR::Repository", "ResourceStatus": "CREATE_COMPLETE"}
    formation.resources[name] = [
        {**repository, "PhysicalResourceId": "coldswap/swap"},
        {**repository, "PhysicalResourceId": "coldswap/gone", "ResourceStatus": "DELETE_COMPLETE"},
        {"ResourceType": "AWS::Other", "ResourceStatus": "CREATE_COMPLETE", "PhysicalResourceId": "other"},
    ]

    assert name == "coldswap-675005dd-CompanionStack", "as sam computes it"
    assert list_repositories(formation, "coldswap") == ["coldswap/swap"]
    assert list_repositories(Formation(), "coldswap") == []


def test_functions_are_those_of_the_stack_itself() -> None:
    formation = Formation(coldswap="CREATE_COMPLETE")
    function = {"ResourceType": "AWS::Lambda::Function", "ResourceStatus": "UPDATE_COMPLETE"}
    formation.resources["coldswap"] = [{**function, "PhysicalResourceId": name} for name in ("swap", "authorizer")]

    assert list_functions(formation, "coldswap") == ["swap", "authorizer"]


def test_the_newest_ten_are_kept_and_first_of_all_what_functions_and_aliases_run() -> None:
    in_use, newest = json.loads(LIFECYCLE)["rules"]

    assert in_use["rulePriority"] < newest["rulePriority"], "what matches the first rule is not expired by the second"
    assert in_use["selection"]["tagPrefixList"] == ["in-use-"]
    assert in_use["selection"]["countNumber"] >= 2, "more than there are such tags"
    assert newest["selection"] == {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}
    assert {TEMPLATE["Resources"][name]["Properties"]["Name"] for name in ("SwapLive", "VideoLive")} == {images.ALIAS}


def test_tags_of_use_follow_the_functions_and_the_same_again_changes_nothing() -> None:
    ecr, client = Ecr("coldswap/swap"), Functions()
    ecr.images["coldswap/swap"] = {"sha256:old": {"in-use-newest"}, "sha256:aliased": set(), "sha256:new": set()}
    uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/coldswap/swap@sha256"
    client.images = {("swap", "$LATEST"): f"{uri}:new", ("swap", "live"): f"{uri}:aliased"}

    for _ in range(2):
        keep_newest(ecr, client, ["coldswap/swap"], ["swap"])

        assert ecr.images["coldswap/swap"] == {
            "sha256:old": set(),
            "sha256:aliased": {"in-use-live"},
            "sha256:new": {"in-use-newest"},
        }
        assert ecr.policies == {"coldswap/swap": LIFECYCLE}


def test_without_a_canary_the_function_s_own_image_alone_is_tagged() -> None:
    ecr, client = Ecr("coldswap/swap"), Functions()
    ecr.images["coldswap/swap"] = {"sha256:new": set()}
    client.images = {("swap", "$LATEST"): "123456789012.dkr.ecr.eu-west-1.amazonaws.com/coldswap/swap@sha256:new"}

    keep_newest(ecr, client, ["coldswap/swap"], ["swap"])

    assert ecr.images["coldswap/swap"] == {"sha256:new": {"in-use-newest"}}
