"""The stack's dashboard, drawn from one list: `python -m tools.dashboard` writes it into monitoring.yaml.

Names in `${…}` are parameters of monitoring.yaml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

MONITORING = Path(__file__).resolve().parent.parent / "monitoring.yaml"
WIDTH, HEIGHT = 12, 6  # of a widget, on a grid that is 24 wide
PERIOD_SECONDS = 300
SWAP_PHASES = (
    *("start", "import", "fetch", "decode", "gate", "models", "detect", "embed", "latent", "swap", "paste"),
    *("detail", "encode", "label", "write"),
)
"""Phases of a swap in the order in which they mostly run (`timings_ms` of the log line `swapped`)."""

_BODY = re.compile(r"(      DashboardBody: !Sub \|\n)(?: {8}.*\n)+")

Widget = dict[str, Any]
DashboardMetric = list[Any]


def metric_widget(title: str, *shown: DashboardMetric, stat: str = "Sum") -> Widget:
    """A widget of metrics, each `[namespace, name, dimension, value, …]` as CloudWatch has them."""
    properties = {"stat": stat, "period": PERIOD_SECONDS, "view": "timeSeries", "metrics": [*shown]}
    return {"type": "metric", "properties": {"title": title, "region": "${AWS::Region}", **properties}}


def query_widget(
    title: str, group: str, query: str, view: Literal["timeSeries", "table"], stacked: bool = False
) -> Widget:
    """A widget of a Logs Insights query on a log group."""
    properties = {"title": title, "region": "${AWS::Region}", "view": view, "query": f"SOURCE '{group}' | {query}"}
    return {"type": "log", "properties": {**properties, **({"stacked": True} if stacked else {})}}


def function_metrics(*names: str, percentiles: Iterable[str] = ()) -> list[DashboardMetric]:
    """Lambda's metrics of the functions; with percentiles, each metric once for each."""
    statistics: list[list[Any]] = [[{"stat": each}] for each in percentiles] or [[]]
    return [
        ["AWS/Lambda", name, "FunctionName", function, *statistic]
        for function in ("${SwapFunction}", "${MovingFunction}", "${VideoFunction}")
        for name in names
        for statistic in statistics
    ]


def own_metric(name: str, service: str) -> DashboardMetric:
    """A metric that a function of the stack sends."""
    return ["Coldswap", name, "service", service, "stack", "${Stack}"]


def api_metric(name: str, *statistic: dict[str, str]) -> DashboardMetric:
    """A metric of the HTTP API."""
    return ["AWS/ApiGateway", name, "ApiId", "${Api}", *statistic]


def queue_metric(queue: str) -> DashboardMetric:
    """How many dead letters wait in a queue."""
    return ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue]


def workflow_metrics(machine: str) -> list[DashboardMetric]:
    """How many executions of a state machine began, and how they ended."""
    states = ("Started", "Succeeded", "Failed", "TimedOut")
    return [["AWS/States", f"Executions{state}", "StateMachineArn", machine] for state in states]


# A mean over all swaps, so that the stack is as high as a swap takes: not every swap goes through every phase.
PHASES = ", ".join(f"sum(timings_ms.{name}) / count(*) as {name}_ms" for name in SWAP_PHASES)
STEPS = (
    "count(*) as steps, avg(ms) as mean_ms, max(ms) as longest_ms, avg(cpu_s) as mean_cpu_s, "
    "max(encoder_peak_memory_mb) as encoder_mb, sum(bytes_fetched) as bytes_fetched"
)
MOVING = "count(*) as steps, avg(ms) as mean_ms, max(ms) as longest_ms"
MODELS = "sum(cold_start) as cold_starts, sum(bytes_fetched) as fetched, sum(bytes_in_vain) as in_vain"

WIDGETS: list[Widget] = [
    metric_widget("HTTP: requests and errors", api_metric("Count"), api_metric("4xx"), api_metric("5xx")),
    metric_widget(
        "HTTP: latency (p50, p95)", api_metric("Latency", {"stat": "p50"}), api_metric("Latency", {"stat": "p95"})
    ),
    metric_widget("Functions: invocations, errors, throttles", *function_metrics("Invocations", "Errors", "Throttles")),
    metric_widget("Functions: duration (p50, p95)", *function_metrics("Duration", percentiles=("p50", "p95"))),
    query_widget(
        "Swap: time by phase",
        "${SwapLogs}",
        f"filter message = 'swapped' | stats {PHASES} by bin(5m)",
        "timeSeries",
        stacked=True,
    ),
    metric_widget(
        "Faults, swapped faces, failed swaps",
        own_metric("Fault", "swap"),
        own_metric("Fault", "video"),
        own_metric("Swapped", "swap"),
        own_metric("Failed", "swap"),
    ),
    metric_widget(
        "Memory in percent", own_metric("MemoryPercent", "swap"), own_metric("MemoryPercent", "video"), stat="Maximum"
    ),
    query_widget(
        "Swap: cold starts, bytes of models fetched and fetched in vain",
        "${SwapLogs}",
        f"filter message in ['swapped', 'not swapped'] | stats {MODELS} by bin(5m)",
        "timeSeries",
    ),
    query_widget(
        "Video: time by step",
        "${VideoLogs}",
        f"filter message = 'step' and failed = 0 | stats {STEPS} by step",
        "table",
    ),
    metric_widget("Video: workflows", *workflow_metrics("${VideoStateMachine}")),
    query_widget(
        "Moving memes: time by step", "${SwapLogs}", f"filter message = 'moving step' | stats {MOVING} by step", "table"
    ),
    metric_widget("Moving memes: workflows", *workflow_metrics("${MovingStateMachine}")),
    metric_widget("Dead letters", queue_metric("${FailedUploads}"), queue_metric("${UnsettledTasks}"), stat="Maximum"),
]


def render() -> str:
    """The DashboardBody: JSON with a widget a line, two beside each other."""
    lines = [
        json.dumps({**widget, "x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "width": WIDTH, "height": HEIGHT})
        for number, widget in enumerate(WIDGETS)
    ]
    return '{"widgets": [\n' + ",\n".join(f"  {line}" for line in lines) + "\n]}"


def update(template: str) -> str:
    """The text of monitoring.yaml with this dashboard. Raises ValueError where the place for it is missing."""
    written = "".join(f"        {line}\n" for line in render().splitlines())
    text, count = _BODY.subn(lambda match: match[1] + written, template)
    if count != 1:
        raise ValueError(f"{MONITORING.name} has no place for the dashboard")
    return text


def main() -> None:
    """Write the dashboard into monitoring.yaml."""
    MONITORING.write_text(update(MONITORING.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
