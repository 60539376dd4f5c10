"""What can be checked of a deployed stack without manual work or a change, in the order of docs/first-account.md."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from layers.core.api_keys import PREFIX
from tools.account import Account, ApiResponse

WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE")
INDEX = "by-caller"
POLICY_LETTERS = 5120  # the most that CloudWatch Logs takes as the resource policy of a service's logs
NEW_ACCOUNT = 10  # executions at one time
INIT = "initDurationMs"  # in the report of a sandbox's first invocation
INIT_MS = 10_000  # after which Lambda begins anew, inside the request
REPORTS_SECONDS = 24 * 3600.0  # of reports that are looked at
TRACES = ("xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:GetSamplingRules", "xray:GetSamplingTargets")
REFUSED_BY_THE_GATEWAY = (401, 403)
ENDS = ("SwapFunctionEnded", "VideoFunctionEnded")  # rules by which functions hear of their workflows' ends


class Deviation(Exception):
    """It is not as expected; the message says how."""


class ByHand(Exception):
    """It cannot be seen from here; the message says why."""


Check = Callable[[Account], str]


@dataclass(frozen=True)
class Asked:
    """One question to IAM's simulator: may this role do that to an item of the table with this key?"""

    role: str
    action: str
    key: str
    allowed: bool


ITEMS = (
    Asked("SwapFunctionRole", "dynamodb:PutItem", "result#1", True),
    Asked("SwapFunctionRole", "dynamodb:PutItem", "key#1", False),
    Asked("SwapFunctionRole", "dynamodb:DeleteItem", "keyname#1", False),
    Asked("VideoFunctionRole", "dynamodb:PutItem", "task#1", True),
    Asked("VideoFunctionRole", "dynamodb:PutItem", "key#1", False),
    Asked("KeyAuthorizerFunctionRole", "dynamodb:GetItem", "key#1", True),
    Asked("KeyAuthorizerFunctionRole", "dynamodb:GetItem", "secret#pseudonyms", False),
    Asked("SwapStateMachineRole", "dynamodb:UpdateItem", "result#1", True),
    Asked("SwapStateMachineRole", "dynamodb:UpdateItem", "key#1", False),
)


def whole(account: Account) -> str:
    """The stack stands, its table's index is built, and what expires goes."""
    status = account.description["StackStatus"]
    if status not in WHOLE:
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


def admission(account: Account) -> str:
    """Nobody comes in without what AuthMode asks for, and the gateway says so itself."""
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
    return "refused without credentials and with wrong ones, let in with right ones"


def one_id(account: Account) -> str:
    """The id that a caller is told is in the function's log, beside Lambda's."""
    since = time.time() - 60
    answer = _served(account)
    if not answer.request_id:
        raise ByHand("the answer has no apigw-requestid")
    lines = account.awaited(f"/coldswap/{account.stack}/swap", answer.request_id, since)
    if not lines:
        raise Deviation(f"the swap function's log has nothing of {answer.request_id}")
    line = _json(lines[0])
    if line.get("correlation_id") != answer.request_id or not line.get("lambda_request_id"):
        raise Deviation("the function's line lacks one of the two ids")
    return f"{answer.request_id} and {line['lambda_request_id']}"


def access_log(account: Account) -> str:
    """The gateway writes its log, and the policy that lets it has room for the account's other APIs."""
    since = time.time() - 60
    answer = account.ask("/openapi.json", {})
    if not answer.request_id:
        raise ByHand("the answer has no apigw-requestid")
    lines = account.awaited(f"/coldswap/{account.stack}/api", answer.request_id, since)
    if not lines:
        raise Deviation(f"the access log has nothing of {answer.request_id}")
    policies = account.client("logs").describe_resource_policies()["resourcePolicies"]
    longest = max((len(each["policyDocument"]) for each in policies), default=0)
    if longest > 0.9 * POLICY_LETTERS:
        raise Deviation(f"a resource policy of CloudWatch Logs has {longest} of {POLICY_LETTERS} characters")
    return f"written; resource policies have at most {longest} of {POLICY_LETTERS} characters"


