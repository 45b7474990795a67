"""Shorter than a day: slots are instants at a fixed distance in UTC.

So no hour is lost or doubled when clocks change; a filter by hour or weekday looks at the local fields of each instant.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from scheduler.model import Slot
from scheduler.rules import HORIZON, Freq, Rule
from scheduler.steps import OutOfSteps, Steps

_END = HORIZON.replace(tzinfo=UTC)
# Candidates in a row of which none matches, after which a rule counts as one that never occurs.
_EMPTY_CANDIDATES = 40_000
_NOTHING = timedelta()


@dataclass(frozen=True, slots=True, kw_only=True)
class Steady:
    """A slot every step, from the anchor on: hourly, custom, and rules without BY-parts."""

    anchor: datetime
    step: timedelta
    zone: ZoneInfo

    def slots(self, after: datetime, *, steps: Steps) -> Iterator[Slot]:
        """Yield every slot after the instant, ascending."""
        at = self.anchor + max(0, (after - self.anchor) // self.step + 1) * self.step
        while at < _END:
            steps.found()
            yield _slot(at, self.zone)
            at += self.step

    def count(self, after: datetime, until: datetime) -> int:
        """Return how many slots are after the one instant and not after the other."""
        return max(0, self._up_to(until) - self._up_to(after))

    def _up_to(self, instant: datetime) -> int:
        return max(0, (min(instant, _END) - self.anchor) // self.step + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """A rule of HOURLY or MINUTELY with BY-parts: candidates go by UTC, and those stay whose local fields match."""

    anchor: datetime
    rule: Rule
    zone: ZoneInfo

    def slots(self, after: datetime, *, steps: Steps) -> Iterator[Slot]:
        """Yield every slot after the instant, ascending."""
        first, step = self._candidates()
        at = first + max(0, -((first - max(after, self.anchor)) // step)) * step
        while at < _END:
            try:
                steps.look(at_most=_EMPTY_CANDIDATES)
            except OutOfSteps:
                return
            wait = self._wait(at, first, step)
            if wait == _NOTHING and self.anchor <= at:
                steps.found()
                yield _slot(at, self.zone)
            at += max(1, -(-wait // step)) * step

    def _candidates(self) -> tuple[datetime, timedelta]:
        """Return the first candidate, and the distance of two."""
        first = self.anchor
        if self.rule.bysecond:
            first = first.replace(second=self.rule.bysecond[0])
        if self._has_minutes_of_hours:
            # From the local hour on, which begins at another minute of UTC where the offset has half hours.
            past_the_hour = first.astimezone(self.zone).minute
            return first - timedelta(minutes=past_the_hour), timedelta(minutes=1)
        unit = timedelta(hours=1) if self.rule.freq is Freq.HOURLY else timedelta(minutes=1)
        return first, self.rule.interval * unit

    @property
    def _has_minutes_of_hours(self) -> bool:
        return self.rule.freq is Freq.HOURLY and bool(self.rule.byminute)

    def _wait(self, at: datetime, first: datetime, step: timedelta) -> timedelta:
        """Return for how long surely nothing matches from a candidate on; nothing if it matches itself."""
        if self._has_minutes_of_hours:
            period = timedelta(hours=self.rule.interval)
            into_the_period = (at - first) % period
            if into_the_period >= timedelta(hours=1):
                return period - into_the_period
        local = at.astimezone(self.zone)
        wait = timedelta(minutes=self._minutes_to_go(local))
        # The local fields run on evenly only while the clocks are not changed; no zone does that twice in one day.
        if wait and (at + wait).astimezone(self.zone).utcoffset() != local.utcoffset():
            return step
        return wait

    def _minutes_to_go(self, local: datetime) -> int:
        rule = self.rule
        to_midnight = 24 * 60 - local.hour * 60 - local.minute
        if not self._has_day(local.date()):
            return to_midnight
        if rule.byhour and local.hour not in rule.byhour:
            later_hours = [hour for hour in rule.byhour if hour > local.hour]
            return (later_hours[0] - local.hour) * 60 - local.minute if later_hours else to_midnight
        if rule.byminute and local.minute not in rule.byminute:
            later_minutes = [minute for minute in rule.byminute if minute > local.minute]
            return (later_minutes[0] if later_minutes else 60) - local.minute
        return 0

    def _has_day(self, day: date) -> bool:
        rule = self.rule
        if rule.bymonth and day.month not in rule.bymonth:
            return False
        if rule.byday and (day.weekday(), None) not in rule.byday:
            return False
        if rule.bymonthday:
            beyond = _first_of_next_month(day)
            if day.day not in rule.bymonthday and (day - beyond).days not in rule.bymonthday:
                return False
        if rule.byyearday:
            of_year = (day - date(day.year, 1, 1)).days + 1
            from_end = (day - date(day.year + 1, 1, 1)).days
            return of_year in rule.byyearday or from_end in rule.byyearday
        return True


def _first_of_next_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1)


def _slot(at: datetime, zone: ZoneInfo) -> Slot:
    return Slot(key=f"utc:{at:%Y-%m-%dT%H:%M:%SZ}", at=at, local=at.astimezone(zone), note=None)
