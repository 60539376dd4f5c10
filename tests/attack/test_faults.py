"""Every fault, over each way to ask: which test shows what becomes of it, or why it cannot happen.

Rows are faults, columns are callers. A cell names tests as FILE::FUNCTION or FILE::FUNCTION[ID], where ID is one of the
strings by which the file makes its cases; or it is a sentence. A swap with Prefer: respond-async is started by the HTTP
entry and worked on by the workflow task, so what happens in the work is tested there, and what is told of it by TOLD.
"""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from local.cloud import ROOT

ERRORS = "tests/integration/test_errors.py"
FAULTS = "tests/integration/test_faults.py"
CALLERS = "tests/integration/test_callers.py"
LISTED = "tests/integration/test_denylist.py"
LOAD = "tests/integration/test_load.py"
UNIT = "tests/unit/swap/entry/test_errors.py"
EACH = f"{UNIT}::test_every_caller_sees_the_error_by_its_name"
REQUEST = f"{ERRORS}::test_errors_of_the_request"
TOLD = f"{CALLERS}::test_what_fails_behind_the_caller_s_back_is_told_as_a_problem"
STORAGE = "tests/unit/core/test_storage.py"
FETCH = "tests/unit/core/test_http_fetch.py"
API = "tests/unit/swap/entry/test_http_api.py"
OWN = "The stack's own principals have no budget and have accepted the terms by deploying it."

SWAP = ("http", "respond-async", "upload", "workflow")
VIDEO = ("http", "step")

Cell = tuple[str, ...]  # tests, or one sentence that says why there is none


def alike(*tests: str) -> dict[str, Cell]:
    """The same tests run for http, upload and workflow by their parameter `caller`."""
    return {"http": tests, "respond-async": (*tests, TOLD), "upload": tests, "workflow": tests}


SWAP_FAULTS: dict[str, dict[str, Cell]] = {
    "a server that does not answer": alike(
        f"{FETCH}::test_a_refused_connection_is_an_upstream_failure", f"{EACH}[upstream]"
    ),
    "a server that fails": alike(f"{REQUEST}[a server that fails]"),
    "a server that drips": alike(
        f"{FETCH}::test_a_server_that_drips_does_not_outlast_the_deadline", f"{EACH}[upstream]"
    ),
    "a picture that is not there": alike(f"{REQUEST}[a key that is not there]"),
    "a truncated picture": alike(f"{REQUEST}[a torn JPEG]"),
    "no picture at all": alike(f"{REQUEST}[no picture at all]"),
    "too many bytes": alike(f"{REQUEST}[too many bytes]"),
    "a bomb": alike(f"{REQUEST}[too many pixels]"),
    "an address that is not public": alike(f"{REQUEST}[an address that is not public]"),
    "no face in the meme": alike(f"{REQUEST}[no face in the meme]"),
    "no face in the source": alike(f"{REQUEST}[no face in the source]"),
    "no models": alike(f"{ERRORS}::test_no_pack_is_published"),
    "a damaged or truncated chunk": alike(f"{ERRORS}::test_the_weights_are_damaged"),
    "S3 refuses the result": alike(f"{ERRORS}::test_the_outputs_bucket_refuses"),
    "a face on the do-not-swap list": alike(f"{LISTED}::test_who_is_listed_is_neither_put_in_nor_replaced"),
    "a damaged do-not-swap list": alike(f"{LISTED}::test_a_damaged_list_stops_every_caller", f"{EACH}[damaged-list]"),
    "a picture that the gate refuses": alike(f"{EACH}[gate]"),
    "no signing key": alike(f"{EACH}[unreadable-signing-key]", f"{UNIT}::test_what_is_not_labelled_is_not_delivered"),
    "a broken signing key": alike(f"{EACH}[broken-signing-key]", f"{UNIT}::test_what_is_not_labelled_is_not_delivered"),
    "a full disk": alike(
        "tests/unit/core/test_storage.py::test_a_full_disk_is_told_from_other_faults", f"{EACH}[disk]"
    ),
    "the time is over": alike(f"{ERRORS}::test_the_time_is_over_before_the_work"),
    "the budget is spent": {
        "http": (f"{API}::test_a_caller_s_budget_is_refused_before_any_work",),
        "respond-async": (
            f"{API}::test_a_caller_s_budget_is_refused_before_any_work",
            f"{API}::test_a_large_meme_costs_its_megapixels_also_beside_its_caller",
        ),
        "upload": (OWN,),
        "workflow": (OWN,),
    },
    "the terms are not accepted": {
        "http": (
            f"{CALLERS}::test_nothing_is_made_for_who_has_not_accepted_the_terms",
            f"{API}::test_a_caller_accepts_the_terms_once_before_anything_is_made",
        ),
        "respond-async": (f"{API}::test_a_caller_accepts_the_terms_once_before_anything_is_made",),
        "upload": (OWN,),
        "workflow": (OWN,),
    },
    "asked twice": {
        "http": (
            f"{CALLERS}::test_the_same_key_gives_the_stored_result",
            f"{CALLERS}::test_the_same_key_while_it_is_still_running",
        ),
        "respond-async": (f"{API}::test_the_same_key_starts_one_execution",),
        "upload": (f"{CALLERS}::test_a_second_delivery_changes_nothing",),
        "workflow": ("An execution is started by its author, whose name for it is Step Functions' own key.",),
    },
    "killed in the middle": {
        "http": (f"{FAULTS}::test_http_survives_a_kill_in_mid_request",),
        "respond-async": (f"{FAULTS}::test_a_workflow_survives_a_kill_in_mid_request",),
        "upload": (f"{FAULTS}::test_an_upload_is_never_lost_to_a_kill",),
        "workflow": (f"{FAULTS}::test_a_workflow_survives_a_kill_in_mid_request",),
    },
    "no room": {
        "http": (f"{LOAD}::test_swaps_at_twice_the_capacity",),
        "respond-async": (f"{LOAD}::test_swaps_that_nobody_waits_for_at_twice_the_capacity",),
        "upload": ("Lambda keeps the event and tries for an hour by itself; then it is a dead letter.",),
        "workflow": (f"{LOAD}::test_swaps_that_nobody_waits_for_at_twice_the_capacity",),
    },
}

