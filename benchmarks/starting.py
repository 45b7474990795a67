"""How long a server takes until it is ready, and what it takes while nobody wants anything."""

import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from benchmarks.figure import Figure, memory
from benchmarks.process import memory_mib
from benchmarks.served import serving
from benchmarks.sizes import Sizes
from foundation.clock import SystemClock
from tests.processes.servers import APP, Server

_REQUESTS = 50
_GIVEN_UP_AFTER = 60


def starting(sizes: Sizes) -> Iterator[Figure]:
    """Start `app.py` on a new data directory, and once more on the one that is there then."""
    with tempfile.TemporaryDirectory(prefix="sendonce-benchmark-") as folder:
        for name in ("start until ready, the first", "start until ready"):
            took = min(
                _seconds_until_ready(Path(folder)) for _ in range(1 if "first" in name else 3)
            )
            yield Figure(name=name, value=took, unit="s")


def idling(sizes: Sizes) -> Iterator[Figure]:
    """Look at the memory of a server that has answered some requests and waits for others."""
    with (
        tempfile.TemporaryDirectory(prefix="sendonce-benchmark-") as folder,
        serving(Path(folder)) as server,
    ):
        for _ in range(_REQUESTS):
            server.get("/api/status")
        SystemClock().wait(threading.Event(), timedelta(seconds=2))
        yield memory("idle", memory_mib(server.process.pid))


def _seconds_until_ready(folder: Path) -> float:
    begun = time.perf_counter()
    server = Server(APP, folder)
    try:
        while not server.is_ready():
            SystemClock().wait(threading.Event(), timedelta(seconds=0.01))
            assert time.perf_counter() - begun < _GIVEN_UP_AFTER, server.text
        return time.perf_counter() - begun
    finally:
        server.kill()
