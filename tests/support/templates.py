"""The project's CloudFormation templates and state machines, parsed once in a process: that takes most of a second."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path

from tools import template

_parse = cache(template.load_template)


def load_template(path: Path) -> template.Template:
    """Load a file of the sources, which no test changes, with `!Ref` and its kin in their long forms."""
    return copy.deepcopy(_parse(path))
