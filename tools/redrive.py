"""Retries dead letters: `python -m tools.redrive --queue URL --function NAME`.

Lambda and EventBridge put events that keep failing into a queue without a source queue (SQS's own redrive needs one).
So each event is sent again to the function that failed, and its dead letter is deleted once Lambda has accepted it. One
queue has the letters of two functions: FailedUploads has those of stills and of moving memes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any


def redrive(queue: str, function: str, sqs: Any, functions: Any) -> int:
    """Send every dead letter again; how many. `sqs` and `functions` are boto3's clients. Raises botocore's errors.

    `function` gets those that do not say which function failed. What fails again comes back as a new dead letter.
    """
    sent = 0
    while messages := _receive(queue, sqs):
        for message in messages:
            body = json.loads(message["Body"])
            # A destination's record contains the event (Lambda, "Retaining records"); EventBridge's is the event.
            event, name = body.get("requestPayload", body), find_function(message, body) or function
            functions.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            sent += 1
    return sent


def find_function(message: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """The name of the function that failed: of a destination's record, or of the target of EventBridge's rule.

    "" where the letter does not say (EventBridge, "Using dead-letter queues", has the attributes).
    """
    arn = body.get("requestContext", {}).get("functionArn") if "requestPayload" in body else None
    arn = arn or message.get("MessageAttributes", {}).get("TARGET_ARN", {}).get("StringValue") or ""
    parts = str(arn).split(":")  # arn:aws:lambda:REGION:ACCOUNT:function:NAME:QUALIFIER
    return parts[6] if len(parts) > 6 and parts[5] == "function" else ""


def _receive(queue: str, sqs: Any) -> list[dict[str, Any]]:
    response = sqs.receive_message(
        QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["TARGET_ARN"]
    )
    messages: list[dict[str, Any]] = response.get("Messages", [])
    return messages


def main() -> None:
    """Run the command in the account and region that boto3 finds."""
    import boto3

    parser = argparse.ArgumentParser(prog="python -m tools.redrive", description=__doc__)
    parser.add_argument("--queue", required=True, help="FailedUploadsUrl or UnsettledTasksUrl of the stack's outputs")
    parser.add_argument(
        "--function",
        required=True,
        help="SwapFunctionName, MovingFunctionName or VideoFunctionName: for letters that do not say which one failed",
    )
    options = parser.parse_args()
    sent = redrive(options.queue, options.function, boto3.client("sqs"), boto3.client("lambda"))
    print(f"{sent} sent again")


if __name__ == "__main__":
    main()
