"""A data directory that may be an older copy of itself: held until a person says go on."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import Connection, event, text

from accounts import store as accounts
from assembly import Sendonce
from delivery import leases, ledger, reads, recovery
from delivery.model import Run
from foundation.errors import Conflict, Unavailable
from scheduler import desk
from scheduler.model import CatchUp, Schedule
from scheduler.thread import step
from storage import aliveness, installation, rollback
from storage.database import StoreFault
from storage.disk import OsDisk
from tests.fake_clock import FakeClock
from tests.house import Idle, a_house
from tests.scheduler.office import Office

MORNING = "2026-03-02T09:00"


class LosingDisk(OsDisk):
    """Loses, with the power, whatever was written in place and is not durable."""

    def __init__(self) -> None:
        self._safe: dict[Path, bytes | None] = {}

    def write_in_place(self, path: Path, data: bytes) -> None:
        self._safe.setdefault(path, path.read_bytes() if path.exists() else None)
        super().write_in_place(path, data)

    def sync(self, path: Path) -> None:
        super().sync(path)
        self._safe.pop(path, None)

    def lose(self) -> None:
        for path, content in self._safe.items():
            if content is None:
                path.unlink()
            else:
                path.write_bytes(content)
        self._safe.clear()


class Lives:
    """One data directory through several lives of its server, all on one clock that begins at 08:00 in Berlin."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.disk = LosingDisk()
        self.clock = FakeClock()
        self.clock.advance(hours=-1)

    @contextmanager
    def server(self, *, folder: Path | None = None, **settings: str) -> Iterator[Office]:
        """Give a server that does not send: runs are claimed, and nothing more."""
        with a_house(folder or self.folder, clock=self.clock, disk=self.disk, **settings) as house:
            house.leader._dispatcher = Idle()
            yield Office(house, self.clock, campaign_id=_campaign(house))

    def kill(self, office: Office) -> None:
        """Let the server be gone, as after kill -9: nothing is marked, the locks are free."""
        house = office.house
        house.leader._epoch = None
        house.leader._witness.release()
        house.store.resign()

    def save(self) -> Path:
        """Copy the data directory of a server that has been killed."""
        return Path(shutil.copytree(self.folder / "data", self.folder / "saved"))

    def lose_power(self, patch: pytest.MonkeyPatch) -> None:
        """Let the machine be gone and come up again, while nothing leads."""
        self.disk.lose()
        patch.setattr(aliveness, "boot_id", lambda: "the boot after")

    def put_back(self, saved: Path) -> None:
        """Put the stores back as a person does who knows nothing of high_water."""
        for name in ("sendonce.db", "sendonce.db-wal", "scheduled_campaigns.json"):
            (self.folder / "data" / name).unlink(missing_ok=True)
            if (saved / name).exists():
                shutil.copy(saved / name, self.folder / "data" / name)
        (self.folder / "data" / "sendonce.db-shm").unlink(missing_ok=True)

    def put_back_whole(self, saved: Path) -> None:
        """Put the directory back with the high_water that was in it: only the witness outside is left."""
        self.put_back(saved)
        shutil.copy(saved / "high_water", self.folder / "data" / "high_water")


def _campaign(house: Sendonce) -> int | None:
    with house.database.read() as tx:
        return tx.execute(text("SELECT min(id) FROM campaigns")).scalar_one()


def lead(office: Office) -> None:
    step(office.house.scheduler, office.house.leader)
    assert office.house.leader.epoch is not None


def doubt_of(office: Office) -> str | None:
    with office.house.database.read() as tx:
        return installation.read(tx).doubted_reason


def trust(office: Office) -> list[int]:
    with office.house.database.write(durable=True) as tx:
        return recovery.trust(tx, by="ann@sendonce.test", now=office.clock.now())


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    return Lives(tmp_path)


def a_day_that_was_forgotten(lives: Lives, **changes: object) -> Schedule:
    """Let 9 o'clock be sent, then put back what was saved before it."""
    with lives.server() as office:
        lead(office)
        schedule = office.schedule("2026-03-01T09:00", **changes)
        lives.kill(office)
    saved = lives.save()
    with lives.server() as office:
        lead(office)
        office.at("2026-03-02T09:01")
        assert len(office.tick()) == 1
        lives.kill(office)
    lives.put_back(saved)
    return schedule


@pytest.mark.parametrize("catch_up", CatchUp)
def test_what_a_restored_directory_has_forgotten_is_held_whatever_catch_up_says(
    lives: Lives, catch_up: CatchUp
) -> None:
    schedule = a_day_that_was_forgotten(lives, catch_up=catch_up)

    with lives.server() as office:
        lead(office)
        office.tick()

        assert "older state of itself" in (doubt_of(office) or "")
        assert [d[:2] for d in office.decided(schedule)] == [("2026-03-02T09:00", "held")]
        assert office.runs(schedule) == []


