"""What must hold for the stack, read from the template itself."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from functions.video.settings import VideoSettings
from layers.core import errors
from layers.core.settings import Settings
from local import rewrite

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = rewrite.load(ROOT / "template.yaml")
WORKFLOW = rewrite.load(ROOT / "functions/swap/swap.asl.yaml")
VIDEO = rewrite.load(ROOT / "functions/video/short_video.asl.yaml")


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    found = {name: each["Properties"] for name, each in TEMPLATE["Resources"].items() if each["Type"] == kind}
    assert found
    return found


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function").values())
def test_nothing_beside_the_public_internet_is_trusted(function: dict[str, Any]) -> None:
    assert function["Environment"]["Variables"]["TRUSTED_ORIGINS"] == ""


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function").values())
def test_handlers_are_where_the_template_says(function: dict[str, Any]) -> None:
    (handler,) = function["ImageConfig"]["Command"]

    assert importlib.util.find_spec(handler.rpartition(".")[0])


@pytest.mark.parametrize(("function", "settings"), [("SwapFunction", Settings), ("VideoFunction", VideoSettings)])
def test_the_settings_are_all_set(function: str, settings: Any) -> None:
    variables = of_type("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    read: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    defaults = {name: value if isinstance(value, str) else name for name, value in variables.items()}
    numbers = {"MAX_CONCURRENT_TASKS": "2", "RESULT_DAYS": "7", "DAILY_BUDGET": "5000"}
    settings.read(Recorder({**defaults, "MODEL_RETENTION": "container", **numbers}))

    assert {name for name in read if not name.startswith("AWS_LAMBDA_")} <= variables.keys()


def test_parameters_are_few_and_described() -> None:
    assert len(TEMPLATE["Parameters"]) <= 18
    for parameter in TEMPLATE["Parameters"].values():
        assert parameter["Description"]
        assert "Default" in parameter


def test_the_api_asks_for_iam_unless_a_parameter_says_jwt() -> None:
    assert TEMPLATE["Parameters"]["AuthMode"] == {
        **TEMPLATE["Parameters"]["AuthMode"],
        "Default": "iam",
        "AllowedValues": ["iam", "jwt"],
    }
    for route in of_type("AWS::ApiGatewayV2::Route").values():
        assert route["AuthorizationType"] == {"Fn::If": ["JwtAuth", "JWT", "AWS_IAM"]}


@pytest.mark.parametrize("bucket", of_type("AWS::S3::Bucket").items(), ids=lambda item: item[0])
def test_buckets_are_encrypted_private_and_speak_tls_alone(bucket: tuple[str, dict[str, Any]]) -> None:
    name, properties = bucket
    policies = [each for each in of_type("AWS::S3::BucketPolicy").values() if each["Bucket"] == {"Ref": name}]
    (statement,) = policies[0]["PolicyDocument"]["Statement"]

    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(properties["PublicAccessBlockConfiguration"]) == 4
    assert properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert properties["LifecycleConfiguration"]["Rules"]
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == [{"Fn::GetAtt": [name, "Arn"]}, {"Fn::Sub": f"${{{name}.Arn}}/*"}]


def statements(function: str) -> list[dict[str, Any]]:
    """Of the function's policies, those under a condition too."""
    found = []
    for policy in of_type("AWS::Serverless::Function")[function]["Policies"]:
        for each in policy["Statement"]:
            found.append(each["Fn::If"][1] if "Fn::If" in each else each)
    return found


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function"))
def test_no_policy_of_a_function_is_wider_than_the_stack(function: str) -> None:
    for statement in statements(function):
        said = json.dumps(statement)
        assert '"*"' not in said
        assert ':*"' not in json.dumps(statement["Action"])
        assert "AWS::StackName" in said or "Fn::GetAtt" in said or statement["Resource"] == {"Ref": "ProviderKeys"}


