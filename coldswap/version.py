"""The version of what pip installs."""

from __future__ import annotations

VERSION = "0.2.0"
