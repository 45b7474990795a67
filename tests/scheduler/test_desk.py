"""What people do with schedules, and what it means for the slots."""

import contextlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from delivery import control
from delivery.model import Origin
from foundation.errors import Conflict, Invalid, NotFound, Stale
from scheduler import desk
from scheduler.model import ScheduleType, Status
from tests.scheduler.office import BERLIN, an_office


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_a_one_time_schedule_in_the_past_is_refused(tmp_path: Path) -> None:
    with an_office(tmp_path) as office, pytest.raises(Invalid, match="ago in"):
        office.schedule("2026-03-02T07:59", schedule_type=ScheduleType.ONCE)


@pytest.mark.parametrize("milliseconds", [300, 500, 700, 900])
def test_a_one_time_schedule_that_was_taken_runs_however_long_it_took_to_write_down(
    tmp_path: Path, milliseconds: int
) -> None:
    with an_office(tmp_path, execution_buffer="0") as office:
        far = office.schedule("2026-03-02T12:00", schedule_type=ScheduleType.ONCE)
        office.clock.look_takes = timedelta(milliseconds=milliseconds)
        taken = []
        with contextlib.suppress(Invalid):
            taken += [office.schedule("2026-03-02T08:00:01", schedule_type=ScheduleType.ONCE)]
        soon = office.clock.now() + timedelta(seconds=1)
        local = soon.astimezone(BERLIN).replace(microsecond=0, tzinfo=None)
        with contextlib.suppress(Invalid):
            taken += [office.edit(far, schedule_time=local)]

        office.clock.advance(seconds=5)
        runs = office.tick()

        assert {run.schedule_id for run in runs} == {schedule.id for schedule in taken}


def test_an_unknown_campaign_is_refused_with_every_other_mistake(tmp_path: Path) -> None:
    with an_office(tmp_path) as office, pytest.raises(Invalid) as refused:
        office.schedule("2026-03-02T09:00", campaign_id=77, timezone="Europe/Berlni")

    assert {e.field for e in refused.value.errors} == {"campaign_id", "timezone"}


