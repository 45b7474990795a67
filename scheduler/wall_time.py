"""Daily and longer: nominal times are computed as naive wall-clock time, then given their zone.

A time inside a gap (clocks go forward) moves forward by the gap, a time that happens twice is its first occurrence:
what zoneinfo does with fold=0. python-dateutil expands the rules; it is started just before the moment asked for,
never at an old anchor.
"""

import calendar
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

from dateutil import rrule as dateutil_rrule

from scheduler.model import ScheduleType, Slot
from scheduler.rules import HORIZON, Freq, Rule
from scheduler.steps import OutOfSteps, Steps

# Pacific/Apia left out a whole day in 2011; no zone ever moved further.
_LONGEST_GAP = timedelta(hours=48)

_FREQ: dict[Freq, Literal[0, 1, 2, 3]] = {
    Freq.YEARLY: dateutil_rrule.YEARLY,
    Freq.MONTHLY: dateutil_rrule.MONTHLY,
    Freq.WEEKLY: dateutil_rrule.WEEKLY,
    Freq.DAILY: dateutil_rrule.DAILY,
}
# Periods in a row without a slot after which a rule counts as one that never occurs: at least a hundred years.
_EMPTY_PERIODS = {
    Freq.YEARLY: 400,
    Freq.MONTHLY: 4_800,
    Freq.WEEKLY: 20_000,
    Freq.DAILY: 40_000,
}


