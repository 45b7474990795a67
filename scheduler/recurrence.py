"""Which slots a schedule has, and their names. Pure: a function of the definition and of the instants asked about.

A slot's key is "wall:" and its nominal wall-clock time for once, daily and longer ("wall:2026-03-29T02:30:00"), "utc:"
and its instant for what is shorter ("utc:2026-03-29T01:00:00Z"). There are only these two kinds: a new tzdata release
moves the instant but keeps the key, and an edit from daily to weekly keeps today's key; an edit from hourly to daily
changes it. Nothing here looks at `enabled` or `max_runs`: the tick does.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice
from typing import Protocol
from zoneinfo import ZoneInfo

from foundation.errors import Invalid
from scheduler.elapsed_time import Filtered, Steady
from scheduler.model import ScheduleType, Slot
from scheduler.rules import HORIZON, Freq, Rule, parse_rule
from scheduler.steps import Steps
from scheduler.wall_time import WallTime, resolve

_BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
_END = HORIZON.replace(tzinfo=UTC)
_MOST_STEPS_FOR_COUNT = 100_000


class Planned(Protocol):
    """What the slots of a schedule follow from; Schedule and ScheduleFields have it."""

    @property
    def schedule_time(self) -> datetime: ...
    @property
    def schedule_type(self) -> ScheduleType: ...
    @property
    def repeat_interval(self) -> int | None: ...
    @property
    def rrule(self) -> str | None: ...
    @property
    def timezone(self) -> str: ...
    @property
    def ends_at(self) -> datetime | None: ...


def calculate_next_run(schedule: Planned, after: datetime) -> datetime | None:
    """Return the instant (UTC) of the first slot after the instant, or None when there is none."""
    slot = next_slot(schedule, after)
    return slot.at if slot else None


def next_slot(planned: Planned, after: datetime) -> Slot | None:
    """Return the first slot after the instant, or None when there is none."""
    return next(slots_after(planned, after), None)


def first_slot(planned: Planned) -> Slot | None:
    """Return the first slot of all, whatever ends_at says; that of a rule may be later than schedule_time."""
    plan = _plan_of(planned)
    return next(_slots_of(plan, after=_BEGINNING, end=plan.end, steps=Steps()), None)


def upcoming(planned: Planned, after: datetime, *, count: int) -> list[Slot]:
    """Return the next count slots after the instant."""
    return list(islice(slots_after(planned, after), count))


def slots_between(
    planned: Planned, after: datetime, until: datetime, *, limit: int | None = None
) -> list[Slot]:
    """Return the slots with after < slot <= until, ascending; the first limit of them where there are more."""
    return list(islice(_between(planned, after, until), limit))


def count_between(
    planned: Planned, after: datetime, until: datetime, *, most: int | None = None
) -> int:
    """Return how many slots there are with after < slot <= until; counting them one by one stops at most."""
    plan = _plan_of(planned)
    if isinstance(plan.times, Steady):
        return plan.times.count(after, min(until, _end_of(planned, plan)))
    return sum(1 for _ in islice(_between(planned, after, until), most))


def latest_slots(planned: Planned, after: datetime, until: datetime, *, limit: int) -> list[Slot]:
    """Return the newest limit slots with after < slot <= until, ascending, without going through the others."""
    plan = _plan_of(planned)
    until = min(until, _end_of(planned, plan))
    after = max(after, _BEGINNING)
    back = (plan.times.step if isinstance(plan.times, Steady) else timedelta(minutes=1)) * limit
    while True:
        begin = max(after, until - back) if until - after > back else after
        found = deque(_between(planned, begin, until), maxlen=limit)
        if len(found) == limit or begin == after:
            return list(found)
        back *= 2


def at_most_daily(planned: Planned) -> bool:
    """Say whether no day has more than one nominal slot."""
    match planned.schedule_type:
        case ScheduleType.HOURLY | ScheduleType.CUSTOM:
            return False
        case ScheduleType.RRULE:
            rule = parse_rule(planned.rrule or "")
            return not rule.is_shorter_than_a_day and all(
                len(part) <= 1 for part in (rule.byhour, rule.byminute, rule.bysecond)
            )
        case _:
            return True


def slots_after(planned: Planned, after: datetime, *, steps: Steps | None = None) -> Iterator[Slot]:
    """Yield the slots after the instant, ascending; steps counts what was looked at for them.

    The instant may be any; what it takes to find a slot does not grow with the age of schedule_time.
    """
    plan = _plan_of(planned)
    # Far-away instants can't be converted to every zone's time.
    after = max(after, _BEGINNING).astimezone(UTC)
    return _slots_of(plan, after=after, end=_end_of(planned, plan), steps=steps or Steps())


def _slots_of(plan: "_Plan", *, after: datetime, end: datetime, steps: Steps) -> Iterator[Slot]:
    if after >= end:
        return
    for slot in plan.times.slots(after, steps=steps):
        if slot.at > end:
            return
        if slot.at > after:
            yield slot


def _between(planned: Planned, after: datetime, until: datetime) -> Iterator[Slot]:
    for slot in slots_after(planned, after):
        if slot.at > until:
            return
        yield slot


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A definition, read: how its slots follow each other, and the instant (inclusive) at which its rule ends."""

    times: WallTime | Steady | Filtered
    end: datetime


