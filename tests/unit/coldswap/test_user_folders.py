"""Where a user's files are, on each system."""

from __future__ import annotations

from pathlib import Path

import pytest

from coldswap.user_folders import Use, find_folder

HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("use", "env", "platform", "expected"),
    [
        ("cache", {}, "linux", "/home/ada/.cache/coldswap"),
        ("config", {}, "linux", "/home/ada/.config/coldswap"),
        ("cache", {"XDG_CACHE_HOME": "/big/disk"}, "linux", "/big/disk/coldswap"),
        ("config", {"XDG_CONFIG_HOME": "relative"}, "linux", "/home/ada/.config/coldswap"),
        ("config", {"XDG_CONFIG_HOME": ""}, "linux", "/home/ada/.config/coldswap"),
        ("cache", {}, "darwin", "/home/ada/Library/Caches/coldswap"),
        ("config", {"XDG_CONFIG_HOME": "/x"}, "darwin", "/x/coldswap"),
        ("config", {}, "darwin", "/home/ada/Library/Application Support/coldswap"),
        ("cache", {"LOCALAPPDATA": "/local"}, "win32", "/local/coldswap"),
        ("config", {}, "win32", "/home/ada/AppData/Roaming/coldswap"),
    ],
)
def test_folders_are_where_the_system_has_them(use: Use, env: dict[str, str], platform: str, expected: str) -> None:
    assert find_folder(use, env, platform, HOME) == Path(expected)
