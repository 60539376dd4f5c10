"""Every alarm of the template is rung by what it is for, and by nothing that a caller can mend or should wait for.

Where our code sends the metric, the code runs; where Lambda's own log line does, the line is as AWS documents it
("Lambda Telemetry API event schema reference"); where an AWS service counts, the metric and its dimensions are those of
the service's documents.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import pytest

from functions.swap import app, pipeline
from functions.swap.values import SwapRequest
from functions.video.app import EXECUTION_ENDED
from functions.video.render import voice_over
from layers.core import errors, telemetry
from layers.core.errors import ColdswapError
from tests.support.templates import load_template
from tests.unit.swap.entry_clients import http, invoke, upload_event
from tests.unit.swap.fake_stack import UPLOADS, FakeSwapStack, drawing, encode
from tests.unit.video.fake_stack import FakeVideoStack
from tests.unit.video.fake_stack import stack as video

__all__ = ["video"]

ROOT = Path(__file__).resolve().parents[3]
TEMPLATE = load_template(ROOT / "template.yaml")
MONITORING = load_template(ROOT / "monitoring.yaml")
METRICS: set[str] = set(get_args(telemetry.Metric))
STACK, RELEASE = "coldswap-staging", "r2"
MEME = {"meme": f"s3://{UPLOADS}/requests/1/meme"}
_NOT_QUEUED = ("caller", "queued")


@dataclass(frozen=True)
class Datum:
    """One value of a metric in one period of five minutes."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]
    value: float = 1
    period: int = 0


def of_aws(namespace: str, name: str, value: float = 1, period: int = 0, **dimensions: str) -> Datum:
    return Datum(namespace, name, frozenset(dimensions.items()), value, period)


def resolved(value: Any) -> str:
    """A value of monitoring.yaml in the stack; what is watched is called by its logical id in template.yaml."""
    match value:
        case {"Ref": "Stack"}:
            return STACK
        case {"Ref": "CanaryRelease"}:
            return RELEASE
        case {"Ref": name}:
            return str(name)
        case {"Fn::Sub": text}:
            return str(text).replace("${Stack}", STACK)
    return str(value)


ALARMS = {name: each["Properties"] for name, each in MONITORING["Resources"].items() if "::Alarm" in each["Type"]}
FILTERS = [each["Properties"] for each in MONITORING["Resources"].values() if each["Type"] == "AWS::Logs::MetricFilter"]


def ringing(data: Iterable[Datum]) -> set[str]:
    """The alarms that ring when these values are all that CloudWatch has."""
    data = list(data)
    return {name for name, alarm in ALARMS.items() if _rings(alarm, data)}


def _rings(alarm: Mapping[str, Any], data: list[Datum]) -> bool:
    assert alarm["Period"] == 300
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    dimensions = frozenset((each["Name"], resolved(each["Value"])) for each in alarm.get("Dimensions", []))
    metric = resolved(alarm["Namespace"]), alarm["MetricName"], dimensions
    own = [each for each in data if (each.namespace, each.name, each.dimensions) == metric]
    over = 0
    for period in {each.period for each in own}:
        values = [each.value for each in own if each.period == period]
        whole_period = sum(values) if alarm["Statistic"] == "Sum" else max(values)
        over += whole_period >= alarm["Threshold"]
    return bool(over >= alarm["EvaluationPeriods"])


def holds(pattern: str, line: Mapping[str, Any]) -> bool:
    """Whether a log line matches a filter pattern (CloudWatch Logs, "filter patterns to match terms in JSON")."""

    def compared(match: re.Match[str]) -> str:
        path, operator, literal = match.groups()
        value: Any = line
        for name in path.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        expected = json.loads(literal)
        if value is None:
            return "F"
        truth = {"=": value == expected, "!=": value != expected}.get(operator)
        if truth is None:
            truth = {">=": value >= expected, "<": value < expected}[operator]
        return "T" if truth else "F"

    rest = re.sub(r'\$\.([\w.]+)\s*(!=|>=|=|<)\s*("[^"]*"|\d+)', compared, pattern.strip().strip("{}"))
    while "(" in rest:
        rest = re.sub(r"\(([^()]*)\)", lambda inner: "T" if _either(inner[1]) else "F", rest)
    return _either(rest)


def _either(terms: str) -> bool:
    return any(all(term.strip() == "T" for term in each.split("&&")) for each in terms.split("||"))


