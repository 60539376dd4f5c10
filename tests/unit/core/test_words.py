"""Errors, settings, deadlines and telemetry."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from functions.swap.settings import Settings
from layers.core import telemetry
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, NoFaceInMeme, OutOfTime, VideoError, family, problem

ENVIRONMENT = {"MODELS_BUCKET": "m", "UPLOADS_BUCKET": "u", "OUTPUTS_BUCKET": "o"}


def test_every_error_has_a_code_of_its_own_and_a_status() -> None:
    kinds = set(family().values()) - {ColdswapError, VideoError}
    codes = Counter(kind.code for kind in kinds)
    assert codes.most_common(1)[0][1] == 1
    assert all(400 <= kind.status < 600 and kind.title and kind.__doc__ for kind in kinds)
    assert all(name == kind.__name__ for name, kind in family().items())


def test_a_problem_is_as_rfc_9457_has_it_and_extras_never_replace_it() -> None:
    document = problem(NoFaceInMeme("Look closer.", picture="meme", code="mine", status=1), instance="/swap/1")
    assert document == {
        "type": "urn:coldswap:problem:no_face_in_meme",
        "title": NoFaceInMeme.title,
        "status": 422,
        "detail": "Look closer.",
        "code": "no_face_in_meme",
        "retryable": False,
        "instance": "/swap/1",
        "picture": "meme",
    }
    json.dumps(document)


@pytest.mark.parametrize("name", ENVIRONMENT)
def test_a_setting_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Settings.read({**ENVIRONMENT, name: ""})


def test_settings_have_the_old_servers_defaults_and_trust_nobody() -> None:
    settings = Settings.read(ENVIRONMENT)
    assert settings.detection_size == 512
    assert settings.model_retention == "container"
    assert settings.trusted_origins == frozenset()
    assert settings.threads >= 1


def test_a_setting_that_is_wrong_is_refused() -> None:
    with pytest.raises(ValueError, match="MODEL_RETENTION"):
        Settings.read({**ENVIRONMENT, "MODEL_RETENTION": "for ever"})


def test_a_deadline_that_has_passed_says_what_was_being_done() -> None:
    with pytest.raises(OutOfTime, match="while counting"):
        Deadline.after(-1).check("counting")
    later = Deadline.after(100)
    assert later.check("counting") > 90
    assert later.sooner(5).left() < 6
    assert later.sooner(500) == later


def test_a_phase_entered_twice_adds_up_and_counts_when_it_fails() -> None:
    phases = telemetry.Phases()
    for _ in range(2):
        with phases("one"):
            pass
    with pytest.raises(KeyError), phases("two"):
        raise KeyError
    assert list(phases.timings_ms()) == ["one", "two"]


def test_server_timing_is_as_the_w3c_has_it() -> None:
    assert telemetry.server_timing({"detect": 12.5, "swap": 300.0}) == "detect;dur=12.5, swap;dur=300"


def test_metrics_are_one_record_of_a_function_of_a_stack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "swap")
    monkeypatch.setenv("STACK_NAME", "coldswap-staging")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1000")
    telemetry.emit({"Swapped": 2, **telemetry.memory_percent(2**20 / 1e6 * 600, 2**20 / 1e6 * 300)})

    record = json.loads(capsys.readouterr().out)
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Coldswap"
    assert [sorted(each) for each in directive["Dimensions"]] == [["service", "stack"]]
    assert (record["service"], record["stack"]) == ("swap", "coldswap-staging")
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]} == {
        "Swapped": "Count",
        "MemoryPercent": "Percent",
    }
    assert (record["Swapped"], record["MemoryPercent"]) == ([2.0], [90.0])


def test_nothing_to_tell_is_no_record(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", raising=False)

    telemetry.emit(telemetry.memory_percent(600))

    assert capsys.readouterr().out == ""


def test_peak_memory_grows_with_what_is_held_and_stays() -> None:
    code = (
        "from layers.core.telemetry import peak_memory_mb as peak; before = peak(); held = b'x' * 60_000_000; "
        "during = peak(); del held; print(before, during, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, during, after = map(float, done.stdout.split())
    assert before + 55 < during < before + 70
    assert after > during - 2  # the kernel counts a little loosely (proc_pid_status(5))


def test_nothing_heavy_is_imported_by_the_words_alone() -> None:
    code = (
        "import sys, layers.core.storage, layers.core.http_fetch, layers.core.telemetry, layers.media.decode, "
        "layers.media.encode, layers.media.xmp_label; "
        "print([name for name in ('boto3', 'botocore', 'cv2', 'requests', 'aws_lambda_powertools', 'pydantic')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
