"""Where a user's files belong: by the XDG Base Directory Specification, or where macOS and Windows have them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

NAME = "coldswap"
Use = Literal["cache", "config"]
# The variable and, within the home, the folder that each system has for a use.
_VARIABLES = {"cache": "XDG_CACHE_HOME", "config": "XDG_CONFIG_HOME"}
_WINDOWS_VARIABLES = {"cache": "LOCALAPPDATA", "config": "APPDATA"}
_HOMES = {"cache": ".cache", "config": ".config"}
_MAC_HOMES = {"cache": "Library/Caches", "config": "Library/Application Support"}
_WINDOWS_HOMES = {"cache": "AppData/Local", "config": "AppData/Roaming"}


def cache_folder() -> Path:
    """The folder of what can be made or fetched again: models."""
    return find_folder("cache", os.environ, sys.platform, Path.home())


def config_folder() -> Path:
    """The folder of what is the user's own: the signing key, and that the terms have been shown."""
    return find_folder("config", os.environ, sys.platform, Path.home())


def find_folder(use: Use, env: Mapping[str, str], platform: str, home: Path) -> Path:
    """The folder for a use. `platform` is as in `sys.platform`; a relative path in a variable counts as none."""
    variables, default = [_VARIABLES[use]], _HOMES[use]
    if platform == "win32":
        variables, default = [_VARIABLES[use], _WINDOWS_VARIABLES[use]], _WINDOWS_HOMES[use]
    elif platform == "darwin":
        default = _MAC_HOMES[use]
    bases = [Path(env.get(name, "")) for name in variables]
    return next((base for base in bases if base.is_absolute()), home / default) / NAME
