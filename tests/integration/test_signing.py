"""Every result of a deployed stack is signed with the stack's own key, and distinguished from all others."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from layers.media.c2pa_chain import create_chain
from layers.media.c2pa_label import read_manifest
from local import swap_clients
from local.cloud import STACK, Cloud
from local.swap_clients import data_uri
from tests.support.swap_client import SwapClient
from tests.unit.media import c2pa_reader
from tools import signing_key
from tools.verify import main as verify_files


def verify_by_api(cloud: Cloud, uri: str) -> dict[str, Any]:
    response = cloud.request("POST", "/verify", {"uri": uri})
    assert response.status_code == 200, response.text
    report: dict[str, Any] = response.json()
    return report


@pytest.mark.parametrize("caller", ["http", "upload", "workflow"])
def test_whoever_asks_the_result_is_signed_from_the_first_on(
    stack: SwapClient, pictures: dict[str, Path], caller: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody ever made a key for this stack: the template's secret is enough."""
    swap = getattr(swap_clients, caller)(stack.cloud, pictures["noor"], pictures["on-mute"])
    anchors = signing_key.read_anchors(stack.cloud.client("secretsmanager"), stack.cloud.outputs["SigningKeyArn"])
    path, anchors_path = tmp_path / "result.jpg", tmp_path / "ours.pem"
    path.write_bytes(swap.picture)
    anchors_path.write_text(anchors)

    assert read_manifest(io.BytesIO(swap.picture), swap.result["content_type"], anchors).state == "trusted"
    action = c2pa_reader.read_manifest(swap.picture).actions[1]
    assert action["parameters"]["coldswap.pack"] == "demo"
    assert action["parameters"]["coldswap.models"] == {
        name: digest for name, digest in swap.result["models"].items() if name != "pack"
    }
    assert verify_files([str(path), "--anchors", str(anchors_path)]) == 0
    assert "This stack made the file" in capsys.readouterr().out
    report = verify_by_api(stack.cloud, data_uri(path))
    assert (report["ours"], report["made_with_a_model"]) == (True, True)
    uri = f"s3://{stack.cloud.bucket('outputs')}/{swap.result['key']}"
    response = stack.cloud.request("POST", "/verify", {"uri": uri})
    # Results of uploads and workflows belong to the stack, not to a caller of the API.
    assert response.status_code == {"http": 200, "upload": 422, "workflow": 404}[caller]


def test_a_new_key_leaves_callers_and_their_keys_as_they_are(stack: SwapClient, pictures: dict[str, Path]) -> None:
    cloud, idempotency = stack.cloud, {"Idempotency-Key": "before and after"}
    request = {"meme": data_uri(pictures["on-mute"])}
    before = cloud.request("POST", "/swap", request, idempotency).json()

    signing_key.renew(cloud.client("secretsmanager"), cloud.outputs["SigningKeyArn"], create_chain("Yet another name"))
    cloud.force_cold_start()

    assert cloud.request("POST", "/swap", request, idempotency).json()["key"] == before["key"]
    name = PurePosixPath(before["key"]).stem
    assert cloud.request("GET", f"/swap/{name}").json()["status"] == "succeeded"
    assert cloud.request("GET", "/terms").json()["accepted"] is True
    assert cloud.request("DELETE", f"/results/{name}").status_code == 200


def test_a_new_key_signs_and_the_old_results_stay_ours(stack: SwapClient, pictures: dict[str, Path]) -> None:
    cloud, secrets = stack.cloud, stack.cloud.client("secretsmanager")
    arn = cloud.outputs["SigningKeyArn"]
    before = swap_clients.http(cloud, pictures["noor"], pictures["on-mute"])

    signing_key.renew(secrets, arn, create_chain("A new name"))
    cloud.force_cold_start()
    after = swap_clients.http(cloud, pictures["noor"], pictures["on-mute"])

    outputs = cloud.bucket("outputs")
    first, second = (verify_by_api(cloud, f"s3://{outputs}/{each.result['key']}") for each in (before, after))
    assert first["ours"] is second["ours"] is True
    assert second["manifest"]["signer"].startswith("A new name, ")
    assert not first["manifest"]["signer"].startswith("A new name, ")


def test_a_key_in_kms_signs_and_a_disabled_one_delivers_nothing(stack: SwapClient, pictures: dict[str, Path]) -> None:
    cloud, secrets, kms = stack.cloud, stack.cloud.client("secretsmanager"), stack.cloud.client("kms")
    arn, alias, outputs = cloud.outputs["SigningKeyArn"], f"alias/{STACK}-signing", cloud.bucket("outputs")
    before = swap_clients.http(cloud, pictures["noor"], pictures["on-mute"])
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName=alias, TargetKeyId=key)
    original = secrets.get_secret_value(SecretId=arn)["SecretString"]
    chain = signing_key.certify_kms_key(kms, STACK, "A key of its own")
    anchors = "".join((chain.anchors, signing_key.read_anchors(secrets, arn)))
    secrets.put_secret_value(SecretId=arn, SecretString=replace(chain, anchors=anchors).dump())
    cloud.force_cold_start()
    try:
        after = swap_clients.http(cloud, pictures["noor"], pictures["on-mute"])
        first, second = (verify_by_api(cloud, f"s3://{outputs}/{each.result['key']}") for each in (before, after))
        assert first["ours"] is second["ours"] is True
        assert second["manifest"]["signer"].startswith("A key of its own, ")
        assert not first["manifest"]["signer"].startswith("A key of its own, ")

        count = cloud.client("s3").list_objects_v2(Bucket=outputs)["KeyCount"]
        kms.disable_key(KeyId=key)
        refusal = cloud.request("POST", "/swap", {"meme": data_uri(pictures["on-mute"])})
        assert (refusal.status_code, refusal.json()["code"]) == (500, "label_failed")
        assert "DisabledException" in refusal.json()["detail"]
        assert cloud.client("s3").list_objects_v2(Bucket=outputs)["KeyCount"] == count
    finally:
        secrets.put_secret_value(SecretId=arn, SecretString=original)
        kms.delete_alias(AliasName=alias)
        cloud.force_cold_start()


def test_what_was_not_made_here_is_not_ours(stack: SwapClient, pictures: dict[str, Path]) -> None:
    report = verify_by_api(stack.cloud, data_uri(pictures["on-mute"]))

    assert report["ours"] is report["made_with_a_model"] is False
    assert report["manifest"]["state"] == "absent"


def test_a_secret_that_is_no_key_delivers_nothing(stack: SwapClient, pictures: dict[str, Path]) -> None:
    cloud, secrets = stack.cloud, stack.cloud.client("secretsmanager")
    arn = cloud.outputs["SigningKeyArn"]
    original = secrets.get_secret_value(SecretId=arn)["SecretString"]
    s3, bucket = cloud.client("s3"), cloud.bucket("outputs")
    keys = {each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])}
    secrets.put_secret_value(SecretId=arn, SecretString="{}")
    cloud.force_cold_start()
    try:
        with pytest.raises(swap_clients.CallFailed) as raised:
            swap_clients.http(cloud, pictures["noor"], pictures["on-mute"])
    finally:
        secrets.put_secret_value(SecretId=arn, SecretString=original)
        cloud.force_cold_start()

    assert raised.value.code == "label_failed"
    assert {each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])} == keys
