"""Time in a simulation: it stands still until the world moves it, and a machine's clock can be set wrong."""

import threading
from datetime import UTC, datetime, timedelta

NOTHING = timedelta(0)


class MachineClock:
    """Implements foundation.clock.Clock. true is the time since the world began, whatever any clock says."""

    def __init__(self) -> None:
        self.true = NOTHING
        self.begins_at = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
        self._booted_at = -timedelta(days=1)
        self._wrong_by = NOTHING

    def now(self) -> datetime:
        return self.begins_at + self.true + self._wrong_by

    def elapsed(self) -> timedelta:
        return self.true - self._booted_at

    def wait(self, event: threading.Event, at_most: timedelta) -> bool:
        raise AssertionError("nothing waits in a simulation: the world takes the steps")

    def begin(self, at: datetime) -> None:
        """Let the world begin at this time."""
        self.begins_at = at

    def move_to(self, true: timedelta) -> None:
        """Let time go by."""
        assert true >= self.true
        self.true = true

    def step(self, by: timedelta) -> None:
        """Set the wall clock wrong, or right again."""
        self._wrong_by += by

    def boot(self) -> None:
        """Begin to count anew, as a machine does that was switched on."""
        self._booted_at = self.true - timedelta(seconds=10)
