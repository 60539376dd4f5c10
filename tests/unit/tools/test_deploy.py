"""Deploying, as far as it can be known without an account."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from layers.core.warm_up import PAYLOAD
from tests.support.templates import load_template
from tests.unit.tools.aws import ACCOUNT, REGION, S3, Ecr, Formation, Functions, Logs, Secrets, Tables, refusal
from tools import deploy, first_request, images, large_fonts, teardown
from tools.deploy import (
    PINNED,
    DeployFailed,
    Target,
    build_overrides,
    build_tags,
    describe_open_api,
    look,
    name_release,
    read_idle_costs,
)
from tools.images import Base
from tools.redrive import redrive
from tools.stack import NESTED, read_stack_name
from tools.template import Template, make_buildable

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = load_template(ROOT / "template.yaml")
MONITORING = load_template(ROOT / "monitoring.yaml")
API = {"ApiUrl": "https://api"}
BASE = Base(f"registry.example/python@sha256:{'a' * 64}", "2026-11-20")
ENVIRONMENTS = ("default", "staging")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environments_deploy_stacks_of_their_own_with_parameters_that_exist(environment: str) -> None:
    config = tomllib.loads((ROOT / "samconfig.toml").read_text())
    chosen = build_overrides(environment, "one", accept_terms=True)

    assert {each.partition("=")[0] for each in chosen} <= TEMPLATE["Parameters"].keys()
    assert f"environment={'staging' if environment == 'staging' else 'production'}" in str(config[environment])
    assert config[environment]["deploy"]["parameters"]["s3_prefix"] == read_stack_name(environment)
    assert read_stack_name("default") != read_stack_name("staging")


def test_a_deployment_names_its_base_and_its_release_or_none_and_keeps_the_environment_s_parameters() -> None:
    assert build_overrides("default", "") == ['CanaryRelease=""']
    assert build_overrides("staging", "one")[-1] == "CanaryRelease=one"
    assert "Stage=staging" in build_overrides("staging", "one")
    assert build_tags("staging", BASE.name) == ["project=coldswap", "environment=staging", f"base-image={BASE.name}"]
    assert re.fullmatch(TEMPLATE["Parameters"]["CanaryRelease"]["AllowedPattern"], name_release())


def test_no_resource_with_a_name_of_its_own_outlives_its_creation_s_failure() -> None:
    """CloudFormation makes up all other names, with a random part, so that nothing left is in the next stack's way.

    What is deleted with a failed creation takes its name along: log groups, the settings, the dashboard.
    A state machine's name is free when its executions have ended, and a creation that fails has started none.
    """
    names = {"BucketName", "LogGroupName", "TopicName", "DashboardName", "QueueName", "FunctionName", "TableName"}
    names |= {"RoleName", "AlarmName", "RepositoryName"}
    kinds = ("AWS::Serverless::StateMachine", "AWS::SecretsManager::Secret", "AWS::SSM::Parameter")
    machines = {kind: {"Name"} for kind in kinds}
    named = {
        logical: each.get("DeletionPolicy", "Delete")
        for logical, each in {**TEMPLATE["Resources"], **MONITORING["Resources"]}.items()
        if (names | machines.get(each["Type"], set())) & each.get("Properties", {}).keys()
        # These name a function or a log group that is another's.
        and not each["Type"].startswith(("AWS::Lambda::", "AWS::CodeDeploy::", "AWS::Logs::MetricFilter"))
    }

    assert named == {
        **dict.fromkeys(("ModelsBucket", "UploadsBucket", "OutputsBucket"), "RetainExceptOnCreate"),
        **dict.fromkeys(("ApiLogs", "SwapLogs", "VideoLogs", "KeyAuthorizerLogs"), "Delete"),
        **dict.fromkeys(
            (
                "Dashboard",
                "SwapStateMachine",
                "MovingStateMachine",
                "BatchStateMachine",
                "VideoStateMachine",
                "ReleaseHook",
            ),
            "Delete",
        ),
        "OperatorSettings": "Delete",
    }


def test_buckets_are_kept_from_updates_and_from_the_stack_s_deletion() -> None:
    buckets = [each for each in TEMPLATE["Resources"].values() if each["Type"] == "AWS::S3::Bucket"]

    assert [each["UpdateReplacePolicy"] for each in buckets] == ["Retain"] * 3


def test_what_an_idle_stack_costs_is_read_from_where_it_is_kept() -> None:
    assert re.fullmatch(r"A month without a request costs about \d+\.\d\d dollars: .*ECR.*\.", read_idle_costs())


def test_a_stack_that_is_open_says_so_when_it_is_deployed() -> None:
    assert "anyone who knows https://api\ncan use this stack and spend your money" in describe_open_api(API, "open")
    assert [describe_open_api(API, mode) for mode in ("iam", "jwt", "key")] == ["", "", ""]


class Account:
    """Clients of an account, by their services' names."""

    def __init__(self, **stacks: str) -> None:
        self.formation, self.s3, self.ecr = Formation(**stacks), S3(), Ecr()
        self.logs, self.functions = Logs(), Functions()
        self.dynamodb, self.secretsmanager = Tables(), Secrets()
        self.formation.parameters = {"AcceptTerms": "2026-11-23", "AuthMode": "iam"}

    def client(self, service: str) -> Any:
        services = {"cloudformation": self.formation, "lambda": self.functions}
        return services.get(service) or getattr(self, service)

    def target(self, stack: str = "coldswap", environment: str = "default") -> Target:
        return Target(environment, stack, ACCOUNT, REGION, self.client)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker runs, and nobody waits."""
    monkeypatch.setattr(images, "check_docker", lambda: None)
    for name in ("delete", "delete_stack"):
        monkeypatch.setattr(teardown, name, partial(getattr(teardown, name), pause=lambda seconds: None))


def configure(monkeypatch: pytest.MonkeyPatch, **parameters: str) -> None:
    monkeypatch.setattr(deploy, "read_parameters", lambda environment: parameters)


def test_a_first_deployment_may_begin_once_the_terms_are_accepted() -> None:
    account = Account()

    assert look(account.target(), accept_terms=True) == []
    with pytest.raises(DeployFailed, match=r"make deploy ENV=staging ACCEPT_TERMS=1"):
        look(account.target(environment="staging"), accept_terms=False)


def test_a_stack_whose_terms_are_accepted_is_not_asked_again_but_one_that_never_came_about_is() -> None:
    assert look(Account(coldswap="UPDATE_COMPLETE").target(), accept_terms=False) == []
    with pytest.raises(DeployFailed, match="ACCEPT_TERMS=1"):
        look(Account(coldswap="ROLLBACK_COMPLETE").target(), accept_terms=False)


def test_everything_that_is_in_the_way_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account()
    account.functions = Functions(concurrent=10)
    configure(monkeypatch, AuthMode="jwt", JwtIssuer="https://x", DailyBudget="50")
    monkeypatch.setattr(images, "check_docker", lambda: "Start Docker.")

    def unreachable(address: str) -> bytes:
        raise OSError("no route")

    with pytest.raises(DeployFailed) as refused:
        look(
            account.target("A_name_that_is_much_too_long_for_a_bucket"),
            accept_terms=False,
            read=unreachable,
            template=reserving(5),
        )

    sentences = str(refused.value)
    assert sentences.startswith("Nothing was deployed.\n")
    for part in (
        "a-z, 0-9",
        "characters; in",
        "ReservedConcurrency is 5",
        "JwtAudience",
        "ACCEPT_TERMS=1",
        "Start Docker.",
        "DailyBudget is no longer",
    ):
        assert part in sentences


def test_what_is_left_of_an_earlier_stack_is_named_before_anything_is_built() -> None:
    account = Account()
    account.s3 = S3(f"coldswap-models-{ACCOUNT}-{REGION}")
    account.logs = Logs("/coldswap/coldswap/swap")

    with pytest.raises(DeployFailed, match=f"coldswap-models-{ACCOUNT}-{REGION}, /coldswap/coldswap/swap"):
        look(account.target(), accept_terms=True)


def reserving(concurrency: int) -> Template:
    """The template as an operator edits it who reserves concurrency."""
    template = load_template(ROOT / "template.yaml")
    template["Mappings"]["Stages"]["production"]["ReservedConcurrency"] = str(concurrency)
    return template


def test_a_deployed_stack_s_own_reservation_may_be_kept() -> None:
    account = Account(coldswap="UPDATE_COMPLETE")
    account.functions = Functions(concurrent=1000, unreserved=100)
    account.functions.reserved["swap-1"] = 900
    account.formation.outputs = {"SwapFunctionName": "swap-1"}

    assert look(account.target(), accept_terms=False, template=reserving(900)) == []
    with pytest.raises(DeployFailed, match="leaves 900"):
        look(account.target(), accept_terms=False, template=reserving(901))


def test_an_update_from_a_version_with_more_parameters_says_what_becomes_of_them() -> None:
    account = Account(coldswap_staging="UPDATE_COMPLETE")
    account.formation.parameters |= {"DailyBudget": "50", "CacheLatents": "false", "ResultDays": "1"}

    (caution,) = look(account.target("coldswap-staging", "staging"), accept_terms=False)

    assert "run make settings ENV=staging SET='daily_budget=50'" in caution


def test_a_samconfig_without_the_capability_for_a_nested_stack_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deploy, "read_config", lambda *_: {"capabilities": "CAPABILITY_IAM"})

    with pytest.raises(DeployFailed, match="Add CAPABILITY_AUTO_EXPAND"):
        look(Account().target(), accept_terms=True)


class Sam:
    """Stands for sam: what it was asked for, and what a deployment does to the account."""

    def __init__(self, account: Account, status: str = "CREATE_COMPLETE", returncode: int = 0) -> None:
        self.account, self.status, self.returncode = account, status, returncode
        self.commands: list[list[str]] = []
        self.environments: list[dict[str, str]] = []

    def run(self, command: list[str], env: dict[str, str], **_: Any) -> Any:
        self.commands.append(command[1:])
        self.environments.append(env)
        if command[1] == "deploy":
            self.account.formation.stacks["coldswap"] = self.status
            if self.status.endswith("COMPLETE") and not self.returncode:
                self.account.formation.outputs = {name: f"https://{name}" for name in TEMPLATE["Outputs"]}
        return SimpleNamespace(returncode=self.returncode if command[1] == "deploy" else 0)


@pytest.fixture
def deployed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A way to run `up` against an account with a stand-in for sam."""

    def run(
        account: Account,
        sam: Sam,
        publish: Callable[..., bool] = lambda *_: True,
        publish_fonts: Callable[..., bool] = lambda *_: True,
    ) -> None:
        monkeypatch.setattr(Target, "of", staticmethod(lambda environment: account.target(environment=environment)))
        monkeypatch.setattr(images, "pull", lambda tag: BASE)
        monkeypatch.setattr(first_request, "publish_demo_pack", publish)
        monkeypatch.setattr(large_fonts, "publish", publish_fonts)
        monkeypatch.setattr("functions.video.entry.release_hook.lambda_client", lambda: account.functions)
        monkeypatch.setattr(subprocess, "run", sam.run)
        deploy.up("default", canary=False, accept_terms=True)

    return run