def filtered(group: str, line: Mapping[str, Any]) -> list[Datum]:
    """What the metric filters of a log group make of a line."""
    return [
        Datum(resolved(metric["MetricNamespace"]), metric["MetricName"], frozenset(), float(metric["MetricValue"]))
        for each in FILTERS
        if each["LogGroupName"] == {"Ref": group} and holds(each["FilterPattern"], line)
        for metric in each["MetricTransformations"]
    ]


def report(**record: str) -> dict[str, Any]:
    """Lambda's line at the end of an invocation."""
    metrics = {"durationMs": 12.5, "billedDurationMs": 13, "memorySizeMB": 1769, "maxMemoryUsedMB": 300}
    return {
        "time": "2026-11-28T09:00:00.000Z",
        "type": "platform.report",
        "record": {"requestId": "1", "metrics": metrics, **record},
    }


def accessed(status: int, error: str = "-", lambda_status: str = "200", ms: int = 40) -> dict[str, Any]:
    """A line of the HTTP API's access log, in the stage's own format."""
    log_format = TEMPLATE["Resources"]["ApiStage"]["Properties"]["AccessLogSettings"]["Format"]
    values = {
        "$context.status": str(status),
        "$context.responseLatency": str(ms),
        "$context.integrationErrorMessage": error,
        "$context.integration.integrationStatus": lambda_status,
    }
    for name in sorted(values, key=len, reverse=True):
        log_format = re.sub(re.escape(name) + r"(?![\w.])", values[name], log_format)
    line: dict[str, Any] = json.loads(log_format)
    return line


