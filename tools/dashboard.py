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
    *("encode", "label", "write"),
)
"""Phases of a swap in the order in which they mostly run (`timings_ms` of the log line `swapped`)."""

_BODY = re.compile(r"(      DashboardBody: !Sub \|\n)(?: {8}.*\n)+")

Widget = dict[str, Any]
Metric = list[Any]


def metrics(title: str, *shown: Metric, stat: str = "Sum") -> Widget:
    """A widget of metrics, each `[namespace, name, dimension, value, …]` as CloudWatch has them."""
    properties = {"stat": stat, "period": PERIOD_SECONDS, "view": "timeSeries", "metrics": [*shown]}
    return {"type": "metric", "properties": {"title": title, "region": "${AWS::Region}", **properties}}


def log_query(
    title: str, group: str, query: str, view: Literal["timeSeries", "table"], stacked: bool = False
) -> Widget:
    """A widget of a Logs Insights query on a log group."""
    properties = {"title": title, "region": "${AWS::Region}", "view": view, "query": f"SOURCE '{group}' | {query}"}
    return {"type": "log", "properties": {**properties, **({"stacked": True} if stacked else {})}}


def per_function(*names: str, percentiles: Iterable[str] = ()) -> list[Metric]:
    """Lambda's metrics of both functions; with percentiles, each metric once for each."""
    statistics: list[list[Any]] = [[{"stat": each}] for each in percentiles] or [[]]
    return [
        ["AWS/Lambda", name, "FunctionName", function, *statistic]
        for function in ("${SwapFunction}", "${VideoFunction}")
        for name in names
        for statistic in statistics
    ]


def own(name: str, service: str) -> Metric:
    """A metric that a function of the stack sends."""
    return ["Coldswap", name, "service", service, "stack", "${Stack}"]


def of_api(name: str, *statistic: dict[str, str]) -> Metric:
    """A metric of the HTTP API."""
    return ["AWS/ApiGateway", name, "ApiId", "${Api}", *statistic]


def of_queue(queue: str) -> Metric:
    """How many dead letters wait in a queue."""
    return ["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", queue]


def of_videos(name: str) -> Metric:
    """A metric of the video's state machine."""
    return ["AWS/States", name, "StateMachineArn", "${VideoStateMachine}"]


# A mean over all swaps, so that the stack is as high as a swap takes: not every swap goes through every phase.
PHASES = ", ".join(f"sum(timings_ms.{name}) / count(*) as {name}_ms" for name in SWAP_PHASES)
STEPS = (
    "count(*) as steps, avg(ms) as mean_ms, max(ms) as longest_ms, avg(cpu_s) as mean_cpu_s, "
    "max(encoder_peak_memory_mb) as encoder_mb, sum(bytes_fetched) as bytes_fetched"
)
MODELS = "sum(cold_start) as cold_starts, sum(bytes_fetched) as fetched, sum(bytes_in_vain) as in_vain"

WIDGETS: list[Widget] = [
    metrics("HTTP: requests and errors", of_api("Count"), of_api("4xx"), of_api("5xx")),
    metrics("HTTP: latency (p50, p95)", of_api("Latency", {"stat": "p50"}), of_api("Latency", {"stat": "p95"})),
    metrics("Functions: invocations, errors, throttles", *per_function("Invocations", "Errors", "Throttles")),
    metrics("Functions: duration (p50, p95)", *per_function("Duration", percentiles=("p50", "p95"))),
    log_query(
        "Swap: time by phase",
        "${SwapLogs}",
        f"filter message = 'swapped' | stats {PHASES} by bin(5m)",
        "timeSeries",
        stacked=True,
    ),
    metrics(
        "Faults, swapped faces, failed swaps",
        own("Fault", "swap"),
        own("Fault", "video"),
        own("Swapped", "swap"),
        own("Failed", "swap"),
    ),
    metrics("Memory in percent", own("MemoryPercent", "swap"), own("MemoryPercent", "video"), stat="Maximum"),
    log_query(
        "Swap: cold starts, bytes of models fetched and fetched in vain",
        "${SwapLogs}",
        f"filter message in ['swapped', 'not swapped'] | stats {MODELS} by bin(5m)",
        "timeSeries",
    ),
    log_query(
        "Video: time by step",
        "${VideoLogs}",
        f"filter message = 'step' and failed = 0 | stats {STEPS} by step",
        "table",
    ),
    metrics(
        "Video: workflows",
        *(of_videos(f"Executions{state}") for state in ("Started", "Succeeded", "Failed", "TimedOut")),
    ),
    metrics("Dead letters", of_queue("${FailedUploads}"), of_queue("${UnsettledTasks}"), stat="Maximum"),
]


def body() -> str:
    """The DashboardBody: JSON with a widget a line, two beside each other."""
    lines = [
        json.dumps({**widget, "x": number % 2 * WIDTH, "y": number // 2 * HEIGHT, "width": WIDTH, "height": HEIGHT})
        for number, widget in enumerate(WIDGETS)
    ]
    return '{"widgets": [\n' + ",\n".join(f"  {line}" for line in lines) + "\n]}"


def updated(template: str) -> str:
    """The text of monitoring.yaml with this dashboard. Raises ValueError where the place for it is missing."""
    written = "".join(f"        {line}\n" for line in body().splitlines())
    text, count = _BODY.subn(lambda match: match[1] + written, template)
    if count != 1:
        raise ValueError(f"{MONITORING.name} has no place for the dashboard")
    return text


def main() -> None:
    """Write the dashboard into monitoring.yaml."""
    MONITORING.write_text(updated(MONITORING.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