SERVICE = "tests/integration/test_video.py::test_a_fault_of_a_service_ends_as_a_problem_with_its_name"
TESTS = "tests/integration/test_video.py"
VIDEO_API = "tests/unit/video/entry/test_http_api.py"
STEPS = "tests/unit/video/test_steps.py"
PAYMENTS = "tests/unit/video/providers/test_payments.py"
NO_CALL = "The HTTP entry asks no such service; a step does."
NO_FILE = "The HTTP entry makes no file; a step does."
NO_WORK = "It is asked before the workflow starts."

VIDEO_FAULTS: dict[str, dict[str, Cell]] = {
    "the voice's quota is used up": {"http": (NO_CALL,), "step": (f"{SERVICE}[elevenlabs.quota]",)},
    "an unknown voice": {"http": (NO_CALL,), "step": (f"{SERVICE}[elevenlabs.voice]",)},
    "sound that cannot be read": {"http": (NO_CALL,), "step": (f"{SERVICE}[elevenlabs.unparsable]",)},
    "speech that is paid for and does not come": {
        "http": (NO_CALL,),
        "step": (f"{PAYMENTS}::test_what_may_have_been_paid_is_asked_for_once_more_at_most[drop]",),
    },
    "the same speech asked for twice at once": {
        "http": (NO_CALL,),
        "step": (f"{PAYMENTS}::test_two_tasks_at_once_pay_once",),
    },
    "a rejected key": {"http": (NO_CALL,), "step": (f"{SERVICE}[pexels.key]",)},
    "no footage": {"http": (NO_CALL,), "step": (f"{SERVICE}[pexels.none]",)},
    "footage that is gone": {
        "http": (NO_CALL,),
        "step": (f"{TESTS}::test_a_new_task_goes_on_where_a_failed_one_stopped",),
    },
    "a key that is not configured": {
        "http": (f"{VIDEO_API}::test_a_key_that_is_needed_and_missing_is_told_before_anything_is_spent",),
        "step": (NO_WORK,),
    },
    "no room": {
        "http": (
            f"{TESTS}::test_a_third_video_waits_until_there_is_room",
            f"{LOAD}::test_videos_at_twice_the_capacity",
        ),
        "step": (
            f"{LOAD}::test_a_video_waits_for_longer_than_a_fault_while_its_function_is_full",
            f"{STEPS}::test_what_lambda_says_of_a_dead_sandbox_or_a_full_house_is_an_error_of_ours",
        ),
    },
    "the budget is spent": {
        "http": (f"{VIDEO_API}::test_a_budget_of_seconds_is_refused_before_a_slot_is_kept",),
        "step": (NO_WORK,),
    },
    "the terms are not accepted": {
        "http": (f"{VIDEO_API}::test_a_caller_accepts_the_terms_before_a_video_is_made_or_planned",),
        "step": (NO_WORK,),
    },
    "asked twice": {
        "http": (f"{TESTS}::test_a_repeated_request_is_the_same_task",),
        "step": (f"{STEPS}::test_publishing_again_after_a_lost_answer_changes_nothing",),
    },
    "cancelled in the middle": {
        "http": (f"{TESTS}::test_a_task_can_be_cancelled_at_any_stage",),
        "step": (f"{STEPS}::test_a_video_cancelled_while_it_is_published_leaves_nothing",),
    },
    "work that is deleted meanwhile": {
        "http": (NO_FILE,),
        "step": (f"{TESTS}::test_what_is_deleted_while_a_video_is_made_is_made_again",),
    },
    "a dead sandbox": {
        "http": (f"{VIDEO_API}::test_a_crash_before_the_start_is_mended_by_the_same_request",),
        "step": (
            f"{TESTS}::test_a_worker_that_is_killed_in_mid_encode_is_replaced",
            f"{STEPS}::test_what_lambda_says_of_a_dead_sandbox_or_a_full_house_is_an_error_of_ours",
        ),
    },
    "storage that does not answer": {
        "http": (f"{VIDEO_API}::test_what_does_not_start_leaves_nothing",),
        "step": (f"{STEPS}::test_a_step_whose_storage_fails_says_so_and_can_be_tried_again",),
    },
    "a full disk": {
        "http": (NO_FILE,),
        "step": ("tests/unit/media/test_ffmpeg.py::test_a_full_disk_and_wrong_arguments_are_told_apart",),
    },
    "the time is over": {
        "http": (NO_FILE,),
        "step": (
            "tests/unit/video/render/test_clip.py::test_the_end_of_time_is_no_reason_to_try_a_spare",
            "tests/unit/media/test_ffmpeg.py::test_the_end_of_time_ends_ffmpeg",
        ),
    },
    "no signing key, or a broken one": {
        "http": (NO_FILE,),
        "step": ("tests/unit/video/render/test_assemble.py::test_what_cannot_be_signed_is_not_kept",),
    },
    "a callback that is refused or fails": {
        "http": (f"{TESTS}::test_a_callback_to_a_private_address_is_refused",),
        "step": (f"{TESTS}::test_a_callback_is_tried_again_and_never_fails_a_video",),
    },
}

