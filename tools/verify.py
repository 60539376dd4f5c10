"""Reads and verifies the labels of files: `python -m tools.verify FILE… [--anchors PEM] [--json]`.

--anchors takes the certificates that `make signing-key` prints; without them a signature is checked, but its signer is
unknown. The exit status is 0 if every file's signed label is valid, 1 if one is broken or missing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from functions.swap.verify import Verdict, judge
from layers.core.errors import ColdswapError


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status. `arguments` are the program's own by default."""
    parser = argparse.ArgumentParser(prog="python -m tools.verify", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--anchors", type=Path, help="PEM of the authorities to trust")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each file, with all details")
    options = parser.parse_args(arguments)
    whole = True
    try:
        anchors = options.anchors.read_text() if options.anchors else ""
        for path in options.files:
            verdict = judge(path, anchors)
            whole = whole and verdict.manifest.state in ("valid", "trusted")
            print(json.dumps({"file": str(path), **asdict(verdict)}) if options.json else format_verdict(path, verdict))
    except ColdswapError as error:
        print(f"{path}: {error.detail}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0 if whole else 1


def format_verdict(path: Path, verdict: Verdict) -> str:
    """The verdict as text. Control characters from the file are replaced, so that it cannot move the cursor."""
    manifest = verdict.manifest
    lines = [f"{path}: {verdict.sentence}", f"  XMP       {verdict.source_type or 'not present'}"]
    lines.append(f"  C2PA      {manifest.state}{f', signed by {manifest.signer}' if manifest.signer else ''}")
    lines += [f"  problem   {each}" for each in manifest.problems]
    for action in manifest.actions:
        words = (action.get("action"), action.get("description"), action.get("softwareAgent"))
        lines.append(f"  done      {' · '.join(str(word) for word in words if word)}")
    for part in manifest.ingredients:
        lines.append(f"  from      {part.get('title')} {part.get('informational_URI', '')}".rstrip())
    return "\n".join("".join(letter if letter.isprintable() else "?" for letter in line) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
