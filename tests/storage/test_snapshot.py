"""The copy of the database that a backup holds."""

import sqlite3
from pathlib import Path

import pytest

from foundation.errors import Unavailable
from storage import installation, sequence, snapshot
from storage.database import Database
from storage.migrate import revision_of
from tests.builders import a_database
from tests.fake_clock import FakeClock
from tests.house import a_house

NOW = FakeClock().now()


def ignore(share: float) -> None:
    """Show nothing."""


def count_up(database: Database) -> None:
    with database.write(durable=False) as tx:
        sequence.next_id(tx, "one")
        sequence.next_id(tx, "other")


def counts(database: Database) -> tuple[int | None, int | None]:
    with database.read() as tx:
        return sequence.last_id(tx, "one"), sequence.last_id(tx, "other")


def test_the_copy_is_as_the_database_was_when_it_began_though_others_write_all_the_time(
    tmp_path: Path,
) -> None:
    original, other = a_database(tmp_path), Database(tmp_path / "sendonce.db")
    with original.write(durable=False) as tx:
        tx.exec_driver_sql("CREATE TABLE bulk AS SELECT zeroblob(16000000) AS bytes")
    count_up(original)
    shares: list[float] = []

    def write_meanwhile(share: float) -> None:
        shares.append(share)
        assert len(shares) < 20, "it begins anew with each write"
        count_up(other)

    original.copy_to(tmp_path / "copy.db", on_progress=write_meanwhile)

    copy = Database(tmp_path / "copy.db")
    assert counts(copy) == (1, 1)
    assert counts(original) == (1 + len(shares), 1 + len(shares))
    assert shares == sorted(shares)
    assert shares[-1] == 1
    for database in (copy, original, other):
        database.close()


def test_the_mark_is_in_the_copy_and_never_in_the_original(tmp_path: Path) -> None:
    path = tmp_path / "copy.db"

    with a_house(tmp_path) as house:
        taken = snapshot.take(house.database, path, now=NOW, on_progress=ignore)

        with house.database.read() as tx:
            assert installation.read(tx).backed_up_at is None
            assert installation.read(tx).name == taken.installation
        assert taken.made_at == NOW
        assert taken.revision == revision_of(house.database)
    assert [f.name for f in tmp_path.glob("copy*")] == ["copy.db"]
    assert snapshot.examine(path) == taken


def test_a_database_without_the_mark_is_no_backup(tmp_path: Path) -> None:
    with a_house(tmp_path) as house:
        pass

    with pytest.raises(Unavailable, match="the mark of a backup"):
        snapshot.examine(house.database.path)


@pytest.mark.parametrize("content", [b"", b"no database" * 1000])
def test_what_is_no_database_of_ours_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "copy.db").write_bytes(content)

    with pytest.raises(Unavailable):
        snapshot.examine(tmp_path / "copy.db")


def test_a_damaged_copy_is_told(tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    with a_house(tmp_path) as house:
        snapshot.take(house.database, path, now=NOW, on_progress=ignore)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + b"\xff" * 8192 + data[len(data) // 2 + 8192 :])

    with pytest.raises(Unavailable, match="damaged"):
        snapshot.examine(path)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE installation SET backed_up_at = 'tomorrow'",
        "UPDATE installation SET backed_up_at = NULL",
        "DELETE FROM installation",
    ],
)
def test_a_mark_that_makes_no_sense_is_told(tmp_path: Path, change: str) -> None:
    with a_house(tmp_path) as house:
        path = tmp_path / "copy.db"
        snapshot.take(house.database, path, now=NOW, on_progress=ignore)
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(change)
    connection.close()

    with pytest.raises(Unavailable, match=r"mark of (the|a) backup"):
        snapshot.examine(path)
