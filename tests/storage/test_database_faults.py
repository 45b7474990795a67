"""What is made of a database that can't be used: which faults pass, and which end the process."""

import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from foundation.clock import SystemClock
from foundation.errors import Unavailable
from storage.database import Busy, Database, Refused, StoreFault
from storage.sequence import next_id
from tests.builders import a_database
from tests.delivery.builders import somebody_else_writes

A_MOMENT = timedelta(milliseconds=50)


class Diary(list[str]):
    """What on_io_error was told."""

    @property
    def sentence(self) -> str:
        [only] = self
        return only


def a_watched_database(folder: Path) -> tuple[Database, Diary]:
    """Return a database with tables, and what it tells of the disk."""
    a_database(folder).close()
    diary = Diary()
    return Database(folder / "sendonce.db", on_io_error=diary.append), diary


def count_up(database: Database) -> int:
    with database.write(durable=True) as tx:
        return next_id(tx, "n")


@contextmanager
def files_stay_small(size_bytes: int) -> Iterator[None]:
    """Let the kernel refuse (EFBIG) to make any file of this process larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def a_commit_fails(database: Database, code: int) -> Iterator[None]:
    """Let a commit end with this extended code of SQLite's."""

    def fail(*args: object) -> None:
        error = sqlite3.OperationalError("as the test has it")
        error.sqlite_errorcode = code
        raise OperationalError("COMMIT", {}, error)

    event.listen(database._engine, "commit", fail)
    yield
    event.remove(database._engine, "commit", fail)


def test_a_write_that_the_disk_fails_is_told_at_once_and_has_not_happened(tmp_path: Path) -> None:
    database, diary = a_watched_database(tmp_path)
    count_up(database)

    with (
        files_stay_small(database.log_size_bytes() + 100),
        pytest.raises(Unavailable, match="can't be written"),
    ):
        count_up(database)

    assert diary.sentence.startswith("The disk has failed the database")
    assert "SQLITE_IOERR_WRITE" in diary.sentence
    assert count_up(database) == 2


def test_a_checkpoint_that_the_disk_fails_is_told_at_once(tmp_path: Path) -> None:
    database, diary = a_watched_database(tmp_path)
    with database.write(durable=True) as tx:
        tx.execute(text("CREATE TABLE large (x BLOB)"))
        tx.execute(text("INSERT INTO large VALUES (zeroblob(1000000))"))

    with files_stay_small(database.path.stat().st_size + 8192):
        database.checkpoint()

    assert "SQLITE_IOERR_WRITE" in diary.sentence


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_IOERR_READ,
        sqlite3.SQLITE_IOERR_SHORT_READ,
        sqlite3.SQLITE_IOERR_FSYNC,
        sqlite3.SQLITE_IOERR_DIR_FSYNC,
        sqlite3.SQLITE_IOERR_TRUNCATE,
        sqlite3.SQLITE_IOERR_DATA,
        sqlite3.SQLITE_IOERR_CORRUPTFS,
    ],
)
def test_what_may_lose_pages_is_told(tmp_path: Path, code: int) -> None:
    database, diary = a_watched_database(tmp_path)

    with a_commit_fails(database, code), pytest.raises(Unavailable):
        count_up(database)

    assert diary.sentence


@pytest.mark.parametrize(
    "code",
    [
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_BUSY_RECOVERY,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_NOMEM,
        sqlite3.SQLITE_CORRUPT_INDEX,
    ],
)
def test_what_loses_nothing_passes(tmp_path: Path, code: int) -> None:
    database, diary = a_watched_database(tmp_path)

    with a_commit_fails(database, code), pytest.raises(Unavailable):
        count_up(database)

    assert diary == []
    assert count_up(database) == 1


