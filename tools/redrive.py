"""Retries dead letters: `python -m tools.redrive --queue URL --function NAME`.

Lambda and EventBridge put events that keep failing into a queue without a source queue (SQS's own redrive needs one).
So each event is sent to the function again, and its dead letter is deleted once Lambda has accepted it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any


def redrive(queue: str, function: str, sqs: Any, functions: Any) -> int:
    """Send every dead letter again; how many. `sqs` and `functions` are boto3's clients. Raises botocore's errors.

    What fails again comes back as a new dead letter.
    """
    sent = 0
    while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        for message in messages:
            body = json.loads(message["Body"])
            # A destination's record contains the event (Lambda, "Retaining records"); EventBridge's is the event.
            event = body.get("requestPayload", body)
            functions.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            sent += 1
    return sent


def main() -> None:
    """Run the command in the account and region that boto3 finds."""
    import boto3

    parser = argparse.ArgumentParser(prog="python -m tools.redrive", description=__doc__)
    parser.add_argument("--queue", required=True, help="FailedUploadsUrl or UnsettledTasksUrl of the stack's outputs")
    parser.add_argument("--function", required=True, help="SwapFunctionName or VideoFunctionName")
    options = parser.parse_args()
    sent = redrive(options.queue, options.function, boto3.client("sqs"), boto3.client("lambda"))
    print(f"{sent} sent again")


if __name__ == "__main__":
    main()
