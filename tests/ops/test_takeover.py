import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundation.errors import Invalid, Unavailable
from ops.takeover import Takeover, import_schedules
from scheduler.model import ScheduleType, Status
from tests.scheduler.house import House

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.database.close()


def an_old_entry(**changes: Any) -> dict[str, Any]:
    return {
        "id": 17,
        "campaign_id": 1,
        "schedule_time": "2025-01-05T09:00",
        "schedule_type": "daily",
        "repeat_interval": None,
        "enabled": True,
        "last_run": "2026-03-01T09:00:00.123456",
        "next_run": "2026-03-02T09:00:00",
        "total_runs": 421,
        "status": "completed",
        "created_at": "2025-01-01T10:00:00",
    } | changes


def take_over(house: House, content: Any, timezone: str = "Europe/Berlin") -> Takeover:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return import_schedules(
        house.store, data, timezone=timezone, known_campaigns={1, 2}, now=house.clock.now()
    )


def test_an_entry_becomes_a_schedule_that_begins_now(house: House) -> None:
    report = take_over(house, [an_old_entry(owner="Ada")])

    [schedule] = report.imported
    assert (report.unknown_campaign, report.already, report.rejected) == ((), (), ())
    assert (schedule.id, schedule.version, schedule.campaign_id) == (1, 1, 1)
    assert schedule.schedule_time == datetime(2025, 1, 5, 9)
    assert (schedule.timezone, schedule.schedule_type) == ("Europe/Berlin", ScheduleType.DAILY)
    assert (schedule.last_run, schedule.total_runs) == (None, 0)
    assert schedule.created_at == NOW
    assert schedule.status is Status.PENDING
    assert schedule.next_run == datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
    assert house.edits == [(None, schedule)]
    assert house.store.read() == [schedule]


def test_what_the_older_tool_knew_is_kept_under_names_of_its_own(house: House) -> None:
    take_over(house, [an_old_entry(owner="Ada")])

    kept = {k: v for k, v in house.entries[0].items() if k.startswith("imported_") or k == "owner"}
    assert len(kept.pop("imported_digest")) == 16
    assert kept == {
        "imported_id": 17,
        "imported_last_run": "2026-03-01T09:00:00.123456",
        "imported_next_run": "2026-03-02T09:00:00",
        "imported_total_runs": 421,
        "imported_status": "completed",
        "imported_created_at": "2025-01-01T10:00:00",
        "owner": "Ada",
    }


def test_numbers_and_switches_may_be_texts(house: House) -> None:
    entry = an_old_entry(
        campaign_id="2", schedule_type=" Custom", repeat_interval="90", enabled="False"
    )

    [schedule] = take_over(house, [entry]).imported

    assert (schedule.campaign_id, schedule.repeat_interval, schedule.enabled) == (2, 90, False)
    assert schedule.status is Status.PAUSED


@pytest.mark.parametrize(
    ("written", "wall_time"),
    [
        ("2025-01-05T09:00", "2025-01-05T09:00:00"),
        ("2025-01-05 09:00:30", "2025-01-05T09:00:30"),
        ("2025-01-05T09:00:30.987654", "2025-01-05T09:00:30"),
        ("2025-01-05T09:00:00Z", "2025-01-05T10:00:00"),
        ("2025-07-05T09:00:00-04:00", "2025-07-05T15:00:00"),
    ],
)
def test_a_time_is_wall_clock_time_unless_it_has_an_offset(
    house: House, written: str, wall_time: str
) -> None:
    [schedule] = take_over(house, [an_old_entry(schedule_time=written)]).imported

    assert schedule.schedule_time.isoformat() == wall_time


def test_an_interval_that_meant_nothing_is_kept_aside(house: House) -> None:
    [schedule] = take_over(house, [an_old_entry(repeat_interval=60)]).imported

    assert schedule.repeat_interval is None
    assert schedule.unknown["imported_repeat_interval"] == 60


@pytest.mark.parametrize("status", ["pending", "completed", None])
def test_a_one_time_schedule_in_the_past_is_over(house: House, status: str | None) -> None:
    entry = an_old_entry(schedule_type="once", schedule_time="2026-03-02T08:59", status=status)

    [schedule] = take_over(house, [entry]).imported

    assert (schedule.enabled, schedule.next_run) == (False, None)
    assert schedule.status is Status.COMPLETED


def test_a_one_time_schedule_still_to_come_runs_unless_the_older_tool_ran_it(house: House) -> None:
    future = {"schedule_type": "once", "schedule_time": "2026-03-02T09:01"}
    entries = [
        an_old_entry(id=1, **future, status="pending"),
        an_old_entry(id=2, **future, status="completed"),
        an_old_entry(id=3, **future, status="Cancelled"),
    ]

    imported = take_over(house, entries).imported

    assert [s.enabled for s in imported] == [True, False, False]
    assert imported[0].next_run == datetime(2026, 3, 2, 8, 1, tzinfo=UTC)


