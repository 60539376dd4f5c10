"""Gives dead letters another try: `python -m tools.redrive --queue URL --function NAME`.

Lambda and EventBridge leave what kept failing in a queue that has no source to go back to (SQS's own redrive needs
one), so each event is sent to the function again, and its letter deleted once the function has it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any


def redrive(queue: str, function: str, sqs: Any, functions: Any) -> int:
    """How many letters were sent again; `sqs` and `functions` are boto3's clients. Raises botocore's errors.

    What fails again comes back as a new letter.
    """
    sent = 0
    while letters := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        for letter in letters:
            told = json.loads(letter["Body"])
            # A destination's record has the event inside (Lambda, "Retaining records"); EventBridge's letter is one.
            event = told.get("requestPayload", told)
            functions.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=letter["ReceiptHandle"])
            sent += 1
    return sent


def main() -> None:
    """Of the account and region that boto3 finds."""
    import boto3

    parser = argparse.ArgumentParser(prog="python -m tools.redrive", description=__doc__)
    parser.add_argument("--queue", required=True, help="FailedUploadsUrl or UnsettledTasksUrl of the stack's outputs")
    parser.add_argument("--function", required=True, help="SwapFunctionName or VideoFunctionName")
    given = parser.parse_args()
    sent = redrive(given.queue, given.function, boto3.client("sqs"), boto3.client("lambda"))
    print(f"{sent} sent again")


if __name__ == "__main__":
    main()
