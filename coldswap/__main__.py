"""`python -m coldswap`: the command."""

from __future__ import annotations

import sys

from coldswap.command import main

if __name__ == "__main__":
    sys.exit(main())
