"""`python -m local.standins`: the stand-ins until Ctrl-C, for a developer."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

from local.standins.servers import StandIns
from local.standins.stock_footage import SCENES


def main() -> int:
    """The exit status: 0 after Ctrl-C."""
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    with StandIns() as standins:
        for name, value in standins.environment.items():
            print(f"export {name}={value}")
        print("\nFootage (drawn when first asked for):")
        for scene in SCENES:
            print(f"  {standins.files_url}/video/{scene.name}-{scene.id}/  {scene.title}")
        print(f"\nCallbacks are received at {standins.callback_url}. Ctrl-C stops.", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
