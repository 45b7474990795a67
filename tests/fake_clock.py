"""A clock that stands still until a test moves it."""

import threading
from datetime import UTC, datetime, timedelta


class FakeClock:
    """Implements foundation.clock.Clock; wait returns at once, having moved the clock by the time waited for.

    look_takes: time goes by from one look at the wall clock to the next, as on a machine that is busy.
    """

    def __init__(self, now: datetime = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._elapsed = timedelta(days=1)
        self.look_takes = timedelta(0)

    def now(self) -> datetime:
        self.advance(seconds=self.look_takes.total_seconds())
        return self._now

    def elapsed(self) -> timedelta:
        return self._elapsed

    def wait(self, event: threading.Event, at_most: timedelta) -> bool:
        if not event.is_set():
            self.advance(seconds=at_most.total_seconds())
        return event.is_set()

    def advance(self, **duration: float) -> None:
        """Let time go by, on both clocks."""
        self._now += timedelta(**duration)
        self._elapsed += timedelta(**duration)

    def set_wall_clock(self, now: datetime) -> None:
        """Move the wall clock alone, as an operator or a time server does."""
        self._now = now
