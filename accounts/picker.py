"""Says how many messages an account may still take, and when the next may go.

Pure: numbers and times come in, answers go out.
"""

import math
from dataclasses import dataclass, replace
from datetime import timedelta

from accounts.model import Account


def remaining(account: Account, used_hour: int, used_day: int, outstanding: int) -> int | None:
    """Return how many messages the account's limits leave; None when it has none.

    outstanding are those that were given out and are in no count yet.
    """
    left = [
        limit - used - outstanding
        for limit, used in (
            (account.limit_per_hour, used_hour),
            (account.limit_per_day, used_day),
        )
        if limit is not None
    ]
    return max(0, min(left)) if left else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket: in any stretch of T seconds at most rate x T + burst messages go out.

    full_at is the moment (of the clock that never goes back) at which it would be full again. Everything is in whole
    microseconds, rounded to the slower side, so the bound is exact.
    """

    rate: float  # messages a second
    full_at: timedelta = timedelta(0)

    @property
    def burst(self) -> int:
        """How many may go out at once after a quiet time: one second's worth, at least one."""
        return max(1, math.floor(self.rate))

    @property
    def interval(self) -> timedelta:
        """The time in which one message's worth flows in."""
        return timedelta(microseconds=math.ceil(1_000_000 / self.rate))

    def at_rate(self, rate: float, elapsed: timedelta) -> "Bucket":
        """Return the bucket at another rate: as full as it is, so that a change lets no second burst through."""
        other = Bucket(rate=rate)
        owed = max(timedelta(0), self.full_at - elapsed) / self.interval
        spent = min(owed, self.burst)
        # Places that were given to messages that still wait count in full.
        owed_now = spent * other.burst / self.burst + (owed - spent)
        microseconds = math.ceil(owed_now * (other.interval / timedelta(microseconds=1)))
        return replace(other, full_at=elapsed + timedelta(microseconds=microseconds))

    def take(self, elapsed: timedelta) -> tuple["Bucket", timedelta]:
        """Take the next message's place, and say how long to wait before that message goes out.

        The place is taken in any case: keep the bucket that is returned. Whoever takes next waits longer.
        """
        full_at = max(self.full_at, elapsed) + self.interval
        wait = max(timedelta(0), full_at - self.burst * self.interval - elapsed)
        return replace(self, full_at=full_at), wait
