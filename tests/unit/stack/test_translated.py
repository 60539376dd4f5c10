"""What must hold for the stack as CloudFormation gets it: translated by SAM, with its parameters filled in."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, get_args

import pytest

from layers.core.telemetry import Metric, emit
from tests.support.templates import load_template
from tests.unit.stack.stacks import PSEUDO, REGION, Stack, references, strings

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = load_template(ROOT / "template.yaml")
MONITORING = load_template(ROOT / "monitoring.yaml")
CHOSEN = {
    "iam": {},
    "key": {"AuthMode": "key"},
    "jwt": {"AuthMode": "jwt", "JwtIssuer": "https://issuer.example", "JwtAudience": "coldswap"},
    "all": {
        "AuthMode": "key",
        "CanaryRelease": "first",
        "Stage": "staging",
        "AlarmEmail": "operator@example.com",
        "ProviderKeys": "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:providers",
        "RemoteSwapper": "arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:gpu",
    },
}
HOLDS_DATA = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::SecretsManager::Secret")

Statement = dict[str, Any]


@pytest.fixture(scope="session")
def stacks() -> dict[str, Stack]:
    """The stack by a name for what was chosen; translated once, where the translator lives."""
    defaults = {name: str(each["Default"]) for name, each in TEMPLATE["Parameters"].items()}
    parameters = {name: {**defaults, "AcceptTerms": "2026-11-23", **chosen} for name, chosen in CHOSEN.items()}
    translated = subprocess.run(
        [ROOT / ".venv-cloud/bin/python", Path(__file__).with_name("translate.py"), REGION],
        input=json.dumps({"template": packaged(), "parameters": parameters}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    templates = json.loads(translated.stdout)
    return {name: Stack(templates[name], parameters[name]) for name in CHOSEN}


def packaged() -> dict[str, Any]:
    """The template as `sam package` leaves it: images have a name, definitions stand in it, nested stacks have a URL.

    In staging some concurrency is reserved, as by an operator who edits the mapping.
    """
    template = load_template(ROOT / "template.yaml")
    template["Mappings"]["Stages"]["staging"]["ReservedConcurrency"] = "5"
    for resource in template["Resources"].values():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Function":
            properties["ImageUri"] = f"123456789012.dkr.ecr.{REGION}.amazonaws.com.cn/coldswap:1"
        elif resource["Type"] == "AWS::Serverless::StateMachine":
            properties["Definition"] = load_template(ROOT / properties.pop("DefinitionUri"))
        elif resource["Type"] == "AWS::CloudFormation::Stack":
            properties["TemplateURL"] = f"https://bucket.s3.amazonaws.com/{properties['TemplateURL']}"
    return template


@pytest.fixture(params=CHOSEN)
def stack(request: pytest.FixtureRequest, stacks: dict[str, Stack]) -> Stack:
    return stacks[request.param]


@pytest.fixture
def largest(stacks: dict[str, Stack]) -> Stack:
    """With everything that can be chosen."""
    return stacks["all"]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(role: Mapping[str, Any]) -> list[Statement]:
    return [each for policy in role.get("Policies", []) for each in listed(policy["PolicyDocument"]["Statement"])]


def permitted(stack: Stack) -> Iterator[tuple[str, Statement]]:
    """Everything that a role of the stack may do, by the role's name."""
    for name, role in stack.of_type("AWS::IAM::Role").items():
        for statement in statements(role):
            yield name, statement


def role_of(stack: Stack, name: str) -> Mapping[str, Any]:
    """The role of a function or a state machine."""
    properties = stack.resources[name]["Properties"]
    role = next(iter(references(properties.get("Role", properties.get("RoleArn")))))
    return stack.of_type("AWS::IAM::Role")[role]


def test_no_role_may_do_more_than_the_actions_it_names(stack: Stack) -> None:
    for role, statement in permitted(stack):
        assert statement["Effect"] == "Allow"
        assert {"NotAction", "NotResource", "NotPrincipal"}.isdisjoint(statement), role
        assert not [action for action in listed(statement["Action"]) if "*" in action], role


