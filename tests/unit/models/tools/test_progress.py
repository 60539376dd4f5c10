"""Bars are for people at a terminal."""

from __future__ import annotations

import io
import sys

import pytest

from layers.models.tools.progress import ProgressBar, choose_progress, show_nothing


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_fills_and_ends_its_line() -> None:
    stream = io.StringIO()
    bars = ProgressBar(stream)
    for current in (0, 50_000_000, 50_000_001, 100_000_000):
        bars("model.onnx", current, 100_000_000)
    frames = stream.getvalue().split("\r")[1:]
    assert [line.count("#") for line in frames] == [0, 15, 30]
    assert all(line.startswith("model.onnx") for line in frames)
    assert frames[-1].endswith("\n")
    assert "50.0 of 100.0 MB" in frames[1]


def test_a_size_that_is_not_known_is_counted() -> None:
    stream = io.StringIO()
    ProgressBar(stream)("model.onnx", 3_000_000, 0)
    assert "3.0 MB" in stream.getvalue()


def test_bars_are_shown_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(choose_progress(as_json=False), ProgressBar)
    assert choose_progress(as_json=True) is show_nothing
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert choose_progress(as_json=False) is show_nothing
