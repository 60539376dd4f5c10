"""What one process of `make test` runs, and in which order they begin it."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling

CLOUD = "tests/integration/"
OWN_CLOUD = tuple(f"{CLOUD}test_{name}.py" for name in ("api_keys", "deploy", "public_access", "settings", "video"))
# First what waits for a local cloud, while other processes compute; then the longest files, lest one be the last.
FIRST = ("tests/integration/test_video.py", CLOUD, "tests/unit/video/render/", "tests/unit/media/", "tests/unit/swap/")


def group(node_id: str) -> str:
    """Tests of one group run in one process, which makes once what they share: a file, or the one local cloud."""
    shares_cloud = node_id.startswith(CLOUD) and not node_id.startswith(OWN_CLOUD)
    return CLOUD if shares_cloud else node_id.partition("::")[0]


def place(node_id: str) -> int:
    """A key to sort tests by."""
    return next((place for place, folder in enumerate(FIRST) if node_id.startswith(folder)), len(FIRST))


def scheduler(config: Any, log: Any) -> Any:
    """xdist's scheduler, for our groups: its own marker for them has no effect under pytest 9.2 (ids are read-only)."""
    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = group
    return scheduling