def test_slots_that_come_due_meanwhile_are_held_too_and_keep_their_question(lives: Lives) -> None:
    schedule = a_day_that_was_forgotten(lives)

    with lives.server() as office:
        lead(office)
        office.at("2026-03-03T09:01")
        office.tick()
        trust(office)
        office.at("2026-03-04T09:01")
        office.tick()

        assert [d[:2] for d in office.decided(schedule)] == [
            ("2026-03-02T09:00", "held"),
            ("2026-03-03T09:00", "held"),
            ("2026-03-04T09:00", "claimed"),
        ]
        desk.missed(office.house.scheduler, schedule.id, action="skip", through=None)
        assert office.get(schedule).status == "running"


def test_it_stays_in_doubt_through_restarts_until_a_person_says_go_on(lives: Lives) -> None:
    a_day_that_was_forgotten(lives)

    for _ in range(2):
        with lives.server() as office:
            lead(office)
            assert doubt_of(office)
            lives.kill(office)

    with lives.server() as office:
        lead(office)
        trust(office)
        lives.kill(office)
    with lives.server() as office:
        lead(office)
        assert doubt_of(office) is None
        with pytest.raises(Conflict, match="not in doubt"):
            trust(office)


def test_runs_on_their_way_are_held_and_what_was_leased_is_in_doubt_even_on_the_same_boot(
    lives: Lives,
) -> None:
    with lives.server() as office:
        lead(office)
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        [run] = office.tick()
        _lease_one(office, run)
        lives.kill(office)
    saved = lives.save()
    with lives.server() as office:
        lead(office)
        lives.kill(office)
    lives.put_back(saved)

    with lives.server() as office:
        lead(office)

        [held] = office.runs(schedule)
        assert (held.status, held.counts.in_doubt, held.counts.queued) == ("held", 1, 2)
        assert "older state of itself" in (held.reason or "")
        assert trust(office) == [run.id]
        assert office.runs(schedule)[0].status == "running"


def test_one_run_may_be_released_alone(lives: Lives) -> None:
    with lives.server() as office:
        lead(office)
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        office.tick()
        lives.kill(office)
    with lives.server() as office:
        with office.house.database.write(durable=True) as tx:
            installation.mark_backup(tx, lives.clock.now())
        lead(office)
        [run] = office.runs(schedule)
        assert run.status == "held"
        with office.house.database.write(durable=True) as tx:
            ledger.set_status(tx, run.id, [run.status], to="claimed", reason=None)
        lives.kill(office)

    with lives.server() as office:
        lead(office)

        assert office.runs(schedule)[0].status == "claimed"
        assert doubt_of(office)


def test_an_ordinary_crash_goes_on_however_late(lives: Lives) -> None:
    with lives.server() as office:
        lead(office)
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        [run] = office.tick()
        _lease_one(office, run)
        lives.kill(office)
    lives.clock.advance(hours=12)

    with lives.server() as office:
        lead(office)

        assert doubt_of(office) is None
        [found] = office.runs(schedule)
        assert (found.status, found.counts.queued) == ("running", 3)


def test_without_its_witness_a_late_start_is_doubted_but_for_schedules_that_say_send(
    lives: Lives,
) -> None:
    with lives.server() as office:
        lead(office)
        asks, sends = (
            office.schedule("2026-03-01T09:00"),
            office.schedule("2026-03-01T09:00", catch_up=CatchUp.SEND),
        )
        office.at("2026-03-02T09:01")
        office.tick()
        lives.kill(office)
    shutil.rmtree(lives.folder / "state")
    lives.clock.advance(days=1)

    with lives.server() as office:
        lead(office)
        office.tick()

        assert "nothing proves" in (doubt_of(office) or "")
        assert [r.status for r in office.runs(asks)] == ["held"]
        assert [r.status for r in office.runs(sends)] == ["claimed", "claimed"]
        assert office.decided(asks)[-1][1] == "held"


def test_a_copy_on_the_same_machine_stands_by_and_says_where_the_other_is(lives: Lives) -> None:
    with lives.server() as office:
        lead(office)
        lives.kill(office)
    other = lives.folder / "other"
    shutil.copytree(lives.folder / "data", other / "data")
    state = str(lives.folder / "state")
    with lives.server() as original, lives.server(folder=other, state_dir=state) as copy:
        lead(original)

        assert step(copy.house.scheduler, copy.house.leader)

        assert copy.house.leader.epoch is None
        assert copy.house.leader.copy_that_leads == str(lives.folder / "data")
        lives.kill(original)
        lead(copy)
        assert copy.house.leader.copy_that_leads is None


def test_numbers_of_leases_and_leaders_that_were_used_are_not_used_again(lives: Lives) -> None:
    a_day_that_was_forgotten(lives)

    with lives.server() as office:
        lead(office)

        assert office.house.leader.epoch == 3


