"""Says how long messages will take through accounts with these limits, at this pace.

Pure: numbers come in, a number goes out. What people are told (a run's remaining time, a schedule's preview) is made
here, from the numbers that sending itself keeps to.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from accounts.model import DAY, HOUR, MINUTE, Allowance, Minutes

_EXACT_SECONDS = 0.01
_EXACT_PART = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A limit per hour or day.

    seconds: how long a message counts. leaves: when, in seconds from now, what went before is counted no more,
    ascending; left: how many of it have left by then, in all.
    """

    limit: int
    seconds: float
    used: int = 0
    leaves: tuple[float, ...] = ()
    left: tuple[int, ...] = ()

    def room_after(self, seconds: float) -> int:
        """Return how many messages it would let through at that moment, if none went until then."""
        gone = bisect_right(self.leaves, seconds)
        still = self.used - (self.left[gone - 1] if gone else 0)
        return max(0, self.limit - still)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What one account can send from now on.

    per_second: None where there is nothing to go by. windows: its limits, the shorter first. rests_seconds: until it
    may be used again.
    """

    per_second: float | None
    windows: tuple[Window, ...] = ()
    rests_seconds: float = 0.0


def capacity_of(
    allowance: Allowance, minutes: Minutes, *, per_second: float | None, now: datetime
) -> Capacity:
    """Return what an account can send from now on at this pace; minutes are those that it has used."""
    limits = ((allowance.limit_per_hour, HOUR), (allowance.limit_per_day, DAY))
    rest = allowance.rest_until - now if allowance.rest_until else timedelta(0)
    return Capacity(
        per_second=per_second,
        windows=tuple(_window(limit, w, minutes, now) for limit, w in limits if limit is not None),
        rests_seconds=max(0.0, rest.total_seconds()),
    )


def room_at(minutes: Minutes, *, limit: int, within: timedelta, now: datetime) -> datetime | None:
    """Return when a limit that is reached lets the next message through; None where it is not reached.

    within: the HOUR or DAY that it is for.
    """
    messages = 0
    for minute, n in reversed(minutes):
        leaves = minute + within + MINUTE
        messages += n
        # Once this minute has left, what is newer stays below the limit.
        if leaves > now and messages >= limit:
            return leaves
    return None


def seconds_for(messages: int, capacities: Sequence[Capacity]) -> float | None:
    """Return how long so many messages take through these accounts together; None where that can't be told.

    It can't where there is no account, or one of which nothing is known: no limit, no rate and no pace it has shown.
    Each sends as much as it can, as sending itself does.
    """
    if not capacities or any(c.per_second is None and not c.windows for c in capacities):
        return None
    if messages <= 0:
        return 0.0
    latest = 1.0
    while _sent_after(latest, capacities) < messages:
        latest *= 2
    earliest = 0.0
    while latest - earliest > max(_EXACT_SECONDS, latest * _EXACT_PART):
        middle = (earliest + latest) / 2
        if _sent_after(middle, capacities) < messages:
            earliest = middle
        else:
            latest = middle
    # No limit is in the way, and how fast it goes nobody knows.
    is_unknown = earliest == 0.0 and any(c.per_second is None for c in capacities)
    return None if is_unknown else round(latest, 1)


def _sent_after(seconds: float, capacities: Sequence[Capacity]) -> float:
    return sum(_sendable(c, seconds, c.windows) for c in capacities)


def _sendable(capacity: Capacity, seconds: float, windows: tuple[Window, ...]) -> float:
    """Return how many messages can go within so many seconds from now under these of its limits.

    At any moment no more may have gone than one whole window before, and the limit.
    """
    if not windows:
        return _paced(capacity, seconds)
    *shorter, window = windows
    whole, rest = divmod(seconds, window.seconds)
    within = min(window.room_after(rest), _sendable(capacity, rest, tuple(shorter)))
    return min(_sendable(capacity, seconds, tuple(shorter)), whole * window.limit + within)


def _paced(capacity: Capacity, seconds: float) -> float:
    awake = seconds - capacity.rests_seconds
    if awake < 0:
        return 0.0
    return math.inf if capacity.per_second is None else awake * capacity.per_second


def _window(limit: int, within: timedelta, minutes: Minutes, now: datetime) -> Window:
    counts = within + MINUTE  # a minute is counted until it lies wholly outside
    used = [(minute + counts - now, n) for minute, n in minutes if minute + counts > now]
    return Window(
        limit=limit,
        seconds=counts.total_seconds(),
        used=sum(n for _, n in used),
        leaves=tuple(leaves.total_seconds() for leaves, _ in used),
        left=tuple(accumulate(n for _, n in used)),
    )
