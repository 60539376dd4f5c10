"""Swaps with Replicate's own client. Its arguments are one of the functions below, and two pictures."""

import base64
import json
import os
import sys
from pathlib import Path
from typing import Any

import replicate
from replicate.exceptions import ReplicateError

VERSION = "cdingram/face-swap:d1d6ea8c8be89d664a07a457526f7128109dee7030fdac424788d762c71ed111"


def run(client: replicate.Client, meme: Path, face: Path) -> Any:
    """Files go up, and the picture comes back in the answer."""
    with meme.open("rb") as meme_file, face.open("rb") as face_file:
        by_version = client.run(VERSION, input={"input_image": meme_file, "swap_image": face_file})
        by_model = client.run("owner/model", input={"target_image": meme_file, "source_image": face_file})
    return [base64.b64encode(output.read()).decode() for output in (by_version, by_model)]


def poll(client: replicate.Client, meme: Path, face: Path) -> Any:
    """The prediction is made in the background, of pictures inside the request."""
    prediction = client.predictions.create(
        version=VERSION, input={"input_image": meme, "swap_image": face}, file_encoding_strategy="base64"
    )
    first = prediction.status
    prediction.wait()
    return {"first": first, **prediction.dict()}


def cancel(client: replicate.Client, meme: Path, face: Path) -> Any:
    """The prediction is cancelled before it is done."""
    prediction = client.predictions.create(
        version=VERSION, input={"input_image": meme, "swap_image": face}, file_encoding_strategy="base64"
    )
    prediction.cancel()
    answer = prediction.status
    prediction.reload()
    return {"id": prediction.id, "statuses": [answer, prediction.status]}


def fail(client: replicate.Client, meme: Path, face: Path) -> Any:
    """One request that is wrong, and one picture without a face."""
    try:
        client.predictions.create(version=VERSION, input={"upscale": True})
    except ReplicateError as error:
        refusal = error.to_dict()
    prediction = client.predictions.create(
        version=VERSION, input={"input_image": meme, "swap_image": face}, file_encoding_strategy="base64"
    )
    prediction.wait()
    return {"refusal": refusal, "failure": {"status": prediction.status, "error": prediction.error}}


def main() -> None:
    """Print what the client got."""
    client = replicate.Client(api_token=os.environ["KEY"], base_url=os.environ["API"])
    client.poll_interval = 0.1
    work = {"run": run, "poll": poll, "cancel": cancel, "fail": fail}[sys.argv[1]]
    print(json.dumps(work(client, *map(Path, sys.argv[2:4]))))


main()
