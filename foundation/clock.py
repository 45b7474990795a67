"""Time as an edge: every read of the time in Sendonce goes through one injected Clock."""

import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def now(self) -> datetime:
        """Return the wall clock's time, aware, in UTC."""

    def elapsed(self) -> timedelta:
        """Return the time since some fixed moment; never goes back, counts a machine's sleep."""

    def wait(self, event: threading.Event, at_most: timedelta) -> bool:
        """Wait until the event is set, or at_most has passed; return whether it is set."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> timedelta:
        return timedelta(seconds=_sleep_counting_seconds())

    def wait(self, event: threading.Event, at_most: timedelta) -> bool:
        return event.wait(max(0.0, at_most.total_seconds()))


def _sleep_counting_seconds() -> float:
    # CLOCK_MONOTONIC stands still on Linux while the machine sleeps; on macOS it does not.
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()
