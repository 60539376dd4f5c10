"""JSONata as the local cloud's state machines evaluate it: `.venv-cloud/bin/python evaluate.py`, JSON in, JSON out.

In comes `[{"expression": "{% … %}", "input": …}]`, out the values. Exits with an error for one that has none, as a
state machine on AWS ends with States.QueryEvaluationError.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from ministack.services import stepfunctions


def main() -> None:
    """Of one expression after the other."""
    values: list[Any] = []
    for each in json.load(sys.stdin):
        expression = each["expression"].removeprefix("{%").removesuffix("%}").strip()
        values.append(stepfunctions._evaluate_jsonata(expression, each["input"]))
    json.dump(values, sys.stdout)


if __name__ == "__main__":
    main()
