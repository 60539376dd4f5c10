"""What must hold for the stack, read from the template itself."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from functions.swap.settings import Settings
from functions.swap.upload_outcomes import LAST_TRY_SECONDS, MAX_TRIES
from functions.video.settings import VideoSettings
from layers.core import errors, telemetry
from layers.core.warm_up import is_warm_up
from tests.support.templates import load_template
from tools import dashboard
from tools.template import list_nested_templates, merge_globals

ROOT = Path(__file__).resolve().parents[3]
SOURCE = load_template(ROOT / "template.yaml")
TEMPLATE = merge_globals(SOURCE)
MONITORING = load_template(ROOT / "monitoring.yaml")
WORKFLOW = load_template(ROOT / "functions/swap/swap.asl.yaml")
MOVING = load_template(ROOT / "functions/swap/moving.asl.yaml")
VIDEO = load_template(ROOT / "functions/video/short_video.asl.yaml")


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Properties by logical id, of both templates."""
    resources = {**TEMPLATE["Resources"], **MONITORING["Resources"]}
    properties = {name: each.get("Properties", {}) for name, each in resources.items() if each["Type"] == kind}
    assert properties
    return properties


@pytest.mark.parametrize("function", ["SwapFunction", "MovingFunction", "VideoFunction"])
def test_nothing_beside_the_public_internet_is_trusted(function: str) -> None:
    variables = of_type("AWS::Serverless::Function")[function]["Environment"]["Variables"]

    assert variables["TRUSTED_ORIGINS"] == ""


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function").values())
def test_handlers_are_where_the_template_says(function: dict[str, Any]) -> None:
    (handler,) = function["ImageConfig"]["Command"]

    assert importlib.util.find_spec(handler.rpartition(".")[0])


