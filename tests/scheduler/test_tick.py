"""The tick: each slot of a schedule runs once, whatever happens between two steps."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text

from campaigns import store as campaign_store
from delivery import ledger, slots
from delivery.model import Run, RunStatus
from foundation.errors import Unavailable
from scheduler import desk, tick
from scheduler.model import CatchUp, Overlap, Schedule, ScheduleType, Status
from storage.database import Database
from storage.disk import OsDisk
from tests.scheduler.office import Office, an_office


def test_a_due_slot_is_claimed_once_after_the_buffer(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)

        office.at("2026-03-02T09:00:29")
        early = office.tick()
        office.at("2026-03-02T09:00:30")
        due = office.tick()
        office.clock.advance(hours=2)
        late = office.tick()

        assert (early, len(due), late) == ([], 1, [])
        assert due[0].slot == datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
        entry = office.entry(schedule)
        assert entry["enabled"] is False
        assert entry["next_run"] is None
        assert entry["total_runs"] == 1
        assert entry["last_run"] == "2026-03-02T08:00:30Z"
        assert entry["status"] == "running"


def test_the_end_of_a_run_reaches_the_file_with_the_next_tick(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:01")
        (run,) = office.tick()

        office.end(run)
        office.tick()

        assert office.entry(schedule)["status"] == "completed"


def test_a_daily_schedule_goes_on_to_the_next_day(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")

        office.at("2026-03-02T09:01")
        (run,) = office.tick()
        office.end(run)
        office.tick()

        entry = office.entry(schedule)
        assert (entry["enabled"], entry["next_run"]) == (True, "2026-03-03T08:00:00Z")
        assert entry["status"] == "pending"


class Dead(BaseException):
    """The process died here."""


class DyingDisk(OsDisk):
    """A disk on which the next rename never happens: the process dies before it."""

    def __init__(self) -> None:
        self.dies = False

    def rename(self, source: Path, target: Path) -> None:
        if self.dies:
            raise Dead
        super().rename(source, target)


def test_a_slot_claimed_before_the_crash_is_not_claimed_again(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:01")
        office.house.store._file._disk = disk = DyingDisk()
        disk.dies = True
        with pytest.raises(Dead):
            office.tick()
        assert office.entry(schedule)["total_runs"] == 0

    with an_office(tmp_path, "2026-03-02T09:02") as office:
        office.tick()

        assert len(office.runs(schedule)) == 1
        entry = office.entry(schedule)
        assert (entry["total_runs"], entry["enabled"], entry["next_run"]) == (1, False, None)


def test_a_file_that_cannot_be_saved_for_days_stops_no_slot(tmp_path: Path) -> None:
    class FullDisk(OsDisk):
        def sync(self, path: Path) -> None:
            raise OSError(28, "No space left on device")

    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        disk, office.house.store._file._disk = office.house.store._file._disk, FullDisk()
        for day in ("02", "03"):
            office.at(f"2026-03-{day}T09:01")
            with pytest.raises(Exception, match="No space left"):
                office.tick()
            office.end(office.runs(schedule)[-1])
        office.house.store._file._disk = disk

        office.tick()

        assert [r.slot.day for r in office.runs(schedule)] == [2, 3]
        entry = office.entry(schedule)
        assert (entry["total_runs"], entry["next_run"]) == (2, "2026-03-04T08:00:00Z")


def test_four_threads_that_tick_at_once_make_one_run(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedules = [office.schedule("2026-03-01T09:00") for _ in range(5)]
        office.at("2026-03-02T09:01")
        together = threading.Barrier(4)
        made = []

        def ticks() -> None:
            together.wait()
            for _ in range(3):
                made.extend(office.tick())

        threads = [threading.Thread(target=ticks) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(r.schedule_id for r in made) == [s.id for s in schedules]
        assert [len(office.runs(s)) for s in schedules] == [1] * 5


def test_a_process_that_stands_by_claims_nothing(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00")
        office.at("2026-03-02T09:01")
        office.house.leader._epoch = None

        assert office.tick() == []

        assert office.runs(schedule) == []


def test_of_slots_due_together_only_the_latest_runs(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule(
            "2026-03-02T08:10", schedule_type=ScheduleType.CUSTOM, repeat_interval=10
        )

        office.at("2026-03-02T08:41")
        (run,) = office.tick()

        assert run.slot.minute == 40
        assert [d[:2] for d in office.decided(schedule)] == [
            ("2026-03-02T08:10", "merged"),
            ("2026-03-02T08:20", "merged"),
            ("2026-03-02T08:30", "merged"),
            ("2026-03-02T08:40", "claimed"),
        ]
        assert {r.run_id for r in office.slot_rows(schedule)} == {run.id}


@pytest.mark.parametrize(
    ("rule", "decisions", "runs"),
    [(CatchUp.HOLD, "held", 0), (CatchUp.SKIP, "skipped", 0), (CatchUp.SEND, "claimed", 1)],
)
def test_a_slot_missed_by_more_than_the_window_goes_by_catch_up(
    tmp_path: Path, rule: CatchUp, decisions: str, runs: int
) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00", catch_up=rule)

        office.at("2026-03-02T10:00:01")
        made = office.tick()

        assert len(made) == runs
        assert [d[1] for d in office.decided(schedule)] == [decisions]
        assert office.tick() == []


def test_a_held_slot_shows_and_later_slots_run_on_time(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T12:00")
        office.tick()
        assert office.entry(schedule)["status"] == "held"

        office.at("2026-03-03T09:01")
        (run,) = office.tick()

        assert run.slot.day == 3
        assert [d[1] for d in office.decided(schedule)] == ["held", "claimed"]


def test_one_run_for_all_that_were_missed(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00", catch_up=CatchUp.SEND)

        office.at("2026-03-05T09:01")
        made = office.tick()

        assert [r.slot.day for r in made] == [5]
        assert [d[1] for d in office.decided(schedule)] == ["merged", "merged", "merged", "claimed"]


def test_more_than_a_hundred_missed_slots_are_one_row(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.HOURLY)

        office.at("2026-04-02T09:30")
        made = office.tick()

        held, claimed = office.slot_rows(schedule)
        assert [r.slot.hour for r in made] == [7]
        assert (held.decision, claimed.decision) == ("held", "claimed")
        assert held.reason is not None
        assert held.reason.endswith("check the clock")
        assert (
            held.slots == 31 * 24 - 1
        )  # the clocks went forward once: local 09:00 is an hour earlier
        assert held.until is not None
        assert claimed.at - held.until == timedelta(hours=1)


def test_a_step_back_of_the_clock_runs_nothing_twice(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        (run,) = office.tick()
        office.end(run)

        office.clock.set_wall_clock(office.clock.now() - timedelta(hours=3))
        office.tick()
        office.at("2026-03-02T09:01")
        again = office.tick()

        assert again == []
        assert len(office.runs(schedule)) == 1


def test_max_runs_counts_claimed_slots(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00", max_runs=2)

        for day in ("02", "03", "04"):
            office.at(f"2026-03-{day}T09:01")
            for run in office.tick():
                office.end(run)
        office.tick()

        assert [r.slot.day for r in office.runs(schedule)] == [2, 3]
        entry = office.entry(schedule)
        assert (entry["enabled"], entry["next_run"], entry["status"]) == (False, None, "completed")


def test_the_slot_at_ends_at_still_runs(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        ends = datetime(2026, 3, 3, 8, 0, tzinfo=UTC)
        schedule = office.schedule("2026-03-01T09:00", ends_at=ends)

        for day in ("02", "03", "04"):
            office.at(f"2026-03-{day}T09:01")
            office.tick()

        assert [d[0] for d in office.decided(schedule)] == ["2026-03-02T09:00", "2026-03-03T09:00"]


def test_a_slot_waits_for_the_run_before_it_and_at_most_one_waits(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.HOURLY)

        for hour in (9, 10, 11):
            office.at(f"2026-03-02T{hour:02}:01")
            office.tick()

        assert [r.status for r in office.runs(schedule)] == [RunStatus.CLAIMED] * 2
        assert [d[1:] for d in office.decided(schedule)] == [
            ("claimed", None),
            ("claimed", None),
            ("skipped", "overlap"),
        ]


def test_overlap_skip_leaves_the_slot_out(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule(
            "2026-03-02T09:00", schedule_type=ScheduleType.HOURLY, overlap=Overlap.SKIP
        )

        for hour in (9, 10):
            office.at(f"2026-03-02T{hour:02}:01")
            office.tick()

        assert [d[1:] for d in office.decided(schedule)] == [
            ("claimed", None),
            ("skipped", "overlap"),
        ]


def test_a_campaign_that_is_gone_makes_a_run_that_has_failed_and_says_why(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        with office.house.database.write(durable=True) as tx:
            campaign_store.delete(tx, office.campaign_id, expected_version=None, kept_by=None)

        office.at("2026-03-02T09:01")
        (run,) = office.tick()

        assert run.status == RunStatus.FAILED
        assert run.reason is not None
        assert f"no campaign {office.campaign_id}" in run.reason
        office.tick()
        assert office.get(schedule).last_run == office.clock.now()


def test_a_schedule_that_raises_stops_nobody_but_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_office(tmp_path) as office:
        broken = office.schedule("2026-03-01T09:00")
        sound = office.schedule("2026-03-01T09:00")
        decide = tick.decide

        def raises(schedule, *args, **kwargs):  # type: ignore[no-untyped-def]
            if schedule.id == broken.id:
                raise ZeroDivisionError
            return decide(schedule, *args, **kwargs)

        monkeypatch.setattr(tick, "decide", raises)
        office.at("2026-03-02T09:01")
        made = office.tick()

        assert [r.schedule_id for r in made] == [sound.id]


def test_a_tick_with_nothing_to_do_reads_no_file_and_takes_no_lock(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        office.schedule("2026-03-01T09:00")
        office.tick()
        office.tick()

        def refuse(*args: object, **given: object) -> None:
            raise AssertionError("an idle tick must not do this")

        office.house.store.read = refuse  # type: ignore[method-assign,assignment]
        office.house.store.edit = refuse  # type: ignore[method-assign,assignment]

        assert office.tick() == []


def test_an_entry_written_by_hand_begins_when_it_is_read(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        entry = {
            "campaign_id": office.campaign_id,
            "schedule_time": "2026-02-01T09:00:00",
            "schedule_type": "daily",
            "timezone": "Europe/Berlin",
            "colour": "blue",
        }
        office.write_entries([entry])

        made = office.tick()

        (written,) = office.entries()
        assert made == []
        assert written["next_run"] == "2026-03-02T08:00:00Z"
        assert (written["id"], written["colour"], written["status"]) == (1, "blue", "pending")


def test_a_hand_edit_of_the_time_passes_over_the_slot_that_waited(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:00:10")
        office.tick()

        office.write_entries([office.entry(schedule) | {"schedule_time": "2026-03-01T09:30:00"}])
        office.tick()
        office.at("2026-03-02T09:31")
        (run,) = office.tick()

        assert run.slot.minute == 30
        assert [d[1:] for d in office.decided(schedule)] == [
            ("skipped", "edited"),
            ("claimed", None),
        ]


def test_the_ledgers_fields_edited_by_hand_are_set_right(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")

        office.write_entries([office.entry(schedule) | {"total_runs": 99, "last_run": None}])
        office.tick()

        assert office.entry(schedule)["total_runs"] == 0
        assert office.get(schedule).status == Status.PENDING


def test_slots_that_overlap_are_not_merged_into_a_run_that_is_not_made(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule(
            "2026-03-02T09:00",
            schedule_type=ScheduleType.HOURLY,
            catch_up=CatchUp.SEND,
            overlap=Overlap.SKIP,
        )
        office.at("2026-03-02T09:01")
        office.tick()

        office.at("2026-03-02T13:01")
        made = office.tick()

        assert made == []
        assert {d[1:] for d in office.decided(schedule)[1:]} == {("skipped", "overlap")}


def test_a_slot_left_out_by_overlap_does_not_decide_its_day(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00", overlap=Overlap.SKIP)
        office.at("2026-03-02T09:01")
        (run,) = office.tick()
        office.at("2026-03-03T09:01")
        office.tick()
        office.end(run)

        moved = office.edit(schedule, schedule_time=datetime(2026, 3, 1, 15, 0))

        assert moved.next_run == datetime(2026, 3, 3, 14, 0, tzinfo=UTC)


def test_a_claim_that_fails_stops_nobody_but_its_own_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_office(tmp_path) as office:
        broken = office.schedule("2026-03-01T09:00")
        sound = office.schedule("2026-03-01T09:00")
        break_claims_of(broken, monkeypatch)
        office.at("2026-03-02T09:01")
        made = office.tick()
        monkeypatch.undo()
        again = office.tick()

        assert [r.schedule_id for r in made] == [sound.id]
        assert [r.schedule_id for r in again] == [broken.id]


def test_a_window_of_nothing_still_lets_slots_run_on_time(tmp_path: Path) -> None:
    with an_office(tmp_path, catch_up_window="0", execution_buffer="0") as office:
        office.schedule("2026-03-01T09:00")

        office.at("2026-03-02T09:00:01")
        made = office.tick()

        assert len(made) == 1


def test_a_tick_with_nothing_to_do_leaves_the_database_alone(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        office.schedule("2026-03-01T09:00")
        office.tick()
        office.tick()

        assert _statements(office, office.tick) == []


def test_what_this_process_writes_is_looked_at_with_the_next_tick(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:01")
        (run,) = office.tick()
        office.tick()
        office.tick()

        office.end(run)
        office.tick()

        assert office.entry(schedule)["status"] == "completed"


def test_what_another_process_writes_is_looked_at_within_a_check_interval(tmp_path: Path) -> None:
    with an_office(tmp_path, scheduler_check_interval="1") as office:
        schedule = office.schedule("2026-03-02T09:00")
        office.tick()
        office.tick()
        with Database(office.house.database.path).write(durable=True) as tx:
            slots.begin(tx, 99, office.clock.now())
            slots.mark_behind(tx, schedule.id)

        before = _statements(office, office.tick)
        office.clock.advance(seconds=1)
        after = _statements(office, office.tick)

        assert before == []
        assert any("UPDATE watermarks" in statement for statement in after)


def test_a_tick_that_fails_to_tell_the_file_looks_again(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        office.at("2026-03-02T09:01")
        (run,) = office.tick()
        office.tick()
        office.end(run)
        edit = office.house.store.edit

        def refuse(**given: object) -> None:
            raise Unavailable("the file can't be locked")

        office.house.store.edit = refuse  # type: ignore[method-assign,assignment]
        with pytest.raises(Unavailable):
            office.tick()
        office.house.store.edit = edit  # type: ignore[method-assign]
        office.tick()

        assert office.entry(schedule)["status"] == "completed"


def test_slots_due_together_that_fail_one_by_one_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_office(tmp_path) as office:
        sound = [
            office.schedule(
                "2026-03-02T08:10", schedule_type=ScheduleType.CUSTOM, repeat_interval=20
            )
            for _ in range(2)
        ]
        broken = office.schedule("2026-03-01T09:00")
        break_claims_of(broken, monkeypatch)
        office.at("2026-03-02T09:01")
        logs = log_of(monkeypatch)
        made = office.tick()

        assert [r.schedule_id for r in made] == [s.id for s in sound]
        assert [len(office.decided(s)) for s in sound] == [3, 3]
        assert office.decided(broken) == []
        told = [(entry["event"], entry.get("schedule_id")) for entry in logs]
        assert told.count(("slot decided", sound[0].id)) == 2
        assert told.count(("run claimed", sound[0].id)) == 1
        assert told.count(("a slot could not be claimed, the others go on", broken.id)) == 1


def test_a_campaign_of_many_runs_is_frozen_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_office(tmp_path) as office:
        schedules = [office.schedule("2026-03-01T09:00") for _ in range(30)]
        office.at("2026-03-02T09:01")
        logs = log_of(monkeypatch)
        made: list[Run] = []
        statements = _statements(office, lambda: made.extend(office.tick()))

        assert [r.schedule_id for r in made] == [s.id for s in schedules]
        assert len({r.content_sha256 for r in made}) == 1
        assert sum("FROM campaigns" in statement for statement in statements) == 1
        assert [entry["event"] for entry in logs] == ["runs claimed"]


def _statements(office: Office, act: Callable[[], object]) -> list[str]:
    """Return what the database was asked, past the driver's own BEGIN, while act was done."""
    asked: list[str] = []
    engine = office.house.database._engine

    def note(connection, cursor, statement, *args):  # type: ignore[no-untyped-def]
        asked.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        act()
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return asked


