"""Measuring swaps on AWS: what it costs, what is measured, and that the stack stays as it was."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import cv2
import numpy as np
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from functions.swap.latent_cache import LatentCache
from layers.core.storage import Storage
from tests.unit.tools.aws import Formation
from tests.unit.tools.fake_lambda import FakeLambda, throttled
from tools import bench_lambda
from tools.bench_lambda import Plan, main, make_plan
from tools.sample_summary import percentile, summarise
from tools.swap_costs import dollars, gigabyte_seconds

COPY = "coldswap-bench"


class Buckets:
    """S3: what was deleted, and the recipes of latents that the models bucket has."""

    def __init__(self) -> None:
        self.deleted: list[tuple[str, str]] = []
        self.recipes: list[str] = []

    def list_objects_v2(self, Bucket: str, Prefix: str, Delimiter: str) -> dict[str, Any]:
        assert (Bucket, Delimiter) == ("models", "/")
        folders = [{"Prefix": f"{Prefix}{recipe}/"} for recipe in self.recipes]
        return {"CommonPrefixes": folders} if folders else {}

    def delete_object(self, Bucket: str, Key: str) -> None:
        self.deleted.append((Bucket, Key))


class Session:
    """boto3's, of an account with one stack."""

    region_name = "eu-west-1"

    def __init__(self) -> None:
        self.configurations: list[Any] = []
        self.functions, self.s3, self.formation = FakeLambda(), Buckets(), Formation(coldswap="CREATE_COMPLETE")
        self.formation.outputs = {
            "SwapFunctionName": "coldswap-Swap",
            "OutputsBucketName": "outputs",
            "ModelsBucketName": "models",
        }
        self.formation.parameters = {"MemorySize": "1769", "DefaultFace": "s3://models/faces/me.jpg"}

    def client(self, service: str, config: Any = None) -> Any:
        if config is not None:
            self.configurations.append(config)
        return {"lambda": self.functions, "s3": self.s3, "cloudformation": self.formation}[service]


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Session]:
    session, before = Session(), signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(boto3.session, "Session", lambda: session)
    monkeypatch.setattr(bench_lambda, "OUT", tmp_path / "bench/lambda.json")
    yield session
    signal.signal(signal.SIGTERM, before)


def rows() -> dict[tuple[int, str, str], Any]:
    """The file's rows, by size, face and kind."""
    report = json.loads(bench_lambda.OUT.read_text())
    return {(row["memory_mb"], row["face"], row["kind"]): row for row in report["rows"]}


def test_without_yes_nothing_is_done(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0

    assert (session.functions.calls, session.functions.payloads) == ([], [])
    assert "at most 0.02 dollars" in capsys.readouterr().out


def test_cold_and_warm_swaps_of_both_faces(session: Session) -> None:
    assert main(["--yes", "--cold", "2", "--warm", "5"]) == 0

    row = rows()
    assert {key: each["swaps"] for key, each in row.items()} == {
        (1769, face, kind): count for face in ("new", "default") for kind, count in (("cold", 2), ("warm", 5))
    }
    cold, warm = row[1769, "new", "cold"], row[1769, "new", "warm"]
    assert (cold["billed_s"], cold["handler_s"], cold["start_s"]) == tuple(
        {"p50": value, "p95": value} for value in (4.5, 4.0, 0.5)
    )
    assert (warm["billed_s"]["p95"], warm["max_memory_mb"], warm["engines"]) == (1.0, 650, {"native avx2": 5})
    assert warm["dollars_per_1000"] == pytest.approx(1769 / 1024 * 0.0166667 + 0.0002, abs=1e-4)


def test_a_swap_is_asked_for_once_and_waited_for(session: Session) -> None:
    main(["--yes", "--cold", "1", "--warm", "0"])

    (configuration,) = session.configurations
    assert configuration.retries == {"total_max_attempts": 1}, "a second try would be a swap that nobody counts"
    assert configuration.read_timeout > session.functions.functions["coldswap-Swap"]["Configuration"]["Timeout"]


def test_every_size_is_measured(session: Session) -> None:
    assert main(["--yes", "--sizes", "1024", "3008", "1024", "--cold", "1", "--warm", "1"]) == 0

    row = rows()
    assert {size for size, _, _ in row} == {1024, 3008}
    assert row[3008, "new", "warm"]["billed_s"]["p50"] == pytest.approx(1769 / 3008, abs=0.001)


def test_the_stack_s_function_stays_as_it_is_and_the_copy_goes(session: Session) -> None:
    before = copy.deepcopy(session.functions.functions)

    main(["--yes", "--cold", "1", "--warm", "0"])

    assert session.functions.functions == before
    assert {call.split()[1] for call in session.functions.calls} == {COPY}
    assert session.s3.deleted == [("outputs", "swaps/measured.jpg")]


def test_latents_that_the_stack_keeps_of_new_faces_go_too(session: Session) -> None:
    session.s3.recipes = ["old", "recipe"]

    main(["--yes", "--cold", "1", "--warm", "1"])

    faces = [payload["face"] for payload in session.functions.payloads if "face" in payload]
    digests = [hashlib.sha256(base64.b64decode(face.partition(",")[2])).hexdigest() for face in faces]
    settings: Any = SimpleNamespace(cache_latents=True)
    caches = [LatentCache(cast(Storage, None), settings, recipe, caller=None) for recipe in session.s3.recipes]
    expected = {("models", cache.deletable_key([digest])) for cache in caches for digest in digests}
    assert len(expected) == 4
    assert set(session.s3.deleted) == {*expected, ("outputs", "swaps/measured.jpg")}


def test_what_cannot_be_deleted_is_no_success(
    session: Session, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(**_: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "Access Denied"}}, "DeleteObject")

    monkeypatch.setattr(session.s3, "delete_object", refuse)

    assert main(["--yes", "--cold", "1", "--warm", "0"]) == 1

    assert "DeleteObject" in capsys.readouterr().err
    assert json.loads(bench_lambda.OUT.read_text())["measured"]["complete"]
    assert COPY not in session.functions.functions