POINTER = re.compile(r"(?P<file>tests/[\w/]+\.py)::(?P<function>test_\w+)(?:\[(?P<case>.+)\])?")


@cache
def collect_tests(file: str) -> tuple[frozenset[str], frozenset[str]]:
    """Names of a module's tests, and every string in it."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    tests = {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    texts = {each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return frozenset(tests), frozenset(texts)


def reason_missing(pointer: str) -> str | None:
    """What a cell names and is not there."""
    match = POINTER.fullmatch(pointer)
    if match is None:
        return None if pointer.endswith(".") and " " in pointer else f"{pointer}: neither a test nor a sentence"
    if not (ROOT / match["file"]).exists():
        return f"{match['file']} is not there"
    tests, texts = collect_tests(match["file"])
    if match["function"] not in tests:
        return f"{pointer} is not there"
    return None if match["case"] is None or match["case"] in texts else f"{pointer}: no such case"


@pytest.mark.parametrize(
    ("fault", "row", "columns"),
    [(name, row, SWAP) for name, row in SWAP_FAULTS.items()]
    + [(name, row, VIDEO) for name, row in VIDEO_FAULTS.items()],
)
def test_every_cell_names_a_test_that_is_there(fault: str, row: dict[str, Cell], columns: tuple[str, ...]) -> None:
    assert tuple(row) == columns
    assert [wrong for cell in row.values() for each in cell if (wrong := reason_missing(each))] == [], fault
    assert all(row.values()), "a cell without a test says why"


def test_what_is_not_there_is_noticed() -> None:
    assert reason_missing(f"{ERRORS}::test_errors_of_the_request") is None
    assert reason_missing(f"{ERRORS}::test_errors_of_nobody")
    assert reason_missing(f"{REQUEST}[a fault that nobody made]")
    assert reason_missing("tests/integration/test_nothing.py::test_errors_of_the_request")
    assert reason_missing("later")
