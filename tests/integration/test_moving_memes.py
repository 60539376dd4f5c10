"""Memes that move, through the deployed workflow."""

from __future__ import annotations

import io
import json
import subprocess
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageSequence

from layers.core.deadline import Deadline
from layers.media.ffmpeg import program
from layers.media.moving.description import Limits
from layers.media.moving.reader import MovingReader
from local import moving_demo
from local.demo_pack import moving_meme
from local.demo_pack.moving_meme import draw_frame
from local.swap_clients import wait_for, wait_for_end
from tests.support.pixels import read_pixels
from tests.support.swap_client import SwapClient

FRAMES, DELAY = 2, 70  # milliseconds


@cache
def meme() -> bytes:
    """A GIF with two people."""
    frames = [Image.fromarray(draw_frame(2 * number)[:, :, ::-1]) for number in range(FRAMES)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=DELAY, loop=0)
    return file.getvalue()


def ask(stack: SwapClient, path: str) -> dict[str, Any]:
    """The state of work once it is over."""

    def is_over() -> dict[str, Any] | None:
        state: dict[str, Any] = stack.cloud.request("GET", path).json()
        return None if state["status"] in ("queued", "running") else state

    return wait_for(is_over)


def keys(stack: SwapClient, part: str) -> list[str]:
    """The keys of the outputs bucket in which that stands."""
    listed = stack.cloud.client("s3").list_objects_v2(Bucket=stack.cloud.bucket("outputs"))
    return [each["Key"] for each in listed.get("Contents", []) if part in each["Key"]]


def test_a_gif_in_is_a_gif_out_until_it_is_deleted(stack: SwapClient) -> None:
    response = stack.cloud.request("POST", "/swap", {"meme": stack.upload(meme())})
    assert response.status_code == 202, response.text
    name = response.json()["id"]

    state = ask(stack, response.headers["Location"])

    assert state["status"] == "succeeded", state
    assert [face["swapped"] for face in state["result"]["faces"]] == [True, True]
    assert state["cost"]["gb_seconds"] > 0
    wait_for(lambda: keys(stack, name) == [f"swaps/{name}.gif"] or None)  # without any work file
    swapped = Image.open(io.BytesIO(stack.read_output(f"swaps/{name}.gif") or b""))
    frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(swapped)]
    assert len(frames) == FRAMES
    assert swapped.info["duration"] == DELAY
    before = read_pixels(meme())
    x0, y0, x1, y1 = (round(side) for side in state["result"]["faces"][0]["box"])
    difference = np.abs(np.asarray(frames[0], np.int16)[:, :, ::-1] - before[:, :, :3])
    assert difference[y0:y1, x0:x1].mean() > 5

    assert stack.cloud.request("DELETE", f"/results/{name}").status_code == 200
    assert keys(stack, name) == []


def test_an_upload_ends_in_a_result_or_in_a_reason_and_a_workflow_takes_the_same_request(stack: SwapClient) -> None:
    s3, name = stack.cloud.client("s3"), str(uuid.uuid4())
    plain = io.BytesIO()
    empty = [Image.new("RGB", (64, 64), color) for color in ("red", "blue")]
    empty[0].save(plain, "GIF", save_all=True, append_images=empty[1:])
    execution = stack.cloud.client("stepfunctions").start_execution(
        stateMachineArn=stack.cloud.outputs["MovingStateMachineArn"],
        input=json.dumps({"meme": stack.upload(meme()), "faces": [1], "key": f"swaps/{name}"}),
    )
    for kind, content in (("good", meme()), ("bad", plain.getvalue())):
        s3.put_object(Bucket=stack.cloud.bucket("uploads"), Key=f"memes/{name}-{kind}.gif", Body=content)

    outcome = json.loads(wait_for(lambda: stack.read_output(f"failed/{name}-bad.gif.json")))
    assert (outcome["code"], outcome["will_be_retried"]) == ("no_face_in_meme", False)
    result = json.loads(wait_for(lambda: stack.read_output(f"swapped/{name}-good.gif.json")))
    assert result["frames"] == FRAMES
    assert (stack.read_output(result["key"]) or b"").startswith(b"GIF89a")
    ended = wait_for_end(stack.cloud.client("stepfunctions"), execution["executionArn"])
    assert ended["status"] == "SUCCEEDED", ended
    assert [face["swapped"] for face in json.loads(ended["output"])["faces"]] == [False, True]
    assert json.loads(ended["output"])["key"] == f"swaps/{name}.gif"


def test_a_swap_that_is_deleted_under_way_ends_and_leaves_nothing(stack: SwapClient) -> None:
    response = stack.cloud.request("POST", "/swap", {"meme": stack.upload(meme())})
    name = response.json()["id"]
    wait_for(lambda: stack.cloud.request("GET", f"/swap/{name}").json()["status"] != "queued" or None)

    assert stack.cloud.request("DELETE", f"/results/{name}").status_code == 200

    assert stack.cloud.request("GET", f"/swap/{name}").status_code == 410
    arn = stack.cloud.outputs["MovingStateMachineArn"].replace(":stateMachine:", ":execution:")
    assert wait_for_end(stack.cloud.client("stepfunctions"), f"{arn}:{name}")["status"] == "ABORTED"
    # What a step still wrote, it or the event of the end deletes.
    wait_for(lambda: None if keys(stack, name) else True)


@pytest.mark.full
def test_the_demo_s_memes_move_as_before_with_other_faces(
    stack: SwapClient, pictures: dict[str, Path], tmp_path: Path
) -> None:
    swaps = moving_demo.start_moving(stack.cloud, [pictures[name] for name in moving_demo.FACES], tmp_path)
    moving_demo.finish_moving(stack.cloud, swaps)

    assert [(swap.path.name, swap.problem, swap.frames) for swap in swaps] == [
        ("moving.gif", None, moving_meme.FRAMES),
        ("moving.mp4", None, moving_meme.FRAMES),
    ]
    for swap in swaps:
        meme = tmp_path / "pictures/memes" / f"hide{swap.path.suffix}"
        before, after = (MovingReader(path, Limits()) for path in (meme, swap.path))
        frames = [list(reader.frames(Deadline.after(60))) for reader in (before, after)]
        assert [frame.start for frame in frames[1]] == [frame.start for frame in frames[0]]
        assert (after.picture.raw_delays, after.picture.loop) == (before.picture.raw_delays, before.picture.loop)
        for number, (old, new) in enumerate(zip(*frames, strict=True)):
            change = np.abs(old.pixels[:, :, :3].astype(int) - new.pixels[:, :, :3]).max(2) > 24
            assert change[110:190, 60:140].mean() > 0.05, f"the watcher in frame {number}"
            x = round(moving_meme.pose_runner(number).x)
            shown = np.s_[110:190, max(moving_meme.RACK[2] + 4, x - 30) : x + 30]
            if x + 30 > moving_meme.RACK[2] + 8:
                assert change[shown].mean() > 0.05, f"the runner in frame {number}"
            assert change[110:230, 200:312].mean() < 0.01, f"the rack in frame {number}"
    assert moving_demo.draw_strip(swaps)
    assert digest_sound(swaps[1].path) == digest_sound(tmp_path / "pictures/memes/hide.mp4")


def digest_sound(path: Path) -> bytes:
    """A digest of the packets of a video's sound."""
    command = [program(), "-loglevel", "error", "-i", str(path), "-map", "0:a", "-c", "copy", "-f", "md5", "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout
