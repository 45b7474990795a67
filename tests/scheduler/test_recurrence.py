"""Slots, worked out by hand: zones whose clocks change, month ends, rules, ends, keys."""

from datetime import UTC, datetime
from typing import Any

import pytest

from scheduler.model import Schedule, ScheduleType, Slot
from scheduler.recurrence import (
    at_most_daily,
    calculate_next_run,
    count_between,
    first_slot,
    latest_slots,
    next_slot,
    slots_after,
    slots_between,
    upcoming,
)
from scheduler.steps import Steps
from tests.builders import a_schedule

BERLIN, NEW_YORK, LORD_HOWE, APIA = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
)


def a(kind: str, at: str, zone: str = BERLIN, **changes: Any) -> Schedule:
    return a_schedule(
        schedule_type=ScheduleType(kind),
        schedule_time=datetime.fromisoformat(at),
        timezone=zone,
        **changes,
    )


def a_rule(rule: str, at: str, zone: str = BERLIN, **changes: Any) -> Schedule:
    return a("rrule", at, zone, rrule=rule, **changes)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def locals_of(slots: list[Slot]) -> list[str]:
    return [slot.local.strftime("%Y-%m-%d %H:%M%z") for slot in slots]


def instants_of(slots: list[Slot]) -> list[str]:
    return [slot.at.strftime("%Y-%m-%d %H:%M") for slot in slots]


def days_of(slots: list[Slot]) -> list[str]:
    return [slot.local.strftime("%Y-%m-%d") for slot in slots]


def test_a_one_time_schedule_has_one_slot() -> None:
    once = a("once", "2026-11-24T09:00:00")

    assert upcoming(once, utc("2026-01-01"), count=5) == [next_slot(once, utc("2026-01-01"))]
    assert calculate_next_run(once, utc("2026-11-24T07:59:59")) == utc("2026-11-24T08:00")
    assert calculate_next_run(once, utc("2026-11-24T08:00")) is None


def test_a_slot_has_its_instant_its_local_time_and_its_key() -> None:
    slot = next_slot(a("daily", "2026-03-01T09:00:05.999"), utc("2026-07-01"))

    assert slot is not None
    assert slot.at == utc("2026-07-01T07:00:05")
    assert slot.at.tzinfo is UTC
    assert slot.local.isoformat() == "2026-07-01T09:00:05+02:00"
    assert slot.key == "wall:2026-07-01T09:00:05"
    assert slot.note is None


@pytest.mark.parametrize(
    ("schedule", "key"),
    [
        (a("once", "2026-11-24T09:00"), "wall:2026-11-24T09:00:00"),
        (a("daily", "2026-11-01T09:00"), "wall:2026-11-24T09:00:00"),
        (a("weekly", "2026-11-03T09:00"), "wall:2026-11-24T09:00:00"),
        (a("monthly", "2026-01-24T09:00"), "wall:2026-11-24T09:00:00"),
        (a_rule("FREQ=YEARLY", "2025-11-24T09:00"), "wall:2026-11-24T09:00:00"),
        (a("hourly", "2026-11-01T09:00"), "utc:2026-11-24T08:00:00Z"),
        (a("custom", "2026-11-23T09:00", repeat_interval=1440), "utc:2026-11-24T08:00:00Z"),
        (a_rule("FREQ=HOURLY;BYHOUR=9", "2026-11-23T09:00"), "utc:2026-11-24T08:00:00Z"),
    ],
)
def test_a_key_is_wall_clock_time_from_daily_on_and_the_instant_below(
    schedule: Schedule, key: str
) -> None:
    slot = next_slot(schedule, utc("2026-11-24T07:59:59"))

    assert slot is not None
    assert slot.at == utc("2026-11-24T08:00")
    assert slot.key == key


def test_a_time_in_a_gap_moves_forward_by_the_gap_and_keeps_its_nominal_key() -> None:
    slots = upcoming(a("daily", "2020-01-01T02:30"), utc("2026-03-28T00:00"), count=3)

    assert locals_of(slots) == [
        "2026-03-28 02:30+0100", "2026-03-29 03:30+0200", "2026-03-30 02:30+0200",
    ]  # fmt: skip
    assert [slot.key for slot in slots] == [
        "wall:2026-03-28T02:30:00", "wall:2026-03-29T02:30:00", "wall:2026-03-30T02:30:00",
    ]  # fmt: skip
    assert [slot.note for slot in slots] == [
        None,
        "02:30 does not exist on 2026-03-29 in Europe/Berlin (clocks go forward): moved to 03:30",
        None,
    ]


def test_a_time_that_happens_twice_is_its_first_occurrence() -> None:
    slots = upcoming(a("daily", "2020-01-01T02:30"), utc("2026-10-24T00:00"), count=3)

    assert instants_of(slots) == ["2026-10-24 00:30", "2026-10-25 00:30", "2026-10-26 01:30"]
    assert slots[1].note == (
        "02:30 happens twice on 2026-10-25 in Europe/Berlin (clocks go back): the first is meant"
    )


def test_new_yorks_gap_and_fold() -> None:
    gap = upcoming(a("daily", "2020-01-01T02:30", NEW_YORK), utc("2026-03-08T00:00"), count=2)
    fold = upcoming(a("daily", "2020-01-01T01:30", NEW_YORK), utc("2026-10-31T12:00"), count=2)

    assert locals_of(gap) == ["2026-03-08 03:30-0400", "2026-03-09 02:30-0400"]
    assert locals_of(fold) == ["2026-11-01 01:30-0400", "2026-11-02 01:30-0500"]


def test_lord_howes_gap_and_fold_of_half_an_hour() -> None:
    gap = upcoming(a("daily", "2020-01-01T02:15", LORD_HOWE), utc("2026-10-03T12:00"), count=2)
    fold = upcoming(a("daily", "2020-01-01T01:45", LORD_HOWE), utc("2026-04-04T12:00"), count=2)

    assert locals_of(gap) == ["2026-10-04 02:45+1100", "2026-10-05 02:15+1100"]
    assert gap[0].note is not None
    assert "moved to 02:45" in gap[0].note
    assert locals_of(fold) == ["2026-04-05 01:45+1100", "2026-04-06 01:45+1030"]


def test_the_day_that_apia_left_out_moves_to_the_next_and_both_are_one_slot() -> None:
    slots = upcoming(a("daily", "2011-12-01T09:00", APIA), utc("2011-12-29T00:00"), count=3)

    assert locals_of(slots) == [
        "2011-12-29 09:00-1000", "2011-12-31 09:00+1400", "2012-01-01 09:00+1400",
    ]  # fmt: skip
    assert slots[1].key == "wall:2011-12-30T09:00:00"
    assert slots[1].note == (
        "09:00 does not exist on 2011-12-30 in Pacific/Apia (clocks go forward):"
        " moved to 09:00 on 2011-12-31"
    )


def test_a_weekly_slot_on_the_day_that_apia_left_out_is_still_found_just_before_it() -> None:
    weekly = a("weekly", "2011-12-23T09:00", APIA)

    assert calculate_next_run(weekly, utc("2011-12-30T18:59:59")) == utc("2011-12-30T19:00")


def test_slots_in_a_gap_that_fall_on_one_instant_are_one() -> None:
    rule = a_rule("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30", "2026-01-01T00:00")

    slots = slots_between(rule, utc("2026-03-29T00:00"), utc("2026-03-29T12:00"))

    assert locals_of(slots) == ["2026-03-29 03:00+0200", "2026-03-29 03:30+0200"]
    assert [slot.key for slot in slots] == ["wall:2026-03-29T02:00:00", "wall:2026-03-29T02:30:00"]