WITHOUT_A_RESOURCE = {  # Service Authorization Reference: actions that have no resource types
    "lambda:GetAccountSettings",
    "polly:SynthesizeSpeech",  # lexicons alone, and requests name none
    "xray:PutTraceSegments",
    "xray:PutTelemetryRecords",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:GetSamplingStatisticSummaries",
}


def test_every_resource_of_a_role_is_the_stack_s_own_or_named_by_its_operator(stack: Stack) -> None:
    own = (":stack-", "stack-", ":parameter/stack/settings")
    for role, statement in permitted(stack):
        if set(listed(statement["Action"])) <= WITHOUT_A_RESOURCE:
            assert statement["Resource"] == "*"
            continue
        for resource in listed(statement["Resource"]):
            if isinstance(resource, str) and ":kms:" in resource:
                assert statement["Condition"] == {"StringEquals": {"kms:RequestAlias": "alias/stack-signing"}}
            elif isinstance(resource, str):
                named = [CHOSEN["all"]["ProviderKeys"], CHOSEN["all"]["RemoteSwapper"]]
                assert any(each in resource for each in own) or resource in named, role
            else:
                assert set(references(resource)) & stack.resources.keys(), role


def test_names_that_policies_and_variables_spell_out_are_those_of_the_stack_s_resources(largest: Stack) -> None:
    """They are written by hand, because a reference would be a circle."""
    names = {
        f"{kind}{each[key]}"
        for kind, resource, key in (
            ("s3:::", "AWS::S3::Bucket", "BucketName"),
            ("stateMachine:", "AWS::StepFunctions::StateMachine", "StateMachineName"),
        )
        for each in largest.of_type(resource).values()
    }
    names |= {each.replace("stateMachine:", "execution:") for each in names}
    variables = [each["Environment"]["Variables"] for each in largest.of_type("AWS::Lambda::Function").values()]
    spelt = {
        text
        for part in (*(statement for _, statement in permitted(largest)), *variables)
        for text in strings(part)
        if text.startswith(("arn:aws-cn:s3:::", "arn:aws-cn:states:"))
    }

    assert spelt
    for text in spelt:
        end = text.split(":", 5)[5]
        kind = "s3:::" if ":s3:" in text else ""
        assert any(f"{kind}{end}" == name or f"{kind}{end}".startswith((f"{name}/", f"{name}:")) for name in names), (
            text
        )
    buckets = {each["BucketName"] for each in largest.of_type("AWS::S3::Bucket").values()}
    assert {value for each in variables for name, value in each.items() if name.endswith("_BUCKET")} == buckets


def test_managed_policies_are_few(stack: Stack) -> None:
    managed = {
        str(arn).rpartition("/")[2]
        for role in stack.of_type("AWS::IAM::Role").values()
        for arn in role.get("ManagedPolicyArns", [])
    }

    tracing = {"AWSXrayWriteOnlyAccess", "AWSXRayDaemonWriteAccess"}  # SAM takes the latter in China

    assert managed <= {"AWSLambdaBasicExecutionRole", "AWSCodeDeployRoleForLambdaLimited", *tracing}


