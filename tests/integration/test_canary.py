"""With CanaryRelease, callers reach the functions through the alias that a deployment moves in steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import swap_clients
from local.cloud import Cloud
from local.publish_demo_pack import publish_demo_pack
from tests.support import log_leaks

pytestmark = pytest.mark.full


def test_callers_that_wait_for_an_answer_are_served_by_the_alias(pictures: dict[str, Path]) -> None:
    with Cloud() as cloud:
        cloud.deploy({"CanaryRelease": "first"})
        publish_demo_pack(cloud)
        functions = cloud.client("lambda")
        for name in ("SwapFunctionName", "VideoFunctionName"):
            (alias,) = functions.list_aliases(FunctionName=cloud.outputs[name])["Aliases"]
            assert (alias["Name"], alias["FunctionVersion"]) == ("live", "1")

        for call in (swap_clients.http, swap_clients.workflow, swap_clients.upload):
            response = call(cloud, pictures["noor"], pictures["on-mute"])
            assert all(face["swapped"] for face in response.result["faces"])
        log_leaks.assert_no_leaks(cloud)
