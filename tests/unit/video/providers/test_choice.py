"""Who the providers are is known in one folder."""

from __future__ import annotations

import re
from pathlib import Path

import functions.video

ROOT = Path(functions.video.__file__).parent
# The variables and addresses of template.yaml, which operators know by these names.
SETTINGS = ROOT / "settings.py"


def test_no_provider_is_named_outside_the_folder_of_providers() -> None:
    files = [path for path in ROOT.rglob("*") if path.suffix in (".py", ".yaml") and path != SETTINGS]
    outside = [path for path in files if ROOT / "providers" not in path.parents]

    assert len(outside) > 20
    assert [path.name for path in outside if re.search("elevenlabs|pexels", path.read_text(), re.IGNORECASE)] == []
