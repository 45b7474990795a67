"""The stores of a data directory are the old ones or the new ones, whenever the machine dies in between."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from foundation.errors import Unavailable
from storage.disk import OsDisk
from storage.replacement import begin_staging, refuse_unfinished, replace_stores

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
OLD = {
    "sendonce.db": "old database",
    "sendonce.db-wal": "old log",
    "scheduled_campaigns.json": "old schedules",
    "secret_key": "old key",
}
NEW = {name: text.replace("old", "new") for name, text in OLD.items() if name != "sendonce.db-wal"}
KEPT = {"high_water": "counts", "scheduler.lock": ""}


class Crash(BaseException):
    """The machine dies."""


class DyingDisk(OsDisk):
    """A disk whose machine dies before one of its steps."""

    def __init__(self, *, after: int) -> None:
        self.left = after

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)

    def sync_folder(self, path: Path) -> None:
        self._step()
        super().sync_folder(path)

    def _step(self) -> None:
        if self.left == 0:
            raise Crash
        self.left -= 1


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def read(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir() if file.is_file()}


def replace(folder: Path, new: dict[str, str], *, disk: OsDisk | None = None) -> Path | None:
    staged = begin_staging(folder)
    write(staged, new)
    return replace_stores(disk or OsDisk(), folder, staged, list(new), now=NOW)


def steps_of_a_replacement() -> int:
    # Two before, one for each old file, two after, one for each new file, one after, two at the end; and one too many.
    return 1 + len(OLD) + 2 + len(NEW) + 1 + 2


def test_the_old_stores_are_aside_and_the_rest_stays(tmp_path: Path) -> None:
    write(tmp_path, OLD | KEPT | {"sendonce.db-shm": "index"})

    aside = replace(tmp_path, NEW)

    assert aside == tmp_path / "before-restore-20260302T080000.000000Z"
    assert read(aside) == OLD
    assert read(tmp_path) == NEW | KEPT
    assert [f.name for f in tmp_path.iterdir() if f.is_dir()] == [aside.name]


def test_of_an_empty_directory_nothing_is_aside(tmp_path: Path) -> None:
    assert replace(tmp_path, NEW) is None

    assert read(tmp_path) == NEW
    assert not any(file.is_dir() for file in tmp_path.iterdir())


def test_a_key_stays_that_the_backup_does_not_replace_but_schedules_do_not(tmp_path: Path) -> None:
    write(tmp_path, OLD)

    replace(tmp_path, {"sendonce.db": "new database"})

    assert read(tmp_path) == {"sendonce.db": "new database", "secret_key": "old key"}


@pytest.mark.parametrize("after", range(steps_of_a_replacement()))
def test_a_crash_at_any_step_loses_nothing_lets_nobody_start_and_is_finished_by_the_next_restore(
    tmp_path: Path, after: int
) -> None:
    write(tmp_path, OLD | KEPT)
    old = tmp_path / "restore-old"

    with pytest.raises(Crash):
        replace(tmp_path, NEW, disk=DyingDisk(after=after))

    if old.exists():
        assert (read(tmp_path) | read(old)).items() >= OLD.items()
        with pytest.raises(Unavailable, match="Run `restore` again"):
            refuse_unfinished(tmp_path)
    else:
        refuse_unfinished(tmp_path)
        assert read(tmp_path) == NEW | KEPT
    aside = replace_later(tmp_path, NEW)
    refuse_unfinished(tmp_path)
    assert read(tmp_path) == NEW | KEPT
    assert OLD in [read(folder) for folder in tmp_path.glob("before-restore-*")]
    assert aside is not None


def replace_later(folder: Path, new: dict[str, str]) -> Path | None:
    staged = begin_staging(folder)
    write(staged, new)
    return replace_stores(OsDisk(), folder, staged, list(new), now=NOW.replace(hour=9))


def test_the_steps_above_are_all_there_are(tmp_path: Path) -> None:
    write(tmp_path, OLD)

    assert replace(tmp_path, NEW, disk=DyingDisk(after=steps_of_a_replacement())) is not None


@pytest.mark.parametrize("had_log", [True, False])
def test_a_log_that_somebody_made_in_between_comes_to_neither_database(
    tmp_path: Path, had_log: bool
) -> None:
    there = {name: text for name, text in OLD.items() if had_log or name != "sendonce.db-wal"}
    write(tmp_path, there)
    with pytest.raises(Crash):
        # The old files are aside, and the new database is in its place.
        replace(tmp_path, NEW, disk=DyingDisk(after=1 + len(there) + 2 + 1))
    assert read(tmp_path) == {"sendonce.db": "new database"}
    write(tmp_path, {"sendonce.db-wal": "log of one who looked"})

    aside = replace(tmp_path, NEW)

    assert aside is not None
    assert read(aside) == there
    assert read(tmp_path) == NEW


def test_what_was_staged_before_a_crash_is_thrown_away(tmp_path: Path) -> None:
    write(begin_staging(tmp_path), {"sendonce.db": "half"})

    assert read(begin_staging(tmp_path)) == {}
