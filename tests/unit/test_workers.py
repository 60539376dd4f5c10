"""The sharing out of tests, by xdist's own scheduler: what a file or the local cloud shares is made once."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.support import workers

FILES = (["tests/integration/test_a.py"] * 6, ["tests/integration/test_b.py"] * 4, ["tests/unit/test_c.py"] * 5)
TESTS = [f"{file}::test_{number}" for file in FILES for number, file in enumerate(file)]


@dataclass(eq=False)
class Process:
    """One of xdist's, that notes what it is to run."""

    gateway: Any = field(default_factory=lambda: SimpleNamespace(id="gw"))
    shutting_down: bool = False
    tests: list[str] = field(default_factory=list)

    def send_runtest_some(self, indices: list[int]) -> None:
        self.tests += [TESTS[index] for index in indices]

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_process_runs_whole_files_and_one_of_them_all_of_the_local_cloud() -> None:
    option = SimpleNamespace(loadscopereorder=False)
    config = SimpleNamespace(option=option, getvalue=lambda name: ["popen", "popen"] if name == "tx" else None)
    scheduling = workers.scheduler(config, None)
    processes = [Process(), Process()]
    for process in processes:
        scheduling.add_node(process)
    for process in processes:
        scheduling.add_node_collection(process, TESTS)

    scheduling.schedule()

    assert [process.tests for process in processes] == [TESTS[:10], TESTS[10:]]


def test_the_longest_are_begun_first() -> None:
    ids = ["tests/docs/test_a.py::test", "tests/unit/video/render/test_b.py::test", "tests/integration/test_c.py::test"]

    assert sorted(ids, key=workers.place) == ids[::-1]