def test_the_video_function_sees_nothing_of_faces_and_models() -> None:
    objects = [each for each in statements("VideoFunction") if "s3:GetObject" in json.dumps(each["Action"])]
    (keys,) = [each for each in statements("VideoFunction") if each["Sid"] == "ReadProviderKeys"]

    for statement in statements("VideoFunction"):
        said = json.dumps(statement)
        assert "-models-" not in said
        assert "-uploads-" not in said
    assert all(
        resource["Fn::Sub"].endswith(("/work/*", "/videos/*"))
        for statement in objects
        for resource in statement["Resource"]
    )
    assert keys["Resource"] == {"Ref": "ProviderKeys"}
    assert TEMPLATE["Parameters"]["ProviderKeys"]["Default"] == "", "no key is ever in a template"


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function"))
def test_a_function_may_use_the_table_and_start_its_own_workflow(function: str) -> None:
    variables = of_type("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    allowed = [each["Resource"] for each in statements(function) if "states:StartExecution" in json.dumps(each)]
    machines = {"SwapFunction": "SwapStateMachine", "VideoFunction": "VideoStateMachine"}
    name = of_type("AWS::Serverless::StateMachine")[machines[function]]["Name"]["Fn::Sub"]

    assert allowed == [variables["STATE_MACHINE_ARN"]]
    assert variables["STATE_MACHINE_ARN"]["Fn::Sub"].endswith(f":stateMachine:{name}")
    assert variables["STATE_TABLE"] == {"Ref": "StateTable"}


def test_every_path_of_the_video_api_has_a_route_to_its_function() -> None:
    from functions.video.api import openapi

    described = json.loads(openapi())["paths"]
    paths = {
        f"{method.upper()} {path.replace('{task_id}', '{id}')}" for path in described for method in described[path]
    }
    routed = {
        route["RouteKey"]
        for route in of_type("AWS::ApiGatewayV2::Route").values()
        if route["Target"] == {"Fn::Sub": "integrations/${VideoIntegration}"}
    }

    beneath = {each for each in paths if each.startswith("GET /video/")}
    assert routed == paths - beneath | {"GET /video/{proxy+}"}


def test_the_workflow_retries_exactly_what_a_retry_can_cure_and_catches_all_that_a_task_can_raise() -> None:
    others = {"ColdswapError", "InternalError", "NotFound", "TermsNotAccepted", "AtCapacity"}
    named = set(errors.family()) - others - set(errors.family(errors.VideoError))
    task = WORKFLOW["States"]["Swap"]

    assert set(task["Retry"][0]["ErrorEquals"]) == {name for name in named if errors.family()[name].retryable}
    assert set(task["Catch"][0]["ErrorEquals"]) == named
    assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_every_state_that_the_workflow_names_is_there() -> None:
    states = WORKFLOW["States"]
    named = {WORKFLOW["StartAt"], *(catch["Next"] for state in states.values() for catch in state.get("Catch", []))}

    assert named == states.keys()


def test_the_task_outlasts_the_function_and_the_workflow_the_task() -> None:
    function = of_type("AWS::Serverless::Function")["SwapFunction"]

    assert function["Timeout"] < WORKFLOW["States"]["Swap"]["TimeoutSeconds"] < WORKFLOW["TimeoutSeconds"]


def tasks_of(states: Any) -> list[tuple[str, dict[str, Any]]]:
    """Every Task of a workflow, by name, however deep."""
    found = []
    for name, state in states["States"].items():
        if state["Type"] == "Task":
            found.append((name, state))
        for inner in [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]:
            found += tasks_of(inner)
    return found


FULL_HOUSE = {
    "ErrorEquals": ["Lambda.TooManyRequestsException"],
    "IntervalSeconds": 1,
    "BackoffRate": 2,
    "MaxAttempts": 25,
    "MaxDelaySeconds": 60,
    "JitterStrategy": "FULL",
}


def test_a_full_house_is_waited_for_longer_than_a_fault_and_is_told_as_one() -> None:
    for name, task in [*tasks_of(WORKFLOW), *tasks_of(VIDEO)]:
        assert FULL_HOUSE in task["Retry"], name
        named = [error for retry in task["Retry"] for error in retry["ErrorEquals"]]
        assert len(named) == len(set(named)), name
    (patience_ends,) = (
        each["Next"] for each in WORKFLOW["States"]["Swap"]["Catch"] if each["ErrorEquals"] == FULL_HOUSE["ErrorEquals"]
    )
    assert WORKFLOW["States"][patience_ends]["Error"] == errors.AtCapacity.__name__


def test_every_task_of_the_video_retries_what_a_retry_can_cure_and_nothing_else() -> None:
    # Never raised by a step, by design no more, or cured by the steps before it.
    raised = {"InternalError", "StillRunning", "AtCapacity", "CallbackFailed", "WorkGone"}
    curable = {name for name, kind in errors.family().items() if kind.retryable} - raised
    lambdas = {"Runtime.ExitError", "Sandbox.Timedout", "States.Timeout"}

    for name, task in tasks_of(VIDEO):
        named = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        assert {each for each in named if not each.startswith("Lambda.")} == curable | lambdas, name
        assert all(retry["MaxAttempts"] <= 6 for retry in task["Retry"] if retry != FULL_HOUSE)
    assert len({json.dumps(task["Retry"]) for _, task in tasks_of(VIDEO)}) == 1


def test_every_task_of_the_video_outlasts_the_function_and_names_a_step() -> None:
    from functions.video.steps import _CLOSING, _MAKING

    function = of_type("AWS::Serverless::Function")["VideoFunction"]
    steps = [task["Arguments"]["Payload"]["step"] for _, task in tasks_of(VIDEO)]

    assert sorted(steps) == sorted([*_MAKING, *_CLOSING])
    for _, task in tasks_of(VIDEO):
        assert function["Timeout"] < task["TimeoutSeconds"] < VIDEO["TimeoutSeconds"]
        assert task["Arguments"]["FunctionName"] == "${VideoFunctionArn}"


def test_one_catch_stands_around_the_making_and_every_way_leads_on() -> None:
    make = VIDEO["States"]["Make"]
    assert [(each["ErrorEquals"], each["MaxAttempts"]) for each in make["Retry"]] == [(["WorkGone"], 2)]
    assert make["Catch"][0]["ErrorEquals"] == ["States.ALL"]
    assert make["Catch"][0]["Next"] == "Fail"

    def check(machine: Any) -> None:
        named = {machine["StartAt"]}
        for state in machine["States"].values():
            named |= {
                each["Next"] for each in [state, *state.get("Catch", []), *state.get("Choices", [])] if "Next" in each
            }
            named |= {state["Default"]} if "Default" in state else set()
            assert "Next" in state or state.get("End") or state["Type"] in ("Choice", "Fail", "Succeed")
            for inner in [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]:
                check(inner)
        assert named == machine["States"].keys()

    check(VIDEO)


def test_a_lease_outlasts_a_step_and_the_wait_for_its_next_try() -> None:
    from functions.video.slots import LEASE_SECONDS

    longest = max(retry.get("MaxDelaySeconds", 0) for _, task in tasks_of(VIDEO) for retry in task["Retry"])

    assert of_type("AWS::Serverless::Function")["VideoFunction"]["Timeout"] + longest < LEASE_SECONDS


def test_what_a_workflow_uses_again_outlasts_it_also_where_results_are_kept_for_a_day() -> None:
    from functions.video.work import FRESH_SECONDS

    assert TEMPLATE["Parameters"]["ResultDays"]["MinValue"] == 1
    assert FRESH_SECONDS + VIDEO["TimeoutSeconds"] < 24 * 3600


def test_executions_that_end_by_themselves_are_settled_or_kept() -> None:
    function = of_type("AWS::Serverless::Function")["VideoFunction"]
    rule = function["Events"]["Ended"]["Properties"]

    assert rule["Pattern"]["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert rule["Pattern"]["detail"]["stateMachineArn"] == [function["Environment"]["Variables"]["STATE_MACHINE_ARN"]]
    assert rule["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["UnsettledTasks", "Arn"]}}
    assert function["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Type"] == "SQS"


def test_the_api_comes_before_the_functions_for_sam_local() -> None:
    kinds = [each["Type"] for each in TEMPLATE["Resources"].values()]

    assert kinds.index("AWS::ApiGatewayV2::Api") < kinds.index("AWS::Serverless::Function")


def test_every_alarm_rings_at_the_topic_and_says_what_is_wrong() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")

    for alarm in alarms.values():
        assert alarm["AlarmDescription"].endswith(".")
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
        assert alarm["TreatMissingData"] == "notBreaching"  # nothing runs while nobody asks


def test_alarms_near_the_time_out_know_the_time_out() -> None:
    functions = of_type("AWS::Serverless::Function")
    alarms = of_type("AWS::CloudWatch::Alarm")

    for name in functions:
        near = alarms[name.removesuffix("Function") + "NearTimeout"]
        assert near["Threshold"] == functions[name]["Timeout"] * 900


def test_every_dead_letter_queue_has_an_alarm() -> None:
    watched = [alarm["Dimensions"] for alarm in of_type("AWS::CloudWatch::Alarm").values() if "Dimensions" in alarm]

    for queue in of_type("AWS::SQS::Queue"):
        assert [{"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}] in watched


def test_the_dashboard_shows_metrics_that_the_code_sends() -> None:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(dashboard["DashboardBody"]["Fn::Sub"])
    own = {metric[1] for each in body["widgets"] for metric in each["properties"]["metrics"] if metric[0] == "Coldswap"}
    sources = "".join(path.read_text() for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py"))

    for name in own:
        named = f'"{name.removeprefix("Time").lower()}"' if name.startswith("Time") else f'"{name}"'
        assert named in sources, name


def test_with_a_canary_all_who_wait_for_an_answer_call_the_alias_and_without_one_it_is_not_there() -> None:
    conditional = {name for name, each in TEMPLATE["Resources"].items() if each.get("Condition") == "Canary"}
    deployed = {name for name, each in TEMPLATE["Resources"].items() if "CodeDeploy" in each["Type"]}
    assert deployed < conditional

    for name in ("Swap", "Video"):
        called = {"Fn::If": ["Canary", {"Ref": f"{name}Live"}, {"Fn::GetAtt": [f"{name}Function", "Arn"]}]}
        integrations = [each["IntegrationUri"] for each in of_type("AWS::ApiGatewayV2::Integration").values()]
        machine = TEMPLATE["Resources"][f"{name}StateMachine"]["Properties"]["DefinitionSubstitutions"]
        permissions = [each["FunctionName"] for each in of_type("AWS::Lambda::Permission").values()]
        assert called in integrations
        assert list(machine.values()) == [called]
        assert {"Fn::If": ["Canary", {"Ref": f"{name}Live"}, {"Ref": f"{name}Function"}]} in permissions

        update = TEMPLATE["Resources"][f"{name}Live"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = TEMPLATE["Resources"][update["DeploymentGroupName"]["Ref"]]["Properties"]
        assert group["ApplicationName"] == update["ApplicationName"]
        assert {each["Name"]["Ref"] for each in group["AlarmConfiguration"]["Alarms"]} == {f"{name}Errors", "ApiFaults"}
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_every_canary_is_a_version_of_its_own() -> None:
    for name in ("Swap", "Video"):
        version = TEMPLATE["Resources"][f"{name}Version"]
        assert version["Properties"]["Description"] == {"Ref": "CanaryRelease"}
        assert version["UpdateReplacePolicy"] == "Retain"
        variables = TEMPLATE["Resources"][f"{name}Function"]["Properties"]["Environment"]["Variables"]
        assert variables["RELEASE"] == {"Ref": "CanaryRelease"}