class Stack:
    """Both functions in memory, and the metrics that their code sends."""

    def __init__(
        self, swap: FakeSwapStack, video: FakeVideoStack, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.swap, self.video, self.patch, self._capture = swap, video, patch, capture

    def sent(self) -> list[Datum]:
        """Since the last time."""
        data = []
        for line in self._capture.readouterr().out.splitlines():
            if '"_aws"' not in line:
                continue
            record = json.loads(line)
            for directive in record["_aws"]["CloudWatchMetrics"]:
                for names in directive["Dimensions"]:
                    dimensions = frozenset((name, record[name]) for name in names)
                    data += [
                        Datum(directive["Namespace"], each["Name"], dimensions, sum(record[each["Name"]]))
                        for each in directive["Metrics"]
                    ]
        return data

    def http_swap(self, raised: Exception) -> list[Datum]:
        """POST /swap, whose work ends with that error."""
        self.patch.setenv("POWERTOOLS_SERVICE_NAME", "swap")
        self._fail(pipeline, "swap", raised)
        http(self.swap, self.patch, body=MEME)
        return self.sent()

    def upload(self, raised: Exception) -> list[Datum]:
        """A picture under memes/, whose swap ends with that error."""
        self.patch.setenv("POWERTOOLS_SERVICE_NAME", "swap")
        self._fail(pipeline, "swap", raised)
        self.swap.storage.put(UPLOADS, "memes/a.png", encode(drawing()))
        self._quietly(lambda: invoke(self.swap, upload_event(), self.patch))
        return self.sent()

    def task(self, payload: Any, raised: Exception) -> list[Datum]:
        """A workflow's task, which ends with that error; one with `swap` was queued by POST /swap."""
        if "swap" in payload:
            request = {
                name: value for name, value in asdict(SwapRequest(meme=MEME["meme"])).items() if name not in _NOT_QUEUED
            }
            self.swap.records.queue(payload["swap"], "ann", request, frozenset())
        self.patch.setenv("POWERTOOLS_SERVICE_NAME", "swap")
        self._fail(pipeline, "swap", raised)
        self._quietly(lambda: invoke(self.swap, payload, self.patch))
        return self.sent()

    def failed_swap(self, error: str) -> list[Datum]:
        """The end of an execution of the swap's workflow, where the template's rule lets it through."""
        self.patch.setenv("POWERTOOLS_SERVICE_NAME", "swap")
        detail = {"status": "FAILED", "name": "01ABC", "error": error, "cause": "…", "input": "{}"}
        pattern = TEMPLATE["Resources"]["SwapFunction"]["Properties"]["Events"]["Ended"]["Properties"]["Pattern"]
        if error in pattern["detail"]["error"] and pattern["detail"]["status"] == ["FAILED"]:
            invoke(
                self.swap, {"source": "aws.states", "detail-type": app.EXECUTION_EVENT, "detail": detail}, self.patch
            )
        return self.sent()

    def step(self, raised: Exception) -> list[Datum]:
        """A try of the voice-over."""
        self.patch.setenv("POWERTOOLS_SERVICE_NAME", "video")
        task = self.video.post().body["task_id"]
        self.sent()
        self._fail(voice_over, "make", raised)
        self._quietly(lambda: self.video.invoke({"step": "voice", "task_id": task}))
        return self.sent()

    def failed_video(self, error: str, by_event: bool = False) -> list[Datum]:
        """The end of a video's workflow, as its own last step tells it, or EventBridge."""
        self.patch.setenv("POWERTOOLS_SERVICE_NAME", "video")
        task = self.video.post().body["task_id"]
        self.sent()
        if by_event:
            detail = {"status": "FAILED", "input": json.dumps({"task_id": task}), "error": error, "cause": "…"}
            self.video.invoke({"source": "aws.states", "detail-type": EXECUTION_ENDED, "detail": detail})
        else:
            self.video.invoke({"step": "fail", "task_id": task, "error": error, "cause": "…"})
        return self.sent()

    def _fail(self, module: Any, name: str, raised: Exception) -> None:
        def fail(*_: Any, **__: Any) -> Any:
            raise raised

        self.patch.setattr(module, name, fail)

    def _quietly(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:  # what Lambda, or the workflow, gets
            self.raised = error


@pytest.fixture
def stack(video: FakeVideoStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Stack:
    """With two videos at one time, and a release of its own."""
    monkeypatch.setenv("STACK_NAME", STACK)
    monkeypatch.setenv("RELEASE", RELEASE)
    return Stack(FakeSwapStack(), video, monkeypatch, capsys)


def near_memory(stack: Stack, service: str) -> list[Datum]:
    stack.patch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "64")  # less than this process has
    if service == "video":
        return stack.step(errors.NoFootage())
    stack.patch.setenv("POWERTOOLS_SERVICE_NAME", "swap")
    assert http(stack.swap, stack.patch, body=MEME).status == 200
    return stack.sent()


def throttled(function: str, periods: int) -> list[Datum]:
    return [of_aws("AWS/Lambda", "Throttles", FunctionName=function, period=period) for period in range(periods)]


# By alarm: what happens, as the values that CloudWatch then has.
RUNG: dict[str, list[Callable[[Stack], list[Datum]]]] = {
    "SwapFaults": [
        lambda stack: stack.http_swap(errors.SafeguardFailed()),
        lambda stack: stack.http_swap(errors.StorageFailed()),
        lambda stack: stack.http_swap(KeyError("unforeseen")),
        lambda stack: stack.upload(errors.ModelsMissing()),
        lambda stack: stack.task(MEME, errors.ModelsCorrupt()),
        lambda stack: stack.task(MEME, KeyError("unforeseen")),
        lambda stack: stack.failed_swap("InternalError"),
        lambda stack: stack.failed_swap("StorageFailed"),
    ],
    "SwapReleaseFaults": [
        lambda stack: stack.http_swap(errors.LabelFailed()),
        lambda stack: stack.upload(errors.StorageFailed()),
        lambda stack: stack.task({"swap": "01ABC"}, errors.LabelFailed()),
        lambda stack: stack.task(MEME, KeyError("unforeseen")),
    ],
    "SwapCrashes": [
        lambda _: filtered("SwapLogs", report(status="timeout")),
        lambda _: filtered("SwapLogs", report(status="error", errorType="Runtime.OutOfMemory")),
        lambda _: filtered("SwapLogs", report(status="error", errorType="Runtime.ExitError")),
        lambda _: filtered("SwapLogs", report(status="error", errorType="Runtime.ImportModuleError")),
    ],
    "SwapThrottles": [lambda _: throttled("SwapFunction", 3)],
    "SwapNearTimeout": [lambda _: [of_aws("AWS/Lambda", "Duration", 110_000, FunctionName="SwapFunction")]],
    "SwapNearMemory": [lambda stack: near_memory(stack, "swap")],
    "SwapsOutOfTime": [lambda _: [of_aws("AWS/States", "ExecutionsTimedOut", StateMachineArn="SwapStateMachine")]],
    "SwapDeadLettersLost": [
        lambda _: [of_aws("AWS/Lambda", "DestinationDeliveryFailures", FunctionName="SwapFunction")]
    ],
    "SwapEndsLost": [lambda _: [of_aws("AWS/Events", "InvocationsFailedToBeSentToDlq", RuleName="SwapFunctionEnded")]],
    "MovingThrottles": [lambda _: throttled("MovingFunction", 6)],
    "MovingNearTimeout": [lambda _: [of_aws("AWS/Lambda", "Duration", 820_000, FunctionName="MovingFunction")]],
    "MovingMemesOutOfTime": [
        lambda _: [of_aws("AWS/States", "ExecutionsTimedOut", StateMachineArn="MovingStateMachine")]
    ],
    "MovingDeadLettersLost": [
        lambda _: [of_aws("AWS/Lambda", "DestinationDeliveryFailures", FunctionName="MovingFunction")]
    ],
    "MovingEndsLost": [
        lambda _: [of_aws("AWS/Events", "InvocationsFailedToBeSentToDlq", RuleName="MovingFunctionEnded")]
    ],
    "BatchesOutOfTime": [lambda _: [of_aws("AWS/States", "ExecutionsTimedOut", StateMachineArn="BatchStateMachine")]],
    "BatchEndsLost": [
        lambda _: [of_aws("AWS/Events", "InvocationsFailedToBeSentToDlq", RuleName="SwapFunctionBatchEnded")]
    ],
    "VideoFaults": [
        lambda stack: stack.failed_video("KeyRejected"),
        lambda stack: stack.failed_video("ProviderFailed"),
        lambda stack: stack.failed_video("Runtime.OutOfMemory"),
        lambda stack: stack.failed_video("States.Runtime", by_event=True),
        lambda stack: stack.failed_video("Lambda.ResourceConflictException", by_event=True),
    ],
    "VideoReleaseFaults": [
        lambda stack: stack.step(KeyError("unforeseen")),
        lambda stack: stack.step(errors.EncodingFailed()),
    ],
    "VideoCrashes": [
        lambda _: filtered("VideoLogs", report(status="timeout")),
        lambda _: filtered("VideoLogs", report(status="error", errorType="Runtime.OutOfMemory")),
    ],
    "VideoThrottles": [lambda _: throttled("VideoFunction", 3)],
    "VideoNearTimeout": [lambda _: [of_aws("AWS/Lambda", "Duration", 280_000, FunctionName="VideoFunction")]],
    "VideoNearMemory": [lambda stack: near_memory(stack, "video")],
    "VideosOutOfTime": [lambda _: [of_aws("AWS/States", "ExecutionsTimedOut", StateMachineArn="VideoStateMachine")]],
    "VideoDeadLettersLost": [
        lambda _: [of_aws("AWS/Lambda", "DestinationDeliveryFailures", FunctionName="VideoFunction")]
    ],
    "VideoEndsLost": [
        lambda _: [of_aws("AWS/Events", "InvocationsFailedToBeSentToDlq", RuleName="VideoFunctionEnded")]
    ],
    "ApiUnanswered": [
        lambda _: filtered("ApiLogs", accessed(500, "Internal Server Error")),  # it crashed
        lambda _: filtered("ApiLogs", accessed(503, "Service Unavailable", "409")),  # it rested
        lambda _: filtered("ApiLogs", accessed(500, "The IAM role … isn't authorized", "403")),
    ],
    "FailedUploadsWait": [
        lambda _: [of_aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName="FailedUploads")]
    ],
    "UnsettledTasksWait": [
        lambda _: [of_aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName="UnsettledTasks")]
    ],
    "KeyAuthorizerErrors": [lambda _: [of_aws("AWS/Lambda", "Errors", FunctionName="KeyAuthorizerFunction")]],
    "KeyAuthorizerThrottles": [lambda _: throttled("KeyAuthorizerFunction", 1)],
}


