"""What it costs to say when a schedule's next slot is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from benchmarks.figure import Figure
from benchmarks.sizes import Sizes
from benchmarks.timing import best_us
from scheduler.model import Schedule, ScheduleType
from scheduler.recurrence import calculate_next_run
from tests.builders import a_schedule

_LAST_OF_JANUARY = datetime.fromisoformat("2026-01-31T09:00")
_SCHEDULES = {
    "daily": a_schedule(schedule_type=ScheduleType.DAILY),
    "hourly": a_schedule(schedule_type=ScheduleType.HOURLY),
    "monthly": a_schedule(schedule_type=ScheduleType.MONTHLY, schedule_time=_LAST_OF_JANUARY),
    "rule": a_schedule(schedule_type=ScheduleType.RRULE, rrule="FREQ=MONTHLY;BYDAY=-1FR"),
}


def recurrence(sizes: Sizes) -> Iterator[Figure]:
    """Find the slots of some days of a year in which the clocks change, for each kind of schedule."""
    for kind, schedule in _SCHEDULES.items():
        took = best_us(partial(_each_week, schedule), calls=2, rounds=sizes.rounds)
        yield Figure(name=f"next slot, {kind}", value=took / 53, unit="us")


def _each_week(schedule: Schedule) -> list[datetime | None]:
    begin = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    return [calculate_next_run(schedule, begin + timedelta(weeks=week)) for week in range(53)]
