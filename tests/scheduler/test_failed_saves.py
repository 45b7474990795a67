"""What was told as done is done, and what was told as not done is not, whatever could not be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from foundation.errors import Unavailable
from scheduler import desk
from scheduler.model import ScheduleType
from storage.database import Database
from storage.disk import OsDisk
from tests.scheduler.office import Office, an_office


class FullDisk(OsDisk):
    """A disk that takes so many files more."""

    def __init__(self, takes: int) -> None:
        self.takes = takes

    def sync(self, path: Path) -> None:
        self.takes -= 1
        if self.takes < 0:
            raise OSError(28, "No space left on device")
        super().sync(path)


@contextmanager
def a_disk_that_takes(office: Office, files: int) -> Iterator[None]:
    file = office.house.store._file
    before, file._disk = file._disk, FullDisk(files)
    yield
    file._disk = before


def test_a_schedule_that_cannot_be_saved_is_not_made(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        with a_disk_that_takes(office, 0), pytest.raises(Unavailable):
            office.schedule("2026-03-01T09:00")

        office.at("2026-03-02T09:01")
        assert office.tick() == []
        assert office.entries() == []


def test_a_schedule_that_was_saved_is_answered_even_if_nothing_more_can_be_written(
    tmp_path: Path,
) -> None:
    with an_office(tmp_path) as office:
        with a_disk_that_takes(office, 1):
            schedule = office.schedule("2026-03-01T09:00")

        office.tick()
        assert schedule.next_run is not None
        assert office.entry(schedule)["next_run"] == "2026-03-02T08:00:00Z"


def test_a_schedule_whose_copy_cannot_be_written_is_answered_and_begins_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with an_office(tmp_path) as office:
        write, calls = Database.write, iter(range(100))

        def second_fails(self: Database, *, durable: bool) -> Any:
            if next(calls) >= 1:
                raise Unavailable("The database can't be written just now.")
            return write(self, durable=durable)

        monkeypatch.setattr(Database, "write", second_fails)
        schedule = office.schedule("2026-03-01T09:00")
        monkeypatch.undo()
        office.tick()
        office.at("2026-03-02T09:01")
        made = office.tick()

        assert [r.schedule_id for r in made] == [schedule.id]


def test_a_run_made_by_hand_is_answered_even_if_the_file_cannot_be_saved(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-01T09:00")
        with a_disk_that_takes(office, 0):
            run = desk.run_now(office.house.scheduler, schedule.id, request_key=None)
        assert office.entry(schedule)["total_runs"] == 0

        office.tick()

        assert run.id == office.runs(schedule)[0].id
        assert office.entry(schedule)["total_runs"] == 1


def test_a_skipped_slot_reaches_the_file_as_soon_as_it_can_be_saved(tmp_path: Path) -> None:
    with an_office(tmp_path) as office:
        schedule = office.schedule("2026-03-02T09:00", schedule_type=ScheduleType.ONCE)
        assert schedule.next_run is not None
        with a_disk_that_takes(office, 0):
            answer = desk.skip_next(office.house.scheduler, schedule.id, slot=schedule.next_run)
        assert office.entry(schedule)["status"] == "pending"

        office.tick()

        assert answer.status == "cancelled"
        assert office.entry(schedule)["status"] == "cancelled"
