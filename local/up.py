"""`make up`: the whole stack on this machine until Ctrl-C, with lines to try. Its buckets persist in .local/."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from types import FrameType

from local.cloud import ACCOUNT, KEPT, REGION, STACK, Cloud, CloudFailed, free_port
from local.demo import pictures
from local.providers import provider_environment
from local.publish_demo_pack import publish_demo_pack

PORT = 4566  # where tools for emulated clouds look first
FACE, MEME = "ruby", "works-on-my-machine"


def main() -> int:
    """The exit status: 0 after Ctrl-C."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    print("Starting …", flush=True)
    try:
        with (
            provider_environment(os.environ) as providers,
            Cloud(KEPT, PORT if _free(PORT) else free_port()) as cloud,
        ):
            default_face = f"s3://{STACK}-models-{ACCOUNT}-{REGION}/faces/{FACE}.png"
            cloud.deploy({"DefaultFace": default_face}, providers, open_api=True)
            pack = publish_demo_pack(cloud)
            drawn = pictures(KEPT / "pictures")
            bucket, key = default_face.removeprefix("s3://").split("/", 1)
            cloud.client("s3").upload_file(str(drawn[FACE].path), bucket, key)
            print(_say(cloud, pack), flush=True)
            while not ended.wait(1) and cloud.alive():
                pass
    except CloudFailed as error:
        print(error, file=sys.stderr)
        return 1
    print("Stopped; the buckets are kept in .local/.")
    return 0 if ended.is_set() else 1


def _say(cloud: Cloud, pack: str) -> str:
    meme = os.path.relpath(KEPT / "pictures/memes" / f"{MEME}.jpg")
    body = os.path.relpath(KEPT / "swap.json")
    uploads, outputs = cloud.bucket("uploads"), cloud.bucket("outputs")
    return f"""
API       {cloud.api_url}
browser   {cloud.browser_url}/docs, {cloud.browser_url}/video/docs
buckets   {cloud.bucket("models")}
          {uploads}
          {outputs}
pack      {pack}
log       {os.path.relpath(cloud.log)}

Swap by upload, and look at the result (the face is the default one):
  curl -T {meme} {cloud.endpoint}/{uploads}/memes/a.jpg
  curl -sf --retry 9 --retry-delay 1 --retry-all-errors -o a.jpg {cloud.endpoint}/{outputs}/swapped/a.jpg

Swap by HTTP:
  printf '{{"meme": "data:image/jpeg;base64,%s", "faces": "largest"}}' "$(base64 < {meme} | tr -d '\\n')" > {body}
  curl -s {cloud.api_url}/swap -d @{body}

Without waiting (the answer's Location says where to look), and what there is by now:
  curl -si {cloud.api_url}/swap -H 'Prefer: respond-async' -d @{body}
  curl -s {cloud.api_url}/results

A short video (the answer names the task; ask for it until it has succeeded, then download):
  curl -s {cloud.api_url}/generate-video -d '{{"script_text": "Hello there.", "search_query": "nature"}}'
  curl -s {cloud.api_url}/task/ID
  curl -s {cloud.api_url}/download/ID?redirect=true -L -o short.mp4

Ctrl-C stops it.
"""


def _free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    sys.exit(main())