def test_a_slot_moved_past_a_later_one_comes_after_it() -> None:
    rule = a_rule("FREQ=DAILY;BYHOUR=2;BYMINUTE=10,35", "2026-10-01T00:00", LORD_HOWE)

    slots = slots_between(rule, utc("2026-10-03T12:00"), utc("2026-10-04"))

    assert locals_of(slots) == ["2026-10-04 02:35+1100", "2026-10-04 02:40+1100"]
    assert [slot.key for slot in slots] == ["wall:2026-10-04T02:35:00", "wall:2026-10-04T02:10:00"]


def test_all_slots_of_the_day_that_apia_left_out_are_those_of_the_next() -> None:
    rule = a_rule("FREQ=MONTHLY;BYMONTHDAY=30,31;BYHOUR=9,21", "2011-12-01T00:00", APIA)

    slots = slots_between(rule, utc("2011-12-29T12:00"), utc("2012-01-02"))

    assert locals_of(slots) == ["2011-12-31 09:00+1400", "2011-12-31 21:00+1400"]


def test_hourly_loses_and_doubles_no_hour_when_clocks_change() -> None:
    hourly = a("hourly", "2020-01-01T00:00")

    assert locals_of(upcoming(hourly, utc("2026-03-28T23:59"), count=3)) == [
        "2026-03-29 01:00+0100", "2026-03-29 03:00+0200", "2026-03-29 04:00+0200",
    ]  # fmt: skip
    assert locals_of(upcoming(hourly, utc("2026-10-24T23:59"), count=3)) == [
        "2026-10-25 02:00+0200", "2026-10-25 02:00+0100", "2026-10-25 03:00+0100",
    ]  # fmt: skip


def test_hourly_counts_from_an_anchor_that_was_moved_out_of_a_gap() -> None:
    hourly = a("hourly", "2026-03-29T02:30")

    assert instants_of(upcoming(hourly, utc("2026-01-01"), count=2)) == [
        "2026-03-29 01:30", "2026-03-29 02:30",
    ]  # fmt: skip


def test_custom_counts_minutes_from_the_anchor_across_a_change_of_clocks() -> None:
    custom = a("custom", "2026-03-28T09:00", repeat_interval=90)

    slots = slots_between(custom, utc("2026-03-28T23:00"), utc("2026-03-29T04:00"))

    assert instants_of(slots) == ["2026-03-29 00:30", "2026-03-29 02:00", "2026-03-29 03:30"]


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (31, ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"]),
        (30, ["2026-01-30", "2026-02-28", "2026-03-30", "2026-04-30", "2026-05-30"]),
        (29, ["2026-01-29", "2026-02-28", "2026-03-29", "2026-04-29", "2026-05-29"]),
        (28, ["2026-01-28", "2026-02-28", "2026-03-28", "2026-04-28", "2026-05-28"]),
    ],
)
def test_monthly_is_the_last_day_of_months_that_are_too_short(
    day: int, expected: list[str]
) -> None:
    monthly = a("monthly", f"2026-01-{day}T09:00")

    assert days_of(upcoming(monthly, utc("2026-01-01"), count=5)) == expected


def test_a_month_that_is_too_short_is_noted_and_its_key_is_the_day_it_moved_to() -> None:
    slots = upcoming(a("monthly", "2024-01-31T09:00"), utc("2024-02-01"), count=3)

    assert [slot.note for slot in slots] == [
        "February has no 31st: moved to the 29th",
        None,
        "April has no 31st: moved to the 30th",
    ]
    assert slots[0].key == "wall:2024-02-29T09:00:00"


def test_a_month_that_is_too_short_and_a_gap_are_both_noted() -> None:
    slot = next_slot(a("monthly", "2010-01-31T00:30", "Africa/Cairo"), utc("2010-04-01T00:00"))

    assert slot is not None
    assert slot.note == (
        "April has no 31st: moved to the 30th;"
        " 00:30 does not exist on 2010-04-30 in Africa/Cairo (clocks go forward): moved to 01:30"
    )