def test_a_disk_that_failed_the_last_leader_makes_its_leases_doubtful(lives: Lives) -> None:
    with lives.server() as office:
        lead(office)
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        [run] = office.tick()
        _lease_one(office, run)
        office.house.leader._witness.note_hurt()
        lives.kill(office)

    with lives.server() as office:
        lead(office)

        [found] = office.runs(schedule)
        assert (found.status, found.counts.in_doubt) == ("running", 1)
        assert doubt_of(office) is None


def test_a_copy_of_a_clean_stop_is_noticed_though_the_power_was_lost_since(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lives.server() as office:
        lead(office)
        schedule = office.schedule("2026-03-01T09:00")
        office.house.leader.step_down()
        saved = lives.save()
        lead(office)
        office.at("2026-03-02T09:01")
        [run] = office.tick()
        _lease_one(office, run)
        lives.kill(office)
    lives.lose_power(monkeypatch)
    lives.put_back_whole(saved)

    with lives.server() as office:
        lead(office)
        office.tick()

        assert "older state of itself" in (doubt_of(office) or "")
        assert office.runs(schedule) == []


def test_a_copy_from_a_minute_ago_is_noticed_though_the_power_was_lost_since(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lives.server() as office:
        lead(office)
        schedule = office.schedule("2026-03-01T09:00")
        office.at("2026-03-02T09:01")
        [run] = office.tick()
        saved = lives.save()
        with office.house.database.write(durable=True) as tx:
            aliveness.count_minute(tx)
            counts = aliveness.counts(tx)
        office.house.dispatcher.testify(counts)
        _lease_one(office, run)
        lives.kill(office)
    lives.lose_power(monkeypatch)
    lives.put_back_whole(saved)

    with lives.server() as office:
        lead(office)

        assert "older state of itself" in (doubt_of(office) or "")
        assert [r.status for r in office.runs(schedule)] == ["held"]


def test_a_take_over_that_fails_on_its_way_leaves_the_evidence_to_the_next(lives: Lives) -> None:
    schedule = a_day_that_was_forgotten(lives)

    with lives.server() as office:
        house = office.house
        before = house.leader._witness.testimonies()
        for failing in [
            fails_after(rollback, "doubt_about"),
            fails_after(aliveness, "go_beyond"),
            fails_after(aliveness, "raise_epoch"),
            fails_after(installation, "doubt"),
            fails_after(recovery, "hold"),
            fails_after(recovery, "recover"),
            no_room_to_commit(house),
        ]:
            with failing:
                step(house.scheduler, house.leader)

            assert house.leader.epoch is None
            assert house.leader._witness.testimonies() == before
            assert doubt_of(office) is None

        lead(office)
        office.tick()

        assert "older state of itself" in (doubt_of(office) or "")
        assert office.runs(schedule) == []


@contextmanager
def fails_after(room: ModuleType, name: str) -> Iterator[None]:
    """Let a step of a take-over be done, and the next one find no room."""
    done = getattr(room, name)

    def done_and_then_full(*args: object, **named: object) -> None:
        done(*args, **named)
        raise Unavailable("The disk is full.")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, name, done_and_then_full)
        yield


@contextmanager
def no_room_to_commit(house: Sendonce) -> Iterator[None]:
    def is_full(connection: Connection) -> None:
        if "sendonce_synchronous" in connection.get_execution_options():  # no mere read
            raise StoreFault("COMMIT", {}, sqlite3.OperationalError("database or disk is full"))

    engine = house.database._engine
    event.listen(engine, "commit", is_full)
    try:
        yield
    finally:
        event.remove(engine, "commit", is_full)


def test_a_take_over_that_fails_after_its_commit_has_written_the_doubt_down(
    lives: Lives, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = a_day_that_was_forgotten(lives)

    with lives.server() as office:
        with monkeypatch.context() as patch:
            patch.setattr(office.house.leader._dispatcher, "start", _can_t_start)
            step(office.house.scheduler, office.house.leader)
        assert office.house.leader.epoch is None

        lead(office)
        office.tick()

        assert "older state of itself" in (doubt_of(office) or "")
        assert office.runs(schedule) == []


def _can_t_start(epoch: int) -> None:
    raise Unavailable("The machine has no room for another thread.")


def _lease_one(office: Office, run: Run) -> None:
    """Lease one delivery of the run, as the leasing thread does."""
    house, now = office.house, office.clock.now()
    epoch = house.leader.epoch
    assert epoch is not None
    with house.database.write(durable=True) as tx:
        while not ledger.materialise(tx, run.id, rows=100, now=now):
            pass
        ledger.start(tx, run.id, now)
        account = accounts.sandbox(tx, house.key)
        assert leases.lease(tx, run.id, account, limit=1, epoch=epoch, now=now)
        counts = aliveness.counts(tx)
        assert reads.run(tx, run.id).status == "running"
    house.dispatcher.testify(counts)
