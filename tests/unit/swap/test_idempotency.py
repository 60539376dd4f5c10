"""Work done once."""

from __future__ import annotations

from typing import Any

import pytest

from functions.swap.idempotency import Idempotency
from layers.core.errors import StillRunning
from tests.unit.swap.fake_stack import FakeContext, MemoryTable


def test_the_second_of_two_at_a_time_is_told_to_wait() -> None:
    idempotency = Idempotency("", MemoryTable())

    def work() -> dict[str, Any]:
        with pytest.raises(StillRunning):
            idempotency.run(("k",), "content", lambda: {"n": 2}, FakeContext())
        return {"n": 1}

    assert idempotency.run(("k",), "content", work, FakeContext()) == {"n": 1}
    assert idempotency.run(("k",), "content", lambda: {"n": 3}, FakeContext()) == {"n": 1}


def test_parts_of_a_key_do_not_run_together() -> None:
    idempotency = Idempotency("", MemoryTable())

    assert idempotency.run(("ab", "c"), "x", lambda: {"n": 1}, FakeContext()) == {"n": 1}
    assert idempotency.run(("a", "bc"), "x", lambda: {"n": 2}, FakeContext()) == {"n": 2}
    assert idempotency.run(("a\nb", "c"), "x", lambda: {"n": 3}, FakeContext()) == {"n": 3}
    assert idempotency.run(("a", "b\nc"), "x", lambda: {"n": 4}, FakeContext()) == {"n": 4}


def test_records_hold_digests_of_requests_not_requests() -> None:
    table = MemoryTable()

    Idempotency("", table).run(("secret-key",), "secret-content", lambda: {"n": 1}, FakeContext())

    (record,) = table.records.values()
    assert "secret" not in str(vars(record))
    assert record.idempotency_key.startswith("swap#")


def test_a_kill_in_mid_request_holds_the_key_only_as_long_as_the_invocation_could_have_lasted() -> None:
    class Killed(BaseException):
        """What no code catches."""

    table = MemoryTable()
    idempotency = Idempotency("", table)

    def work() -> dict[str, Any]:
        raise Killed

    with pytest.raises(Killed):
        idempotency.run(("k",), "x", work, FakeContext(left=lambda: 5_000))

    (record,) = table.records.values()
    assert record.status == "INPROGRESS"
    made_ms = (record.in_progress_expiry_timestamp or 0) - 5_000
    assert abs(made_ms / 1000 - (record.expiry_timestamp or 0) + 24 * 3600) < 3


def test_without_a_table_everything_is_done_every_time() -> None:
    runs: list[int] = []

    def work() -> dict[str, Any]:
        runs.append(1)
        return {"n": len(runs)}

    idempotency = Idempotency("")
    assert idempotency.run(("k",), "x", work, FakeContext()) == {"n": 1}
    assert idempotency.run(("k",), "x", work, FakeContext()) == {"n": 2}