def test_the_copy_is_the_function_but_for_what_is_elsewhere(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    copies: list[Any] = []
    monkeypatch.setattr(
        session.functions, "delete_function", lambda FunctionName: copies.append(session.functions.functions.pop(COPY))
    )

    main(["--yes", "--cold", "1", "--warm", "0"])

    (copied,), original = copies, session.functions.functions["coldswap-Swap"]
    assert copied["Code"]["ImageUri"] == original["Code"]["ResolvedImageUri"], "what runs, not what a tag names by now"
    assert copied["Configuration"]["ImageConfig"] == {"Command": ["functions.swap.app.handler"]}
    for name in ("Role", "Timeout", "Architectures", "LoggingConfig"):
        assert copied["Configuration"][name] == original["Configuration"][name]
    variables = copied["Configuration"]["Environment"]["Variables"]
    assert (variables["MODELS_BUCKET"], variables["REMOTE_SWAPPER"]) == ("models", "")


def test_a_copy_that_was_left_is_replaced(session: Session) -> None:
    session.functions.functions[COPY] = {"Configuration": {}, "Tags": {"coldswap:copy-of": "coldswap-Swap"}}

    assert main(["--yes", "--cold", "1", "--warm", "0"]) == 0

    assert COPY not in session.functions.functions


def test_somebody_else_s_function_of_that_name_is_left_alone(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.functions.functions[COPY] = {"Configuration": {}, "Tags": {}}

    assert main(["--yes"]) == 1

    assert (session.functions.calls, session.functions.payloads) == ([], [])
    assert "is no copy of" in capsys.readouterr().err


def test_each_new_face_has_other_bytes_and_the_same_pixels(session: Session) -> None:
    main(["--yes", "--cold", "2", "--warm", "2"])

    faces = [payload["face"] for payload in session.functions.payloads if "face" in payload]
    pictures = [base64.b64decode(face.partition(",")[2]) for face in faces]
    decoded = [np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)) for data in pictures]
    assert len(set(pictures)) == len(pictures) == 4
    assert all(pixels.size and np.array_equal(pixels, decoded[0]) for pixels in decoded)


def test_without_a_default_face_there_is_only_a_new_one(session: Session) -> None:
    session.formation.parameters["DefaultFace"] = ""

    assert main(["--yes", "--cold", "1", "--warm", "1"]) == 0

    assert {face for _, face, _ in rows()} == {"new"}


def test_throttling_stops_it_and_what_was_measured_is_kept(
    session: Session, capsys: pytest.CaptureFixture[str]
) -> None:
    session.functions.failures[4] = throttled()

    assert main(["--yes", "--cold", "2", "--warm", "2"]) == 1

    assert "ConcurrentInvocationLimitExceeded" in capsys.readouterr().err
    assert rows()[1769, "new", "warm"]["swaps"] == 1
    assert not json.loads(bench_lambda.OUT.read_text())["measured"]["complete"]
    assert COPY not in session.functions.functions


@pytest.mark.parametrize(
    "stop", [KeyboardInterrupt(), ReadTimeoutError(endpoint_url="https://lambda.eu-west-1.amazonaws.com")]
)
def test_whatever_stops_it_the_copy_goes(session: Session, stop: BaseException) -> None:
    session.functions.failures[3] = stop

    assert main(["--yes", "--cold", "1", "--warm", "2"]) == 1

    assert list(session.functions.functions) == ["coldswap-Swap"]


