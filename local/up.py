"""`make up`: the whole stack on this machine until Ctrl-C, with commands to try. Its buckets persist in .local/.

    python -m local.up [--host ADDRESS] [--public-url URL]

Without an option it is open to everybody on this machine, and to nobody else. With one it can be reached from outside,
through a gateway and with a key that is made at each start.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from local.cloud import ACCOUNT, CREDENTIALS, LOOPBACK, REGION, STACK, STATE_FOLDER, Cloud, CloudFailed, free_port
from local.demo import draw_pictures
from local.providers import provider_environment
from local.public_access import PublicAccess, PublicAddressFailed, new_secret, publish
from local.publish_demo_pack import publish_demo_pack
from tools import large_fonts

PORT = 4566  # where tools for emulated clouds look first
FACE, MEME = "ruby", "works-on-my-machine"


def main(arguments: Sequence[str] = ()) -> int:
    """Run the stack; the exit status is 0 after Ctrl-C."""
    options = _parse(arguments)
    stop_event = threading.Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        stop_event.set()

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    print("Starting the stack …", flush=True)
    try:
        with _run(options) as (cloud, instructions):
            print(instructions, flush=True)
            while not stop_event.wait(1) and cloud.alive():
                pass
    except (CloudFailed, PublicAddressFailed) as error:
        print(error, file=sys.stderr)
        return 1
    print("Stopped. The buckets are kept in .local/.")
    return 0 if stop_event.is_set() else 1


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make up", description="Run the whole stack on this machine.")
    parser.add_argument("--host", help=f"the address to listen on ({LOOPBACK}); 0.0.0.0 for every one")
    parser.add_argument("--public-url", help="where others reach it: what the links in its answers begin with")
    return parser.parse_args(arguments)


@contextmanager
def _run(options: argparse.Namespace) -> Iterator[tuple[Cloud, str]]:
    """Run the stack for the block; yields it, and the text for whoever started it."""
    is_public = bool(options.host or options.public_url)
    port = PORT if _is_free(PORT) else free_port()
    with (
        provider_environment(os.environ) as providers,
        Cloud(STATE_FOLDER, free_port() if is_public else port, secret=new_secret() if is_public else None) as cloud,
    ):
        default_face = f"s3://{STACK}-models-{ACCOUNT}-{REGION}/faces/{FACE}.png"
        mode = {"AuthMode": "key"} if is_public else {}
        cloud.deploy({"DefaultFace": default_face, **mode}, providers, open_api=not is_public)
        pack = publish_demo_pack(cloud)
        large_fonts.publish(cloud.client("s3"), cloud.bucket("models"))
        pictures = draw_pictures(STATE_FOLDER / "pictures")
        bucket, key = default_face.removeprefix("s3://").split("/", 1)
        cloud.client("s3").upload_file(str(pictures[FACE].path), bucket, key)
        if not is_public:
            yield cloud, _instructions(cloud, pack)
            return
        with publish(cloud, options.host or LOOPBACK, port, options.public_url) as access:
            yield cloud, _public_instructions(cloud, pack, access)


def shell_variables(cloud: Cloud) -> dict[str, str]:
    """What the documentation's lines name, and where aws finds this cloud."""
    return {
        "API": cloud.api_url,
        "UPLOADS": cloud.bucket("uploads"),
        "OUTPUTS": cloud.bucket("outputs"),
        "BATCHES": cloud.outputs["BatchStateMachineArn"],
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_DEFAULT_REGION": REGION,
        **CREDENTIALS,
    }


def _public_instructions(cloud: Cloud, pack: str, access: PublicAccess) -> str:
    meme = os.path.relpath(STATE_FOLDER / "pictures/memes" / f"{MEME}.jpg")
    return f"""
page      {access.url}/#key={access.key}
API       {access.url}
key       {access.key}
pack      {pack}
log       {os.path.relpath(cloud.log)}

It listens on {access.host}, port {access.port}, for requests with the key, which is new at each start, and for links
that the stack has signed. The AWS that it runs on is not reachable from outside. Over http:// everybody on the way can
read the key and the pictures: on a network that you do not trust, put a tunnel with TLS in front (docs/local.md).

On any machine or phone, open the page by its link, which signs in; or:
  export API={access.url} KEY={access.key}

Swap by HTTP, here with a meme of this machine:
  curl -s $API/swap -H "x-api-key: $KEY" -F meme=@{meme}

Press Ctrl-C to stop.
"""


def _instructions(cloud: Cloud, pack: str) -> str:
    meme = os.path.relpath(STATE_FOLDER / "pictures/memes" / f"{MEME}.jpg")
    uploads, outputs = cloud.bucket("uploads"), cloud.bucket("outputs")
    variables = " ".join(f"{name}={value}" for name, value in shell_variables(cloud).items())
    return f"""
page      {cloud.browser_url}/
API       {cloud.api_url}
API docs  {cloud.browser_url}/docs
buckets   {cloud.bucket("models")}
          {uploads}
          {outputs}
pack      {pack}
log       {os.path.relpath(cloud.log)}

For the lines of README.md and docs/api.md, and for aws (2.13 or 1.29, or newer), in another terminal:
  export {variables}

Swap by upload, then fetch the result (the default face is put in):
  curl -T {meme} {cloud.endpoint}/{uploads}/memes/a.jpg
  curl -sf --retry 9 --retry-delay 1 --retry-all-errors -o a.jpg {cloud.endpoint}/{outputs}/swapped/a.jpg

Swap by HTTP:
  curl -s {cloud.api_url}/swap -F meme=@{meme} -F faces=largest

Swap without waiting (the response's Location header says where the result will be), then list the results:
  curl -si {cloud.api_url}/swap -H 'Prefer: respond-async' -F meme=@{meme}
  curl -s {cloud.api_url}/results

Make a short video (put the task_id of the response in place of ID, and repeat the second line until it has succeeded):
  curl -s {cloud.api_url}/generate-video -d '{{"script_text": "Hello there.", "search_query": "nature"}}'
  curl -s {cloud.api_url}/task/ID
  curl -sL '{cloud.api_url}/download/ID?redirect=true' -o short.mp4

Press Ctrl-C to stop.
"""


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
