"""The examples that call the HTTP API; tests/integration has the others."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from layers.core import api_description
from layers.media.xmp_label import SOURCE_TYPE, read_label
from local.cloud import ROOT
from tests.clients.conftest import ClientCloud, run_program
from tests.clients.fake_telegram import TOKEN, FakeTelegram, fake_telegram

pytestmark = pytest.mark.clients


@pytest.fixture
def telegram(client_cloud: ClientCloud) -> Iterator[FakeTelegram]:
    """Telegram, at which the bot asks for messages."""
    with fake_telegram() as telegram:
        environment = {
            "TELEGRAM_TOKEN": TOKEN,
            "TELEGRAM_URL": telegram.url,
            "API": client_cloud.cloud.api_url,
            "KEY": client_cloud.key,
            "NO_PROXY": "*",
        }
        bot = subprocess.Popen(
            [sys.executable, ROOT / "examples/telegram_bot.py"], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            yield telegram
        finally:
            bot.terminate()
            _, complaints = bot.communicate(timeout=60)
        assert complaints == ""


def test_the_bot_swaps_what_it_is_sent_and_says_what_is_wrong_with_a_picture(
    client_cloud: ClientCloud, telegram: FakeTelegram, pictures: dict[str, Path]
) -> None:
    meme, face = (pictures[name].read_bytes() for name in ("works-on-my-machine", "ruby"))
    blank = bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1])
    kept = _list_outputs(client_cloud)

    greeting = telegram.send()
    kind, swapped = telegram.send(meme, reply_to=face)
    sentence = telegram.send(blank, reply_to=face)
    too_large = telegram.send(bytes(4_000_001), reply_to=face)

    assert greeting[0] == "sendMessage"
    assert "Send me a picture" in greeting[1]
    assert (kind, read_label(swapped)) == ("sendPhoto", SOURCE_TYPE)
    assert sentence[0] == "sendMessage"
    assert "drawn faces only" in sentence[1], "the problem's own sentence"
    assert "4 MB" in too_large[1]
    assert _list_outputs(client_cloud) == kept, "the bot keeps no pictures"


def test_requests_of_the_n8n_workflow_are_those_of_the_description() -> None:
    checked = run_program("check_n8n.py", ROOT / "examples/n8n.json", api_description.PATH)

    assert checked == ["POST /swap", "GET /swap/{name}", "DELETE /results/{name}"]


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('"name": "meme"', '"name": "picture"', "picture"),
        ("/swap/{{", "/swaps/{{", "/swaps/x"),
        ('"method": "DELETE"', '"method": "PUT"', "PUT"),
    ],
)
def test_a_request_that_is_not_described_is_noticed(tmp_path: Path, right: str, wrong: str, complaint: str) -> None:
    text = (ROOT / "examples/n8n.json").read_text(encoding="utf-8")
    assert right in text
    changed = tmp_path / "n8n.json"
    changed.write_text(text.replace(right, wrong, 1), encoding="utf-8")

    with pytest.raises(AssertionError, match=complaint):
        run_program("check_n8n.py", changed, api_description.PATH)


def test_every_step_of_the_n8n_workflow_is_reached() -> None:
    workflow = json.loads((ROOT / "examples/n8n.json").read_text(encoding="utf-8"))
    names = {node["name"] for node in workflow["nodes"]}

    ways = [way["node"] for outputs in workflow["connections"].values() for each in outputs["main"] for way in each]
    assert workflow["connections"].keys() <= names
    assert {*ways, "Form"} == names


def _list_outputs(client_cloud: ClientCloud) -> list[str]:
    cloud = client_cloud.cloud
    listed = cloud.client("s3").list_objects_v2(Bucket=cloud.bucket("outputs"), Prefix="swaps/")
    return [each["Key"] for each in listed.get("Contents", [])]
