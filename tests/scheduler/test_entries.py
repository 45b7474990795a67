from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundation.errors import Invalid
from scheduler.entries import (
    NO_ID,
    Damaged,
    check,
    parse,
    render,
    same_definition,
    to_entry,
    to_schedule,
    written_id,
)
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType, Status
from tests.builders import NOON, a_schedule

_instants = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(
    lambda t: t.replace(tzinfo=UTC)
)
_numbers = st.integers(1, 2**31 - 1)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_schedules = st.builds(
    Schedule,
    id=_numbers,
    version=_numbers,
    campaign_id=_numbers,
    schedule_time=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)).map(
        lambda t: t.replace(microsecond=0)
    ),
    schedule_type=st.sampled_from(ScheduleType),
    repeat_interval=st.none() | _numbers,
    rrule=st.none() | st.text(),
    timezone=st.text(),
    enabled=st.booleans(),
    ends_at=st.none() | _instants,
    max_runs=st.none() | _numbers,
    catch_up=st.sampled_from(CatchUp),
    overlap=st.sampled_from(Overlap),
    note=st.none() | st.text(),
    created_at=_instants,
    last_run=st.none() | _instants,
    next_run=st.none() | _instants,
    total_runs=st.integers(0, 2**31 - 1),
    status=st.sampled_from(Status),
    unknown=st.dictionaries(st.text().map(lambda key: "x" + key), _json, max_size=3).map(
        MappingProxyType
    ),
)


def an_entry(**changes: Any) -> dict[str, Any]:
    return to_entry(a_schedule()) | changes


def understand(entry: object, known: Schedule | None = None) -> Schedule:
    return to_schedule(entry, known=known, now=NOON)


def wrong_fields(entry: object) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        understand(entry)
    return {e.field: e.message for e in caught.value.errors}


@given(_schedules)
def test_a_schedule_that_was_written_is_read_back_the_same(schedule: Schedule) -> None:
    [entry] = parse(render([to_entry(schedule)]))

    assert understand(entry) == schedule


@given(st.dictionaries(st.sampled_from(sorted(an_entry())), _json))
def test_whatever_stands_in_an_entry_is_read_or_refused_with_its_fields(
    changes: dict[str, Any],
) -> None:
    wrong: set[str] = set()

    try:
        understand(an_entry(**changes))
    except Invalid as invalid:
        wrong = {e.field for e in invalid.errors}

    assert wrong <= set(changes) - {"last_run", "next_run", "total_runs", "status"}


def test_what_is_left_out_has_the_contracts_values() -> None:
    schedule = understand(
        {"campaign_id": 5, "schedule_time": "2026-03-01T09:00", "schedule_type": "daily"}
    )

    assert schedule == a_schedule(id=NO_ID, campaign_id=5, timezone="UTC", created_at=NOON)


def test_what_is_left_out_of_a_known_entry_is_not_changed() -> None:
    known = a_schedule(version=7, last_run=NOON, total_runs=4, status=Status.RUNNING)
    ours = {"version", "created_at", "last_run", "next_run", "total_runs", "status"}
    entry = {key: value for key, value in to_entry(known).items() if key not in ours}

    assert understand(entry, known) == known


def test_every_wrong_field_is_named_with_what_it_is() -> None:
    errors = wrong_fields(
        an_entry(
            id="7",
            campaign_id=0,
            schedule_time="2026-03-01T09:00:00Z",
            schedule_type="fortnightly",
            repeat_interval=1.5,
            timezone=None,
            enabled="true",
            ends_at="2026-03-01",
            max_runs=-1,
            catch_up="maybe",
            overlap=None,
            note=7,
        )
    )

    assert errors == {
        "id": 'must be a whole number without quotes; it is "7"',
        "campaign_id": "must be greater than or equal to 1; it is 0",
        "schedule_time": "must be wall-clock time without an offset, as 2026-11-24T09:00:00;"
        ' it is "2026-03-01T09:00:00Z"',
        "schedule_type": "must be 'once', 'hourly', 'daily', 'weekly', 'monthly', 'custom' or"
        " 'rrule'; it is \"fortnightly\"",
        "repeat_interval": "must be a whole number without quotes; it is 1.5",
        "timezone": "must be a text in quotes; it is null",
        "enabled": 'must be true or false, without quotes; it is "true"',
        "ends_at": 'must be an instant as 2026-11-24T09:00:00Z; it is "2026-03-01"',
        "max_runs": "must be greater than or equal to 1; it is -1",
        "catch_up": "must be 'hold', 'send' or 'skip'; it is \"maybe\"",
        "overlap": "must be 'wait' or 'skip'; it is null",
        "note": "must be a text in quotes; it is 7",
    }


def test_what_must_be_there_is_named() -> None:
    assert wrong_fields({}) == {
        "campaign_id": "is missing",
        "schedule_time": "is missing",
        "schedule_type": "is missing",
    }