def test_both_images_start_from_the_digest_that_was_pulled_and_sam_sends_no_telemetry(
    deployed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    sam = Sam(account := Account())

    deployed(account, sam)

    assert [command[0] for command in sam.commands] == ["build", "deploy"]
    built, stacked = sam.commands
    assert built[built.index("--template-file") + 1] == str(PINNED)
    assert json.loads(PINNED.read_text()) == make_buildable(TEMPLATE, ROOT, BASE.name)
    assert f"base-image={BASE.name}" in stacked
    assert {each["SAM_CLI_TELEMETRY"] for each in sam.environments} == {"0"}
    printed = capsys.readouterr().out
    assert f"are based on {BASE.name}, built on 2026-11-20" in printed
    assert "A month without a request costs" in printed
    assert "Put a face into a meme:" in printed


@pytest.mark.parametrize("unfit", ["", "https://VideoFunctionName"])
def test_all_functions_test_themselves_after_a_deployment(
    unfit: str, deployed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account()
    account.functions.unfit = unfit

    deployed(account, Sam(account))

    names = ["https://SwapFunctionName", "https://MovingFunctionName", "https://VideoFunctionName"]
    assert account.functions.invoked == [(name, PAYLOAD) for name in names]
    assert ("failed its self-test" in capsys.readouterr().err) == bool(unfit)


@pytest.mark.parametrize("auth_mode", TEMPLATE["Parameters"]["AuthMode"]["AllowedValues"])
def test_the_warning_goes_by_what_is_deployed_and_not_by_what_was_asked_for(
    auth_mode: str, deployed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account()
    account.formation.parameters["AuthMode"] = auth_mode

    deployed(account, Sam(account))

    printed = capsys.readouterr()
    assert ("spend your money" in printed.err) == (auth_mode == "open")
    assert ("make -s key NAME=" in printed.out) == (auth_mode == "key")


def test_the_record_of_a_failed_creation_is_deleted_before_the_next(deployed: Any) -> None:
    account = Account(coldswap="ROLLBACK_COMPLETE")
    account.formation.after_deletion = lambda name: ("DELETE_COMPLETE",)

    deployed(account, Sam(account))

    assert account.formation.deleted == [("coldswap", "ROLLBACK_COMPLETE")]
    assert account.formation.stacks["coldswap"] == "CREATE_COMPLETE"


def event(
    stack: str, logical: str, status: str, reason: str = "", kind: str = "", physical: str = ""
) -> dict[str, str]:
    """An event of a stack, whose id is its name here; one of the stack itself where that is the physical id."""
    return {
        "StackId": stack,
        "LogicalResourceId": logical,
        "PhysicalResourceId": physical,
        "ResourceType": kind,
        "ResourceStatus": status,
        **({"ResourceStatusReason": reason} if reason else {}),
    }


def itself(stack: str, status: str) -> dict[str, str]:
    return event(stack, stack, status, kind=NESTED, physical=stack)


def test_a_failed_deployment_says_what_to_do(deployed: Any) -> None:
    account = Account()
    reason = "'MemorySize' value failed to satisfy constraint: Member must have value less than or equal to 3008"
    account.formation.events = [
        itself("coldswap", "ROLLBACK_COMPLETE"),
        event("coldswap", "Api", "CREATE_FAILED"),
        event("coldswap", "SwapFunction", "CREATE_FAILED", reason),
        itself("coldswap", "CREATE_IN_PROGRESS"),
        event("coldswap", "Old", "UPDATE_FAILED", "Invalid issuer"),
    ]

    with pytest.raises(DeployFailed) as failed:
        deployed(account, Sam(account, "ROLLBACK_COMPLETE", returncode=1))

    assert "deploy with MemorySize=3008" in str(failed.value)
    assert "JwtIssuer" not in str(failed.value), "that was another deployment's failure"
    assert "Nothing is left behind" in str(failed.value)


def test_what_failed_inside_the_nested_stack_is_said_too(deployed: Any) -> None:
    account = Account()
    embedded = "Embedded stack was not successfully created: The following resource(s) failed to create: [AlarmTopic]."
    account.formation.events = [
        itself("coldswap", "ROLLBACK_COMPLETE"),
        event("coldswap", "Monitoring", "CREATE_FAILED", embedded, NESTED, "arn:monitoring"),
        event("coldswap", "Never", "CREATE_FAILED", "cancelled", NESTED),
        itself("coldswap", "CREATE_IN_PROGRESS"),
    ]
    account.formation.nested_events["arn:monitoring"] = [
        itself("arn:monitoring", "DELETE_COMPLETE"),
        event("arn:monitoring", "AlarmTopic", "CREATE_FAILED", "User is not authorized to perform: SNS:CreateTopic"),
        itself("arn:monitoring", "CREATE_IN_PROGRESS"),
    ]

    with pytest.raises(DeployFailed, match="needs the permission SNS:CreateTopic"):
        deployed(account, Sam(account, "ROLLBACK_COMPLETE", returncode=1))


def test_what_goes_wrong_after_a_deployment_is_said_beside_the_outputs(
    deployed: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: Any) -> None:
        raise refusal("AccessDenied", "ecr:PutLifecyclePolicy")

    def fail(*_: Any) -> bool:
        raise subprocess.CalledProcessError(125, "docker run")

    def lack(*_: Any) -> bool:
        raise large_fonts.FontsUnfit("The package is not installed.")

    account = Account()
    monkeypatch.setattr(images, "keep_newest", refuse)
    deployed(account, Sam(account), publish=fail, publish_fonts=lack)

    printed = capsys.readouterr()
    assert "Put a face into a meme:" in printed.out
    assert "ECR will keep every image" in printed.err
    assert "Run make models before" in printed.err
    assert "not published (The package is not installed.). Run make fonts before" in printed.err


def test_a_deployment_publishes_the_typeface_that_no_image_has(deployed: Any) -> None:
    account, buckets = Account(), []

    deployed(account, Sam(account), publish_fonts=lambda s3, bucket: buckets.append((s3, bucket)))

    assert buckets == [(account.s3, "https://ModelsBucketName")]


def test_a_change_that_nobody_confirmed_is_no_deployment(deployed: Any) -> None:
    account = Account()

    with pytest.raises(DeployFailed, match="was not confirmed"):
        deployed(account, Sam(account, "REVIEW_IN_PROGRESS"))


@pytest.mark.parametrize(
    ("session", "sentence"),
    [
        (SimpleNamespace(region_name=None), "No region is set"),
        (
            SimpleNamespace(region_name="eu-west-1", client=boto3.session.Session().client),
            "AWS rejected the credentials",
        ),
    ],
)
def test_without_a_region_or_credentials_it_says_how_to_get_them(
    session: Any, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3.session, "Session", lambda: session)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "nowhere")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(DeployFailed, match=sentence):
        Target.of("default")
    with pytest.raises(DeployFailed, match="no environment nowhere"):
        Target.of("nowhere")


@pytest.mark.parametrize("answer", ["coldswap", "no", ""])
def test_what_is_deleted_is_listed_and_asked_about_once(
    answer: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account, prompts = Account(coldswap="ROLLBACK_FAILED"), list[str]()

    def ask(prompt: str) -> str:
        prompts.append(prompt)
        return answer

    account.formation.after_deletion = lambda name: ("DELETE_COMPLETE",)
    account.s3 = S3(f"coldswap-models-{ACCOUNT}-{REGION}")
    monkeypatch.setattr(Target, "of", staticmethod(lambda environment: account.target()))
    monkeypatch.setattr("builtins.input", ask)

    if answer == "coldswap":
        deploy.down("default")
        deploy.down("default")
    else:
        with pytest.raises(DeployFailed, match="Nothing was deleted"):
            deploy.down("default")

    printed = capsys.readouterr().out
    assert prompts == ["Type coldswap to continue: "]
    assert "the stack coldswap (ROLLBACK_FAILED)" in printed
    assert f"the bucket coldswap-models-{ACCOUNT}-{REGION} and everything" in printed
    assert bool(account.s3.buckets) == (answer != "coldswap")
    assert ("Nothing of coldswap exists" in printed) == (answer == "coldswap")


def test_the_deployment_s_environment_has_what_it_needs_and_leaves_out_what_is_large() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements/deploy.txt").read_text(), re.MULTILINE))
    recipe = (ROOT / "Makefile").read_text().split(".venv-deploy/ready: requirements/deploy.txt\n")[1].split("\n\n")[0]

    assert {"aws-sam-cli", "boto3", "pyyaml", "manimgx-fonts-cjk"} <= locked
    assert not {"cfn-lint", "sympy", "networkx", "numpy", "cryptography"} & locked
    assert all(part in recipe for part in ("--no-cache-dir", "--no-compile", "pip uninstall"))


@pytest.mark.parametrize("target", ["deploy", "destroy", "key", "settings", "fonts"])
def test_what_acts_on_aws_alone_needs_no_other_environment(target: str) -> None:
    (rule,) = re.findall(rf"^{target}: (.*?) ##", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert rule == ".venv-deploy/ready"


FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:memes-MovingFunction-1"
RECORD = {
    "version": "1.0",
    "timestamp": "2026-11-28T00:00:00.000Z",
    "requestContext": {
        "requestId": "1",
        "functionArn": f"{FUNCTION}:$LATEST",
        "condition": "RetriesExhausted",
        "approximateInvokeCount": 3,
    },
    "requestPayload": {"Records": [1]},
    "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
    "responsePayload": {"errorType": "StorageFailed"},
}
OF_A_RULE = {
    "MessageAttributes": {
        name: {"StringValue": value, "DataType": "String"}
        for name, value in {"RULE_ARN": "arn:aws:events:eu-west-1:1:rule/a", "TARGET_ARN": FUNCTION}.items()
    }
}


@pytest.mark.parametrize(
    ("letter", "attributes", "name"),
    [
        (RECORD, {}, "memes-MovingFunction-1"),
        ({"Records": [1]}, OF_A_RULE, "memes-MovingFunction-1"),
        ({"Records": [1]}, {}, "function"),
        ({"requestPayload": {"Records": [1]}, "responsePayload": {}}, {}, "function"),
    ],
)
def test_a_letter_is_sent_as_the_event_it_was_to_whom_failed_and_then_deleted(
    letter: dict[str, Any], attributes: dict[str, Any], name: str
) -> None:
    done: list[tuple[str, Any]] = []

    waiting = [{"Body": json.dumps(letter), "ReceiptHandle": "receipt", **attributes}]

    class Queue:
        def receive_message(self, MessageAttributeNames: list[str], **_: Any) -> dict[str, Any]:
            assert "TARGET_ARN" in MessageAttributeNames, "SQS sends no others"
            return {"Messages": [waiting.pop()]} if waiting else {}

        def delete_message(self, QueueUrl: str, ReceiptHandle: str) -> None:
            done.append(("deleted", ReceiptHandle))

    class Functions:
        def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:
            assert InvocationType == "Event"
            done.append((FunctionName, json.loads(Payload)))

    assert redrive("queue", "function", Queue(), Functions()) == 1
    assert done == [(name, {"Records": [1]}), ("deleted", "receipt")]