def test_no_alarm_is_without_something_that_rings_it() -> None:
    assert ALARMS.keys() == RUNG.keys()


def test_an_event_that_lambda_gives_up_waits_as_a_dead_letter_and_rings_as_one() -> None:
    """So AsyncEventsDropped needs no alarm: Lambda counts it for events that it sends to an on-failure destination."""
    functions = {"SwapFunction": "FailedUploads", "MovingFunction": "FailedUploads", "VideoFunction": "UnsettledTasks"}
    for function, queue in functions.items():
        config = TEMPLATE["Resources"][function]["Properties"]["EventInvokeConfig"]["DestinationConfig"]
        assert config["OnFailure"] == {"Type": "SQS", "Destination": {"Fn::GetAtt": [queue, "Arn"]}}
        assert ringing([of_aws("AWS/SQS", "ApproximateNumberOfMessagesVisible", QueueName=queue)]) == {f"{queue}Wait"}
        assert ringing([of_aws("AWS/Lambda", "DestinationDeliveryFailures", FunctionName=function)])


def test_operators_are_told_what_to_do_about_each_alarm() -> None:
    table = (ROOT / "docs/operations.md").read_text().partition("| alarm |")[2].partition("\n\n")[0]

    assert set(re.findall(r"\b[A-Z]\w+", " ".join(re.findall(r"^\| ([^|]+) \|", table, re.M)))) == ALARMS.keys()