def permissions(account: Account) -> str:
    """IAM judges the conditions on the table's keys as the template means them."""
    table = account.arn("dynamodb", f"table/{account.resources['StateTable']}")
    asked = [each for each in ITEMS if each.role in account.resources]
    for each in asked:
        context = {
            "ContextKeyName": "dynamodb:LeadingKeys",
            "ContextKeyValues": [each.key],
            "ContextKeyType": "stringList",
        }
        if _may(account, each.role, each.action, table, [context]) != each.allowed:
            raise Deviation(f"{each.role} is {'denied' if each.allowed else 'allowed'} {each.action} on {each.key}")
    if not _may(account, "SwapFunctionRole", "lambda:GetAccountSettings", "*"):
        raise Deviation("SwapFunctionRole is denied lambda:GetAccountSettings")
    return f"{len(asked) + 1} answers of IAM's simulator are as expected"


def traces(account: Account) -> str:
    """Where the stage has Tracing, the workflows may write traces."""
    functions = account.client("lambda")
    configuration = functions.get_function_configuration(FunctionName=account.resources["SwapFunction"])
    if configuration.get("TracingConfig", {}).get("Mode") != "Active":
        raise ByHand("Tracing is PassThrough in this stage")
    for role in ("SwapStateMachineRole", "VideoStateMachineRole"):
        for action in TRACES:
            if not _may(account, role, action, "*"):
                raise Deviation(f"{role} is denied {action}")
    return "both workflows may write them"


def room(account: Account) -> str:
    """What the account has to share out."""
    limit = account.client("lambda").get_account_settings()["AccountLimit"]
    total, free = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    if total <= NEW_ACCOUNT:
        raise Deviation(f"{total} executions at one time, as on a new account: ask for more in Service Quotas")
    return f"{total} executions at one time, {free} of them unreserved"


def cold_starts(account: Account) -> str:
    """INIT stays within its ten seconds."""
    reports = account.lines(f"/coldswap/{account.stack}/swap", INIT, time.time() - REPORTS_SECONDS)
    starts = [took for each in reports if (took := _init_ms(_json(each))) is not None]
    if not starts:
        raise ByHand("no cold start in a day's log: swap once")
    if max(starts) > INIT_MS:
        raise Deviation(f"INIT took {max(starts):.0f} ms and began anew inside the request")
    return f"{len(starts)} in a day, INIT at most {max(starts):.0f} ms"


def dead_letters(account: Account) -> str:
    """Nothing waits, and nothing was lost on its way to where it would wait."""
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
        raise Deviation(f"{lost:.0f} events could neither be delivered nor kept")
    return "none wait, none were lost"


def alarms(account: Account) -> str:
    """All are quiet, and somebody hears them."""
    cloudwatch = account.client("cloudwatch")
    described = cloudwatch.describe_alarms(AlarmNamePrefix=f"{account.stack}-")["MetricAlarms"]
    own = [each for each in described if each["AlarmName"] in account.resources.values()]
    ringing = [each["AlarmName"] for each in own if each["StateValue"] == "ALARM"]
    if ringing:
        raise Deviation(f"{', '.join(ringing)} in alarm")
    topic = account.outputs["AlarmTopicArn"]
    heard = account.client("sns").list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    if not [each for each in heard if each["SubscriptionArn"].startswith("arn:")]:
        raise Deviation("nobody has confirmed a subscription of AlarmTopicArn, so nobody hears an alarm")
    return f"{len(own)} alarms, none rings"


CHECKS: Mapping[int, tuple[str, Check]] = {
    2: ("The stack is whole", whole),
    3: ("Only who may comes in", admission),
    4: ("One id leads to the log", one_id),
    5: ("The access log is written", access_log),
    6: ("Roles may do what they need and no more", permissions),
    7: ("Workflows may write traces", traces),
    8: ("There is room", room),
    9: ("Cold starts end in time", cold_starts),
    10: ("Dead letters arrive, and there are none", dead_letters),
    11: ("Alarms are quiet and heard", alarms),
}


def _served(account: Account) -> ApiResponse:
    """What the swap function itself answers to somebody who may come in."""
    mode = account.parameters["AuthMode"]
    if mode in ("key", "jwt") and not account.credentials:
        raise ByHand(f"needs {'KEY' if mode == 'key' else 'TOKEN'} in the environment: AuthMode is {mode}")
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
    """Over two weeks, for which a dead letter is kept."""
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
    """What INIT took, by Lambda's line on an invocation (LogFormat=JSON); None where it was no cold start."""
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