def _end_of(planned: Planned, plan: _Plan) -> datetime:
    return min(plan.end, planned.ends_at) if planned.ends_at else plan.end


def _plan_of(planned: Planned) -> _Plan:
    return _plan(
        planned.schedule_time,
        planned.schedule_type,
        planned.repeat_interval,
        planned.rrule,
        planned.timezone,
    )


@lru_cache(maxsize=16_384)
def _plan(
    schedule_time: datetime,
    schedule_type: ScheduleType,
    repeat_interval: int | None,
    rrule: str | None,
    timezone: str,
) -> _Plan:
    """Read a definition. Kept, because a COUNT is followed to its end here."""
    zone = ZoneInfo(timezone)
    anchor = schedule_time.replace(microsecond=0)
    match schedule_type:
        case ScheduleType.RRULE:
            rule = parse_rule(rrule or "")
            times = _times_of(rule, anchor, zone)
            return _Plan(times=times, end=_end_of_rule(rule, times, zone))
        case ScheduleType.HOURLY:
            return _Plan(times=_steady(anchor, timedelta(hours=1), zone), end=_END)
        case ScheduleType.CUSTOM:
            step = timedelta(minutes=repeat_interval or 0)
            return _Plan(times=_steady(anchor, step, zone), end=_END)
        case _:
            return _Plan(times=WallTime(anchor=anchor, kind=schedule_type, zone=zone), end=_END)


def _times_of(rule: Rule, anchor: datetime, zone: ZoneInfo) -> WallTime | Steady | Filtered:
    if not rule.is_shorter_than_a_day:
        return WallTime(anchor=anchor, kind=rule, zone=zone)
    if rule.has_by_parts:
        return Filtered(anchor=resolve(anchor, zone), rule=rule, zone=zone)
    unit = timedelta(hours=1) if rule.freq is Freq.HOURLY else timedelta(minutes=1)
    return _steady(anchor, rule.interval * unit, zone)


def _steady(anchor: datetime, step: timedelta, zone: ZoneInfo) -> Steady:
    if step <= timedelta():
        raise ValueError(f"a schedule that repeats every {step} has no slots")
    return Steady(anchor=resolve(anchor, zone), step=step, zone=zone)


def _end_of_rule(rule: Rule, times: WallTime | Steady | Filtered, zone: ZoneInfo) -> datetime:
    """Turn UNTIL or COUNT into an instant, once: slots are never computed by counting from the anchor."""
    if rule.until:
        until = rule.until
        return until.astimezone(UTC) if until.tzinfo else resolve(until, zone)
    if rule.count is None:
        return _END
    if isinstance(times, Steady):
        more = rule.count - 1
        enough = (_END - times.anchor) // times.step > more
        return times.anchor + more * times.step if enough else _END
    steps = Steps(at_most=_MOST_STEPS_FOR_COUNT)
    last = next(islice(times.slots(_BEGINNING, steps=steps), rule.count - 1, None), None)
    if last is None and steps.are_used_up:
        raise Invalid.field(
            "rrule",
            f"The rule has COUNT={rule.count}, and its end is too far away to be counted:"
            " leave COUNT out and set an end, by UNTIL or ends_at",
        )
    return last.at if last else _END