def test_a_schedule_of_an_unknown_campaign_comes_in_disabled_and_is_listed(house: House) -> None:
    report = take_over(house, [an_old_entry(id=1), an_old_entry(id=2, campaign_id=99)])

    assert [s.enabled for s in report.imported] == [True, False]
    assert [s.campaign_id for s in report.unknown_campaign] == [99]


def test_every_wrong_field_is_named_and_the_good_entries_come_in(house: House) -> None:
    report = take_over(
        house,
        [
            an_old_entry(id=1, schedule_type="fortnightly", campaign_id="x", enabled="maybe"),
            an_old_entry(id=2),
            an_old_entry(id=3, schedule_type="custom", repeat_interval=0),
            an_old_entry(id=4, schedule_time="2025-02-30T09:00"),
            {"id": 5},
            "text",
            None,
        ],
    )

    assert [s.unknown["imported_id"] for s in report.imported] == [2]
    wrong = {r.index: {e.field for e in r.errors} for r in report.rejected}
    assert wrong == {
        0: {"schedule_type", "campaign_id", "enabled"},
        2: {"repeat_interval"},
        3: {"schedule_time"},
        4: {"campaign_id", "schedule_time", "schedule_type"},
        5: {"entry"},
        6: {"entry"},
    }
    assert [r.old_id for r in report.rejected] == [1, 3, 4, 5, None, None]


def test_the_same_file_taken_over_twice_adds_nothing(house: House) -> None:
    content = [an_old_entry(id=1), an_old_entry(id=2), {**an_old_entry(), "id": None}]
    take_over(house, content)
    ran_meanwhile = [
        e | {"total_runs": 422, "next_run": None, "status": "pending"} for e in content
    ]

    again = take_over(house, ran_meanwhile, timezone="UTC")

    assert again.imported == ()
    assert again.already == (0, 1, 2)
    assert len(house.store.read()) == 3


def test_what_was_edited_or_taken_out_since_is_not_added_again(house: House) -> None:
    content = [an_old_entry(id=1), an_old_entry(id=2)]
    take_over(house, content)
    house.change(0, schedule_time="2026-04-01T10:00:00")
    house.write(house.entries[:1])

    assert take_over(house, content).already == (0, 1)


def test_an_entry_that_was_changed_in_the_older_tool_is_another(house: House) -> None:
    take_over(house, [an_old_entry()])

    report = take_over(house, [an_old_entry(schedule_time="2025-01-05T10:00")])

    assert len(report.imported) == 1


def test_an_entry_that_stands_twice_comes_in_once(house: House) -> None:
    report = take_over(house, [an_old_entry(), an_old_entry()])

    assert len(report.imported) == 1
    assert report.already == (1,)


def test_everything_comes_in_with_one_save_behind_what_is_there(house: House) -> None:
    there = house.add()
    house.disk.calls.clear()

    take_over(house, [an_old_entry(id=there.id), an_old_entry(id=2)])

    assert house.disk.calls.count("rename") == 1
    assert [entry["id"] for entry in house.entries] == [1, 2, 3]


@pytest.mark.parametrize("name", ["scheduled_campaigns", "schedules"])
def test_the_list_may_stand_in_an_object(house: House, name: str) -> None:
    assert len(take_over(house, {"version": 1, name: [an_old_entry()]}).imported) == 1


@pytest.mark.parametrize(
    "data", [b"", b"{", b"\xff", b"{}", b'"x"', b'{"schedules": {}}', b"[" * 300 + b"]" * 300]
)
def test_a_file_that_is_no_list_of_schedules_is_refused(house: House, data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        take_over(house, data)

    assert [e.field for e in caught.value.errors] == ["file"]


@pytest.mark.parametrize("zone", ["", "Mars/Phobos", "../etc/passwd", "Europe", "\0"])
def test_a_zone_that_does_not_exist_is_refused(house: House, zone: str) -> None:
    with pytest.raises(Invalid) as caught:
        take_over(house, [an_old_entry()], timezone=zone)

    assert [e.field for e in caught.value.errors] == ["timezone"]


def test_nothing_comes_in_when_the_file_cannot_be_written(house: House) -> None:
    house.load()
    house.disk.fails = {"write_temp": OSError(28, "No space left on device")}

    with pytest.raises(Unavailable):
        take_over(house, [an_old_entry()])

    assert house.entries == []
    assert house.store.read() == []


_values = (
    st.none()
    | st.booleans()
    | st.integers(-5, 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["once", "custom", "daily", "2025-01-05T09:00", "UTC", "5", "", "9" * 50])
    | st.text(max_size=5)
    | st.lists(st.integers(), max_size=2)
)


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.dictionaries(
        st.sampled_from([*an_old_entry(), "timezone", "rrule", "imported_id", "note"]), _values
    )
)
def test_any_entry_is_taken_over_or_rejected_by_its_fields(
    house: House, changes: dict[str, Any]
) -> None:
    report = take_over(house, [an_old_entry(**changes)])

    assert len(report.imported) + len(report.already) + len(report.rejected) == 1
    assert {e.field for r in report.rejected for e in r.errors} <= {*changes, "repeat_interval"}
    assert all(s.next_run is None or s.next_run > NOW for s in report.imported)