def test_the_first_slot_of_an_old_anchor_is_the_first_after_the_creation(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2015-01-01T09:00")

        assert schedule.next_run == utc(2026, 3, 2, 8)


def test_an_edit_on_an_old_version_is_stale(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00")
        office.edit(schedule, note="one")

        with pytest.raises(Stale, match="version 2, not 1"):
            desk.edit(
                office.house.scheduler,
                schedule.id,
                {"note": "two"},
                expected_version=1,
                again_today=False,
            )


def test_a_one_time_schedule_cannot_be_changed_after_its_claim(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:01")
        (run,) = office.tick()

        with pytest.raises(Conflict, match="Too late") as refused:
            office.edit(schedule, schedule_time=datetime(2026, 3, 3, 9, 0))

        assert refused.value.extra == {"run_id": run.id}


def test_a_slot_can_be_moved_while_it_waits_for_the_buffer(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:00:20")

        moved = office.edit(schedule, schedule_time=datetime(2026, 3, 2, 9, 5))
        office.at("2026-03-02T09:06")
        (run,) = office.tick()

        assert moved.next_run == utc(2026, 3, 2, 8, 5)
        assert run.slot == utc(2026, 3, 2, 8, 5)
        assert [d[1:] for d in office.decided(schedule)] == [
            ("skipped", "edited"),
            ("claimed", None),
        ]


def test_a_day_that_has_run_does_not_run_again_after_an_edit(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        (run,) = office.tick()
        office.end(run)

        later = office.edit(schedule, schedule_time=datetime(2026, 3, 1, 11, 0))
        again = office.edit(schedule, again_today=True, note="once more")

        assert later.next_run == utc(2026, 3, 3, 10)
        assert again.next_run == utc(2026, 3, 2, 10)


def test_skipping_todays_slot_and_moving_it_later_skips_the_day(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        desk.skip_next(office.house.scheduler, schedule.id, slot=utc(2026, 3, 2, 8))

        moved = office.edit(schedule, schedule_time=datetime(2026, 3, 1, 10, 0))

        assert moved.next_run == utc(2026, 3, 3, 9)


def test_a_change_from_hourly_to_daily_makes_no_second_slot_of_the_same_instant(
    tmp_path: Path,
) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.HOURLY)
        office.at("2026-03-02T09:00:40")
        (run,) = office.tick()
        office.end(run)

        office.edit(schedule, schedule_type=ScheduleType.DAILY)
        office.clock.advance(minutes=5)

        assert office.tick() == []
        assert office.get(schedule).next_run == utc(2026, 3, 3, 8)


def test_slots_inside_a_pause_are_skipped_and_say_so(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        paused = desk.pause(office.house.scheduler, schedule.id, note="holiday")
        office.at("2026-03-03T12:00")
        assert office.tick() == []

        resumed = desk.resume(office.house.scheduler, schedule.id, note=None)

        assert (paused.status, paused.enabled, paused.note) == (Status.PAUSED, False, "holiday")
        assert (resumed.status, resumed.next_run) == (Status.PENDING, utc(2026, 3, 4, 8))
        assert [d[1:] for d in office.decided(schedule)] == [("skipped", "paused")] * 2


def test_a_pause_by_hand_in_the_file_means_the_same(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.write_entries([office.entry(schedule) | {"enabled": False}])
        office.tick()
        assert office.entry(schedule)["status"] == "paused"
        office.at("2026-03-02T12:00")
        assert office.tick() == []

        office.write_entries([office.entry(schedule) | {"enabled": True}])
        office.tick()

        assert office.entry(schedule)["next_run"] == "2026-03-03T08:00:00Z"
        assert [d[1:] for d in office.decided(schedule)] == [("skipped", "paused")]


def test_a_one_time_slot_that_falls_into_a_pause_is_cancelled(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:00:20")
        desk.pause(office.house.scheduler, schedule.id, note=None)

        office.at("2026-03-02T09:05")
        assert office.tick() == []

        assert office.entry(schedule)["status"] == "cancelled"
        assert office.decided(schedule) == [("2026-03-02T09:00", "skipped", "paused")]
        with pytest.raises(Conflict, match="no slot left"):
            desk.resume(office.house.scheduler, schedule.id, note=None)


def test_skip_next_names_the_slot_it_means(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")

        with pytest.raises(Conflict, match="The next slot is"):
            desk.skip_next(office.house.scheduler, schedule.id, slot=utc(2026, 3, 3, 8))
        answer = desk.skip_next(office.house.scheduler, schedule.id, slot=utc(2026, 3, 2, 8))
        office.at("2026-03-02T09:01")
        today = office.tick()
        office.at("2026-03-03T09:01")
        tomorrow = office.tick()

        assert answer.next_run == utc(2026, 3, 3, 8)
        assert (today, len(tomorrow)) == ([], 1)
        assert office.decided(schedule)[0] == ("2026-03-02T09:00", "skipped", "skipped by a person")


def test_skipping_the_slot_of_a_one_time_schedule_cancels_it(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:00:10")

        answer = desk.skip_next(office.house.scheduler, schedule.id, slot=utc(2026, 3, 2, 8))
        office.at("2026-03-02T09:02")

        assert (answer.status, answer.enabled, answer.next_run) == (Status.CANCELLED, False, None)
        assert office.tick() == []


def test_run_now_leaves_the_slots_alone(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00", max_runs=1)

        run = desk.run_now(office.house.scheduler, schedule.id, request_key=None)
        office.end(run)
        office.at("2026-03-02T09:01")
        (planned,) = office.tick()

        assert run.origin == Origin.RUN_NOW
        assert run.slot == utc(2026, 3, 2, 7)
        assert planned.slot == utc(2026, 3, 2, 8)
        assert office.get(schedule).total_runs == 2


def test_run_now_while_a_run_is_unfinished_names_it(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        run = desk.run_now(office.house.scheduler, schedule.id, request_key=None)

        with pytest.raises(Conflict) as refused:
            desk.run_now(office.house.scheduler, schedule.id, request_key=None)

        assert refused.value.extra == {"run_id": run.id}


def test_run_now_under_the_same_key_is_the_same_run_even_after_its_end(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        run = desk.run_now(office.house.scheduler, schedule.id, request_key="k")
        office.end(run)

        again = desk.run_now(office.house.scheduler, schedule.id, request_key="k")

        assert again.id == run.id


def test_run_now_works_on_a_paused_and_on_a_completed_schedule(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        once = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:01")
        office.end(office.tick()[0])
        office.tick()
        daily = office.schedule("2026-03-01T09:00")
        desk.pause(office.house.scheduler, daily.id, note=None)

        assert (
            desk.run_now(office.house.scheduler, once.id, request_key=None).schedule_id == once.id
        )
        assert (
            desk.run_now(office.house.scheduler, daily.id, request_key=None).schedule_id == daily.id
        )
        assert office.get(daily).enabled is False


def test_missed_slots_are_sent_as_one_run(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-04T12:00")
        office.tick()

        answer = desk.missed(office.house.scheduler, schedule.id, action="send", through=None)

        (run,) = office.runs(schedule)
        assert (run.origin, run.slot) == (Origin.MISSED, utc(2026, 3, 4, 8))
        assert [d[1] for d in office.decided(schedule)] == ["merged", "merged", "claimed"]
        assert answer.status == Status.RUNNING
        with pytest.raises(Conflict, match="no slot that waits"):
            desk.missed(office.house.scheduler, schedule.id, action="send", through=None)


def test_missed_slots_up_to_the_one_that_was_meant_are_skipped(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-04T12:00")
        office.tick()

        answer = desk.missed(
            office.house.scheduler, schedule.id, action="skip", through=utc(2026, 3, 3, 8)
        )

        assert [d[1] for d in office.decided(schedule)] == ["skipped", "skipped", "held"]
        assert (answer.status, office.runs(schedule)) == (Status.HELD, [])


def test_a_schedule_with_an_unfinished_run_cannot_be_deleted(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        run = desk.run_now(office.house.scheduler, schedule.id, request_key=None)
        with pytest.raises(Conflict) as refused:
            desk.delete(office.house.scheduler, schedule.id, expected_version=None)
        with office.house.database.write(durable=True) as tx:
            control.cancel(tx, run.id, office.clock.now(), by="ann")
            from delivery import ledger

            while not ledger.materialise(tx, run.id, rows=10, now=office.clock.now()):
                pass
            ledger.finish(tx, run.id, office.clock.now())

        desk.delete(office.house.scheduler, schedule.id, expected_version=None)

        assert refused.value.extra == {"run_id": run.id}
        assert office.entries() == []
        with pytest.raises(NotFound):
            office.get(schedule)


def test_an_id_is_never_used_again(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        first = office.schedule("2026-03-01T09:00")
        desk.delete(office.house.scheduler, first.id, expected_version=None)

        assert office.schedule("2026-03-01T09:00").id == first.id + 1


def test_an_entry_taken_out_of_the_file_can_be_brought_back(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.write_entries([])
        office.tick()
        gone = office.get(schedule)
        office.at("2026-03-03T12:00")
        assert office.tick() == []

        back = desk.edit(
            office.house.scheduler,
            schedule.id,
            {"enabled": True},
            expected_version=gone.version,
            again_today=False,
        )

        assert gone.status == Status.CANCELLED
        assert (back.status, back.next_run) == (Status.PENDING, utc(2026, 3, 4, 8))
        assert office.entry(schedule)["enabled"] is True


def test_upcoming_leaves_out_what_is_decided_and_ends_with_max_runs(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00", max_runs=3)
        desk.skip_next(office.house.scheduler, schedule.id, slot=utc(2026, 3, 2, 8))

        slots = desk.upcoming(office.house.scheduler, schedule.id, count=10)

        assert [s.at.day for s in slots] == [3, 4, 5]


def test_the_calendar_shows_what_was_decided_and_what_comes(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        (run,) = office.tick()

        items = desk.calendar(
            office.house.scheduler, utc(2026, 3, 1), utc(2026, 3, 1) + timedelta(days=4)
        )

        assert [(i.slot.day, i.decision, i.run_id) for i in items] == [
            (2, "claimed", run.id),
            (3, None, None),
            (4, None, None),
        ]


def test_skipping_ahead_does_not_make_today_run_again(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        office.end(office.tick()[0])
        desk.skip_next(office.house.scheduler, schedule.id, slot=utc(2026, 3, 3, 8))

        moved = office.edit(schedule, schedule_time=datetime(2026, 3, 1, 15, 0))

        assert moved.next_run == utc(2026, 3, 4, 14)


def test_a_zone_mended_while_the_slot_waits_leaves_the_slot_alive(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:00:10")

        moved = office.edit(schedule, timezone="America/New_York")

        assert (moved.enabled, moved.next_run) == (True, utc(2026, 3, 2, 14))


def test_again_today_runs_the_same_time_of_day_in_another_zone(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        office.end(office.tick()[0])

        moved = office.edit(schedule, timezone="America/New_York", again_today=True)

        assert moved.next_run == utc(2026, 3, 2, 14)


def test_a_one_time_schedule_that_was_skipped_runs_at_its_new_time(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        desk.skip_next(office.house.scheduler, schedule.id, slot=utc(2026, 3, 2, 8))

        moved = office.edit(schedule, schedule_time=datetime(2026, 3, 2, 11, 0), enabled=True)
        office.at("2026-03-02T11:01")

        assert moved.next_run == utc(2026, 3, 2, 10)
        assert len(office.tick()) == 1


def test_missed_slots_that_are_sent_wait_for_the_run_before(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-03T09:01")
        (first,) = office.tick()

        desk.missed(office.house.scheduler, schedule.id, action="send", through=None)

        assert office.waits_for(office.runs(schedule)[-1]) == first.id


def test_the_next_slot_of_a_paused_schedule_lies_ahead(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        desk.pause(office.house.scheduler, schedule.id, note=None)
        office.at("2026-03-05T12:00")

        (upcoming,) = desk.upcoming(office.house.scheduler, schedule.id, count=1)

        assert upcoming.at == utc(2026, 3, 6, 8)


def test_a_run_now_key_is_good_for_a_day(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        run = desk.run_now(office.house.scheduler, schedule.id, request_key="k")
        office.end(run)
        office.clock.advance(hours=25)

        later = desk.run_now(office.house.scheduler, schedule.id, request_key="k")

        assert later.id != run.id
