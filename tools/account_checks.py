"""The checks of a deployed stack that need no manual work and change nothing, as in docs/first-account.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from layers.core.api_keys import PREFIX
from tools.account import Account, ApiResponse

COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
INDEX = "by-caller"
POLICY_LETTERS = 5120  # the most that CloudWatch Logs takes as the resource policy of a service's logs
NEW_ACCOUNT = 10  # concurrent executions
INIT = "initDurationMs"  # in the report of a sandbox's first invocation
INIT_MS = 10_000  # after which Lambda begins anew, inside the request
REPORTS_SECONDS = 24 * 3600.0  # of reports that are looked at
TRACES = ("xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets")
REFUSED_BY_THE_GATEWAY = (401, 403)
# Rules by which functions hear of their workflows' ends.
ENDS = ("SwapFunctionEnded", "MovingFunctionEnded", "VideoFunctionEnded")


class Deviation(Exception):
    """Something is not as expected; the message says what."""


class ManualCheck(Exception):
    """The check cannot be run from here; the message says why."""


Check = Callable[[Account], str]


@dataclass(frozen=True)
class AccessQuestion:
    """One question to IAM's simulator: may this role do that to an item of the table with this key?"""

    role: str
    action: str
    key: str
    allowed: bool


ITEMS = (
    AccessQuestion("SwapFunctionRole", "dynamodb:PutItem", "result#1", True),
    AccessQuestion("SwapFunctionRole", "dynamodb:PutItem", "key#1", False),
    AccessQuestion("SwapFunctionRole", "dynamodb:DeleteItem", "keyname#1", False),
    AccessQuestion("VideoFunctionRole", "dynamodb:PutItem", "task#1", True),
    AccessQuestion("VideoFunctionRole", "dynamodb:PutItem", "key#1", False),
    AccessQuestion("KeyAuthorizerFunctionRole", "dynamodb:GetItem", "key#1", True),
    AccessQuestion("KeyAuthorizerFunctionRole", "dynamodb:GetItem", "secret#pseudonyms", False),
    AccessQuestion("SwapStateMachineRole", "dynamodb:UpdateItem", "result#1", True),
    AccessQuestion("SwapStateMachineRole", "dynamodb:UpdateItem", "key#1", False),
)


def check_stack(account: Account) -> str:
    """The stack is complete, its table's index is built, and expired items are deleted."""
    status = account.description["StackStatus"]
    if status not in COMPLETE:
        raise Deviation(f"the stack is {status}")
    dynamodb, table = account.client("dynamodb"), account.resources["StateTable"]
    indexes = dynamodb.describe_table(TableName=table)["Table"].get("GlobalSecondaryIndexes", [])
    states = {each["IndexName"]: each.get("IndexStatus", "ACTIVE") for each in indexes}
    state = states.get(INDEX, "not there")
    if state != "ACTIVE":
        raise Deviation(f"the index {INDEX} is {state}; after an update it takes some minutes")
    living = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]["TimeToLiveStatus"]
    if living not in ("ENABLED", "ENABLING"):
        raise Deviation(f"the table's time to live is {living}")
    return f"{status}, {INDEX} {state}"


def check_admission(account: Account) -> str:
    """Nobody gets in without what AuthMode requires, and API Gateway itself says so."""
    mode = account.parameters["AuthMode"]
    if mode == "open":
        raise Deviation("AuthMode is open: anyone who knows the URL can spend your money")
    tries: dict[str, Mapping[str, str]] = {
        "without credentials": {},
        "with a wrong token": {"authorization": "Bearer x"},
    }
    if mode == "key":
        tries["with a key that nobody has"] = {"x-api-key": f"{PREFIX}{'0' * 43}"}
    for how, headers in tries.items():
        answer = account.ask("/openapi.json", headers)
        if answer.status not in REFUSED_BY_THE_GATEWAY:
            raise Deviation(f"{how} the API answers {answer.status}")
        if mode == "key" and (answer.status, _message(answer.body)) != (403, "Forbidden"):
            raise Deviation(f"{how} the API answers {answer.status} {answer.body[:80]!r}, not 403 Forbidden")
    answer = _served(account)
    if answer.status != 200:
        raise Deviation(f"with credentials the API answers {answer.status} {answer.body[:80]!r}")
    return "rejected without credentials and with wrong ones, admitted with right ones"