@pytest.mark.parametrize(
    ("function", "settings"),
    [("SwapFunction", Settings), ("MovingFunction", Settings), ("VideoFunction", VideoSettings)],
)
def test_the_settings_are_all_set(function: str, settings: Any) -> None:
    variables = of_type("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    read: set[str] = set()

    class Recorder(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            read.add(key)
            return super().get(key, default)

    defaults = {name: value if isinstance(value, str) else name for name, value in variables.items()}
    numbers = {"MAX_CONCURRENT_TASKS": "2", "RESULT_DAYS": "7", "RESERVED_CONCURRENCY": "0"}
    choices = {"MODEL_RETENTION": "container", "AUTH_MODE": "iam"}
    settings.read(Recorder({**defaults, **choices, **numbers}))

    assert {name for name in read if not name.startswith("AWS_LAMBDA_")} <= variables.keys()


def test_what_all_functions_have_in_common_stands_in_one_place() -> None:
    assert set(SOURCE["Globals"]) == {"Function"}
    for name, function in of_type("AWS::Serverless::Function").items():
        own = SOURCE["Resources"][name]["Properties"]
        assert not {"Architectures", "Tracing"} & own.keys()
        assert not SOURCE["Globals"]["Function"]["Environment"]["Variables"].keys() & own["Environment"]["Variables"]
        assert function["Architectures"] == ["x86_64"]
        assert function["Tracing"] == {"Fn::FindInMap": ["Stages", {"Ref": "Stage"}, "Tracing"]}
        assert function["PackageType"] == "Image"


PARAMETERS = [
    *("AcceptTerms", "Stage", "AuthMode", "JwtIssuer", "JwtAudience", "DefaultFace", "ModelRetention", "MemorySize"),
    *("RemoteSwapper", "MaxConcurrentTasks", "ProviderKeys", "AlarmEmail", "CanaryRelease"),
]


def test_parameters_are_these_and_there_will_be_no_more() -> None:
    assert len(PARAMETERS) == 13
    assert list(TEMPLATE["Parameters"]) == PARAMETERS
    for parameter in TEMPLATE["Parameters"].values():
        assert parameter["Description"]
        assert "Default" in parameter


def test_the_console_shows_every_parameter_in_a_group_and_with_a_label() -> None:
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]

    assert [name for group in interface["ParameterGroups"] for name in group["Parameters"]] == PARAMETERS
    assert all(group["Label"]["default"] for group in interface["ParameterGroups"])
    assert list(interface["ParameterLabels"]) == PARAMETERS


def test_production_is_the_default_stage_and_staging_keeps_little_and_traces() -> None:
    stages = TEMPLATE["Mappings"]["Stages"]
    parameter = TEMPLATE["Parameters"]["Stage"]

    assert (parameter["Default"], parameter["AllowedValues"]) == ("production", list(stages))
    usual = {"ResultDays": "7", "LogRetentionDays": "14", "Tracing": "PassThrough"}
    usual |= {"ThrottleRate": "20", "PageThrottleRate": "50", "ReservedConcurrency": "0"}
    assert stages == {
        "production": usual,
        "staging": {**usual, "ResultDays": "1", "LogRetentionDays": "3", "Tracing": "Active"},
    }


def test_the_operator_s_settings_begin_empty_and_stay_as_they_are_in_an_update() -> None:
    """CloudFormation writes the value only when the template's own changes, so it never may."""
    (settings,) = of_type("AWS::SSM::Parameter").values()

    assert settings["Name"] == {"Fn::Sub": "/${AWS::StackName}/settings"}
    assert (settings["Type"], settings["Value"]) == ("String", "{}")


@pytest.mark.parametrize("function", ["SwapFunction", "MovingFunction", "VideoFunction"])
def test_a_function_reads_the_operator_s_settings_and_cannot_change_them(function: str) -> None:
    variables = of_type("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    (statement,) = (each for each in statements(function) if each["Sid"] == "ReadOperatorSettings")

    assert variables["SETTINGS_PARAMETER"] == {"Ref": "OperatorSettings"}
    assert statement["Action"] == "ssm:GetParameter"
    assert statement["Resource"]["Fn::Sub"].endswith(":parameter/${AWS::StackName}/settings")


def test_monitoring_is_nested_and_has_nothing_of_sam() -> None:
    """A change set looks into a nested stack only where no macro is in it."""
    assert list_nested_templates(TEMPLATE) == {"Monitoring": "monitoring.yaml"}
    assert "Transform" not in MONITORING
    watching = ("AWS::CloudWatch::", "AWS::SNS::", "AWS::Logs::MetricFilter")
    assert all(each["Type"].startswith(watching) for each in MONITORING["Resources"].values())
    assert not [each for each in TEMPLATE["Resources"].values() if each["Type"].startswith(watching)]


def resolved(value: Any, auth_mode: str) -> Any:
    """A value of the template as it is in a stack with this AuthMode."""
    if not isinstance(value, dict) or "Fn::If" not in value:
        return value
    condition, then, otherwise = value["Fn::If"]
    parameter, mode = TEMPLATE["Conditions"][condition]["Fn::Equals"]
    assert parameter == {"Ref": "AuthMode"}
    return resolved(then if mode == auth_mode else otherwise, auth_mode)


@pytest.mark.parametrize(
    ("auth_mode", "authorization", "authorizer"),
    [
        ("iam", "AWS_IAM", {"Ref": "AWS::NoValue"}),
        ("jwt", "JWT", {"Ref": "JwtAuthorizer"}),
        ("key", "CUSTOM", {"Ref": "KeyAuthorizer"}),
        ("open", "NONE", {"Ref": "AWS::NoValue"}),
    ],
)
def test_every_route_asks_for_what_the_parameter_says(auth_mode: str, authorization: str, authorizer: Any) -> None:
    parameter = TEMPLATE["Parameters"]["AuthMode"]

    assert parameter["Default"] == "iam"
    assert parameter["AllowedValues"] == ["iam", "jwt", "key", "open"]
    for route in of_type("AWS::ApiGatewayV2::Route").values():
        if route["RouteKey"] in PAGE_ROUTES:
            continue
        assert resolved(route["AuthorizationType"], auth_mode) == authorization
        assert resolved(route["AuthorizerId"], auth_mode) == authorizer


PAGE_ROUTES = ("GET /", "GET /page/{proxy+}")


def test_the_page_alone_is_for_everybody_under_a_throttle_of_its_own_and_only_where_a_browser_can_sign_in() -> None:
    resources = TEMPLATE["Resources"]
    routes = {name: each for name, each in resources.items() if each["Type"] == "AWS::ApiGatewayV2::Route"}
    pages = {name: each for name, each in routes.items() if each["Properties"]["RouteKey"] in PAGE_ROUTES}

    assert TEMPLATE["Conditions"]["HasPage"] == {"Fn::Not": [{"Fn::Equals": [{"Ref": "AuthMode"}, "iam"]}]}
    for page in pages.values():
        assert page["Condition"] == "HasPage"
        assert page["Properties"]["AuthorizationType"] == "NONE"
        assert "AuthorizerId" not in page["Properties"]
    stage = resources["ApiStage"]
    _, waits_for, _ = stage["Metadata"]["Routes"]["Fn::If"]
    assert waits_for == [{"Ref": name} for name in pages]  # API Gateway refuses settings of a route that is not there
    condition, settings, otherwise = stage["Properties"]["RouteSettings"]["Fn::If"]
    assert (condition, otherwise) == ("HasPage", {"Ref": "AWS::NoValue"})
    rate = {"Fn::FindInMap": ["Stages", {"Ref": "Stage"}, "PageThrottleRate"]}
    assert settings == {key: {"ThrottlingRateLimit": rate, "ThrottlingBurstLimit": rate} for key in PAGE_ROUTES}


def test_a_browser_may_send_forms_to_the_uploads_bucket_from_the_page_and_nothing_else_to_any_bucket() -> None:
    rules = {
        name: bucket["CorsConfiguration"]["CorsRules"]
        for name, bucket in of_type("AWS::S3::Bucket").items()
        if "CorsConfiguration" in bucket
    }

    page = {"Fn::GetAtt": ["Api", "ApiEndpoint"]}
    assert rules == {"UploadsBucket": [{"AllowedMethods": ["POST"], "AllowedOrigins": [page], "MaxAge": 3600}]}


@pytest.mark.parametrize("function", ["SwapFunction", "VideoFunction"])
def test_a_function_is_told_who_may_call_by_a_setting(function: str) -> None:
    variables = of_type("AWS::Serverless::Function")[function]["Environment"]["Variables"]

    assert variables["AUTH_MODE"] == {"Ref": "AuthMode"}


def test_the_authoriser_is_asked_before_every_request_whatever_its_headers_and_its_answer_is_not_kept() -> None:
    assert of_type("AWS::ApiGatewayV2::Authorizer")["KeyAuthorizer"] == {
        "ApiId": {"Ref": "Api"},
        "Name": "key",
        "AuthorizerType": "REQUEST",
        "AuthorizerPayloadFormatVersion": "2.0",
        "EnableSimpleResponses": True,
        "IdentitySource": [],
        "AuthorizerResultTtlInSeconds": 0,
        "AuthorizerUri": {
            "Fn::Sub": "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/"
            "${KeyAuthorizerFunction.Arn}/invocations"
        },
    }


def test_only_this_api_s_authoriser_may_call_the_function_behind_it() -> None:
    permission = of_type("AWS::Lambda::Permission")["KeyAuthorizerPermission"]

    assert permission["FunctionName"] == {"Ref": "KeyAuthorizerFunction"}
    assert permission["SourceArn"]["Fn::Sub"].endswith(":${Api}/authorizers/${KeyAuthorizer}")


def test_the_authoriser_is_there_with_keys_alone_and_answers_before_the_api_gives_up() -> None:
    resources = {**TEMPLATE["Resources"], **MONITORING["Resources"]}
    named = {name: each for name, each in resources.items() if name.startswith("KeyAuthorizer")}
    function = named["KeyAuthorizerFunction"]

    assert len(named) == 6
    assert {each["Condition"] for each in named.values()} == {"KeyAuth"}
    assert function["Properties"]["Timeout"] < 10  # seconds, of an HTTP API's quotas


def test_the_authoriser_s_image_is_the_video_function_s_and_built_once() -> None:
    resources = TEMPLATE["Resources"]

    assert resources["KeyAuthorizerFunction"]["Metadata"] == resources["VideoFunction"]["Metadata"]


def test_one_failure_of_the_authoriser_rings() -> None:
    alarms = of_type("AWS::CloudWatch::Alarm")

    for metric in ("Errors", "Throttles"):
        alarm = alarms[f"KeyAuthorizer{metric}"]
        assert (alarm["Namespace"], alarm["MetricName"], alarm["Threshold"]) == ("AWS/Lambda", metric, 1)
        assert alarm["Dimensions"] == [{"Name": "FunctionName", "Value": {"Ref": "KeyAuthorizerFunction"}}]


def test_a_stack_that_is_open_says_so_in_its_outputs() -> None:
    output = TEMPLATE["Outputs"]["ApiIsOpen"]

    assert output["Condition"] == "OpenApi"
    assert "spend your money" in output["Value"]["Fn::Sub"]


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
    """The statements of a function's policies, those under a condition too."""
    listed = []
    for policy in of_type("AWS::Serverless::Function")[function]["Policies"]:
        for each in policy["Statement"]:
            listed.append(each["Fn::If"][1] if "Fn::If" in each else each)
    return listed


@pytest.mark.parametrize("function", of_type("AWS::Serverless::Function"))
def test_no_policy_of_a_function_is_wider_than_the_stack(function: str) -> None:
    for statement in statements(function):
        text = json.dumps(statement)
        assert ':*"' not in json.dumps(statement["Action"])
        if statement["Action"] in WITHOUT_A_RESOURCE:
            assert statement["Resource"] == "*"
            continue
        assert '"*"' not in text
        own = (
            "AWS::StackName",
            "Fn::GetAtt",
            ".Arn}",
            "${Deployments}",
            '"Ref": "ProviderKeys"',
            '"Ref": "RemoteSwapper"',
        )
        assert any(each in text for each in own)


def test_the_video_function_sees_nothing_of_faces_and_models() -> None:
    objects = [each for each in statements("VideoFunction") if "s3:GetObject" in json.dumps(each["Action"])]
    (keys,) = [each for each in statements("VideoFunction") if each["Sid"] == "ReadProviderKeys"]

    for statement in statements("VideoFunction"):
        text = json.dumps(statement)
        assert "-models-" not in text or statement["Sid"] == "ReadTypefacesAndMusic"
        assert "-uploads-" not in text or statement["Sid"] in ("ReadCallersFiles", "TellMissingFromForbidden")
    assert all(
        resource["Fn::Sub"].endswith(("/work/*", "/videos/*", "/fonts/*", "/music/*", "/requests/*"))
        for statement in objects
        for resource in statement["Resource"]
    )
    assert keys["Resource"] == {"Ref": "ProviderKeys"}
    assert TEMPLATE["Parameters"]["ProviderKeys"]["Default"] == "", "no key is ever in a template"


@pytest.mark.parametrize("function", ["SwapFunction", "MovingFunction", "VideoFunction"])
def test_who_swaps_may_read_where_a_gpu_is_and_nobody_else(function: str) -> None:
    """Only where one is named: a policy with an empty resource would not deploy."""
    own = [each for each in statements(function) if each["Sid"] == "ReadRemoteSwapper"]
    swaps = function != "VideoFunction"
    assert [each["Resource"] for each in own] == [{"Ref": "RemoteSwapper"}] * swaps
    assert ("RemoteSwapper" in json.dumps(TEMPLATE["Resources"][function])) == swaps
    assert TEMPLATE["Parameters"]["RemoteSwapper"]["Default"] == "", "no key is ever in a template"


def test_the_video_function_reads_what_callers_upload_and_changes_nothing_of_it() -> None:
    (clips,) = [each for each in statements("VideoFunction") if each["Sid"] == "ReadCallersFiles"]
    bucket = of_type("AWS::Serverless::Function")["VideoFunction"]["Environment"]["Variables"]["UPLOADS_BUCKET"]

    assert clips["Action"] == "s3:GetObject"
    (resource,) = clips["Resource"]
    assert resource["Fn::Sub"] == f"arn:${{AWS::Partition}}:s3:::{bucket['Fn::Sub']}/requests/*"


@pytest.mark.parametrize("function", ["SwapFunction", "VideoFunction"])
def test_a_function_may_use_the_table_and_start_its_own_workflow(function: str) -> None:
    variables = of_type("AWS::Serverless::Function")[function]["Environment"]["Variables"]
    (allowed,) = (each["Resource"] for each in statements(function) if "states:StartExecution" in json.dumps(each))
    machines = {
        "SwapFunction": {
            "STATE_MACHINE_ARN": "SwapStateMachine",
            "MOVING_MACHINE_ARN": "MovingStateMachine",
            "BATCH_MACHINE_ARN": "BatchStateMachine",
        },
        "VideoFunction": {"STATE_MACHINE_ARN": "VideoStateMachine"},
    }[function]

    assert (allowed if isinstance(allowed, list) else [allowed]) == [variables[each] for each in machines]
    for variable, machine in machines.items():
        name = of_type("AWS::Serverless::StateMachine")[machine]["Name"]["Fn::Sub"]
        assert variables[variable]["Fn::Sub"].endswith(f":stateMachine:{name}")
    assert variables["STATE_TABLE"] == {"Ref": "StateTable"}


def test_every_path_of_the_video_api_has_a_route_to_its_function() -> None:
    from functions.video.entry.http_api import openapi

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
    others = {"ColdswapError", "InternalError", "Unidentified", "TermsNotAccepted", "AtCapacity", "Deleted"}
    of_moving_memes = {"EncodingFailed", "WorkGone"}
    named = set(errors.family()) - others - of_moving_memes - set(errors.family(errors.VideoError))
    task = WORKFLOW["States"]["Swap"]

    assert set(task["Retry"][0]["ErrorEquals"]) == {name for name in named if errors.family()[name].retryable}
    assert set(task["Catch"][0]["ErrorEquals"]) == named
    assert task["Catch"][-1]["ErrorEquals"] == ["States.ALL"]


def test_every_state_that_the_workflow_names_is_there() -> None:
    states = WORKFLOW["States"]
    ways = [way for state in states.values() for name in ("Catch", "Choices") for way in state.get(name, [])]
    named = {each["Next"] for each in (*ways, *states.values()) if "Next" in each}
    defaults = {state["Default"] for state in states.values() if "Default" in state}

    assert named | defaults | {WORKFLOW["StartAt"]} == states.keys()


def test_the_workflow_records_what_failed_where_the_api_looks_and_may_do_no_more() -> None:
    from functions.swap.swap_records import KINDS

    record = WORKFLOW["States"]["Record"]
    machine = of_type("AWS::Serverless::StateMachine")["SwapStateMachine"]
    (statement,) = machine["Policies"][1]["Statement"]

    assert f"'{KINDS['swap']}' &" in record["Arguments"]["Key"]["id"]["S"]
    assert record["Arguments"]["ConditionExpression"] == "attribute_exists(id)", "what was deleted is not brought back"
    assert statement["Action"] == "dynamodb:UpdateItem"
    assert statement["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [f"{KINDS['swap']}*"]}}
    assert machine["DefinitionSubstitutions"]["StateTable"] == {"Ref": "StateTable"}


def test_an_upload_is_tried_as_often_and_as_long_as_the_uploader_is_told() -> None:
    function = TEMPLATE["Resources"]["SwapFunction"]["Properties"]
    tries = function["EventInvokeConfig"]

    assert tries["MaximumRetryAttempts"] + 1 == MAX_TRIES
    assert tries["MaximumEventAgeInSeconds"] + function["Timeout"] == LAST_TRY_SECONDS


def test_the_task_outlasts_the_function_and_the_workflow_the_task() -> None:
    function = of_type("AWS::Serverless::Function")["SwapFunction"]

    assert function["Timeout"] < WORKFLOW["States"]["Swap"]["TimeoutSeconds"] < WORKFLOW["TimeoutSeconds"]


def tasks_of(states: Any) -> list[tuple[str, dict[str, Any]]]:
    """Every Task of a workflow, by name, however deep."""
    tasks = []
    for name, state in states["States"].items():
        if state["Type"] == "Task":
            tasks.append((name, state))
        for inner in [*state.get("Branches", []), *([state["ItemProcessor"]] if "ItemProcessor" in state else [])]:
            tasks += tasks_of(inner)
    return tasks


# Service Authorization Reference: no resource types, or none that a request names.
WITHOUT_A_RESOURCE = ("lambda:GetAccountSettings", "polly:SynthesizeSpeech")


THROTTLED = {
    "ErrorEquals": ["Lambda.TooManyRequestsException"],
    "IntervalSeconds": 1,
    "BackoffRate": 2,
    "MaxAttempts": 25,
    "MaxDelaySeconds": 60,
    "JitterStrategy": "FULL",
}


RESTING = {
    "ErrorEquals": [
        "Lambda.ResourceConflictException",
        "Lambda.ResourceNotReadyException",
        "Lambda.CodeArtifactUserPendingException",
    ],
    "IntervalSeconds": 5,
    "BackoffRate": 1.5,
    "MaxAttempts": 10,
    "MaxDelaySeconds": 20,
    "JitterStrategy": "FULL",
}
KILLED = {"Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout", "States.Timeout"}


def patience(retry: dict[str, Any]) -> float:
    """Seconds that a retrier waits at most, over all its tries."""
    rate, longest = float(retry.get("BackoffRate", 2)), float(retry.get("MaxDelaySeconds", "inf"))
    return sum(min(float(retry["IntervalSeconds"]) * rate**number, longest) for number in range(retry["MaxAttempts"]))


def test_a_function_that_rested_for_weeks_is_waited_for() -> None:
    for name, task in [*tasks_of(VIDEO), *tasks_of(MOVING), ("Swap", WORKFLOW["States"]["Swap"])]:
        assert RESTING in task["Retry"], name
    assert 120 < patience(RESTING) < 200, "half of it in the mean"


def test_a_sandbox_that_was_killed_is_tried_again_by_every_name_that_lambda_has_for_it() -> None:
    for name, task in [*tasks_of(VIDEO), *tasks_of(MOVING), ("Swap", WORKFLOW["States"]["Swap"])]:
        (retry,) = (each for each in task["Retry"] if "Runtime.ExitError" in each["ErrorEquals"])
        assert set(retry["ErrorEquals"]) >= KILLED, name
        assert any("Lambda.Unknown" in each["ErrorEquals"] for each in task["Retry"]), name


SHARED = {**THROTTLED, "ErrorEquals": ["Lambda.TooManyRequestsException", "AtCapacity"]}  # or it is others' turn


TURN = {**THROTTLED, "ErrorEquals": ["AtCapacity"], "IntervalSeconds": 2, "MaxAttempts": 150}


def test_a_throttled_function_is_waited_for_longer_than_a_fault_and_is_told_as_one() -> None:
    calls = [*tasks_of(VIDEO), *tasks_of(MOVING), ("Swap", WORKFLOW["States"]["Swap"])]
    for name, task in calls:
        assert (SHARED if task is WORKFLOW["States"]["Swap"] else THROTTLED) in task["Retry"], name
        named = [error for retry in task["Retry"] for error in retry["ErrorEquals"]]
        assert len(named) == len(set(named)), name
    (patience_ends,) = (
        each["Next"] for each in WORKFLOW["States"]["Swap"]["Catch"] if each["ErrorEquals"] == SHARED["ErrorEquals"]
    )
    assert WORKFLOW["States"][patience_ends]["Output"]["error"] == errors.AtCapacity.__name__


def test_a_chunk_waits_for_its_turn_as_long_as_the_largest_meme_takes_with_half_of_a_new_account() -> None:
    from functions.swap.moving.crop_chunks import EXECUTIONS, LARGEST_CHUNK
    from functions.swap.services import NEW_ACCOUNT_CONCURRENCY

    chunks = Settings.max_face_frames / LARGEST_CHUNK
    longest = chunks / (NEW_ACCOUNT_CONCURRENCY // 2) * 60  # a chunk takes about a minute

    for name, task in tasks_of(MOVING):
        assert TURN in task["Retry"], name
    assert patience(TURN) / 2 > 3 * longest, "half of it in the mean"
    assert patience(TURN) / 2 < MOVING["TimeoutSeconds"], "so that the reason is told as that"
    assert EXECUTIONS <= NEW_ACCOUNT_CONCURRENCY


def test_every_task_of_the_video_retries_what_a_retry_can_cure_and_nothing_else() -> None:
    # Never raised by a step, by design no more, or cured by the steps before it.
    raised = {"InternalError", "StillRunning", "AtCapacity", "CallbackFailed", "WorkGone"}
    curable = {name for name, kind in errors.family().items() if kind.retryable} - raised

    for name, task in tasks_of(VIDEO):
        named = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        assert {each for each in named if not each.startswith("Lambda.")} == curable | KILLED, name
        assert all(retry["MaxAttempts"] <= 6 for retry in task["Retry"] if retry not in (THROTTLED, RESTING))
    assert len({json.dumps(task["Retry"]) for _, task in tasks_of(VIDEO)}) == 1


def test_every_task_of_the_video_outlasts_the_function_and_names_a_step() -> None:
    from functions.video.steps import OUTCOME_STEPS, PRODUCTION_STEPS

    function = of_type("AWS::Serverless::Function")["VideoFunction"]
    steps = [task["Arguments"]["Payload"]["step"] for _, task in tasks_of(VIDEO)]

    assert sorted(steps) == sorted([*PRODUCTION_STEPS, *OUTCOME_STEPS])
    for _, task in tasks_of(VIDEO):
        assert function["Timeout"] < task["TimeoutSeconds"] < VIDEO["TimeoutSeconds"]
        assert task["Arguments"]["FunctionName"] == "${VideoFunctionArn}"


def test_every_step_of_a_moving_meme_is_retried_by_what_can_cure_it_and_outlasts_the_function() -> None:
    from functions.swap.moving_run import STEPS
    from functions.swap.swap_records import MOVING_OVERDUE_SECONDS

    raised_elsewhere = {"InternalError", "WorkGone", "CallbackFailed"}
    of_videos = errors.family(errors.VideoError)
    curable = {name for name, kind in errors.family().items() if kind.retryable and name not in of_videos}
    timeout = of_type("AWS::Serverless::Function")["MovingFunction"]["Timeout"]

    assert sorted(task["Arguments"]["Payload"]["step"] for _, task in tasks_of(MOVING)) == sorted(STEPS)
    for name, task in tasks_of(MOVING):
        named = {error for retry in task["Retry"] for error in retry["ErrorEquals"]}
        assert {each for each in named if not each.startswith("Lambda.")} == curable - raised_elsewhere | KILLED, name
        assert timeout < task["TimeoutSeconds"] < MOVING["TimeoutSeconds"] < MOVING_OVERDUE_SECONDS
        assert task["Arguments"]["FunctionName"] == "${MovingFunctionArn}"
    assert len({json.dumps(task["Retry"]) for _, task in tasks_of(MOVING)}) == 1


def test_a_moving_meme_leaves_room_in_a_new_account_and_no_chunk_waits_for_another() -> None:
    from functions.swap.services import NEW_ACCOUNT_CONCURRENCY

    (chunks,) = (each for each in MOVING["States"]["Make"]["Branches"][0]["States"].values() if each["Type"] == "Map")

    assert chunks["MaxConcurrency"] <= NEW_ACCOUNT_CONCURRENCY
    assert chunks["ItemProcessor"]["ProcessorConfig"] == {"Mode": "INLINE"}


def test_moving_memes_have_the_image_of_swaps_with_more_time_and_their_bad_ends_are_settled_or_kept() -> None:
    functions = of_type("AWS::Serverless::Function")
    swap, moving = functions["SwapFunction"], functions["MovingFunction"]
    rule = moving["Events"]["Ended"]["Properties"]

    metadata = TEMPLATE["Resources"]["MovingFunction"]["Metadata"]
    assert {name: metadata[name] for name in ("Dockerfile", "DockerContext", "DockerTag")} == {
        name: TEMPLATE["Resources"]["SwapFunction"]["Metadata"][name]
        for name in ("Dockerfile", "DockerContext", "DockerTag")
    }
    assert (swap["Timeout"], moving["Timeout"]) == (120, 900), "stills keep theirs"
    assert moving["MemorySize"] == swap["MemorySize"]
    assert moving["EphemeralStorage"]["Size"] * 2**20 > 4 * Settings.max_moving_bytes
    assert rule["Pattern"]["detail"]["status"] == ["FAILED", "TIMED_OUT", "ABORTED"]
    assert rule["Pattern"]["detail"]["stateMachineArn"] == [moving["Environment"]["Variables"]["MOVING_MACHINE_ARN"]]
    assert rule["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["FailedUploads", "Arn"]}}


@pytest.mark.parametrize("function", ["SwapFunction", "MovingFunction"])
def test_whoever_deletes_a_moving_meme_may_read_which_work_files_it_has_and_delete_them(function: str) -> None:
    for action in ("s3:GetObject", "s3:DeleteObject"):
        (statement,) = (each for each in statements(function) if each["Action"] == action)
        assert any(each["Fn::Sub"].endswith("/work/swaps/*") for each in statement["Resource"]), action


@pytest.mark.parametrize("name", ["swap/swap", "swap/moving", "video/short_video"])
def test_no_workflow_has_a_yaml_alias_which_aws_does_not_resolve(name: str) -> None:
    """CloudFormation takes the file from S3 as it is; what is written out each time is compared above."""
    text = (ROOT / f"functions/{name}.asl.yaml").read_text()

    assert not [token for token in yaml.scan(text) if isinstance(token, (yaml.AliasToken, yaml.AnchorToken))]


def test_one_catch_stands_around_the_making_and_every_way_leads_on() -> None:
    make = VIDEO["States"]["Make"]
    assert [(each["ErrorEquals"], each["Next"]) for each in MOVING["States"]["Make"]["Catch"]] == [
        (["States.ALL"], "Fail")
    ]
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
    check(MOVING)


def test_a_lease_outlasts_a_step_and_all_the_waits_until_its_next_try() -> None:
    from functions.video.tasks.slots import LEASE_SECONDS

    for name, task in tasks_of(VIDEO):
        # What Lambda itself refuses never renewed the lease; what the step raised was a try, which did.
        refused = [retry for retry in task["Retry"] if all(each.startswith("Lambda.") for each in retry["ErrorEquals"])]
        assert len(refused) == 3, name
        tried = max(retry.get("MaxDelaySeconds", 60) for retry in task["Retry"] if retry not in refused)
        longest = of_type("AWS::Serverless::Function")["VideoFunction"]["Timeout"] + tried + sum(map(patience, refused))
        assert longest < LEASE_SECONDS, name


def test_what_a_workflow_uses_again_outlasts_it_also_where_results_are_kept_for_a_day() -> None:
    from functions.video.artifacts import FRESH_SECONDS

    assert min(int(each["ResultDays"]) for each in TEMPLATE["Mappings"]["Stages"].values()) == 1
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

    for name in ("SwapFunction", "MovingFunction", "VideoFunction"):
        near = alarms[name.removesuffix("Function") + "NearTimeout"]
        assert near["Threshold"] == functions[name]["Timeout"] * 900


def test_every_dead_letter_queue_has_an_alarm() -> None:
    watched = [alarm["Dimensions"] for alarm in of_type("AWS::CloudWatch::Alarm").values() if "Dimensions" in alarm]

    for queue in of_type("AWS::SQS::Queue"):
        assert [{"Name": "QueueName", "Value": {"Ref": queue}}] in watched
        parameter = TEMPLATE["Resources"]["Monitoring"]["Properties"]["Parameters"][queue]
        assert parameter == {"Fn::GetAtt": [queue, "QueueName"]}


def test_the_dashboard_shows_metrics_and_fields_of_the_log_that_the_code_sends() -> None:
    (dashboard,) = of_type("AWS::CloudWatch::Dashboard").values()
    widgets = [each["properties"] for each in json.loads(dashboard["DashboardBody"]["Fn::Sub"])["widgets"]]
    own = [metric for each in widgets for metric in each.get("metrics", []) if metric[0] == "Coldswap"]
    queries = [each["query"] for each in widgets if "query" in each]
    sources = "".join(path.read_text() for folder in ("functions", "layers") for path in (ROOT / folder).rglob("*.py"))

    assert {metric[1] for metric in own} == set(get_args(telemetry.Metric))
    assert all(metric[4:6] == ["stack", "${Stack}"] for metric in own)
    assert len(queries) == 4
    for query in queries:
        assert re.match(r"SOURCE '\$\{(Swap|Video)Logs\}' \| ", query)
        fields = re.findall(r"(?:avg|max|sum)\((?:timings_ms\.)?(\w+)\)", query)
        assert fields
        for name in [*fields, *re.findall(r"'([a-z ]+)'", query.partition("|")[2])]:
            assert f'"{name}"' in sources, name


def test_the_dashboard_in_the_template_is_the_one_that_is_drawn() -> None:
    text = (ROOT / "monitoring.yaml").read_text()

    assert dashboard.update(text) == text, "run python -m tools.dashboard"


def test_the_dashboard_shows_every_phase_of_a_swap_and_no_other() -> None:
    """Phases are entered by name: `with phases("decode")`; those of a warm-up are its own."""
    entered = set()
    for path in (ROOT / "functions/swap").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or path.name == "warm_up.py":
                continue
            if (getattr(node.func, "attr", None) or getattr(node.func, "id", None)) in ("phases", "_phases"):
                (name,) = node.args
                assert isinstance(name, ast.Constant), "a phase whose name is not written down"
                entered.add(name.value)
    (query,) = (each["properties"]["query"] for each in dashboard.WIDGETS if "by phase" in each["properties"]["title"])

    assert len(entered) > 10
    assert set(re.findall(r"timings_ms\.(\w+)", query)) == entered == set(dashboard.SWAP_PHASES)


def test_the_dashboard_shows_every_step_of_a_video_and_of_a_moving_meme_without_naming_one() -> None:
    steps = [each["properties"]["query"] for each in dashboard.WIDGETS if "by step" in each["properties"]["title"]]

    of_videos, of_moving_memes = steps
    assert re.search(r"filter message = 'step' and failed = 0 \| stats .* by step$", of_videos)
    assert re.search(r"filter message = 'moving step' \| stats .* by step$", of_moving_memes)


def test_workflows_may_write_the_traces_that_staging_asks_for() -> None:
    for machine in of_type("AWS::Serverless::StateMachine").values():
        assert machine["Tracing"] == {"Enabled": {"Fn::If": ["Traces", True, False]}}
        (policy,) = [each for each in machine["Policies"] if "Fn::If" in each]
        condition, then, otherwise = policy["Fn::If"]
        (statement,) = then["Statement"]
        assert (condition, otherwise) == ("Traces", {"Ref": "AWS::NoValue"})
        assert set(statement["Action"]) == {
            *("xray:PutTraceSegments", "xray:PutTelemetryRecords"),
            *("xray:GetSamplingRules", "xray:GetSamplingTargets"),
        }


def targets(rule: str) -> list[dict[str, Any]]:
    """Whom a rule calls, and with what, also where a parameter decides."""
    listed = of_type("AWS::Events::Rule")[rule]["Targets"]
    return [each["Fn::If"][1] if "Fn::If" in each else each for each in listed]


def test_functions_and_what_the_aliases_point_to_are_called_every_week() -> None:
    rule = of_type("AWS::Events::Rule")["WeeklyWarmUp"]

    assert rule["ScheduleExpression"] == "rate(7 days)"
    assert rule.get("State", "ENABLED") == "ENABLED"
    assert [each["Arn"] for each in targets("WeeklyWarmUp")] == [
        *({"Fn::GetAtt": [f"{name}Function", "Arn"]} for name in ("Swap", "Moving", "Video")),
        *({"Ref": f"{name}Live"} for name in ("Swap", "Video")),
    ]
    for rule_name in ("WeeklyWarmUp", "KeepWarm"):
        assert all(is_warm_up(json.loads(each["Input"])) for each in targets(rule_name))


def test_nobody_pays_for_warm_sandboxes_who_did_not_ask_for_them() -> None:
    assert of_type("AWS::Events::Rule")["KeepWarm"]["State"] == "DISABLED"
    assert [each["Arn"] for each in targets("KeepWarm")] == [
        {"Fn::If": ["Canary", {"Ref": f"{name}Live"}, {"Fn::GetAtt": [f"{name}Function", "Arn"]}]}
        for name in ("Swap", "Video")
    ]


def test_the_rules_that_warm_may_call_what_they_call() -> None:
    names = [each["Name"]["Fn::Sub"] for each in of_type("AWS::Events::Rule").values()]
    allowed = {
        json.dumps(each["FunctionName"]): each["SourceArn"]["Fn::Sub"]
        for each in of_type("AWS::Lambda::Permission").values()
        if each["Principal"] == "events.amazonaws.com"
    }

    assert allowed.keys() == {
        json.dumps({"Ref": name})
        for name in ("SwapFunction", "SwapLive", "MovingFunction", "VideoFunction", "VideoLive")
    }
    for arn in allowed.values():
        assert arn.endswith(":rule/${AWS::StackName}-warm-*")
    assert all(name.startswith("${AWS::StackName}-warm-") for name in names)


def test_a_release_takes_requests_only_after_its_own_tests() -> None:
    hook = TEMPLATE["Resources"]["ReleaseHook"]

    assert hook["Condition"] == "Canary"
    # What AWSCodeDeployRoleForLambdaLimited lets CodeDeploy call.
    assert hook["Properties"]["FunctionName"]["Fn::Sub"].startswith("CodeDeployHook_")
    assert hook["Properties"]["Environment"]["Variables"]["VERSIONS"] == {"Fn::Sub": "${SwapVersion},${VideoVersion}"}
    assert hook["Metadata"]["Dockerfile"] == "functions/video/Dockerfile", "an image that is built anyway"


def test_lambda_s_own_lines_are_json_where_a_filter_reads_them() -> None:
    for name in ("SwapFunction", "MovingFunction", "VideoFunction"):
        assert of_type("AWS::Serverless::Function")[name]["LoggingConfig"]["LogFormat"] == "JSON"


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
        assert machine[f"{name}FunctionArn"] == called
        assert {"Fn::If": ["Canary", {"Ref": f"{name}Live"}, {"Ref": f"{name}Function"}]} in permissions

        update = TEMPLATE["Resources"][f"{name}Live"]["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"]
        group = TEMPLATE["Resources"][update["DeploymentGroupName"]["Ref"]]["Properties"]
        assert group["ApplicationName"] == update["ApplicationName"]
        assert [each["Name"]["Fn::GetAtt"] for each in group["AlarmConfiguration"]["Alarms"]] == [
            ["Monitoring", f"Outputs.{name}ReleaseFaults"],
            ["Monitoring", f"Outputs.{name}Crashes"],
        ]
        for kind in ("ReleaseFaults", "Crashes"):
            assert MONITORING["Outputs"][f"{name}{kind}"]["Value"] == {"Ref": f"{name}{kind}"}
        assert update["BeforeAllowTrafficHook"] == {"Ref": "ReleaseHook"}
        assert "DEPLOYMENT_STOP_ON_ALARM" in group["AutoRollbackConfiguration"]["Events"]


def test_every_canary_is_a_version_of_its_own() -> None:
    for name in ("Swap", "Video"):
        version = TEMPLATE["Resources"][f"{name}Version"]
        assert version["Properties"]["Description"] == {"Ref": "CanaryRelease"}
        assert version["UpdateReplacePolicy"] == "Retain"
        variables = TEMPLATE["Resources"][f"{name}Function"]["Properties"]["Environment"]["Variables"]
        assert variables["RELEASE"] == {"Ref": "CanaryRelease"}
