"""Replicate's own Python client swaps here with another address and nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests

from layers.media.xmp_label import SOURCE_TYPE, read_label
from local.swap_clients import wait_for_end
from tests.clients.conftest import ClientCloud
from tests.support.fault_proxy import ProxyFault
from tests.support.pixels import read_pixels

MEME, FACE = "works-on-my-machine", "ruby"

pytestmark = pytest.mark.clients


@pytest.fixture(scope="module")
def uploads(pictures: dict[str, Path]) -> list[Path]:
    """A meme and a face."""
    return [pictures[MEME], pictures[FACE]]


def test_run_takes_files_and_gives_a_picture(client_cloud: ClientCloud, uploads: list[Path]) -> None:
    by_version, by_model = (base64.b64decode(each) for each in client_cloud.run("replicate_client.py", "run", *uploads))

    assert read_label(by_version) == SOURCE_TYPE
    meme, swapped = read_pixels(uploads[0].read_bytes()), read_pixels(by_version)
    assert swapped.shape == meme.shape
    assert np.abs(swapped - meme).max() > 20
    assert np.array_equal(swapped, read_pixels(by_model))


def test_a_prediction_in_the_background_is_asked_for_until_it_is_done(
    client_cloud: ClientCloud, uploads: list[Path]
) -> None:
    prediction = client_cloud.run("replicate_client.py", "poll", *uploads)

    assert (prediction["first"], prediction["status"], prediction["error"]) == ("starting", "succeeded", None)
    assert read_label(base64.b64decode(prediction["output"].partition(",")[2])) == SOURCE_TYPE
    url = urlsplit(prediction["urls"]["get"])
    assert url.hostname == f"{client_cloud.cloud.api_id}.execute-api.localhost"
    # Not every resolver knows names under localhost.
    own = requests.get(
        url._replace(netloc=f"127.0.0.1:{url.port}").geturl(),
        headers={"Host": url.netloc, "Authorization": f"Token {client_cloud.key}"},
        timeout=60,
    ).json()
    assert (own["id"], own["status"]) == (prediction["id"], "succeeded")
    assert read_label(requests.get(own["output"], timeout=60).content) == SOURCE_TYPE


def test_a_cancelled_prediction_writes_no_result(client_cloud: ClientCloud, uploads: list[Path]) -> None:
    cloud = client_cloud.cloud
    with client_cloud.fault_proxy.fault(ProxyFault("GET", "/requests/", hold=60)) as fault:
        cancelled = client_cloud.run("replicate_client.py", "cancel", *uploads)
        # The swap may have begun, and goes on only now.
        fault.release()
        machine = cloud.outputs["SwapStateMachineArn"]
        execution = f"{machine.replace(':stateMachine:', ':execution:')}:{cancelled['id']}"
        ended = wait_for_end(cloud.client("stepfunctions"), execution)

    assert cancelled["statuses"] == ["canceled", "canceled"]
    assert ended["status"] == "FAILED"
    assert ended["error"] in ("NotFound", "InputNotFound"), "the record was gone, or a picture that it names"
    for bucket, prefix in (("outputs", f"swaps/{cancelled['id']}"), ("uploads", "requests/")):
        listed = cloud.client("s3").list_objects_v2(Bucket=cloud.bucket(bucket), Prefix=prefix)
        assert [each["Key"] for each in listed.get("Contents", []) if cancelled["id"] in each["Key"]] == []


def test_errors_are_shown_in_words(client_cloud: ClientCloud, uploads: list[Path], tmp_path: Path) -> None:
    import cv2

    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.zeros((64, 64, 3), np.uint8))

    errors = client_cloud.run("replicate_client.py", "fail", blank, uploads[1])

    assert errors["refusal"]["status"] == 400
    assert "input.meme is missing" in errors["refusal"]["detail"]
    assert errors["failure"]["status"] == "failed"
    assert "face" in errors["failure"]["error"]
