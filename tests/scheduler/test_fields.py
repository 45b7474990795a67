"""Which definitions of a schedule are refused, and with which words."""

from dataclasses import fields as dataclass_fields
from datetime import UTC, datetime
from typing import Any

import pytest

from foundation.errors import Invalid
from scheduler.fields import LONGEST_INTERVAL_MINUTES, ScheduleFields, check
from scheduler.model import ScheduleType
from tests.builders import a_schedule


def the_fields(**changes: Any) -> ScheduleFields:
    schedule = a_schedule(**changes)
    return ScheduleFields(
        **{field.name: getattr(schedule, field.name) for field in dataclass_fields(ScheduleFields)}
    )


def refusals(**changes: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        check(the_fields(**changes))
    return {error.field: error.message for error in refused.value.errors}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule_type": ScheduleType.ONCE},
        {"schedule_type": ScheduleType.HOURLY},
        {"schedule_type": ScheduleType.WEEKLY, "timezone": "UTC"},
        {
            "schedule_type": ScheduleType.MONTHLY,
            "schedule_time": datetime(2200, 12, 31, 23, 59, 59),
        },
        {"schedule_type": ScheduleType.CUSTOM, "repeat_interval": 1},
        {"schedule_type": ScheduleType.CUSTOM, "repeat_interval": LONGEST_INTERVAL_MINUTES},
        {"schedule_type": ScheduleType.RRULE, "rrule": "FREQ=WEEKLY;BYDAY=MO"},
        {"schedule_type": ScheduleType.RRULE, "rrule": "FREQ=MINUTELY;COUNT=10000"},
        {"schedule_type": ScheduleType.RRULE, "rrule": "FREQ=YEARLY;INTERVAL=100;COUNT=10000"},
        {"max_runs": 1, "ends_at": datetime(2026, 3, 1, 8, 0, tzinfo=UTC)},
        {"schedule_time": datetime(1970, 1, 1), "timezone": "Pacific/Kiritimati"},
    ],
)
def test_a_definition_that_makes_sense_is_accepted(changes: dict[str, Any]) -> None:
    check(the_fields(**changes))
    check(a_schedule(**changes))


def test_every_wrong_field_is_named() -> None:
    refused = refusals(
        campaign_id=0,
        timezone="Mars/Olympus",
        schedule_time=datetime(1969, 12, 31, 9, 0),
        repeat_interval=60,
        rrule="FREQ=DAILY",
        max_runs=0,
        ends_at=datetime(2026, 12, 31),
    )

    assert set(refused) == {
        "campaign_id", "timezone", "schedule_time", "repeat_interval", "rrule", "max_runs", "ends_at"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        ("utc ", "UTC"),
    ],
)
def test_an_unknown_time_zone_brings_the_names_that_may_be_meant(name: str, instead: str) -> None:
    assert instead in refusals(timezone=name)["timezone"]


@pytest.mark.parametrize(
    "name",
    ["localtime", "/etc/localtime", "../../etc/passwd", "Europe", "posixrules", "x\0y", "é" * 9999],
)
def test_what_is_no_zone_everywhere_is_refused(name: str) -> None:
    assert "is not an IANA time zone" in refusals(timezone=name)["timezone"]


def test_an_empty_zone_is_refused() -> None:
    assert "as Europe/Berlin or UTC" in refusals(timezone="")["timezone"]


@pytest.mark.parametrize("minutes", [None, 0, -5, LONGEST_INTERVAL_MINUTES + 1])
def test_custom_needs_an_interval_that_is_possible(minutes: int | None) -> None:
    assert "minutes" in refusals(
        schedule_type=ScheduleType.CUSTOM, repeat_interval=minutes
    )["repeat_interval"]  # fmt: skip


def test_rrule_needs_a_rule_that_is_possible() -> None:
    assert "needs rrule" in refusals(schedule_type=ScheduleType.RRULE)["rrule"]
    assert (
        "BYHOUR"
        in refusals(schedule_type=ScheduleType.RRULE, rrule="FREQ=DAILY;BYHOUR=25")["rrule"]
    )


@pytest.mark.parametrize("year", [1969, 2201])
def test_a_year_that_is_too_far_away_is_refused(year: int) -> None:
    assert "1970 to 2200" in refusals(schedule_time=datetime(year, 6, 1))["schedule_time"]


def test_a_time_with_an_offset_is_refused() -> None:
    assert "offset" in refusals(schedule_time=datetime(2026, 3, 1, 9, tzinfo=UTC))["schedule_time"]


def test_an_end_before_the_first_slot_is_refused() -> None:
    message = refusals(ends_at=datetime(2026, 3, 1, 7, 59, 59, tzinfo=UTC))["ends_at"]

    assert "no slot" in message
    assert "2026-03-01T09:00:00+01:00" in message


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;INTERVAL=7;BYDAY=SA",
        "FREQ=DAILY;BYHOUR=9;BYSETPOS=2",
        "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=6",
        "FREQ=WEEKLY;BYDAY=MO;BYSETPOS=2",
        "FREQ=YEARLY;BYYEARDAY=366;BYMONTH=1",
        "FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1",
        "FREQ=HOURLY;INTERVAL=24;BYHOUR=3",
        "FREQ=HOURLY;BYYEARDAY=1;BYMONTH=2",
        "FREQ=MINUTELY;INTERVAL=2;BYMINUTE=1;COUNT=10000",
    ],
)
def test_a_rule_without_an_occurrence_is_refused(rule: str) -> None:
    message = refusals(schedule_type=ScheduleType.RRULE, rrule=rule)["rrule"]

    assert "no occurrence after 2026-03-01T09:00:00" in message


def test_a_rule_that_is_over_before_it_begins_is_refused() -> None:
    message = refusals(schedule_type=ScheduleType.RRULE, rrule="FREQ=DAILY;UNTIL=20260228")["rrule"]

    assert "UNTIL" in message


def test_a_count_that_takes_too_long_to_follow_is_refused() -> None:
    rule = "FREQ=MINUTELY;INTERVAL=7;BYHOUR=9;BYMINUTE=0;COUNT=10000"

    assert "by UNTIL or ends_at" in refusals(schedule_type=ScheduleType.RRULE, rrule=rule)["rrule"]
