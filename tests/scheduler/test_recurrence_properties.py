"""What holds for every schedule: random rules against plain dateutil and brute force, in zones whose clocks change."""

import os
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from foundation.errors import Invalid
from scheduler.model import Schedule, ScheduleType, Slot
from scheduler.recurrence import (
    count_between,
    first_slot,
    latest_slots,
    next_slot,
    slots_between,
    upcoming,
)
from tests.builders import a_schedule

ZONES = [
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
    "America/Havana",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Antarctica/Troll",
    "Asia/Kolkata",
    "Pacific/Chatham",
    "UTC",
]
WEEKDAYS = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]

TIMES = int(os.environ.get("TIMES", "1"))
"""How many times as many examples are tried as in a usual run."""

many = settings(
    max_examples=120 * TIMES,
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
)
fewer = settings(many, max_examples=60 * TIMES)


def some(*, low: int, high: int, most: int = 3, zero: bool = True) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high).filter(lambda n: zero or n != 0)
    return st.lists(numbers, min_size=1, max_size=most, unique=True).map(
        lambda found: ",".join(map(str, found))
    )


def weekdays(numbers: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # All with a number or none: dateutil takes MO,1FR for the days that are both.
    days = st.lists(st.sampled_from(WEEKDAYS), min_size=1, max_size=4, unique=True)
    return st.tuples(days, numbers).map(lambda got: ",".join(got[1] + day for day in got[0]))


@st.composite
def wall_rules(draw: st.DrawFn) -> str:
    """Rules of DAILY and longer."""
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY"]))
    parts = [f"FREQ={freq}", f"INTERVAL={draw(st.integers(1, 12))}"]

    def maybe(name: str, values: st.SearchStrategy[str]) -> bool:
        if given_ := draw(st.integers(0, 2)) == 0:
            parts.append(f"{name}={draw(values)}")
        return given_

    numbered = st.sampled_from(
        ["", "1", "2", "-1", "-2"] if freq in ("YEARLY", "MONTHLY") else [""]
    )
    by_day = maybe("BYDAY", weekdays(numbered))
    by_month = maybe("BYMONTH", some(low=1, high=12))
    by_month_day = freq != "WEEKLY" and maybe("BYMONTHDAY", some(low=-31, high=31, zero=False))
    if freq == "YEARLY" and not by_month_day and not by_month:
        maybe("BYYEARDAY", some(low=-366, high=366, zero=False))
    maybe("BYHOUR", some(low=0, high=23))
    maybe("BYMINUTE", some(low=0, high=59))
    maybe("BYSECOND", some(low=0, high=59, most=1))
    maybe("WKST", st.sampled_from(WEEKDAYS))
    if by_day or by_month or by_month_day:
        maybe("BYSETPOS", some(low=-4, high=4, most=2, zero=False))
    return ";".join(parts)


@st.composite
def short_rules(draw: st.DrawFn) -> str:
    """Rules of HOURLY and MINUTELY."""
    freq, interval = draw(
        st.one_of(
            st.tuples(st.just("HOURLY"), st.integers(1, 30)),
            st.tuples(st.just("MINUTELY"), st.integers(1, 200)),
        )
    )
    parts = [f"FREQ={freq}", f"INTERVAL={interval}"]
    for name, values in (
        ("BYDAY", weekdays(st.just(""))),
        ("BYMONTHDAY", some(low=-31, high=31, most=8, zero=False)),
        ("BYYEARDAY", some(low=-366, high=366, most=40, zero=False)),
        ("BYMONTH", some(low=1, high=12, most=8)),
        ("BYHOUR", some(low=0, high=23, most=8)),
        ("BYMINUTE", some(low=0, high=59, most=20)),
        ("BYSECOND", some(low=0, high=59, most=1)),
    ):
        if draw(st.integers(0, 3)) == 0:
            parts.append(f"{name}={draw(values)}")
    return ";".join(parts)


anchors = st.one_of(
    st.datetimes(datetime(2008, 1, 1), datetime(2026, 12, 31)),
    st.builds(
        lambda year, month, hour: datetime(year, month, 1, hour, 30) - timedelta(days=1),
        st.integers(2008, 2026),
        st.integers(1, 12),
        st.integers(0, 23),
    ),
).map(lambda anchor: anchor.replace(microsecond=0))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    """Schedules of every kind that has many slots."""
    kind = draw(st.sampled_from([kind for kind in ScheduleType if kind is not ScheduleType.ONCE]))
    schedule = a_schedule(
        schedule_time=draw(anchors),
        schedule_type=kind,
        timezone=draw(st.sampled_from(ZONES)),
        repeat_interval=draw(st.integers(1, 5000)) if kind is ScheduleType.CUSTOM else None,
        rrule=draw(wall_rules() | short_rules()) if kind is ScheduleType.RRULE else None,
    )
    assume(first_slot(schedule) is not None)
    return schedule


def instants_near_changes_of_clocks() -> st.SearchStrategy[datetime]:
    changes = st.sampled_from(
        [
            datetime(2009, 11, 1, 2, 31),  # St John's, back across midnight
            datetime(2010, 4, 29, 22, 0),  # Cairo, forward at midnight
            datetime(2011, 12, 30, 10, 0),  # Apia, a whole day forward
            datetime(2026, 3, 8, 7, 0),  # New York, forward; Havana two hours earlier
            datetime(2026, 3, 29, 1, 0),  # Berlin, forward; Troll by two hours
            datetime(2026, 4, 4, 15, 0),  # Lord Howe, back by half an hour; Chatham an hour before
            datetime(2026, 10, 3, 15, 30),  # Lord Howe, forward by half an hour
            datetime(2026, 10, 25, 1, 0),  # Berlin, back
            datetime(2026, 11, 1, 5, 0),  # New York and Havana, back
        ]
    )
    return st.builds(
        lambda change, minutes: change.replace(tzinfo=UTC) + timedelta(minutes=minutes),
        changes,
        st.integers(-60 * 60, 60 * 60),
    )


instants = instants_near_changes_of_clocks() | st.datetimes(
    datetime(2007, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)
)


def occurs(schedule: Schedule) -> bool:
    try:
        return first_slot(schedule) is not None
    except Invalid:  # one that never can is refused
        return False


@many
@given(
    rule=wall_rules(), anchor=anchors, later=st.integers(-10, 3000), seconds=st.integers(0, 86400)
)
def test_a_rule_from_daily_on_is_plain_dateutils_from_the_original_anchor(
    rule: str, anchor: datetime, later: int, seconds: int
) -> None:
    schedule = a_schedule(
        schedule_time=anchor, schedule_type=ScheduleType.RRULE, rrule=rule, timezone="UTC"
    )
    after = anchor + timedelta(days=later, seconds=seconds)
    # dateutil goes to the year 9999 for a rule that never occurs: three seconds each.
    assume(occurs(schedule))

    slots = upcoming(schedule, after.replace(tzinfo=UTC), count=4)

    expected = islice(rrulestr(rule, dtstart=anchor).xafter(after), 4)
    expected_before_the_horizon = [wall for wall in expected if wall.year < 2400]
    assert [slot.at.replace(tzinfo=None) for slot in slots] == expected_before_the_horizon


@fewer
@given(rule=short_rules(), anchor=anchors, minutes=st.integers(-100, 40 * 1440))
def test_a_rule_below_a_day_is_plain_dateutils_where_clocks_never_change(
    rule: str, anchor: datetime, minutes: int
) -> None:
    schedule = a_schedule(
        schedule_time=anchor, schedule_type=ScheduleType.RRULE, rrule=rule, timezone="UTC"
    )
    after = anchor + timedelta(minutes=minutes)
    slots = upcoming(schedule, after.replace(tzinfo=UTC), count=3)
    # dateutil goes through all the minutes up to a slot: seconds for one that is years away.
    assume(len(slots) == 3 and slots[-1].at.replace(tzinfo=None) < anchor + timedelta(days=300))

    expected = list(islice(rrulestr(rule, dtstart=anchor).xafter(after), 3))
    assert [slot.at.replace(tzinfo=None) for slot in slots] == expected


@many
@given(
    hours=st.lists(st.integers(0, 23), max_size=4, unique=True),
    minutes=st.lists(st.integers(0, 59), min_size=1, max_size=4, unique=True),
    days=st.lists(st.integers(0, 6), max_size=3, unique=True),
    zone=st.sampled_from(ZONES),
    middle=instants_near_changes_of_clocks(),
)
def test_a_filter_by_local_fields_is_what_trying_every_minute_finds(
    hours: list[int], minutes: list[int], days: list[int], zone: str, middle: datetime
) -> None:
    rule = "FREQ=MINUTELY;BYMINUTE=" + ",".join(map(str, minutes))
    rule += ";BYHOUR=" + ",".join(map(str, hours)) if hours else ""
    rule += ";BYDAY=" + ",".join(WEEKDAYS[day] for day in days) if days else ""
    schedule = a_schedule(
        schedule_time=datetime(2008, 1, 1),
        schedule_type=ScheduleType.RRULE,
        rrule=rule,
        timezone=zone,
    )
    begin, end = middle - timedelta(hours=20), middle + timedelta(hours=20)

    slots = slots_between(schedule, begin, end)

    every_minute = [
        (begin + timedelta(minutes=n)).astimezone(ZoneInfo(zone)) for n in range(1, 40 * 60 + 1)
    ]
    expected = [
        local.astimezone(UTC)
        for local in every_minute
        if local.minute in minutes
        and (not hours or local.hour in hours)
        and (not days or local.weekday() in days)
    ]
    assert [slot.at for slot in slots] == expected


@many
@given(schedule=schedules(), after=instants)
def test_slots_ascend_and_neither_an_instant_nor_a_key_comes_twice(
    schedule: Schedule, after: datetime
) -> None:
    slots = upcoming(schedule, after, count=40)

    instants_ = [slot.at for slot in slots]
    assert all(at > after for at in instants_)
    assert instants_ == sorted(set(instants_))
    assert len({slot.key for slot in slots}) == len(slots)


@many
@given(schedule=schedules(), after=instants)
def test_a_slot_is_at_its_nominal_time_unless_its_note_says_why_not(
    schedule: Schedule, after: datetime
) -> None:
    for slot in upcoming(schedule, after, count=20):
        kind, _, name = slot.key.partition(":")
        named = datetime.fromisoformat(name)

        assert slot.at.tzinfo is UTC
        assert slot.local.astimezone(UTC) == slot.at
        assert slot.local.tzinfo == ZoneInfo(schedule.timezone)
        assert slot.at.microsecond == 0
        if kind == "utc":
            assert named == slot.at
            assert slot.note is None
        elif slot.note is None or "happens twice" in slot.note:
            assert named == slot.local.replace(tzinfo=None)
            assert slot.local.fold == 0
        elif "does not exist" in slot.note:
            assert named < slot.local.replace(tzinfo=None)
        else:
            assert named == slot.local.replace(tzinfo=None)
            assert named.day < schedule.schedule_time.day


@fewer
@given(schedule=schedules(), after=instants)
def test_asking_for_one_slot_after_the_other_finds_the_same(
    schedule: Schedule, after: datetime
) -> None:
    slots = upcoming(schedule, after, count=12)

    one_by_one: list[Slot] = []
    last = after
    while len(one_by_one) < len(slots) and (slot := next_slot(schedule, last)):
        one_by_one.append(slot)
        last = slot.at
    assert one_by_one == slots
    if slots:
        assert slots_between(schedule, after, slots[-1].at) == slots


@fewer
@given(
    schedule=schedules(), after=instants, some_later=st.integers(0, 12), limit=st.integers(1, 15)
)
def test_an_interval_may_be_cut_counted_and_read_from_its_end(
    schedule: Schedule, after: datetime, some_later: int, limit: int
) -> None:
    slots = upcoming(schedule, after, count=12)
    assume(len(slots) == 12)
    until = slots[-1].at
    middle = slots[min(some_later, 11)].at - timedelta(seconds=some_later)

    parts = slots_between(schedule, after, middle) + slots_between(schedule, middle, until)

    assert parts == slots
    assert count_between(schedule, after, until) == 12
    assert latest_slots(schedule, after, until, limit=limit) == slots[-limit:]
    assert slots_between(schedule, after, until, limit=limit) == slots[:limit]
