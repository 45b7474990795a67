"""The database: two strengths of write, one writer at a time, and refusals as sentences."""

import multiprocessing
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from foundation.errors import Unavailable
from storage.database import Database, Refused
from tests.builders import a_database


def counting(database: Database) -> int:
    with database.read() as tx:
        return tx.execute(text("SELECT value FROM sequences WHERE name = 'n'")).scalar_one()


def count_up(database: Database, times: int) -> None:
    from storage.sequence import next_id

    for _ in range(times):
        with database.write(durable=False) as tx:
            next_id(tx, "n")


def count_up_in(folder: str) -> None:
    count_up(Database(Path(folder) / "sendonce.db"), 50)


def test_a_durable_write_is_fsynced_and_a_relaxed_one_is_not(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    strengths = []
    for durable in (True, False, True):
        with database.write(durable=durable) as tx:
            strengths.append(tx.exec_driver_sql("PRAGMA synchronous").scalar())

    assert strengths == [2, 1, 2]  # FULL, NORMAL


def test_a_write_that_raises_leaves_nothing(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    count_up(database, 1)

    def change_and_fail() -> None:
        with database.write(durable=True) as tx:
            tx.execute(text("UPDATE sequences SET value = 99"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change_and_fail()

    assert counting(database) == 1


def test_threads_and_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    spawn = multiprocessing.get_context("spawn")

    processes = [spawn.Process(target=count_up_in, args=(str(tmp_path),)) for _ in range(2)]
    threads = [threading.Thread(target=count_up, args=(database, 50)) for _ in range(4)]
    for each in (*processes, *threads):
        each.start()
    for each in (*processes, *threads):
        each.join()

    assert [p.exitcode for p in processes] == [0, 0]
    assert counting(database) == 300


def test_a_reader_sees_one_moment(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    count_up(database, 1)

    with database.read() as tx:
        before = tx.execute(text("SELECT value FROM sequences")).scalar_one()
        count_up(database, 5)
        after = tx.execute(text("SELECT value FROM sequences")).scalar_one()

    assert (before, after, counting(database)) == (1, 1, 6)


def test_a_read_cannot_become_a_write_behind_the_back(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    count_up(database, 1)

    with database.write(durable=True) as tx:
        other = sqlite3.connect(tmp_path / "sendonce.db", timeout=0, isolation_level=None)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
        other.close()
        tx.execute(text("UPDATE sequences SET value = 7"))

    assert counting(database) == 7


def test_a_constraint_refuses(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    with pytest.raises(Refused), database.write(durable=True) as tx:
        tx.execute(text("INSERT INTO sequences (name, value) VALUES ('a', 1), ('a', 2)"))


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    with database.read() as tx:
        pages = tx.exec_driver_sql("PRAGMA page_count").scalar()

    def fill() -> None:
        with database.write(durable=True) as tx:
            tx.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            tx.execute(text("CREATE TABLE big (x BLOB)"))

    with pytest.raises(Unavailable, match="can't be written"):
        fill()


def test_a_checkpoint_empties_the_log_unless_somebody_reads(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    count_up(database, 20)
    assert database.log_size_bytes() > 0

    with database.read() as tx:
        counted = tx.execute(text("SELECT value FROM sequences")).scalar_one()
        count_up(database, 1)
        database.checkpoint()
        kept = database.log_size_bytes()
    database.checkpoint()

    assert counted == 20
    assert kept > 0
    assert database.log_size_bytes() == 0
    assert counting(database) == 21