def check_request_id(account: Account) -> str:
    """The id that a caller gets is in the function's log, beside Lambda's."""
    since = time.time() - 60
    answer = _served(account)
    if not answer.request_id:
        raise ManualCheck("the response has no apigw-requestid")
    lines = account.awaited(f"/coldswap/{account.stack}/swap", answer.request_id, since)
    if not lines:
        raise Deviation(f"the swap function's log does not contain {answer.request_id}")
    line = _json(lines[0])
    if line.get("correlation_id") != answer.request_id or not line.get("lambda_request_id"):
        raise Deviation("the function's log line lacks one of the two ids")
    return f"{answer.request_id} and {line['lambda_request_id']}"


def check_access_log(account: Account) -> str:
    """API Gateway writes its log, and the policy that allows it has room for the account's other APIs."""
    since = time.time() - 60
    answer = account.ask("/openapi.json", {})
    if not answer.request_id:
        raise ManualCheck("the response has no apigw-requestid")
    lines = account.awaited(f"/coldswap/{account.stack}/api", answer.request_id, since)
    if not lines:
        raise Deviation(f"the access log does not contain {answer.request_id}")
    policies = account.client("logs").describe_resource_policies()["resourcePolicies"]
    longest = max((len(each["policyDocument"]) for each in policies), default=0)
    if longest > 0.9 * POLICY_LETTERS:
        raise Deviation(f"a resource policy of CloudWatch Logs has {longest} of {POLICY_LETTERS} characters")
    return f"written; resource policies have at most {longest} of {POLICY_LETTERS} characters"


def check_permissions(account: Account) -> str:
    """IAM evaluates the conditions on the table's keys as the template intends."""
    table = account.arn("dynamodb", f"table/{account.resources['StateTable']}")
    questions = [each for each in ITEMS if each.role in account.resources]
    for each in questions:
        context = {
            "ContextKeyName": "dynamodb:LeadingKeys",
            "ContextKeyValues": [each.key],
            "ContextKeyType": "stringList",
        }
        if _may(account, each.role, each.action, table, [context]) != each.allowed:
            raise Deviation(f"{each.role} is {'denied' if each.allowed else 'allowed'} {each.action} on {each.key}")
    if not _may(account, "SwapFunctionRole", "lambda:GetAccountSettings", "*"):
        raise Deviation("SwapFunctionRole is denied lambda:GetAccountSettings")
    return f"{len(questions) + 1} results of IAM's simulator are as expected"


def check_traces(account: Account) -> str:
    """Where the stage has Tracing, the workflows may write traces."""
    functions = account.client("lambda")
    configuration = functions.get_function_configuration(FunctionName=account.resources["SwapFunction"])
    if configuration.get("TracingConfig", {}).get("Mode") != "Active":
        raise ManualCheck("Tracing is PassThrough in this stage")
    for role in ("SwapStateMachineRole", "VideoStateMachineRole"):
        for action in TRACES:
            if not _may(account, role, action, "*"):
                raise Deviation(f"{role} is denied {action}")
    return "both workflows may write them"


def check_concurrency(account: Account) -> str:
    """The account has more concurrent executions than a new one."""
    limit = account.client("lambda").get_account_settings()["AccountLimit"]
    total, free = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    if total <= NEW_ACCOUNT:
        raise Deviation(f"{total} concurrent executions, as on a new account: request more in Service Quotas")
    return f"{total} concurrent executions, {free} of them unreserved"


def check_cold_starts(account: Account) -> str:
    """INIT stays within its ten seconds."""
    reports = account.lines(f"/coldswap/{account.stack}/swap", INIT, time.time() - REPORTS_SECONDS)
    starts = [took for each in reports if (took := _init_ms(_json(each))) is not None]
    if not starts:
        raise ManualCheck("no cold start in the last day's log: make a swap first")
    if max(starts) > INIT_MS:
        raise Deviation(f"INIT took {max(starts):.0f} ms and was started again inside the request")
    return f"{len(starts)} in a day, INIT at most {max(starts):.0f} ms"


