"""`python -m local.standins`: runs the stand-ins until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

from local.standins.servers import StandIns
from local.standins.stock_footage import SCENES


def main() -> int:
    """Run the stand-ins; the exit status is 0 after Ctrl-C."""
    stop_event = threading.Event()

    def request_stop(number: int, frame: FrameType | None) -> None:
        stop_event.set()

    signal.signal(signal.SIGINT, request_stop)
    signal.signal(signal.SIGTERM, request_stop)
    with StandIns() as standins:
        for name, value in standins.environment.items():
            print(f"export {name}={value}")
        print("\nFootage (drawn at the first request):")
        for scene in SCENES:
            print(f"  {standins.files_url}/video/{scene.name}-{scene.id}/  {scene.title}")
        print(f"\nCallbacks are received at {standins.callback_url}. Press Ctrl-C to stop.", flush=True)
        stop_event.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
