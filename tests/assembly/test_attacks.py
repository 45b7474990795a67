"""Ways in which the promise was once broken, each by a clock, a restart or a copy at the wrong moment."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from accounts import store as account_store
from accounts import usage
from audience.model import SuppressionReason
from audience.suppressions import add as suppress
from delivery import control, doubts, leases, ledger, slots
from delivery.certificate import certify
from delivery.decisions import Action
from delivery.model import Run
from foundation.errors import Unavailable
from scheduler import desk
from scheduler.clock_watch import look_at_clock
from scheduler.model import CatchUp, Schedule
from scheduler.thread import step
from storage import aliveness, installation
from tests.assembly.test_doubted import Lives, doubt_of, lead, trust
from tests.scheduler.office import Office, an_office
from tests.scheduler.test_clock_watch import accept, jump, second

ANN = "ann@sendonce.test"


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    return Lives(tmp_path)


class TestClock:
    def test_one_that_is_set_back_while_no_server_runs_is_followed(self, lives: Lives) -> None:
        lives.clock.advance(days=365)
        with lives.server() as office:
            lead(office)
            schedule = office.schedule("2027-03-02T09:00")
            beat(office)
            lives.kill(office)
        lives.clock.set_wall_clock(lives.clock.now() - timedelta(days=365))
        lives.clock.advance(seconds=5)

        with lives.server() as office:
            lead(office)
            step(office.house.scheduler, office.house.leader)

            assert decided_until(office, schedule) <= lives.clock.now()

    def test_a_step_back_is_followed_once_the_ledger_can_be_written(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-01T09:00")
            office.at("2026-03-02T09:01")
            second(office)
            office.clock.set_wall_clock(office.clock.now() - timedelta(days=30))
            office.clock.advance(seconds=1)
            with full(office), pytest.raises(Unavailable):
                look_at_clock(office.house.scheduler)

            second(office)

            assert decided_until(office, schedule) <= office.clock.now()

    def test_a_limit_does_not_count_a_future_that_the_clock_has_left(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            jump(office, days=365)
            accept(office)
            second(office)
            with office.house.database.write(durable=True) as tx:
                account = account_store.sandbox(tx, office.house.key)
                usage.count(tx, account.id, 100, office.clock.now())

            jump(office, days=-365)

            with office.house.database.read() as tx:
                assert usage.used(tx, account.id, office.house.clock.now()).hour == 0

    def test_people_who_are_written_down_after_it_went_back_are_due_at_once(
        self, tmp_path: Path
    ) -> None:
        with an_office(tmp_path) as office:
            jump(office, days=365)
            accept(office)
            second(office)
            office.schedule("2027-03-02T08:30")
            office.at("2027-03-02T08:31")
            [run] = second(office)
            jump(office, days=-365)

            begin(office, run)

            with office.house.database.read() as tx:
                latest = tx.execute(text("SELECT max(next_attempt_at) FROM deliveries")).scalar()
            assert latest < "2026-03-03"

    def test_slots_of_a_row_of_more_than_a_hundred_do_not_run_when_they_come_again(
        self, tmp_path: Path
    ) -> None:
        with an_office(tmp_path) as office:
            office.schedule("2026-03-02T08:30", schedule_type="hourly", catch_up=CatchUp.SEND)
            office.clock.advance(days=5)
            [one] = office.tick()
            office.end(one)
            office.tick()
            jump(office, hours=-30)

            ran = []
            for _ in range(29):
                office.clock.advance(hours=1)
                ran += second(office)

            assert ran == []

    def test_a_stand_by_that_looks_late_believes_what_its_leader_does(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office, an_office(tmp_path, leads=False) as other:
            other.house.clock.inner = office.clock
            look_at_clock(other.house.scheduler)
            jump(office, hours=5)
            accept(office)
            second(office)
            beat(office)

            look_at_clock(other.house.scheduler)
            look_at_clock(other.house.scheduler)

            assert other.house.clock.step is None

    def test_a_jump_right_after_a_start_is_noticed_by_the_next(self, lives: Lives) -> None:
        with lives.server() as office:
            lead(office)
            lives.kill(office)
        lives.clock.set_wall_clock(lives.clock.now() + timedelta(days=1))
        lives.clock.advance(seconds=2)

        with lives.server() as office:
            assert office.house.clock.step is not None

    def test_a_day_that_a_person_let_run_again_certifies(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-02T09:00")
            office.at("2026-03-02T09:01")
            [run] = second(office)
            office.end(run)
            jump(office, hours=-1)

            office.edit(schedule, again_today=True, note="again")
            office.at("2026-03-02T09:01")
            [again] = second(office)
            office.end(again)

            with office.house.database.read() as tx:
                assert certify(tx, again.id, office.clock.now()).holds


class TestCopies:
    def test_a_weaker_doubt_does_not_let_go_what_a_restored_backup_holds(
        self, lives: Lives
    ) -> None:
        with lives.server() as office:
            lead(office)
            schedule = office.schedule("2026-03-01T09:00", catch_up=CatchUp.SEND)
            lives.kill(office)
        with lives.server() as office:
            with office.house.database.write(durable=True) as tx:
                installation.mark_backup(tx, lives.clock.now())
            lead(office)
            lives.kill(office)
        shutil.rmtree(lives.folder / "state")
        lives.clock.advance(days=1, hours=3)

        with lives.server() as office:
            lead(office)
            office.tick()

            assert "from a backup" in (doubt_of(office) or "")
            assert office.runs(schedule) == []

    def test_one_from_before_a_cancel_is_noticed_after_a_reboot_too(
        self, lives: Lives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aliveness, "boot_id", lambda: "boot 1")
        with lives.server() as office:
            lead(office)
            office.schedule("2026-03-01T09:00")
            office.at("2026-03-02T09:01")
            [run] = office.tick()
            lives.kill(office)
        saved = lives.save()
        with lives.server() as office:
            house = office.house
            assert house.leader._witness.hold() is None
            with house.database.write(durable=True) as tx:
                control.cancel(tx, run.id, lives.clock.now(), by=ANN)
                suppress(tx, "p1@example.com", SuppressionReason.UNSUBSCRIBED, lives.clock.now())
                aliveness.count_minute(tx)
                counts = aliveness.counts(tx)
            house.dispatcher.testify(counts)
            lives.kill(office)
        monkeypatch.setattr(aliveness, "boot_id", lambda: "boot 2")
        lives.put_back(saved)

        with lives.server() as office:
            lead(office)

            assert doubt_of(office)

    def test_a_clock_before_the_last_sign_of_life_proves_nothing(
        self, lives: Lives, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(aliveness, "boot_id", lambda: "boot 1")
        with lives.server() as office:
            lead(office)
            lives.kill(office)
        shutil.rmtree(lives.folder / "state")
        monkeypatch.setattr(aliveness, "boot_id", lambda: "boot 2")
        lives.clock.set_wall_clock(lives.clock.now() - timedelta(days=365 * 20))

        with lives.server() as office:
            lead(office)

            assert doubt_of(office)

    def test_a_new_mail_has_not_the_message_id_of_one_that_was_forgotten(
        self, lives: Lives
    ) -> None:
        with lives.server() as office:
            lead(office)
            office.schedule("2026-03-01T09:00")
            lives.kill(office)
        saved = lives.save()
        with lives.server() as office:
            lead(office)
            office.at("2026-03-02T09:01")
            [run] = office.tick()
            forgotten = message_ids(office, run)
            lives.kill(office)
        lives.put_back(saved)

        with lives.server() as office:
            lead(office)
            office.tick()
            trust(office)
            office.at("2026-03-03T09:01")
            [run] = office.tick()

            assert not message_ids(office, run) & forgotten


class TestSchedules:
    def test_one_that_is_deleted_leaves_no_question_behind(self, tmp_path: Path) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-02T09:00")
            office.at("2026-03-02T12:01")
            second(office)
            assert [d[1] for d in office.decided(schedule)] == ["held"]

            desk.delete(office.house.scheduler, schedule.id, expected_version=None)

            assert [d[1:] for d in office.decided(schedule)] == [
                ("skipped", "the schedule was deleted")
            ]

    def test_one_is_not_paused_again_by_an_old_run_whose_doubt_is_sent_again(
        self, tmp_path: Path
    ) -> None:
        with an_office(tmp_path) as office:
            schedule = office.schedule("2026-03-02T09:00")
            office.at("2026-03-02T09:01")
            [run] = second(office)
            mostly_failed(office, run)
            second(office)
            assert not office.get(schedule).enabled
            desk.resume(office.house.scheduler, schedule.id, note=None)

            with office.house.database.write(durable=True) as tx:
                now = office.clock.now()
                doubts.resolve(tx, run.id, Action.RESEND, emails=None, before=None, by=ANN, now=now)
                tx.execute(text("UPDATE deliveries SET status = 'sent' WHERE status = 'queued'"))
                tx.execute(text("UPDATE runs SET queued = 0, sent = 1"))
                assert ledger.finish(tx, run.id, now)
            second(office)

            assert office.get(schedule).enabled


def beat(office: Office) -> None:
    """Let the leader give a sign of life, as its leasing thread does every second."""
    house = office.house
    assert house.leader.epoch is not None
    with house.database.write(durable=True) as tx:
        aliveness.beat(tx, house.leader.epoch, now=house.clock.now(), elapsed=house.clock.elapsed())


def decided_until(office: Office, schedule: Schedule) -> object:
    with office.house.database.read() as tx:
        [standing] = slots.standings(tx, [schedule.id], office.clock.now()).values()
    return standing.decided_until


@contextmanager
def full(office: Office) -> Iterator[None]:
    """Let nothing be written to the database: there is no room for one more page."""
    database = office.house.database
    write = database.write

    def refuse(**options: object) -> None:
        raise Unavailable("database or disk is full")

    database.write = refuse
    try:
        yield
    finally:
        database.write = write


def begin(office: Office, run: Run) -> None:
    """Write the run's people down, and let it go."""
    now = office.house.clock.now()
    with office.house.database.write(durable=True) as tx:
        while not ledger.materialise(tx, run.id, rows=100, now=now):
            pass
        ledger.start(tx, run.id, now)


def message_ids(office: Office, run: Run) -> set[str]:
    """Return the Message-IDs that the run's people would get."""
    begin(office, run)
    house, epoch = office.house, office.house.leader.epoch
    assert epoch is not None
    with house.database.write(durable=True) as tx:
        account = account_store.sandbox(tx, house.key)
        items = leases.lease(tx, run.id, account, limit=10, epoch=epoch, now=office.clock.now())
    return {house.dispatcher.composer.message_id(item, account) for item in items}


def mostly_failed(office: Office, run: Run) -> None:
    """Let a run end: refused for two of its three people, in doubt for the third."""
    begin(office, run)
    with office.house.database.write(durable=True) as tx:
        account_id = account_store.sandbox(tx, office.house.key).id
        tried = f"attempts = 1, account_id = {account_id}, reason = 'x'"
        tx.execute(text(f"UPDATE deliveries SET status = 'failed', smtp_code = 550, {tried}"))
        tx.execute(text("UPDATE deliveries SET status = 'in_doubt' WHERE id = 3"))
        tx.execute(text("UPDATE runs SET queued = 0, failed = 2, in_doubt = 1"))
        assert ledger.finish(tx, run.id, office.clock.now())