def test_a_rule_keeps_to_rfc_5545_and_leaves_short_months_out() -> None:
    rule = a_rule("FREQ=MONTHLY", "2026-01-31T09:00")

    assert days_of(upcoming(rule, utc("2026-01-01"), count=6)) == [
        "2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31", "2026-08-31", "2026-10-31",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "at", "expected"),
    [
        ("FREQ=YEARLY", "2024-02-29T09:00", ["2024-02-29", "2028-02-29", "2032-02-29"]),
        (
            "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=28,29;BYSETPOS=-1",
            "2024-02-29T09:00",
            ["2024-02-29", "2025-02-28", "2026-02-28", "2027-02-28", "2028-02-29"],
        ),
        (
            "FREQ=MONTHLY;BYMONTHDAY=28,29,30,31;BYSETPOS=-1",
            "2026-01-31T09:00",
            ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"],
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE",
            "2026-01-07T09:00",
            ["2026-01-07", "2026-01-19", "2026-01-21", "2026-02-02"],
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=MO",
            "1997-08-05T09:00",
            ["1997-08-05", "1997-08-10", "1997-08-19", "1997-08-24"],
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=TU,SU;WKST=SU",
            "1997-08-05T09:00",
            ["1997-08-05", "1997-08-17", "1997-08-19", "1997-08-31"],
        ),
        (
            "FREQ=WEEKLY;BYDAY=MO",
            "2026-01-07T09:00",
            ["2026-01-12", "2026-01-19"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=-1FR",
            "2026-01-01T09:00",
            ["2026-01-30", "2026-02-27", "2026-03-27"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "2026-01-01T09:00",
            ["2026-01-30", "2026-02-27", "2026-03-31"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=MO,1FR",
            "2026-02-01T09:00",
            ["2026-02-02", "2026-02-06", "2026-02-09", "2026-02-16", "2026-02-23", "2026-03-02"],
        ),
        (
            "FREQ=YEARLY;BYWEEKNO=-1;BYDAY=TH",
            "2026-01-01T09:00",
            ["2026-12-31", "2027-12-30", "2028-12-28"],
        ),
        (
            "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            "2026-01-01T09:00",
            ["2026-11-26", "2027-11-25"],
        ),
        (
            "FREQ=YEARLY;BYDAY=20MO",
            "1997-05-19T09:00",
            ["1997-05-19", "1998-05-18", "1999-05-17"],
        ),
        (
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
            "1997-09-02T09:00",
            ["1998-02-13", "1998-03-13", "1998-11-13", "1999-08-13"],
        ),
        (
            "FREQ=YEARLY;INTERVAL=5;BYMONTH=2;BYMONTHDAY=29",
            "2000-02-29T09:00",
            ["2000-02-29", "2020-02-29", "2040-02-29"],
        ),
        ("FREQ=DAILY;COUNT=3", "2026-01-01T09:00", ["2026-01-01", "2026-01-02", "2026-01-03"]),
        (
            "FREQ=WEEKLY;BYDAY=MO;COUNT=2",
            "2026-01-07T09:00",
            ["2026-01-12", "2026-01-19"],
        ),
        ("FREQ=DAILY;UNTIL=20260103", "2026-01-02T09:00", ["2026-01-02", "2026-01-03"]),
        ("FREQ=DAILY;UNTIL=20260103T090000", "2026-01-02T09:00", ["2026-01-02", "2026-01-03"]),
        ("FREQ=DAILY;UNTIL=20260103T080000Z", "2026-01-02T09:00", ["2026-01-02", "2026-01-03"]),
        ("FREQ=DAILY;UNTIL=20260103T075959Z", "2026-01-02T09:00", ["2026-01-02"]),
        ("FREQ=DAILY;UNTIL=20260103T085959", "2026-01-02T09:00", ["2026-01-02"]),
    ],
)  # fmt: skip
def test_rules_worked_out_by_hand(rule: str, at: str, expected: list[str]) -> None:
    schedule = a_rule(rule, at)

    slots = upcoming(schedule, utc("1990-01-01"), count=len(expected) + 1)

    assert days_of(slots)[: len(expected)] == expected
    ends = "COUNT" in rule or "UNTIL" in rule
    assert (len(slots) == len(expected)) is ends


def test_an_anchor_that_does_not_match_the_rule_is_no_slot() -> None:
    first = first_slot(a_rule("FREQ=WEEKLY;BYDAY=MO", "2026-01-07T09:00"))

    assert first is not None
    assert days_of([first]) == ["2026-01-12"]


def test_a_time_before_the_anchors_own_is_no_slot_on_the_first_day() -> None:
    rule = a_rule("FREQ=DAILY;BYHOUR=8,12", "2026-01-01T10:00")

    assert locals_of(upcoming(rule, utc("2025-01-01"), count=2)) == [
        "2026-01-01 12:00+0100", "2026-01-02 08:00+0100",
    ]  # fmt: skip


def test_an_hourly_rule_without_by_parts_counts_in_utc() -> None:
    rule = a_rule("FREQ=HOURLY;INTERVAL=6;WKST=MO", "2026-03-28T12:00")

    assert instants_of(upcoming(rule, utc("2026-03-28T12:00"), count=3)) == [
        "2026-03-28 17:00", "2026-03-28 23:00", "2026-03-29 05:00",
    ]  # fmt: skip


def test_a_count_of_a_rule_shorter_than_a_day_ends_it() -> None:
    rule = a_rule("FREQ=MINUTELY;INTERVAL=10;COUNT=3", "2026-01-01T00:00", "UTC")

    assert instants_of(upcoming(rule, utc("2025-01-01"), count=9)) == [
        "2026-01-01 00:00", "2026-01-01 00:10", "2026-01-01 00:20",
    ]  # fmt: skip
    assert count_between(rule, utc("2025-01-01"), utc("2027-01-01")) == 3


def test_working_hours_follow_the_local_clock_and_both_of_its_double_hours() -> None:
    rule = a_rule("FREQ=HOURLY;BYHOUR=2", "2026-01-01T00:00")

    spring = slots_between(rule, utc("2026-03-28T00:00"), utc("2026-03-30T12:00"))
    autumn = slots_between(rule, utc("2026-10-24T12:00"), utc("2026-10-26T12:00"))

    assert locals_of(spring) == ["2026-03-28 02:00+0100", "2026-03-30 02:00+0200"]
    assert locals_of(autumn) == [
        "2026-10-25 02:00+0200", "2026-10-25 02:00+0100", "2026-10-26 02:00+0100",
    ]  # fmt: skip


def test_the_minutes_of_an_hourly_rule_are_local_ones() -> None:
    rule = a_rule("FREQ=HOURLY;INTERVAL=2;BYMINUTE=0,45", "2026-01-01T09:10", "Asia/Kolkata")

    assert locals_of(upcoming(rule, utc("2026-01-01T00:00"), count=4)) == [
        "2026-01-01 09:45+0530", "2026-01-01 11:00+0530", "2026-01-01 11:45+0530",
        "2026-01-01 13:00+0530",
    ]  # fmt: skip


def test_weekdays_and_months_of_a_short_rule_are_local_ones() -> None:
    rule = a_rule(
        "FREQ=MINUTELY;INTERVAL=30;BYDAY=MO;BYMONTH=6;BYHOUR=0;BYSECOND=30",
        "2026-01-01T00:00",
        NEW_YORK,
    )

    slots = upcoming(rule, utc("2026-01-01"), count=3)

    assert locals_of(slots) == [
        "2026-06-01 00:00-0400",
        "2026-06-01 00:30-0400",
        "2026-06-08 00:00-0400",
    ]
    assert {slot.local.second for slot in slots} == {30}


def test_days_counted_from_the_end_work_for_short_rules() -> None:
    last_day = a_rule("FREQ=HOURLY;INTERVAL=12;BYMONTHDAY=-1", "2026-02-01T06:00", "UTC")
    new_years_eve = a_rule("FREQ=HOURLY;INTERVAL=24;BYYEARDAY=-1,1", "2026-01-02T06:00", "UTC")

    assert instants_of(upcoming(last_day, utc("2026-02-02"), count=3)) == [
        "2026-02-28 06:00", "2026-02-28 18:00", "2026-03-31 06:00",
    ]  # fmt: skip
    assert instants_of(upcoming(new_years_eve, utc("2026-02-02"), count=3)) == [
        "2026-12-31 06:00", "2027-01-01 06:00", "2027-12-31 06:00",
    ]  # fmt: skip


def test_a_day_with_a_second_2330_after_midnight_keeps_all_its_minutes() -> None:
    # St John's clocks went back from 00:01 to 23:01 of the day before.
    rule = a_rule("FREQ=MINUTELY;INTERVAL=20;BYDAY=SA", "2009-10-01T00:10", "America/St_Johns")

    slots = slots_between(rule, utc("2009-11-01T01:30"), utc("2009-11-01T05:00"))

    assert locals_of(slots) == [
        "2009-10-31 23:10-0230", "2009-10-31 23:30-0230", "2009-10-31 23:50-0230",
        "2009-10-31 23:10-0330", "2009-10-31 23:30-0330", "2009-10-31 23:50-0330",
    ]  # fmt: skip


def test_ends_at_is_inclusive() -> None:
    daily = a("daily", "2026-03-01T09:00", ends_at=utc("2026-03-03T08:00"))
    hourly = a("hourly", "2026-03-01T09:00", ends_at=utc("2026-03-01T10:00"))

    assert days_of(upcoming(daily, utc("2026-01-01"), count=9)) == [
        "2026-03-01", "2026-03-02", "2026-03-03",
    ]  # fmt: skip
    assert count_between(hourly, utc("2026-01-01"), utc("2027-01-01")) == 3
    assert len(latest_slots(hourly, utc("2026-01-01"), utc("2027-01-01"), limit=9)) == 3


def test_an_interval_leaves_out_its_begin_and_holds_its_end() -> None:
    daily = a("daily", "2026-03-01T09:00")

    slots = slots_between(daily, utc("2026-03-01T08:00"), utc("2026-03-03T08:00"))

    assert days_of(slots) == ["2026-03-02", "2026-03-03"]
    assert slots_between(daily, utc("2026-03-03T08:00"), utc("2026-03-03T08:00")) == []
    assert slots_between(daily, utc("2026-03-04"), utc("2026-03-01")) == []
    assert len(slots_between(daily, utc("2026-03-01"), utc("2026-12-01"), limit=4)) == 4


def test_any_instant_may_be_asked_about() -> None:
    daily = a("daily", "2026-03-01T09:00")
    begin_of_time, end_of_time = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)

    assert calculate_next_run(daily, begin_of_time) == utc("2026-03-01T08:00")
    assert calculate_next_run(daily, end_of_time) is None
    assert latest_slots(daily, begin_of_time, utc("2026-03-02"), limit=3)[0].at == utc(
        "2026-03-01T08:00"
    )
    assert days_of(latest_slots(daily, begin_of_time, end_of_time, limit=1)) == ["2399-12-31"]


def test_the_next_run_does_not_look_at_enabled_or_max_runs() -> None:
    stopped = a("daily", "2026-03-01T09:00", enabled=False, max_runs=1, total_runs=1)

    assert calculate_next_run(stopped, utc("2026-03-05")) == utc("2026-03-05T08:00")


def test_a_million_minutes_are_counted_without_going_through_them() -> None:
    minutely = a("custom", "2020-01-01T00:00", "UTC", repeat_interval=1)
    after, until = utc("2020-01-01T00:00"), utc("2030-01-01T00:00")

    assert count_between(minutely, after, until) == 3653 * 1440
    assert instants_of(latest_slots(minutely, after, until, limit=2)) == [
        "2029-12-31 23:59", "2030-01-01 00:00",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (a("once", "2026-01-01T09:00"), True),
        (a("daily", "2026-01-01T09:00"), True),
        (a("weekly", "2026-01-01T09:00"), True),
        (a("monthly", "2026-01-01T09:00"), True),
        (a("hourly", "2026-01-01T09:00"), False),
        (a("custom", "2026-01-01T09:00", repeat_interval=2880), False),
        (a_rule("FREQ=DAILY", "2026-01-01T09:00"), True),
        (a_rule("FREQ=YEARLY;BYDAY=MO;BYHOUR=9;BYMINUTE=1;BYSECOND=1", "2026-01-01T09:00"), True),
        (a_rule("FREQ=DAILY;BYHOUR=9,10", "2026-01-01T09:00"), False),
        (a_rule("FREQ=DAILY;BYMINUTE=0,30", "2026-01-01T09:00"), False),
        (a_rule("FREQ=HOURLY;BYHOUR=9", "2026-01-01T09:00"), False),
        (a_rule("FREQ=MINUTELY;INTERVAL=1440", "2026-01-01T09:00"), False),
    ],
)
def test_what_has_at_most_one_slot_a_day(schedule: Schedule, expected: bool) -> None:
    assert at_most_daily(schedule) is expected