@pytest.mark.parametrize("entry", [None, True, 1, "x", [], ["x"] * 100])
def test_what_is_no_object_is_said_to_be_none(entry: object) -> None:
    [message] = wrong_fields(entry).values()

    assert message.startswith("must be an object in { }, not ")
    assert len(message) < 120


@pytest.mark.parametrize(
    "time",
    [
        "2026-02-30T09:00",
        "2026-03-01T24:00",
        "0000-01-01T00:00",
        "2026-W10-1T09:00",
        "20260301T0900",
        "2026-03-01",
        "2026-03-01T\u0660\u0669:00",
        "2026-03-01T09:00:00.5",
        "2026-03-01T09:00+01:00",
        "",
        1772352000,
    ],
)
def test_a_time_that_does_not_exist_is_refused(time: object) -> None:
    assert list(wrong_fields(an_entry(schedule_time=time))) == ["schedule_time"]


@pytest.mark.parametrize("time", ["2026-03-01T09:00", "2026-03-01 09:00", "2026-03-01T09:00:00"])
def test_wall_time_may_be_written_as_people_write_it(time: str) -> None:
    assert understand(an_entry(schedule_time=time)).schedule_time == datetime(2026, 3, 1, 9)


def test_an_instant_may_have_any_offset_and_is_kept_in_utc() -> None:
    schedule = understand(an_entry(ends_at="2026-12-31t23:59:59+05:30"))

    assert schedule.ends_at == datetime(2026, 12, 31, 18, 29, 59, tzinfo=UTC)
    assert to_entry(schedule)["ends_at"] == "2026-12-31T18:29:59Z"


@pytest.mark.parametrize("instant", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_instant_beyond_the_calendar_is_refused(instant: str) -> None:
    assert list(wrong_fields(an_entry(ends_at=instant))) == ["ends_at"]


def test_the_ledgers_fields_are_never_a_reason_to_refuse() -> None:
    known = a_schedule(last_run=NOON, next_run=NOON + timedelta(days=1), total_runs=4)
    entry = to_entry(known) | {
        "last_run": 5,
        "next_run": "",
        "total_runs": -1,
        "status": "sleeping",
    }

    assert understand(entry, known).last_run is None
    assert understand(entry).status is Status.PENDING
    assert understand(entry).total_runs == 0


def test_instants_are_written_in_utc_with_a_z() -> None:
    tokyo = datetime(2026, 3, 2, 21, tzinfo=timezone(timedelta(hours=9)))

    assert to_entry(a_schedule(created_at=tokyo))["created_at"] == "2026-03-02T12:00:00Z"


def test_keys_we_do_not_know_stand_last_and_count_as_the_persons_own() -> None:
    schedule = understand(an_entry(colour="red"))

    assert list(to_entry(schedule))[-1] == "colour"
    assert not same_definition(schedule, a_schedule())


def test_version_and_the_ledgers_fields_are_no_part_of_the_definition() -> None:
    changed = a_schedule(version=9, last_run=NOON, next_run=NOON, total_runs=1, status=Status.HELD)

    assert same_definition(a_schedule(), changed)
    assert not same_definition(a_schedule(), a_schedule(enabled=False))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timezone": "Mars/Phobos"}, "timezone"),
        ({"schedule_type": ScheduleType.CUSTOM}, "repeat_interval"),
        ({"schedule_type": ScheduleType.RRULE, "rrule": "FREQ=SECONDLY"}, "rrule"),
        ({"rrule": "FREQ=DAILY"}, "rrule"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_by_its_field(
    changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as caught:
        check(a_schedule(**changes), known=a_schedule())

    assert [e.field for e in caught.value.errors] == [field]


def test_what_was_good_once_stays_good() -> None:
    odd = a_schedule(timezone="Mars/Phobos")

    check(replace(odd, version=5, total_runs=7), known=odd)


@pytest.mark.parametrize(
    ("entry", "id_"),
    [
        ({"id": 7}, 7),
        ({"id": 2**31 - 1}, 2**31 - 1),
        ({"id": 2**31}, None),
        ({"id": 0}, None),
        ({"id": True}, None),
        ({"id": 7.0}, None),
        ({"id": "7"}, None),
        ({}, None),
        ([7], None),
    ],
)
def test_only_an_id_that_a_schedule_can_have_is_one(entry: object, id_: int | None) -> None:
    assert written_id(entry) == id_


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b'{"schedules": []}', "not a list"),
        (b"[1,", "line 1"),
        (b"[" * 300 + b"]" * 300, "too deep"),
        (b"[" * 5000 + b"]" * 5000, "line 1"),
        (b'["\\ud800"]', "surrogate"),
        (b"[NaN]", "unexpected"),
    ],
)
def test_damage_is_told_with_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Damaged, match=reason):
        parse(data)


@given(_json)
def test_whatever_is_read_can_be_written_again(value: Any) -> None:
    raw = orjson.dumps([value])

    assert parse(render(parse(raw))) == orjson.loads(raw)