def check_dead_letters(account: Account) -> str:
    """No dead letters wait, and none were lost."""
    sqs = account.client("sqs")
    for queue in ("FailedUploadsUrl", "UnsettledTasksUrl"):
        attributes = sqs.get_queue_attributes(
            QueueUrl=account.outputs[queue], AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        if int(attributes["ApproximateNumberOfMessages"]):
            raise Deviation(f"dead letters wait in {queue.removesuffix('Url')}")
    rules = [account.resources[each].rpartition("|")[2] for each in ENDS]
    lost = sum(_sum(account, "AWS/Events", "InvocationsFailedToBeSentToDlq", {"RuleName": each}) for each in rules)
    if lost:
        raise Deviation(f"{lost:.0f} events could neither be delivered nor stored as dead letters")
    return "none wait, none were lost"


def check_alarms(account: Account) -> str:
    """No alarm rings, and somebody is subscribed to them."""
    cloudwatch = account.client("cloudwatch")
    described = cloudwatch.describe_alarms(AlarmNamePrefix=f"{account.stack}-")["MetricAlarms"]
    own = [each for each in described if each["AlarmName"] in account.resources.values()]
    ringing = [each["AlarmName"] for each in own if each["StateValue"] == "ALARM"]
    if ringing:
        raise Deviation(f"{', '.join(ringing)} in alarm")
    topic = account.outputs["AlarmTopicArn"]
    heard = account.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    if not [each for each in heard if each["SubscriptionArn"].startswith("arn:")]:
        raise Deviation("nobody has confirmed a subscription to AlarmTopicArn, so nobody receives alarms")
    return f"{len(own)} alarms, none firing"


CHECKS: Mapping[int, tuple[str, Check]] = {
    2: ("The stack is whole", check_stack),
    3: ("Only who may comes in", check_admission),
    4: ("One id leads to the log", check_request_id),
    5: ("The access log is written", check_access_log),
    6: ("Roles may do what they need and no more", check_permissions),
    7: ("Workflows may write traces", check_traces),
    8: ("There is room", check_concurrency),
    9: ("Cold starts end in time", check_cold_starts),
    10: ("Dead letters arrive, and there are none", check_dead_letters),
    11: ("Alarms are quiet and heard", check_alarms),
}


def _served(account: Account) -> ApiResponse:
    """What the swap function itself answers to an authorised caller."""
    mode = account.parameters["AuthMode"]
    if mode in ("key", "jwt") and not account.credentials:
        raise ManualCheck(f"set {'KEY' if mode == 'key' else 'TOKEN'} in the environment: AuthMode is {mode}")
    return account.ask("/openapi.json")


def _may(account: Account, role: str, action: str, resource: str, context: Iterable[Mapping[str, Any]] = ()) -> bool:
    answer = account.client("iam").simulate_principal_policy(
        PolicySourceArn=account.arn("iam", f"role/{account.resources[role]}", region=""),
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=[*context],
    )
    return all(each["EvalDecision"] == "allowed" for each in answer["EvaluationResults"])


def _sum(account: Account, namespace: str, metric: str, dimensions: Mapping[str, str]) -> float:
    """The sum over two weeks, for which a dead letter is kept."""
    now = datetime.now(UTC)
    points = account.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=now - timedelta(days=14),
        EndTime=now,
        Period=24 * 3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(each["Sum"] for each in points))


def _init_ms(report: Mapping[str, Any]) -> float | None:
    """Milliseconds of INIT, from Lambda's report of an invocation (LogFormat=JSON); None if it was no cold start."""
    if report.get("type") != "platform.report":
        return None
    took = report["record"]["metrics"].get(INIT)
    return None if took is None else float(took)


def _json(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line[line.index("{") :])
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _message(body: str) -> str:
    return str(_json(body).get("message", ""))
