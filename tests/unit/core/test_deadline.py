"""Deadlines."""

from __future__ import annotations

import pytest

from layers.core.deadline import Deadline, ExtensibleDeadline
from layers.core.errors import OutOfTime


def test_a_deadline_that_has_passed_says_what_was_being_done() -> None:
    with pytest.raises(OutOfTime, match="while counting"):
        Deadline.after(-1).check("counting")
    later = Deadline.after(100)
    assert later.check("counting") > 90
    assert later.sooner(5).left() < 6
    assert later.sooner(500) == later


def test_a_deadline_can_be_put_off_while_the_work_goes_on() -> None:
    deadline = ExtensibleDeadline(Deadline.after(-1).at)
    with pytest.raises(OutOfTime):
        deadline.check("counting")

    deadline.extend(Deadline.after(100))

    assert deadline.check("counting") > 90
