"""`python -m layers.models`: the commands of layers/models/tools/cli.py."""

import sys

from layers.models.tools.cli import main

if __name__ == "__main__":
    sys.exit(main())
