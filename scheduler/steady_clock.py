"""A clock that is not led astray: it measures the wall clock with the one that only counts, and says when it jumped.

A step back is taken as it is: nothing runs twice by it, since keys stop what was claimed. A step forward of more than a
minute is not believed until the clock is back, or it has held for ten minutes and there is reason to believe it, or a
person says that it is right: a wrong clock would send tomorrow's campaign now. Until then now() goes on from the time
before the step, so that no doubted time is written anywhere.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from foundation.clock import Clock

LARGEST_STEP = timedelta(minutes=1)
HELD_FOR = timedelta(minutes=10)
LONGEST_ABSENCE = timedelta(days=30)
_JITTER = timedelta(seconds=2)
"""What is no step: the two clocks are read one after the other, and a time server corrects in small portions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A moment that was believed: the wall clock's time, and the counting clock's where it still counts from there."""

    now: datetime
    elapsed: timedelta | None


class Found(Enum):
    """What a look at the clock has found. WENT_BACK: what was written down of later times has to go back with it."""

    NOTHING_NEW = auto()
    JUMPED = auto()
    BELIEVED_AGAIN = auto()
    WENT_BACK = auto()


@dataclass(frozen=True, slots=True)
class _Base:
    now: datetime
    elapsed: timedelta

    def expected(self, elapsed: timedelta) -> datetime:
        return self.now + (elapsed - self.elapsed)


@dataclass(frozen=True, slots=True)
class _Doubt:
    step: timedelta
    since: timedelta  # of the counting clock
    accepts: int | None  # None: since the start, before anybody has looked


class SteadyClock:
    """Implements foundation.clock.Clock over another one. Only look and accept change what it believes.

    last: the last moment that the ledger was told; a clock before it, or a month after it, is doubted at once.
    """

    def __init__(self, inner: Clock, last: Beat | None = None) -> None:
        self.inner = inner
        now, elapsed = inner.now(), inner.elapsed()
        self._base = _Base(now, elapsed)
        self._doubt: _Doubt | None = None
        if last is None:
            return
        if last.elapsed is not None and last.elapsed <= elapsed:
            self._base = _Base(last.now, last.elapsed)
        elif now < last.now - LARGEST_STEP or now > last.now + LONGEST_ABSENCE:
            self._base = _Base(last.now, elapsed)
            self._doubt = _Doubt(now - last.now, elapsed, accepts=None)

    def now(self) -> datetime:
        """Return the time that is believed, in UTC."""
        now, expected = self._both()
        return expected if self._doubt or now - expected > LARGEST_STEP else now

    def unchecked(self) -> datetime:
        """Return what the wall clock says, believed or not."""
        return self.inner.now()

    def elapsed(self) -> timedelta:
        return self.inner.elapsed()

    def wait(self, event: threading.Event, at_most: timedelta) -> bool:
        return self.inner.wait(event, at_most)

    @property
    def step(self) -> timedelta | None:
        """How far the clock has jumped from the time that is believed; None while it is believed itself."""
        now, expected = self._both()
        return now - expected if self._doubt or now - expected > LARGEST_STEP else None

    def look(
        self,
        *,
        accepts: int,
        window: timedelta,
        is_synchronised: Callable[[], bool],
        leaders: datetime | None = None,
    ) -> Found:
        """Look whether the clock has jumped, or can be believed again.

        accepts: how often a person has said that it is right. A step shorter than the window is believed after ten
        minutes, a longer one only where the system calls its clock synchronised. leaders is the last time that the
        leader has believed, for a process that stands by: it believes what the leader does.
        """
        now, elapsed = self.inner.now(), self.inner.elapsed()
        step = now - self._base.expected(elapsed)
        doubt = self._doubt
        if doubt is None:
            if step <= LARGEST_STEP:
                return self._believe(now, elapsed, step, Found.NOTHING_NEW)
            self._doubt = _Doubt(step, elapsed, accepts)
            return Found.JUMPED
        if doubt.accepts is None:  # what was accepted before the start does not count
            self._doubt = _Doubt(doubt.step, doubt.since, accepts)
            return Found.JUMPED
        is_leaders = leaders is not None and abs(now - leaders) <= LARGEST_STEP
        if abs(step) <= LARGEST_STEP or accepts > doubt.accepts or is_leaders:
            return self._believe(now, elapsed, step, Found.BELIEVED_AGAIN)
        if abs(step - doubt.step) > _JITTER:
            self._doubt = _Doubt(step, elapsed, accepts)  # it has jumped again
        elif elapsed - doubt.since >= HELD_FOR and (abs(step) < window or is_synchronised()):
            return self._believe(now, elapsed, step, Found.BELIEVED_AGAIN)
        return Found.NOTHING_NEW

    def _believe(self, now: datetime, elapsed: timedelta, step: timedelta, found: Found) -> Found:
        self._base, self._doubt = _Base(now, elapsed), None
        return Found.WENT_BACK if step < -_JITTER else found

    def _both(self) -> tuple[datetime, datetime]:
        """Return the wall clock's time, and what it should be."""
        return self.inner.now(), self._base.expected(self.inner.elapsed())
