"""Keys from the environment and from the operator's store, and never in what is printed."""

from __future__ import annotations

import json
from collections.abc import Iterator

import boto3
import pytest
from botocore.stub import Stubber

from functions.video.providers import keys as module
from functions.video.providers.keys import read_keys
from layers.core import storage
from layers.core.errors import KeysMissing, StorageFailed

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:providers-AbCdEf"
PARAMETER = "arn:aws:ssm:us-east-1:123456789012:parameter/coldswap/providers"
STORED = {"PEXELS_API_KEY": "stored-pexels", "ELEVENLABS_API_KEY": "stored-eleven", "UNKNOWN": "x"}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Stubber]:
    client = boto3.client(request.param, region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
    monkeypatch.setitem(storage._clients, request.param, client)
    module._provider.cache_clear()
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()
    module._provider.cache_clear()


secret = pytest.mark.parametrize("stub", ["secretsmanager"], indirect=True)
parameter = pytest.mark.parametrize("stub", ["ssm"], indirect=True)


def test_the_environment_is_enough() -> None:
    keys = read_keys("", {"PEXELS_API_KEY": " p\n", "ELEVENLABS_API_KEY": "e", "VOICE_ID": "v", "OTHER": "o"})
    assert (keys.need("PEXELS_API_KEY"), keys.need("ELEVENLABS_API_KEY"), keys.voice_id) == ("p", "e", "v")


def test_what_is_missing_is_named_only_when_it_is_needed() -> None:
    keys = read_keys("", {"PEXELS_API_KEY": "p", "ELEVENLABS_API_KEY": ""})
    assert keys.voice_id is None
    with pytest.raises(KeysMissing, match="ELEVENLABS_API_KEY"):
        keys.need("ELEVENLABS_API_KEY")
    with pytest.raises(KeysMissing, match="CALLBACK_SECRET"):
        keys.need("CALLBACK_SECRET")


def test_no_key_is_printed() -> None:
    keys = read_keys("", {"PEXELS_API_KEY": "hush-hush"})
    assert "hush" not in f"{keys!r} {keys}"


@pytest.mark.parametrize("bad", ["sk\r\nInjected: 1", "schlüssel", "a\x00b"])
def test_a_key_that_no_header_can_carry_is_refused_without_quoting_it(bad: str) -> None:
    with pytest.raises(KeysMissing, match="PEXELS_API_KEY") as caught:
        read_keys("", {"PEXELS_API_KEY": bad})
    assert bad not in str(caught.value)


@secret
def test_a_secret_is_read_once_and_the_environment_goes_before_it(stub: Stubber) -> None:
    stub.add_response("get_secret_value", {"SecretString": json.dumps(STORED)}, {"SecretId": SECRET})
    for _ in range(2):
        keys = read_keys(SECRET, {"PEXELS_API_KEY": "mine"})
        assert (keys.need("PEXELS_API_KEY"), keys.need("ELEVENLABS_API_KEY")) == ("mine", "stored-eleven")
    assert "UNKNOWN" not in keys.values


@parameter
def test_a_parameter_is_decrypted(stub: Stubber) -> None:
    response = {"Parameter": {"Name": "/coldswap/providers", "Value": json.dumps(STORED)}}
    stub.add_response("get_parameter", response, {"Name": PARAMETER, "WithDecryption": True})
    assert read_keys(PARAMETER, {}).need("PEXELS_API_KEY") == "stored-pexels"


@secret
@pytest.mark.parametrize("value", ["stored-pexels", '["stored-pexels"]', '{"PEXELS_API_KEY": "stored-pexels"'])
def test_a_secret_of_another_shape_is_told_without_its_value(stub: Stubber, value: str) -> None:
    stub.add_response("get_secret_value", {"SecretString": value})
    with pytest.raises(KeysMissing, match="JSON object") as caught:
        read_keys(SECRET, {})
    assert "stored-pexels" not in str(caught.value)


@secret
def test_a_store_that_does_not_answer_is_worth_another_try(stub: Stubber) -> None:
    stub.add_client_error("get_secret_value", "InternalServiceError")
    with pytest.raises(StorageFailed):
        read_keys(SECRET, {})


@pytest.mark.parametrize(
    ("stub", "arn", "call", "code"),
    [
        ("secretsmanager", SECRET, "get_secret_value", "AccessDeniedException"),
        ("secretsmanager", SECRET, "get_secret_value", "DecryptionFailure"),
        ("ssm", PARAMETER, "get_parameter", "AccessDeniedException"),
        ("ssm", PARAMETER, "get_parameter", "InvalidKeyId"),
    ],
    indirect=["stub"],
)
def test_keys_that_may_not_be_decrypted_are_the_operator_s_to_mend(
    stub: Stubber, arn: str, call: str, code: str
) -> None:
    stub.add_client_error(call, code, "User: arn:aws:sts::123456789012:assumed-role/video is not authorized")
    with pytest.raises(KeysMissing, match=r"kms:Decrypt") as caught:
        read_keys(arn, {})
    assert "123456789012" not in str(caught.value)


@pytest.mark.parametrize(
    ("stub", "arn", "call", "code"),
    [
        ("secretsmanager", SECRET, "get_secret_value", "ResourceNotFoundException"),
        ("ssm", PARAMETER, "get_parameter", "ParameterNotFound"),
    ],
    indirect=["stub"],
)
def test_a_store_that_was_deleted_is_not_asked_for_ever(stub: Stubber, arn: str, call: str, code: str) -> None:
    stub.add_client_error(call, code)
    with pytest.raises(KeysMissing, match="does not exist"):
        read_keys(arn, {})


def test_anything_else_is_no_store_of_keys() -> None:
    with pytest.raises(KeysMissing, match="ARN"):
        read_keys("arn:aws:s3:::bucket/keys.json", {})
