"""What holds for every test: nothing is logged that must not be in any log, and no clock decides."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from layers.core.telemetry import logger
from local.standins import elevenlabs, pexels
from tests.support import workers
from tests.support.log_leaks import find_leaks

PRIVATE = (elevenlabs.API_KEY, pexels.API_KEY)

# No example has a time limit of its own: a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


class Watch(logging.Handler):
    """Reads every line that this process logs, in the form in which Lambda would keep it."""

    def __init__(self) -> None:
        super().__init__()
        self._leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging."""
        ours = getattr(logger(), "registered_formatter", None) if record.name == logger().name else None
        self._leaks += find_leaks((ours or logging.Formatter()).format(record), PRIVATE)

    def take(self) -> list[str]:
        """What was found since the last time."""
        new_leaks, self._leaks = self._leaks, []
        return new_leaks


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Share the tests out to several processes; called by xdist."""
    return workers.scheduler(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests so that several processes are idle least; one process keeps the order of the files."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: workers.place(item.nodeid))


@pytest.fixture(scope="session")
def watch() -> Iterator[Watch]:
    """On the root, which has what our own logger says, and everybody else's warnings."""
    logger()  # first: it lets the root's handlers of its beginning, which are Lambda's, have nothing
    handler = Watch()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


@pytest.fixture(autouse=True)
def nothing_private_is_logged(watch: Watch) -> Iterator[None]:
    """Fails the test in which it was."""
    watch.take()
    yield
    assert watch.take() == []