def resolve(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant (UTC) that a nominal wall-clock time means."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class WallTime:
    """Slots at wall-clock times: once, daily, weekly and monthly from the anchor, or a rule of DAILY and longer."""

    anchor: datetime
    kind: ScheduleType | Rule
    zone: ZoneInfo

    def slots(self, after: datetime, *, steps: Steps) -> Iterator[Slot]:
        """Yield every slot after the instant, ascending, each instant once; some before it may come first."""
        start = max(self.anchor, _safe_start(after, self.zone))
        return _in_order(
            _place(wall, clamped, self.zone) for wall, clamped in self._nominal_times(start, steps)
        )

    def _nominal_times(
        self, start: datetime, steps: Steps
    ) -> Iterator[tuple[datetime, str | None]]:
        """Yield the nominal times from start on, with a note where one is not on the day that was asked for."""
        match self.kind:
            case Rule():
                for wall in _expand(self.kind, self.anchor, start, steps):
                    yield wall, None
            case ScheduleType.MONTHLY:
                yield from _months(self.anchor, start, steps)
            case ScheduleType.WEEKLY:
                for wall in _every(timedelta(days=7), self.anchor, start, steps):
                    yield wall, None
            case ScheduleType.DAILY:
                for wall in _every(timedelta(days=1), self.anchor, start, steps):
                    yield wall, None
            case _:
                yield self.anchor, None


def _safe_start(after: datetime, zone: ZoneInfo) -> datetime:
    """Return a wall-clock time such that every nominal time before it is a slot at or before the instant.

    That is the instant's own wall-clock time, unless there was a gap just before: a slot that was moved out of it may
    still be to come.
    """
    here = after.astimezone(zone)
    earlier = (after - _LONGEST_GAP).astimezone(zone)
    if (earlier.utcoffset() or timedelta()) < (here.utcoffset() or timedelta()):
        here = earlier
    return here.replace(tzinfo=None, microsecond=0)


def _in_order(slots: Iterator[tuple[Slot, bool]]) -> Iterator[Slot]:
    """Put slots that were moved out of a gap where their instant belongs, and drop all but the first of one instant."""
    moved_ones: deque[Slot] = deque()
    last: datetime | None = None
    for slot, moved in slots:
        if moved:
            moved_ones.append(slot)
            continue
        ready = []
        while moved_ones and moved_ones[0].at <= slot.at:
            ready.append(moved_ones.popleft())
        for each in (*ready, slot):
            if each.at != last:
                yield each
            last = each.at
    for each in moved_ones:
        if each.at != last:
            yield each
        last = each.at


def _place(wall: datetime, clamped: str | None, zone: ZoneInfo) -> tuple[Slot, bool]:
    """Make the slot of a nominal time, and say whether it was moved out of a gap."""
    local = wall.replace(tzinfo=zone, fold=0)
    before, behind = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert before is not None
    assert behind is not None
    at = local.astimezone(UTC)
    gap = before < behind
    if gap:
        local = at.astimezone(zone)
    notes = [clamped] if clamped else []
    if gap:
        to = _clock_time(local) + (f" on {local:%Y-%m-%d}" if local.date() != wall.date() else "")
        notes.append(
            f"{_clock_time(wall)} does not exist on {wall:%Y-%m-%d} in {zone.key}"
            f" (clocks go forward): moved to {to}"
        )
    elif before > behind:
        notes.append(
            f"{_clock_time(wall)} happens twice on {wall:%Y-%m-%d} in {zone.key}"
            " (clocks go back): the first is meant"
        )
    note = "; ".join(notes) or None
    return Slot(key=f"wall:{wall.isoformat()}", at=at, local=local, note=note), gap


def _clock_time(moment: datetime) -> str:
    return f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"


def _every(step: timedelta, anchor: datetime, start: datetime, steps: Steps) -> Iterator[datetime]:
    wall = anchor + (start - anchor) // step * step
    while wall < HORIZON:
        steps.found()
        yield wall
        wall += step


def _months(
    anchor: datetime, start: datetime, steps: Steps
) -> Iterator[tuple[datetime, str | None]]:
    month = start.year * 12 + start.month - 1
    while month < HORIZON.year * 12:
        steps.found()
        year, month_of_year = month // 12, month % 12 + 1
        longest = calendar.monthrange(year, month_of_year)[1]
        day = min(anchor.day, longest)
        note = None
        if day < anchor.day:
            note = (
                f"{calendar.month_name[month_of_year]} has no {_ordinal(anchor.day)}:"
                f" moved to the {_ordinal(day)}"
            )
        yield anchor.replace(year=year, month=month_of_year, day=day), note
        month += 1


def _ordinal(day: int) -> str:
    return "31st" if day == 31 else f"{day}th"


def _expand(rule: Rule, anchor: datetime, start: datetime, steps: Steps) -> Iterator[datetime]:
    """Yield a rule's times from start on, which is not before the anchor.

    What the anchor implies (weekday, day, month, time) is made explicit, so that dtstart is free to move.
    """
    bymonth, bymonthday, byweekday = rule.bymonth, rule.bymonthday, _weekdays(rule)
    if not (rule.bymonthday or rule.byyearday or rule.byweekno or rule.byday):
        match rule.freq:
            case Freq.YEARLY:
                bymonth, bymonthday = bymonth or (anchor.month,), (anchor.day,)
            case Freq.MONTHLY:
                bymonthday = (anchor.day,)
            case Freq.WEEKLY:
                byweekday = [dateutil_rrule.weekday(anchor.weekday())]
    times = dateutil_rrule.rrule(
        _FREQ[rule.freq],
        dtstart=_dtstart(rule, anchor, start),
        interval=_CountedInterval(rule.interval, steps=steps, at_most=_EMPTY_PERIODS[rule.freq]),
        wkst=rule.wkst,
        bymonth=bymonth or None,
        bymonthday=bymonthday or None,
        byyearday=rule.byyearday or None,
        byweekno=rule.byweekno or None,
        byweekday=byweekday or None,
        byhour=rule.byhour or anchor.hour,
        byminute=rule.byminute or anchor.minute,
        bysecond=rule.bysecond or anchor.second,
        bysetpos=rule.bysetpos or None,
    )
    try:
        for wall in times:
            if wall >= HORIZON:
                return
            steps.found()
            if wall >= start:
                yield wall
    except OutOfSteps:
        return


def _weekdays(rule: Rule) -> list[dateutil_rrule.weekday]:
    """Return BYDAY for dateutil, which takes MO,1FR for Mondays that are also the first Friday, so for none."""
    if all(n is None for _, n in rule.byday):
        return [dateutil_rrule.weekday(day) for day, _ in rule.byday]
    most = 53 if rule.freq is Freq.YEARLY and not rule.bymonth else 5
    return [
        dateutil_rrule.weekday(day, each)
        for day, n in rule.byday
        for each in ((n,) if n is not None else range(1, most + 1))
    ]


def _dtstart(rule: Rule, anchor: datetime, start: datetime) -> datetime:
    """Return the anchor moved forward by whole intervals, to the begin of the last period that is not after start."""
    midnight = anchor.replace(hour=0, minute=0, second=0)
    match rule.freq:
        case Freq.YEARLY:
            intervals = (start.year - anchor.year) // rule.interval
            begin = midnight.replace(year=anchor.year + intervals * rule.interval, month=1, day=1)
        case Freq.MONTHLY:
            first = anchor.year * 12 + anchor.month - 1
            intervals = (start.year * 12 + start.month - 1 - first) // rule.interval
            year, month = divmod(first + intervals * rule.interval, 12)
            begin = midnight.replace(year=year, month=month + 1, day=1)
        case Freq.WEEKLY:
            week = midnight - timedelta(days=(anchor.weekday() - rule.wkst) % 7)
            intervals = (start - week).days // (7 * rule.interval)
            begin = week + timedelta(days=intervals * 7 * rule.interval)
        case _:
            intervals = (start - midnight).days // rule.interval
            begin = midnight + timedelta(days=intervals * rule.interval)
    # The anchor's own period is left as it is: dateutil counts BYSETPOS in the first week from dtstart on.
    return begin if intervals else anchor


class _CountedInterval(int):
    """An INTERVAL that dateutil's iterator reports by using it, once for each period that it goes on.

    A rule without an occurrence never gives back control between two of them, and its `until` is only compared with
    occurrences: this is the one place where such a search can be ended.
    """

    _steps: Steps
    _at_most: int

    def __new__(cls, interval: int, *, steps: Steps, at_most: int) -> Self:
        self = super().__new__(cls, interval)
        self._steps = steps
        self._at_most = at_most
        return self

    def __radd__(self, other: int) -> int:
        self._steps.look(at_most=self._at_most)
        return int(self) + other

    def __mul__(self, other: int) -> int:
        self._steps.look(at_most=self._at_most)
        return int(self) * other
