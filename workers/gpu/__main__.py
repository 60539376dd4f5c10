"""Starts the worker: `python -m workers.gpu`, or with `serve`, as SageMaker starts a container.

Environment: MODELS_BUCKET, whose pack is used; WORKER_TOKEN, the bearer that callers must show; HOST and PORT to listen
on; AWS's own variables.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

import waitress

from layers.core.errors import ColdswapError, ModelsMissing, StorageFailed
from layers.core.storage import client
from layers.core.telemetry import logger
from layers.models.runtime.model_store import ModelStore
from workers.gpu.app import MOST_BODY_BYTES, App, Setup
from workers.gpu.batches import BatchQueue
from workers.gpu.device_network import choose_device
from workers.gpu.predictions import SLOTS, Predictions
from workers.gpu.swapper import PackSwapper
from workers.gpu.webhooks import Webhooks

PORT, SAGEMAKER_PORT = 5000, 8080
LOOPBACK = ("127.0.0.1", "::1", "localhost")
RELOAD_SECONDS = 2.0


def main(arguments: list[str]) -> int:
    """Serve until a signal ends it."""
    serves_sagemaker = "serve" in arguments
    host = os.environ.get("HOST", "0.0.0.0")
    token = os.environ.get("WORKER_TOKEN", "")
    if not token and host not in LOOPBACK and not serves_sagemaker:  # SageMaker asks for IAM before it
        print("WORKER_TOKEN is not set, and without it anyone could use this worker.", file=sys.stderr)
        return 2
    setup = Setup(device=choose_device())
    store = ModelStore(os.environ["MODELS_BUCKET"], client("s3"))
    swapper = PackSwapper(store, setup.device, int(os.environ.get("THREADS", "0")))
    queue = BatchQueue(swapper.require, swapper.run)
    predictions = Predictions(queue, Webhooks().tell, time.monotonic, setup.device)
    threading.Thread(target=load, args=(swapper, setup), name="setup", daemon=True).start()
    port = int(os.environ.get("PORT", SAGEMAKER_PORT if serves_sagemaker else PORT))
    server = waitress.create_server(
        App(predictions, setup, token),
        host=host,
        port=port,
        threads=SLOTS + 4,  # one for each that waits, and some for who asks how it is
        max_request_body_size=MOST_BODY_BYTES,
        channel_timeout=120,
        ident=None,
    )
    signal.signal(signal.SIGTERM, _stop)
    print(json.dumps({"listening": server.effective_port, "device": setup.device}), flush=True)
    with suppress(KeyboardInterrupt, SystemExit):
        server.run()
    queue.close()
    return 0


class Loadable(Protocol):
    """What is loaded before a worker is ready."""

    def load(self) -> None:
        """Load it, or raise an error that says why not."""
        ...


def load(swapper: Loadable, setup: Setup, wait: Callable[[float], object] = time.sleep) -> None:
    """Load the models, and say in `setup` how it went; where there are none yet, try again until there are."""
    while not setup.ready:
        try:
            swapper.load()
            setup.ready, setup.failure = True, ""
        except (ModelsMissing, StorageFailed) as error:
            setup.failure = f"{error.code}: {error.detail}"
            wait(RELOAD_SECONDS)
        except Exception as error:  # the health check must say so, whatever it is
            code = error.code if isinstance(error, ColdswapError) else "internal_error"
            detail = error.detail if isinstance(error, ColdswapError) else type(error).__name__
            logger().exception("setup failed")
            setup.failure = f"{code}: {detail}"
            return


def _stop(*_: Any) -> None:
    raise SystemExit


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
