"""Says which account takes the next message, how many it may still take, and when.

Pure: numbers and times come in, answers go out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from accounts.model import Account, State

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """An account as the picker sees it. remaining: what its limits leave, None for no limit."""

    account_id: int
    free_connections: int
    remaining: int | None
    rest_until: datetime | None
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitUntil:
    """No account can be used before this moment; then it is worth looking again."""

    at: datetime


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


def pick(candidates: Sequence[Usable], now: datetime) -> int | WaitUntil | None:
    """Return the id of the account with the greatest free budget.

    WaitUntil when time alone makes one usable: its rest ends, or its limits look at another minute. None when
    something else has to happen first: a connection gets free, a person resumes a paused account.
    """
    ready = [c for c in candidates if c.free_connections > 0 and _ready_at(c, now) == now]
    if ready:
        return max(ready, key=_budget).account_id
    waits = [at for c in candidates if (at := _ready_at(c, now)) is not None and at > now]
    return WaitUntil(at=min(waits)) if waits else None


def _ready_at(candidate: Usable, now: datetime) -> datetime | None:
    if candidate.state is State.PAUSED:
        return None
    rested = max(now, candidate.rest_until or now)
    if candidate.remaining == 0:
        # Usage is counted by the minute, so it can't sink before the next one begins.
        return max(rested, now.replace(second=0, microsecond=0) + _MINUTE)
    return rested


def _budget(candidate: Usable) -> tuple[float, int, int]:
    left = math.inf if candidate.remaining is None else candidate.remaining
    return left, candidate.free_connections, -candidate.account_id


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

    def take(self, elapsed: timedelta) -> tuple["Bucket", timedelta]:
        """Take the next message's place, and say how long to wait before that message goes out.

        The place is taken in any case: keep the bucket that is returned. Whoever takes next waits longer.
        """
        full_at = max(self.full_at, elapsed) + self.interval
        wait = max(timedelta(0), full_at - self.burst * self.interval - elapsed)
        return replace(self, full_at=full_at), wait
