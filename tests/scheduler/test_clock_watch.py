"""A clock that jumps while schedules wait for it: nothing early, nothing twice, nothing lost."""

from datetime import timedelta
from pathlib import Path

from sqlalchemy import text

from delivery import ledger
from delivery.model import Run
from foundation.errors import Conflict
from scheduler.clock_watch import look_at_clock
from storage import installation
from tests.scheduler.office import Office, an_office


def jump(office: Office, **step: float) -> list[Run]:
    """Set the wall clock alone, and let a second go by."""
    office.clock.set_wall_clock(office.clock.now() + timedelta(**step))
    return second(office)


def second(office: Office) -> list[Run]:
    office.clock.advance(seconds=1)
    look_at_clock(office.house.scheduler)
    return office.tick()


def step_seconds(office: Office) -> float | None:
    with office.house.database.read() as tx:
        return installation.read(tx).clock_step_seconds


def accept(office: Office) -> bool:
    """Say that the clock is right; return whether there was anything to accept."""
    try:
        with office.house.database.write(durable=True) as tx:
            installation.accept_clock(tx)
    except Conflict:
        return False
    return True


def test_a_jump_to_tomorrow_does_not_send_tomorrow_s_campaign_now(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00")

        assert jump(office, days=1, hours=2) == []

        assert office.decided(schedule) == []
        assert round(step_seconds(office) or 0) == 26 * 3600
        assert jump(office, days=-1, hours=-2) == []
        assert step_seconds(office) is None
        office.at("2026-03-02T09:01")
        assert len(second(office)) == 1


def test_nothing_is_written_with_a_time_that_is_doubted(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        jump(office, days=30)

        made = office.schedule("2026-03-02T09:00")
        jump(office, days=-30)

        office.at("2026-03-02T09:01")
        assert len(second(office)) == 1
        assert office.get(made).created_at.month == 3


def test_a_jump_that_a_person_accepts_is_a_time_in_which_no_server_ran(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00")
        jump(office, hours=5)

        assert accept(office)
        second(office)

        assert [d[:2] for d in office.decided(schedule)] == [("2026-03-02T09:00", "held")]
        assert not accept(office)


def test_a_stand_by_learns_that_the_clock_was_accepted(tmp_path: Path) -> None:
    with an_office(tmp_path) as office, an_office(tmp_path, leads=False) as other:
        other.house.clock.inner = office.clock
        jump(office, hours=5)
        look_at_clock(other.house.scheduler)
        assert other.house.clock.step is not None

        accept(office)
        look_at_clock(other.house.scheduler)

        assert other.house.clock.step is None


def test_a_clock_that_goes_back_runs_nothing_twice(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        daily = office.schedule("2026-03-02T09:00")
        hourly = office.schedule("2026-03-02T08:30", schedule_type="hourly")
        office.at("2026-03-02T09:31")
        first = second(office)

        assert jump(office, hours=-1, minutes=-10) == []
        for _ in range(140):
            office.clock.advance(minutes=1)
            second(office)

        assert len(first) == 2
        assert len(office.runs(daily)) == 1
        assert [r.slot.hour for r in office.runs(hourly)] == [8, 9]


def test_a_rule_that_is_changed_after_the_clock_went_back_does_not_run_an_instant_again(
    tmp_path: Path,
) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T08:30", schedule_type="hourly")
        office.at("2026-03-02T08:31")
        assert len(second(office)) == 1
        jump(office, minutes=-20)

        office.edit(schedule, schedule_type="daily")
        office.at("2026-03-02T08:32")

        assert second(office) == []
        assert [d[:2] for d in office.decided(schedule)] == [("2026-03-02T08:30", "claimed")]


def test_what_a_clock_far_ahead_has_written_down_goes_back_with_it(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        jump(office, days=365)
        accept(office)
        second(office)
        schedule = office.schedule("2026-03-02T09:00")

        jump(office, days=-365)

        assert "2026-03-02T08:00" in str(office.get(schedule).next_run).replace(" ", "T")
        office.at("2026-03-02T09:01")
        assert len(second(office)) == 1


def test_a_retry_does_not_wait_for_a_time_that_the_clock_has_gone_back_from(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        office.schedule("2026-03-02T09:00")
        office.at("2026-03-02T09:01")
        [run] = second(office)
        jump(office, days=365)
        accept(office)
        second(office)
        later = office.clock.now()
        with office.house.database.write(durable=True) as tx:
            ledger.materialise(tx, run.id, rows=10, now=later)
            tx.execute(
                text(
                    "UPDATE deliveries SET attempts = 1, next_attempt_at = :at, first_attempt_at = :at"
                ),
                {"at": later.replace(tzinfo=None).isoformat(" ")},
            )

        jump(office, days=-365)

        with office.house.database.read() as tx:
            latest = tx.execute(
                text("SELECT max(max(next_attempt_at, first_attempt_at)) FROM deliveries")
            ).scalar_one()
        assert latest < "2026-03-02 09"