def test_a_commit_that_failed_has_not_happened_and_holds_up_nobody(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    with database.write(durable=True) as tx:
        tx.execute(text("CREATE TABLE a (id INTEGER PRIMARY KEY)"))
        tx.execute(
            text("CREATE TABLE b (a INTEGER REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)")
        )

    with pytest.raises(Refused), database.write(durable=True) as tx:
        tx.execute(text("INSERT INTO b VALUES (99)"))

    assert count_up(database) == 1
    with database.read() as tx:
        assert tx.execute(text("SELECT count(*) FROM b")).scalar_one() == 0


def test_a_read_only_database_is_a_sentence(tmp_path: Path) -> None:
    database, diary = a_watched_database(tmp_path)
    event.listen(database._engine, "begin", lambda tx: tx.exec_driver_sql("PRAGMA query_only = ON"))

    with pytest.raises(Unavailable, match="readonly database"):
        count_up(database)

    assert diary == []


@pytest.mark.parametrize("damaged_from", [0, 4096])
def test_a_damaged_database_is_a_sentence_wherever_it_is_met(
    tmp_path: Path, damaged_from: int
) -> None:
    database, diary = a_watched_database(tmp_path)
    database.checkpoint()
    database.close()
    sound = database.path.read_bytes()
    # To its end: where a table lies in the file depends on which others there are.
    database.path.write_bytes(sound[:damaged_from].ljust(len(sound), b"\xa5"))

    with pytest.raises(Unavailable, match="put back a backup"):
        count_up(database)
    with pytest.raises(Unavailable, match="put back a backup"), database.read() as tx:
        tx.execute(text("SELECT * FROM sequences")).all()

    assert diary == []
    database.close()


def test_damage_met_in_the_middle_of_a_transaction_is_a_fault_of_the_store(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    with database.write(durable=True) as tx:
        tx.execute(text("CREATE TABLE large (x BLOB)"))
        tx.execute(text("INSERT INTO large VALUES (zeroblob(100000))"))
        page = tx.exec_driver_sql(
            "SELECT rootpage FROM sqlite_master WHERE name = 'large'"
        ).scalar_one()
    database.checkpoint()
    database.close()
    with database.path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)

    def read_and_go_on() -> None:
        with database.write(durable=True) as tx:
            assert next_id(tx, "n") == 1
            tx.execute(text("SELECT * FROM large")).all()

    with pytest.raises(Unavailable, match="put back a backup") as refused:
        read_and_go_on()

    assert isinstance(refused.value.__cause__, StoreFault)
    assert count_up(database) == 1
    database.close()


def test_who_waits_for_another_program_is_told_that_it_is_busy(tmp_path: Path) -> None:
    a_database(tmp_path).close()
    database = Database(tmp_path / "sendonce.db", busy=A_MOMENT)

    with somebody_else_writes(tmp_path), pytest.raises(Busy, match="somebody else is writing"):
        count_up(database)

    assert count_up(database) == 1


def test_who_waits_goes_on_as_soon_as_the_other_has_written(tmp_path: Path) -> None:
    database, clock = a_database(tmp_path), SystemClock()
    holding, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with somebody_else_writes(tmp_path):
            holding.set()
            let_go.wait(0.3)

    other = threading.Thread(target=hold)
    other.start()
    assert holding.wait(10)
    before = clock.elapsed()

    assert count_up(database) == 1

    assert clock.elapsed() - before < timedelta(seconds=5)
    other.join()


@pytest.mark.parametrize("who", ["another program", "this process"])
def test_nobody_waits_long_in_a_hurry(tmp_path: Path, who: str) -> None:
    database, clock = a_database(tmp_path), SystemClock()
    refused = threading.Event()

    def wait_and_be_refused() -> None:
        with pytest.raises(Busy):
            count_up(database)
        refused.set()

    waiting = threading.Thread(target=wait_and_be_refused)
    with somebody_else_writes(tmp_path) if who == "another program" else held(database):
        waiting.start()
        before = clock.elapsed()
        with database.hurried():
            assert refused.wait(10)

    assert clock.elapsed() - before < timedelta(seconds=2)
    waiting.join()
    assert not database.is_hurried


@contextmanager
def held(database: Database) -> Iterator[None]:
    with database.write(durable=False):
        yield