def steps_for_one_slot(schedule: Schedule, after: datetime) -> int:
    steps = Steps()
    assert next(slots_after(schedule, after, steps=steps), None) is not None
    return steps.taken


@pytest.mark.parametrize(
    ("kind", "changes", "at_most"),
    [
        ("daily", {}, 3),
        ("weekly", {}, 3),
        ("monthly", {}, 3),
        ("hourly", {}, 3),
        ("custom", {"repeat_interval": 1}, 3),
        ("rrule", {"rrule": "FREQ=MINUTELY"}, 3),
        ("rrule", {"rrule": "FREQ=DAILY;INTERVAL=3"}, 10),
        ("rrule", {"rrule": "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR"}, 10),
        ("rrule", {"rrule": "FREQ=MONTHLY;INTERVAL=5;BYDAY=-1FR"}, 10),
        ("rrule", {"rrule": "FREQ=YEARLY;INTERVAL=3"}, 10),
        ("rrule", {"rrule": "FREQ=DAILY;COUNT=9999;INTERVAL=10"}, 10),
        ("rrule", {"rrule": "FREQ=HOURLY;BYHOUR=9;BYMINUTE=0,30"}, 30),
        ("rrule", {"rrule": "FREQ=MINUTELY;BYDAY=MO;BYHOUR=9"}, 30),
    ],
)
@pytest.mark.parametrize("years_later", [0, 1, 20, 229])
def test_the_cost_does_not_grow_with_the_age_of_the_anchor(
    kind: str, changes: dict[str, Any], at_most: int, years_later: int
) -> None:
    schedule = a(kind, "1970-01-01T09:00", **changes)

    taken = steps_for_one_slot(schedule, utc(f"{1970 + years_later}-06-15T12:00"))

    assert 1 <= taken <= at_most


@pytest.mark.parametrize(
    "rule", ["FREQ=DAILY;INTERVAL=7;BYDAY=TU", "FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1"]
)
def test_a_rule_that_never_matches_is_searched_for_a_bounded_number_of_steps(rule: str) -> None:
    steps = Steps()

    found = next(
        slots_after(a_rule(rule, "2026-01-01T09:00"), utc("2026-01-01"), steps=steps), None
    )

    assert found is None
    assert 1_000 < steps.taken <= 40_001


def test_a_slot_moved_out_of_a_gap_is_still_to_come_after_its_nominal_time() -> None:
    daily = a("daily", "2020-01-01T02:30")

    assert calculate_next_run(daily, utc("2026-03-29T01:29:59")) == utc("2026-03-29T01:30:00")
    assert calculate_next_run(daily, utc("2026-03-29T01:30:00")) == utc("2026-03-30T00:30:00")