@pytest.mark.parametrize("function", ["SwapFunction", "VideoFunction", "KeyAuthorizerFunction"])
def test_conditions_on_items_of_the_state_table_keep_api_keys_from_all_but_the_authoriser(
    largest: Stack, function: str
) -> None:
    table = [
        statement
        for statement in statements(role_of(largest, function))
        if any(action.startswith("dynamodb:") for action in listed(statement["Action"]))
        and "by-caller" not in json.dumps(statement["Resource"])
    ]

    assert len(table) == 1
    if function == "KeyAuthorizerFunction":
        assert table[0]["Action"] == "dynamodb:GetItem"
        assert table[0]["Condition"] == {"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["key#*"]}}
    else:
        assert table[0]["Condition"] == {"ForAllValues:StringNotLike": {"dynamodb:LeadingKeys": ["key#*", "keyname#*"]}}


def test_whoever_calls_a_function_from_outside_is_one_source_alone(stack: Stack) -> None:
    for name, permission in stack.of_type("AWS::Lambda::Permission").items():
        assert "SourceArn" in permission or "SourceAccount" in permission, name
        if permission["Principal"] == "s3.amazonaws.com":  # buckets are named by whoever comes first
            assert permission["SourceAccount"] == PSEUDO["AWS::AccountId"]


def test_s3_may_call_the_function_before_the_bucket_says_that_it_will(stack: Stack) -> None:
    notifying = {
        name: each
        for name, each in stack.resources.items()
        if each["Type"] == "AWS::S3::Bucket" and "NotificationConfiguration" in each["Properties"]
    }

    assert notifying.keys() == {"UploadsBucket"}
    for bucket in notifying.values():
        permissions = [stack.resources[name]["Properties"] for name in listed(bucket["DependsOn"])]
        called = set(references(bucket["Properties"]["NotificationConfiguration"]))
        allowed = {
            name
            for each in permissions
            if each["Principal"] == "s3.amazonaws.com"
            for name in references(each["FunctionName"])
        }
        assert called <= allowed


def test_what_holds_data_outlives_a_stack_that_is_deleted_by_mistake(stack: Stack) -> None:
    holders = {name: each for name, each in stack.resources.items() if each["Type"] in HOLDS_DATA}

    assert holders.keys() == {"ModelsBucket", "UploadsBucket", "OutputsBucket", "StateTable", "SigningKey"}
    for name, resource in holders.items():
        assert resource.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate"), name
        assert resource.get("UpdateReplacePolicy") == "Retain", name


def test_table_and_key_outlive_the_stack_without_taking_a_name_from_the_next_one(stack: Stack) -> None:
    assert "TableName" not in stack.of_type("AWS::DynamoDB::Table")["StateTable"]
    assert "Name" not in stack.of_type("AWS::SecretsManager::Secret")["SigningKey"]


def test_the_signing_key_is_generated_as_it_always_was(stack: Stack) -> None:
    """Any change here makes CloudFormation write a new secret over the key that signed every result so far."""
    assert stack.of_type("AWS::SecretsManager::Secret")["SigningKey"]["GenerateSecretString"] == {
        "PasswordLength": 64,
        "ExcludePunctuation": True,
        "ExcludeCharacters": "{",
    }


def test_the_state_table_is_encrypted_with_the_key_that_costs_nothing(stack: Stack) -> None:
    """SSEEnabled: true would take the account's KMS key for DynamoDB, which bills its requests."""
    assert "SSESpecification" not in stack.of_type("AWS::DynamoDB::Table")["StateTable"]


def test_every_reference_is_to_something_that_is_there(stack: Stack) -> None:
    for name, resource in {**stack.resources, "Outputs": stack.outputs}.items():
        missing = set(references(resource)) - stack.resources.keys()
        assert not missing, name
        if name != "Outputs":
            assert set(listed(resource.get("DependsOn", []))) <= stack.resources.keys(), name


def test_the_nested_stack_gets_every_parameter_and_gives_every_output_that_is_asked_for(stack: Stack) -> None:
    nested = stack.nested("Monitoring", MONITORING)
    properties = [each["Properties"] for each in stack.resources.values()]

    assert nested.parameters.keys() == MONITORING["Parameters"].keys()
    assert not set(references(list(nested.resources.values()))) - {
        *nested.resources,  # its own
        *references(list(nested.parameters.values())),  # what the parameters name in the stack above
    }
    outputs = {text.partition(".")[2] for text in strings([properties, stack.outputs]) if text.startswith("Outputs.")}
    assert outputs <= nested.outputs.keys()
    assert "AlarmTopicArn" in outputs


@pytest.mark.parametrize("name", sorted(MONITORING["Parameters"]))
def test_what_is_watched_has_the_same_name_in_both_templates(largest: Stack, name: str) -> None:
    value = largest.nested("Monitoring", MONITORING).parameters[name]

    if name.endswith("StateMachine"):
        assert value.rpartition(":")[2] == largest.resources[name]["Properties"]["StateMachineName"]
    elif isinstance(value, dict):
        assert list(references(value)) == [name]
    else:
        assert value == {**largest.parameters, "Stack": PSEUDO["AWS::StackName"]}[name]


def test_alarms_topic_and_dashboard_take_no_name_that_0_1_0_had(stack: Stack) -> None:
    """An update deletes the former ones only when the new ones are there."""
    nested = stack.nested("Monitoring", MONITORING)
    names = [str(each.get("Properties", {}).get(name)) for each in nested.resources.values() for name in NAMES]

    assert set(names) - {"None"} == {f"stack-monitoring-{REGION}"}
    assert not {"stack-alarms", f"stack-{REGION}"} & set(names)


NAMES = ("AlarmName", "TopicName", "DashboardName", "FilterName")


def test_no_resource_waits_for_itself(stack: Stack) -> None:
    graph = {
        name: {*references(resource), *listed(resource.get("DependsOn", []))}
        for name, resource in stack.resources.items()
    }

    assert list(TopologicalSorter(graph).static_order())


def test_every_route_but_the_pages_asks_who_calls(stacks: dict[str, Stack]) -> None:
    types = {"iam": "AWS_IAM", "key": "CUSTOM", "jwt": "JWT", "all": "CUSTOM"}
    for name, stack in stacks.items():
        for route in stack.of_type("AWS::ApiGatewayV2::Route").values():
            if route["RouteKey"] in ("GET /", "GET /page/{proxy+}"):
                assert route["AuthorizationType"] == "NONE"
                assert name != "iam", "a browser cannot sign, so there is no page"
                continue
            assert route["AuthorizationType"] == types[name]
            authorizers = {each for each in references(route) if each.endswith("Authorizer")}
            assert authorizers == stack.of_type("AWS::ApiGatewayV2::Authorizer").keys()


def test_logs_are_kept_for_the_days_that_were_chosen(stack: Stack) -> None:
    groups = stack.of_type("AWS::Logs::LogGroup")

    assert groups
    stage = TEMPLATE["Mappings"]["Stages"][stack.parameters["Stage"]]
    assert {each["RetentionInDays"] for each in groups.values()} == {stage["LogRetentionDays"]}
    for function in stack.of_type("AWS::Lambda::Function").values():
        # Where it names none, Lambda makes one that keeps everything for ever.
        assert set(references(function["LoggingConfig"]["LogGroup"])) <= groups.keys()


def test_no_secret_stands_in_an_output_or_in_a_variable(stack: Stack) -> None:
    secrets = stack.of_type("AWS::SecretsManager::Secret")
    variables = {
        f"{name}.{variable}": value
        for name, function in stack.of_type("AWS::Lambda::Function").items()
        for variable, value in function["Environment"]["Variables"].items()
    }

    for name, value in {**variables, **stack.outputs}.items():
        assert "{{resolve:" not in json.dumps(value), name
        if set(references(value)) & secrets.keys():
            assert list(value.values()) in [[[secret, "Id"]] for secret in secrets], name  # its ARN


def test_no_partition_or_region_is_written_down(stack: Stack) -> None:
    written = [text for text in strings(stack.resources) if "arn:aws:" in text or "us-east-1" in text]

    assert written == []


# AWS's own metrics: the one dimension that ours are looked at by, and the kind of resource that its value is.
DIMENSIONS = {
    "AWS/Lambda": ("FunctionName", "AWS::Lambda::Function"),
    "AWS/SQS": ("QueueName", "AWS::SQS::Queue"),
    "AWS/States": ("StateMachineArn", "AWS::StepFunctions::StateMachine"),
    "AWS/ApiGateway": ("ApiId", "AWS::ApiGatewayV2::Api"),
    "AWS/Events": ("RuleName", "AWS::Events::Rule"),
}


@pytest.fixture
def emitted(
    largest: Stack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[dict[str, str]]:
    """The dimensions of what each function sends with its own variables, and of what is counted in its log."""
    sets = []
    for function in ("SwapFunction", "VideoFunction"):
        variables = largest.of_type("AWS::Lambda::Function")[function]["Environment"]["Variables"]
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, str(value))
            capsys.readouterr()
            for release in ("", variables["RELEASE"]):
                emit(dict.fromkeys(get_args(Metric), 1.0), str(release))
        for line in capsys.readouterr().out.splitlines():
            document = json.loads(line)
            for directive in document["_aws"]["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    sets.append({"": directive["Namespace"], **{name: str(document[name]) for name in names}})
    for each in largest.nested("Monitoring", MONITORING).of_type("AWS::Logs::MetricFilter").values():
        for transformation in each["MetricTransformations"]:
            assert "Dimensions" not in transformation, "their names tell the stack"
            sets.append({"": transformation["MetricNamespace"]})
    return sets


def looked_at(stack: Stack) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Every metric of an alarm or of the dashboard: who looks, its namespace, its name and its dimensions."""
    for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items():
        metrics = [alarm] if "Namespace" in alarm else [each["MetricStat"]["Metric"] for each in alarm["Metrics"]]
        for each in metrics:
            dimensions = {dimension["Name"]: dimension["Value"] for dimension in each.get("Dimensions", [])}
            yield name, each["Namespace"], each["MetricName"], dimensions
    for name, dashboard in stack.of_type("AWS::CloudWatch::Dashboard").items():
        text = dashboard["DashboardBody"]
        for widget in json.loads(text["Fn::Sub"] if isinstance(text, dict) else text)["widgets"]:
            for metric in widget["properties"].get("metrics", []):
                namespace, label, *rest = [each for each in metric if isinstance(each, str)]
                yield name, namespace, label, dict(zip(rest[::2], rest[1::2], strict=True))


def test_alarms_and_dashboard_look_at_dimensions_that_are_sent(largest: Stack, emitted: list[dict[str, str]]) -> None:
    assert len(emitted) >= 2
    for where, namespace, metric, dimensions in looked_at(largest.nested("Monitoring", MONITORING)):
        if namespace in DIMENSIONS:
            name, kind = DIMENSIONS[namespace]
            assert dimensions.keys() == {name}, (where, metric)
            value = dimensions[name]
            if kind == "AWS::StepFunctions::StateMachine":
                machines = {each["StateMachineName"] for each in largest.of_type(kind).values()}
                assert value.rpartition(":")[2] in machines, (where, metric)
                continue
            (target,) = references({"Fn::Sub": value} if isinstance(value, str) else value)
            assert largest.resources[target]["Type"] == kind, (where, metric)
        else:
            assert {"": namespace, **dimensions} in emitted, (where, metric)


def test_who_is_to_write_traces_may(stacks: dict[str, Stack]) -> None:
    """SAM adds the right to a state machine only where `Enabled` is written as `true`."""
    needed = {"xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets"}
    for name, stack in stacks.items():
        traced = name == "all"
        for machine, properties in stack.of_type("AWS::StepFunctions::StateMachine").items():
            actions = {action for each in statements(role_of(stack, machine)) for action in listed(each["Action"])}
            assert properties["TracingConfiguration"]["Enabled"] is traced
            assert (actions & needed) == (needed if traced else set()), machine
        for function, properties in stack.of_type("AWS::Lambda::Function").items():
            assert properties["TracingConfig"]["Mode"] == ("Active" if traced else "PassThrough")
            assert any("ray" in str(arn).lower() for arn in role_of(stack, function)["ManagedPolicyArns"])
