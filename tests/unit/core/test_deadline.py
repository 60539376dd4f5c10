"""Deadlines."""

from __future__ import annotations

import pytest

from layers.core.deadline import Deadline
from layers.core.errors import OutOfTime


def test_a_deadline_that_has_passed_says_what_was_being_done() -> None:
    with pytest.raises(OutOfTime, match="while counting"):
        Deadline.after(-1).check("counting")
    later = Deadline.after(100)
    assert later.check("counting") > 90
    assert later.sooner(5).left() < 6
    assert later.sooner(500) == later