@pytest.mark.parametrize(
    ("alarm", "happens"),
    [pytest.param(alarm, each, id=f"{alarm}-{number}") for alarm in RUNG for number, each in enumerate(RUNG[alarm])],
)
def test_an_alarm_rings_at_the_first_that_happens_however_little_else_does(
    stack: Stack, alarm: str, happens: Callable[[Stack], list[Datum]]
) -> None:
    assert alarm in ringing(happens(stack))


FAMILY = {name: kind for name, kind in errors.family().items() if kind not in (ColdswapError, errors.VideoError)}
REFUSALS = {name: kind for name, kind in FAMILY.items() if kind.fault is None}


def test_what_is_a_fault_is_decided_for_every_error() -> None:
    assert {name for name, kind in FAMILY.items() if kind.fault == "release"} == {
        *("InternalError", "StorageFailed", "StorageFull", "LabelFailed", "EncodingFailed")
    }
    assert {name for name, kind in FAMILY.items() if kind.fault == "stack"} == {
        *("ModelsMissing", "ModelsCorrupt", "SafeguardFailed", "KeysMissing", "KeyRejected", "QuotaExceeded"),
        *("ProviderFailed", "SpeechNotDelivered", "WorkGone", "FontUnusable", "FontsMissing"),
    }


def test_refusals_and_back_pressure_ring_nothing_and_roll_nothing_back(stack: Stack) -> None:
    for name, kind in REFUSALS.items():
        assert ringing(stack.http_swap(kind())) == set(), name
        assert ringing(stack.upload(kind())) == set(), name
        assert ringing(stack.task(MEME, kind())) == set(), name
        assert ringing(stack.failed_swap(name)) == set(), name


def test_refused_videos_ring_nothing(stack: Stack) -> None:
    world = stack.video
    for name in REFUSALS:
        assert ringing(stack.failed_video(name)) == set(), name
    assert ringing(stack.failed_video("Lambda.TooManyRequestsException")) == set()
    assert ringing(stack.failed_video("NoFootage", by_event=True)) == set()
    for _ in range(2):
        world.post()
    assert world.post().status == 503, "two videos are being made"
    assert ringing(stack.sent()) == set()


def test_what_a_retry_may_cure_is_no_fault_before_the_workflow_gives_up(stack: Stack) -> None:
    assert "VideoFaults" not in ringing(stack.step(errors.StorageFailed()))
    assert ringing(stack.step(errors.ProviderFailed())) == set()
    assert "SwapFaults" not in ringing(stack.task({"swap": "01ABC"}, errors.StorageFailed()))
    assert "SwapFaults" not in ringing(stack.upload(errors.StorageFailed()))


def test_faults_of_keys_and_models_roll_no_release_back(stack: Stack) -> None:
    for name, kind in FAMILY.items():
        if kind.fault == "stack":
            assert ringing(stack.http_swap(kind())) == {"SwapFaults"}, name


def test_a_fault_of_the_old_release_rolls_no_new_one_back(stack: Stack) -> None:
    stack.patch.setenv("RELEASE", "r1")

    assert ringing(stack.http_swap(errors.LabelFailed())) == {"SwapFaults"}


def test_another_stack_s_faults_and_memory_ring_nothing_here(stack: Stack) -> None:
    stack.patch.setenv("STACK_NAME", "coldswap")
    for data in (stack.http_swap(errors.LabelFailed()), near_memory(stack, "video")):
        assert data
        assert ringing(data) == set()


def test_a_stack_that_makes_no_videos_is_asked_for_one_and_nothing_rings(stack: Stack) -> None:
    stack.patch.setenv("POWERTOOLS_SERVICE_NAME", "video")
    for name in ("PEXELS_API_KEY", "ELEVENLABS_API_KEY", "VOICE_ID", "CALLBACK_SECRET"):
        stack.patch.delenv(name, raising=False)

    assert stack.video.post().body["code"] == "keys_missing"
    assert ringing(stack.sent()) == set()