class TestARunThatMostlyFailed:
    def test_pauses_its_schedule_and_says_why_in_the_server_s_words(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-02T09:00")
            _run_to_its_end(office, failed=2)

            found = office.get(schedule)
            assert (found.status, found.enabled) == ("paused", False)
            assert found.note == (
                "by itself, since run 1 failed for 2 of 3, mostly: 554 5.7.1 Not you"
            )
            assert office.entry(schedule)["enabled"] is False
            office.at("2026-03-03T09:01")
            assert office.tick() == []

    def test_goes_on_when_it_is_resumed_and_says_no_more_of_it(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-02T09:00")
            _run_to_its_end(office, failed=2)

            resumed = desk.resume(office.house.scheduler, schedule.id, note=None)

            assert (resumed.status, resumed.note) == ("pending", None)
            office.tick()
            office.at("2026-03-03T09:01")
            assert len(office.tick()) == 1

    def test_is_more_than_half_of_those_to_whom_it_was_tried(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-02T09:00")
            _run_to_its_end(office, failed=1)

            assert office.get(schedule).status == "pending"

    def test_leaves_a_one_time_schedule_as_it_is(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-02T09:00", schedule_type="once")
            _run_to_its_end(office, failed=3)

            assert (office.get(schedule).status, office.get(schedule).note) == ("failed", None)


def _run_to_its_end(office: Office, *, failed: int) -> None:
    """Let the run of 9 o'clock end: refused for so many of its three people, taken for the others."""
    office.at("2026-03-02T09:01")
    [run] = office.tick()
    with office.house.database.write(durable=True) as tx:
        ledger.materialise(tx, run.id, rows=10, now=office.clock.now())
        ledger.materialise(tx, run.id, rows=10, now=office.clock.now())
        ledger.start(tx, run.id, office.clock.now())
        tx.execute(text("UPDATE deliveries SET status = 'sent', attempts = 1, smtp_code = 250"))
        tx.execute(
            text(
                "UPDATE deliveries SET status = 'failed', smtp_code = 554, smtp_reply = '5.7.1 Not you'"
                f" WHERE id <= {failed}"
            )
        )
        tx.execute(text(f"UPDATE runs SET queued = 0, failed = {failed}, sent = {3 - failed}"))
        assert ledger.finish(tx, run.id, office.clock.now())
    office.tick()


def break_claims_of(broken: Schedule, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no run of this schedule be made."""
    make_run = tick.make_run

    def raises(tx: Any, schedule: Schedule, **options: Any) -> int:
        if schedule.id == broken.id:
            raise ValueError
        return make_run(tx, schedule, **options)

    monkeypatch.setattr(tick, "make_run", raises)


def log_of(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return what the tick logs from now on."""
    entries: list[dict[str, Any]] = []

    class Log:
        def info(self, event: str, **fields: Any) -> None:
            entries.append({"event": event} | fields)

        warning = exception = info

    monkeypatch.setattr("scheduler.tick.log", Log())
    return entries
