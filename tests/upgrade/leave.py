"""What users of an earlier version leave behind, done with that version's own code: `leave.py INSTRUCTIONS`.

It runs in a process of its own whose import path is the earlier sources, so it may use nothing that those have not,
and says what it left as JSON on its standard output.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(instructions: dict[str, Any]) -> dict[str, Any]:
    """What was left, by what it is called in test_upgrade.py."""
    # By name: this version's modules are not what a type checker would look at.
    callers, publishing = import_module("local.callers"), import_module("local.publishing")
    publish = import_module("layers.models.publish").publish
    cloud = import_module("local.cloud").Cloud(port=instructions["port"])
    pictures = {name: Path(path) for name, path in instructions["pictures"].items()}
    cloud.deploy(instructions["parameters"], instructions["environment"])
    s3, models = cloud.client("s3"), cloud.bucket("models")
    licences = dict.fromkeys(("detector", "embedder", "swapper"), "MIT")
    earlier = publish(publishing.PACK, models, s3, publishing.NAME, licences, "The pack before.")
    publishing.publish_demo_pack(cloud)
    s3.put_object(Bucket=models, Key=instructions["default_face"], Body=pictures["ivy"].read_bytes())

    def ask(path: str, body: dict[str, Any], status: int, **headers: str) -> dict[str, Any]:
        answer = cloud.request("POST", path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        if answer.status_code != status:
            raise SystemExit(f"POST {path}: {answer.status_code} {answer.text}")
        return dict(answer.json())

    meme = {"meme": callers.data_uri(pictures["meme"])}
    swap = ask("/swap", meme, 200, Idempotency_Key=instructions["key"])
    subprocess.run(
        [sys.executable, "-m", "local.refused", "add", "ruby", str(pictures["ruby"]), "--bucket", models],
        check=True,
        stdout=sys.stderr,
    )
    tasks = {
        step: ask("/generate-video", body, 202, Idempotency_Key=f"{instructions['key']} {step}")["task_id"]
        for step, body in instructions["videos"].items()
    }
    queued = ask("/swap", meme, 202, Prefer="respond-async")["id"]
    s3.put_object(
        Bucket=cloud.bucket("uploads"), Key=f"memes/{instructions['upload']}", Body=pictures["meme"].read_bytes()
    )
    return {"swap": swap, "tasks": tasks, "queued": queued, "earlier_pack": earlier}


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