def test_so_it_does_when_the_process_is_told_to_end(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    invoke = session.functions.invoke

    def end(**request: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return invoke(**request)

    monkeypatch.setattr(session.functions, "invoke", end)
    assert main(["--yes"]) == 1

    assert list(session.functions.functions) == ["coldswap-Swap"]


TIMEOUT = {"errorMessage": "2026-11-28T21:00:00.123Z 5f6d8a0e Task timed out after 120.00 seconds"}


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ({"errorType": "OutOfMemory", "errorMessage": "https://secret.example/face.jpg"}, "OutOfMemory"),
        (TIMEOUT, "Timeout"),
        ({"errorType": "Sandbox.Timedout", **TIMEOUT}, "Timeout"),
    ],
)
def test_a_size_whose_swap_fails_is_left_out_by_its_error_s_name(
    session: Session, capsys: pytest.CaptureFixture[str], error: Any, name: str
) -> None:
    session.functions.failures[2] = error

    assert main(["--yes", "--cold", "2", "--warm", "2"]) == 1

    report = json.loads(bench_lambda.OUT.read_text())
    assert report["errors"] == [{"memory_mb": 1769, "face": "new", "error": name}]
    assert {face for _, face, _ in rows()} == {"default"}
    assert "secret" not in "".join(capsys.readouterr()) + bench_lambda.OUT.read_text()


def test_pictures_that_cannot_be_swapped_end_it_at_once(session: Session, capsys: pytest.CaptureFixture[str]) -> None:
    session.functions.failures[1] = {"errorType": "NoFaceInMeme", "errorMessage": "No face was found."}

    assert main(["--yes"]) == 1

    assert len(session.functions.payloads) == 1
    assert "NoFaceInMeme" in capsys.readouterr().err


def test_what_is_no_sample_is_counted_apart(session: Session) -> None:
    ahead_of_time = json.loads(session.functions.report(1769))
    del ahead_of_time["record"]["metrics"]["initDurationMs"]
    session.functions.logs = {2: json.dumps(ahead_of_time), 3: session.functions.report(1769), 4: "no report"}

    assert main(["--yes", "--cold", "1", "--warm", "3"]) == 0

    report = json.loads(bench_lambda.OUT.read_text())
    assert report["dropped"] == {
        "a cold start without Init Duration": 1,
        "a new sandbox in place of a warm one": 1,
        "no report in the log": 1,
    }
    assert rows()[1769, "new", "warm"]["swaps"] == 1


@pytest.mark.parametrize(
    "options",
    [["--cold", "51"], ["--cold", "0"], ["--warm", "201"], ["--sizes", "511"], ["--sizes", *map(str, range(600, 607))]],
)
def test_what_is_too_much_is_refused(session: Session, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--yes", *options]) == 1

    assert session.functions.calls == []
    assert capsys.readouterr().err


def test_a_picture_must_be_a_jpeg(session: Session, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "face.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n")

    assert main(["--yes", "--face", str(picture)]) == 1

    assert "no JPEG" in capsys.readouterr().err


def test_warm_swaps_are_spread_over_all_sandboxes() -> None:
    plan = make_plan({"MemorySize": "1769"}, [], 3, 10)

    assert [plan.warm_in_turn(turn) for turn in range(3)] == [3, 3, 4]


def test_the_largest_run_costs_less_than_two_dollars() -> None:
    sizes = [bench_lambda.LARGEST_MB] * bench_lambda.MOST_SIZES

    assert Plan(sizes, ["new", "default"], bench_lambda.MOST_COLD, bench_lambda.MOST_WARM).most_dollars < 2.0


def test_the_estimate_covers_a_timeout_of_each_size_and_face() -> None:
    timeout = dollars(gigabyte_seconds(10_240, FakeLambda().functions["coldswap-Swap"]["Configuration"]["Timeout"]))

    assert Plan([10_240], ["new", "default"], 1, 0).most_dollars > 2 * timeout


def test_many_warm_swaps_in_one_sandbox_take_their_time() -> None:
    assert "about 17 minutes" in Plan([1769], ["new"], 1, 200).describe()


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0, 2.0], 0.5, 1.0), ([7.0], 0.95, 7.0), (range(1, 101), 0.95, 95.0)],
)
def test_percentiles_are_values_that_were_measured(values: Any, share: float, expected: float) -> None:
    assert percentile(values, share) == expected


def test_no_samples_have_no_rows() -> None:
    assert summarise([]) == []
