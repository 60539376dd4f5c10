"""The sharing out of tests, by xdist's own scheduler: what a file or the local cloud shares is made once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.support import workers

ROOT = Path(__file__).resolve().parents[2]
FILES = {"tests/integration/test_a.py": 6, "tests/integration/test_b.py": 4, "tests/unit/test_c.py": 5}
TESTS = [f"{file}::test_{number}" for file, count in FILES.items() for number in range(count)]


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


def test_a_file_with_a_local_cloud_of_its_own_waits_for_nobody() -> None:
    assert workers.group("tests/integration/test_video.py::test[a::b]") == "tests/integration/test_video.py"
    assert all((ROOT / path).exists() for path in workers.OWN_CLOUD)


def test_what_takes_longest_is_begun_first() -> None:
    names = ("docs/test_a", "unit/video/render/test_b", "integration/test_c", "integration/test_video")
    ids = [f"tests/{name}.py::test" for name in names]

    assert sorted(ids, key=workers.place) == ids[::-1]