def test_an_operator_whose_keys_are_not_whole_hears_of_it(stack: Stack) -> None:
    stack.patch.setenv("POWERTOOLS_SERVICE_NAME", "video")
    stack.patch.delenv("PEXELS_API_KEY")

    assert stack.video.post().body["code"] == "keys_missing"
    assert ringing(stack.sent()) == {"VideoFaults"}


@pytest.mark.parametrize(
    "data",
    [
        filtered("SwapLogs", report(status="success")),
        # What a task raises by name is an error to Lambda, whose type is the runtime's word for others' names.
        filtered("SwapLogs", report(status="error", errorType="Runtime.Unknown")),
        filtered("SwapLogs", report(status="failure", errorType="Function.Unknown")),
        filtered("SwapLogs", {"level": "ERROR", "message": "A step ended with Runtime.ExitError."}),
        filtered("ApiLogs", accessed(200)),
        filtered("ApiLogs", accessed(503)),  # our own: at_capacity
        filtered("ApiLogs", accessed(502)),  # our own: a caller's dead URL
        filtered("ApiLogs", accessed(403, "-", "-")),
        filtered("ApiLogs", accessed(503, "Rate Exceeded.", "429")),
        filtered("ApiLogs", accessed(503, "Endpoint request timed out", "-", ms=30_004)),
        throttled("SwapFunction", 2),
        [of_aws("AWS/Lambda", "Errors", 50, FunctionName="SwapFunction")],
        [of_aws("AWS/ApiGateway", "5xx", 50, ApiId="Api")],
        [of_aws("AWS/States", "ExecutionsFailed", 50, StateMachineArn="VideoStateMachine")],
    ],
)
def test_what_is_by_design_rings_nothing(data: list[Datum]) -> None:
    assert ringing(data) == set()


def test_the_rule_on_failed_swaps_lets_faults_through_and_nothing_else() -> None:
    rule = TEMPLATE["Resources"]["SwapFunction"]["Properties"]["Events"]["Ended"]["Properties"]
    machine = load_template(ROOT / "functions/swap/swap.asl.yaml")
    ends = {"InternalError", "AtCapacity", *machine["States"]["Swap"]["Catch"][0]["ErrorEquals"]}

    assert set(rule["Pattern"]["detail"]["error"]) == {name for name in ends if FAMILY[name].fault}


def test_a_deployment_goes_back_for_its_own_faults_and_crashes_alone() -> None:
    for function in ("Swap", "Video"):
        group = TEMPLATE["Resources"][f"{function}Deployments"]["Properties"]
        named = [each["Name"]["Fn::GetAtt"] for each in group["AlarmConfiguration"]["Alarms"]]
        assert {stack for stack, _ in named} == {"Monitoring"}
        alarms = {MONITORING["Outputs"][output.partition(".")[2]]["Value"]["Ref"] for _, output in named}
        assert alarms == {f"{function}ReleaseFaults", f"{function}Crashes"}


MOST_METRICS = 18  # half of what there were


def test_few_metrics_are_custom_and_their_price_is_told() -> None:
    """CloudWatch charges 0.30 dollars a month for each metric that had values all the time."""
    emitted = set()
    for function in ("swap", "video"):
        for folder in (f"functions/{function}", "layers/core"):
            for path in (ROOT / folder).rglob("*.py"):
                emitted |= {(function, name) for name in _emitted(path.read_text())}
    assert {name for _, name in emitted} == METRICS
    everywhere = {*emitted, *((None, each["MetricTransformations"][0]["MetricName"]) for each in FILTERS)}
    releases = {("swap", "Fault"), ("video", "Fault")}  # once more, for each release
    count = len(everywhere) + len(releases)

    assert count <= MOST_METRICS
    (line,) = (each for each in (ROOT / "docs/operations.md").read_text().splitlines() if "custom metrics" in each)
    assert f"{count} custom metrics" in line


def test_the_price_of_alarms_is_told_for_as_many_as_there_are() -> None:
    always = [name for name, each in MONITORING["Resources"].items() if name in ALARMS and "Condition" not in each]

    assert f"{len(always)} metrics under alarm" in (ROOT / "docs/operations.md").read_text()


def _emitted(source: str) -> set[str]:
    """Names of metrics that a module sends, or makes for another to send."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Dict):
            names |= {str(each.value) for each in node.keys if isinstance(each, ast.Constant)} & METRICS
    return names
